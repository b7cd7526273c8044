// JournalRepair.swift: what an operator can do about a damaged journal: keep everything before the
// damage, move the rest aside, and record that in the journal. Nothing is ever deleted. Finding the
// damage is in JournalRecovery.swift, asking the operator in `hotpot repair`. Start at
// JournalRepair.plan.

/// What a repair would do; made without changing anything.
package struct RepairPlan: Sendable {
  /// A file of the state directory that is moved.
  package struct Move: Sendable, Hashable {
    /// Relative to the state directory.
    package let file: String
    /// Its bytes now.
    package let bytes: Int
    /// How many of its first bytes stay, in a new file of the same name; 0 moves the whole file.
    package let keeps: Int
  }

  package let damage: Damage
  /// In the order in which they are made: the last segment first, so that a crash leaves no gap.
  package let moves: [Move]
  /// What the journal holds after the repair.
  package let kept: ReceiptTotals
  /// The readable part of what is moved: it leaves the log and the books.
  package let lost: ReceiptTotals
  /// Receipts that were under a signed checkpoint and leave the log. Bundles that clients exported
  /// stay valid, and a witness that saw that checkpoint refuses the shorter log.
  package let lostSigned: Int
}

/// Why a journal cannot be repaired by moving its end aside.
package enum RepairError: Error, Hashable, Sendable, CustomStringConvertible {
  case journal(JournalError)
  /// The lines are complete and chained, but differ from those that this journal says were signed:
  /// somebody rewrote it.
  case rewritten(Damage)

  package var description: String {
    switch self {
    case .journal(let error): error.description
    case .rewritten(let damage): "the journal was rewritten, no part of it can be trusted: \(damage)"
    }
  }

  package var hint: String? {
    switch self {
    case .journal(let error): error.hint
    case .rewritten: "keep the state directory as evidence, and start with a backup or another '--state'"
    }
  }
}

