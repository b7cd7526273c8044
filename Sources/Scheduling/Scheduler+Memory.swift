// Scheduler+Memory.swift: which jobs have KV blocks, get them, and give them up. Blocks are
// allocated only while a step is planned, and no step is planned while another is in progress. So
// blocks freed in between (by a cancel, say) are never written by two jobs. Slots of recurrent states
// are in Scheduler+States.swift. Start at `makeRoom(for:)`.

extension Scheduler {
  /// Finds the leading blocks of a sequence that are already cached, and takes them. The last known
  /// token is always computed, because its logits are needed. A prefix is usable only as far as
  /// every window still has the blocks that its next token sees, and only to where its recurrent
  /// state was kept.
  mutating func matchPrefix(_ index: Int) {
    let serial = clients[records[index].client].serial
    let at = records[index].computed / Limits.blockSize
    guard records[index].computed == at * Limits.blockSize, records[index].blocks.count == at else { return }
    var found: [BlockID] = []
    while at + found.count < records[index].keys.count,
      (at + found.count + 1) * Limits.blockSize < records[index].known,
      let block = pool.find(ContentKey(client: serial, key: records[index].keys[at + found.count]))
    {
      found.append(block)
    }
    while !found.isEmpty,
      !(windowsHold(index, to: at + found.count, serial) && stateHolds(index, to: at + found.count, serial))
    {
      found.removeLast()
    }
    if found.isEmpty { return }
    let end = at + found.count
    for block in found { pool.retain(block) }
    records[index].blocks += found
    records[index].computed = end * Limits.blockSize
    records[index].published = end
    for kind in windowPools.indices { takeWindow(index, kind, to: end, serial) }
    takeState(index, to: end, serial)
  }

  /// Whether every window has the blocks that the next token sees, for a sequence computed up to
  /// block `end`.
  private func windowsHold(_ index: Int, to end: Int, _ serial: UInt64) -> Bool {
    limits.windows.indices.allSatisfy { kind in
      let first = limits.windows[kind].first(computed: end * Limits.blockSize)
      return (first..<max(first, end)).allSatisfy { at in
        records[index].windows[kind].block(at) != nil
          || windowPools[kind].find(ContentKey(client: serial, key: records[index].keys[at])) != nil
      }
    }
  }

  private mutating func takeWindow(_ index: Int, _ kind: Int, to end: Int, _ serial: UInt64) {
    let old = records[index].windows[kind]
    let first = limits.windows[kind].first(computed: end * Limits.blockSize)
    var table = WindowTable(first: first, host: old.host, hostFirst: old.hostFirst)
    for at in first..<max(first, end) {
      if let own = old.block(at) {
        table.blocks.append(own)
      } else if let block = windowPools[kind].find(
        ContentKey(client: serial, key: records[index].keys[at]))
      {
        windowPools[kind].retain(block)
        table.blocks.append(block)
      }
    }
    for (offset, block) in old.blocks.enumerated() where table.block(old.first + offset) != block {
      windowPools[kind].release(block)
    }
    records[index].windows[kind] = table
  }

  /// Frees the blocks that no later token sees.
  mutating func giveUpBehindWindows(_ index: Int) {
    for kind in windowPools.indices {
      let first = limits.windows[kind].first(computed: records[index].computed)
      while records[index].windows[kind].first < first, !records[index].windows[kind].blocks.isEmpty {
        windowPools[kind].release(records[index].windows[kind].blocks.removeFirst())
        records[index].windows[kind].first += 1
      }
    }
  }

  /// Frees all device blocks of windows.
  private mutating func releaseWindows(_ index: Int) {
    for kind in windowPools.indices {
      windowPools[kind].release(records[index].windows[kind].blocks)
      records[index].windows[kind].blocks = []
      records[index].windows[kind].first = 0
    }
  }

