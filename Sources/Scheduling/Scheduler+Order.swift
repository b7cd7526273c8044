// Scheduler+Order.swift: which job is next. Lines compete by class (priority plus ageing), then by
// their client's counter, so that within a class the client that was charged least goes first
// (virtual token counter, Sheng et al. 2024). Start at `bestLine(among:)`.

extension Scheduler {
  /// The most by which two clients' charges may differ: twice the larger of a longest prompt and a
  /// full KV memory, both weighted (Sheng et al. 2024, theorem 4.4).
  public var fairnessBound: Int64 { 2 * largestCharge }

  /// The weighted tokens that may be charged while a fully aged priority waits for its next start.
  ///
  /// Every client served earlier has a counter no higher than that of the client that is next at
  /// this priority. No counter counts for less than `virtualTime - fairnessBound`, and none exceeds
  /// `virtualTime` by more than one prompt and what it has in the batch. So each client may be
  /// charged that gap and one overshoot. The waiting client itself may first be served at the other
  /// nine priorities, and each of those adds one more overshoot.
  public var agedBound: Int64 {
    Int64(max(clients.count, 1) + 1) * (fairnessBound + 12 * 2 * largestCharge)
  }

  private var largestCharge: Int64 {
    let prompt = Int64(limits.contextLength) * Int64(Limits.promptWeight)
    let batch = Int64(limits.blocks) * Int64(Limits.blockSize) * Int64(Limits.outputWeight)
    return max(prompt, batch)
  }

  /// A counter that lags far behind, because its client submitted only at low priority, does not
  /// accumulate unbounded credit.
  func counter(of client: Int) -> Int64 { max(clients[client].counter, virtualTime - fairnessBound) }

  mutating func charge(_ client: Int, _ tokens: Int) {
    clients[client].counter = counter(of: client) + Int64(tokens)
    counters.charged += Int64(tokens)
  }

  /// The priority at which a line competes now.
  func lineClass(_ line: Line) -> Int {
    line.key.audit ? line.key.priority : levelClass(line.key.priority)
  }

  func levelClass(_ priority: Int) -> Int {
    let steps = serving.minus(levels[priority].since) / limits.ageing
    return Int(min(9, Int64(priority) + steps))
  }

  func precedes(_ a: Line, _ b: Line) -> Bool {
    let (classA, classB) = (lineClass(a), lineClass(b))
    if classA != classB { return classA > classB }
    let (counterA, counterB) = (counter(of: a.key.client), counter(of: b.key.client))
    if counterA != counterB { return counterA < counterB }
    let (sinceA, sinceB) = (levels[a.key.priority].since, levels[b.key.priority].since)
    if sinceA != sinceB { return sinceA < sinceB }
    guard let headA = a.jobs.first, let headB = b.jobs.first else { return !a.jobs.isEmpty }
    return records[headA].standing.place < records[headB].standing.place
  }

  enum Kind { case clientJobs, audits }

  /// The line whose first job is next. It scans all lines; the order is total, so the order of
  /// `lines` does not matter. A group made by the operator that has begun precedes all others.
  /// - strangers: false skips lines whose first job is a stranger's; so does a batch that has all
  ///   the strangers it may have.
  func bestLine(among kind: Kind, strangers: Bool = true) -> Int? {
    var best: Int?
    let strangersMayStart = strangers && runningStrangers < limits.maxRunningStrangers
    for index in lines.indices where lines[index].key.audit == (kind == .audits) {
      if !strangersMayStart, let head = lines[index].jobs.first, records[head].isStranger { continue }
      if startedGroup != 0, let head = lines[index].jobs.first, records[head].standing.group == startedGroup {
        return index
      }
      if let found = best, !precedes(lines[index], lines[found]) { continue }
      best = index
    }
    return best
  }

  // MARK: Lines

  static let placeStep: Int64 = 1 << 20

  mutating func standing(_ line: LineKey, deadline: Microseconds) -> Standing {
    nextPlace += Self.placeStep
    return Standing(
      line: line, fresh: true, due: min(deadline, clock.plus(limits.patience)), place: nextPlace)
  }

