// PolicyTests.swift: rules as an operator writes them, and what is said about a bad one.

import Foundation
import Scheduling
import Testing

@Suite struct PolicyTests {
  func request(
    _ client: String = "ada", known: Bool = true, model: String = "tiny", prompt: Int = 100,
    output: Int = 100,
    price: Int64? = nil, queued: Int = 0, hour: Int = 12
  ) -> Policy.Request {
    Policy.Request(
      client: ClientID(client), isKnown: known, model: model, promptTokens: prompt, maxOutputTokens: output,
      price: price, queued: queued, hour: hour)
  }

  func parse(_ text: String) throws -> Policy {
    let decoder = JSONDecoder()
    decoder.allowsJSON5 = true
    return try decoder.decode(Policy.self, from: Data(text.utf8))
  }

  /// The example in the documentation of `Policy`.
  let example = """
    [
      { client: "me", action: "admit" },
      { tokensAbove: 8192, action: "reject", reason: "at most 8192 tokens a job" },
      { client: "unknown", queueAbove: 20, action: "reject", reason: "busy: known clients only" },
      { client: "lab-*", model: "SmolLM2*", hours: [22, 6], action: "admit" },
      { priceBelow: 20000, action: "ask" },
      { client: "known", action: "admit" },
    ]
    """

  @Test func theFirstRuleThatMatchesDecides() throws {
    let policy = try parse(example)
    func check(_ request: Policy.Request, _ verdict: Verdict, rule: Int?, _ why: String) {
      #expect(policy.decide(request) == Decision(verdict: verdict, rule: rule, why: why))
    }
    check(request("me", output: 9_000), .admit, rule: 1, "admitted by rule 1: client 'me' matches 'me'")
    check(
      request(output: 9_000), .reject(reason: "at most 8192 tokens a job"), rule: 2,
      "rejected by rule 2: 9100 tokens asked are more than 8192")
    check(
      request("x", known: false, queued: 21), .reject(reason: "busy: known clients only"), rule: 3,
      "rejected by rule 3: client 'x' is not known, 21 jobs queued are more than 20")
    check(
      request("lab-7", model: "SmolLM2-135M", hour: 23), .admit, rule: 4,
      "admitted by rule 4: client 'lab-7' matches 'lab-*', model 'SmolLM2-135M' matches 'SmolLM2*', "
        + "the hour is 23, within 22 to 6")
    check(
      request("lab-7", model: "SmolLM2-135M", price: 19_999, hour: 6), .ask, rule: 5,
      "rule 5 asks you: the 19999 offered are less than 20000")
    check(request(), .ask, rule: 5, "rule 5 asks you: no price is offered, and 20000 wanted")
    check(request(price: 20_000), .admit, rule: 6, "admitted by rule 6: client 'ada' is known")
    check(request(known: false, price: 20_000), .ask, rule: nil, "no rule matches, so you are asked")
  }

  @Test func theStandardPolicyAdmitsKnownClientsAndAsksAboutOthers() {
    #expect(Policy.standard.decide(request()).verdict == .admit)
    #expect(Policy.standard.decide(request(known: false)).verdict == .ask)
  }

  @Test func aPolicyReadsBackAsItWasWritten() throws {
    let policy = try parse(example)
    let data = try JSONEncoder().encode(policy)
    #expect(try JSONDecoder().decode(Policy.self, from: data) == policy)
  }

  @Test func hoursMayPassMidnight() throws {
    let night = try parse("[{hours: [22, 6], action: 'admit'}]")
    let day = try parse("[{hours: [6, 22], action: 'admit'}]")
    for hour in 0..<24 {
      let isNight = hour >= 22 || hour < 6
      #expect((night.decide(request(hour: hour)).verdict == .admit) == isNight)
      #expect((day.decide(request(hour: hour)).verdict == .admit) == !isNight)
    }
  }

  @Test func whatIsWrongIsNamedByRuleAndField() {
    func check(_ text: String, _ expected: String) {
      do {
        _ = try parse(text)
        Issue.record("\(text) was accepted")
      } catch {
        #expect("\(error)" == expected)
      }
    }
    check(
      "[{action: 'admit'}, {client: 'x', tokensover: 5, action: 'ask'}]",
      "policy rule 2: 'tokensover' is not a field; there are client, model, tokensAbove, priceBelow, queueAbove, "
        + "hours, action, reason")
    check("[{client: 'x'}]", "policy rule 1: 'action' is missing, wanted admit, reject or ask")
    check("[{action: 'allow'}]", "policy rule 1: 'action' is 'allow', wanted admit, reject or ask")
    check("[{action: 7}]", "policy rule 1: 'action' is not admit, reject or ask")
    check(
      "[{action: 'reject'}]", "policy rule 1: 'reason' is missing: the client is told why it was rejected")
    check(
      "[{action: 'ask', reason: 'why'}]", "policy rule 1: 'reason' is given, but only a rejection has one")
    check("[{tokensAbove: -1, action: 'ask'}]", "policy rule 1: 'tokensAbove' is -1, wanted 0 or more")
    check("[{tokensAbove: 1.5, action: 'ask'}]", "policy rule 1: 'tokensAbove' is not a whole number")
    check("[{priceBelow: 0, action: 'ask'}]", "policy rule 1: 'priceBelow' is 0, wanted 1 or more")
    check(
      "[{hours: [1, 2, 3], action: 'ask'}]",
      "policy rule 1: 'hours' has 3 numbers, wanted two, such as [22, 6]")
    check(
      "[{hours: [22, 25], action: 'ask'}]",
      "policy rule 1: 'hours' is [22, 25], wanted two hours of a day, such as [22, 6]")
    check("[{hours: [5, 5], action: 'ask'}]", "policy rule 1: 'hours' is [5, 5], which is no time at all")
    check("[{client: '', action: 'ask'}]", "policy rule 1: 'client' is empty")
    check(
      "['admit']", "policy rule 1: 'rule' is not an object such as { client: \"known\", action: \"admit\" }")
  }

  @Test func globsMatchWholeNamesAndDoNotBlowUp() throws {
    func matches(_ pattern: String, _ name: String) -> Bool {
      Policy(rules: [Policy.Rule(client: .named(pattern), action: .admit)]).decide(request(name)).verdict
        == .admit
    }
    for (pattern, name, expected) in [
      ("a*c", "abc", true), ("a*c", "ac", true), ("a*c", "abcd", false), ("*", "", true), ("*", "x", true),
      ("?", "", false), ("?b", "ab", true), ("a", "A", false), ("**a**", "bab", true),
      ("a*b*c", "aXbYbZc", true),
      ("lab", "lab-1", false), ("é?", "éz", true),
    ] { #expect(matches(pattern, name) == expected, "\(pattern) \(name)") }
    let stars = String(repeating: "*a", count: 200) + "b"
    #expect(!matches(stars, String(repeating: "a", count: 2_000)))
  }

  @Test func tokensBeyondAllNumbersAreStillAbove() {
    let policy = Policy(rules: [Policy.Rule(tokensAbove: 5, action: .reject(reason: "long"))])
    #expect(policy.decide(request(prompt: .max, output: .max)).verdict == .reject(reason: "long"))
  }
}
