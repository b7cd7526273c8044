// PolicyCoverageTests.swift: rules that no job reaches: those that are named, and that a named one is never reached.
import Scheduling
import Testing

@Suite struct PolicyCoverageTests {
  typealias Rule = Policy.Rule

  private func words(_ rules: [Rule]) -> [String] {
    Policy(rules: rules).unreachable.map { "\($0.rule) behind \($0.behind)" }
  }

  @Test func `a rule behind a wider one is named`() {
    let all = Rule(action: .admit)
    #expect(words([all, Rule(client: .known, action: .ask)]) == ["2 behind 1"])
    #expect(words([Rule(client: .known, action: .admit), all]) == [])
    #expect(
      words([Rule(client: .known, action: .admit), Rule(client: .named("lab-*"), action: .ask)]) == [
        "2 behind 1"
      ])
    #expect(words([Rule(client: .known, action: .admit), Rule(client: .named("*"), action: .ask)]) == [])
    #expect(
      words([Rule(client: .unknown, action: .ask), Rule(client: .named("unknown-9c*"), action: .admit)])
        == ["2 behind 1"])
    #expect(
      words([Rule(client: .named("lab-*"), action: .admit), Rule(client: .named("lab-7"), action: .ask)])
        == ["2 behind 1"])
    #expect(
      words([Rule(client: .named("lab-7"), action: .admit), Rule(client: .named("lab-*"), action: .ask)])
        == [])
    #expect(
      words([Rule(tokensAbove: 100, action: .ask), Rule(tokensAbove: 50, action: .admit)]) == [])
    #expect(
      words([Rule(tokensAbove: 50, action: .ask), Rule(client: .known, tokensAbove: 100, action: .admit)])
        == ["2 behind 1"])
    #expect(
      words([Rule(priceBelow: 9, action: .ask), Rule(priceBelow: 5, action: .admit)]) == ["2 behind 1"])
    #expect(
      words([
        Rule(hours: .init(from: 20, to: 8), action: .ask),
        Rule(hours: .init(from: 22, to: 6), action: .admit),
        Rule(hours: .init(from: 6, to: 9), action: .admit),
      ]) == ["2 behind 1"])
  }

  @Test func `what is named is never reached, of random policies by random jobs`() {
    var dice = SeededGenerator(state: 20)
    let names = ["known", "unknown", "*", "a*", "ab", "a?", "unknown-1*", "unknown-12", "unknown-*"]
    func maybe<Value>(_ value: Value) -> Value? { Bool.random(using: &dice) ? value : nil }
    func client(_ name: String) -> Policy.ClientPattern {
      name == "known" ? .known : name == "unknown" ? .unknown : .named(name)
    }
    var named = 0
    for _ in 0..<3_000 {
      let rules = (0..<4).map { _ in
        Rule(
          client: maybe(client(names.randomElement(using: &dice) ?? "*")),
          model: maybe(["*", "m*", "m1", "n"].randomElement(using: &dice) ?? "*"),
          tokensAbove: maybe(Int.random(in: 0...3, using: &dice)),
          priceBelow: maybe(Int64.random(in: 1...4, using: &dice)),
          queueAbove: maybe(Int.random(in: 0...2, using: &dice)),
          hours: maybe(
            Policy.Hours(
              from: Int.random(in: 0...11, using: &dice), to: Int.random(in: 12...23, using: &dice))),
          action: .ask)
      }
      let policy = Policy(rules: rules)
      let unreachable = Set(policy.unreachable.map { $0.rule })
      named += unreachable.count
      if unreachable.isEmpty { continue }
      for _ in 0..<200 {
        let isKnown = Bool.random(using: &dice)
        let request = Policy.Request(
          client: ClientID(
            (isKnown ? ["a", "ab", "ax", "b", "unknown"] : ["unknown-1", "unknown-12", "unknown-3"])
              .randomElement(using: &dice) ?? "a"), isKnown: isKnown,
          model: ["m", "m1", "n"].randomElement(using: &dice) ?? "m",
          promptTokens: Int.random(in: 0...3, using: &dice),
          maxOutputTokens: Int.random(in: 0...3, using: &dice),
          price: Bool.random(using: &dice) ? Int64.random(in: 0...5, using: &dice) : nil,
          queued: Int.random(in: 0...4, using: &dice), hour: Int.random(in: 0...23, using: &dice))
        let rule = policy.decide(request).rule
        let isReached = rule.map { unreachable.contains($0) } ?? false
        #expect(!isReached, "\(rules) \(request)")
      }
    }
    #expect(named > 100)
  }
}
