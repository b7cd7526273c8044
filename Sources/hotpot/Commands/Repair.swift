// Repair.swift: `hotpot receipts check` and `hotpot receipts repair`: reads a journal from its
// first line to its last, and applies an operator's decision about a damaged one. It works on a
// state directory that no node uses.

import Accounting
import Foundation
import Node
import Receipts
import Scheduling

extension Command {
  /// Holds the lock of a state directory that exists while `body` runs.
  private static func onIdleState(_ arguments: Arguments, _ body: (String) throws -> ExitCode) throws
    -> ExitCode
  {
    let state = try NodeSetup.stateDirectory(arguments)
    var status = stat()
    guard stat(state + "/journal", &status) == 0 else {
      guard errno == ENOENT || errno == ENOTDIR else { throw UserFile.unreadable(state + "/journal", errno) }
      throw Failure(.noInput, "there is no journal in '\(state)'", hint: "'--state DIR' names another")
    }
    let lock: StateLock
    do throws(JournalError) { lock = try StateLock(state: state) } catch {
      if case .locked = error {
        throw Failure(
          .tryAgain, "\(error)", hint: "stop the node first: 'hotpot drain' lets it finish its jobs")
      }
      throw error
    }
    return try withExtendedLifetime(lock) { try body(state) }
  }

  private static var now: Int64 { Int64(Date().timeIntervalSince1970 * 1_000_000) }

  static func checkJournal(_ arguments: Arguments) throws -> ExitCode {
    try onIdleState(arguments) { state in
      let start = ContinuousClock.now
      let check: JournalCheck
      var keys: Set<String> = []
      do throws(JournalError) {
        check = try Journal.check(state: state) { entry in
          if case .nodeStarted(let start) = entry.record { keys.insert(start.key) }
        }
      } catch {
        throw Failure(.inputOutput, "\(error)", hint: error.hint)
      }
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      Console.print(
        "\(counted(check.lines, "line")), \(counted(check.receipts, "receipt")), \(check.bytes >> 10) KiB in \(StatusPage.rounded(seconds)) s; the log's root is \(check.root)"
      )
      if let damage = check.damage {
        throw Failure(.badData, "\(damage)", hint: "'hotpot receipts repair' shows what can be done")
      }
      try checkSignatures(state, keys, check)
      return .ok
    }
  }

  private static func checkSignatures(_ state: String, _ keys: Set<String>, _ check: JournalCheck) throws {
    guard FileManager.default.fileExists(atPath: state + "/key.pub") else {
      Console.print("signatures: not checked, there is no '\(state)/key.pub'")
      return
    }
    let found: SignatureCheck
    do throws(NotaryError) {
      found = try SignatureCheck(state: state, keys: keys, check: check, at: now)
    } catch {
      throw Failure(.badData, "\(error)")
    }
    let signed =
      found.checkpointSize.map { "the checkpoint over \($0) of \(check.receipts) receipts" }
      ?? "no checkpoint"
    var words = "signatures that hold: \(signed), \(found.segments) sealed segments"
    if found.byEarlierKeys > 0 { words += " (\(found.byEarlierKeys) by earlier keys of this node)" }
    words += ", \(found.cosignatures) cosignatures"
    if !found.unsigned.isEmpty {
      words += "; \(found.unsigned.count) sealed segments have none, the first is \(found.unsigned[0])"
    }
    Console.print(words)
    if let fault = found.faults.first {
      let more = found.faults.count > 1 ? " (and \(found.faults.count - 1) more)" : ""
      throw Failure(
        .badData, fault + more,
        hint: "a backup, or a bundle that a client or a witness holds, shows what was signed")
    }
  }

  static func repairJournal(_ arguments: Arguments) throws -> ExitCode {
    let name = try NodeSetup.configuration(arguments).name
    return try onIdleState(arguments) { state in
      guard let plan = try planned(state) else { return try reportWhole(state) }
      Console.write(text(plan, state))
      guard try isAgreed(name, arguments) else {
        Console.note("hotpot: nothing was changed\n")
        return .failed
      }
      let aside: String
      do throws(RepairError) {
        aside = try JournalRepair.perform(plan, state: state, who: NodeSetup.operatorName, time: now)
      } catch { throw failure(error) }
      Console.print("moved to '\(state)/\(aside)'; the journal says so, and a node can start")
      return .ok
    }
  }

  private static func planned(_ state: String) throws -> RepairPlan? {
    do throws(RepairError) { return try JournalRepair.plan(state: state, time: now) } catch {
      throw failure(error)
    }
  }

  private static func failure(_ error: RepairError) -> Failure {
    switch error {
    case .journal(.readOnly), .rewritten: Failure(.badData, "\(error)", hint: error.hint)
    case .journal: Failure(.inputOutput, "\(error)", hint: error.hint)
    }
  }

  /// A node can start on it; a sealed segment may still be damaged where its rollup replaces it.
  private static func reportWhole(_ state: String) throws -> ExitCode {
    let check: JournalCheck
    do throws(JournalError) { check = try Journal.check(state: state) } catch {
      throw Failure(.inputOutput, "\(error)", hint: error.hint)
    }
    guard let damage = check.damage else {
      Console.print(
        "the journal is whole: \(counted(check.lines, "line")), \(counted(check.receipts, "receipt")); there is nothing to repair"
      )
      return .ok
    }
    throw Failure(
      .badData, "\(damage); a node starts all the same, as the rollup beside it is intact",
      hint: "bring '\(damage.file)' back from a backup: moving the log's end aside for it would lose more")
  }

  private static func text(_ plan: RepairPlan, _ state: String) -> String {
    func sums(_ totals: ReceiptTotals) -> String {
      "\(counted(totals.receipts, "receipt")) over \(Amount(micro: totals.amount))"
    }
    var lines = [
      "damaged: \(plan.damage)", "kept:    \(sums(plan.kept))", "moved aside, into '\(state)/aside':",
    ]
    for move in plan.moves {
      lines.append(
        move.keeps > 0
          ? "  \(move.file), the \(move.bytes - move.keeps) bytes from byte \(move.keeps) on"
          : "  \(move.file), \(move.bytes) bytes")
    }
    if plan.lost.receipts > 0 {
      lines.append(
        "that takes \(sums(plan.lost)), which can still be read there, out of the log and the books")
    }
    if plan.lostSigned > 0 {
      lines.append(
        "\(counted(plan.lostSigned, "signed receipt")) \(plan.lostSigned == 1 ? "leaves" : "leave") the log: bundles that clients have stay valid, and a witness refuses the shorter log"
      )
    }
    return lines.map { Console.oneLine($0) + "\n" }.joined()
  }

  private static func isAgreed(_ name: String, _ arguments: Arguments) throws -> Bool {
    if arguments.has("yes") { return true }
    guard Console.isTerminal(STDIN_FILENO) else {
      throw Failure(.usage, "nobody is there to ask", hint: "'--yes' does it without asking")
    }
    Console.note("type the node's name, '\(Console.oneLine(name))', to move this aside: ")
    return readLine() == name
  }
}
