// Spool.swift: what a node keeps of asynchronous jobs beside the journal, one 0600 file each: their
// requests until they end, and their answers until they are fetched. Prompts and answers are stored
// nowhere else on disk. What the bytes mean and how long answers stay is Node's.
// Start at Spool; SealedFiles is how both are written.
import Glibc

/// Why a kept file cannot be used.
package enum SpoolError: Error, Hashable, Sendable, CustomStringConvertible {
  case file(FileError)
  /// The bytes differ from those that were written.
  case damaged(path: String, found: String)

  package var description: String {
    switch self {
    case .file(let error): error.description
    case .damaged(let path, let found): "'\(path)' is damaged: \(found)"
    }
  }

  package var isMissing: Bool {
    if case .file(let error) = self { error.isMissing } else { false }
  }
}

/// A directory of files named by their jobs' ids. Each file is replaced as a whole, and its first
/// line seals the rest:
///
///     hotpot1 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03
///     hello
///
/// The second word is the SHA-256 of everything after the first newline (here `hello` and a
/// newline, 6 bytes). So a single wrong bit is detected before the node runs a request that nobody
/// sent.
struct SealedFiles: Sendable {
  let files: any FileSystem
  let directory: String

  private static let mark = Array("hotpot1 ".utf8)
  /// Mark, 64 digits, newline.
  private static let sealBytes = 73

  init(_ directory: String, files: any FileSystem) throws(FileError) {
    self.files = files
    self.directory = directory
    try files.ensureDirectory(directory)
  }

  func path(_ job: UInt64) -> String { "\(directory)/\(LineWriter.hex(job))" }

  static func seal(_ bytes: [UInt8]) -> [UInt8] {
    mark + Array(SHA256.hash(bytes).hex.utf8) + [.newline] + bytes
  }

  /// The bytes are on the disk when this returns.
  func put(_ bytes: [UInt8], job: UInt64, limit: Int) throws(FileError) {
    guard bytes.count <= limit else { throw FileError(call: "write", path: path(job), code: EFBIG) }
    do throws(FileError) {
      try files.replaceFile(path(job), with: Self.seal(bytes), in: directory)
    } catch {
      // Half a file is useless, and takes space when there is none.
      try? files.removeIfPresent(path(job) + ".tmp")  // The first error says more.
      throw error
    }
  }

  /// - unsealed: whether a file without our first line is one that an earlier release wrote
  func get(job: UInt64, limit: Int, unsealed isOld: ([UInt8]) -> Bool = { _ in false }) throws(SpoolError)
    -> [UInt8]
  {
    let bytes: [UInt8]
    do throws(FileError) { bytes = try files.readAll(path(job), limit: limit + Self.sealBytes) } catch {
      throw .file(error)
    }
    guard bytes.starts(with: Self.mark), bytes.count >= Self.sealBytes else {
      if isOld(bytes) { return bytes }
      throw .damaged(
        path: path(job), found: bytes.isEmpty ? "it is empty" : "its first line is not one of this node's")
    }
    let rest = Array(bytes[Self.sealBytes...])
    guard Self.seal(rest)[..<Self.sealBytes] == bytes[..<Self.sealBytes] else {
      throw .damaged(path: path(job), found: "its bytes are not those that were written")
    }
    return rest
  }

  func remove(job: UInt64) throws(FileError) { try files.removeIfPresent(path(job)) }

  /// Jobs that have a file now, and the leftovers of interrupted writes.
  func list() throws(FileError) -> (jobs: [UInt64], others: [String]) {
    let names = try files.retrying { () throws(FileError) in try files.list(directory) }
    var jobs: [UInt64] = []
    var others: [String] = []
    for name in names {
      if name.utf8.count == 16, let job = UInt64(name, radix: 16), LineWriter.hex(job) == name {
        jobs.append(job)
      } else {
        others.append(name)
      }
    }
    return (jobs, others)
  }