  /// Takes the blocks of a shared prompt that other sequences have computed in the meantime.
  mutating func matchFurther(_ index: Int) {
    let before = records[index].computed
    matchPrefix(index)
    let found = records[index].computed - before
    counters.cachedTokens += Int64(found)
    if records[index].generated == 0 { records[index].cached += found }
  }

  /// Registers the content of computed blocks in the pool, as far as their keys were given.
  mutating func publish(_ index: Int) {
    let full = min(records[index].keys.count, records[index].computed / Limits.blockSize)
    let serial = clients[records[index].client].serial
    while records[index].published < full {
      let at = records[index].published
      let key = ContentKey(client: serial, key: records[index].keys[at])
      pool.publish(records[index].blocks[at], as: key)
      for kind in windowPools.indices {
        if let block = records[index].windows[kind].block(at) { windowPools[kind].publish(block, as: key) }
      }
      records[index].published = at + 1
    }
    publishState(index, serial)
  }

  /// Allocates free blocks until a sequence has `wanted`. False: there were too few, and it keeps
  /// those that it got.
  mutating func allocate(_ index: Int, upTo wanted: Int) -> Bool {
    guard prepareState(index) else { return false }
    while records[index].blocks.count < wanted {
      let at = records[index].blocks.count
      guard
        windowPools.indices.allSatisfy({
          at < records[index].windows[$0].first || windowPools[$0].freeCount > 0
        }),
        let block = pool.allocate()
      else { return false }
      records[index].blocks.append(block)
      for kind in windowPools.indices where at >= records[index].windows[kind].first {
        if let block = windowPools[kind].allocate() { records[index].windows[kind].blocks.append(block) }
      }
    }
    return true
  }

  /// Frees all blocks of a job on the device and the host. Computed blocks that have a key stay
  /// cached until they are needed.
  mutating func dropBlocks(_ index: Int) {
    pool.release(records[index].blocks)
    hostFree.append(contentsOf: records[index].host.reversed())
    records[index].blocks = []
    records[index].host = []
    releaseWindows(index)
    for kind in windowPools.indices { releaseWindowHost(index, kind) }
    releaseState(index)
    releaseStateHost(index)
    parked.removeAll { $0 == index }
  }

  private mutating func releaseWindowHost(_ index: Int, _ kind: Int) {
    windowHostFree[kind].append(contentsOf: records[index].windows[kind].host.reversed())
    records[index].windows[kind].host = []
  }

  private mutating func forgetComputed(_ index: Int) {
    dropBlocks(index)
    records[index].computed = 0
    records[index].published = 0
  }

  /// The cheaper way to restore a sequence's blocks later.
  func cheaperEviction(_ index: Int) -> Preemption {
    let blocks = records[index].blocks.count
    guard blocks > 0, blocks <= hostFree.count,
      windowPools.indices.allSatisfy({ records[index].windows[$0].blocks.count <= windowHostFree[$0].count }),
      records[index].slot == nil || !stateHostFree.isEmpty, let token = steps.prefillTime
    else { return .recompute }
    let swap =
      2 * (Double(blocks) * Double(limits.swapBlockTime) + Double(limits.states?.swapTime ?? 0))
    return swap < token * Double(records[index].computed) ? .swap : .recompute
  }

  /// Takes a sequence's device blocks: copies them to the host, or frees them.
  mutating func evict(_ index: Int, _ how: Preemption, _ draft: inout Draft) {
    switch how {
    case .keep: break
    case .recompute: forgetComputed(index)
    case .swap:
      // A block beyond the computed positions holds nothing.
      let used = Limits.blocks(for: records[index].computed)
      let blocks = Array(records[index].blocks.prefix(used))
      let host = Array(hostFree.suffix(used).reversed())
      hostFree.removeLast(used)
      draft.operations.append(.swapOut(records[index].job.id, blocks: blocks, host: host))
      pool.release(records[index].blocks)
      records[index].blocks = []
      records[index].host = host
      for kind in windowPools.indices { swapOutWindow(index, kind, used: used, &draft) }
      releaseWindows(index)
      saveState(index, &draft)
      records[index].published = 0
      parked.removeAll { $0 == index }
    }
  }

