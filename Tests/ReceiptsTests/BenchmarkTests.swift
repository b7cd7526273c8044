// BenchmarkTests.swift: the figures of 10^6 receipts and of appending, measured. Runs with HOTPOT_HEAVY=1 only: it writes 2 GB.
import Foundation
import Receipts
import Synchronization
import Testing

private func milliseconds(_ body: () throws -> Void) rethrows -> Double {
  let clock = ContinuousClock()
  let duration = try clock.measure(body)
  return Double(duration.components.seconds) * 1000 + Double(duration.components.attoseconds) / 1e15
}

private func shown(_ value: Double) -> String { String(format: "%.3g", value) }

@Suite(.enabled(if: isHeavy)) struct BenchmarkTests {
  @Test func aMillionReceipts() throws {
    let count = Int(ProcessInfo.processInfo.environment["HOTPOT_BENCH_RECEIPTS"] ?? "") ?? 1_000_000
    let scratch = try Scratch()
    let (journal, _) = try openJournal(scratch.path)
    let clients = (0..<50).map { "client-\($0)" }
    let models = ["smollm2", "qwen3", "llama31"]
    let done = DispatchGroup()
    let failures = Mutex(0)
    let writing = milliseconds {
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
    let start = try milliseconds { opened = try openJournal(scratch.path).journal }
    let again = try #require(opened)
    #expect(again.read { $0.counts.logged } == count)
    #expect(again.read { $0.tree.root } == root)

    var worstProof = 0.0
    let catalog = again.catalog()
    for i in stride(from: 0, to: count, by: max(1, count / 1_000)) {
      worstProof = max(worstProof, milliseconds { _ = catalog.tree.inclusion(of: i, in: count - i % 7) })
    }
    var worstConsistency = 0.0
    for i in stride(from: 1, to: count, by: max(1, count / 1_000)) {
      worstConsistency = max(
        worstConsistency, milliseconds { _ = catalog.tree.consistency(from: i, to: count) })
    }
    var worstQuery = 0.0
    var sum = 0
    for i in 0..<100 {
      let query = TotalsQuery(
        days: Int32(i)...Int32(i * 3), client: i % 2 == 0 ? clients[i % 50] : nil,
        model: i % 3 == 0 ? models[i % 3] : nil)
      worstQuery = max(worstQuery, milliseconds { sum += catalog.totals(query).receipts })
    }
    #expect(sum > 0)
    let allRows = milliseconds { _ = catalog.rows() }
    let byID = milliseconds {
      #expect(catalog.indexes(idPrefix: catalog.id(of: count - 1) ?? "") == [count - 1])
    }
    let byJob = milliseconds { #expect(catalog.index(ofJob: 0) == 0) }
    var oneReceipt = 0.0
    try oneReceipt = milliseconds { _ = try again.receipt(at: count / 2) }
    again.close()

    var check: JournalCheck?
    let replay = try milliseconds { check = try Journal.check(state: scratch.path) }
    #expect(check?.damage == nil)
    #expect(check?.root == root)
    print(
      """
      \(count) receipts, \((check?.bytes ?? 0) >> 20) MiB: written in \(shown(writing)) ms, start \(shown(start)) ms, \
      full replay with chain and tree \(shown(replay)) ms, worst inclusion proof \(shown(worstProof)) ms, worst consistency proof \
      \(shown(worstConsistency)) ms, worst day x client x model question \(shown(worstQuery)) ms, all rows sorted \(shown(allRows)) ms, \
      by id \(shown(byID)) ms, by job \(shown(byJob)) ms, one receipt from disk \(shown(oneReceipt)) ms
      """)
  }

  /// 2,000 events a second with a sync of 4 ms: the disk of the benchmark waits that long.
  @Test func appendingKeepsUpWithSlowSyncs() throws {
    let files = SlowSyncs()
    let scratch = try Scratch()
    let (journal, _) = try openJournal(scratch.path, files)
    let done = DispatchGroup()
    let time = milliseconds {
      for i in 0..<10_000 {
        done.enter()
        journal.append([.receipt(sampleReceipt(job: UInt64(i)))], at: testTime) { _ in done.leave() }
        if i % 8 == 7 { usleep(4_000) }
      }
      done.wait()
    }
    journal.close()
    let rate = 10_000 / time * 1000
    print("appending, offered 2,000/s at most, sync 4 ms: \(shown(rate)) events/s")
    #expect(rate > 1_500)
  }

  @Test func signingCost() throws {
    let scratch = try Scratch()
    let keygen = SSHKeygen(deadline: 20)
    _ = try keygen.makeKey(at: scratch.path + "/key")
    let time = try milliseconds {
      for _ in 0..<50 {
        _ = try keygen.sign([1], key: scratch.path + "/key", namespace: Checkpoint.namespace)
      }
    }
    print("a signature by ssh-keygen: \(shown(time / 50)) ms")
  }
}

/// The system's files with a sync that takes 4 ms more.
private struct SlowSyncs: FileSystem {
  let real = POSIXFileSystem()

  func sync(_ file: FileHandleNumber) throws(FileError) {
    usleep(4_000)
    try real.sync(file)
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
