// Tiles.swift: the log's tree as C2SP's tlog-tiles has it: files of at most 256 hashes, out of which
// everybody computes roots and proofs. Not here: bundles of entries, since a receipt's line names its
// client. Start at TilePath and TiledLog.
// Source: c2sp.org/tlog-tiles.

/// Where a tile stands: `tile/LEVEL/INDEX`, with `.p/WIDTH` after it where it is not full.
///
/// Hash i of a tile of level l is the root of the 256^l leaves from (256 index + i) 256^l on.
package struct TilePath: Hashable, Sendable {
  package static let fullWidth = 256
  /// 256^7 leaves are more than a log can have.
  package static let maximumLevel = 6

  package let level: Int
  package let index: Int
  /// Hashes in it, 1 to 256.
  package let width: Int

  /// nil outside of the bounds of a log.
  package init?(level: Int, index: Int, width: Int) {
    guard (0...Self.maximumLevel).contains(level), (0..<(1 << 46)).contains(index),
      (1...Self.fullWidth).contains(width)
    else { return nil }
    self.level = level
    self.index = index
    self.width = width
  }

  /// - path: in its only spelling
  package init?(parsing path: some StringProtocol) {
    var parts = path.split(separator: "/", omittingEmptySubsequences: false)
    guard (3...8).contains(parts.count), parts[0] == "tile", let level = Decimal64.parse(parts[1])
    else {
      return nil
    }
    var width = Self.fullWidth
    if let place = parts.firstIndex(where: { $0.hasSuffix(".p") }) {
      guard place == parts.count - 2, place > 1, let found = Decimal64.parse(parts[place + 1]),
        (1..<Self.fullWidth).contains(found)
      else { return nil }
      width = found
      parts[place] = parts[place].dropLast(2)
      parts.removeLast()
    }
    // Five groups of digits are more than the largest index has.
    guard parts.count <= 7 else { return nil }
    var index = 0
    for (number, part) in parts[2...].enumerated() {
      let isLast = number == parts.count - 3
      let digits = Array((isLast ? part : part.dropFirst()).utf8)
      guard isLast || part.first == "x", digits.count == 3,
        digits.allSatisfy({ (0x30...0x39).contains($0) })
      else { return nil }
      index = digits.reduce(index) { $0 * 10 + Int($1 - 0x30) }
    }
    self.init(level: level, index: index, width: width)
    guard text == path else { return nil }
  }

  package var text: String {
    var groups: [String] = []
    var rest = index
    repeat {
      let digits = String(rest % 1_000)
      groups.append(String(repeating: "0", count: 3 - digits.count) + digits)
      rest /= 1_000
    } while rest > 0
    let words = groups.reversed().enumerated().map {
      $0.offset < groups.count - 1 ? "x\($0.element)" : $0.element
    }
    return
      "tile/\(level)/\(words.joined(separator: "/"))\(width < Self.fullWidth ? ".p/\(width)" : "")"
  }

  /// The tile of that level and index in a log of that size, as wide as it then is; nil where there is
  /// none.
  package init?(level: Int, index: Int, ofLog size: Int) {
    guard (0...Self.maximumLevel).contains(level), index >= 0, index <= (size >> (8 * level)) >> 8
    else {
      return nil
    }
    self.init(
      level: level, index: index,
      width: min(Self.fullWidth, (size >> (8 * level)) - index * Self.fullWidth))
  }

  /// All tiles of a log of that size, the smallest levels first.
  package static func all(ofLog size: Int) -> some Sequence<TilePath> {
    (0...maximumLevel).lazy.flatMap { level in
      let hashes = size >> (8 * level)
      return (0..<(hashes + fullWidth - 1) / fullWidth).lazy.compactMap {
        TilePath(level: level, index: $0, ofLog: size)
      }
    }
  }
}

extension MerkleTree {
  /// The hashes of a tile, 32 bytes each; nil if the log is too short for it.
  package func tile(_ path: TilePath) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(path.width * 32)
    for i in 0..<path.width {
      guard let hash = subtree(height: 8 * path.level, index: path.index * TilePath.fullWidth + i)
      else {
        return nil
      }
      bytes += hash.bytes
    }
    return bytes
  }
}

/// A tile that is missing or is not what the log's root says, in words.
package struct TileProblem: Error, Hashable, Sendable, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }
}

