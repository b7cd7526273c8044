// BenchmarkTests.swift: the figures of 10^6 receipts and of appending, measured. Runs with HOTPOT_HEAVY=1 only: it writes 2 GB.
import Dice
import Foundation
import Receipts
import Synchronization
import TestSettings
import Testing

/// CPU time of this process over all its threads: what the work costs, whatever else the machine does. Wall time beside it.
private struct Cost: Comparable {
  var wall = 0.0
  var cpu = 0.0

  static func < (a: Cost, b: Cost) -> Bool { a.cpu < b.cpu }
}

private func cost(_ body: () throws -> Void) rethrows -> Cost {
  func now(_ clock: clockid_t) -> Double {
    var time = timespec()
    clock_gettime(clock, &time)
    return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
  }
  let (wall, cpu) = (now(CLOCK_MONOTONIC), now(CLOCK_PROCESS_CPUTIME_ID))
  try body()
  return Cost(wall: now(CLOCK_MONOTONIC) - wall, cpu: now(CLOCK_PROCESS_CPUTIME_ID) - cpu)
}

private func shown(_ value: Double) -> String { String(format: "%.3g", value) }
private func shown(_ cost: Cost) -> String { "\(shown(cost.cpu)) ms CPU (\(shown(cost.wall)) ms)" }

