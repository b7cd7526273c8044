import Dice
import Foundation
import Receipts
// JournalTests.swift: the journal on real files: what is there after it is closed, reopened, rotated, cut and damaged.
import SimulatedFileSystem
import Synchronization
import Testing

let testTime: Int64 = 1_790_000_000_000_000

func openJournal(
  _ state: String, _ files: any FileSystem = POSIXFileSystem(), segmentBytes: Int = 64 << 20,
  ballast: Int = 0,
  notice: @escaping @Sendable (JournalNotice) -> Void = { _ in }
) throws -> (journal: Journal, opening: JournalOpening) {
  var options = JournalOptions()
  options.segmentBytes = segmentBytes
  options.ballastBytes = ballast
  options.lowSpace = 1
  return try Journal.open(state: state, files: files, options: options, time: testTime, notice: notice)
}

func mode(_ path: String) throws -> Int {
  let attributes = try FileManager.default.attributesOfItem(atPath: path)
  return try #require(attributes[.posixPermissions] as? Int)
}

@Suite struct JournalTests {
  @Test func whatWasAppendedIsThereAfterReopening() throws {
    let scratch = try Scratch()
    do {
      let (journal, opening) = try openJournal(scratch.path)
      #expect(opening.damage == nil)
      for record in sampleRecords { try journal.append([record], at: testTime) }
      journal.close()
    }
    var found: [Record] = []
    let check = try Journal.check(state: scratch.path) { found.append($0.record) }
    #expect(check.damage == nil)
    #expect(check.lines == sampleRecords.count)
    #expect(found.map(\.kind) == sampleRecords.map(\.kind))
    let (journal, opening) = try openJournal(scratch.path)
    #expect(opening.recovered == nil)
    #expect(journal.read { $0.counts.logged } == 3)
    #expect(try journal.receipt(at: 1).receipt.index == 1)
    #expect(try mode(scratch.path + "/journal") == 0o700)
    #expect(try mode(scratch.path + "/journal/00000001.jsonl") == 0o600)
    journal.close()
  }

  @Test func segmentsAreSealedBySizeAndByDayAndStartFromTheirRollups() throws {
    let scratch = try Scratch()
    let sealed = Mutex<[Int]>([])
    let (journal, _) = try openJournal(scratch.path, segmentBytes: 8_192) { notice in
      if case .sealed(let segment) = notice { sealed.withLock { $0.append(segment) } }
    }
    try journal.append([.clientAdded(ClientAdded(client: "alice", tokenSHA256: .zero))], at: testTime)
    for i in 0..<100 {
      let job = UInt64(i)
      try journal.append(
        [
          .jobAccepted(
            JobAccepted(
              job: job, client: "alice", model: "m", promptTokens: 1, maxTokens: 1, reserved: 1,
              isSpooled: i % 2 == 0))
        ], at: testTime)
      if i % 10 != 3 {
        try journal.append([.receipt(sampleReceipt(job: job, day: Int32(i / 10)))], at: testTime + Int64(i))
      }
    }
    try journal.append([.audit(Audit(receipt: 0, outcome: .identical))], at: testTime)
    try journal.append([.audit(Audit(receipt: 1, outcome: .token, position: 3))], at: testTime)
    try journal.append([.receipt(sampleReceipt(job: 500))], at: testTime + 86_400_000_000)
    let before = journal.catalog()
    journal.close()
    let segments = sealed.withLock { $0 }
    #expect(segments.count > 5)
    #expect(segments == Array(1...segments.count))
    for segment in segments {
      let name = String(format: "%@/journal/%08d.jsonl", scratch.path, segment)
      #expect(try mode(name) == 0o400)
    }
    #expect(try Journal.check(state: scratch.path).damage == nil)

    let (again, opening) = try openJournal(scratch.path, segmentBytes: 8_192)
    #expect(opening.rebuilt.isEmpty)
    let after = again.catalog()
    #expect(after.tree.root == before.tree.root)
    #expect(after.counts == before.counts)
    #expect(after.counts.audited == 1 && after.counts.failed == 1)
    #expect(after.rows() == before.rows())
    #expect(after.openJobs.map(\.job) == stride(from: 3, to: 100, by: 10).map { UInt64($0) })
    #expect(after.openJobs == before.openJobs)
    #expect(after.standing == before.standing)
    for i in 0..<91 {
      let logged = try again.receipt(at: i)
      #expect(logged.receipt.index == i)
      #expect(after.index(ofJob: logged.receipt.job) == i)
      #expect(after.indexes(idPrefix: logged.id) == [i])
    }
    #expect(
      try again.receipt(at: 1).status.reexecution == .failed(Audit(receipt: 1, outcome: .token, position: 3)))
    #expect(after.totals(TotalsQuery(days: 2...3, client: "alice", model: "smollm2")).receipts == 18)
    #expect(after.totals(TotalsQuery(client: "bob")).receipts == 0)
    again.close()

