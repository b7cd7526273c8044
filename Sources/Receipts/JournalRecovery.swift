// JournalRecovery.swift: opening a journal after any kind of end: what is read, what is moved
// aside, what prevents writing.
// Writing is in JournalWriter.swift. Start at JournalRecovery.open.

/// What was found when a journal was opened.
package struct JournalOpening: Sendable {
  /// An invalid tail that was moved aside and recorded in the journal.
  package internal(set) var recovered: Recovered?
  /// Damage that stops all writing.
  package internal(set) var damage: Damage?
  /// Sealed segments that had no intact rollup and were read in full.
  package internal(set) var rebuilt: [Int] = []
  /// With damage in the segments: where it begins, and the sums of the intact journal before it.
  package internal(set) var cut: Cut?

  package struct Cut: Hashable, Sendable {
    package let segment: Int
    /// Byte of that segment.
    package let offset: Int
  }
}

enum JournalRecovery {
  struct Result {
    var catalog = Catalog()
    /// nil after damage.
    var writer: JournalWriter?
    var opening = JournalOpening()
    var segments: [Int] = []
  }

  /// - time: recorded with what was moved aside, microseconds.
  static func open(
    directory: String, files: any FileSystem, options: JournalOptions, checkpoint: Checkpoint?, time: Int64
  )
    throws(JournalError) -> Result
  {
    do throws(FileError) {
      return try openFiles(
        directory: directory, files: files, options: options, checkpoint: checkpoint, time: time)
    } catch { throw .file(error) }
  }

  private static func openFiles(
    directory: String, files: any FileSystem, options: JournalOptions, checkpoint: Checkpoint?, time: Int64
  ) throws(FileError) -> Result {
    try files.ensureDirectory(directory)
    let names = try files.retrying { () throws(FileError) in try files.list(directory) }
    let numbers = names.compactMap(number)
    var result = Result()
    result.segments = numbers
    var chain = Chain()
    var sealed: [SegmentSummary] = []
    var open: (summary: SegmentSummary, placed: [Placed], end: SegmentScan.End)?
    for (i, number) in numbers.enumerated() {
      let path = "\(directory)/\(JournalWriter.name(number)).jsonl"
      let isLast = i == numbers.count - 1
      let found = try files.retrying { () throws(FileError) in try files.status(path) }
      guard number == i + 1, let status = found else {
        result.opening.damage = Damage(
          .missing, file: JournalWriter.name(i + 1) + ".jsonl", offset: 0, found: "the segment is missing")
        result.opening.cut = JournalOpening.Cut(segment: i + 1, offset: 0)
        break
      }
      if !isLast || status.isReadOnly,
        let summary = try rollup(number, chain, directory, files), summary.size == status.size
      {
        chain = summary.end
        sealed.append(summary)
        continue
      }
      let (summary, placed, end) = try scan(path, number, chain, files)
      chain = summary.end
      switch end {
      case .complete where !isLast:
        try JournalWriter.seal(summary, files: files, directory: directory)
        result.opening.rebuilt.append(number)
        sealed.append(summary)
      case .unfinished(let offset) where !isLast || status.isReadOnly:
        result.opening.damage = Damage(
          .line, file: JournalWriter.name(number) + ".jsonl", offset: offset,
          found: "\(status.size - offset) bytes that are no valid line, in a segment that was sealed")
        open = (summary, placed, end)
      case .damaged(let damage):
        result.opening.damage = damage
        open = (summary, placed, end)
      case .complete, .unfinished:
        open = (summary, placed, end)
      }
      if result.opening.damage != nil {
        result.opening.cut = JournalOpening.Cut(segment: number, offset: summary.size)
        break
      }
    }

    result.catalog.start(with: sealed)
    if let open {
      for placed in open.placed { result.catalog.add(placed, segment: open.summary.number) }
    }
    if result.opening.damage == nil { result.opening.damage = disagreement(checkpoint, result.catalog) }
    guard result.opening.damage == nil else { return result }

    if let open {
      let status = try files.retrying { () throws(FileError) in
        try files.status("\(directory)/\(JournalWriter.name(open.summary.number)).jsonl")
      }
      if case .unfinished(let offset) = open.end {
        result.opening.recovered = try moveAside(open.summary.number, from: offset, directory, files)
      }
      if status?.isReadOnly == true {
        // The segment was full, but the node crashed before writing its rollup or starting the next
        // segment.
        try JournalWriter.seal(open.summary, files: files, directory: directory)
        result.opening.rebuilt.append(open.summary.number)
        result.writer = try JournalWriter(
          files: files, directory: directory, options: options,
          continuing: SegmentSummary(number: open.summary.number + 1, start: open.summary.end), exists: false)
      } else {
        result.writer = try JournalWriter(
          files: files, directory: directory, options: options, continuing: open.summary, exists: true)
      }
    } else {
      result.writer = try JournalWriter(
        files: files, directory: directory, options: options,
        continuing: SegmentSummary(number: numbers.count + 1, start: chain), exists: false)
    }
    if let recovered = result.opening.recovered {
      if case .success(let placed)? = result.writer?.commit([([.recovered(recovered)], time)]).first {
        for one in placed { result.catalog.add(one, segment: result.writer?.summary.number ?? 0) }
      }
      if let failure = result.writer?.failure { throw failure }
    }
    try makeBallast(directory, files, options)
    return result
  }

