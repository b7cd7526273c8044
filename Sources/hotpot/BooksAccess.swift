// BooksAccess.swift: where the commands about clients and money send their requests: to the node
// that runs on the state directory or, if none does, to the state directory itself, under its lock.
// The answers are made in Node. Start at init.

import Control
import Foundation
import Node

final class BooksAccess {
  private enum Behind {
    case node(ControlClient)
    case books(OfflineBooks)
  }

  private let behind: Behind

  /// - makesState: whether to make a state directory that is missing
  init(_ arguments: Arguments, makesState: Bool = false) throws {
    let place = try NodeSetup.controlDirectory(arguments)
    if let client = try ControlClient.ifServed(state: place) {
      behind = .node(client)
      return
    }
    let state = try NodeSetup.stateDirectory(arguments)
    var status = stat()
    if stat(state + "/journal", &status) != 0, !makesState {
      guard errno == ENOENT || errno == ENOTDIR else { throw UserFile.unreadable(state + "/journal", errno) }
      guard !NodeSetup.isOther(state) else { throw Failure(.noInput, "'\(state)' is not a directory") }
      throw Failure(
        .unavailable, "no node runs on '\(state)', and none has",
        hint:
          "'hotpot serve' starts one, 'hotpot clients add NAME' makes its first client, '--state DIR' names another"
      )
    }
    behind = .books(try OfflineBooks(try NodeSetup.options(arguments)))
  }

  deinit {
    if case .books(let books) = behind { books.close() }
  }

  func ask(_ verb: some Verb) throws -> ControlReply {
    switch behind {
    case .node(let client): return try client.ask(verb)
    case .books(let books):
      let reply = books.answer(verb, by: NodeSetup.operatorName)
      if case .refused(_, let reason) = reply { throw Failure(.failed, reason) }
      return reply
    }
  }

  func snapshot() throws -> NodeSnapshot {
    switch behind {
    case .node(let client): try client.snapshot()
    case .books(let books): books.snapshot()
    }
  }

  var unexpected: Failure { Failure(.internalError, "the node answered something else than was asked") }
}
