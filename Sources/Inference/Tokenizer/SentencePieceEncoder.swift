// SentencePieceEncoder.swift: SentencePiece BPE: start from characters and merge the adjacent pair
// that makes the token of the highest score (the leftmost of equals); what is not a token in the
// end is encoded byte by byte. Spaces are plain spaces here; the files write them as U+2581.
// Source: sentencepiece's bpe_model.cc. Checked against vectors of llama.cpp.

struct SentencePieceEncoder: Sendable {
  let table: ByteStringTable
  /// For each token: its score as a number that sorts the best first.
  let order: [UInt32]
  /// The token of each byte, -1 if there is none.
  let byteTokens: [Int32]
  let unknown: Int32?
  let longestToken: Int
  /// Whether spaces occur only at the front of tokens. Then no merge crosses the border between a
  /// character and a following space, and each word can be encoded alone.
  let wordsAreApart: Bool

  /// A lower bound on the tokens of a text with these bytes: no token is longer than the longest
  /// one, or than one character.
  func fewestTokens(_ text: UnsafeBufferPointer<UInt8>) -> Int {
    guard unknown != nil || byteTokens.allSatisfy({ $0 >= 0 }) else { return 0 }
    let most = max(longestToken, 4)
    return (text.count + most - 1) / most
  }

  /// Whether a token has a space after something else.
  static func hasInnerSpace(_ token: UnsafeBufferPointer<UInt8>) -> Bool {
    token.drop { $0 == 0x20 }.contains(0x20)
  }

  struct Scratch {
    var starts: [UInt32] = []
    var lengths: [UInt32] = []
    var next: [UInt32] = []
    var previous: [UInt32] = []
    var heap = MinimumHeap()
  }

  /// Scores as integers: the higher the score, the smaller the number. Not-a-number is lowest.
  static func order(ofScore score: Float) -> UInt32 {
    guard !score.isNaN else { return UInt32.max }
    let bits = (score + 0).bitPattern  // -0 becomes +0
    return bits >> 31 == 1 ? bits : ~(bits | 1 << 31)
  }

  /// Before each word, `goesOn` is called with a lower bound on the word's tokens.
  func encode(
    _ text: UnsafeBufferPointer<UInt8>, into output: inout [Int32], scratch: inout Scratch,
    goesOn: (Int, Int) -> Bool
  ) {
    func encode(_ word: UnsafeBufferPointer<UInt8>) -> Bool {
      guard goesOn(fewestTokens(word), output.count) else { return false }
      encodeWord(word, into: &output, scratch: &scratch)
      return true
    }
    guard wordsAreApart else {
      _ = encode(text)
      return
    }
    var start = 0
    for end in text.indices.dropFirst() where text[end] == 0x20 && text[end - 1] != 0x20 {
      guard encode(UnsafeBufferPointer(rebasing: text[start..<end])) else { return }
      start = end
    }
    _ = encode(UnsafeBufferPointer(rebasing: text[start...]))
  }

  private func encodeWord(
    _ text: UnsafeBufferPointer<UInt8>, into output: inout [Int32], scratch: inout Scratch
  ) {
    // Positions are 32-bit; parts of a longer text (no request is allowed 4 GB) are encoded one by
    // one.
    let limit = Int(UInt32.max) - 1
    guard text.count <= limit else {
      encodeWord(UnsafeBufferPointer(rebasing: text[..<limit]), into: &output, scratch: &scratch)
      encodeWord(UnsafeBufferPointer(rebasing: text[limit...]), into: &output, scratch: &scratch)
      return
    }
    guard !text.isEmpty else { return }
    let none = UInt32.max
    scratch.starts.removeAll(keepingCapacity: true)
    scratch.heap.removeAll()
    for (index, byte) in text.enumerated() where byte & 0xC0 != 0x80 || index == 0 {
      scratch.starts.append(UInt32(index))
    }
    let count = scratch.starts.count
    scratch.lengths.removeAll(keepingCapacity: true)
    scratch.next.removeAll(keepingCapacity: true)
    scratch.previous.removeAll(keepingCapacity: true)
    for index in 0..<count {
      let end = index + 1 < count ? scratch.starts[index + 1] : UInt32(text.count)
      scratch.lengths.append(end - scratch.starts[index])
      scratch.next.append(index + 1 < count ? UInt32(index + 1) : none)
      scratch.previous.append(index > 0 ? UInt32(index - 1) : none)
    }

    func look(at left: Int) {
      let right = scratch.next[left]
      guard right != none else { return }
      let length = Int(scratch.lengths[left]) + Int(scratch.lengths[Int(right)])
      guard length <= longestToken else { return }
      let start = Int(scratch.starts[left])
      guard let token = table.find(UnsafeBufferPointer(rebasing: text[start..<(start + length)])) else {
        return
      }
      scratch.heap.insert(
        .init(key: UInt64(order[token]) << 32 | UInt64(left), payload: UInt32(length)))
    }
    for left in 0..<count { look(at: left) }
    while let item = scratch.heap.removeMinimum() {
      let left = Int(item.key & 0xFFFF_FFFF)
      // A symbol that was merged away has length 0; a pair that has changed since it was queued has
      // another length.
      let right = scratch.next[left]
      guard right != none, scratch.lengths[left] > 0,
        scratch.lengths[left] + scratch.lengths[Int(right)] == item.payload
      else { continue }
      scratch.lengths[left] = item.payload
      scratch.lengths[Int(right)] = 0
      let after = scratch.next[Int(right)]
      scratch.next[left] = after
      if after != none { scratch.previous[Int(after)] = UInt32(left) }
      let before = scratch.previous[left]
      if before != none { look(at: Int(before)) }
      look(at: left)
    }
    var index: UInt32 = 0
    while index != none {
      let start = Int(scratch.starts[Int(index)])
      let end = start + Int(scratch.lengths[Int(index)])
      emit(UnsafeBufferPointer(rebasing: text[start..<end]), into: &output)
      index = scratch.next[Int(index)]
    }
  }

  private func emit(_ symbol: UnsafeBufferPointer<UInt8>, into output: inout [Int32]) {
    if let token = table.find(symbol) {
      output.append(Int32(token))
      return
    }
    if symbol.allSatisfy({ byteTokens[Int($0)] >= 0 }) {
      for byte in symbol { output.append(byteTokens[Int(byte)]) }
    } else if let unknown {
      output.append(unknown)
    }
  }
}
