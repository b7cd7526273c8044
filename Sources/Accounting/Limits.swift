// Limits.swift: what one client may request and spend. It is a value. Start at
// ClientLimits.refusal.

/// Limits of one client; nil means no limit.
package struct ClientLimits: Sendable, Equatable {
  package var models: [String]?
  package var tokensPerJob: Int?
  package var jobsAtOnce: Int?
  package var tokensPerDay: Int?
  /// The highest priority that it may ask for, 0 to 9; nil means what all clients may.
  package var priority: Int?
  /// The most the client may spend, counted from what had been posted when the limit was set.
  package var budget: Amount?
  package var budgetBase = Amount.zero

  package init() {}

  /// A client's current activity.
  package struct Standing: Sendable {
    package let account: Account
    package let jobsNow: Int
    package let tokensToday: Int

    package init(account: Account, jobsNow: Int, tokensToday: Int) {
      self.account = account
      self.jobsNow = jobsNow
      self.tokensToday = tokensToday
    }
  }

  /// Why a job is refused; nil if it keeps every limit.
  package enum Refusal: Error, Sendable, Equatable, CustomStringConvertible {
    case model(String, allowed: [String])
    case tokensPerJob(asked: Int, limit: Int)
    case jobsAtOnce(limit: Int)
    case tokensPerDay(used: Int, asked: Int, limit: Int)
    case budget(left: Amount, wanted: Amount)

    package var description: String {
      switch self {
      case .model(let model, let allowed):
        "model '\(model)' is not among this client's models: \(allowed.joined(separator: ", "))"
      case .tokensPerJob(let asked, let limit):
        "the job may use \(asked) token\(asked == 1 ? "" : "s"), this client's limit is \(limit) a job"
      case .jobsAtOnce(let limit):
        "this client runs \(limit) job\(limit == 1 ? "" : "s") already, which is its limit"
      case .tokensPerDay(let used, let asked, let limit):
        "this client used \(used) token\(used == 1 ? "" : "s") today, the job may use \(asked), the limit is \(limit) a day"
      case .budget(let left, let wanted): "the job may cost \(wanted), the budget has \(left) left"
      }
    }

    /// Whether the reason may pass: the client may try again.
    package var isTemporary: Bool {
      switch self {
      case .jobsAtOnce, .tokensPerDay: true
      case .model, .tokensPerJob, .budget: false
      }
    }
  }

  /// What is left of the budget, with reservations counted as spent; nil without a budget.
  package func left(of account: Account) -> Amount? {
    budget.map {
      Amount(micro: $0.micro - (account.posted.micro - budgetBase.micro) - account.reserved.micro)
    }
  }

  /// - tokens: prompt and completion, at most
  /// - price: the worst case
  package func refusal(model: String, tokens: Int, price: Amount, standing: Standing) -> Refusal? {
    if let models, !models.contains(model) { return .model(model, allowed: models) }
    if let tokensPerJob, tokens > tokensPerJob { return .tokensPerJob(asked: tokens, limit: tokensPerJob) }
    if let jobsAtOnce, standing.jobsNow >= jobsAtOnce { return .jobsAtOnce(limit: jobsAtOnce) }
    if let tokensPerDay, standing.tokensToday > tokensPerDay - tokens {
      return .tokensPerDay(used: standing.tokensToday, asked: tokens, limit: tokensPerDay)
    }
    if let left = left(of: standing.account), price > left { return .budget(left: left, wanted: price) }
    return nil
  }
}
