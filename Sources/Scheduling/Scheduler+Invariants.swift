// Scheduler+Invariants.swift: what is always true between two calls, checked from the state
// alone. For tests and simulations: it visits every block and every job.

extension Scheduler {
  /// A sentence for each violated invariant; empty if there is none.
  package func checkInvariants() -> [String] {
    var wrong: [String] = []
    func want(_ holds: Bool, _ otherwise: @autoclosure () -> String) {
      if !holds { wrong.append(otherwise()) }
    }

    // Every job is in exactly one place, the one that its state requires.
    var alive = 0
    var places = [Int](repeating: 0, count: records.count)
    var inLines = places
    var isParked = places
    for index in parked { isParked[index] += 1 }
    for index in running { places[index] += 1 }
    for line in lines {
      want(!line.jobs.isEmpty, "an empty line of client \(line.key.client)")
      want(lineOf[line.key].map { lines[$0].key == line.key } ?? false, "a line that is not found by its key")
      for index in line.jobs { inLines[index] += 1 }
      for (a, b) in zip(line.jobs, line.jobs.dropFirst()) {
        want(
          Standing.precedes(records[a].standing, records[b].standing),
          "jobs \(records[a].job.id) and \(records[b].job.id) stand in the wrong order")
      }
    }
    want(lineOf.count == lines.count, "\(lineOf.count) line keys for \(lines.count) lines")
    var counts: [JobState: Int] = [:]
    var tokens = 0
    for (index, record) in records.enumerated() {
      let name = "job \(record.job.id)"
      guard record.alive else {
        want(
          places[index] == 0 && inLines[index] == 0, "\(name) has ended and is still in the batch or a line")
        want(record.blocks.isEmpty && record.host.isEmpty, "\(name) has ended and still has blocks")
        continue
      }
      alive += 1
      counts[record.state, default: 0] += 1
      if record.state != .running { tokens += record.job.promptTokens }
      want(recordOf[record.job.id] == index, "\(name) is not found by its number")
      want(
        places[index] == (record.state == .running ? 1 : 0),
        "\(name) is \(record.state), in the batch \(places[index]) times")
      want(
        inLines[index] == (record.state == .queued ? 1 : 0),
        "\(name) is \(record.state), in lines \(inLines[index]) times")
      want(
        isParked[index] == (record.isParked ? 1 : 0),
        "\(name) is \(record.state) with \(record.blocks.count) blocks, among the parked wrongly")
      want(
        record.computed >= 0 && record.computed < record.known,
        "\(name) has computed \(record.computed) of \(record.known)")
      want(
        record.generated < record.job.maxOutputTokens, "\(name) has generated \(record.generated) and goes on"
      )
      want(record.blocks.isEmpty || record.host.isEmpty, "\(name) has blocks on the device and on the host")
      let held = record.blocks.count + record.host.count
      want(
        held * Limits.blockSize >= record.computed,
        "\(name) has computed \(record.computed) in \(held) blocks")
      want(held <= limits.blocks, "\(name) has \(held) blocks")
      want(record.published <= record.keys.count, "\(name) has made more known than it has keys")
      want(
        record.published <= min(record.blocks.count, record.computed / Limits.blockSize),
        "\(name) has made \(record.published) of \(record.blocks.count) blocks known, \(record.computed) computed"
      )
      want(
        record.keys.count <= record.known / Limits.blockSize, "\(name) has keys of blocks that aren't full")
      want(record.generated == 0 || record.startedAt != nil, "\(name) has tokens and never started")
      want(record.startedAt == nil || record.charged, "\(name) ran for nothing")
      want(record.deadline >= nextExpiry || record.deadline <= clock, "\(name) would outlive its time limit")
    }
    want(alive == recordOf.count, "\(alive) jobs, \(recordOf.count) numbers")
    want(
      alive + emptyRecords.count == records.count,
      "\(records.count - alive - emptyRecords.count) records lost")
    want(counts[.pending, default: 0] == pendingJobs, "\(pendingJobs) pending jobs counted")
    want(counts[.held, default: 0] == heldJobs, "\(heldJobs) held jobs counted")
    want(
      running.count { records[$0].isStranger } == runningStrangers,
      "\(runningStrangers) strangers' jobs counted in the batch")
    for pool in Pool.allCases {
      let waits = records.filter { $0.alive && $0.state != .running && $0.job.pool == pool }
      want(
        waiting[pool.rawValue]
          == Waiting(
            jobs: waits.count, tokens: waits.reduce(0) { $0 + $1.job.promptTokens },
            pending: waits.count { $0.state == .pending }),
        "what waits among \(pool) is counted as \(waiting[pool.rawValue])")
    }
    want(alive - counts[.running, default: 0] == waitingJobs, "\(waitingJobs) waiting jobs counted")
    want(
      tokens == waiting.reduce(0) { $0 + $1.tokens }, "waiting tokens are counted wrongly, \(tokens) found")

    // No submitted job is lost.
    let ended =
      counters.done + counters.rejected + counters.cancelled + counters.expired + counters.failed
      + counters.interrupted
    want(
      counters.submitted == counters.refused + ended + Int64(alive),
      "\(counters.submitted) submitted, \(counters.refused) refused, \(ended) ended, \(alive) alive")

    // Blocks: a block's references equal the tables that contain it; each free block is in one free
    // list.
    var references = [Int32](repeating: 0, count: pool.count)
    for record in records where record.alive { for block in record.blocks { references[Int(block)] += 1 } }
    want(references == pool.references, "reference counts differ from the block tables")
    var seen = [Int](repeating: 0, count: pool.count)
    for block in pool.blank + pool.cached { seen[Int(block)] += 1 }
    for block in 0..<pool.count {
      want(seen[block] == (references[block] == 0 ? 1 : 0), "block \(block) is free \(seen[block]) times")
    }
    want(pool.cached.count == pool.cachedCount, "\(pool.cachedCount) cached blocks counted")
    want(pool.cached.allSatisfy { pool.content[Int($0)] != nil }, "a cached block without content")
    want(pool.blank.allSatisfy { pool.content[Int($0)] == nil }, "a blank block with content")
    var known = 0
    for (block, content) in pool.content.enumerated() {
      guard let content else { continue }
      known += 1
      want(pool.find(content) == BlockID(block), "block \(block) is not found by its content")
    }
    want(known == pool.byContent.count, "\(pool.byContent.count) contents of \(known) blocks")

    for kind in windowPools.indices { wrong += windowInvariants(kind) }
    wrong += stateInvariants()

    // A block that two jobs share is full, known, and belongs to one client.
    var owner = [UInt64?](repeating: nil, count: pool.count)
    for record in records where record.alive {
      for (at, block) in record.blocks.enumerated() {
        let serial = clients[record.client].serial
        if let other = owner[Int(block)] { want(other == serial, "block \(block) is shared across clients") }
        owner[Int(block)] = serial
        if references[Int(block)] > 1 {
          want(pool.content[Int(block)] != nil, "block \(block) is shared and not known")
          want((at + 1) * Limits.blockSize <= record.computed, "block \(block) is shared and still written")
        }
      }
    }
    var host = [Int](repeating: 0, count: limits.hostBlocks)
    for block in hostFree { host[Int(block)] += 1 }
    for record in records where record.alive { for block in record.host { host[Int(block)] += 1 } }
    want(host.allSatisfy { $0 == 1 }, "a host block is free or used more or less than once")

    // Clients: they can be found, their counts agree, and no line waits beyond its bound.
    var own = [Int](repeating: 0, count: clients.count)
    var waits = own
    var stands = own
    var linesOf = own
    for record in records where record.alive {
      own[record.client] += 1
      stands[record.standing.line.client] += 1
      if record.state != .running { waits[record.client] += 1 }
    }
    for line in lines where !line.key.audit { linesOf[line.key.client] += 1 }
    for (index, client) in clients.enumerated() {
      want(clientOf[client.id] == index, "client \(client.id) is not found")
      want(
        client.references == own[index] + stands[index],
        "client \(client.id) has \(client.references) references")
      want(client.waiting == waits[index], "client \(client.id) waits \(client.waiting) times")
      want(client.lines == linesOf[index], "client \(client.id) has \(client.lines) lines")
    }
    for (priority, level) in levels.enumerated() {
      let lines = lines.filter { $0.key.priority == priority && !$0.key.audit }.count
      want(level.lines == lines, "priority \(priority) has \(lines) lines, not \(level.lines)")
      guard let then = level.chargedWhenAged else { continue }
      want(
        counters.charged - then <= agedBound,
        "priority \(priority) waits while \(counters.charged - then) tokens were charged")
    }
    if let step = inFlight {
      want(step.work.count <= limits.maxStepTokens, "a step of \(step.work.count) entries")
    }
    return wrong
  }
}