@Suite(.enabled(if: isHeavy), .serialized) struct BenchmarkTests {
  @Test func aMillionReceipts() throws {
    let count = Int(ProcessInfo.processInfo.environment["HOTPOT_BENCH_RECEIPTS"] ?? "") ?? 1_000_000
    let scratch = try Scratch()
    let (journal, _) = try openJournal(scratch.path)
    let clients = (0..<50).map { "client-\($0)" }
    let models = ["smollm2", "qwen3", "llama31"]
    let done = DispatchGroup()
    let failures = Mutex(0)
    let writing = cost {
      for start in stride(from: 0, to: count, by: 1_000) {
        done.enter()
        let receipts = (start..<min(start + 1_000, count)).map { i in
          Record.receipt(
            sampleReceipt(
              job: UInt64(i), tokens: 40, client: clients[i % 50], model: models[i % 3],
              day: Int32(i * 365 / count)))
        }
        journal.append(receipts, at: testTime) { result in
          if case .failure = result { failures.withLock { $0 += 1 } }
          done.leave()
        }
        if start % 20_000 == 0 { done.wait() }
      }
      done.wait()
    }
    #expect(failures.withLock { $0 } == 0)
    let root = journal.read { $0.tree.root }
    journal.close()

    var opened: Journal?
    let start = try cost { opened = try openJournal(scratch.path).journal }
    let again = try #require(opened)
    #expect(again.read { $0.counts.logged } == count)
    #expect(again.read { $0.tree.root } == root)

    var worstProof = Cost()
    let catalog = again.catalog()
    for i in stride(from: 0, to: count, by: max(1, count / 1_000)) {
      worstProof = max(worstProof, cost { _ = catalog.tree.inclusion(of: i, in: count - i % 7) })
    }
    var worstConsistency = Cost()
    for i in stride(from: 1, to: count, by: max(1, count / 1_000)) {
      worstConsistency = max(
        worstConsistency, cost { _ = catalog.tree.consistency(from: i, to: count) })
    }
    var worstQuery = Cost()
    var sum = 0
    for i in 0..<100 {
      let query = TotalsQuery(
        days: Int32(i)...Int32(i * 3), client: i % 2 == 0 ? clients[i % 50] : nil,
        model: i % 3 == 0 ? models[i % 3] : nil)
      worstQuery = max(worstQuery, cost { sum += catalog.totals(query).receipts })
    }
    #expect(sum > 0)
    let allRows = cost { _ = catalog.rows() }
    let byID = cost {
      #expect(catalog.indexes(idPrefix: catalog.id(of: count - 1) ?? "") == [count - 1])
    }
    let byJob = cost { #expect(catalog.index(ofJob: 0) == 0) }
    var oneReceipt = Cost()
    try oneReceipt = cost { _ = try again.receipt(at: count / 2) }
    again.close()

    var check: JournalCheck?
    // As a command does, from a thread that is none of the pool's: those that run tests are missing from it.
    let state = scratch.path
    let result = Mutex<Result<JournalCheck, any Error>?>(nil)
    let replay = cost {
      let ended = DispatchSemaphore(value: 0)
      let thread = Thread {
        let found = Result { try Journal.check(state: state) }
        result.withLock { $0 = found }
        ended.signal()
      }
      thread.stackSize = 8 << 20
      thread.start()
      ended.wait()
    }
    check = try result.withLock { $0 }?.get()
    #expect(check?.damage == nil)
    #expect(check?.root == root)
    print(
      """
      \(count) receipts, \((check?.bytes ?? 0) >> 20) MiB: written in \(shown(writing.wall)) ms
      start: \(shown(start))
      full replay with chain and tree: \(shown(replay))
      worst inclusion proof: \(shown(worstProof)), worst consistency proof: \(shown(worstConsistency))
      worst day x client x model question: \(shown(worstQuery)), all rows sorted: \(shown(allRows))
      by id: \(shown(byID)), by job: \(shown(byJob)), one receipt from disk: \(shown(oneReceipt))
      """)
  }

  /// The disk of this one takes 4 ms for a sync, whatever the real one takes; 16 appends are under way at any time.
  /// What counts is how many appends share a sync: eight make 2,000 a second. The rate itself is the machine's.
  @Test func appendingKeepsUpWithSlowSyncs() throws {
    let files = SlowSyncs()
    let scratch = try Scratch()
    let (journal, _) = try openJournal(scratch.path, files)
    let (done, slots) = (DispatchGroup(), DispatchSemaphore(value: 16))
    let time = cost {
      for i in 0..<10_000 {
        slots.wait()
        done.enter()
        journal.append([.receipt(sampleReceipt(job: UInt64(i)))], at: testTime) { _ in
          slots.signal()
          done.leave()
        }
      }
      done.wait()
    }
    journal.close()
    let syncs = files.syncs.value.withLock { $0 }
    let rate = shown(10_000 / time.wall * 1000)
    print(
      "appending, 16 at a time, sync 4 ms: \(shown(10_000 / Double(syncs))) appends a sync, \(rate) events/s here"
    )
    #expect(syncs <= 10_000 / 8)
  }

  @Test func signingCost() throws {
    let scratch = try Scratch()
    let keygen = SSHKeygen(deadline: 20)
    _ = try keygen.makeKey(at: scratch.path + "/key")
    let time = try cost {
      for _ in 0..<50 {
        _ = try keygen.sign([1], key: scratch.path + "/key", namespace: Checkpoint.namespace)
      }
    }
    print("a signature by ssh-keygen: \(shown(time.wall / 50)) ms")
  }
}

/// The system's files with a sync that takes 4 ms, in place of the real disk's.
private struct SlowSyncs: FileSystem {
  final class Count: Sendable {
    let value = Mutex(0)
  }

  let real = POSIXFileSystem()
  let syncs = Count()

  func sync(_ file: FileHandleNumber) throws(FileError) {
    syncs.value.withLock { $0 += 1 }
    usleep(4_000)
  }

  func open(_ path: String, _ mode: OpenMode) throws(FileError) -> FileHandleNumber {
    try real.open(path, mode)
  }
  func write(_ file: FileHandleNumber, _ bytes: UnsafeRawBufferPointer) throws(FileError) -> Int {
    try real.write(file, bytes)
  }
  func read(_ file: FileHandleNumber, at offset: Int, into bytes: UnsafeMutableRawBufferPointer)
    throws(FileError)
    -> Int
  { try real.read(file, at: offset, into: bytes) }
  func truncate(_ file: FileHandleNumber, to size: Int) throws(FileError) {
    try real.truncate(file, to: size)
  }
  func close(_ file: FileHandleNumber) throws(FileError) { try real.close(file) }
  func seal(_ path: String) throws(FileError) { try real.seal(path) }
  func rename(_ from: String, to: String) throws(FileError) { try real.rename(from, to: to) }
  func remove(_ path: String) throws(FileError) { try real.remove(path) }
  func makeDirectory(_ path: String) throws(FileError) { try real.makeDirectory(path) }
  func syncDirectory(_ path: String) throws(FileError) { try real.syncDirectory(path) }
  func list(_ directory: String) throws(FileError) -> [String] { try real.list(directory) }
  func status(_ path: String) throws(FileError) -> FileStatus? { try real.status(path) }
  func freeSpace(_ path: String) throws(FileError) -> Int { try real.freeSpace(path) }
}
