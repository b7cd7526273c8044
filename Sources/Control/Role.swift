// Role.swift: who may do what over the control socket. There is one table, which the node checks
// before doing anything: a client program that hides a button protects nothing. How peers are
// identified, and who may ask for which verb, is in Node (ControlAccess, Verb). Start at Role and
// ControlRequest.leastRole.

/// The role of a peer on the control socket. A viewer may do less than an operator, who may do less
/// than the owner; a client's rights are separate from all three.
package enum Role: String, Codable, Sendable, CaseIterable, Comparable {
  /// Submits its own jobs and nothing else: it sees no state and no other client's job.
  case client
  /// Watches: queue, figures, receipts. Sees no content of anybody's job, and cannot act.
  case viewer
  /// Acts on jobs and on the node's admission.
  case `operator`
  /// In addition manages clients, money and models, and can stop the node: the user who runs the
  /// process, and root.
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
  /// The message for a peer that lacks the role.
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
  /// The lowest role that may send it.
  package var leastRole: Role {
    switch self {
    case .inspect, .receipt, .history, .past: .viewer
    case .approve, .reject, .hold, .release, .setPriority, .move, .cancel, .pause, .resume, .drain, .undrain,
      .reveal, .conceal, .verify, .chat, .stopChat, .keepChats:
      .operator
    case .shutdown, .pull, .cancelPull, .reload, .administer: .owner
    }
  }
}

extension ControlRequest {
  /// What a client may request: without snapshots a greeting shows no more than the node's name.
  package var isForClients: Bool {
    switch self {
    case .hello(_, let every, _): every == 0
    case .submit, .restrict: true
    case .command, .seen, .snapshot: false
    }
  }

  /// The lowest role, clients aside, that may request it.
  package var leastRole: Role {
    switch self {
    // A peer says who it is; this can only take rights away.
    case .restrict, .hello: .viewer
    // The node does the work, for free.
    case .submit: .operator
    case .seen, .snapshot: .viewer
    case .command(_, let command): command.leastRole
    }
  }

  /// It sets what the connection itself may do: it takes rights away, so no key of it may be ignored.
  package var concernsConnection: Bool {
    switch self {
    case .restrict, .hello: true
    case .command, .seen, .snapshot, .submit: false
    }
  }

  /// The tag under which it is refused.
  package var tag: UInt64 {
    switch self {
    case .hello, .restrict, .seen: 0
    case .command(let tag, _), .snapshot(let tag), .submit(let tag, _, _): tag
    }
  }
}
