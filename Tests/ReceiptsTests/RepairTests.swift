import Foundation
import Receipts
// RepairTests.swift: what an operator can do after damage: the whole part is kept, the rest is moved aside and recorded.
import SimulatedFileSystem
import Testing

@Suite struct RepairTests {
  /// A journal of twenty receipts in segments of three or so, and a checkpoint over the first `signed`.
  private func make(_ scratch: Scratch, signed: Int = 0) throws {
    let (journal, _) = try openJournal(scratch.path, segmentBytes: 4_000)
    for i in 0..<20 { try journal.append([.receipt(sampleReceipt(job: UInt64(i)))], at: testTime) }
    if signed > 0 {
      let root = try #require(journal.catalog().tree.root(at: signed))
      let checkpoint = Checkpoint(
        origin: "hotpot/x", size: signed, root: root, time: testTime, previous: .zero)
      try Data(checkpoint.text.utf8).write(to: URL(fileURLWithPath: scratch.path + "/checkpoint"))
      try Data("signature".utf8).write(to: URL(fileURLWithPath: scratch.path + "/checkpoint.sig"))
    }
    journal.close()
  }

  private func change(_ path: String, _ body: (inout [UInt8]) -> Void) throws {
    var bytes = Array(try #require(FileManager.default.contents(atPath: path)))
    body(&bytes)
    _ = chmod(path, 0o600)
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }

  private func plan(_ scratch: Scratch) throws -> RepairPlan? {
    try JournalRepair.plan(state: scratch.path, time: testTime)
  }

  /// Every file below the state directory but the lock, by name.
  private func files(_ scratch: Scratch) throws -> [String: Data] {
    var found: [String: Data] = [:]
    for name in try FileManager.default.subpathsOfDirectory(atPath: scratch.path) {
      if let data = FileManager.default.contents(atPath: scratch.path + "/" + name) { found[name] = data }
    }
    return found
  }

  @Test func aWholeJournalNeedsNoRepair() throws {
    let scratch = try Scratch()
    try make(scratch, signed: 20)
    #expect(try plan(scratch) == nil)
  }

  @Test func aDamagedLineMovesItsSegmentsEndAndAllLaterOnesAside() throws {
    let scratch = try Scratch()
    try make(scratch, signed: 18)
    let name = "journal/00000003.jsonl"
    // A rollup that does not fit makes the segment be read, as a lost one would.
    try FileManager.default.removeItem(atPath: scratch.path + "/journal/00000003.rollup")
    let whole = Array(try #require(FileManager.default.contents(atPath: scratch.path + "/" + name)))
    let second = try #require(whole.firstIndex(of: 0x0A)) + 1
    try change(scratch.path + "/" + name) { $0[second + 40] ^= 1 }
    let before = try files(scratch)
    let plan = try #require(try plan(scratch))
    #expect(try files(scratch) == before, "a plan changes nothing")
    #expect(plan.damage.file == "00000003.jsonl" && plan.damage.offset == second)
    #expect(plan.moves.contains { $0.file == name && $0.bytes == whole.count && $0.keeps == second })
    #expect(plan.moves.contains { $0.file == "checkpoint" && $0.keeps == 0 })
    #expect(plan.kept.receipts + plan.lost.receipts == 19)
    #expect(plan.lostSigned == 18 - plan.kept.receipts)

    let aside = try JournalRepair.perform(
      plan, state: scratch.path, who: "olga", time: testTime + 1)
    // Nothing is lost: every byte that left its place is in the other directory.
    let after = try files(scratch)
    for move in plan.moves {
      let last = try #require(move.file.split(separator: "/").last)
      #expect(after["\(aside)/\(last)"] == before[move.file], "\(move.file)")
    }
    #expect(after[name]?.starts(with: whole[..<second]) == true)

    var records: [Record] = []
    let check = try Journal.check(state: scratch.path) { records.append($0.record) }
    #expect(check.damage == nil)
    #expect(check.receipts == plan.kept.receipts)
    let act = records.compactMap { if case .operatorAct(let act) = $0 { act } else { nil } }
    #expect(act.map(\.act) == [.repair] && act.first?.who == "olga")
    #expect(act.first?.target == "00000003.jsonl \(second)")
    let moved = records.compactMap { if case .recovered(let one) = $0 { one } else { nil } }
    #expect(
      moved.map(\.file).sorted()
        == plan.moves.map { "\(aside)/\($0.file.split(separator: "/").last ?? "")" }.sorted())
    for one in moved {
      #expect(SHA256.hash(Array(try #require(after[one.file]))) == one.sha256, "\(one.file)")
    }
    // A node starts on it and goes on.
    let (journal, opening) = try openJournal(scratch.path)
    #expect(opening.damage == nil)
    try journal.append([.receipt(sampleReceipt(job: 99))], at: testTime)
    #expect(journal.read { $0.counts.logged } == plan.kept.receipts + 1)
    journal.close()
    #expect(try self.plan(scratch) == nil)
  }

  @Test func aMissingSegmentMovesTheLaterOnesAside() throws {
    let scratch = try Scratch()
    try make(scratch)
    for suffix in ["jsonl", "rollup", "index"] {
      try FileManager.default.removeItem(atPath: scratch.path + "/journal/00000002.\(suffix)")
    }
    let plan = try #require(try plan(scratch))
    #expect(plan.damage.file == "00000002.jsonl")
    #expect(plan.moves.allSatisfy { $0.keeps == 0 && $0.file > "journal/00000002" })
    _ = try JournalRepair.perform(plan, state: scratch.path, who: "olga", time: testTime)
    #expect(try Journal.check(state: scratch.path).damage == nil)
    #expect(try Journal.check(state: scratch.path).receipts == plan.kept.receipts)
  }

  @Test func aCheckpointThatCannotBeReadOrDoesNotFitIsMovedAside() throws {
    for text in ["garbage", "more"] {
      let scratch = try Scratch()
      try make(scratch, signed: 20)
      try change(scratch.path + "/checkpoint") { bytes in
        if text == "garbage" {
          bytes = Array("garbage".utf8)
        } else {
          bytes = Array(String(decoding: bytes, as: UTF8.self).replacing("\n20\n", with: "\n21\n").utf8)
        }
      }
      let plan = try #require(try plan(scratch))
      #expect(plan.moves.map(\.file) == ["checkpoint.sig", "checkpoint"])
      #expect(plan.kept.receipts == 20)
      #expect(plan.lostSigned == (text == "more" ? 1 : 0))
      _ = try JournalRepair.perform(plan, state: scratch.path, who: "olga", time: testTime)
      #expect(try self.plan(scratch) == nil)
      #expect(try Journal.check(state: scratch.path).receipts == 20)
    }
  }

  @Test func aJournalThatContradictsItselfIsNotRepaired() throws {
    let scratch = try Scratch()
    let (journal, _) = try openJournal(scratch.path)
    try journal.append([.receipt(sampleReceipt(job: 1))], at: testTime)
    try journal.append(
      [.checkpointSigned(CheckpointSigned(size: 1, root: .zero, sha256: .zero))], at: testTime)
    journal.close()
    do throws(RepairError) {
      _ = try JournalRepair.plan(state: scratch.path, time: testTime)
      Issue.record("it was planned")
    } catch {
      #expect("\(error)".contains("was rewritten"))
      #expect(error.hint?.contains("evidence") == true)
    }
  }

  /// A kill at any of its calls: what is planned then ends at the same journal.
  @Test func aRepairThatWasInterruptedGoesOn() throws {
    let files = SimulatedFileSystem()
    var options = JournalOptions()
    options.segmentBytes = 4_000
    options.ballastBytes = 0
    let (journal, _) = try Journal.open(state: "s", files: files, options: options, time: testTime)
    for i in 0..<20 { try journal.append([.receipt(sampleReceipt(job: UInt64(i)))], at: testTime) }
    journal.close()
    files.corrupt("s/journal/00000003.rollup") { $0[0] ^= 1 }
    files.corrupt("s/journal/00000003.jsonl") { $0[$0.count / 2] ^= 1 }
    let plan = try #require(try JournalRepair.plan(state: "s", files: files, time: testTime))
    var points = 0
    var isDone = false
    while !isDone {
      let image = files.afterKill()
      let first = try #require(try JournalRepair.plan(state: "s", files: image, time: testTime))
      image.plan(SimulatedFileSystem.Fault(at: points, kind: .kill, isForEver: true))
      do throws(RepairError) {
        _ = try JournalRepair.perform(first, state: "s", who: "olga", files: image, time: testTime)
        isDone = true
      } catch { points += 1 }
      let after = image.afterKill()
      if let rest = try JournalRepair.plan(state: "s", files: after, time: testTime) {
        _ = try JournalRepair.perform(rest, state: "s", who: "olga", files: after, time: testTime + 1)
      }
      let check = try Journal.check(state: "s", files: after)
      #expect(check.damage == nil, "killed at call \(points)")
      #expect(check.receipts == plan.kept.receipts, "killed at call \(points)")
    }
    #expect(points > 30)
  }
}
