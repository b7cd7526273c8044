// Administration.swift: what an owner asks about clients from a screen. The books' own part is in
// Accounts; rules are written into the configuration's file, which is then read again. Start at
// perform.
import Accounting
import Control
import Foundation
import Receipts

struct Administration: Sendable {
  let runtime: Runtime
  let accounts: Accounts
  let live: LiveConfiguration
  /// The configuration's file; nil if the node was started without one.
  let file: String?

  /// - token: receives a new client's token
  func perform(_ act: ClientAct, by who: Operator, token: (_ name: String, _ token: String) -> Void)
    -> CommandReply
  {
    do throws(AdministrationError) {
      switch act {
      case .add(let name):
        token(name, try accounts.addClient(name, by: who).get())
        return .done("added client \(name)")
      case .adopt(let stranger, let name):
        try accounts.adopt(stranger, as: name, by: who).get()
        return .done("\(stranger) is client \(name) now, with the token that it made itself")
      case .revoke(let name):
        try accounts.revokeClient(name, by: who).get()
        return .done("revoked \(name)")
      case .limit(let name, let changes): return .done(try accounts.setLimits(name, changes, by: who).get())
      case .settle(let name, let amount, let reference):
        return .done(try accounts.settle(name, amount, reference, by: who).get())
      case .deposit(let name, let amount, let reference):
        return .done(try accounts.deposit(name, amount, reference, by: who).get())
      case .price(let name, let completion): return try price(name, completion, by: who)
      case .admitAlways(let name):
        return try insert(
          "client: \(try quoted(name)), action: \"admit\"", into: "policy", usual: Self.usualPolicy, by: who)
      case .rejectAlways(let name, let reason):
        let words = "client: \(try quoted(name)), action: \"reject\", reason: \(try quoted(reason))"
        return try insert(words, into: "policy", usual: Self.usualPolicy, by: who)
      }
    } catch {
      return .refused(error.description)
    }
  }

  /// What holds without a policy in the file.
  private static let usualPolicy = ["client: \"known\", action: \"admit\""]

  /// The client's price, but for its completion tokens.
  private func price(_ name: String, _ completion: String, by who: Operator) throws(AdministrationError)
    -> CommandReply
  {
    let amount: Amount
    do throws(AccountingError) {
      amount = try Amount(parsing: completion)
      guard amount >= .zero else { throw .negative("the price") }
    } catch {
      throw AdministrationError("\(error)")
    }
    let now = NodeClock.now()
    let old = runtime.state.withLock { state in
      state.configuration.prices.price(model: state.facts?.model ?? "", client: name, hour: now.hour)
    }
    var rule = "client: \(try quoted(name))"
    if let old {
      rule += ", prompt: \"\(old.prompt)\", cached: \"\(old.cached)\", minimum: \"\(old.minimum)\""
    }
    return try insert(rule + ", completion: \"\(amount)\"", into: "prices", by: who)
  }

  /// A text of JSON5; control characters are no part of a name or a reason.
  private func quoted(_ text: String) throws(AdministrationError) -> String {
    guard (1...400).contains(text.utf8.count),
      text.unicodeScalars.allSatisfy({ $0.value >= 0x20 && $0.value != 0x7F })
    else { throw AdministrationError("'\(text.prefix(40))' wants 1 to 400 bytes on one line") }
    return "\""
      + text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"") + "\""
  }

  private func insert(
    _ rule: String, into list: String, usual: [String] = [], by who: Operator
  ) throws(AdministrationError) -> CommandReply {
    guard let file else {
      throw AdministrationError("a rule wants a configuration to stand in: start the node with --config FILE")
    }
    // A link is kept: the file that it names is replaced.
    let target =
      realpath(file, nil).map { pointer in
        defer { free(pointer) }
        return String(cString: pointer)
      } ?? file
    let files = POSIXFileSystem()
    var source: String?
    do throws(FileError) {
      source = String(decoding: try files.readAll(target, limit: 1 << 22), as: UTF8.self)
    } catch {
      guard error.isMissing else { throw AdministrationError("\(error)") }
    }
    guard let text = ConfigurationEdit.inserting(rule, into: list, of: source, usual: usual) else {
      throw AdministrationError(
        "no place for a rule was found in '\(file)': write { \(rule) } into '\(list)'")
    }
    do throws(ConfigurationError) { _ = try NodeConfiguration(file: file, text: text) } catch {
      throw AdministrationError(error.description)
    }
    let directory = String(target.prefix(upTo: target.lastIndex(of: "/") ?? target.startIndex))
    do throws(FileError) {
      try files.replaceFile(target, with: Array(text.utf8), in: directory.isEmpty ? "." : directory)
    } catch {
      throw AdministrationError("\(error)")
    }
    runtime.note(.act, who: who.name, "wrote a rule into \(list): { \(rule) }")
    switch live.reload(runtime, by: who) {
    case .done(let words): return .done("wrote { \(rule) } into \(list); \(words)")
    case .refused(let words): throw AdministrationError(words)
    }
  }
}
