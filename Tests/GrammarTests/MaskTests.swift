// MaskTests.swift: token masks against brute force: a token is allowed exactly if its bytes go on to
// a text that the constraint can complete, and every place that is reached can be completed.

import Dice
import Grammar
import JSON
import TestSettings
import Testing

@Suite struct MaskTests {
  /// Sources of every kind, ambiguous and recursive ones among them.
  static let sources: [ConstraintSource] =
    [
      .jsonObject,
      .choice(["yes", "no", "yesterday", "日本", ""]),
      .regex("(a|ab)(c|bcd)*[^x-z]?"),
      .regex("a{2,5}b?|(日本)+"),
      .gbnf("root ::= \"(\" root* \")\""),
      .gbnf("root ::= e\ne ::= t (\"+\" t | \"a\" t)*\nt ::= \"a\" | \"a\" t | \"(\" e \")\""),
      .gbnf("root ::= \"a\"* \"a\" \"a\"*"),
      .gbnf("root ::= x? y? \"!\"\nx ::= \"a\"*\ny ::= \"ab\"? z\nz ::= \"b\"*"),
    ]
    + [
      #"{"type":"object","properties":{"name":{"type":"string"},"value":{"type":"number"}},"required":["name"]}"#,
      #"{"type":"object","properties":{"kind":{"const":"the"},"aa":{"type":"string","maxLength":4}},"additionalProperties":{"type":"integer"}}"#,
      #"{"type":"array","items":{"type":"array","items":{"enum":["a","aa",12,null]},"minItems":1,"maxItems":3},"maxItems":2}"#,
      #"{"anyOf":[{"type":"object","properties":{"aa":{"type":"integer"}},"required":["aa"],"additionalProperties":false},{"type":"object","properties":{"aa":{"type":"string","minLength":2}},"required":["aa"],"additionalProperties":false}]}"#,
      ##"{"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"v":{"type":"integer","minimum":-3,"maximum":120},"n":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["v","n"]}}}"##,
      #"{"type":"array","prefixItems":[{"type":"boolean"},{"type":"string","pattern":"^a+b?$","maxLength":3}],"items":{"type":"null"},"minItems":1,"maxItems":4}"#,
    ].map { text in (try? schema(text)).map(ConstraintSource.jsonSchema) ?? .choice([]) }

