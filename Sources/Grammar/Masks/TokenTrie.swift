// TokenTrie.swift: a vocabulary's tokens as bytes, in a tree that shares beginnings. One serves all
// constraints of a model. Start at TokenTrie.init.

/// The tree of a vocabulary, its nodes in the order of a walk that visits children after parents.
package struct TokenTrie: Sendable {
  /// The byte that leads to each node. The root's has no meaning.
  let bytes: [UInt8]
  let depths: [UInt16]
  /// For each node the first one that is not below it.
  let ends: [Int32]
  /// `tokens[firstToken[n]..<firstToken[n + 1]]` are the ids that end at node n.
  let firstToken: [Int32]
  let tokens: [Int32]
  /// Bytes of the longest token.
  let longest: Int
  /// Ids are below this.
  package let vocabularySize: Int

  /// The tokens in the order of their ids. An empty one, and nil for one that is no text (the end of
  /// a text, markers of templates), is never allowed. At most 65,535 bytes of a token count.
  package init(_ vocabulary: [[UInt8]?]) {
    let order = vocabulary.indices.filter { id in
      (1...Int(UInt16.max)).contains(vocabulary[id]?.count ?? 0)
    }.sorted { one, other in
      guard let left = vocabulary[one], let right = vocabulary[other], left != right else {
        return one < other
      }
      return left.lexicographicallyPrecedes(right)
    }
    var bytes: [UInt8] = [0]
    var depths: [UInt16] = [0]
    var ends: [Int32] = [0]
    var firstToken: [Int32] = [0]
    var tokens: [Int32] = []
    // The nodes from the root to the last token, and its bytes.
    var path: [Int] = [0]
    var last: [UInt8] = []
    var longest = 0
    for id in order {
      guard let token = vocabulary[id] else { continue }
      longest = max(longest, token.count)
      var shared = 0
      while shared < last.count, shared < token.count, last[shared] == token[shared] { shared += 1 }
      for node in path[(shared + 1)...] { ends[node] = Int32(bytes.count) }
      path.removeSubrange((shared + 1)...)
      for depth in shared..<token.count {
        path.append(bytes.count)
        bytes.append(token[depth])
        depths.append(UInt16(depth + 1))
        ends.append(0)
        firstToken.append(Int32(tokens.count))
      }
      tokens.append(Int32(id))
      last = token
    }
    for node in path { ends[node] = Int32(bytes.count) }
    firstToken.append(Int32(tokens.count))
    self.bytes = bytes
    self.depths = depths
    self.ends = ends
    self.firstToken = firstToken
    self.tokens = tokens
    self.longest = longest
    vocabularySize = vocabulary.count
  }
}

/// A set of token ids.
package struct TokenMask: Sendable, Equatable {
  /// Bit i of word w is the id 64 w + i.
  package private(set) var words: [UInt64]

  /// The empty set over ids below `size`.
  package init(size: Int) { words = Array(repeating: 0, count: (size + 63) / 64) }

  package func contains(_ id: Int) -> Bool {
    words.indices.contains(id >> 6) && words[id >> 6] >> UInt64(id & 63) & 1 == 1
  }

  package mutating func insert(_ id: Int) {
    guard words.indices.contains(id >> 6) else { return }
    words[id >> 6] |= 1 << UInt64(id & 63)
  }

  /// Adds all of a set over the same ids.
  package mutating func formUnion(_ other: TokenMask) {
    for index in words.indices where index < other.words.count { words[index] |= other.words[index] }
  }

  package mutating func removeAll() {
    for index in words.indices { words[index] = 0 }
  }

  package var isEmpty: Bool { words.allSatisfy { $0 == 0 } }
  package var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }
}
