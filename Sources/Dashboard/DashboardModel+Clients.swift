// DashboardModel+Clients.swift: what an owner does about clients: adds, takes over, limits, prices,
// settles, revokes, and decides for good. A command is about the client under the cursor, of the open
// detail, or whose job is under the cursor. What becomes a rule is shown before it is written.
// Start at clientInFocus.
import Control
import Terminal

extension DashboardModel {
  /// The client that a command is about.
  var clientInFocus: String? {
    switch detail {
    case .client(let name): return name
    case .job(let id, let found, _, _): return job(id)?.client ?? found?.row.client
    case .receipt, .log: return nil
    case nil: break
    }
    if focus == .clients { return lists[.clients]?.selected }
    if focus == .history { return past.rows.first { $0.id == lists[.history]?.selected }?.client }
    guard let id = lists[focus]?.selected else { return nil }
    return approval(id)?.client ?? job(id)?.client
  }

  private mutating func withClient(
    _ command: String, _ body: (inout DashboardModel, String) -> [Effect]
  ) -> [Effect] {
    guard let name = clientInFocus else {
      say(":\(command) wants a client under the cursor: clients lists them", isError: true)
      return []
    }
    return body(&self, name)
  }

  private mutating func wants(_ command: String, _ words: String) -> [Effect] {
    say(":\(command) wants \(words)", isError: true)
    return []
  }

  mutating func addClient(_ name: String) -> [Effect] {
    name.isEmpty ? wants("add-client", "a name") : act(.administer(.add(name: name)), saying: nil)
  }

  mutating func adopt(_ name: String) -> [Effect] {
    withClient("adopt") { model, stranger in
      if model.client(stranger)?.isKnown ?? !stranger.hasPrefix("unknown-") {
        model.say("\(stranger) is a client already", isError: true)
        return []
      }
      if name.isEmpty { return model.wants("adopt", "the name that \(stranger) gets") }
      return model.act(.administer(.adopt(stranger: stranger, name: name)), saying: nil)
    }
  }

  /// `jobs=2 budget=5.00 models=a,b tokens-per-job=N tokens-per-day=N
  /// priority=N`; `none` lifts a limit.
  mutating func limitClient(_ text: String) -> [Effect] {
    withClient("limit") { model, name in
      var changes = LimitChanges()
      for word in text.split(separator: " ") {
        let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
        guard parts.count == 2 else { return model.wants("limit", Self.limitWords) }
        switch parts[0] {
        case "models": changes.models = parts[1]
        case "tokens-per-job": changes.tokensPerJob = parts[1]
        case "jobs": changes.jobs = parts[1]
        case "tokens-per-day": changes.tokensPerDay = parts[1]
        case "priority": changes.priority = parts[1]
        case "budget": changes.budget = parts[1]
        default: return model.wants("limit", Self.limitWords)
        }
      }
      if changes == LimitChanges() { return model.wants("limit", Self.limitWords) }
      return model.act(.administer(.limit(name: name, changes)), saying: nil)
    }
  }

  private static let limitWords =
    "jobs=N, budget=X, models=A,B, tokens-per-job=N, tokens-per-day=N or priority=N; none lifts one"

  mutating func priceClient(_ amount: String) -> [Effect] {
    withClient("price") { model, name in
      if amount.isEmpty { return model.wants("price", "an amount for a million completion tokens") }
      return model.ask(
        "write a rule: '\(name)' pays \(amount) a million completion tokens?",
        .administer(.price(name: name, completion: amount)))
    }
  }

  mutating func settleClient(_ text: String) -> [Effect] {
    payment("settle", text) { name, amount, reference in
      (
        "record a payment of \(amount) by '\(name)', reference \(reference)?",
        .settle(name: name, amount: amount, reference: reference)
      )
    }
  }

  /// - path: of the file; empty lets the application choose
  mutating func stateClient(_ path: String) -> [Effect] {
    withClient("statement") { model, name in
      let effects = model.act(.administer(.statement(name: name)), saying: nil)
      if !effects.isEmpty { model.statementPath = path.isEmpty ? nil : path }
      return effects
    }
  }

  mutating func depositOfClient(_ text: String) -> [Effect] {
    payment("deposit", text) { name, amount, reference in
      (
        "record that '\(name)' pays \(amount) ahead, reference \(reference)?",
        .deposit(name: name, amount: amount, reference: reference)
      )
    }
  }

  /// Asks before a payment is written down, of which an amount and a reference were typed.
  private mutating func payment(
    _ word: String, _ text: String,
    _ act: (_ name: String, _ amount: String, _ reference: String) -> (question: String, ClientAct)
  ) -> [Effect] {
    withClient(word) { model, name in
      let parts = text.split(separator: " ", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { return model.wants(word, "an amount and a reference") }
      let (question, act) = act(name, parts[0], parts[1])
      return model.ask(question, .administer(act))
    }
  }

  /// `admit`, or `reject` and a reason.
  mutating func decideAlways(_ text: String) -> [Effect] {
    withClient("always") { model, name in
      let parts = text.split(separator: " ", maxSplits: 1).map(String.init)
      switch parts.first {
      case "admit" where parts.count == 1:
        return model.ask(
          "write a rule: admit '\(name)' always, without asking?", .administer(.admitAlways(name: name)))
      case "reject" where parts.count == 2:
        return model.ask(
          "write a rule: reject '\(name)' always: \(parts[1])?",
          .administer(.rejectAlways(name: name, reason: parts[1])))
      default: return model.wants("always", "admit, or reject and the reason that the client is told")
      }
    }
  }

  mutating func revokeClient() -> [Effect] {
    withClient("revoke") { model, name in
      guard model.client(name)?.isKnown ?? true, model.client(name)?.isRevoked != true else {
        model.say("\(name) has no token that could be revoked: :always reject turns it away", isError: true)
        return []
      }
      let jobs = (model.snapshot?.jobs ?? []).count { $0.client == name && !$0.state.hasEnded }
      return model.ask(
        "revoke '\(name)'?\(jobs > 0 ? " its \(plural(jobs, "job")) end\(jobs == 1 ? "s" : "")" : "")",
        .administer(.revoke(name: name)))
    }
  }

  /// All that wait of the client under the cursor.
  mutating func approveClient() -> [Effect] {
    withClient("approve-client") { model, name in
      let jobs = (model.snapshot?.approvals ?? []).filter { $0.client == name }.map(\.id)
      if jobs.isEmpty {
        model.say("no job of \(name) waits", isError: true)
        return []
      }
      if jobs.count == 1 { return model.act(.approve(jobs: jobs), saying: nil) }
      return model.ask("approve \(plural(jobs.count, "job")) of '\(name)'?", .approve(jobs: jobs))
    }
  }

  /// The offered price is below what the node asks: says what would be taken. The client asks again.
  mutating func counterOffer(_ amount: String) -> [Effect] {
    let found = jobTargets { $0 == .pending }
    if found.ids.isEmpty { return refuse(found, "answered", "waiting") }
    guard !amount.isEmpty, amount.allSatisfy({ $0.isNumber || $0 == "." }) else {
      return wants("counter", "the price for a million completion tokens that would be taken")
    }
    let currency = displaySafe((snapshot?.node.currency ?? "").prefix(8))
    return act(
      .reject(
        jobs: found.ids,
        reason:
          "this node takes \(amount) \(currency) for a million completion tokens: ask again with \"hotpot\": {\"price\": \"\(amount)\"}"
      ),
      saying: nil, tags: found.tags)
  }
}