  /// Puts a queued job into its line. A client that had nothing queued is lifted to the counters of
  /// those that have, so that it can't save up service while idle and use it all at once (Sheng et
  /// al. 2024, algorithm 2).
  mutating func enqueue(_ index: Int) {
    blockedHead = nil
    let standing = records[index].standing
    let key = standing.line
    let lineIndex: Int
    if let known = lineOf[key] {
      lineIndex = known
    } else {
      if !key.audit {
        if clients[key.client].lines == 0, standing.fresh { lift(key.client) }
        clients[key.client].lines += 1
        if levels[key.priority].lines == 0 { levels[key.priority].since = serving }
        levels[key.priority].lines += 1
      }
      lineIndex = lines.count
      lines.append(Line(key: key, jobs: []))
      lineOf[key] = lineIndex
    }
    var low = 0
    var high = lines[lineIndex].jobs.count
    while low < high {
      let middle = (low + high) / 2
      if Standing.precedes(records[lines[lineIndex].jobs[middle]].standing, standing) {
        low = middle + 1
      } else {
        high = middle
      }
    }
    lines[lineIndex].jobs.insert(index, at: low)
  }

  private mutating func lift(_ client: Int) {
    var level: Int64?
    for line in lines where !line.key.audit && line.key.client != client {
      let other = counter(of: line.key.client)
      level = min(level ?? other, other)
    }
    if level == nil, let last = lastStarted { level = counter(of: last) }
    if let level { clients[client].counter = max(clients[client].counter, level) }
  }

  mutating func leaveLine(_ index: Int) {
    let key = records[index].standing.line
    guard let lineIndex = lineOf[key] else { return }
    lines[lineIndex].jobs.removeAll { $0 == index }
    guard lines[lineIndex].jobs.isEmpty else { return }
    if !key.audit {
      clients[key.client].lines -= 1
      levels[key.priority].lines -= 1
      if levels[key.priority].lines == 0 { levels[key.priority].chargedWhenAged = nil }
    }
    lineOf[key] = nil
    if let last = lines.popLast(), last.key != key {
      lines[lineIndex] = last
      lineOf[last.key] = lineIndex
    }
  }

  /// The place of a sequence that left the batch: in its own line, before those that have not run.
  mutating func setAside(_ index: Int) {
    var standing = records[index].own
    standing.fresh = false
    stand(index, standing)
  }

  /// Moves a record that is in no line to another standing.
  mutating func stand(_ index: Int, _ standing: Standing) {
    clients[records[index].standing.line.client].references -= 1
    clients[standing.line.client].references += 1
    records[index].standing = standing
  }

  /// A place between two neighbours; if none is left between them, all are renumbered first.
  mutating func place(_ side: Side, _ other: Int) -> Int64 {
    for _ in 0..<2 {
      let anchor = records[other].standing.place
      var neighbour: Int64?
      for record in records where record.alive {
        for place in [record.standing.place, record.own.place] {
          switch side {
          case .before where place < anchor: neighbour = max(neighbour ?? place, place)
          case .after where place > anchor: neighbour = min(neighbour ?? place, place)
          case .before, .after: break
          }
        }
      }
      switch side {
      case .before:
        let floor = neighbour ?? anchor - 2 * Self.placeStep
        if anchor - floor >= 2 { return anchor - (anchor - floor) / 2 }
      case .after:
        let ceiling = neighbour ?? anchor + 2 * Self.placeStep
        if ceiling - anchor >= 2 {
          let place = anchor + (ceiling - anchor) / 2
          nextPlace = max(nextPlace, place)
          return place
        }
      }
      respace()
    }
    return records[other].standing.place
  }

  enum Side { case before, after }

  /// Renumbers all places in the same order, with wide gaps.
  private mutating func respace() {
    let taken = records.filter(\.alive).flatMap { [$0.standing.place, $0.own.place] }.sorted()
    var renamed: [Int64: Int64] = [:]
    nextPlace = 0
    for place in taken where renamed[place] == nil {
      nextPlace += Self.placeStep
      renamed[place] = nextPlace
    }
    for index in records.indices where records[index].alive {
      let record = records[index]
      records[index].standing.place = renamed[record.standing.place] ?? record.standing.place
      records[index].own.place = renamed[record.own.place] ?? record.own.place
    }
  }

