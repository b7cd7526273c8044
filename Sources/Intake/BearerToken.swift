// BearerToken.swift: extracts a token from a request, and compares it so that timing reveals
// nothing.

extension RequestHead {
  /// The token of an `Authorization: Bearer TOKEN` field (RFC 6750, 2.1); nil when there is no such
  /// field, more than one, another scheme, or a token with bytes that no token may have.
  public var bearerToken: [UInt8]? {
    guard fields.count(of: "authorization") == 1, let value = fields.firstBytes("authorization") else {
      return nil
    }
    let scheme = "bearer ".utf8
    guard equalIgnoringCase(value.prefix(scheme.count), scheme) else { return nil }
    let token = trimmed(value.dropFirst(scheme.count))
    let padding = token.reversed().prefix { $0 == UInt8(ascii: "=") }.count
    let core = token.dropLast(padding)
    guard !core.isEmpty, core.allSatisfy(Self.tokenBytes.contains) else { return nil }
    return Array(token)
  }

  /// RFC 6750's b64token, without its padding.
  private static let tokenBytes = ByteSet(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/")
}

/// Whether two byte strings are equal, in a time that depends only on the length of `candidate`.
public func equalInConstantTime(_ candidate: [UInt8], _ secret: [UInt8]) -> Bool {
  var difference: UInt8 = candidate.count == secret.count ? 0 : 1
  for index in candidate.indices {
    // An empty or shorter secret is read cyclically: its length must not shorten the loop.
    let other = secret.isEmpty ? 0xFF : secret[index % secret.count]
    difference |= candidate[index] ^ other
  }
  return difference == 0
}
