// Price.swift: what a node charges for tokens, by model, client and hour, and what its electricity
// costs. The debts are in Ledger.swift. Start at PriceList.price(model:client:hour:).

/// Hours of the day, local time, `from` included and `to` excluded; 22 to 6 spans midnight.
package struct Hours: Hashable, Sendable {
  package let from: Int
  package let to: Int

  /// Nil unless both are 0 to 24 and differ.
  package init?(from: Int, to: Int) {
    guard (0...24).contains(from), (0...24).contains(to), from != to else { return nil }
    self.from = from
    self.to = to
  }

  package func contains(_ hour: Int) -> Bool {
    from < to ? (from..<to).contains(hour) : hour >= from || hour < to
  }
}

/// Amounts for a million tokens, and the least a job costs.
package struct Price: Hashable, Sendable {
  package let prompt: Amount
  package let cached: Amount
  package let completion: Amount
  package let minimum: Amount

  package static let free = Price(prompt: .zero, cached: .zero, completion: .zero, minimum: .zero)

  private init(prompt: Amount, cached: Amount, completion: Amount, minimum: Amount) {
    self.prompt = prompt
    self.cached = cached
    self.completion = completion
    self.minimum = minimum
  }

  /// Refuses negative amounts.
  package init(
    promptPerMillion: Amount, cachedPerMillion: Amount, completionPerMillion: Amount, minimum: Amount
  ) throws(AccountingError) {
    for (name, amount) in [
      ("the price of prompt tokens", promptPerMillion), ("the price of cached tokens", cachedPerMillion),
      ("the price of completion tokens", completionPerMillion), ("the minimum of a job", minimum),
    ] where amount < .zero {
      throw .negative(name)
    }
    self.init(
      prompt: promptPerMillion, cached: cachedPerMillion, completion: completionPerMillion, minimum: minimum)
  }

  /// This price for a client who offered an amount per million completion tokens: never more than
  /// this price, and no token costs more than the offered rate. There is no minimum either, because
  /// it would make a short answer cost more than the offer.
  package func under(offer: Amount) -> Price {
    guard offer < completion else { return self }
    return Price(
      prompt: Swift.min(prompt, offer), cached: Swift.min(cached, offer), completion: offer, minimum: .zero)
  }

  /// The price of the usage: the exact sum, rounded up to a whole micro-unit, at least the minimum.
  package func amount(for usage: Usage) throws(AccountingError) -> Amount {
    let exact =
      Int128(usage.prompt - usage.cached) * Int128(prompt.micro)
      + Int128(usage.cached) * Int128(cached.micro) + Int128(usage.completion) * Int128(completion.micro)
    let rounded = (exact + 999_999) / 1_000_000
    guard let micro = Int64(exactly: rounded) else { throw .overflow("the price of \(usage)") }
    return Swift.max(Amount(micro: micro), minimum)
  }
}

/// Prices in the order in which they are tried: the first that matches applies.
package struct PriceList: Sendable, Equatable {
  package struct Rule: Sendable, Equatable {
    /// Nil matches all; a trailing `*` matches any rest.
    package let model: String?
    package let client: String?
    package let hours: Hours?
    package let price: Price

    package init(model: String?, client: String?, hours: Hours?, price: Price) {
      self.model = model
      self.client = client
      self.hours = hours
      self.price = price
    }
  }

  package let rules: [Rule]

  package init(rules: [Rule]) { self.rules = rules }

  /// The price of a job admitted in this hour; nil if no rule matches, and then nothing is charged.
  package func price(model: String, client: String, hour: Int) -> Price? {
    rules.first {
      Self.matches($0.model, model) && Self.matches($0.client, client) && ($0.hours?.contains(hour) ?? true)
    }?.price
  }

  /// Whether a name is the pattern, or begins as one with a trailing `*` does; nil is any name.
  package static func matches(_ pattern: String?, _ name: String) -> Bool {
    guard let pattern else { return true }
    if pattern.hasSuffix("*") { return name.hasPrefix(pattern.dropLast()) }
    return pattern == name
  }
}

/// What a kilowatt-hour costs, by hour.
package struct Tariff: Sendable, Equatable {
  package struct Period: Sendable, Equatable {
    package let hours: Hours
    package let perKilowattHour: Amount

    package init(hours: Hours, perKilowattHour: Amount) {
      self.hours = hours
      self.perKilowattHour = perKilowattHour
    }
  }

  package let perKilowattHour: Amount
  /// Tried in order; outside all of them `perKilowattHour` applies.
  package let periods: [Period]

  package init(perKilowattHour: Amount, periods: [Period] = []) throws(AccountingError) {
    guard perKilowattHour >= .zero, periods.allSatisfy({ $0.perKilowattHour >= .zero }) else {
      throw .negative("the price of a kilowatt-hour")
    }
    self.perKilowattHour = perKilowattHour
    self.periods = periods
  }

  /// The cost of energy used within one hour of the day, to the nearest micro-unit.
  package func cost(of energy: Energy, hour: Int) -> Amount {
    var cost = EnergyCost.zero
    cost.add(energy, perKilowattHour: price(hour: hour))
    return cost.amount
  }

  /// The price of a kilowatt-hour in this hour of the day.
  package func price(hour: Int) -> Amount {
    periods.first { $0.hours.contains(hour) }?.perKilowattHour ?? perKilowattHour
  }
}