  /// All queued jobs in the order in which they would start if nothing else were submitted. Lines
  /// are served one job at a time and their clients charged, as `plan` would do. Audits come last.
  func queueOrder() -> [Int] {
    var order: [Int] = []
    for kind in [Kind.clientJobs, .audits] { merge(kind, into: &order) }
    return order
  }

  private struct Head {
    var rank: Int
    var counter: Int64
    var since: Microseconds
    var place: Int64
    var line: Int

    static func precedes(_ a: Head, _ b: Head) -> Bool {
      (-a.rank, a.counter, a.since, a.place) < (-b.rank, b.counter, b.since, b.place)
    }
  }

  private func merge(_ kind: Kind, into order: inout [Int]) {
    var charges = [Int64](repeating: 0, count: clients.count)
    var taken = [Int](repeating: 0, count: lines.count)
    var started = [Bool](repeating: false, count: levels.count)
    func head(_ line: Int) -> Head? {
      guard taken[line] < lines[line].jobs.count else { return nil }
      let client = lines[line].key.client
      let place = records[lines[line].jobs[taken[line]]].standing.place
      // Starting a job resets its priority's age.
      let priority = lines[line].key.priority
      let old = !started[priority]
      return Head(
        rank: old ? lineClass(lines[line]) : priority, counter: counter(of: client) + charges[client],
        since: old ? levels[priority].since : serving, place: place, line: line)
    }
    func take(_ index: Int) {
      order.append(index)
      if !records[index].charged {
        charges[records[index].client] +=
          Int64(records[index].job.promptTokens * Limits.promptWeight)
          + Int64(expectedOutput(records[index]) * Limits.outputWeight)
      }
    }
    var heap = Heap<Head>(Head.precedes)
    for line in lines.indices where lines[line].key.audit == (kind == .audits) && startedGroup != 0 {
      while taken[line] < lines[line].jobs.count,
        records[lines[line].jobs[taken[line]]].standing.group == startedGroup
      {
        taken[line] += 1
        started[lines[line].key.priority] = true
        take(lines[line].jobs[taken[line] - 1])
      }
    }
    for line in lines.indices where lines[line].key.audit == (kind == .audits) {
      if let head = head(line) { heap.push(head) }
    }
    while let top = heap.pop() {
      // Since this was pushed, its client was charged or its priority started a job: look up its
      // place again.
      if let now = head(top.line),
        now.counter != top.counter || now.rank != top.rank || now.since != top.since
      {
        heap.push(now)
        continue
      }
      let index = lines[top.line].jobs[taken[top.line]]
      taken[top.line] += 1
      started[lines[top.line].key.priority] = true
      take(index)
      // Next come the jobs that were moved next to it.
      let group = records[index].standing.group
      while group != 0, taken[top.line] < lines[top.line].jobs.count {
        let other = lines[top.line].jobs[taken[top.line]]
        guard records[other].standing.group == group else { break }
        taken[top.line] += 1
        take(other)
      }
      if let next = head(top.line) { heap.push(next) }
    }
  }
}

/// A binary heap: the least element first.
struct Heap<Element> {
  private var elements: [Element] = []
  private let precedes: (Element, Element) -> Bool

  init(_ precedes: @escaping (Element, Element) -> Bool) { self.precedes = precedes }

  mutating func push(_ element: Element) {
    elements.append(element)
    var child = elements.count - 1
    while child > 0, precedes(elements[child], elements[(child - 1) / 2]) {
      elements.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> Element? {
    guard let last = elements.popLast() else { return nil }
    guard let top = elements.first else { return last }
    elements[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < elements.count {
        if precedes(elements[child], elements[least]) { least = child }
      }
      if least == parent { return top }
      elements.swapAt(parent, least)
      parent = least
    }
  }
}
