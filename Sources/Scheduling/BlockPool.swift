// BlockPool.swift: KV blocks with reference counts, and the content that free ones still hold.
// Only full blocks are ever shared, so nothing is copied on write. Start at `allocate()`.

/// A KV block's index in the engine's memory, 0 ..< `Limits.blocks`.
public typealias BlockID = Int32

/// A block's content, looked up under the client that made it: no other client's key can equal it.
struct ContentKey: Hashable, Sendable {
  let client: UInt64
  let key: BlockKey
}

/// A block is used (one or more references) or free. A free block whose content is known is
/// *cached*: it can be reused by key, and is evicted only when no blank block is left, the least
/// recently used first.
struct BlockPool: Sendable {
  let count: Int
  private(set) var references: [Int32]
  private(set) var content: [ContentKey?]
  private(set) var byContent: [ContentKey: BlockID] = [:]
  private(set) var blank: [BlockID]
  /// The cached blocks as a ring through the sentinel `count`; its successor is the least recently
  /// used.
  private var next: [BlockID]
  private var previous: [BlockID]
  private(set) var cachedCount = 0
  private(set) var evictions: Int64 = 0

  init(count: Int) {
    self.count = count
    references = Array(repeating: 0, count: count)
    content = Array(repeating: nil, count: count)
    blank = (0..<BlockID(count)).reversed()
    next = Array(repeating: BlockID(count), count: count + 1)
    previous = Array(repeating: BlockID(count), count: count + 1)
  }

  /// Blocks that `allocate()` can hand out.
  var freeCount: Int { blank.count + cachedCount }

  mutating func allocate() -> BlockID? {
    if let block = blank.popLast() {
      references[Int(block)] = 1
      return block
    }
    let block = next[count]
    guard block != BlockID(count) else { return nil }
    unlink(block)
    if let old = content[Int(block)] { byContent[old] = nil }
    content[Int(block)] = nil
    references[Int(block)] = 1
    evictions += 1
    return block
  }

  /// The block that holds this content, used or cached.
  func find(_ key: ContentKey) -> BlockID? { byContent[key] }

  mutating func retain(_ block: BlockID) {
    if references[Int(block)] == 0 { unlink(block) }
    references[Int(block)] += 1
  }

  mutating func release(_ block: BlockID) {
    references[Int(block)] -= 1
    guard references[Int(block)] == 0 else { return }
    if content[Int(block)] == nil { blank.append(block) } else { link(block) }
  }

  /// A sequence's end is less likely to be reused than its beginning, so it is evicted first.
  mutating func release(_ blocks: [BlockID]) {
    for block in blocks.reversed() { release(block) }
  }

  /// Makes a full block's content known. If two blocks have the same content, the first stays the
  /// known one.
  mutating func publish(_ block: BlockID, as key: ContentKey) {
    guard content[Int(block)] == nil, byContent[key] == nil else { return }
    content[Int(block)] = key
    byContent[key] = block
  }

  /// The opposite of `publish`, for a block that is used.
  mutating func forget(_ block: BlockID) {
    if let key = content[Int(block)] { byContent[key] = nil }
    content[Int(block)] = nil
  }

  private mutating func link(_ block: BlockID) {
    let last = previous[count]
    next[Int(last)] = block
    previous[Int(block)] = last
    next[Int(block)] = BlockID(count)
    previous[count] = block
    cachedCount += 1
  }

  private mutating func unlink(_ block: BlockID) {
    let before = previous[Int(block)]
    let after = next[Int(block)]
    next[Int(before)] = after
    previous[Int(after)] = before
    cachedCount -= 1
  }

  /// The cached blocks, the least recently used first.
  var cached: [BlockID] {
    var all: [BlockID] = []
    var block = next[count]
    while block != BlockID(count), all.count <= count {
      all.append(block)
      block = next[Int(block)]
    }
    return all
  }
}
