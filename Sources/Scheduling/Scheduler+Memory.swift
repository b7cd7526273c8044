// Scheduler+Memory.swift: who has KV blocks, who gets them, who gives them up. Blocks are allocated
// only while a step is planned, and no step is planned while one is under way, so blocks given up
// in between (by a cancel, say) are not written by two. Start at `makeRoom(for:)`.

extension Scheduler {
  /// Finds the leading blocks of a sequence that the cache already has, and takes them. The last
  /// known token is always computed, since its logits are wanted. A prefix counts as far as every
  /// window still has what its next token sees.
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
    while !found.isEmpty, !windowsHold(index, to: at + found.count, serial) { found.removeLast() }
    if found.isEmpty { return }
    let end = at + found.count
    for block in found { pool.retain(block) }
    records[index].blocks += found
    records[index].computed = end * Limits.blockSize
    records[index].published = end
    for kind in windowPools.indices { takeWindow(index, kind, to: end, serial) }
  }

  /// Whether a sequence that is computed up to block `end` would find in every window what its next
  /// token sees.
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

  /// Gives up what no token to come sees.
  mutating func giveUpBehindWindows(_ index: Int) {
    for kind in windowPools.indices {
      let first = limits.windows[kind].first(computed: records[index].computed)
      while records[index].windows[kind].first < first, !records[index].windows[kind].blocks.isEmpty {
        windowPools[kind].release(records[index].windows[kind].blocks.removeFirst())
        records[index].windows[kind].first += 1
      }
    }
  }

  /// Gives up all blocks of windows on the device.
  private mutating func releaseWindows(_ index: Int) {
    for kind in windowPools.indices {
      windowPools[kind].release(records[index].windows[kind].blocks)
      records[index].windows[kind].blocks = []
      records[index].windows[kind].first = 0
    }
  }

  /// Takes what others have computed meanwhile of a prompt that both have.
  mutating func matchFurther(_ index: Int) {
    let before = records[index].computed
    matchPrefix(index)
    let found = records[index].computed - before
    counters.cachedTokens += Int64(found)
    if records[index].generated == 0 { records[index].cached += found }
  }

  /// Makes the content of computed blocks known, as far as keys were given.
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
  }

  /// Gets blocks so that a sequence has `wanted`, from what is free. False: there were too few, and
  /// it has more than before.
  mutating func allocate(_ index: Int, upTo wanted: Int) -> Bool {
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

  /// Gives up all that a job has on the device and the host. What was computed and has a key stays
  /// cached until the blocks are needed.
  mutating func dropBlocks(_ index: Int) {
    pool.release(records[index].blocks)
    hostFree.append(contentsOf: records[index].host.reversed())
    records[index].blocks = []
    records[index].host = []
    releaseWindows(index)
    for kind in windowPools.indices { releaseWindowHost(index, kind) }
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

  /// The cheaper way to get a sequence's blocks back later.
  func cheaperEviction(_ index: Int) -> Preemption {
    let blocks = records[index].blocks.count
    guard blocks > 0, blocks <= hostFree.count,
      windowPools.indices.allSatisfy({ records[index].windows[$0].blocks.count <= windowHostFree[$0].count }),
      let token = steps.prefillTime
    else { return .recompute }
    let swap = 2 * Double(blocks) * Double(limits.swapBlockTime)
    return swap < token * Double(records[index].computed) ? .swap : .recompute
  }

  /// Takes a sequence's device blocks, by copying or by giving up.
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

  /// Sees to it that a queued job could be computed up to its next token, besides what the prompts
  /// in the batch still need and a block for each sequence that grows. Takes blocks from jobs
  /// outside the batch, never from those in it.
  mutating func makeRoom(for index: Int, _ draft: inout Draft) -> Bool {
    let id = records[index].job.id
    if let blocked = blockedHead, blocked.job == id, pool.freeCount <= blocked.free, parked.isEmpty,
      zip(windowPools, blocked.windows).allSatisfy({ $0.freeCount <= $1 })
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
    while pool.freeCount < needed || !windowsHave(windows), reclaimParked(sparing: index, &draft) {}
    if windowsHave(windows),
      pool.freeCount >= needed || (running.isEmpty && pool.freeCount >= needed - growing)
    {
      if swapped { swapIn(index, from: matched / Limits.blockSize, &draft) }
      return true
    }
    if fresh {
      pool.release(records[index].blocks)
      records[index].blocks = []
      releaseWindows(index)
      if !swapped { records[index].computed = 0 }
      records[index].published = 0
    }
    blockedHead = (id, pool.freeCount, windowPools.map(\.freeCount))
    return false
  }

  private func windowsHave(_ needed: [Int]) -> Bool {
    zip(windowPools, needed).allSatisfy { $0.freeCount >= $1 }
  }

  /// What a queued job and the batch still take of a window: each as much as it sees, or as little
  /// as its text has.
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
    // More may be cached by now than was swapped out: then the cache is ahead.
    if first >= host.count {
      records[index].computed = max(records[index].computed, first * Limits.blockSize)
    } else {
      for kind in windowPools.indices { raise(index, kind) }
      _ = allocate(index, upTo: host.count)
      for kind in windowPools.indices { swapInWindow(index, kind, from: first, &draft) }
      let blocks = Array(records[index].blocks[first...])
      draft.operations.append(.swapIn(records[index].job.id, host: Array(host[first...]), blocks: blocks))
    }
    hostFree.append(contentsOf: host.reversed())
    records[index].host = []
    for kind in windowPools.indices { releaseWindowHost(index, kind) }
    giveUpBehindWindows(index)
    publish(index)
  }
}

extension Scheduler {
  /// Before blocks are allocated for a sequence that was swapped out: what it had given up before
  /// is not needed again.
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

/// What a step is made of while it's planned.
struct Draft {
  var operations: [KVOperation] = []
  var entries: [StepEntry] = []
  var effects: [Effect] = []
  /// For each entry, the record and the job it was.
  var work: [StepWork] = []
}

struct StepWork: Hashable, Sendable {
  let index: Int
  let job: JobID
  let serial: UInt64
  let count: Int
  let emits: Bool
}

/// A step under way.
struct StepInFlight: Sendable {
  let number: UInt64
  let work: [StepWork]
  let decodes: StepModel.Decodes
  let prefillTokens: Int
  /// The prompt tokens' mean position.
  let depth: Int
  let swaps: Bool
}
