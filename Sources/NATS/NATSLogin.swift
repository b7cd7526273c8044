// NATSLogin.swift: who a client says it is: nobody, a token, a name and password, or an nkey, which
// is an Ed25519 key whose holder signs what the server drew. Signing itself is the caller's.
// Source: nats-server, "NKeys". Start at NATSLogin.fields.

import JSON

package enum NATSLogin: Sendable {
  case none
  case token(String)
  case password(user: String, password: String)
  /// - key: `U` and 55 more letters, as the server's configuration has it
  /// - sign: the 64 bytes of an Ed25519 signature over these bytes; it may take its time
  case nkey(key: String, sign: @Sendable ([UInt8]) throws -> [UInt8])

  /// The fields of CONNECT for a server.
  func fields(for info: NATSInfo) throws -> [JSONValue.Member] {
    switch self {
    case .none: return []
    case .token(let token): return [("auth_token", .string(token))]
    case .password(let user, let password): return [("user", .string(user)), ("pass", .string(password))]
    case .nkey(let key, let sign):
      guard let nonce = info.nonce else { throw NATSFault("it asks for no nkey") }
      guard Self.isNonce(nonce) else { throw NATSFault("what it wants signed is no nonce: it is not signed") }
      let signature = try sign(Array(nonce.utf8))
      guard signature.count == 64 else { throw NATSFault("the signature has \(signature.count) bytes") }
      return [("nkey", .string(key)), ("sig", .string(Self.base64URL(signature)))]
    }
  }

  /// Rule: only 8 to 64 characters of base64url are signed. Why: the server chooses the text, and a
  /// hostile one could have something else signed that begins otherwise, such as a receipt's
  /// signature.
  static func isNonce(_ text: String) -> Bool {
    (8...64).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
          || $0 == 0x2D || $0 == 0x5F
      }
  }

  /// RFC 4648, 5, without padding.
  static func base64URL(_ bytes: [UInt8]) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)
    return String(decoding: digits(bytes, bits: 6, alphabet), as: UTF8.self)
  }

  /// The nkey of a user's public key: RFC 4648's base32 of a prefix, the 32 bytes and their CRC-16.
  package static func userKey(_ publicKey: [UInt8]) -> String {
    let body = [0xA0] + publicKey
    // CRC-16/XMODEM.
    var crc: UInt16 = 0
    for byte in body {
      crc ^= UInt16(byte) << 8
      for _ in 0..<8 { crc = crc & 0x8000 != 0 ? crc << 1 ^ 0x1021 : crc << 1 }
    }
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".utf8)
    let bytes = body + [UInt8(truncatingIfNeeded: crc), UInt8(truncatingIfNeeded: crc >> 8)]
    return String(decoding: digits(bytes, bits: 5, alphabet), as: UTF8.self)
  }

  private static func digits(_ bytes: [UInt8], bits: Int, _ alphabet: [UInt8]) -> [UInt8] {
    var out: [UInt8] = []
    var held: UInt32 = 0
    var count = 0
    for byte in bytes {
      held = (held << 8 | UInt32(byte)) & 0xFFFF
      count += 8
      while count >= bits {
        count -= bits
        out.append(alphabet[Int(held >> UInt32(count)) & (alphabet.count - 1)])
      }
    }
    if count > 0 { out.append(alphabet[Int(held << UInt32(bits - count)) & (alphabet.count - 1)]) }
    return out
  }
}