  func remove(other name: String) throws(FileError) { try files.removeIfPresent("\(directory)/\(name)") }

  func touch(other name: String) throws(FileError) {
    files.closeQuietly(
      try files.retrying { () throws(FileError) in try files.open("\(directory)/\(name)", .replace) })
  }
}

/// The spool of a state directory: `spool/` (0700), the request of every accepted asynchronous job
/// until its end is in the journal.
///
/// Rule: a file is removed only once its job's end is on the disk, or at startup if its job is not
/// open and nothing can have been accepted yet. Why: an accepted job is a promise to run, whatever
/// happens to this process. So: there is no list of files to keep. Otherwise a file that is made
/// after the list would be lost at the next crash.
package struct Spool: Sendable {
  private let files: SealedFiles

  /// The largest request kept.
  package static let maximumBytes = 64 << 20

  package init(state: String, files: any FileSystem = POSIXFileSystem()) throws(FileError) {
    self.files = try SealedFiles(state + "/spool", files: files)
  }

  /// The request is on the disk when this returns: only then may the job's acceptance be appended.
  package func put(_ request: [UInt8], job: UInt64) throws(FileError) {
    try files.put(request, job: job, limit: Spool.maximumBytes)
  }

  /// - Throws: `isMissing` when there is none.
  package func get(job: UInt64) throws(SpoolError) -> [UInt8] {
    // Releases before the seal wrote the request unchanged, beginning with a brace.
    try files.get(job: job, limit: Spool.maximumBytes, unsealed: { $0.first == .openBrace })
  }

  /// Call it after the job's end is in the journal. A crash between the two leaves a file that
  /// `removeAll(beforeStartBut:)` finds.
  package func remove(job: UInt64) throws(FileError) { try files.remove(job: job) }

  /// Removes the files of jobs that are not open. Call it only before anything new can be accepted.
  package func removeAll(beforeStartBut open: Set<UInt64>) throws(FileError) {
    let found = try files.list()
    for job in found.jobs where !open.contains(job) { try files.remove(job: job) }
    for name in found.others { try files.remove(other: name) }
  }
}

/// The answers of ended asynchronous jobs: `answers/` (0700), beside the spool and just as private.
package struct AnswerFiles: Sendable {
  private let files: SealedFiles

  /// The largest answer kept.
  package static let maximumBytes = 64 << 20

  package init(state: String, files: any FileSystem = POSIXFileSystem()) throws(FileError) {
    self.files = try SealedFiles(state + "/answers", files: files)
  }

  /// The answer is on the disk when this returns: only then may the job's end be appended.
  package func put(_ answer: [UInt8], job: UInt64) throws(FileError) {
    try files.put(answer, job: job, limit: AnswerFiles.maximumBytes)
  }

  package func get(job: UInt64) throws(SpoolError) -> [UInt8] {
    try files.get(job: job, limit: AnswerFiles.maximumBytes)
  }

  package func remove(job: UInt64) throws(FileError) {
    try files.remove(job: job)
    try files.remove(other: mark(job))
  }

  /// Records for the next start that the client has fetched the answer, by an empty file beside it.
  /// Not synced: if the mark is lost, the answer only stays longer.
  package func mark(fetched job: UInt64) throws(FileError) { try files.touch(other: mark(job)) }

  private func mark(_ job: UInt64) -> String { LineWriter.hex(job) + ".fetched" }

  /// Jobs with an answer, and whether it was fetched; for startup. Leftovers of interrupted writes
  /// are removed.
  package func list() throws(FileError) -> [(job: UInt64, isFetched: Bool)] {
    let found = try files.list()
    let others = Set(found.others)
    let fetched = Set(found.jobs.map(mark)).intersection(others)
    for name in others.subtracting(fetched) { try files.remove(other: name) }
    return found.jobs.map { ($0, fetched.contains(mark($0))) }
  }
}
