// Scheduler+Memory.swift: who has KV blocks, who gets them, who gives them up.
// Blocks are allocated only while a step is planned, and no step is planned while one is under way, so blocks given up in
// between (by a cancel, say) are not written by two. Start at `makeRoom(for:)`.

extension Scheduler {
  /// Finds the leading blocks of a sequence that the cache already has, and takes them. The last known token is always
  /// computed, since its logits are wanted.
  mutating func matchPrefix(_ index: Int) {
    let serial = clients[records[index].client].serial
    while extendMatch(index, serial: serial) {}
  }

  private mutating func extendMatch(_ index: Int, serial: UInt64) -> Bool {
    let at = records[index].computed / Limits.blockSize
    guard records[index].computed == at * Limits.blockSize, records[index].blocks.count == at,
      at < records[index].keys.count, records[index].computed + Limits.blockSize < records[index].known,
      let block = pool.find(ContentKey(client: serial, key: records[index].keys[at]))
    else { return false }
    pool.retain(block)
    records[index].blocks.append(block)
    records[index].computed += Limits.blockSize
    records[index].published = at + 1
    return true
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
      pool.publish(records[index].blocks[at], as: ContentKey(client: serial, key: records[index].keys[at]))
      records[index].published = at + 1
    }
  }

  /// Gets blocks so that a sequence has `wanted`, from what is free. False: there were too few, and it has more than before.
  mutating func allocate(_ index: Int, upTo wanted: Int) -> Bool {
    while records[index].blocks.count < wanted {
      guard let block = pool.allocate() else { return false }
      records[index].blocks.append(block)
    }
    return true
  }

  /// Gives up all that a job has on the device and the host. What was computed and has a key stays cached until
  /// the blocks are needed.
  mutating func dropBlocks(_ index: Int) {
    pool.release(records[index].blocks)
    hostFree.append(contentsOf: records[index].host.reversed())
    records[index].blocks = []
    records[index].host = []
    parked.removeAll { $0 == index }
  }

  private mutating func forgetComputed(_ index: Int) {
    dropBlocks(index)
    records[index].computed = 0
    records[index].published = 0
  }

  /// The cheaper way to get a sequence's blocks back later.
  func cheaperEviction(_ index: Int) -> Preemption {
    let blocks = records[index].blocks.count
    guard blocks > 0, blocks <= hostFree.count, let token = steps.prefillTime else { return .recompute }
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
      records[index].published = 0
      parked.removeAll { $0 == index }
    }
  }

  /// Takes the device blocks of a job outside the batch: an audit's first, then a held one's, then the last queued one's.
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

  /// Sees to it that a queued job could be computed up to its next token, besides what the prompts in the batch still need
  /// and a block for each sequence that grows. Takes blocks from jobs outside the batch, never from those in it.
  mutating func makeRoom(for index: Int, _ draft: inout Draft) -> Bool {
    let id = records[index].job.id
    if let blocked = blockedHead, blocked.job == id, pool.freeCount <= blocked.free, parked.isEmpty {
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
    while pool.freeCount < needed, reclaimParked(sparing: index, &draft) {}
    if pool.freeCount >= needed || (running.isEmpty && pool.freeCount >= needed - growing) {
      if swapped { swapIn(index, from: matched / Limits.blockSize, &draft) }
      return true
    }
    if fresh {
      pool.release(records[index].blocks)
      records[index].blocks = []
      if !swapped { records[index].computed = 0 }
      records[index].published = 0
    }
    blockedHead = (id, pool.freeCount)
    return false
  }

  private mutating func swapIn(_ index: Int, from first: Int, _ draft: inout Draft) {
    let host = records[index].host
    // More may be cached by now than was swapped out: then the cache is ahead.
    if first >= host.count {
      records[index].computed = max(records[index].computed, first * Limits.blockSize)
    } else {
      _ = allocate(index, upTo: host.count)
      let blocks = Array(records[index].blocks[first...])
      draft.operations.append(.swapIn(records[index].job.id, host: Array(host[first...]), blocks: blocks))
    }
    hostFree.append(contentsOf: host.reversed())
    records[index].host = []
    publish(index)
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
