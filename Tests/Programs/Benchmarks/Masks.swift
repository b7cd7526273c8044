// Masks.swift: what sampling costs under a schema, over a made-up vocabulary as large as today's models
// have, after the masks of its places are known. Start at Masks.measure.

import Foundation
import Grammar
import Inference
import JSON

struct Masks {
  static let vocabularySize = 248_320

  /// An answer under a constraint, as the node holds it.
  private final class Held: TokenConstraint {
    let masks: ConstraintMasks
    nonisolated(unsafe) var state: ConstraintState

    init(_ masks: ConstraintMasks) {
      self.masks = masks
      state = ConstraintState(masks.constraint)
    }

    func allowed(after output: ArraySlice<Int32>) -> [UInt64]? {
      var mask = TokenMask(size: masks.trie.vocabularySize)
      state.allowed(masks, into: &mask)
      return mask.isEmpty ? nil : mask.words
    }
  }

  private static let schema: JSONValue = [
    "type": "object",
    "properties": [
      "name": ["type": "string"], "kind": ["enum": ["file", "folder", "link"]],
      "size": ["type": "integer"],
      "lines": [
        "type": "array",
        "items": [
          "type": "object", "properties": ["text": ["type": "string"], "number": ["type": "number"]],
          "required": ["text", "number"], "additionalProperties": false,
        ],
      ],
    ],
    "required": ["name", "kind", "size", "lines"], "additionalProperties": false,
  ]

  /// Bytes, words with and without a space before them, digits, and what JSON is made of.
  private static func vocabulary() -> [[UInt8]?] {
    var random = SystemLikeRandom(state: 7)
    var tokens: [[UInt8]?] = (0..<256).map { [UInt8($0)] }
    let pieces = ["{\"", "\":", "\",", "\": \"", "\"}", "},", "[{", "}]", "\", \"", ": "]
    tokens += pieces.map { Array($0.utf8) }
    while tokens.count < vocabularySize {
      let length = 2 + Int(random.next() % 9)
      var token = (0..<length).map { _ in UInt8(97 + random.next() % 26) }
      if random.next() % 2 == 0 { token.insert(0x20, at: 0) }
      if random.next() % 16 == 0 { token.append(UInt8(random.next() % 2 == 0 ? 0x22 : 0x2C)) }
      tokens.append(token)
    }
    return tokens
  }

  /// Prints tokens a second, by the median: of sampling alone, or with the mask.
  /// - constrained: under the schema
  static func measure(constrained: Bool) throws {
    let tokens = vocabulary()
    let trie = TokenTrie(tokens)
    let masks = ConstraintMasks(try Constraint(.jsonSchema(schema)), trie)
    let sampler = Sampler(
      vocabularySize: vocabularySize, level: KernelLevel.available.last ?? .scalar)
    var random = SystemLikeRandom(state: 3)
    let logits = (0..<vocabularySize).map { _ in
      Float(Int32(truncatingIfNeeded: random.next() >> 32)) * 0x1p-29
    }
    var request = SamplingRequest(temperature: 0.8)
    var times: [Double] = []
    // The first round makes the masks.
    for round in 0..<4 {
      let held = Held(masks)
      var row = logits
      for position in 1...200 {
        for index in row.indices { row[index] = logits[(index + position * 977) % vocabularySize] }
        request.seed = UInt64(position)
        let context = SamplingContext(request, promptCount: 1, constraint: constrained ? held : nil)
        let start = ContinuousClock.now
        let chosen = row.withUnsafeMutableBufferPointer { logits -> SampledToken? in
          guard let base = logits.baseAddress else { return nil }
          var context = context
          context.transcript = [0]
          return sampler.choose(from: base, context: context, position: 1)
        }
        if constrained, let chosen { held.state.advance(tokens[Int(chosen.token)] ?? []) }
        let time = (ContinuousClock.now - start).components
        guard chosen != nil else { break }
        if round > 0 { times.append(Double(time.seconds) + Double(time.attoseconds) * 1e-18) }
      }
    }
    times.sort()
    print(times.isEmpty ? 0 : 1 / times[times.count / 2])
  }
}

/// A seed means the same vocabulary everywhere.
struct SystemLikeRandom {
  var state: UInt64

  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state >> 33) ^ state &* 0x9E37_79B9
  }
}
