// Spool.swift: the requests of accepted asynchronous jobs, one 0600 file each, until they end.
// The only place on disk where a prompt may lie, and only while its job has not ended. Start at Spool.
import Glibc

/// The spool of a state directory: `spool/` (0700), one file a job, named by its id.
public struct Spool: Sendable {
  private let files: any FileSystem
  private let directory: String

  /// The largest request kept.
  public static let maximumBytes = 64 << 20

  public init(state: String, files: any FileSystem = POSIXFileSystem()) throws(FileError) {
    self.files = files
    directory = state + "/spool"
    try files.ensureDirectory(directory)
  }

  private func path(_ job: UInt64) -> String { "\(directory)/\(LineWriter.hex(job))" }

  /// The request is on the disk when this returns: only then may the job's acceptance be appended.
  public func put(_ request: [UInt8], job: UInt64) throws(FileError) {
    guard request.count <= Spool.maximumBytes else {
      throw FileError(call: "write", path: path(job), code: EFBIG)
    }
    try files.replaceFile(path(job), with: request, in: directory)
  }

  /// - Throws: ENOENT when there is none.
  public func get(job: UInt64) throws(FileError) -> [UInt8] {
    try files.readAll(path(job), limit: Spool.maximumBytes)
  }

  /// After the job's end is in the journal. A crash between the two leaves a file that `removeAll(but:)` finds.
  public func remove(job: UInt64) throws(FileError) { try files.removeIfPresent(path(job)) }

  /// At start: removes every file but those of jobs that are open.
  public func removeAll(but open: [UInt64]) throws(FileError) {
    let kept = Set(open.map { LineWriter.hex($0) })
    let names = try files.retrying { () throws(FileError) in try files.list(directory) }
    for name in names where !kept.contains(name) { try files.removeIfPresent("\(directory)/\(name)") }
  }
}