extension Scheduler {
  /// The violated invariants of one window's blocks.
  private func windowInvariants(_ kind: Int) -> [String] {
    var wrong: [String] = []
    func want(_ holds: Bool, _ otherwise: @autoclosure () -> String) {
      if !holds { wrong.append("window \(kind): " + otherwise()) }
    }
    let pool = windowPools[kind]
    var references = [Int32](repeating: 0, count: pool.count)
    var host = [Int](repeating: 0, count: limits.windows[kind].hostBlocks)
    for place in windowHostFree[kind] { host[Int(place)] += 1 }
    for record in records {
      let table = record.windows[kind]
      let name = "job \(record.job.id)"
      guard record.alive else {
        want(table.blocks.isEmpty && table.host.isEmpty, "\(name) has ended and still has blocks")
        continue
      }
      for block in table.blocks { references[Int(block)] += 1 }
      for place in table.host { host[Int(place)] += 1 }
      want(
        table.blocks.count == max(0, record.blocks.count - table.first),
        "\(name) has \(table.blocks.count) blocks from \(table.first) on, and \(record.blocks.count) of all positions"
      )
      let first = limits.windows[kind].first(computed: record.computed)
      want(record.blocks.isEmpty || table.first <= first, "\(name) gave up block \(first), which it sees")
      want(
        record.blocks.isEmpty || table.first == first || table.blocks.isEmpty,
        "\(name) keeps what lies behind")
      want(
        record.host.isEmpty || table.hostFirst + table.host.count == record.host.count,
        "\(name) swapped out \(table.host.count) blocks from \(table.hostFirst) on")
    }
    want(references == pool.references, "reference counts differ from the block tables")
    var seen = [Int](repeating: 0, count: pool.count)
    for block in pool.blank + pool.cached { seen[Int(block)] += 1 }
    for block in 0..<pool.count {
      want(seen[block] == (references[block] == 0 ? 1 : 0), "block \(block) is free \(seen[block]) times")
    }
    want(pool.blank.allSatisfy { pool.content[Int($0)] == nil }, "a blank block with content")
    want(host.allSatisfy { $0 == 1 }, "a host block is free or used more or less than once")
    return wrong
  }
}
