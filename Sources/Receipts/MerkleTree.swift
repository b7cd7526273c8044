// MerkleTree.swift: the Merkle tree of RFC 6962 over receipt lines, with its proofs.
// What a leaf says is in Receipt.swift, who signs the root in Checkpoint.swift. Start at append,
// root(at:), inclusion.
import Dispatch

/// An append-only Merkle tree (RFC 6962, 2.1): leaf `SHA-256(0x00 || line)`, node `SHA-256(0x01 ||
/// left || right)`.
///
/// Every complete subtree's hash is kept, level by level: 64 bytes per leaf. Appending costs two
/// hashes on average, a root or a proof of any earlier size O(log^2 size).
public struct MerkleTree: Sendable {
  /// `levels[k][i]` is the hash of the complete subtree over leaves `i << k` to `(i + 1) << k`.
  private var levels: [[SHA256Digest]] = [[]]

  public init() {}

  public init(leaves: [SHA256Digest]) {
    levels = [leaves]
    while let below = levels.last, below.count >= 2 {
      levels.append(MerkleTree.parents(of: below))
    }
  }

  /// Hashes pairs, on all cores if there are many.
  private static func parents(of below: [SHA256Digest]) -> [SHA256Digest] {
    let count = below.count / 2
    let share = 16_384
    let pieces = (count + share - 1) / share
    return [SHA256Digest](unsafeUninitializedCapacity: count) { above, made in
      // Each piece writes its own elements, and all have ended when concurrentPerform returns.
      nonisolated(unsafe) let above = above
      DispatchQueue.concurrentPerform(iterations: pieces) { piece in
        for i in piece * share..<min(count, (piece + 1) * share) {
          above.initializeElement(at: i, to: SHA256.node(below[2 * i], below[2 * i + 1]))
        }
      }
      made = count
    }
  }

  /// Leaves so far.
  public var size: Int { levels[0].count }

  public var leaves: [SHA256Digest] { levels[0] }

  /// - Returns: the index of the new leaf.
  @discardableResult
  public mutating func append(leaf: SHA256Digest) -> Int {
    let index = size
    levels[0].append(leaf)
    var k = 0
    while levels[k].count % 2 == 0 {
      let n = levels[k].count
      let parent = SHA256.node(levels[k][n - 2], levels[k][n - 1])
      k += 1
      if k == levels.count { levels.append([]) }
      levels[k].append(parent)
    }
    return index
  }

  public mutating func reserveCapacity(_ leaves: Int) {
    levels[0].reserveCapacity(leaves)
  }

  public var root: SHA256Digest { root(at: size) ?? SHA256.hash([]) }

  /// The root of the first `size` leaves; SHA-256 of the empty string for 0; nil if there are fewer
  /// leaves.
  public func root(at size: Int) -> SHA256Digest? {
    guard size >= 0, size <= self.size else { return nil }
    return size == 0 ? SHA256.hash([]) : hash(0, size)
  }

  /// The leaf hash at `index`, or nil.
  public func leaf(at index: Int) -> SHA256Digest? {
    index >= 0 && index < size ? levels[0][index] : nil
  }

  /// The hash of the complete subtree over leaves `index << height` to `(index + 1) << height`; nil if
  /// there are fewer leaves.
  func subtree(height: Int, index: Int) -> SHA256Digest? {
    levels.indices.contains(height) && levels[height].indices.contains(index)
      ? levels[height][index] : nil
  }

  /// The audit path of leaf `index` in the tree of the first `size` leaves, from the leaf's sibling
  /// to the root's child (RFC 6962, 2.1.1); nil unless 0 <= index < size <= self.size.
  public func inclusion(of index: Int, in size: Int) -> [SHA256Digest]? {
    guard index >= 0, index < size, size <= self.size else { return nil }
    var path: [SHA256Digest] = []
    var (lo, hi) = (0, size)
    while hi - lo > 1 {
      let k = MerkleTree.split(hi - lo)
      if index < lo + k {
        path.append(hash(lo + k, hi))
        hi = lo + k
      } else {
        path.append(hash(lo, lo + k))
        lo += k
      }
    }
    return path.reversed()
  }

