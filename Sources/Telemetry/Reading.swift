// Reading.swift: a measured value, or why there is none. Each source makes its own readings. Start
// at Reading.

/// One measured value with its status. A missing value is never shown as 0.
///
/// JSON: `{"value":1.5}`, `{"value":1.5,"staleSince":T}`, `{"warmingUp":true}`,
/// `{"unavailable":"reason"}`, where T is in microseconds since 1970; a coder that converts keys
/// writes them in snake case.
package enum Reading<Value: Codable & Sendable & Equatable>: Sendable, Equatable {
  case value(Value)
  /// The last value, which could not be renewed since the given time (microseconds since 1970).
  case stale(Value, since: Int64)
  /// The source exists but needs another sample (a rate needs two).
  case warmingUp
  /// Why there is no value, in words an operator can act on.
  case unavailable(String)

  /// The value if it is current.
  package var current: Value? {
    if case .value(let value) = self { value } else { nil }
  }

  /// The value, current or stale.
  package var latest: Value? {
    switch self {
    case .value(let value), .stale(let value, _): value
    case .warmingUp, .unavailable: nil
    }
  }

  /// The same status around a converted value.
  package func map<Other>(_ transform: (Value) -> Other) -> Reading<Other> {
    switch self {
    case .value(let value): .value(transform(value))
    case .stale(let value, let since): .stale(transform(value), since: since)
    case .warmingUp: .warmingUp
    case .unavailable(let reason): .unavailable(reason)
    }
  }
}

extension Reading: Codable {
  private enum CodingKeys: String, CodingKey {
    case value, staleSince, warmingUp, unavailable
  }

  package init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    if let reason = try container.decodeIfPresent(String.self, forKey: .unavailable) {
      self = .unavailable(reason)
    } else if try container.decodeIfPresent(Bool.self, forKey: .warmingUp) == true {
      self = .warmingUp
    } else {
      let value = try container.decode(Value.self, forKey: .value)
      if let since = try container.decodeIfPresent(Int64.self, forKey: .staleSince) {
        self = .stale(value, since: since)
      } else {
        self = .value(value)
      }
    }
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    switch self {
    case .value(let value): try container.encode(value, forKey: .value)
    case .stale(let value, let since):
      try container.encode(value, forKey: .value)
      try container.encode(since, forKey: .staleSince)
    case .warmingUp: try container.encode(true, forKey: .warmingUp)
    case .unavailable(let reason): try container.encode(reason, forKey: .unavailable)
    }
  }
}