    // A lost or damaged rollup is made again from its segment.
    let rollup = scratch.path + "/journal/00000002.rollup"
    let good = try #require(FileManager.default.contents(atPath: rollup))
    try Data("broken".utf8).write(to: URL(fileURLWithPath: rollup))
    let (third, rebuilt) = try openJournal(scratch.path, segmentBytes: 8_192)
    #expect(rebuilt.rebuilt == [2])
    #expect(third.read { $0.tree.root } == before.tree.root)
    third.close()
    #expect(FileManager.default.contents(atPath: rollup) == good)
  }

  /// Lines are parsed into the places of earlier ones: nothing of those may stay.
  @Test func receiptsOfEveryShapeAreReplayedAsTheyWere() throws {
    let scratch = try Scratch()
    let (journal, _) = try openJournal(scratch.path, segmentBytes: 200_000)
    let clients = [
      "", "a", "fifteen letters", "sixteen letters.", "an \"escape\"", "caf\u{E9} caf\u{E9} caf\u{E9}",
    ]
    let node = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
    var records: [Record] = []
    for i in 0..<600 {
      let receipt = sampleReceipt(
        job: UInt64(i), tokens: i * 7 % 200, client: clients[i * 5 % 6], model: i % 3 == 0 ? clients[4] : "m",
        day: Int32(i / 100), node: i % 50 == 49 ? "SHA256:other" : node)
      records.append(.receipt(receipt))
      if i % 17 == 0 {
        records.append(.operatorAct(OperatorAct(act: .pause, who: clients[i % 6], target: "", reason: "")))
      }
    }
    var written: [Entry] = []
    for start in stride(from: 0, to: records.count, by: 10) {
      let group = Array(records[start..<min(start + 10, records.count)])
      written += try journal.append(group, at: testTime).map(\.entry)
    }
    let root = journal.read { $0.tree.root }
    journal.close()
    var rest = written[...]
    let replay = try Journal.check(state: scratch.path) { entry in
      if entry == rest.first { rest.removeFirst() }
    }
    #expect(rest.isEmpty, "the first that did not come is \(rest.startIndex)")
    let check = try Journal.check(state: scratch.path)
    #expect(check.damage == nil && replay.damage == nil)
    #expect(check.root == root && replay.root == root)
    #expect(check.receipts == 600 && check.lines == replay.lines)
  }

  @Test func aGroupTakesWhatWaits() throws {
    let scratch = try Scratch()
    let (journal, _) = try openJournal(scratch.path)
    let done = DispatchGroup()
    let order = Mutex<[Int]>([])
    for i in 0..<500 {
      done.enter()
      journal.append([.receipt(sampleReceipt(job: UInt64(i)))], at: testTime) { result in
        if case .success(let appended) = result, let index = appended.first?.receiptIndex {
          order.withLock { $0.append(index) }
        }
        done.leave()
      }
    }
    done.wait()
    #expect(order.withLock { $0 } == Array(0..<500))
    var groups: Set<Int> = []
    _ = try Journal.check(state: scratch.path) { groups.insert($0.envelope.group) }
    #expect(groups.count < 400, "\(groups.count) syncs for 500 appends")
    journal.close()
    #expect(throws: JournalError.closed) {
      try journal.append([.receipt(sampleReceipt(job: 1))], at: testTime)
    }
  }

  @Test func aRecordThatDoesNotFitIsRefusedAndTheOthersGoOn() throws {
    let scratch = try Scratch()
    let (journal, _) = try openJournal(scratch.path)
    var bad = sampleReceipt(job: 1)
    bad.sampler.topP = .infinity
    try journal.append([.receipt(sampleReceipt(job: 0))], at: testTime)
    #expect(throws: JournalError.self) {
      try journal.append([.receipt(sampleReceipt(job: 9)), .receipt(bad)], at: testTime)
    }
    let appended = try journal.append([.receipt(sampleReceipt(job: 2))], at: testTime)
    #expect(appended.first?.receiptIndex == 1)
    journal.close()
    #expect(try Journal.check(state: scratch.path).receipts == 2)
  }

  @Test func anUnfinishedTailIsMovedAsideAndRecorded() throws {
    let scratch = try Scratch()
    let path = scratch.path + "/journal/00000001.jsonl"
    do {
      let (journal, _) = try openJournal(scratch.path)
      for i in 0..<5 { try journal.append([.receipt(sampleReceipt(job: UInt64(i)))], at: testTime) }
      journal.close()
    }
    let whole = try #require(FileManager.default.contents(atPath: path))
    let torn = Array("{\"seq\":5,\"t\":17900000".utf8)
    try (whole + Data(torn)).write(to: URL(fileURLWithPath: path))
    let (journal, opening) = try openJournal(scratch.path)
    #expect(opening.damage == nil)
    #expect(
      opening.recovered
        == Recovered(
          segment: 1, offset: whole.count, bytes: torn.count, file: "00000001.tail-\(whole.count)",
          sha256: SHA256.hash(torn)))
    #expect(
      FileManager.default.contents(atPath: scratch.path + "/journal/00000001.tail-\(whole.count)")
        == Data(torn))
    #expect(journal.read { $0.counts.logged } == 5)
    journal.close()
    var kinds: [Record.Kind] = []
    #expect(try Journal.check(state: scratch.path) { kinds.append($0.record.kind) }.damage == nil)
    #expect(kinds.last?.rawValue == "recovered")
  }

  @Test func damageBeforeAValidRecordStartsReadOnly() throws {
    let scratch = try Scratch()
    let path = scratch.path + "/journal/00000001.jsonl"
    do {
      let (journal, _) = try openJournal(scratch.path)
      for i in 0..<5 { try journal.append([.receipt(sampleReceipt(job: UInt64(i)))], at: testTime) }
      journal.close()
    }
    let whole = Array(try #require(FileManager.default.contents(atPath: path)))
    let lines = whole.split(separator: 0x0A).map { Array($0) + [0x0A] }
    func check(_ changed: [[UInt8]], _ what: Comment) throws {
      try Data(changed.joined()).write(to: URL(fileURLWithPath: path))
      let (journal, opening) = try openJournal(scratch.path)
      #expect(opening.damage != nil, what)
      #expect(throws: JournalError.self) {
        try journal.append([.receipt(sampleReceipt(job: 9))], at: testTime)
      }
      journal.close()
      #expect(FileManager.default.contents(atPath: path) == Data(changed.joined()), "nothing was changed")
    }
    try check([lines[0], lines[2], lines[3], lines[4]], "a line dropped")
    try check([lines[0], lines[2], lines[1], lines[3], lines[4]], "lines reordered")
    try check([lines[0], lines[1], lines[1], lines[2]], "a line doubled")
    try check([lines[1], lines[2]], "the beginning dropped")
    var edited = lines
    edited[2][30] ^= 1
    try check(edited, "a line edited")
    edited = lines
    edited[2] = Array(repeating: 0, count: lines[2].count)
    try check(edited, "a line zeroed")
    edited = lines
    edited[1].removeLast()
    try check(edited, "a newline lost")
  }

  /// A segment of several MiB is read in pieces: damage in any of them ends at the same byte as in one.
  @Test func damageInALargeSegmentIsFoundWhereItIs() throws {
    let files = SimulatedFileSystem()
    let (journal, _) = try openJournal("s", files)
    for i in 0..<4 {
      try journal.append(
        (0..<1_000).map { .receipt(sampleReceipt(job: UInt64(i * 1_000 + $0))) }, at: testTime)
    }
    journal.close()
    let whole = try #require(files.bytes(of: "s/journal/00000001.jsonl"))
    #expect(whole.count > 4 << 20)
    #expect(try Journal.check(state: "s", files: files).receipts == 4_000)
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<20 {
      let at = Int.random(in: 0..<whole.count, using: &generator)
      let damaged = files.afterKill()
      damaged.corrupt("s/journal/00000001.jsonl") { $0[at] ^= 0x10 }
      let start = whole[..<at].lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
      let check = try Journal.check(state: "s", files: damaged)
      #expect(check.damage?.offset == start)
      #expect(check.lines == whole[..<start].count { $0 == 0x0A })
    }
  }

  @Test func aLogShorterThanItsCheckpointStartsReadOnly() throws {
    let scratch = try Scratch()
    let path = scratch.path + "/journal/00000001.jsonl"
    let root: SHA256Digest
    do {
      let (journal, _) = try openJournal(scratch.path)
      for i in 0..<5 { try journal.append([.receipt(sampleReceipt(job: UInt64(i)))], at: testTime) }
      root = journal.read { $0.tree.root }
      journal.close()
    }
    func write(_ text: String) throws {
      try Data(text.utf8).write(to: URL(fileURLWithPath: scratch.path + "/checkpoint"))
    }
    let good = Checkpoint(origin: "hotpot/x", size: 5, root: root, time: 1, previous: .zero)
    try write(good.text)
    do {
      let (journal, opening) = try openJournal(scratch.path)
      #expect(opening.damage == nil)
      journal.close()
    }
    try write(Checkpoint(origin: "hotpot/x", size: 5, root: .zero, time: 1, previous: .zero).text)
    #expect(try openJournal(scratch.path).opening.damage?.file == "checkpoint")
    try write("garbage")
    #expect(try openJournal(scratch.path).opening.damage?.file == "checkpoint")
    try write(good.text)
    let whole = try #require(FileManager.default.contents(atPath: path))
    let lines = whole.split(separator: 0x0A)
    try Data(lines.dropLast().map { Array($0) + [0x0A] }.joined()).write(to: URL(fileURLWithPath: path))
    let damage = try #require(try openJournal(scratch.path).opening.damage)
    #expect(damage.found == "5 receipts were signed, the journal holds 4")
  }

  @Test func aLostSegmentStartsReadOnly() throws {
    let scratch = try Scratch()
    do {
      let (journal, _) = try openJournal(scratch.path, segmentBytes: 2_000)
      for i in 0..<20 { try journal.append([.receipt(sampleReceipt(job: UInt64(i)))], at: testTime) }
      journal.close()
    }
    try FileManager.default.removeItem(atPath: scratch.path + "/journal/00000003.jsonl")
    let (journal, opening) = try openJournal(scratch.path, segmentBytes: 2_000)
    #expect(opening.damage?.found == "the segment is missing")
    #expect(throws: JournalError.self) { try journal.append([.receipt(sampleReceipt(job: 1))], at: testTime) }
  }

  @Test func lowSpaceGivesUpTheBallast() throws {
    let files = SimulatedFileSystem()
    files.limit(bytes: 1_000_000)
    var options = JournalOptions()
    options.ballastBytes = 100_000
    options.lowSpace = 300_000
    let notices = Mutex<[JournalNotice]>([])
    let (journal, _) = try Journal.open(state: "s", files: files, options: options, time: testTime) {
      notice in
      if case .lowSpace = notice { notices.withLock { $0.append(notice) } }
    }
    #expect(files.bytes(of: "s/journal/ballast")?.count == 100_000)
    var written = 0
    while written < 2_000 {
      guard (try? journal.append([.receipt(sampleReceipt(job: UInt64(written)))], at: testTime)) != nil else {
        break
      }
      written += 1
    }
    #expect(notices.withLock { $0 } == [.lowSpace(true)])
    #expect(files.bytes(of: "s/journal/ballast") == nil)
    #expect(written > 400, "\(written) receipts before the disk was full")
    // The disk is full: the failure is final, and what was acknowledged is there.
    files.limit(bytes: 10_000_000)
    #expect(throws: JournalError.self) { try journal.append([.receipt(sampleReceipt(job: 1))], at: testTime) }
    let (again, opening) = try Journal.open(
      state: "s", files: files.afterKill(), options: options, time: testTime)
    #expect(opening.damage == nil)
    #expect(again.read { $0.counts.logged } >= written)
  }

  @Test func aSecondNodeIsToldWhoHoldsTheState() throws {
    let scratch = try Scratch()
    let lock = try StateLock(state: scratch.path)
    #expect(throws: JournalError.locked(path: scratch.path + "/lock", process: getpid())) {
      try StateLock(state: scratch.path)
    }
    #expect(try mode(scratch.path + "/lock") == 0o600)
    withExtendedLifetime(lock) {}
  }

  @Test func theLockGoesWithItsHolder() throws {
    let scratch = try Scratch()
    do {
      let lock = try StateLock(state: scratch.path)
      withExtendedLifetime(lock) {}
    }
    _ = try StateLock(state: scratch.path)
  }

  @Test func theSpoolKeepsRequestsUntilTheirJobsEnd() throws {
    let scratch = try Scratch()
    let spool = try Spool(state: scratch.path)
    try spool.put([1, 2, 3], job: 7)
    try spool.put([4], job: 8)
    #expect(try mode(scratch.path + "/spool") == 0o700)
    #expect(try mode(scratch.path + "/spool/0000000000000007") == 0o600)
    #expect(try spool.get(job: 7) == [1, 2, 3])
    try spool.removeAll(beforeStartBut: [7])
    #expect(throws: SpoolError.self) { try spool.get(job: 8) }
    try spool.remove(job: 7)
    try spool.remove(job: 7)
    #expect(throws: SpoolError.self) { try spool.get(job: 7) }
  }
}
