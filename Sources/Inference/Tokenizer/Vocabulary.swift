// Vocabulary.swift: the bytes, kinds and scores of all tokens in a few flat arrays, and a hash
// table from bytes to token. Not here: splitting text (PreTokenizer.swift) and merging
// (BytePairEncoder.swift, SentencePieceEncoder.swift). Everything is copied, so the file's mapping
// may be released.

import Foundation

/// What a token is for. The raw value is the number in `tokenizer.ggml.token_type`.
enum TokenKind: UInt8, Sendable {
  case normal = 1
  case unknown = 2
  case control = 3
  case userDefined = 4
  case unused = 5
  case byte = 6

  /// True for tokens that stand for something other than text.
  var isSpecial: Bool { self == .control || self == .unknown }
}

/// A hash of bytes and pairs with a random key per process, so that no file can be crafted to
/// collide. The tables' order and layout depend on it, results never do.
struct TableHash: Sendable {
  private let first: UInt64
  private let second: UInt64

  init() {
    var generator = SystemRandomNumberGenerator()
    first = generator.next()
    second = generator.next() | 1
  }

  @inline(__always)
  private func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let product = a.multipliedFullWidth(by: b)
    return product.high ^ product.low
  }

  @inline(__always)
  func callAsFunction(_ key: UInt64) -> UInt64 {
    mix(key ^ first, second)
  }

  @inline(__always)
  func callAsFunction(_ bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
    let raw = UnsafeRawBufferPointer(bytes)
    var state = first ^ UInt64(truncatingIfNeeded: raw.count)
    var offset = 0
    while raw.count - offset > 8 {
      state = mix(state ^ raw.loadUnaligned(fromByteOffset: offset, as: UInt64.self), second)
      offset += 8
    }
    var tail: UInt64 = 0
    while offset < raw.count {
      tail = tail << 8 | UInt64(raw[offset])
      offset += 1
    }
    return mix(mix(state ^ tail, second), first | 1)
  }
}

/// Byte strings, each with an index, and look-up of the index by bytes.
struct ByteStringTable: Sendable {
  private var arena: [UInt8] = []
  /// Where string i starts; one more entry than strings.
  private var offsets: [UInt32] = [0]
  /// A part of the hash (high half) and index + 1 (low half); 0 marks a free slot.
  private var slots: [UInt64]
  private var used = 0
  private let hash = TableHash()

  /// More bytes than this are refused before they are stored: offsets have 32 bits, and no real
  /// vocabulary has a tenth of that.
  static let maximumByteCount = 64 << 20

  init(minimumCapacity: Int, byteCapacity: Int) {
    arena.reserveCapacity(byteCapacity)
    offsets.reserveCapacity(minimumCapacity + 1)
    slots = [UInt64](repeating: 0, count: Self.slotCount(for: minimumCapacity))
  }

  private static func slotCount(for count: Int) -> Int {
    var size = 16
    while size < count + count / 2 { size *= 2 }
    return size
  }

  var count: Int { offsets.count - 1 }
  var byteCount: Int { arena.count }

  /// Stores a string under the next index, not yet findable.
  mutating func append(_ write: (inout [UInt8]) -> Void) {
    write(&arena)
    offsets.append(UInt32(arena.count))
  }

  @inline(__always)
  func range(_ index: Int) -> Range<Int> {
    Int(offsets[index])..<Int(offsets[index + 1])
  }

  func withBytes<R>(of index: Int, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
    let range = range(index)
    return arena.withUnsafeBufferPointer { body(UnsafeBufferPointer(rebasing: $0[range])) }
  }

  func bytes(of index: Int) -> ArraySlice<UInt8> { arena[range(index)] }

  func equals(_ index: Int, _ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    let range = range(index)
    guard range.count == bytes.count else { return false }
    return arena.withUnsafeBytes { stored in
      guard let first = stored.baseAddress, let second = bytes.baseAddress else { return true }
      return memcmp(first + range.lowerBound, second, bytes.count) == 0
    }
  }

  /// The index stored for these bytes.
  func find(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
    let mask = slots.count - 1
    let hashed = hash(bytes)
    var slot = Int(truncatingIfNeeded: hashed) & mask
    let tag = hashed >> 32
    while true {
      let entry = slots[slot]
      if entry == 0 { return nil }
      if entry >> 32 == tag {
        let index = Int(entry & 0xFFFF_FFFF) - 1
        if equals(index, bytes) { return index }
      }
      slot = (slot + 1) & mask
    }
  }

  /// Makes string `index` findable. If the same bytes are already findable, the later index
  /// replaces the earlier one if `replacing`. Empty strings stay hidden.
  mutating func publish(_ index: Int, replacing: Bool) {
    guard !range(index).isEmpty else { return }
    if (used + 1) * 4 > slots.count * 3 { grow() }
    let mask = slots.count - 1
    let hashed = withBytes(of: index) { hash($0) }
    var slot = Int(truncatingIfNeeded: hashed) & mask
    let tag = hashed >> 32
    while slots[slot] != 0 {
      let entry = slots[slot]
      if entry >> 32 == tag {
        let other = Int(entry & 0xFFFF_FFFF) - 1
        if withBytes(of: index, { equals(other, $0) }) {
          if replacing { slots[slot] = tag << 32 | UInt64(index + 1) }
          return
        }
      }
      slot = (slot + 1) & mask
    }
    slots[slot] = tag << 32 | UInt64(index + 1)
    used += 1
  }

  private mutating func grow() {
    let old = slots
    slots = [UInt64](repeating: 0, count: old.count * 2)
    let mask = slots.count - 1
    for entry in old where entry != 0 {
      let index = Int(entry & 0xFFFF_FFFF) - 1
      var slot = Int(truncatingIfNeeded: withBytes(of: index) { hash($0) }) & mask
      while slots[slot] != 0 { slot = (slot + 1) & mask }
      slots[slot] = entry
    }
  }
}
