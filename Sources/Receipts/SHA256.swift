// SHA256.swift: SHA-256 digests as Swift values, over the C implementation in CDigest.
// No other hash is used. Start at SHA256.hash(_:).
import CDigest

/// A SHA-256 digest: 32 bytes, kept as four big-endian words so that it needs no heap memory.
///
/// Its text is 64 lower-case hexadecimal digits, its order is that of its bytes.
public struct SHA256Digest: Hashable, Sendable, Comparable, CustomStringConvertible {
  /// The 32 bytes as big-endian words: `w0` holds bytes 0 to 7.
  let w0: UInt64, w1: UInt64, w2: UInt64, w3: UInt64

  /// 32 zero bytes: in a chain, they mean "no digest before this one".
  public static let zero = SHA256Digest(0, 0, 0, 0)

  init(_ w0: UInt64, _ w1: UInt64, _ w2: UInt64, _ w3: UInt64) {
    (self.w0, self.w1, self.w2, self.w3) = (w0, w1, w2, w3)
  }

  /// A digest from its 32 bytes; nil for any other count.
  public init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 32 else { return nil }
    let copy = Array(bytes)
    self = copy.withUnsafeBytes { SHA256Digest(loading: $0) }
  }

  /// A digest from 64 hexadecimal digits in lower case; nil for anything else.
  public init?(hex: some StringProtocol) {
    guard let bytes = Hex.parse(hex.utf8), bytes.count == 32 else { return nil }
    self.init(bytes: bytes)
  }

  /// - raw: at least 32 bytes; our own callers guarantee it.
  init(loading raw: UnsafeRawBufferPointer) {
    precondition(raw.count >= 32, "a digest is 32 bytes")
    w0 = UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
    w1 = UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    w2 = UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
    w3 = UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
  }

  /// The 32 bytes.
  public var bytes: [UInt8] { withBytes { Array($0) } }

  /// 64 lower-case hexadecimal digits.
  public var hex: String { withBytes { Hex.format($0) } }

  public var description: String { hex }

  public static func < (a: SHA256Digest, b: SHA256Digest) -> Bool {
    (a.w0, a.w1, a.w2, a.w3) < (b.w0, b.w1, b.w2, b.w3)
  }

  /// Calls `body` with the 32 bytes in order; the pointer is valid during the call only.
  public func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    let words = (w0.bigEndian, w1.bigEndian, w2.bigEndian, w3.bigEndian)
    return try withUnsafeBytes(of: words) { try body($0) }
  }
}

/// A running SHA-256. A value: a copy forks the hash.
public struct SHA256: Sendable {
  private var context = hp_sha256_ctx()

  public init() { hp_sha256_init(&context) }

  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    hp_sha256_update(&context, bytes.baseAddress, bytes.count)
  }

  public mutating func update(_ bytes: some Sequence<UInt8>) {
    if bytes.withContiguousStorageIfAvailable({ update(UnsafeRawBufferPointer($0)) }) == nil {
      Array(bytes).withUnsafeBytes { update($0) }
    }
  }

  public mutating func update(_ digest: SHA256Digest) { digest.withBytes { update($0) } }

  /// The digest of the input so far; hashing can continue afterwards.
  public func finish() -> SHA256Digest {
    var copy = context
    return SHA256.collect { hp_sha256_final(&copy, $0) }
  }

  /// The digest of `bytes`.
  public static func hash(_ bytes: UnsafeRawBufferPointer) -> SHA256Digest {
    collect { hp_sha256(bytes.baseAddress, bytes.count, $0) }
  }

  /// The digest of `bytes`.
  public static func hash(_ bytes: some Sequence<UInt8>) -> SHA256Digest {
    var hash = SHA256()
    hash.update(bytes)
    return hash.finish()
  }

  /// RFC 6962, 2.1: the hash of a leaf, `SHA-256(0x00 || data)`.
  public static func leaf(_ data: UnsafeRawBufferPointer) -> SHA256Digest {
    collect { hp_sha256_leaf(data.baseAddress, data.count, $0) }
  }

  /// RFC 6962, 2.1: the hash of a leaf, `SHA-256(0x00 || data)`.
  public static func leaf(_ data: [UInt8]) -> SHA256Digest { data.withUnsafeBytes { leaf($0) } }

  /// RFC 6962, 2.1: the hash of an inner node, `SHA-256(0x01 || left || right)`.
  public static func node(_ left: SHA256Digest, _ right: SHA256Digest) -> SHA256Digest {
    left.withBytes { l in
      right.withBytes { r in
        collect { out in
          // Both are 32 bytes by construction of SHA256Digest.withBytes.
          if let l = l.bindMemory(to: UInt8.self).baseAddress,
            let r = r.bindMemory(to: UInt8.self).baseAddress
          {
            hp_sha256_node(l, r, out)
          }
        }
      }
    }
  }

  private static func collect(_ fill: (UnsafeMutablePointer<UInt8>) -> Void) -> SHA256Digest {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 32) { out in
      out.initialize(repeating: 0)
      if let base = out.baseAddress { fill(base) }
      return SHA256Digest(loading: UnsafeRawBufferPointer(out))
    }
  }
}

