// KillTests.swift: a process that writes a journal on a real disk is killed (SIGKILL) at the n-th system call.
// The simulated disk's version is in FaultTests; this one takes the real process, the real files and the real signal.
import Dice
import Foundation
import Receipts
import Synchronization
import TestSettings
import Testing

/// The system's files, until call number `fatal`: there the process kills itself, halfway through if it is a write.
private struct DeadlyFileSystem: FileSystem {
  private final class Counter: Sendable {
    let value = Mutex(0)
  }

  let real = POSIXFileSystem()
  let fatal: Int
  private let counter = Counter()

  init(fatal: Int) { self.fatal = fatal }

  private func step() -> Bool {
    counter.value.withLock { calls in
      defer { calls += 1 }
      return calls == fatal
    }
  }

  private func dieIfDue() {
    if step() { _ = kill(getpid(), SIGKILL) }
  }

  func open(_ path: String, _ mode: OpenMode) throws(FileError) -> FileHandleNumber {
    dieIfDue()
    return try real.open(path, mode)
  }

  func write(_ file: FileHandleNumber, _ bytes: UnsafeRawBufferPointer) throws(FileError) -> Int {
    if step() {
      _ = try real.write(file, UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count / 2)]))
      _ = kill(getpid(), SIGKILL)
    }
    return try real.write(file, bytes)
  }

  func read(_ file: FileHandleNumber, at offset: Int, into bytes: UnsafeMutableRawBufferPointer)
    throws(FileError)
    -> Int
  {
    dieIfDue()
    return try real.read(file, at: offset, into: bytes)
  }

  func sync(_ file: FileHandleNumber) throws(FileError) {
    dieIfDue()
    try real.sync(file)
  }

  func truncate(_ file: FileHandleNumber, to size: Int) throws(FileError) {
    dieIfDue()
    try real.truncate(file, to: size)
  }

  func close(_ file: FileHandleNumber) throws(FileError) {
    dieIfDue()
    try real.close(file)
  }

  func seal(_ path: String) throws(FileError) {
    dieIfDue()
    try real.seal(path)
  }

  func rename(_ from: String, to: String) throws(FileError) {
    dieIfDue()
    try real.rename(from, to: to)
  }

  func remove(_ path: String) throws(FileError) {
    dieIfDue()
    try real.remove(path)
  }

  func makeDirectory(_ path: String) throws(FileError) {
    dieIfDue()
    try real.makeDirectory(path)
  }

  func syncDirectory(_ path: String) throws(FileError) {
    dieIfDue()
    try real.syncDirectory(path)
  }

  func list(_ directory: String) throws(FileError) -> [String] {
    dieIfDue()
    return try real.list(directory)
  }

  func status(_ path: String) throws(FileError) -> FileStatus? {
    dieIfDue()
    return try real.status(path)
  }

  func freeSpace(_ path: String) throws(FileError) -> Int {
    dieIfDue()
    return try real.freeSpace(path)
  }
}

@Suite struct KillTests {
  /// The child's work: append receipts, and write each job that was acknowledged to `acknowledged`.
  static func work(_ state: String, fatal: Int, from first: UInt64) throws {
    let files = DeadlyFileSystem(fatal: fatal)
    let (journal, _) = try openJournal(state, files, segmentBytes: 5_000, ballast: 4_096)
    let plain = POSIXFileSystem()
    let log = try plain.open(state + "/acknowledged", .append)
    for i in 0..<1_000 {
      let job = first + UInt64(i)
      try journal.append([.receipt(sampleReceipt(job: job, tokens: i % 60))], at: testTime)
      let line = Array("\(job)\n".utf8)
      _ = try line.withUnsafeBytes { raw throws(FileError) in try plain.write(log, raw) }
    }
  }

  @Test func aKilledProcessLosesNothingAcknowledged() async throws {
    let points = isHeavy ? 2_000 : 50
    let seed = UInt64.random(in: 0..<1_000_000)
    var generator = SeededGenerator(seed: seed)
    var scratch = try Scratch()
    var written = 0
    var recovered = 0
    for point in 0..<points {
      // A new state now and then: the first calls of a journal's life are killed too, and files stay small.
      if point % 25 == 0 {
        scratch = try Scratch()
        try Data().write(to: URL(fileURLWithPath: scratch.path + "/acknowledged"))
      }
      let fatal = Int.random(in: 0..<120, using: &generator)
      let (state, first) = (scratch.path, UInt64(point) * 10_000)
      await #expect(processExitsWith: .signal(SIGKILL)) {
        [state = state as String, fatal = fatal as Int, first = first as UInt64] in
        try KillTests.work(state, fatal: fatal, from: first)
      }
      let acknowledged = String(
        decoding: try #require(FileManager.default.contents(atPath: state + "/acknowledged")), as: UTF8.self
      ).split(separator: "\n").compactMap { UInt64($0) }
      let (journal, opening) = try openJournal(state, segmentBytes: 5_000, ballast: 4_096)
      #expect(
        opening.damage == nil,
        "seed \(seed), point \(point), call \(fatal): \(opening.damage?.description ?? "")")
      if opening.recovered != nil { recovered += 1 }
      journal.close()
      var found: [UInt64] = []
      let check = try Journal.check(state: state) { entry in
        if case .receipt(let receipt) = entry.record { found.append(receipt.job) }
      }
      #expect(check.damage == nil)
      #expect(Set(found).count == found.count, "seed \(seed), point \(point): doubled")
      let kept = Set(acknowledged)
      #expect(
        found.filter(kept.contains) == acknowledged, "seed \(seed), point \(point), call \(fatal): lost")
      written += acknowledged.count
    }
    print("kill -9: \(points) points, \(recovered) tails moved aside, 0 lost (seed \(seed))")
  }
}
