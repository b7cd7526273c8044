import Dice
import Foundation
import Receipts
// FaultTests.swift: the journal on a disk that fails: errors at every call, kills, power cuts, flipped bits.
// Invariant: a record whose append said success is there after a restart, once and in order.
import SimulatedFileSystem
import TestSettings
import Testing

/// A run of a journal until it stops or ends: what was acknowledged.
private struct Run {
  var acknowledged: [UInt64] = []
  var attempted: [UInt64] = []
  var failures = 0
  var didOpen = false
}

/// Opens and appends receipts with jobs `first`..., with rotations by size, in groups of one to three.
private func run(
  _ files: SimulatedFileSystem, from first: UInt64, count: Int, onStep: (Run) -> Void = { _ in }
) -> Run {
  var run = Run()
  guard let journal = try? openJournal("s", files, segmentBytes: 4_000, ballast: 2_048).journal else {
    return run
  }
  run.didOpen = true
  var job = first
  while job < first + UInt64(count) {
    let jobs = (0..<(1 + job % 3)).map { job + $0 }
    run.attempted += jobs
    do {
      try journal.append(jobs.map { .receipt(sampleReceipt(job: $0, tokens: Int($0 % 50))) }, at: testTime)
      run.acknowledged += jobs
    } catch { run.failures += 1 }
    job += UInt64(jobs.count)
    onStep(run)
  }
  journal.close()
  return run
}

/// Every acknowledged job once, in order; nothing that was never attempted. nil is fine.
private func violation(_ files: SimulatedFileSystem, acknowledged: [UInt64], attempted: [UInt64]) -> String? {
  do {
    let (journal, opening) = try openJournal("s", files, segmentBytes: 4_000, ballast: 2_048)
    if let damage = opening.damage { return "read-only: \(damage)" }
    // It can be written again, and the whole chain holds.
    try journal.append([.receipt(sampleReceipt(job: 999_999))], at: testTime)
    journal.close()
    var found: [UInt64] = []
    let check = try Journal.check(state: "s", files: files) { entry in
      if case .receipt(let receipt) = entry.record { found.append(receipt.job) }
    }
    if let damage = check.damage { return "after recovery: \(damage)" }
    guard found.popLast() == 999_999 else { return "the new receipt is not the last" }
    if Set(found).count != found.count { return "doubled" }
    let kept = Set(acknowledged)
    if found.filter(kept.contains) != acknowledged {
      return "lost: \(acknowledged.count - found.filter(kept.contains).count) of \(acknowledged.count)"
    }
    if !Set(found).isSubset(of: Set(attempted)) { return "receipts from nowhere" }
    return nil
  } catch { return "\(error)" }
}

@Suite struct FaultTests {
  private static func calls(count: Int) -> Int {
    let files = SimulatedFileSystem()
    files.plan(nil)
    _ = run(files, from: 0, count: count)
    return files.calls
  }

  /// RELIABILITY.md, row three: errors at the n-th call, once and for ever.
  @Test func errorsAtEveryCallLoseNothing() {
    let calls = Self.calls(count: 60)
    #expect(calls > 300, "\(calls) calls")
    var kinds: [(String, SimulatedFileSystem.Fault.Kind)] = [
      ("EIO", .error(EIO)), ("ENOSPC", .error(ENOSPC)), ("EINTR", .error(EINTR)), ("EMFILE", .error(EMFILE)),
      ("short", .short),
    ]
    var runs = 0
    var readOnlyRuns = 0
    if !isHeavy { kinds = kinds.filter { _ in true } }
    for (name, kind) in kinds {
      for isForEver in [false, true] {
        for n in stride(from: 0, to: 300, by: isHeavy ? 1 : 3) {
          let files = SimulatedFileSystem()
          files.plan(SimulatedFileSystem.Fault(at: n, kind: kind, isForEver: isForEver))
          let result = run(files, from: 0, count: 60)
          runs += 1
          if result.failures > 0 || !result.didOpen { readOnlyRuns += 1 }
          if case .short = kind { #expect(result.failures == 0, "\(name) at \(n)") }
          if case .error(EINTR) = kind, !isForEver { #expect(result.failures == 0, "\(name) at \(n)") }
          let problem = violation(
            files.afterKill(), acknowledged: result.acknowledged, attempted: result.attempted)
          #expect(problem == nil, "\(name) at call \(n)\(isForEver ? " for ever" : ""): \(problem ?? "")")
        }
      }
    }
    print("faults: \(runs) runs, \(readOnlyRuns) stopped writing or did not start, 0 lost")
  }

  @Test func aStoppedJournalAcknowledgesNothingMore() throws {
    let files = SimulatedFileSystem()
    let (journal, _) = try openJournal("s", files)
    try journal.append([.receipt(sampleReceipt(job: 0))], at: testTime)
    files.plan(SimulatedFileSystem.Fault(at: 2, kind: .error(EIO), isForEver: false))
    #expect(throws: JournalError.stopped(FileError(call: "fdatasync", path: "descriptor 3", code: EIO))) {
      // Calls 0 and 1 are statvfs and write; the sync fails once.
      try journal.append([.receipt(sampleReceipt(job: 1))], at: testTime)
    }
    for job in 2..<10 {
      #expect(throws: JournalError.self, "a failed sync is never tried again") {
        try journal.append([.receipt(sampleReceipt(job: UInt64(job)))], at: testTime)
      }
    }
    #expect(journal.read { $0.counts.logged } == 1)
  }