/// Lines that end in a seal over what precedes it, and their digests, computed side by side if the
/// machine can.
struct SealedLines {
  private var all: [hp_sha256_line] = []

  mutating func removeAll() { all.removeAll(keepingCapacity: true) }

  /// - line: must stay at its address until `hash` returns
  /// - body: how many of its bytes precede the seal
  mutating func append(_ line: UnsafeRawBufferPointer, body: Int) {
    var one = hp_sha256_line()
    one.bytes = line.bindMemory(to: UInt8.self).baseAddress
    one.size = line.count
    one.body = body
    all.append(one)
  }

  mutating func hash() { hp_sha256_lines(&all, all.count) }

  /// The digest of the bytes before the seal of line `i`.
  func body(_ i: Int) -> SHA256Digest {
    withUnsafeBytes(of: all[i].body_digest) { SHA256Digest(loading: $0) }
  }

  func whole(_ i: Int) -> SHA256Digest { withUnsafeBytes(of: all[i].digest) { SHA256Digest(loading: $0) } }

  /// The leaf hash of line `i` (RFC 6962, 2.1).
  func leaf(_ i: Int) -> SHA256Digest { withUnsafeBytes(of: all[i].leaf) { SHA256Digest(loading: $0) } }
}

/// Lower-case hexadecimal, the only spelling in our files.
enum Hex {
  static let digits: [UInt8] = Array("0123456789abcdef".utf8)

  static func format(_ bytes: some Sequence<UInt8>) -> String {
    var text: [UInt8] = []
    for byte in bytes {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  static func value(_ digit: UInt8) -> UInt8? {
    switch digit {
    case 0x30...0x39: digit - 0x30
    case 0x61...0x66: digit - 0x61 + 10
    default: nil
    }
  }

  /// Eight digits at once, the first in the lowest byte, as a little-endian load gives them.
  /// - Returns: their 32 bits; nil if one of them isn't a digit.
  static func value(ofEight text: UInt64) -> UInt64? {
    let each: UInt64 = 0x0101_0101_0101_0101
    let low = text & (each &* 0x0F)
    // Bit 6 distinguishes letters from digits; each kind then has one high half and a range of low
    // halves.
    let letters = text >> 6 & each
    let high = each &* 0x30 &+ letters &* 0x30
    let isAbove = (low &+ each &* 6 &+ letters &* 3) & (each &* 0x10)
    let isZero = letters & ~((low &+ each &* 0x0F) >> 4)
    guard text == high | low, isAbove == 0, isZero == 0 else { return nil }
    var value = (low &+ letters &* 9).byteSwapped
    value = (value | value >> 4) & 0x00FF_00FF_00FF_00FF
    value = (value | value >> 8) & 0x0000_FFFF_0000_FFFF
    return (value | value >> 16) & 0xFFFF_FFFF
  }

  /// Nil for an odd count, an upper-case digit or any other byte.
  static func parse(_ text: some Collection<UInt8>) -> [UInt8]? {
    guard text.count % 2 == 0 else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(text.count / 2)
    var high: UInt8?
    for digit in text {
      guard let value = value(digit) else { return nil }
      if let h = high {
        bytes.append(h << 4 | value)
        high = nil
      } else {
        high = value
      }
    }
    return bytes
  }
}
