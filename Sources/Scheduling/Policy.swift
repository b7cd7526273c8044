// Policy.swift: which jobs are admitted without asking, which are refused, and which wait for the
// operator. It is a list of rules that a person can read; the first match decides. Not here:
// reading it from the configuration (Node). Start at `Policy.decide`.

/// What happens to a submitted job.
public enum Verdict: Hashable, Codable, Sendable {
  case admit
  case reject(reason: String)
  case ask
}

/// A verdict, and the rule it comes from.
public struct Decision: Hashable, Codable, Sendable {
  public let verdict: Verdict
  /// The rule's number, from 1; nil: no rule matched.
  public let rule: Int?
  /// A sentence for the operator.
  public let why: String

  public init(verdict: Verdict, rule: Int?, why: String) {
    self.verdict = verdict
    self.rule = rule
    self.why = why
  }
}

/// Ordered rules. In a configuration they look like this (JSON5; a rule matches if all its
/// conditions match):
/// ```
/// [
///   { client: "me", action: "admit" },
///   { tokensAbove: 8192, action: "reject", reason: "at most 8192 tokens a job" },
///   { client: "unknown", queueAbove: 20, action: "reject", reason: "busy: known clients only" },
///   { client: "lab-*", model: "SmolLM2*", hours: [22, 6], action: "admit" },
///   { priceBelow: 20000, action: "ask" },
///   { client: "known", action: "admit" },
/// ]
/// ```
/// A job that no rule matches waits for the operator.
public struct Policy: Hashable, Sendable {
  public var rules: [Rule]

  public init(rules: [Rule]) { self.rules = rules }

  /// Admits known clients; others wait.
  public static let standard = Policy(rules: [Rule(client: .known, action: .admit)])

  /// The facts that a policy may examine.
  public struct Request: Hashable, Codable, Sendable {
    public var client: ClientID
    /// Whether the operator has given this client a token.
    public var isKnown: Bool
    public var model: String
    public var promptTokens: Int
    public var maxOutputTokens: Int
    /// The price it offers; nil: no offer, which is below every price.
    public var price: Int64?
    /// Jobs that this one would have to wait for (`Scheduler.queue(before:)`).
    public var queued: Int
    /// Hour of the operator's day, 0 to 23.
    public var hour: Int

    public init(
      client: ClientID, isKnown: Bool, model: String, promptTokens: Int, maxOutputTokens: Int, price: Int64?,
      queued: Int, hour: Int
    ) {
      self.client = client
      self.isKnown = isKnown
      self.model = model
      self.promptTokens = promptTokens
      self.maxOutputTokens = maxOutputTokens
      self.price = price
      self.queued = queued
      self.hour = hour
    }

    /// The tokens requested: the prompt and the most that may be generated.
    public var tokens: Int {
      let (sum, overflow) = promptTokens.addingReportingOverflow(maxOutputTokens)
      return overflow ? .max : sum
    }
  }

  public enum ClientPattern: Hashable, Sendable {
    /// Any client that has a token.
    case known
    /// Any client that has none.
    case unknown
    /// By name; `*` stands for any characters, `?` for one.
    case named(String)
  }

  public enum Action: Hashable, Sendable {
    case admit
    /// The reason is shown to the client.
    case reject(reason: String)
    case ask
  }

  /// One rule. A condition that is nil matches anything.
  public struct Rule: Hashable, Sendable {
    public var client: ClientPattern?
    /// `*` stands for any characters, `?` for one.
    public var model: String?
    /// Matches if the job requests more tokens than this.
    public var tokensAbove: Int?
    /// Matches if the offer is lower than this, or there is none.
    public var priceBelow: Int64?
    /// Matches if the job would have to wait for more jobs than this.
    public var queueAbove: Int?
    /// Matches from the first hour up to, not including, the second; across midnight if the second
    /// is smaller.
    public var hours: Hours?
    public var action: Action

    public init(
      client: ClientPattern? = nil, model: String? = nil, tokensAbove: Int? = nil, priceBelow: Int64? = nil,
      queueAbove: Int? = nil, hours: Hours? = nil, action: Action
    ) {
      self.client = client
      self.model = model
      self.tokensAbove = tokensAbove
      self.priceBelow = priceBelow
      self.queueAbove = queueAbove
      self.hours = hours
      self.action = action
    }
  }

  public struct Hours: Hashable, Sendable {
    public var from: Int
    public var to: Int

    public init(from: Int, to: Int) {
      self.from = from
      self.to = to
    }

    func contains(_ hour: Int) -> Bool {
      from <= to ? (from..<to).contains(hour) : hour >= from || hour < to
    }
  }

  /// What the policy says about a job, and why.
  /// - price: formats a price, which is only a number here
  public func decide(_ request: Request, price: (Int64) -> String = { "\($0)" }) -> Decision {
    for (index, rule) in rules.enumerated() {
      guard let reasons = rule.matches(request, price) else { continue }
      let number = index + 1
      let because = reasons.isEmpty ? "it matches every job" : reasons.joined(separator: ", ")
      switch rule.action {
      case .admit:
        return Decision(verdict: .admit, rule: number, why: "admitted by rule \(number): \(because)")
      case .reject(let reason):
        return Decision(
          verdict: .reject(reason: reason), rule: number, why: "rejected by rule \(number): \(because)")
      case .ask: return Decision(verdict: .ask, rule: number, why: "rule \(number) asks you: \(because)")
      }
    }
    return Decision(verdict: .ask, rule: nil, why: "no rule matches, so you are asked")
  }

