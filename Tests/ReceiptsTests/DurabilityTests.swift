import Dice
import Foundation
import Receipts
// DurabilityTests.swift: what a restart makes of jobs and of the files beside the journal, and a
// signer that hangs.
import SimulatedFileSystem
import Synchronization
import Testing

private func accepted(_ job: UInt64) -> Record {
  .jobAccepted(
    JobAccepted(
      job: job, client: "alice", model: "m", promptTokens: 1, maxTokens: 1, reserved: 1, isSpooled: true))
}

private func interrupted(_ job: UInt64) -> Record {
  .jobEnded(JobEnded(job: job, client: "alice", outcome: .interrupted, reason: "the node stopped"))
}

@Suite struct OpenJobTests {
  /// Journals of earlier releases have a receipt before its acceptance now and then.
  @Test(arguments: [1_000, 1 << 20]) func aJobThatHasEndedIsNotOpenWhicheverLineCameFirst(segmentBytes: Int)
    throws
  {
    for seed in 1...20 {
      var dice = SeededGenerator(seed: UInt64(seed))
      let scratch = try Scratch()
      var journal = try openJournal(scratch.path, segmentBytes: segmentBytes).journal
      var lines: [(job: UInt64, record: Record)] = []
      var open: Set<UInt64> = []
      for job in UInt64(1)...12 {
        lines.append((job, accepted(job)))
        switch Int.random(in: 0..<3, using: &dice) {
        case 0: lines.append((job, .receipt(sampleReceipt(job: job, tokens: 1))))
        case 1: lines.append((job, interrupted(job)))
        default: open.insert(job)
        }
      }
      lines.shuffle(using: &dice)
      for line in lines {
        try journal.append([line.record], at: testTime)
        if Int.random(in: 0..<8, using: &dice) == 0 {
          journal.close()
          journal = try openJournal(scratch.path, segmentBytes: segmentBytes).journal
        }
      }
      #expect(Set(journal.read { $0.openJobs.map(\.job) }) == open, "seed \(seed)")
      journal.close()
      journal = try openJournal(scratch.path, segmentBytes: segmentBytes).journal
      #expect(Set(journal.read { $0.openJobs.map(\.job) }) == open, "seed \(seed), again")
      #expect(Set(journal.read { $0.openTimes.keys }) == open)
      journal.close()
      #expect(try Journal.check(state: scratch.path).damage == nil)
    }
  }

  @Test func aRestartThatInterruptsWhatIsOpenNeverEndsAJobTwice() throws {
    let scratch = try Scratch()
    for round in 0..<5 {
      let (journal, _) = try openJournal(scratch.path, segmentBytes: 2_000)
      let left = journal.read { $0.openJobs.map(\.job) }
      try journal.append(left.map { interrupted($0) }, at: testTime)
      let first = UInt64(round * 10)
      try journal.append([.receipt(sampleReceipt(job: first))], at: testTime)
      try journal.append([accepted(first), accepted(first + 1), interrupted(first + 2)], at: testTime)
      try journal.append([accepted(first + 2), accepted(first + 3)], at: testTime)
      try journal.append([.receipt(sampleReceipt(job: first + 3))], at: testTime)
      journal.close()
    }
    var ends: [UInt64: Int] = [:]
    _ = try Journal.check(state: scratch.path) { entry in
      switch entry.record {
      case .receipt(let receipt): ends[receipt.job, default: 0] += 1
      case .jobEnded(let job): ends[job.job, default: 0] += 1
      default: break
      }
    }
    #expect(ends.count == 5 * 4 - 1)
    #expect(ends.values.allSatisfy { $0 == 1 }, "\(ends)")
  }

  @Test func whatOperatorsDidToOpenJobsIsFoundOverSegments() throws {
    let scratch = try Scratch()
    let (journal, _) = try openJournal(scratch.path, segmentBytes: 600)
    func act(_ act: OperatorAct.Act, _ target: String, _ reason: String = "") -> Record {
      .operatorAct(OperatorAct(act: act, who: "root", target: target, reason: reason))
    }
    let lines: [Record] = [
      accepted(7), accepted(8), act(.approve, "0000000000000007"), act(.pause, ""),
      act(.priority, "0000000000000007", "9"), act(.approve, "0000000000000008"),
      .receipt(sampleReceipt(job: 8)), act(.hold, "0000000000000007", "\"type\":\"operator_act\""),
    ]
    for line in lines { try journal.append([line], at: testTime) }
    journal.close()
    let (again, _) = try openJournal(scratch.path, segmentBytes: 600)
    let open = Set(again.read { $0.openJobs.map(\.job) })
    #expect(open == [7])
    let acts = try again.acts(on: open)
    #expect(acts.keys.sorted() == [7])
    #expect(acts[7]?.map(\.act) == [.approve, .priority, .hold])
    #expect(acts[7]?.map(\.reason) == ["", "9", "\"type\":\"operator_act\""])
    #expect(try again.acts(on: []).isEmpty)
    again.close()
  }
}

