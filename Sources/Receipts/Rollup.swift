// Rollup.swift: the two files beside a sealed segment that let a node start without reading it.
// `00000042.index`: 48 bytes per receipt. `00000042.rollup`: lines. Both can be made again from the
// segment.
// When they are written is in JournalWriter.swift. Start at Rollup.format.

/// The rollup of a sealed segment, as lines of canonical JSON:
/// 1. the header: which bytes and which part of the chain it sums up, and the SHA-256 of the index
///    file;
/// 2. one line a day, client and model with the sums over its receipts, sorted;
/// 3. one line with the ids of jobs that ended here and were accepted in an earlier segment;
/// 4. verbatim journal lines that a start needs: clients, budgets, payments, corrections, policies,
///    audits, jobs still open at the seal, the last checkpoint signed and witnessed;
/// 5. last, the SHA-256 of all lines before, in hexadecimal.
///
/// The index has 48 bytes a receipt, little-endian: leaf hash (32), offset (4), length (4), job
/// (8).
enum Rollup {
  private struct Header: LineFields {
    var version = 1
    var segment = 0
    var bytes = 0
    var firstTime: Int64 = 0
    var firstSeq = 0
    var lines = 0
    var firstReceipt = 0
    var receipts = 0
    var before = SHA256Digest.zero
    var last = SHA256Digest.zero
    var index = SHA256Digest.zero
    var totals = 0
    var carried = 0

    mutating func visit(_ line: inout some LineCoder) throws(LineError) {
      try line.count("rollup", &version)
      try line.count("segment", &segment)
      try line.count("bytes", &bytes)
      try line.time("t", &firstTime)
      try line.count("seq", &firstSeq)
      try line.count("lines", &lines)
      try line.count("index", &firstReceipt)
      try line.count("receipts", &receipts)
      try line.digest("before", &before)
      try line.digest("last", &last)
      try line.digest("index_sha256", &index)
      try line.count("totals", &totals)
      try line.count("carried", &carried)
    }
  }

  private struct Row: LineFields {
    var key = TotalsKey(day: 0, client: "", model: "")
    var totals = ReceiptTotals()

    mutating func visit(_ line: inout some LineCoder) throws(LineError) {
      try line.day("day", &key.day)
      try line.text("client", &key.client, max: 256)
      try line.text("model", &key.model, max: 512)
      try line.count("receipts", &totals.receipts)
      try line.count("prompt_tokens", &totals.promptTokens)
      try line.count("cached_tokens", &totals.cachedTokens)
      try line.count("completion_tokens", &totals.completionTokens)
      try line.amount("amount", &totals.amount)
    }
  }

  static func format(_ summary: SegmentSummary) throws(LineError) -> (rollup: [UInt8], index: [UInt8]) {
    let size = summary.rows.count * IndexRow.bytes
    // The empty array is a global shared by all threads, and filling it would write its count; so
    // it is not filled.
    let index =
      size == 0
      ? []
      : [UInt8](unsafeUninitializedCapacity: size) { bytes, made in
        let bytes = UnsafeMutableRawBufferPointer(bytes)
        for (i, row) in summary.rows.enumerated() {
          let at = i * IndexRow.bytes
          row.leaf.withBytes {
            UnsafeMutableRawBufferPointer(rebasing: bytes[at..<at + 32]).copyMemory(from: $0)
          }
          bytes.storeBytes(of: row.offset.littleEndian, toByteOffset: at + 32, as: UInt32.self)
          bytes.storeBytes(of: row.length.littleEndian, toByteOffset: at + 36, as: UInt32.self)
          bytes.storeBytes(of: row.job.littleEndian, toByteOffset: at + 40, as: UInt64.self)
        }
        made = size
      }
    let carried = summary.carried
    var header = Header()
    header.segment = summary.number
    header.bytes = summary.size
    header.firstTime = summary.firstTime ?? 0
    header.firstSeq = summary.start.seq
    header.lines = summary.end.seq - summary.start.seq
    header.firstReceipt = summary.start.receipts
    header.receipts = summary.rows.count
    header.before = summary.start.previous
    header.last = summary.end.previous
    header.index = SHA256.hash(index)
    header.totals = summary.totals.count
    header.carried = carried.count
    var text: [UInt8] = []
    func append(_ fields: inout some LineFields) throws(LineError) {
      var writer = LineWriter()
      try fields.visit(&writer)
      writer.close()
      text.append(contentsOf: writer.bytes)
    }
    try append(&header)
    for key in summary.totals.keys.sorted() {
      var row = Row(key: key, totals: summary.totals[key] ?? ReceiptTotals())
      try append(&row)
    }
    text.reserveCapacity(text.count + 17 * summary.closed.count)
    let digits = Hex.digits
    for (i, job) in summary.closed.enumerated() {
      if i > 0 { text.append(.space) }
      for digit in stride(from: 15, through: 0, by: -1) {
        text.append(digits[Int(truncatingIfNeeded: job >> UInt64(4 * digit)) & 15])
      }
    }
    text.append(.newline)
    for entry in carried { text.append(contentsOf: try entry.line()) }
    text.append(contentsOf: SHA256.hash(text).hex.utf8)
    text.append(.newline)
    return (text, index)
  }