  /// Whether any rule up to the deciding rule `number` (from 1) has a condition on the price
  /// offered.
  public func looksAtPrices(upTo number: Int?) -> Bool {
    rules.prefix(number ?? rules.count).contains { $0.priceBelow != nil }
  }

  /// The first thing in a rule that cannot be intended.
  public func check() throws(PolicyError) {
    for (index, rule) in rules.enumerated() { try rule.check(number: index + 1) }
  }
}

extension Policy.Rule {
  /// The conditions of the rule that this request meets, in words; nil if one does not match.
  func matches(_ request: Policy.Request, _ words: (Int64) -> String) -> [String]? {
    var reasons: [String] = []
    switch client {
    case nil: break
    case .known:
      guard request.isKnown else { return nil }
      reasons.append("client '\(request.client)' is known")
    case .unknown:
      guard !request.isKnown else { return nil }
      reasons.append("client '\(request.client)' is not known")
    case .named(let pattern):
      guard glob(pattern, matches: request.client.rawValue) else { return nil }
      reasons.append("client '\(request.client)' matches '\(pattern)'")
    }
    if let model {
      guard glob(model, matches: request.model) else { return nil }
      reasons.append("model '\(request.model)' matches '\(model)'")
    }
    if let tokensAbove {
      guard request.tokens > tokensAbove else { return nil }
      reasons.append(
        "\(counted(request.tokens, "token")) asked \(request.tokens == 1 ? "is" : "are") more than \(tokensAbove)"
      )
    }
    if let priceBelow {
      if let price = request.price {
        guard price < priceBelow else { return nil }
        reasons.append("the \(words(price)) offered are less than \(words(priceBelow))")
      } else {
        reasons.append("no price is offered, and \(words(priceBelow)) wanted")
      }
    }
    if let queueAbove {
      guard request.queued > queueAbove else { return nil }
      reasons.append(
        "\(counted(request.queued, "job")) queued \(request.queued == 1 ? "is" : "are") more than \(queueAbove)"
      )
    }
    if let hours {
      guard hours.contains(request.hour) else { return nil }
      reasons.append("the hour is \(request.hour), within \(hours.from) to \(hours.to)")
    }
    return reasons
  }

  func check(number: Int) throws(PolicyError) {
    func fail(_ field: String, _ problem: String) -> PolicyError {
      PolicyError(rule: number, field: field, problem: problem)
    }
    if case .named(let pattern) = client, pattern.isEmpty { throw fail("client", "is empty") }
    if let model, model.isEmpty { throw fail("model", "is empty") }
    if let tokensAbove, tokensAbove < 0 { throw fail("tokensAbove", "is \(tokensAbove), wanted 0 or more") }
    if let priceBelow, priceBelow < 1 { throw fail("priceBelow", "is \(priceBelow), wanted 1 or more") }
    if let queueAbove, queueAbove < 0 { throw fail("queueAbove", "is \(queueAbove), wanted 0 or more") }
    if let hours {
      guard (0...23).contains(hours.from), (0...24).contains(hours.to) else {
        throw fail("hours", "is [\(hours.from), \(hours.to)], wanted two hours of a day, such as [22, 6]")
      }
      if hours.from == hours.to {
        throw fail("hours", "is [\(hours.from), \(hours.to)], which is no time at all")
      }
    }
    if case .reject(let reason) = action, reason.isEmpty {
      throw fail("reason", "is missing: the client is told why it was rejected")
    }
  }
}

/// What is wrong with a policy, and where.
public struct PolicyError: Error, Hashable, Sendable, CustomStringConvertible {
  /// From 1.
  public let rule: Int
  public let field: String
  public let problem: String

  package init(rule: Int, field: String, problem: String) {
    self.rule = rule
    self.field = field
    self.problem = problem
  }

  public var description: String { "policy rule \(rule): '\(field)' \(problem)" }
}

/// Shell-style matching of a whole name, in time |pattern| x |text| at worst.
func glob(_ pattern: String, matches text: String) -> Bool {
  let pattern = Array(pattern.unicodeScalars)
  let text = Array(text.unicodeScalars)
  var p = 0
  var t = 0
  var star: (pattern: Int, text: Int)?
  while t < text.count {
    if p < pattern.count, pattern[p] == "*" {
      star = (p, t)
      p += 1
    } else if p < pattern.count, pattern[p] == "?" || pattern[p] == text[t] {
      p += 1
      t += 1
    } else if let last = star {
      // Let the last star match one more character.
      star = (last.pattern, last.text + 1)
      p = last.pattern + 1
      t = last.text + 1
    } else {
      return false
    }
  }
  return pattern[p...].allSatisfy { $0 == "*" }
}
