// Journal+Past.swift: the jobs that ended, newest first, read back from the journal's segments: a
// node keeps no list of them in memory. Start at endedJobs.

/// A job that ended, as its lines tell.
package struct PastEntry: Hashable, Sendable {
  /// Microseconds since 1970-01-01 00:00 UTC: when its last line was written.
  package let time: Int64
  /// A receipt or a `jobEnded`.
  package let record: Record
  /// Hexadecimal; nil without a receipt.
  package let receiptID: String?
  /// Its acceptance and when that was written, if it stands in the same segment; nil for a job
  /// that was refused at once.
  package fileprivate(set) var accepted: JobAccepted?
  package fileprivate(set) var acceptedAt: Int64?

  package var job: UInt64 {
    switch record {
    case .receipt(let receipt): receipt.job
    case .jobEnded(let ended): ended.job
    default: 0
    }
  }
}

extension Journal {
  /// The newest jobs that ended, newest first. One segment is in memory at a time. Not for the
  /// engine's threads or the node's state machine.
  /// - limit: the most that are returned
  /// - times: when they ended, microseconds; nil for any time
  package func endedJobs(
    limit: Int, times: ClosedRange<Int64>? = nil, where isWanted: (Record) -> Bool
  ) throws(JournalError) -> [PastEntry] {
    var found: [PastEntry] = []
    do throws(FileError) {
      for number in try segmentNumbers().reversed() {
        let bytes = try readSegment(number)
        if !Self.visitPast(bytes, limit, times, &found, where: isWanted) || found.count >= limit { break }
      }
    } catch { throw .file(error) }
    return found
  }

  private static let marks = [Receipt.word, JobEnded.word, JobAccepted.word].map(mark)

  /// Walks a segment's lines from its end.
  /// - Returns: false once a line is older than the times asked for.
  private static func visitPast(
    _ bytes: [UInt8], _ limit: Int, _ times: ClosedRange<Int64>?, _ found: inout [PastEntry],
    where isWanted: (Record) -> Bool
  ) -> Bool {
    /// Where in `found` a job is whose acceptance was not seen yet.
    var open: [UInt64: Int] = [:]
    return bytes.withUnsafeBytes { raw in
      var end = raw.count
      while end > 0 {
        let start = raw[..<(end - 1)].lastIndex(of: .newline).map { $0 + 1 } ?? 0
        defer { end = start }
        guard let kind = marks.firstIndex(where: { isLine(raw[start..<end], marked: $0) }) else { continue }
        let isAcceptance = kind == 2
        if isAcceptance ? open.isEmpty : found.count >= limit { continue }
        let line = UnsafeRawBufferPointer(rebasing: raw[start..<end])
        // Damaged lines were reported when the journal was opened; the last one may be half written.
        guard let entry = try? Entry(parsing: line) else { continue }
        if case .jobAccepted(let accepted) = entry.record {
          guard let place = open.removeValue(forKey: accepted.job) else { continue }
          (found[place].accepted, found[place].acceptedAt) = (accepted, entry.envelope.time)
          continue
        }
        if let times, entry.envelope.time < times.lowerBound { return false }
        guard times?.contains(entry.envelope.time) ?? true, isWanted(entry.record) else { continue }
        var receiptID: String?
        if case .receipt = entry.record { receiptID = LineWriter.hex(SHA256.leaf(line).w0) }
        let past = PastEntry(time: entry.envelope.time, record: entry.record, receiptID: receiptID)
        open[past.job] = found.count
        found.append(past)
      }
      return true
    }
  }
}
