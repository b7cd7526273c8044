// NodeState+Clients.swift: clients as screens show them. Start at clientStandings.
import Accounting
import Control
import Scheduling

extension NodeState {
  /// The most that a snapshot shows.
  private static let shownClients = 200
  /// The most whose last request is remembered.
  private static let rememberedClients = 512

  /// A request of this client came to a decision.
  mutating func see(_ identity: Identity, at now: Moment) {
    lastSeen[identity.name] = now.wall
    guard lastSeen.count > Self.rememberedClients else { return }
    // Names of strangers are free to make up, so the oldest of all are forgotten.
    let kept = lastSeen.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(Self.rememberedClients / 2)
    lastSeen = Dictionary(uniqueKeysWithValues: kept.map { ($0.key, $0.value) })
  }

  /// The highest priority that a client may ask for: its own limit, or else that of all known
  /// clients, or of all strangers.
  func mostPriority(of name: String, isKnown: Bool) -> Int {
    isKnown ? clientLimits[name]?.priority ?? configuration.queue.priority : configuration.strangers.priority
  }

  /// - rows: of all jobs
  func clientStandings(_ rows: [JobRow], _ earned: [ClientEarnings], at now: Moment) -> [ClientStanding] {
    var byName: [String: [JobRow]] = [:]
    for row in rows where !row.state.hasEnded && row.origin != .audit && row.origin != .chat {
      byName[row.client, default: []].append(row)
    }
    let earnings = Dictionary(earned.map { ($0.client, $0) }, uniquingKeysWith: { first, _ in first })
    let known = Set(clients.entries.map(\.name))
    let own = ClientDirectory.ownNames
    let strangers = lastSeen.keys.filter { !known.contains($0) && !own.contains($0) }
    let names = (Array(known) + strangers).sorted {
      (lastSeen[$1] ?? 0, $0) < (lastSeen[$0] ?? 0, $1)
    }
    return names.prefix(Self.shownClients).map { name in
      let jobs = byName[name] ?? []
      let account = ledger.account(of: name)
      let limits = clientLimits[name]
      let isKnown = known.contains(name)
      return ClientStanding(
        name: name, isKnown: isKnown, isRevoked: isKnown && !clients.isActive(name),
        running: jobs.count { $0.state == .running }, waiting: jobs.count { $0.state != .running },
        rate: jobs.reduce(0) { $0 + ($1.tokensPerSecond ?? 0) },
        tokensToday: isKnown ? tokensUsed[now.day]?[name] ?? 0 : nil, today: earnings[name]?.today ?? 0,
        owed: account.unsettled.micro, jobs: earnings[name]?.jobs ?? 0, budget: limits?.budget?.micro,
        budgetLeft: limits?.left(of: account)?.micro, models: limits?.models,
        tokensPerJob: limits?.tokensPerJob, jobsAtOnce: limits?.jobsAtOnce,
        tokensPerDay: limits?.tokensPerDay, priority: mostPriority(of: name, isKnown: isKnown),
        asked: facts.flatMap {
          configuration.prices.price(model: $0.model, client: name, hour: now.hour)?.completion.micro
        }, lastSeen: lastSeen[name])
    }
  }
}
