// Clients.swift: clients as a screen shows them, and what it may ask about them. The list of
// `hotpot clients` is ClientRow's. Start at ClientStanding and ClientAct.

/// One client now: who it is, what it does, what it may do.
package struct ClientStanding: Codable, Sendable, Equatable, Identifiable {
  package let name: String
  /// The node made its token, or took it over.
  package let isKnown: Bool
  package let isRevoked: Bool
  package let running: Int
  /// Queued, held, or waiting for the operator.
  package let waiting: Int
  /// Tokens a second of its running jobs.
  package let rate: Double
  /// Prompts and answers of the local day; nil for a stranger, who has no limits of its own.
  package let tokensToday: Int?
  package let today: MicroUnits
  package let owed: MicroUnits
  package let jobs: Int
  package let budget: MicroUnits?
  package let budgetLeft: MicroUnits?
  /// nil: all models.
  package let models: [String]?
  package let tokensPerJob: Int?
  package let jobsAtOnce: Int?
  package let tokensPerDay: Int?
  /// The highest priority that it may ask for; nil from a node of an earlier release.
  package let priority: Int?
  /// What the node asks of it for a million completion tokens now; nil if its jobs are free.
  package let asked: MicroUnits?
  /// When its last request came to a decision; nil if none has since the node's start.
  package let lastSeen: Microseconds?

  package var id: String { name }

  package init(
    name: String, isKnown: Bool, isRevoked: Bool, running: Int, waiting: Int, rate: Double, tokensToday: Int?,
    today: MicroUnits, owed: MicroUnits, jobs: Int, budget: MicroUnits?, budgetLeft: MicroUnits?,
    models: [String]?, tokensPerJob: Int?, jobsAtOnce: Int?, tokensPerDay: Int?, priority: Int? = nil,
    asked: MicroUnits?,
    lastSeen: Microseconds?
  ) {
    (self.name, self.isKnown, self.isRevoked) = (name, isKnown, isRevoked)
    (self.running, self.waiting, self.rate, self.tokensToday) = (running, waiting, rate, tokensToday)
    (self.today, self.owed, self.jobs) = (today, owed, jobs)
    (self.budget, self.budgetLeft) = (budget, budgetLeft)
    (self.models, self.tokensPerJob, self.jobsAtOnce) = (models, tokensPerJob, jobsAtOnce)
    self.priority = priority
    (self.tokensPerDay, self.asked, self.lastSeen) = (tokensPerDay, asked, lastSeen)
  }
}

/// What an owner asks about a client from a screen.
package enum ClientAct: Codable, Sendable, Equatable {
  /// Answered by `NodeMessage.token` too.
  case add(name: String)
  /// A stranger becomes a client of this name, and keeps the token that it made itself.
  case adopt(stranger: String, name: String)
  case revoke(name: String)
  case limit(name: String, LimitChanges)
  case settle(name: String, amount: String, reference: String)
  /// A payment before it owes.
  case deposit(name: String, amount: String, reference: String)
  /// What a million completion tokens cost it from now on: a rule at the head of `prices`.
  case price(name: String, completion: String)
  /// From now on its jobs are admitted without asking: a rule at the head of `policy`.
  case admitAlways(name: String)
  /// From now on its jobs are rejected with this reason: a rule at the head of `policy`.
  case rejectAlways(name: String, reason: String)
}
