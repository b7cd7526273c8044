// Scheduler+States.swift: slots of recurrent states: which job has one, which of them are kept as
// checkpoints, and when another is needed.
//
// A state has no past, so it is never cut back: a sequence goes on from a slot, in place if the slot
// is its own, otherwise into another. Keeping a checkpoint and forking from one are thus no copies:
// the slot becomes known under the key of the block that it stands behind, like a cached block, and
// its sequence goes on elsewhere. The least recently used checkpoint makes room. Start at
// `prepareState(_:)`.

extension Scheduler {
  private var hasStates: Bool { limits.states != nil }

  /// Whether a state was kept behind block `end` of a sequence.
  func stateHolds(_ index: Int, to end: Int, _ serial: UInt64) -> Bool {
    !hasStates || statePool.find(ContentKey(client: serial, key: records[index].keys[end - 1])) != nil
  }

  /// Goes on from the state that was kept behind block `end`.
  mutating func takeState(_ index: Int, to end: Int, _ serial: UInt64) {
    guard hasStates,
      let slot = statePool.find(ContentKey(client: serial, key: records[index].keys[end - 1]))
    else { return }
    statePool.retain(slot)
    releaseState(index)
    records[index].slot = slot
  }

  /// Makes the state known if a checkpoint is due after the computed positions.
  mutating func publishState(_ index: Int, _ serial: UInt64) {
    let at = records[index].computed / Limits.blockSize
    guard hasStates, at * Limits.blockSize == records[index].computed, at <= records[index].keys.count,
      records[index].checkpoints.contains(at), records[index].nextSlot == nil,
      let slot = records[index].slot
    else { return }
    statePool.publish(slot, as: ContentKey(client: serial, key: records[index].keys[at - 1]))
  }

  /// Makes sure that the next step of a sequence has a slot to leave its state in. False: there is
  /// none.
  mutating func prepareState(_ index: Int) -> Bool {
    guard hasStates, records[index].nextSlot == nil else { return true }
    if let slot = records[index].slot, statePool.references[Int(slot)] == 1 {
      guard statePool.content[Int(slot)] != nil else { return true }
      // A checkpoint stays as it is, unless the sequence would have to stop for it.
      records[index].nextSlot = statePool.allocate()
      if records[index].nextSlot == nil { statePool.forget(slot) }
      return true
    }
    records[index].nextSlot = statePool.allocate()
    return records[index].nextSlot != nil
  }

  /// Where an entry of the sequence reads and leaves its state; nil if the model has none, or the
  /// sequence no slot.
  func stateSlots(_ index: Int) -> StateSlots? {
    guard hasStates, let into = records[index].nextSlot ?? records[index].slot else { return nil }
    return StateSlots(from: records[index].slot, into: into)
  }

  /// Whether a sequence can be part of a step.
  func hasStateSlot(_ index: Int) -> Bool { !hasStates || stateSlots(index) != nil }

  /// A step has left the state in its slot.
  mutating func advanceState(_ index: Int) {
    guard let next = records[index].nextSlot else { return }
    if let old = records[index].slot { statePool.release(old) }
    records[index].slot = next
    records[index].nextSlot = nil
  }

  mutating func releaseState(_ index: Int) {
    for slot in [records[index].slot, records[index].nextSlot].compactMap({ $0 }) {
      statePool.release(slot)
    }
    records[index].slot = nil
    records[index].nextSlot = nil
  }

  /// Frees the slot of host memory.
  mutating func releaseStateHost(_ index: Int) {
    guard let host = records[index].slotHost else { return }
    stateHostFree.append(host)
    records[index].slotHost = nil
  }

  /// Moves the state to host memory, where a slot is free (`cheaperEviction`).
  mutating func saveState(_ index: Int, _ draft: inout Draft) {
    if let slot = records[index].slot, let host = stateHostFree.popLast() {
      draft.operations.append(.saveState(records[index].job.id, slot: slot, host: host))
      records[index].slotHost = host
    }
    releaseState(index)
  }