  private mutating func swapOutWindow(_ index: Int, _ kind: Int, used: Int, _ draft: inout Draft) {
    let table = records[index].windows[kind]
    let blocks = Array(table.blocks.prefix(max(0, used - table.first)))
    let host = Array(windowHostFree[kind].suffix(blocks.count).reversed())
    windowHostFree[kind].removeLast(blocks.count)
    records[index].windows[kind].host = host
    records[index].windows[kind].hostFirst = table.first
    if !blocks.isEmpty {
      draft.operations.append(.swapOut(records[index].job.id, blocks: blocks, host: host, window: kind))
    }
  }

  /// Takes the device blocks of a job outside the batch: an audit's first, then a held one's, then
  /// the last queued one's.
  mutating func reclaimParked(sparing spared: Int?, _ draft: inout Draft) -> Bool {
    func cost(_ index: Int) -> Int {
      records[index].isAudit ? 0 : (records[index].state == .held ? 1 : 2 + records[index].priority)
    }
    var victim: Int?
    for index in parked where index != spared {
      if let found = victim, cost(found) < cost(index) { continue }
      victim = index
    }
    guard let victim else { return false }
    let how = cheaperEviction(victim)
    evict(victim, how, &draft)
    draft.effects.append(.evicted(records[victim].job.id, how))
    return true
  }

  /// Moves a sequence from the batch back to the queue.
  mutating func preempt(_ index: Int, _ how: Preemption, _ draft: inout Draft) {
    leaveBatch(index)
    records[index].state = .queued
    setAside(index)
    countWaiting(index, 1)
    evict(index, how, &draft)
    if records[index].isParked { parked.append(index) }
    enqueue(index)
    switch how {
    case .keep: counters.keptPreemptions += 1
    case .swap: counters.swapPreemptions += 1
    case .recompute: counters.recomputePreemptions += 1
    }
    draft.effects.append(.preempted(records[index].job.id, how))
  }

  /// Makes sure that a queued job can be computed up to its next token, in addition to what the
  /// prompts in the batch still need and one block for each sequence that grows. Takes blocks from
  /// jobs outside the batch, never from those in it.
  mutating func makeRoom(for index: Int, _ draft: inout Draft) -> Bool {
    let id = records[index].job.id
    if let blocked = blockedHead, blocked.job == id, pool.freeCount <= blocked.free, parked.isEmpty,
      zip(windowPools, blocked.windows).allSatisfy({ $0.freeCount <= $1 }),
      statePool.freeCount <= blocked.states
    {
      return false
    }
    blockedHead = nil
    let fresh = records[index].blocks.isEmpty
    let swapped = !records[index].host.isEmpty
    // A swapped sequence takes back what is still cached, and copies the rest.
    let computed = records[index].computed
    if swapped { records[index].computed = 0 }
    if fresh { matchPrefix(index) }
    let matched = records[index].computed
    if swapped { records[index].computed = computed }

    let wanted = Limits.blocks(for: records[index].known + 1)
    var growing = 0
    for other in running {
      growing += max(1, Limits.blocks(for: records[other].known + 1) - records[other].blocks.count)
    }
    let needed = min(wanted, limits.blocks) - records[index].blocks.count + growing
    let windows = windowPools.indices.map { neededOfWindow(index, $0, wanted: min(wanted, limits.blocks)) }
    let states = neededStates(index)
    func haveOthers() -> Bool { windowsHave(windows) && statePool.freeCount >= states }
    while pool.freeCount < needed || !haveOthers(), reclaimParked(sparing: index, &draft) {}
    if haveOthers(),
      pool.freeCount >= needed || (running.isEmpty && pool.freeCount >= needed - growing)
    {
      if swapped { swapIn(index, from: matched / Limits.blockSize, &draft) }
      return true
    }
    if fresh {
      pool.release(records[index].blocks)
      records[index].blocks = []
      releaseWindows(index)
      releaseState(index)
      if !swapped { records[index].computed = 0 }
      records[index].published = 0
    }
    blockedHead = (id, pool.freeCount, windowPools.map(\.freeCount), statePool.freeCount)
    return false
  }