  @Test(arguments: sources.indices)
  func masksAreWhatEachTokenAloneSays(index: Int) throws {
    var dice = SeededGenerator(seed: UInt64(index))
    let constraint = try Constraint(Self.sources[index])
    // The whole small vocabulary, and random ones of short tokens.
    for round in 0..<6 {
      let vocabulary =
        round == 0
        ? smallVocabulary
        : smallVocabulary.filter { _ in Bool.random(using: &dice) }
          + (0..<40).map { _ in
            Array(
              (smallVocabulary.randomElement(using: &dice) ?? nil) ?? [])
              + Array(
                (smallVocabulary.randomElement(using: &dice) ?? nil) ?? [])
          }
      let masks = ConstraintMasks(constraint, TokenTrie(vocabulary), mostBytes: round == 1 ? 0 : 1 << 20)
      for _ in 0..<4 {
        var state = ConstraintState(constraint)
        for _ in 0..<24 {
          var mask = TokenMask(size: vocabulary.count)
          state.allowed(masks, into: &mask)
          var allowed: [Int] = []
          for (id, token) in vocabulary.enumerated() {
            var next = state
            let isPossible = token.map { !$0.isEmpty && next.advance($0) } ?? false
            if isPossible != mask.contains(id) {
              Issue.record(
                "source \(index), round \(round): token \(token.map { String(decoding: $0, as: UTF8.self).debugDescription } ?? "nil") is \(isPossible ? "" : "not ")possible"
              )
              return
            }
            if isPossible { allowed.append(id) }
          }
          #expect(mask.count == allowed.count)
          // A vocabulary without all bytes may come to a place that it cannot leave.
          if round == 0 { #expect(!allowed.isEmpty || state.isComplete) }
          guard let id = allowed.randomElement(using: &dice), let token = vocabulary[id] else { break }
          #expect(moves(&state, token))
        }
      }
    }
  }

  @Test(arguments: sources.indices)
  func whateverIsBegunCanBeCompleted(index: Int) throws {
    let constraint = try Constraint(Self.sources[index])
    var dice = SeededGenerator(seed: UInt64(100 + index))
    for _ in 0..<20 {
      var state = ConstraintState(constraint)
      var text: [UInt8] = []
      for _ in 0..<Int.random(in: 0...30, using: &dice) {
        let next = (UInt8.min...UInt8.max).filter { byte in
          var trial = state
          return trial.advance([byte])
        }
        guard let byte = next.randomElement(using: &dice) else { break }
        state.advance([byte])
        text.append(byte)
      }
      // What closes something first, then what a value may be, then anything.
      var more = 0
      while !state.isComplete, more < 2_000 {
        let next = Self.closing.first { byte in
          var trial = state
          return trial.advance([byte])
        }
        guard let next, moves(&state, [next]) else { break }
        more += 1
      }
      let isComplete = state.isComplete
      #expect(isComplete, "source \(index): \(String(decoding: text, as: UTF8.self))")
    }
  }

  private static let closing = Array("\"}])!:0nula".utf8) + (UInt8.min...UInt8.max)

  @Test func forcedBytesAreTheOnlyOnes() throws {
    let constraint = try Constraint(
      .jsonSchema(
        try schema(
          #"{"type":"object","properties":{"first":{"const":"x"}},"required":["first"],"additionalProperties":false}"#
        )))
    var state = ConstraintState(constraint)
    #expect(String(decoding: state.forced(), as: UTF8.self) == "{")
    // After the brace there may be white space.
    #expect(moves(&state, "{\"".utf8))
    #expect(String(decoding: state.forced(), as: UTF8.self) == "first\":")
    #expect(moves(&state, "first\":\"".utf8))
    #expect(String(decoding: state.forced(), as: UTF8.self) == "x\"")
    #expect(moves(&state, "x\"}".utf8))
    #expect(state.isComplete)
    #expect(state.forced().isEmpty)
    #expect(!moves(&state, " ".utf8))
    #expect(!state.isAlive)
  }

  @Test func aLargeVocabularyCostsOneWalkForAPlace() throws {
    // All strings of up to three letters: 18,278 tokens, and what JSON needs.
    var vocabulary: [[UInt8]?] = (0..<256).map { [UInt8($0)] }
    for a in UInt8(97)...122 {
      for b in UInt8(97)...122 {
        vocabulary.append([a, b])
        for c in UInt8(97)...122 { vocabulary.append([a, b, c]) }
      }
    }
    let constraint = try Constraint(.jsonObject)
    let masks = ConstraintMasks(constraint, TokenTrie(vocabulary))
    var state = ConstraintState(constraint)
    #expect(moves(&state, "{\"k\": \"".utf8))
    var mask = TokenMask(size: vocabulary.count)
    state.allowed(masks, into: &mask)
    // All but the bytes that cannot begin a character, and control characters.
    #expect(mask.count == vocabulary.count - 32 - 64 - 2 - 11)
    #expect(masks.known(allowedIn: state) == mask, "what was walked is known")
    // Deeper in the text the same place is found again.
    #expect(moves(&state, "abc\", \"z\": {\"q\": [\"".utf8))
    var again = TokenMask(size: vocabulary.count)
    state.allowed(masks, into: &again)
    #expect(again == mask)
  }

  @Test func aWalkThatIsGivenUpLeavesNothingBehind() throws {
    let constraint = try Constraint(.regex("[a-z]{2,40}"))
    let masks = ConstraintMasks(
      constraint, TokenTrie((0..<4_000).map { index in (0..<3).map { UInt8(97 + (index >> (4 * $0)) % 16) } })
    )
    let state = ConstraintState(constraint)
    #expect(masks.known(allowedIn: state) == nil)
    var mask = TokenMask(size: 4_000)
    #expect(!masks.add(allowedIn: state, to: &mask, isWanted: { false }))
    #expect(masks.known(allowedIn: state) == nil)
    mask.removeAll()
    #expect(masks.add(allowedIn: state, to: &mask))
    #expect(mask.count == 4_000 && masks.known(allowedIn: state) == mask)
  }
}
