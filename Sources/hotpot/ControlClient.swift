// ControlClient.swift: a command's connection to the node that runs on a state directory. It
// blocks: send a request, read the reply, end.

import Control
import Foundation
import Intake
import Node

/// One connection to a node's control socket.
final class ControlClient {
  private let line: LineClient
  private var tag: UInt64 = 0

  convenience init(_ arguments: Arguments) throws {
    try self.init(state: NodeSetup.controlDirectory(arguments))
  }

  /// Nil where no node runs.
  static func ifServed(state: String) throws -> ControlClient? {
    do {
      return try ControlClient(state: state)
    } catch let failure as Failure where failure.isNoNode {
      return nil
    }
  }

  /// - peer: the person that this connection acts for, where sshd runs this program on their behalf
  init(state: String, for peer: SSHPeer? = nil) throws {
    let path = state + "/control.sock"
    do throws(ServerError) {
      line = try LineClient(path: path, timeout: nil)
    } catch {
      switch error {
      case .noServer:
        var failure = Failure(
          .unavailable, "no node runs on '\(state)'",
          hint: "'hotpot serve' starts one, '--state DIR' names another")
        failure.isNoNode = true
        throw failure
      case .system(_, EACCES):
        throw Failure(
          .noPermission, "the node on '\(state)' is another user's",
          hint: "its owner lets others in with 'control' in the configuration; see hotpot-config(5)")
      case .system(_, ENOTDIR): throw Failure(.noInput, "'\(state)' is not a directory")
      case .pathTooLong(let path, let limit): throw NodeSetup.tooLong(path, limit)
      case .system(_, let number) where number == EMFILE || number == ENFILE:
        throw Failure(
          .unavailable, "no more files can be opened here: \(String(cString: strerror(number)))",
          hint: "'ulimit -n' shows how many this process may have")
      case .system, .addressInUse, .addressInvalid, .notASocket, .tls, .connectionClosed, .timedOut,
        .lineTooLong:
        throw error
      }
    }
    do {
      do {
        if let peer { try send(peer.request) }
        try send(.hello(version: ControlProtocol.version, every: 0, readOnly: false))
      } catch let error as ServerError where error == .connectionClosed {
        // The node refused the connection before everything was sent; the reason is read next.
      }
      guard case .hello(let version, let node, let software) = try next() else {
        throw Failure(.unavailable, "what listens on '\(path)' does not speak hotpot's control protocol")
      }
      guard version == ControlProtocol.version else {
        throw Failure(
          .unavailable, SocketConnection.otherVersion(version, node: node, software: software),
          hint: "use the same release of hotpot here and there")
      }
    } catch let error as ServerError where error == .connectionClosed {
      // The owner and root are always admitted, so there is another reason.
      if geteuid() == 0 || (try? line.serverUser()) == geteuid() {
        throw Failure(
          .unavailable, "the node on '\(state)' closed the connection without a word",
          hint: "it may be ending, or have no file descriptors left: its log says so")
      }
      // The kernel tells the node who connects; the node says nothing to strangers.
      throw Failure(
        .noPermission, "the node on '\(state)' does not let you in",
        hint: "its owner lets others in with 'control' in the configuration; see hotpot-config(5)")
    }
  }

  func send(_ request: ControlRequest) throws { try line.send(ControlProtocol.line(request)) }

  /// The next line; nil when the node closed the connection.
  func receive() throws -> ControlReply? {
    guard let bytes = try line.receive() else { return nil }
    guard let reply = ControlProtocol.parse(ControlReply.self, bytes) else {
      throw Failure(
        .unavailable, "the node sent something that this release of hotpot cannot read",
        hint: "use the same release of hotpot here and there")
    }
    return reply
  }

  private func next() throws -> ControlReply {
    guard let reply = try receive() else { throw ServerError.connectionClosed }
    if case .denied(_, let reason) = reply { throw Failure(.noPermission, reason) }
    if case .refused(let tag, let reason) = reply, tag == 0 { throw Failure(.unavailable, reason) }
    return reply
  }

  /// Sends one request and returns the first reply that is not news.
  func ask(_ verb: some Verb) throws -> ControlReply {
    tag += 1
    try line.send(ControlProtocol.line(VerbRequest(tag: tag, verb)))
    return try answer()
  }

  func ask(_ make: (UInt64) -> ControlRequest) throws -> ControlReply {
    tag += 1
    try send(make(tag))
    return try answer()
  }

  private func answer() throws -> ControlReply {
    while true {
      let reply = try next()
      if case .refused(_, let reason) = reply { throw Failure(.failed, reason) }
      if case .message = reply { continue }
      return reply
    }
  }

  func snapshot() throws -> NodeSnapshot {
    guard case .snapshot(_, let snapshot) = try ask({ .snapshot(tag: $0) }) else { throw unexpected }
    return snapshot
  }

  func perform(_ command: NodeCommand) throws -> CommandReply {
    tag += 1
    try send(.command(tag: tag, command: command))
    while true {
      if case .message(.reply(let found, let reply)) = try next(), found == tag { return reply }
    }
  }

  func receipt(_ id: String) throws -> ReceiptDetail {
    try detail(.receipt(id: id)) { if case .receipt(let found) = $0 { found } else { nil } }
  }

  func job(_ id: String) throws -> JobDetail {
    try detail(.inspect(job: id)) { if case .job(let found) = $0 { found } else { nil } }
  }

  /// What a command is answered with before its reply.
  private func detail<Found>(_ command: NodeCommand, _ find: (NodeMessage) -> Found?) throws -> Found {
    tag += 1
    try send(.command(tag: tag, command: command))
    var detail: Found?
    while true {
      switch try next() {
      case .message(.reply(_, .refused(let reason))): throw Failure(.noInput, reason)
      case .message(.reply):
        guard let detail else { throw unexpected }
        return detail
      case .message(let message): detail = find(message) ?? detail
      case .hello, .snapshot, .chunk, .ended, .clients, .token, .bundle, .file, .earnings, .past, .statement,
        .voucher, .refused, .denied, .done:
        continue
      }
    }
  }

  var unexpected: Failure { Failure(.internalError, "the node answered something else than was asked") }
}