  private func windowsHave(_ needed: [Int]) -> Bool {
    zip(windowPools, needed).allSatisfy { $0.freeCount >= $1 }
  }

  /// How many blocks of a window a queued job and the batch still need: for each sequence what it
  /// sees, or all its positions if it is shorter.
  private func neededOfWindow(_ index: Int, _ kind: Int, wanted: Int) -> Int {
    let span = limits.windows[kind].span
    func more(_ index: Int, upTo wanted: Int) -> Int {
      let table = records[index].windows[kind]
      return max(0, min(wanted - table.first, span) - table.blocks.count)
    }
    return running.reduce(more(index, upTo: wanted)) { sum, other in
      sum + max(1, more(other, upTo: Limits.blocks(for: records[other].known + 1)))
    }
  }

  private mutating func swapIn(_ index: Int, from first: Int, _ draft: inout Draft) {
    let host = records[index].host
    // More may be cached by now than was swapped out; then use the cache.
    if first >= host.count {
      records[index].computed = max(records[index].computed, first * Limits.blockSize)
    } else {
      restoreState(index, &draft)
      for kind in windowPools.indices { raise(index, kind) }
      _ = allocate(index, upTo: host.count)
      for kind in windowPools.indices { swapInWindow(index, kind, from: first, &draft) }
      let blocks = Array(records[index].blocks[first...])
      draft.operations.append(.swapIn(records[index].job.id, host: Array(host[first...]), blocks: blocks))
    }
    hostFree.append(contentsOf: host.reversed())
    records[index].host = []
    for kind in windowPools.indices { releaseWindowHost(index, kind) }
    releaseStateHost(index)
    giveUpBehindWindows(index)
    publish(index)
  }
}

extension Scheduler {
  /// Called before blocks are allocated for a sequence that was swapped out: blocks that it had
  /// freed before are not needed again.
  private mutating func raise(_ index: Int, _ kind: Int) {
    let table = records[index].windows[kind]
    guard table.hostFirst > table.first else { return }
    let behind = min(table.hostFirst - table.first, table.blocks.count)
    windowPools[kind].release(Array(table.blocks.prefix(behind)))
    records[index].windows[kind].blocks.removeFirst(behind)
    records[index].windows[kind].first = table.hostFirst
  }

  /// - first: blocks before it were still cached
  private mutating func swapInWindow(_ index: Int, _ kind: Int, from first: Int, _ draft: inout Draft) {
    let table = records[index].windows[kind]
    var host: [BlockID] = []
    var blocks: [BlockID] = []
    for (offset, place) in table.host.enumerated() where table.hostFirst + offset >= first {
      guard let block = table.block(table.hostFirst + offset) else { continue }
      host.append(place)
      blocks.append(block)
    }
    if !host.isEmpty {
      draft.operations.append(.swapIn(records[index].job.id, host: host, blocks: blocks, window: kind))
    }
  }
}

/// A step while it is being planned.
struct Draft {
  var operations: [KVOperation] = []
  var entries: [StepEntry] = []
  var effects: [Effect] = []
  /// For each entry, its record and job.
  var work: [StepWork] = []
}

struct StepWork: Hashable, Sendable {
  let index: Int
  let job: JobID
  let serial: UInt64
  let count: Int
  /// As many of them are no known tokens yet.
  var guessed = 0
  let emits: Bool
}

/// A step in progress.
struct StepInFlight: Sendable {
  let number: UInt64
  let work: [StepWork]
  let decodes: StepModel.Decodes
  /// Guessed tokens too: they cost the same.
  let prefillTokens: Int
  /// The mean position of the prompt tokens.
  let depth: Int
  let swaps: Bool
}
