// Role.swift: who may do what over the control socket. One table, asked by the node before anything is done: a client
// program that hides a button guards nothing.
// Leaves out how a peer is told apart (ControlAccess in Node). Start at Role and ControlRequest.leastRole.

/// What somebody on the control socket is. A viewer may do less than an operator, who may do less than the owner; a
/// client may do something else than all three.
package enum Role: String, Codable, Sendable, CaseIterable, Comparable {
  /// Sends jobs of their own, and nothing else: no state, no other client's job.
  case client
  /// Looks: queue, figures, receipts. No content of anybody's job, and no act.
  case viewer
  /// Acts on jobs and on the node's flow.
  case `operator`
  /// Also clients, money, models, and the end of the node: the user whose process it is, and root.
  case owner

  private var rank: Int {
    switch self {
    case .client: 0
    case .viewer: 1
    case .operator: 2
    case .owner: 3
    }
  }

  package static func < (left: Role, right: Role) -> Bool { left.rank < right.rank }
}

extension Role {
  /// What somebody reads who may not.
  package static func refusal(_ role: Role, wants least: Role) -> String {
    "you are \(role.withArticle) here, and this is for \(least.withArticle)"
  }

  private var withArticle: String {
    switch self {
    case .client, .viewer: "a \(rawValue)"
    case .operator, .owner: "an \(rawValue)"
    }
  }
}

extension Role {
  /// The table.
  package func may(_ request: ControlRequest) -> Bool {
    switch self {
    case .client: request.isForClients
    case .viewer, .operator, .owner: self >= request.leastRole
    }
  }
}

extension NodeCommand {
  /// The least that may command it.
  package var leastRole: Role {
    switch self {
    case .inspect, .receipt, .history: .viewer
    case .approve, .reject, .hold, .release, .setPriority, .move, .cancel, .pause, .resume, .drain, .undrain,
      .reveal, .conceal, .verify, .chat, .stopChat:
      .operator
    case .shutdown, .pull, .cancelPull: .owner
    }
  }
}

extension ControlRequest {
  /// What a client asks for: without snapshots a greeting shows no more than the node's name.
  package var isForClients: Bool {
    switch self {
    case .hello(_, let every, _): every == 0
    case .submit, .restrict: true
    case .command, .seen, .snapshot, .clients, .addClient, .revokeClient, .limitClient, .settle, .correct,
      .cosign,
      .exportReceipt, .earnings, .statement, .setLimits, .setKey, .voucher, .exportVoucher:
      false
    }
  }

  /// The least that may ask for it, of those who are no clients.
  package var leastRole: Role {
    switch self {
    // A peer says who it is; this only ever takes rights away.
    case .restrict, .hello: .viewer
    // The node's own work, for nothing.
    case .submit: .operator
    case .seen, .snapshot, .clients, .earnings, .exportReceipt, .exportVoucher: .viewer
    case .command(_, let command): command.leastRole
    // It counts by a key that the owner has trusted; whose word trusts a new one, the node looks at itself.
    case .cosign: .operator
    case .addClient, .revokeClient, .limitClient, .settle, .correct, .statement, .setLimits, .setKey,
      .voucher:
      .owner
    }
  }

  /// It takes rights or means away: nothing of it may be passed over.
  package var limitsRights: Bool {
    switch self {
    case .restrict, .hello, .limitClient, .setLimits: true
    case .command, .seen, .snapshot, .submit, .clients, .addClient, .revokeClient, .settle, .correct, .cosign,
      .exportReceipt, .earnings, .statement, .setKey, .voucher, .exportVoucher:
      false
    }
  }

  /// It says what the connection itself may do.
  package var concernsConnection: Bool {
    switch self {
    case .restrict, .hello: true
    case .command, .seen, .snapshot, .submit, .clients, .addClient, .revokeClient, .limitClient, .settle,
      .correct, .cosign, .exportReceipt, .earnings, .statement, .setLimits, .setKey, .voucher, .exportVoucher:
      false
    }
  }

  /// What it is called when it is refused.
  package var tag: UInt64 {
    switch self {
    case .hello, .restrict, .seen: 0
    case .command(let tag, _), .snapshot(let tag), .submit(let tag, _, _), .clients(let tag),
      .addClient(let tag, _), .revokeClient(let tag, _), .limitClient(let tag, _, _),
      .settle(let tag, _, _, _), .correct(let tag, _, _, _), .cosign(let tag, _, _, _),
      .exportReceipt(let tag, _, _), .earnings(let tag, _),
      .statement(let tag, _, _, _, _), .setLimits(let tag, _, _), .setKey(let tag, _, _),
      .voucher(let tag, _, _, _), .exportVoucher(let tag, _):
      tag
    }
  }
}