@Suite struct KeptFileTests {
  @Test func everyWrongBitOfAKeptRequestIsFound() throws {
    let scratch = try Scratch()
    let spool = try Spool(state: scratch.path)
    let request = Array("{\"chat\":true,\"client\":\"aria\"}\n{\"messages\":[]}".utf8)
    try spool.put(request, job: 7)
    #expect(try spool.get(job: 7) == request)
    let file = URL(fileURLWithPath: scratch.path + "/spool/0000000000000007")
    let good = try Data(contentsOf: file)
    for bit in 0..<good.count * 8 {
      var bad = good
      bad[bit / 8] ^= 1 << UInt8(bit % 8)
      try bad.write(to: file)
      #expect(throws: SpoolError.self, "bit \(bit)") { try spool.get(job: 7) }
    }
    for length in [0, 1, 72, 73, good.count - 1] {
      try good.prefix(length).write(to: file)
      #expect(throws: SpoolError.self, "\(length) bytes") { try spool.get(job: 7) }
    }
    try Data("{\"chat\":true}\n{}".utf8).write(to: file)
    #expect(try spool.get(job: 7) == Array("{\"chat\":true}\n{}".utf8), "as earlier releases wrote it")
  }

  @Test func aStartRemovesOnlyWhatNoOpenJobHas() throws {
    let scratch = try Scratch()
    let spool = try Spool(state: scratch.path)
    for job in UInt64(1)...4 { try spool.put([UInt8(job)], job: job) }
    try Data([1]).write(to: URL(fileURLWithPath: scratch.path + "/spool/0000000000000002.tmp"))
    try spool.removeAll(beforeStartBut: [2, 4])
    let left = try FileManager.default.contentsOfDirectory(atPath: scratch.path + "/spool").sorted()
    #expect(left == ["0000000000000002", "0000000000000004"])
  }

  @Test func answersArePrivateAndTheirMarksGoWithThem() throws {
    let scratch = try Scratch()
    let answers = try AnswerFiles(state: scratch.path)
    try answers.put([1, 2], job: 5)
    try answers.put([3], job: 6)
    try answers.mark(fetched: 6)
    #expect(try mode(scratch.path + "/answers") == 0o700)
    #expect(try mode(scratch.path + "/answers/0000000000000005") == 0o600)
    try Data().write(to: URL(fileURLWithPath: scratch.path + "/answers/0000000000000009.fetched"))
    let listed = try answers.list()
    #expect(listed.map(\.job) == [5, 6] && listed.map(\.isFetched) == [false, true])
    try answers.remove(job: 6)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: scratch.path + "/answers") == ["0000000000000005"])
  }
}

@Suite struct SpaceTests {
  @Test func roomThatComesBackIsSeenThoughNothingIsWritten() throws {
    let files = SimulatedFileSystem()
    let seen = Mutex<[Bool]>([])
    var options = JournalOptions()
    options.ballastBytes = 0
    options.lowSpace = 10_000
    let (journal, _) = try Journal.open(state: "/state", files: files, options: options, time: testTime) {
      if case .lowSpace(let isLow) = $0 { seen.withLock { $0.append(isLow) } }
    }
    try journal.append([.nodeStopped(NodeStopped(reason: "x"))], at: testTime)
    files.limit(bytes: 5_000)
    journal.watchSpace()
    journal.watchSpace()
    // It looks on a queue of its own.
    while seen.withLock({ $0.isEmpty }) { usleep(1_000) }
    files.limit(bytes: 1 << 30)
    journal.watchSpace()
    journal.watchSpace()
    journal.close()
    #expect(seen.withLock { $0 } == [true, false])
  }

  @Test func theReserveThatWasGivenUpIsMadeAgain() throws {
    let files = SimulatedFileSystem()
    var options = JournalOptions()
    options.ballastBytes = 1_000
    options.lowSpace = 10_000
    let (journal, _) = try Journal.open(state: "/state", files: files, options: options, time: testTime)
    func ballast() throws -> Int? { try files.status("/state/journal/ballast")?.size }
    #expect(try ballast() == 1_000)
    files.limit(bytes: 5_000)
    try journal.append([.nodeStopped(NodeStopped(reason: "x"))], at: testTime)
    #expect(try ballast() == nil)
    files.limit(bytes: 1 << 30)
    journal.watchSpace()
    journal.close()
    #expect(try ballast() == 1_000)
  }
}

@Suite struct HungSignerTests {
  private static func program(_ scratch: Scratch, _ text: String) throws -> String {
    let path = scratch.path + "/ssh-keygen"
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", #"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 700 "$0""#, path, text]
    try process.run()
    process.waitUntilExit()
    return path
  }