  static func number(_ name: String) -> Int? {
    guard name.hasSuffix(".jsonl"), name.utf8.count >= 14 else { return nil }
    let digits = name.dropLast(6)
    guard digits.utf8.allSatisfy({ (.zero ... .nine).contains($0) }), let number = Int(digits), number > 0,
      JournalWriter.name(number) == digits
    else { return nil }
    return number
  }

  /// nil if there is no intact one.
  private static func rollup(_ number: Int, _ start: Chain, _ directory: String, _ files: any FileSystem)
    throws(FileError) -> SegmentSummary?
  {
    let base = "\(directory)/\(JournalWriter.name(number))"
    let rollup: [UInt8]
    let index: [UInt8]
    do throws(FileError) {
      rollup = try files.readAll(base + ".rollup")
      index = try files.readAll(base + ".index")
    } catch {
      if error.isMissing { return nil }
      throw error
    }
    return Rollup.parse(rollup: rollup, index: index, number: number, start: start)
  }

  static func scan(_ path: String, _ number: Int, _ start: Chain, _ files: any FileSystem) throws(FileError)
    -> (
      SegmentSummary, [Placed], SegmentScan.End
    )
  {
    let bytes = try files.readAll(path)
    var summary = SegmentSummary(number: number, start: start)
    var placed: [Placed] = []
    var chain = start
    let end = bytes.withUnsafeBytes { raw in
      SegmentScan.run(raw, file: JournalWriter.name(number) + ".jsonl", chain: &chain) {
        summary.add($0)
        placed.append($0)
      }
    }
    return (summary, placed, end)
  }

  /// The log must hold what was signed: a journal cut short or rewritten is refused.
  private static func disagreement(_ checkpoint: Checkpoint?, _ catalog: Catalog) -> Damage? {
    func check(_ size: Int, _ root: SHA256Digest, _ kind: Damage.Kind, _ source: String) -> Damage? {
      guard let found = catalog.tree.root(at: size) else {
        return Damage(
          kind, file: source, offset: 0,
          found:
            "\(receiptCount(size)) \(size == 1 ? "was" : "were") signed, the journal holds \(catalog.tree.size)"
        )
      }
      return found == root
        ? nil
        : Damage(
          kind, file: source, offset: 0,
          found:
            "the first \(receiptCount(size)) \(size == 1 ? "is not the one" : "are not those") that \(size == 1 ? "was" : "were") signed"
        )
    }
    if let checkpoint, let damage = check(checkpoint.size, checkpoint.root, .checkpoint, "checkpoint") {
      return damage
    }
    if let signed = catalog.lastSignedRecord {
      return check(signed.size, signed.root, .rewritten, "checkpoint record")
    }
    return nil
  }

  /// Keeps the bytes in a separate file, then truncates the segment. Both steps can be repeated
  /// after a crash.
  private static func moveAside(_ number: Int, from offset: Int, _ directory: String, _ files: any FileSystem)
    throws(FileError) -> Recovered
  {
    let path = "\(directory)/\(JournalWriter.name(number)).jsonl"
    let name = "\(JournalWriter.name(number)).tail-\(offset)"
    let all = try files.readAll(path)
    let tail = Array(all[min(offset, all.count)...])
    try files.replaceFile("\(directory)/\(name)", with: tail, in: directory)
    let file = try files.retrying { () throws(FileError) in try files.open(path, .append) }
    do throws(FileError) {
      try files.retrying { () throws(FileError) in try files.truncate(file, to: offset) }
      try files.retrying { () throws(FileError) in try files.sync(file) }
    } catch {
      files.closeQuietly(file)
      throw error
    }
    files.closeQuietly(file)
    return Recovered(
      segment: number, offset: offset, bytes: tail.count, file: name, sha256: SHA256.hash(tail))
  }

  /// A file of zeros that is released when the disk is nearly full; made only if there is plenty of
  /// space.
  static func makeBallast(_ directory: String, _ files: any FileSystem, _ options: JournalOptions)
    throws(FileError)
  {
    let path = directory + "/ballast"
    let status = try files.retrying { () throws(FileError) in try files.status(path) }
    guard options.ballastBytes > 0, status?.size != options.ballastBytes else { return }
    let free = try files.retrying { () throws(FileError) in try files.freeSpace(directory) }
    guard free / 4 > options.ballastBytes, free / 2 > options.lowSpace else { return }
    try files.replaceFile(path, with: [UInt8](repeating: 0, count: options.ballastBytes), in: directory)
  }
}
