// Replay.swift: `hotpot replay FILE`: runs a trace that `--trace FILE` wrote through the node's
// state machine again.

import Foundation
import Node
import Scheduling

extension Command {
  static let replay = Command(
    name: "replay", summary: "a recorded trace through the node's state machine", operands: "FILE",
    details: """
      'hotpot serve --trace FILE' and 'hotpot --trace FILE' write one: all that happened to the node's state, with no prompt
      and no answer. The state machine gets the same events at the same times, must want the same done, and its
      invariants are checked after each. Exit codes: 0 the same, 1 not the same, 65 no trace.
      """,
    options: [.json]
  ) { arguments in
    let path = try arguments.operands(1...1, "the trace's file")[0]
    let bytes = Data(try Console.read(path, limit: 2 << 30))
    let lines = bytes.split(separator: 0x0A)
    let report: Replayed
    do throws(TraceError) {
      var replay = try TraceReplay(first: lines.first ?? Data())
      for line in lines.dropFirst() { try replay.apply(line) }
      let node = replay.snapshot().node
      report = Replayed(
        node: node.name, software: replay.head.software, steps: replay.steps, effects: replay.effects,
        receiptsBefore: replay.head.receipts, differences: replay.differences, violations: replay.violations,
        state: node.state.rawValue, running: node.running, queued: node.queued,
        waitingApproval: node.waitingApproval)
    } catch {
      throw Failure(
        .badData, "\(path): \(error)", hint: "wanted a file that 'hotpot serve --trace FILE' wrote")
    }
    if arguments.has("json") {
      try Console.print(json: report)
    } else {
      Console.write(report.text)
    }
    return report.differences.isEmpty && report.violations.isEmpty ? .ok : .failed
  }

  private struct Replayed: Encodable {
    let node: String
    let software: String
    let steps: Int
    let effects: Int
    let receiptsBefore: Int
    let differences: [Int]
    let violations: [String]
    let state: String
    let running: Int
    let queued: Int
    let waitingApproval: Int

    var text: String {
      var lines = [
        "\(Console.oneLine(node)), hotpot \(Console.oneLine(software)): \(counted(steps, "step")), \(counted(effects, "effect"))"
      ]
      if receiptsBefore > 0 {
        lines.append("the journal held \(counted(receiptsBefore, "receipt")) before: sums begin without them")
      }
      lines.append(
        "at the end: \(state), \(running) running, \(queued) queued, \(waitingApproval) waiting for approval")
      lines += violations.map { "violation: \(Console.oneLine($0))" }
      lines.append(
        differences.isEmpty
          ? "the same effects at every step" : "OTHER effects than recorded, first on line \(differences[0])")
      return lines.joined(separator: "\n") + "\n"
    }
  }
}

extension TraceRecorder {
  /// Writes to a new file, 0600.
  convenience init(file path: String) throws {
    let descriptor: Int32
    do {
      descriptor = try UserFile.openToWrite(path, isNew: true)
    } catch let failure as Failure {
      let isThere = failure.hint == nil && access(path, F_OK) == 0
      throw Failure(
        failure.code, "the trace cannot be made: \(failure.message)",
        hint: isThere ? "a trace is never written over; name another file" : failure.hint)
    }
    self.init { data in
      var sent = 0
      while sent < data.count {
        let count = data.withUnsafeBytes {
          Glibc.write(descriptor, $0.baseAddress.map { $0 + sent }, $0.count - sent)
        }
        if count < 0, errno == EINTR { continue }
        // A trace that cannot be written must not end the node; the trace ends where the disk was
        // full.
        guard count > 0 else { return }
        sent += count
      }
    }
  }
}
