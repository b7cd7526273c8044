// Policy+Codable.swift: a policy as a list of objects, as `Policy` describes. An error names the
// rule and the field. An unknown field is an error, because a rule with a misspelt condition would
// match every job.

extension Policy: Codable {
  public init(from decoder: any Decoder) throws {
    var list = try decoder.unkeyedContainer()
    rules = []
    while !list.isAtEnd {
      let number = rules.count + 1
      let fields: KeyedDecodingContainer<Field>
      do {
        fields = try list.nestedContainer(keyedBy: Field.self)
      } catch is DecodingError {
        throw PolicyError(
          rule: number, field: "rule",
          problem: "is not an object such as { client: \"known\", action: \"admit\" }")
      }
      rules.append(try Rule(fields, number: number))
    }
  }

  public func encode(to encoder: any Encoder) throws {
    var list = encoder.unkeyedContainer()
    for rule in rules {
      var fields = list.nestedContainer(keyedBy: Field.self)
      try rule.encode(to: &fields)
    }
  }

  struct Field: CodingKey, Hashable {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { return nil }

    static let names = [
      "client", "model", "tokensAbove", "priceBelow", "queueAbove", "hours", "action", "reason",
    ]
  }
}

extension Policy.Rule {
  fileprivate init(_ fields: KeyedDecodingContainer<Policy.Field>, number: Int) throws(PolicyError) {
    for name in fields.allKeys.map(\.stringValue).sorted() where !Policy.Field.names.contains(name) {
      throw PolicyError(
        rule: number, field: name,
        problem: "is not a field; there are \(Policy.Field.names.joined(separator: ", "))")
    }
    func read<T: Decodable>(_ name: String, _ type: T.Type, wanted: String) throws(PolicyError) -> T? {
      do {
        return try fields.decodeIfPresent(type, forKey: Policy.Field(name))
      } catch {
        throw PolicyError(rule: number, field: name, problem: "is not \(wanted)")
      }
    }
    client = try read("client", String.self, wanted: "a name").map {
      switch $0 {
      case "known": .known
      case "unknown": .unknown
      default: .named($0)
      }
    }
    model = try read("model", String.self, wanted: "a name")
    tokensAbove = try read("tokensAbove", Int.self, wanted: "a whole number")
    priceBelow = try read("priceBelow", Int64.self, wanted: "a whole number")
    queueAbove = try read("queueAbove", Int.self, wanted: "a whole number")
    if let pair = try read("hours", [Int].self, wanted: "two hours of a day, such as [22, 6]") {
      guard pair.count == 2 else {
        throw PolicyError(
          rule: number, field: "hours", problem: "has \(pair.count) numbers, wanted two, such as [22, 6]")
      }
      hours = Policy.Hours(from: pair[0], to: pair[1])
    } else {
      hours = nil
    }
    let reason = try read("reason", String.self, wanted: "a text")
    switch try read("action", String.self, wanted: "admit, reject or ask") {
    case "admit": action = .admit
    case "reject": action = .reject(reason: reason ?? "")
    case "ask": action = .ask
    case let other?:
      throw PolicyError(rule: number, field: "action", problem: "is '\(other)', wanted admit, reject or ask")
    case nil:
      throw PolicyError(rule: number, field: "action", problem: "is missing, wanted admit, reject or ask")
    }
    if reason != nil, action == .admit || action == .ask {
      throw PolicyError(rule: number, field: "reason", problem: "is given, but only a rejection has one")
    }
    try check(number: number)
  }

  fileprivate func encode(to fields: inout KeyedEncodingContainer<Policy.Field>) throws {
    switch client {
    case nil: break
    case .known: try fields.encode("known", forKey: Policy.Field("client"))
    case .unknown: try fields.encode("unknown", forKey: Policy.Field("client"))
    case .named(let name): try fields.encode(name, forKey: Policy.Field("client"))
    }
    try fields.encodeIfPresent(model, forKey: Policy.Field("model"))
    try fields.encodeIfPresent(tokensAbove, forKey: Policy.Field("tokensAbove"))
    try fields.encodeIfPresent(priceBelow, forKey: Policy.Field("priceBelow"))
    try fields.encodeIfPresent(queueAbove, forKey: Policy.Field("queueAbove"))
    if let hours { try fields.encode([hours.from, hours.to], forKey: Policy.Field("hours")) }
    switch action {
    case .admit: try fields.encode("admit", forKey: Policy.Field("action"))
    case .ask: try fields.encode("ask", forKey: Policy.Field("action"))
    case .reject(let reason):
      try fields.encode("reject", forKey: Policy.Field("action"))
      try fields.encode(reason, forKey: Policy.Field("reason"))
    }
  }
}
