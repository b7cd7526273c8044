// Base64.swift: bytes as text (RFC 4648, 4), each in one spelling only. Start at format and parse.

/// Base64 as in RFC 4648, 4, with padding and without line breaks; parsing accepts the one
/// canonical spelling only.
package enum Base64 {
  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let values: [UInt8] = {
    var table = [UInt8](repeating: 255, count: 256)
    for (i, c) in alphabet.enumerated() { table[Int(c)] = UInt8(i) }
    return table
  }()

  package static func format(_ bytes: [UInt8]) -> String {
    var text: [UInt8] = []
    append(bytes, to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  static func append(_ bytes: [UInt8], to text: inout [UInt8]) {
    var i = 0
    while i < bytes.count {
      let b0 = bytes[i]
      let b1 = i + 1 < bytes.count ? bytes[i + 1] : 0
      let b2 = i + 2 < bytes.count ? bytes[i + 2] : 0
      text.append(alphabet[Int(b0 >> 2)])
      text.append(alphabet[Int((b0 & 3) << 4 | b1 >> 4)])
      text.append(i + 1 < bytes.count ? alphabet[Int((b1 & 15) << 2 | b2 >> 6)] : 0x3D)
      text.append(i + 2 < bytes.count ? alphabet[Int(b2 & 63)] : 0x3D)
      i += 3
    }
  }

  package static func parse(_ text: some StringProtocol) -> [UInt8]? {
    Array(text.utf8).withUnsafeBytes { parse($0) }
  }

  static func parse(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
    withUnsafeTemporaryAllocation(byteCount: text.count / 4 * 3 + 3, alignment: 8) { raw in
      parse(text, into: raw).map { Array(raw[..<$0]) }
    }
  }

  /// - bytes: room for at least three bytes per four characters of the text
  /// - Returns: how many bytes the text encodes; nil for anything but the canonical spelling.
  static func parse(_ text: UnsafeRawBufferPointer, into bytes: UnsafeMutableRawBufferPointer) -> Int? {
    guard text.count % 4 == 0, bytes.count >= text.count / 4 * 3 else { return nil }
    return values.withUnsafeBufferPointer { table in
      var i = 0
      var n = 0
      // The fourth byte written is scratch: the next group overwrites it. The last four characters,
      // which may be padded, are handled separately.
      while i + 4 < text.count {
        let (a, b) = (UInt32(table[Int(text[i])]), UInt32(table[Int(text[i + 1])]))
        let (c, d) = (UInt32(table[Int(text[i + 2])]), UInt32(table[Int(text[i + 3])]))
        guard a | b | c | d < 64 else { return nil }
        let three = a << 26 | b << 20 | c << 14 | d << 8
        bytes.storeBytes(of: three.bigEndian, toByteOffset: n, as: UInt32.self)
        i += 4
        n += 3
      }
      if i < text.count {
        let pad = text[i + 3] == 0x3D ? (text[i + 2] == 0x3D ? 2 : 1) : 0
        let a = table[Int(text[i])]
        let b = table[Int(text[i + 1])]
        let c = pad == 2 ? 0 : table[Int(text[i + 2])]
        let d = pad >= 1 ? 0 : table[Int(text[i + 3])]
        guard a | b | c | d < 64 else { return nil }
        // The bits that padding leaves unused must be zero, or one value would have two spellings.
        if pad == 2, b & 15 != 0 { return nil }
        if pad == 1, c & 3 != 0 { return nil }
        bytes[n] = a << 2 | b >> 4
        n += 1
        if pad < 2 {
          bytes[n] = (b & 15) << 4 | c >> 2
          n += 1
        }
        if pad < 1 {
          bytes[n] = (c & 3) << 6 | d
          n += 1
        }
      }
      return n
    }
  }
}
