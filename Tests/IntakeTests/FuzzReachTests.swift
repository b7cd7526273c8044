// FuzzReachTests.swift: that the fuzz target `http` reaches both sides of the grammar. The runs themselves are in
// FuzzTests and the command `fuzz`.

import Fuzzing
import Testing

@Suite struct FuzzReachTests {
  @Test func mutatedRequestsReachEveryPartOfTheGrammar() {
    let seed: UInt64 = 20_261_123
    var generator = SeededGenerator(seed: seed)
    var endings: [String: Int] = [:]
    for run in 0..<20_000 {
      let (outcome, wrong) = RequestFuzz.check(RequestFuzz.input(&generator), &generator)
      #expect(wrong == nil, "seed \(seed), run \(run)")
      switch outcome.ending {
      case .clean: endings["clean", default: 0] += 1
      case .partial: endings["partial", default: 0] += 1
      case .closed: endings["closed", default: 0] += 1
      case .refused(let refusal): endings[refusal.code, default: 0] += 1
      }
    }
    print("http fuzz endings: \(endings.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" })")
    #expect(endings.count >= 25)
    #expect(endings["clean", default: 0] > 1000)
  }
}