package enum JournalRepair {
  /// What has to be repaired before a node may write to this journal.
  ///
  /// - state: the state directory; the caller holds its `StateLock`.
  /// - time: now, microseconds. An unfinished tail needs no decision: it is moved aside as at any
  ///   start.
  /// - Returns: nil if a node can start on the journal as it is.
  package static func plan(state: String, files: any FileSystem = POSIXFileSystem(), time: Int64)
    throws(RepairError) -> RepairPlan?
  {
    let journal: Journal
    let opening: JournalOpening
    do throws(JournalError) {
      (journal, opening) = try Journal.open(state: state, files: files, time: time)
    } catch { throw .journal(error) }
    defer { journal.close() }
    guard let damage = opening.damage else { return nil }
    if damage.kind == .rewritten { throw .rewritten(damage) }
    do throws(FileError) {
      return try plan(damage, opening.cut, state, journal.catalog(), files)
    } catch { throw .journal(.file(error)) }
  }

  private static func plan(
    _ damage: Damage, _ cut: JournalOpening.Cut?, _ state: String, _ catalog: Catalog,
    _ files: any FileSystem
  ) throws(FileError) -> RepairPlan? {
    var moves: [RepairPlan.Move] = []
    var lost = ReceiptTotals()
    func move(_ name: String, keeps: Int = 0) throws(FileError) {
      let path = "\(state)/\(name)"
      guard let status = try files.retrying({ () throws(FileError) in try files.status(path) }) else {
        return
      }
      moves.append(RepairPlan.Move(file: name, bytes: status.size, keeps: keeps))
    }
    if let cut {
      let names = try files.retrying { () throws(FileError) in try files.list(state + "/journal") }
      for number in names.compactMap(JournalRecovery.number).reversed() where number >= cut.segment {
        let name = "journal/\(JournalWriter.name(number))"
        let keeps = number == cut.segment ? cut.offset : 0
        add(try files.readAll("\(state)/\(name).jsonl"), from: keeps, to: &lost)
        for suffix in [".jsonl.sig", ".rollup", ".index"] { try move(name + suffix) }
        try move(name + ".jsonl", keeps: keeps)
      }
    }
    let checkpoint = try signed(state, files)
    if checkpoint.map({ catalog.tree.root(at: $0.size) != $0.root }) ?? true {
      try move("checkpoint.sig")
      try move("checkpoint")
    }
    guard !moves.isEmpty else { return nil }
    return RepairPlan(
      damage: damage, moves: moves, kept: catalog.totals(), lost: lost,
      lostSigned: max(0, (checkpoint?.size ?? 0) - catalog.tree.size))
  }

  /// nil if there is none, or none that can be read.
  private static func signed(_ state: String, _ files: any FileSystem) throws(FileError) -> Checkpoint? {
    do throws(FileError) {
      let text = try files.readAll(state + "/checkpoint", limit: 4096)
      // An unreadable checkpoint is moved aside, because what it said is unknown.
      return try? Checkpoint(parsing: String(decoding: text, as: UTF8.self))
    } catch {
      if error.isMissing { return nil }
      throw error
    }
  }

  /// Sums up the receipts in complete lines.
  private static func add(_ bytes: [UInt8], from start: Int, to totals: inout ReceiptTotals) {
    for line in bytes.dropFirst(start).split(separator: .newline) where line.count < maximumLineBytes {
      // Damaged lines cannot be counted.
      guard let entry = try? Entry(parsing: line + [.newline]), case .receipt(let receipt) = entry.record
      else {
        continue
      }
      totals.add(receipt.totals)
    }
  }

  /// Moves aside what the plan lists, reopens the journal and records the repair.
  ///
  /// Every step can be repeated after a crash. To shorten a segment, the whole file is first saved
  /// at its new place; then its first part, synced, replaces it.
  /// - who: the operator, for the journal.
  /// - Returns: the directory with what was moved, relative to the state directory.
  /// - Throws: also if the journal is still damaged afterwards.
  package static func perform(
    _ plan: RepairPlan, state: String, who: String, files: any FileSystem = POSIXFileSystem(), time: Int64
  ) throws(RepairError) -> String {
    let aside = "aside/\(time)"
    var records: [Record] = [
      .operatorAct(
        OperatorAct(
          act: .repair, who: String(who.prefix(60)), target: "\(plan.damage.file) \(plan.damage.offset)",
          reason: String("moved to \(aside): \(plan.damage.found)".prefix(250))))
    ]
    do throws(FileError) {
      try files.ensureDirectory(state + "/aside")
      try files.ensureDirectory("\(state)/\(aside)")
      for move in plan.moves { records.append(try make(move, state, aside, files)) }
    } catch { throw .journal(.file(error)) }
    do throws(JournalError) {
      let (journal, opening) = try Journal.open(state: state, files: files, time: time)
      defer { journal.close() }
      if let damage = opening.damage { throw .readOnly(damage) }
      try journal.append(records, at: time)
    } catch { throw .journal(error) }
    return aside
  }

  private static func make(
    _ move: RepairPlan.Move, _ state: String, _ aside: String, _ files: any FileSystem
  ) throws(FileError) -> Record {
    let path = "\(state)/\(move.file)"
    let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? state
    let name = move.file.lastIndex(of: "/").map { String(move.file[move.file.index(after: $0)...]) }
    let target = "\(state)/\(aside)/\(name ?? move.file)"
    let bytes = try files.readAll(path)
    if move.keeps > 0 {
      try files.replaceFile(target, with: bytes, in: "\(state)/\(aside)")
      try files.replaceFile(path, with: Array(bytes.prefix(move.keeps)), in: directory)
    } else {
      try files.retrying { () throws(FileError) in try files.rename(path, to: target) }
      try files.retrying { () throws(FileError) in try files.syncDirectory("\(state)/\(aside)") }
      try files.retrying { () throws(FileError) in try files.syncDirectory(directory) }
    }
    let segment = name.flatMap { JournalRecovery.number(String($0.prefix(8)) + ".jsonl") } ?? 0
    return .recovered(
      Recovered(
        segment: segment, offset: move.keeps, bytes: bytes.count - move.keeps,
        file: "\(aside)/\(name ?? move.file)", sha256: SHA256.hash(bytes)))
  }
}