  /// nil for anything but an intact pair that summarises segment `number` from `start` on; on nil
  /// the segment is read.
  static func parse(rollup: [UInt8], index: [UInt8], number: Int, start: Chain) -> SegmentSummary? {
    guard rollup.count > 65, rollup.last == .newline else { return nil }
    let body = rollup[..<(rollup.count - 65)]
    guard
      SHA256Digest(hex: String(decoding: rollup[(rollup.count - 65)..<(rollup.count - 1)], as: UTF8.self))
        == SHA256.hash(body)
    else { return nil }
    var lines: [ArraySlice<UInt8>] = []
    var from = 0
    while from < body.count, let newline = body[from...].firstIndex(of: .newline) {
      lines.append(body[from...newline])
      from = newline + 1
    }
    var rest = lines[...]
    func next<F: LineFields>(_ type: F.Type) -> F? {
      guard let line = rest.popFirst() else { return nil }
      let parsed: F? = line.withUnsafeBytes { raw in
        var scanner = LineScanner(raw)
        do throws(LineError) {
          let fields: F = try scanner.payload()
          try scanner.close()
          return fields
        } catch { return nil }
      }
      return parsed
    }
    guard let header = next(Header.self), header.version == 1, header.segment == number,
      header.firstSeq == start.seq, header.firstReceipt == start.receipts, header.before == start.previous,
      header.index == SHA256.hash(index), index.count == header.receipts * IndexRow.bytes
    else { return nil }
    var summary = SegmentSummary(number: number, start: start)
    summary.size = header.bytes
    summary.firstTime = header.lines == 0 ? nil : header.firstTime
    summary.end = Chain(
      seq: start.seq + header.lines, previous: header.last, receipts: start.receipts + header.receipts)
    for _ in 0..<header.totals {
      guard let row = next(Row.self) else { return nil }
      summary.totals[row.key] = row.totals
    }
    guard let closed = rest.popFirst() else { return nil }
    for word in closed.dropLast().split(separator: .space) {
      guard let job = UInt64(String(decoding: word, as: UTF8.self), radix: 16) else { return nil }
      summary.closed.append(job)
    }
    for _ in 0..<header.carried {
      guard let line = rest.popFirst() else { return nil }
      do throws(LineError) { summary.keep(try Entry(parsing: Array(line))) } catch { return nil }
    }
    guard rest.isEmpty else { return nil }
    summary.rows.reserveCapacity(header.receipts)
    index.withUnsafeBytes { raw in
      for i in 0..<header.receipts {
        let at = i * IndexRow.bytes
        summary.rows.append(
          IndexRow(
            leaf: SHA256Digest(loading: UnsafeRawBufferPointer(rebasing: raw[at..<at + 32])),
            offset: UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: at + 32, as: UInt32.self)),
            length: UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: at + 36, as: UInt32.self)),
            job: UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: at + 40, as: UInt64.self))))
      }
    }
    return summary
  }
}

extension LineWriter {
  static func hex(_ value: UInt64) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: 16 - text.utf8.count) + text
  }
}