  private final class Told: Sendable {
    let failures = Mutex(0)
    let signed = Mutex(0)
    func hear(_ notice: NotaryNotice) {
      switch notice {
      case .failed: failures.withLock { $0 += 1 }
      case .signed(let checkpoint): signed.withLock { $0 = checkpoint.size }
      case .sealed: break
      }
    }
  }

  @Test func aHungSignerHoldsUpNoEnd() throws {
    let scratch = try Scratch()
    let key = try SSHKeygen(deadline: 20).makeKey(at: scratch.path + "/key")
    let hung = SSHKeygen(program: try Self.program(scratch, "exec sleep 600"), deadline: 1)
    let (journal, _) = try openJournal(scratch.path, segmentBytes: 3_000)
    for i in 0..<12 { try journal.append([.receipt(sampleReceipt(job: UInt64(i)))], at: testTime) }
    let told = Told()
    let notary = Notary(
      journal: journal, state: scratch.path, key: key, keyPath: scratch.path + "/key", keygen: hung,
      clock: { testTime }, notice: { told.hear($0) })
    notary.start()
    while told.failures.withLock({ $0 }) == 0 { usleep(10_000) }
    let before = ContinuousClock.now
    notary.stop()
    #expect(ContinuousClock.now - before < .seconds(5))
    // Segments and checkpoint wait for the next start: one hung call is enough to know.
    #expect(told.failures.withLock { $0 } <= 2)
    journal.close()
  }

  @Test func aCancelledCallEndsAtOnce() throws {
    let scratch = try Scratch()
    let key = try SSHKeygen(deadline: 20).makeKey(at: scratch.path + "/key")
    let hung = SSHKeygen(program: try Self.program(scratch, "exec sleep 600"), deadline: 60)
    let (journal, _) = try openJournal(scratch.path)
    try journal.append([.receipt(sampleReceipt(job: 1))], at: testTime)
    let notary = Notary(
      journal: journal, state: scratch.path, key: key, keyPath: scratch.path + "/key", keygen: hung,
      clock: { testTime }, notice: { _ in })
    notary.start()
    usleep(100_000)
    let before = ContinuousClock.now
    notary.cancel()
    notary.stop()
    #expect(ContinuousClock.now - before < .seconds(5))
    journal.close()
  }

  @Test func aClockThatIsSetBackAnHourDelaysNoSignature() throws {
    let scratch = try Scratch()
    let key = try SSHKeygen(deadline: 20).makeKey(at: scratch.path + "/key")
    // Fails once, then is the real one.
    let once = try Self.program(
      scratch,
      "if [ -e \(scratch.path)/tried ]; then exec ssh-keygen \"$@\"; fi; : > \(scratch.path)/tried; exit 1")
    let (journal, _) = try openJournal(scratch.path)
    try journal.append([.receipt(sampleReceipt(job: 1))], at: testTime)
    let told = Told()
    let wall = Mutex(testTime)
    let notary = Notary(
      journal: journal, state: scratch.path, key: key, keyPath: scratch.path + "/key",
      keygen: SSHKeygen(program: once, deadline: 20), clock: { wall.withLock { $0 } },
      notice: { told.hear($0) })
    notary.start()
    while told.failures.withLock({ $0 }) == 0 { usleep(10_000) }
    wall.withLock { $0 -= 3_600_000_000 }
    let before = ContinuousClock.now
    while told.signed.withLock({ $0 }) == 0, ContinuousClock.now - before < .seconds(60) { usleep(10_000) }
    #expect(told.signed.withLock { $0 } == 1)
    #expect(ContinuousClock.now - before < .seconds(30))
    notary.stop()
    journal.close()
  }

  @Test func aPublicKeyThatIsNotThePrivateOnesIsFound() throws {
    let scratch = try Scratch()
    let keygen = SSHKeygen(deadline: 20)
    let path = scratch.path + "/key"
    let key = try keygen.makeKey(at: path)
    try keygen.checkKey(at: path)
    // One bit in the last bytes of the key: still a key, of nobody.
    let text = try String(contentsOfFile: path + ".pub", encoding: .utf8)
    var parts = text.split(separator: " ").map(String.init)
    var blob = try #require(Data(base64Encoded: parts[1]))
    blob[blob.count - 3] ^= 4
    parts[1] = blob.base64EncodedString()
    try parts.joined(separator: " ").write(toFile: path + ".pub", atomically: false, encoding: .utf8)
    let other = try keygen.publicKey(at: path + ".pub")
    #expect(other != key)
    #expect(throws: SignatureError.foreignKey(path: path, found: other.fingerprint, wanted: key.fingerprint))
    {
      try keygen.checkKey(at: path)
    }
  }
}
