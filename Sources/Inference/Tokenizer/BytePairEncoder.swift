// BytePairEncoder.swift: byte-pair encoding of one word: start from its bytes, or from its characters,
// and merge the adjacent pair of the lowest rank (the leftmost of equals) until none is left. Splitting text
// into words is in PreTokenizer.swift. Start at encode(_:into:scratch:). Source: Sennrich et al.
// 2016, 3.2; ranks as in GPT-2's encoder.py. Checked against vectors of llama.cpp.

/// The merges of a vocabulary: maps a pair of symbols to its rank and to the symbol it becomes.
///
/// A symbol is a token, or, numbered above the tokens, an intermediate string of some merge that is
/// not a token.
struct MergeTable: Sendable {
  /// 21 bits of each symbol and of the rank share a slot of 64 bits; the top bit marks a used slot.
  static let symbolLimit = 1 << 21
  static let rankLimit = 1 << 21
  static let noRank = UInt32.max

  private var slots: [UInt64]
  private let hash = TableHash()
  private(set) var results: [UInt32]

  init(count: Int) {
    var size = 16
    while size < count + count / 2 { size *= 2 }
    slots = [UInt64](repeating: 0, count: size)
    results = [UInt32](repeating: 0, count: count)
  }

  /// If two merges have the same pair, the first wins.
  mutating func insert(left: Int, right: Int, rank: Int, result: Int) {
    let key = UInt64(left) << 21 | UInt64(right)
    let wanted = 1 << 42 | key
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: hash(key)) & mask
    while slots[slot] != 0 {
      if slots[slot] >> 21 == wanted { return }
      slot = (slot + 1) & mask
    }
    slots[slot] = wanted << 21 | UInt64(rank)
    results[rank] = UInt32(result)
  }

  @inline(__always)
  func rank(_ left: UInt32, _ right: UInt32) -> UInt32 {
    let key = UInt64(left) << 21 | UInt64(right)
    let wanted = 1 << 42 | key
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: hash(key)) & mask
    while true {
      let entry = slots[slot]
      if entry >> 21 == wanted { return UInt32(truncatingIfNeeded: entry & (1 << 21 - 1)) }
      if entry == 0 { return Self.noRank }
      slot = (slot + 1) & mask
    }
  }
}

/// Encodes words with the merges of one vocabulary.
struct BytePairEncoder: Sendable {
  /// Tokens first, intermediate strings after them.
  let table: ByteStringTable
  let tokenCount: Int
  let merges: MergeTable
  /// The symbol of each byte; one that no token has is skipped.
  let byteSymbols: [UInt32]
  /// Where a word begins as its characters, of which those that are no token are their bytes, as in
  /// Gemma 4; elsewhere it begins as its bytes.
  let startsFromCharacters: Bool
  /// A word that is a token as a whole is not merged (`ignore_merges` of Llama 3).
  let wholeWordsFirst: Bool
  /// The data for a lower bound on a word's tokens; nil if the vocabulary lacks tokens of single
  /// bytes, so that text may produce no tokens.
  private let longest: Longest?

  private struct Longest {
    /// Bytes of the longest token.
    var any = 1
    /// Bytes of the longest token of letters only, with or without a space before them.
    var ofLetters = 1
  }

  init(
    table: ByteStringTable, tokenCount: Int, merges: MergeTable, byteSymbols: [UInt32], wholeWordsFirst: Bool,
    startsFromCharacters: Bool
  ) {
    self.table = table
    self.tokenCount = tokenCount
    self.merges = merges
    self.byteSymbols = byteSymbols
    self.wholeWordsFirst = wholeWordsFirst
    self.startsFromCharacters = startsFromCharacters
    guard byteSymbols.allSatisfy({ $0 < tokenCount }) else {
      longest = nil
      return
    }
    var longest = Longest()
    for token in 0..<tokenCount {
      table.withBytes(of: token) { bytes in
        longest.any = max(longest.any, bytes.count)
        if Self.areLetters(bytes) { longest.ofLetters = max(longest.ofLetters, bytes.count) }
      }
    }
    self.longest = longest
  }

  /// Whether these are ASCII letters and bytes of other characters, with or without a space before
  /// them.
  private static func areLetters(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    let rest = bytes.first == 0x20 ? bytes.dropFirst() : bytes[...]
    return rest.allSatisfy { $0 >= 0x80 || (0x41...0x5A).contains($0 & 0xDF) }
  }

  /// A lower bound on the tokens of a word with these bytes.
  func fewestTokens(_ word: UnsafeBufferPointer<UInt8>) -> Int {
    guard let longest, word.count > longest.ofLetters else { return longest == nil ? 0 : 1 }
    let most = Self.areLetters(word) ? longest.ofLetters : longest.any
    return (word.count + most - 1) / most
  }

  /// Scratch memory, reused from word to word.
  struct Scratch {
    var symbols: [UInt32] = []
    var ranks: [UInt32] = []
    var next: [UInt32] = []
    var previous: [UInt32] = []
    var heap = MinimumHeap()
  }

  /// Up to this many symbols, a scan for the best pair is faster than a heap.
  package static let scanLimit = 48

  func encode(_ word: UnsafeBufferPointer<UInt8>, into output: inout [Int32], scratch: inout Scratch) {
    // Runs of newlines are tokens that no merge makes.
    let isWhole = wholeWordsFirst || startsFromCharacters && word.first == 0x0A
    if isWhole, let token = table.find(word) {
      if token < tokenCount {
        output.append(Int32(token))
        return
      }
    }
    if word.count == 1, !startsFromCharacters {
      emit(byteSymbols[Int(word[0])], into: &output)
    } else if word.count <= Self.scanLimit {
      encodeByScanning(word, into: &output, scratch: &scratch)
    } else {
      encodeByHeap(word, into: &output, scratch: &scratch)
    }
  }