  @Test func killsAtEveryCallLoseNothing() {
    let calls = Self.calls(count: 60)
    for n in stride(from: 0, to: calls, by: isHeavy ? 1 : 4) {
      for kind in [SimulatedFileSystem.Fault.Kind.kill, .killHalfway] {
        let files = SimulatedFileSystem()
        files.plan(SimulatedFileSystem.Fault(at: n, kind: kind, isForEver: false))
        let result = run(files, from: 0, count: 60)
        let problem = violation(
          files.afterKill(), acknowledged: result.acknowledged, attempted: result.attempted)
        #expect(problem == nil, "\(kind) at call \(n): \(problem ?? "")")
      }
    }
  }

  private static func powerCuts(images: Int, ignoringSyncs: Bool, seed: UInt64) -> (
    images: Int, bad: [String]
  ) {
    var generator = SeededGenerator(seed: seed)
    var bad: [String] = []
    var made = 0
    while made < images {
      let calls = Self.calls(count: 30)
      let files = SimulatedFileSystem()
      if ignoringSyncs { files.ignoreSyncs() }
      // The power goes at a random call; the process is gone with it.
      let at = Int.random(in: 0..<calls, using: &generator)
      files.plan(
        SimulatedFileSystem.Fault(
          at: at, kind: Bool.random(using: &generator) ? .kill : .killHalfway, isForEver: false))
      let result = run(files, from: 0, count: 30)
      for _ in 0..<5 where made < images {
        made += 1
        var image = files.afterPowerCut(using: &generator)
        var acknowledged = result.acknowledged
        var attempted = result.attempted
        // Sometimes the power goes again during or after the recovery.
        if !ignoringSyncs, Bool.random(using: &generator) {
          let again = Int.random(in: 0..<60, using: &generator)
          image.plan(SimulatedFileSystem.Fault(at: again, kind: .kill, isForEver: false))
          let second = run(image, from: 10_000, count: 6)
          acknowledged += second.acknowledged
          attempted += second.attempted
          image = image.afterPowerCut(using: &generator)
        }
        if let problem = violation(image, acknowledged: acknowledged, attempted: attempted) {
          bad.append("seed \(seed), image \(made), power cut at call \(at): \(problem)")
        }
      }
    }
    return (made, bad)
  }

  @Test func powerCutsLoseNothingAcknowledged() {
    let seed = UInt64.random(in: 0..<1_000_000)
    let (images, bad) = Self.powerCuts(images: isHeavy ? 10_000 : 500, ignoringSyncs: false, seed: seed)
    #expect(bad.isEmpty, "\(bad.prefix(3).joined(separator: "\n"))")
    print("power cuts: \(images) images, \(bad.count) bad (seed \(seed))")
  }

  /// The negative control: on a disk that ignores syncs the same harness must report loss.
  @Test func withoutSyncsTheHarnessReportsLoss() {
    let (images, bad) = Self.powerCuts(images: 100, ignoringSyncs: true, seed: 3)
    let lost = bad.filter { $0.contains("lost") || $0.contains("read-only") || $0.contains("not the last") }
    #expect(lost.count > images / 4, "\(lost.count) of \(images)")
    print("negative control: \(lost.count) of \(images) images without syncs lost acknowledged receipts")
  }

  @Test func everyFlippedBitIsFound() throws {
    let seed = UInt64.random(in: 0..<1_000_000)
    var generator = SeededGenerator(seed: seed)
    let original = SimulatedFileSystem()
    let result = run(original, from: 0, count: 60)
    let paths = original.paths.filter { $0.hasSuffix(".jsonl") }
    #expect(paths.count > 5)
    let flips = isHeavy ? 5_000 : 300
    var atOpen = 0
    for _ in 0..<flips {
      let files = original.afterKill()
      let path = try #require(paths.randomElement(using: &generator))
      let size = try #require(files.bytes(of: path)?.count)
      guard size > 0 else { continue }
      let bit = Int.random(in: 0..<size * 8, using: &generator)
      files.corrupt(path) { $0[bit / 8] ^= 1 << UInt8(bit % 8) }
      let check = try Journal.check(state: "s", files: files)
      #expect(check.damage != nil, "seed \(seed): bit \(bit) of \(path)")
      // Opening finds it in the open segment, and reading finds it in a sealed one.
      let (journal, opening) = try openJournal("s", files, segmentBytes: 4_000, ballast: 2_048)
      if opening.damage != nil || opening.recovered != nil {
        atOpen += 1
      } else {
        var found = false
        for i in 0..<result.acknowledged.count where !found {
          found = (try? journal.receipt(at: i)) == nil
        }
        #expect(found, "seed \(seed): bit \(bit) of \(path) was not found by reading")
      }
      journal.close()
    }
    print("bit flips: \(flips), all found by the check (seed \(seed)), \(atOpen) at the start already")
  }
}