  /// Moves it back, into a slot that `neededStates` has counted.
  mutating func restoreState(_ index: Int, _ draft: inout Draft) {
    // What was matched is of an earlier position.
    releaseState(index)
    guard let host = records[index].slotHost, let slot = statePool.allocate() else { return }
    draft.operations.append(.restoreState(records[index].job.id, host: host, slot: slot))
    records[index].slot = slot
  }

  /// How many slots a queued job and the batch still need to take one step.
  func neededStates(_ index: Int) -> Int {
    guard hasStates else { return 0 }
    func needed(_ index: Int) -> Int {
      if records[index].nextSlot != nil { return 0 }
      guard let slot = records[index].slot else { return 1 }
      return statePool.references[Int(slot)] == 1 ? 0 : 1
    }
    return running.reduce(needed(index)) { $0 + needed($1) }
  }

  /// Positions up to the next checkpoint that nobody has kept yet, where a chunk has to end.
  func positionsToCheckpoint(_ index: Int) -> Int {
    let record = records[index]
    let serial = clients[record.client].serial
    for at in record.checkpoints where at * Limits.blockSize > record.computed && at <= record.keys.count {
      if statePool.find(ContentKey(client: serial, key: record.keys[at - 1])) == nil {
        return at * Limits.blockSize - record.computed
      }
    }
    return .max
  }

  /// Whether a sequence in the batch will keep a checkpoint from which another one can go on.
  func willShareState(_ earlier: Int, with index: Int) -> Bool {
    records[earlier].checkpoints.contains { at in
      at * Limits.blockSize > records[earlier].computed && at * Limits.blockSize > records[index].computed
        && at * Limits.blockSize < records[index].known && at <= records[earlier].keys.count
        && at <= records[index].keys.count && records[earlier].keys[at - 1] == records[index].keys[at - 1]
    }
  }

  /// The violated invariants of states.
  func stateInvariants() -> [String] {
    var wrong: [String] = []
    func want(_ holds: Bool, _ otherwise: @autoclosure () -> String) {
      if !holds { wrong.append("states: " + otherwise()) }
    }
    var references = [Int32](repeating: 0, count: statePool.count)
    var host = [Int](repeating: 0, count: limits.states?.hostSlots ?? 0)
    for place in stateHostFree { host[Int(place)] += 1 }
    for record in records {
      let name = "job \(record.job.id)"
      for slot in [record.slot, record.nextSlot].compactMap({ $0 }) { references[Int(slot)] += 1 }
      if let place = record.slotHost { host[Int(place)] += 1 }
      guard record.alive, hasStates else {
        want(
          record.slot == nil && record.nextSlot == nil && record.slotHost == nil,
          "\(name) has a slot and needs none")
        continue
      }
      want(
        (record.slot != nil) == (record.computed > 0 && !record.blocks.isEmpty),
        "\(name) has computed \(record.computed) in \(record.blocks.count) blocks, state \(record.slot ?? -1)"
      )
      want((record.slotHost != nil) == !record.host.isEmpty, "\(name) is swapped out by half")
    }
    want(references == statePool.references, "reference counts differ from the jobs")
    for record in records {
      guard let next = record.nextSlot else { continue }
      want(
        references[Int(next)] == 1 && statePool.content[Int(next)] == nil,
        "slot \(next) is about to be written, and shared")
    }
    var seen = [Int](repeating: 0, count: statePool.count)
    for slot in statePool.blank + statePool.cached { seen[Int(slot)] += 1 }
    for slot in 0..<statePool.count {
      want(seen[slot] == (references[slot] == 0 ? 1 : 0), "slot \(slot) is free \(seen[slot]) times")
    }
    want(host.allSatisfy { $0 == 1 }, "a host slot is free or used more or less than once")
    return wrong
  }
}