  /// What the word is before the first merge.
  private func start(_ word: UnsafeBufferPointer<UInt8>, _ symbols: inout [UInt32]) {
    symbols.removeAll(keepingCapacity: true)
    guard startsFromCharacters else {
      for byte in word { symbols.append(byteSymbols[Int(byte)]) }
      return
    }
    var index = 0
    while index < word.count {
      let first = word[index]
      let end = min(index + (first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4), word.count)
      if let symbol = table.find(UnsafeBufferPointer(rebasing: word[index..<end])) {
        symbols.append(UInt32(symbol))
      } else {
        for byte in word[index..<end] where byteSymbols[Int(byte)] < tokenCount {
          symbols.append(byteSymbols[Int(byte)])
        }
      }
      index = end
    }
  }

  func encodeByScanning(
    _ word: UnsafeBufferPointer<UInt8>, into output: inout [Int32], scratch: inout Scratch
  ) {
    start(word, &scratch.symbols)
    scratch.ranks.removeAll(keepingCapacity: true)
    var count = scratch.symbols.count
    for index in 1..<max(count, 1) {
      scratch.ranks.append(merges.rank(scratch.symbols[index - 1], scratch.symbols[index]))
    }
    scratch.symbols.withUnsafeMutableBufferPointer { symbols in
      scratch.ranks.withUnsafeMutableBufferPointer { ranks in
        while count > 1 {
          var best = 0
          var bestRank = ranks[0]
          for index in 1..<(count - 1) where ranks[index] < bestRank {
            best = index
            bestRank = ranks[index]
          }
          if bestRank == MergeTable.noRank { break }
          symbols[best] = merges.results[Int(bestRank)]
          count -= 1
          for index in (best + 1)..<max(count, best + 1) { symbols[index] = symbols[index + 1] }
          for index in best..<max(count - 1, best) { ranks[index] = ranks[index + 1] }
          if best > 0 { ranks[best - 1] = merges.rank(symbols[best - 1], symbols[best]) }
          if best < count - 1 { ranks[best] = merges.rank(symbols[best], symbols[best + 1]) }
        }
      }
    }
    for index in 0..<count { emit(scratch.symbols[index], into: &output) }
  }

  func encodeByHeap(
    _ word: UnsafeBufferPointer<UInt8>, into output: inout [Int32], scratch: inout Scratch
  ) {
    // Positions are 32-bit; a longer word (no request is allowed 4 GB) is encoded in parts.
    let limit = Int(UInt32.max) - 1
    guard word.count <= limit else {
      encodeByHeap(UnsafeBufferPointer(rebasing: word[..<limit]), into: &output, scratch: &scratch)
      encodeByHeap(UnsafeBufferPointer(rebasing: word[limit...]), into: &output, scratch: &scratch)
      return
    }
    let none = UInt32.max
    start(word, &scratch.symbols)
    let count = scratch.symbols.count
    guard count > 0 else { return }
    scratch.heap.removeAll()
    scratch.next = (0..<count).map { $0 + 1 < count ? UInt32($0 + 1) : none }
    scratch.previous = (0..<count).map { $0 > 0 ? UInt32($0 - 1) : none }
    // The rank of the pair that starts here; a queued pair with another rank is out of date.
    scratch.ranks = [UInt32](repeating: MergeTable.noRank, count: count)
    func look(at left: Int) {
      let right = scratch.next[left]
      let rank =
        right == none ? MergeTable.noRank : merges.rank(scratch.symbols[left], scratch.symbols[Int(right)])
      scratch.ranks[left] = rank
      if rank != MergeTable.noRank {
        scratch.heap.insert(.init(key: UInt64(rank) << 32 | UInt64(left), payload: 0))
      }
    }
    for left in 0..<count { look(at: left) }
    while let item = scratch.heap.removeMinimum() {
      let left = Int(item.key & 0xFFFF_FFFF)
      let rank = UInt32(item.key >> 32)
      guard scratch.ranks[left] == rank else { continue }
      let right = Int(scratch.next[left])
      scratch.symbols[left] = merges.results[Int(rank)]
      scratch.ranks[right] = MergeTable.noRank
      let after = scratch.next[right]
      scratch.next[left] = after
      if after != none { scratch.previous[Int(after)] = UInt32(left) }
      look(at: left)
      let before = scratch.previous[left]
      if before != none { look(at: Int(before)) }
    }
    var index: UInt32 = 0
    while index != none {
      emit(scratch.symbols[Int(index)], into: &output)
      index = scratch.next[Int(index)]
    }
  }

  @inline(__always)
  private func emit(_ symbol: UInt32, into output: inout [Int32]) {
    if Int(symbol) < tokenCount {
      output.append(Int32(symbol))
    } else {
      emitBytes(of: symbol, into: &output)
    }
  }

  /// An intermediate string that no further merge used: emit its bytes one by one.
  private func emitBytes(of symbol: UInt32, into output: inout [Int32]) {
    for byte in table.bytes(of: Int(symbol)) {
      let single = byteSymbols[Int(byte)]
      // A byte without a token is skipped, as in llama.cpp; the tokenizer has warned about such
      // vocabularies.
      if Int(single) < tokenCount { output.append(Int32(single)) }
    }
  }
}