  /// The proof that the tree of `old` leaves is a prefix of that of `new` (RFC 6962, 2.1.2). Empty
  /// if they are equal or `old` is 0; nil unless 0 <= old <= new <= self.size.
  public func consistency(from old: Int, to new: Int) -> [SHA256Digest]? {
    guard old >= 0, old <= new, new <= size else { return nil }
    guard old > 0, old < new else { return [] }
    var path: [SHA256Digest] = []
    var (lo, hi) = (0, new)
    var isWhole = true
    while hi != old {
      let k = MerkleTree.split(hi - lo)
      if old <= lo + k {
        path.append(hash(lo + k, hi))
        hi = lo + k
      } else {
        path.append(hash(lo, lo + k))
        lo += k
        isWhole = false
      }
    }
    if !isWhole { path.append(hash(lo, hi)) }
    return path.reversed()
  }

  /// The largest power of two below `n`, n > 1.
  static func split(_ n: Int) -> Int { 1 << (Int.bitWidth - 1 - (n - 1).leadingZeroBitCount) }

  /// The hash of leaves `lo` to `hi`, where `lo` is a multiple of the least power of two that is at
  /// least `hi - lo`.
  private func hash(_ lo: Int, _ hi: Int) -> SHA256Digest {
    let n = hi - lo
    if n & (n - 1) == 0 { return levels[n.trailingZeroBitCount][lo >> n.trailingZeroBitCount] }
    let k = MerkleTree.split(n)
    return SHA256.node(hash(lo, lo + k), hash(lo + k, hi))
  }

  // MARK: Checking, for those who hold only a proof (RFC 9162, 2.1.3.2 and 2.1.4.2)

  /// The root that `path` leads to from the leaf; nil when the path has the wrong length for index
  /// and size.
  public static func rootFromInclusion(
    leaf: SHA256Digest, index: Int, size: Int, path: [SHA256Digest]
  ) -> SHA256Digest? {
    guard index >= 0, index < size else { return nil }
    var (fn, sn, r) = (index, size - 1, leaf)
    for p in path {
      guard sn > 0 else { return nil }
      if fn & 1 == 1 || fn == sn {
        r = SHA256.node(p, r)
        while fn & 1 == 0, fn != 0 {
          fn >>= 1
          sn >>= 1
        }
      } else {
        r = SHA256.node(r, p)
      }
      fn >>= 1
      sn >>= 1
    }
    return sn == 0 ? r : nil
  }

  /// Whether `path` proves that the tree (old, oldRoot) is a prefix of (new, newRoot).
  public static func checkConsistency(
    old: Int, oldRoot: SHA256Digest, new: Int, newRoot: SHA256Digest, path: [SHA256Digest]
  ) -> Bool {
    guard old >= 0, old <= new else { return false }
    if old == new { return path.isEmpty && oldRoot == newRoot }
    if old == 0 { return path.isEmpty && oldRoot == SHA256.hash([]) }
    var rest = path[...]
    if old & (old - 1) == 0 { rest = ([oldRoot] + path)[...] }
    guard let first = rest.popFirst() else { return false }
    var (fn, sn) = (old - 1, new - 1)
    while fn & 1 == 1 {
      fn >>= 1
      sn >>= 1
    }
    var (fr, sr) = (first, first)
    for c in rest {
      guard sn > 0 else { return false }
      if fn & 1 == 1 || fn == sn {
        fr = SHA256.node(c, fr)
        sr = SHA256.node(c, sr)
        while fn & 1 == 0, fn != 0 {
          fn >>= 1
          sn >>= 1
        }
      } else {
        sr = SHA256.node(sr, c)
      }
      fn >>= 1
      sn >>= 1
    }
    return sn == 0 && fr == oldRoot && sr == newRoot
  }
}
