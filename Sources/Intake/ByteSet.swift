// ByteSet.swift: the ASCII character classes of RFC 9110 and RFC 3986, as 128-bit sets.

struct ByteSet: Sendable {
  private let low: UInt64
  private let high: UInt64

  init(_ members: String) {
    var low: UInt64 = 0
    var high: UInt64 = 0
    for byte in members.utf8 {
      if byte < 64 { low |= 1 << UInt64(byte) } else if byte < 128 { high |= 1 << UInt64(byte - 64) }
    }
    self.low = low
    self.high = high
  }

  func contains(_ byte: UInt8) -> Bool {
    if byte < 64 { return low & (1 << UInt64(byte)) != 0 }
    return byte < 128 && high & (1 << UInt64(byte & 63)) != 0
  }

  private static let alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

  /// RFC 9110, 5.6.2: tchar.
  static let token = ByteSet(alphanumeric + "!#$%&'*+-.^_`|~")
  /// RFC 3986: the bytes of pchar, "/" and "?"; "%" must be followed by two hexadecimal digits.
  static let pathAndQuery = ByteSet(alphanumeric + "-._~!$&'()*+,;=:@/?%")
  /// RFC 3986: reg-name.
  static let registeredName = ByteSet(alphanumeric + "-._~!$&'()*+,;=%")
  /// RFC 3986: the bytes inside the brackets of an IPv6 literal; zones and future versions are
  /// refused.
  static let addressLiteral = ByteSet("0123456789abcdefABCDEF:.")
}

func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }

func hexValue(_ byte: UInt8) -> UInt8? {
  switch byte {
  case 0x30...0x39: byte - 0x30
  case 0x41...0x46: byte - 0x41 + 10
  case 0x61...0x66: byte - 0x61 + 10
  default: nil
  }
}

/// Whether every "%" is followed by two hexadecimal digits.
func percentsAreWhole(_ bytes: ArraySlice<UInt8>) -> Bool {
  var due = 0
  for byte in bytes {
    if due > 0 {
      guard hexValue(byte) != nil else { return false }
      due -= 1
    } else if byte == UInt8(ascii: "%") {
      due = 2
    }
  }
  return due == 0
}