/// Somebody's log, read by its tiles. Nothing in a tile is believed that does not lead to the root, so
/// whoever serves the tiles can only refuse.
package struct TiledLog {
  package let size: Int
  package let root: SHA256Digest
  private let fetch: (TilePath) throws -> [UInt8]
  /// Those that lead to the root.
  private var proved: [TilePath: [SHA256Digest]] = [:]

  /// Reads the tiles at the right edge, which have to give the root.
  package init(
    size: Int, root: SHA256Digest, fetch: @escaping (TilePath) throws -> [UInt8]
  ) throws(TileProblem) {
    self.size = size
    self.root = root
    self.fetch = fetch
    for level in 0...TilePath.maximumLevel {
      let hashes = size >> (8 * level)
      guard hashes % TilePath.fullWidth > 0,
        let path = TilePath(level: level, index: hashes / TilePath.fullWidth, ofLog: size)
      else { continue }
      proved[path] = try read(path)
    }
    guard try self.root(at: size) == root else {
      throw TileProblem("the tiles of the log of \(receiptCount(size)) do not give its root")
    }
  }

  /// The root of the first `size` leaves.
  package mutating func root(at size: Int) throws(TileProblem) -> SHA256Digest {
    guard size >= 0, size <= self.size else {
      throw TileProblem("the log has \(receiptCount(self.size)), not \(size)")
    }
    var result: SHA256Digest?
    for height in 0..<56 where size >> height & 1 == 1 {
      let hash = try subtree(height: height, index: (size >> height) - 1)
      result = result.map { SHA256.node(hash, $0) } ?? hash
    }
    return result ?? SHA256.hash([])
  }

  /// The hash of a leaf.
  package mutating func leaf(at index: Int) throws(TileProblem) -> SHA256Digest {
    guard index >= 0, index < size else {
      throw TileProblem("the log has \(receiptCount(size)), not \(index + 1)")
    }
    return try subtree(height: 0, index: index)
  }

  /// The hash over leaves `index << height` to `(index + 1) << height`.
  private mutating func subtree(height: Int, index: Int) throws(TileProblem) -> SHA256Digest {
    let (level, inside) = (height / 8, height % 8)
    let first = index << inside
    let hashes = try tile(level, first / TilePath.fullWidth)
    let place = first % TilePath.fullWidth
    guard place + 1 << inside <= hashes.count else {
      throw TileProblem("a tile of level \(level) is too short")
    }
    return Self.top(hashes[place..<(place + 1 << inside)])
  }

  /// A tile that leads to the root.
  private mutating func tile(_ level: Int, _ index: Int) throws(TileProblem) -> [SHA256Digest] {
    guard let path = TilePath(level: level, index: index, ofLog: size) else {
      throw TileProblem("the log has no tile \(index) of level \(level)")
    }
    if let known = proved[path] { return known }
    let hashes = try read(path)
    // Those at the edge were read at first; this one is full, so a tile above has its root.
    let above = try tile(level + 1, index / TilePath.fullWidth)
    let place = index % TilePath.fullWidth
    guard above.indices.contains(place), Self.top(hashes[...]) == above[place] else {
      throw TileProblem("'\(path.text)' does not lead to the log's root")
    }
    // The newest log that a visitor follows takes a few tiles; no more are kept.
    if proved.count < 4_096 { proved[path] = hashes }
    return hashes
  }

  private func read(_ path: TilePath) throws(TileProblem) -> [SHA256Digest] {
    let bytes: [UInt8]
    do { bytes = try fetch(path) } catch { throw TileProblem("'\(path.text)': \(error)") }
    guard bytes.count == 32 * path.width else {
      throw TileProblem("'\(path.text)' has \(bytes.count) bytes, wanted \(32 * path.width)")
    }
    return (0..<path.width).compactMap { SHA256Digest(bytes: Array(bytes[32 * $0..<32 * $0 + 32])) }
  }

  /// The hash over a power of two of them.
  private static func top(_ hashes: ArraySlice<SHA256Digest>) -> SHA256Digest {
    var row = Array(hashes)
    while row.count > 1 {
      row = stride(from: 0, to: row.count - 1, by: 2).map { SHA256.node(row[$0], row[$0 + 1]) }
    }
    return row.first ?? SHA256.hash([])
  }
}
