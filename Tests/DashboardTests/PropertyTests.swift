import Control
// PropertyTests.swift: whatever is pressed, whatever the node says: no trap, no act without its confirmation, the
// selection on the same job, and nothing on the terminal that is not ours.
// Failures print their seed. `HOTPOT_HEAVY=1` runs long. Start at randomKeysAtRandomSizes.
import Dice
import Foundation
import ScriptedNode
import StrictTerminal
import Telemetry
import Terminal
import TestSettings
import Testing

@testable import Dashboard

/// Text as a hostile client would write it.
private func hostile(_ generator: inout SeededGenerator) -> String {
  let parts = [
    "\u{1B}[2J", "\u{1B}]0;owned\u{07}", "\u{1B}]52;c;cm0gLXJm\u{07}", "\u{1B}P$q\u{1B}\\", "\u{9B}31m",
    "\u{202E}", "\u{2066}", "\u{200B}",
    "e\u{301}\u{302}\u{303}", "漢字", "👩‍👩‍👧", "🇩🇪", "👍🏽", "\r\n", "\t", "\u{0}", "\u{7F}", "\u{85}", "\u{2028}",
    "مرحبا", "한", "\u{E000}", "abc", " ",
    "\u{1B}[201~", "\u{1B}c", "\u{0E}", "\u{1B}(0", "aria-research", "%s%n", "|", "",
  ]
  var text = ""
  for _ in 0..<Int.random(in: 0...6, using: &generator) {
    if Int.random(in: 0..<4, using: &generator) == 0,
      let scalar = Unicode.Scalar(UInt32.random(in: 0...0x10FFFF, using: &generator))
    {
      text.unicodeScalars.append(scalar)
    } else {
      text += parts[Int.random(in: 0..<parts.count, using: &generator)]
    }
  }
  return text
}

private func wild(_ generator: inout SeededGenerator) -> Int {
  switch Int.random(in: 0..<8, using: &generator) {
  case 0: Int.max
  case 1: Int.min
  case 2: -1
  case 3: 0
  default: Int.random(in: 0...100_000, using: &generator)
  }
}

private func wildDouble(_ generator: inout SeededGenerator) -> Double {
  switch Int.random(in: 0..<10, using: &generator) {
  case 0: .nan
  case 1: .infinity
  case 2: -.infinity
  case 3: 1e300
  case 4: -5
  default: Double.random(in: 0...1.2, using: &generator)
  }
}

private func reading<Value>(_ value: Value, _ generator: inout SeededGenerator) -> Reading<Value> {
  switch Int.random(in: 0..<8, using: &generator) {
  case 0: .warmingUp
  case 1: .unavailable(hostile(&generator))
  case 2: .stale(value, since: Int64(wild(&generator)))
  default: .value(value)
  }
}

/// A snapshot that no node of ours would send, but a socket could.
private func wildSnapshot(_ generator: inout SeededGenerator, pool: [String]) -> NodeSnapshot {
  func id(_ generator: inout SeededGenerator) -> String {
    pool[Int.random(in: 0..<pool.count, using: &generator)]
  }
  var seen: Set<String> = []
  var jobs: [JobRow] = []
  for _ in 0..<Int.random(in: 0...30, using: &generator) {
    let job = id(&generator)
    if Bool.random(using: &generator) && !seen.insert(job).inserted { continue }
    jobs.append(
      JobRow(
        id: job, state: JobState.allCases.randomElement(using: &generator) ?? .running,
        stateDetail: Bool.random(using: &generator) ? hostile(&generator) : nil, client: hostile(&generator),
        origin: JobOrigin.allCases.randomElement(using: &generator) ?? .client, model: hostile(&generator),
        priority: wild(&generator),
        promptTokens: wild(&generator), promptDone: wild(&generator), cachedTokens: wild(&generator),
        outputTokens: wild(&generator),
        outputLimit: wild(&generator),
        tokensPerSecond: Bool.random(using: &generator) ? wildDouble(&generator) : nil,
        submitted: Int64(wild(&generator)), started: Int64(wild(&generator)),
        firstToken: Int64(wild(&generator)),
        ended: Bool.random(using: &generator) ? Int64(wild(&generator)) : nil, price: Int64(wild(&generator)),
        priceIsBound: Bool.random(using: &generator), receipt: hostile(&generator),
        energy: Bool.random(using: &generator) ? reading(wildDouble(&generator), &generator) : nil,
        energyCost: Bool.random(using: &generator) ? reading(Int64(wild(&generator)), &generator) : nil))
  }
  var approvals: [ApprovalRow] = []
  for job in jobs where job.state == .pending && Bool.random(using: &generator) {
    approvals.append(
      ApprovalRow(
        id: job.id, client: hostile(&generator), isKnown: Bool.random(using: &generator),
        model: hostile(&generator),
        promptTokens: wild(&generator), outputLimit: wild(&generator), offered: Int64(wild(&generator)),
        asked: Int64(wild(&generator)),
        deadline: Int64(wild(&generator)), submitted: Int64(wild(&generator)), policy: hostile(&generator),
        wouldEarn: reading(Int64(wild(&generator)), &generator),
        wouldCost: reading(Int64(wild(&generator)), &generator),
        wouldTake: reading(Int64(wild(&generator)), &generator)))
  }
  func share(_ generator: inout SeededGenerator) -> Reading<Double> {
    reading(wildDouble(&generator), &generator)
  }
  func count(_ generator: inout SeededGenerator) -> Reading<Int64> {
    reading(Int64(wild(&generator)), &generator)
  }
  let gpu = GPUSnapshot(
    name: hostile(&generator), utilization: share(&generator), memoryUsed: count(&generator),
    memoryTotal: count(&generator),
    temperature: share(&generator), power: share(&generator), powerLimit: share(&generator),
    clock: share(&generator),
    throttle: hostile(&generator), processes: reading([hostile(&generator)], &generator),
    slowdownTemperature: share(&generator), memoryClock: share(&generator),
    correctedErrors: count(&generator),
    uncorrectedErrors: count(&generator), received: share(&generator), sent: share(&generator))
  let compute = ComputeSnapshot(
    cpu: share(&generator),
    cores: reading(
      (0..<Int.random(in: 0...200, using: &generator)).map { _ in wildDouble(&generator) }, &generator),
    cpuTemperature: share(&generator), cpuPower: share(&generator),
    load: reading([wildDouble(&generator)], &generator),
    memoryUsed: count(&generator), memoryTotal: count(&generator), swapUsed: count(&generator),
    residentMemory: count(&generator),
    cpuPressure: share(&generator), memoryPressure: share(&generator), ioPressure: share(&generator),
    diskFree: count(&generator),
    networkIn: share(&generator), networkOut: share(&generator),
    gpus: reading(Array(repeating: gpu, count: Int.random(in: 0...9, using: &generator)), &generator),
    container: hostile(&generator), cpuClock: share(&generator), cpuWait: share(&generator),
    cpuSteal: share(&generator), mappedMemory: count(&generator), diskRead: share(&generator),
    diskWritten: share(&generator))
  let throughput = ThroughputSnapshot(
    decode: share(&generator), prefill: share(&generator), firstTokenP50: share(&generator),
    firstTokenP99: share(&generator),
    betweenTokensP50: share(&generator), betweenTokensP99: share(&generator), kvInUse: share(&generator),
    kvCached: share(&generator),
    batchSize: wild(&generator), cacheHits: share(&generator), tokensGenerated: wild(&generator),
    tokensPrefilled: wild(&generator),
    jobsDone: wild(&generator), preemptions: wild(&generator))
  var rows: [ReceiptRow] = []
  for _ in 0..<Int.random(in: 0...12, using: &generator) {
    rows.append(
      ReceiptRow(
        id: id(&generator), index: UInt64.random(in: 0...UInt64.max, using: &generator),
        job: hostile(&generator), client: hostile(&generator),
        model: hostile(&generator), time: Int64(wild(&generator)), promptTokens: wild(&generator),
        outputTokens: wild(&generator),
        amount: Int64(wild(&generator)),
        state: ReceiptState.allCases.randomElement(using: &generator) ?? .logged,
        audit: [.unaudited, .running, .audited, .failed(hostile(&generator))].randomElement(using: &generator)
          ?? .unaudited))
  }
  let receipts = ReceiptsSnapshot(
    logged: reading(wild(&generator), &generator), signed: wild(&generator), witnessed: wild(&generator),
    audited: wild(&generator),
    failed: wild(&generator), lastCheckpoint: count(&generator), perMinute: share(&generator),
    keyFingerprint: reading(hostile(&generator), &generator), recent: rows)
  let earnings = EarningsSnapshot(
    today: count(&generator), todayNet: count(&generator), perHour: count(&generator),
    projectedDay: count(&generator),
    days: (0..<Int.random(in: 0...40, using: &generator)).map { _ in Int64(wild(&generator)) },
    unsettled: count(&generator),
    verified: count(&generator), settled: count(&generator), energyToday: share(&generator),
    clients: (0..<Int.random(in: 0...6, using: &generator)).map { _ in
      ClientEarnings(
        client: hostile(&generator), today: Int64(wild(&generator)), total: Int64(wild(&generator)),
        unsettled: Int64(wild(&generator)),
        jobs: wild(&generator), tokens: wild(&generator))
    })
  let node = NodeSummary(
    name: hostile(&generator), version: hostile(&generator),
    state: ServingState.allCases.randomElement(using: &generator) ?? .serving,
    whyIdle: Bool.random(using: &generator) ? hostile(&generator) : nil,
    alarms: Bool.random(using: &generator) ? [hostile(&generator)] : [],
    model: hostile(&generator), loading: wildDouble(&generator), profile: "", isa: hostile(&generator),
    started: Int64(wild(&generator)),
    address: hostile(&generator), waitingApproval: wild(&generator), queued: wild(&generator),
    running: wild(&generator),
    currency: hostile(&generator), isDemo: false)
  return NodeSnapshot(
    sequence: UInt64.random(in: 0...UInt64.max, using: &generator), time: Int64(wild(&generator)), node: node,
    jobs: jobs, approvals: approvals,
    compute: compute, throughput: throughput, receipts: receipts, earnings: earnings,
    log: (0..<Int.random(in: 0...5, using: &generator)).map {
      LogLine(
        sequence: UInt64($0) + UInt64.random(in: 0...100, using: &generator), time: Int64(wild(&generator)),
        level: LogLevel.allCases.randomElement(using: &generator) ?? .info,
        who: Bool.random(using: &generator) ? hostile(&generator) : nil,
        text: hostile(&generator))
    })
}

@Suite struct PropertyTests {
  /// What may only be sent after its question was answered.
  private func needsConfirmation(_ command: NodeCommand) -> Bool {
    switch command {
    case .cancel, .reject, .drain, .shutdown: true
    case .approve(let jobs): jobs.count > 1
    case .hold, .release, .setPriority, .move, .pause, .resume, .undrain, .inspect, .reveal, .conceal,
      .receipt, .verify, .chat,
      .stopChat, .keepChats, .pull, .cancelPull, .history, .past,
      .reload, .administer:
      false
    }
  }

  @Test func randomKeysAtRandomSizes() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var generator = SeededGenerator(seed: seed)
    let keys =
      Action.table.flatMap(\.keys).compactMap { Key(name: $0) }
      + ["y", "n", "d", "1", "e", "Backspace", "C-u", "C-c", "C-w"].compactMap { Key(name: $0) }
    let pool = (0..<40).map { index in String(index * 7919 % 1000, radix: 16) + "0000000000000000".prefix(13)
    }
    var stage = Stage(size: Size(80, 24))
    stage.answers = false
    let total = isHeavy ? 200_000 : 10_000
    var acts = 0
    var count = -1
    // Keys that are pressed at random confirm something seldom: go on until they did.
    while count + 1 < total || acts == 0 && count < 20 * total {
      count += 1
      if count % 2_000 == 0 {
        stage = Stage(size: Size(80, 24))
        stage.answers = false
      }
      stage.wait(milliseconds: Int64.random(in: 0...200, using: &generator))
      stage.commands = []
      if Int.random(in: 0..<12, using: &generator) == 0 {
        stage.take(
          .resized(
            Size(Int.random(in: 1...220, using: &generator), Int.random(in: 1...70, using: &generator))))
      }
      let before = stage.model.selected
      let wasPlaced = stage.model.isCursorPlaced
      if Int.random(in: 0..<5, using: &generator) == 0 {
        let snapshot = wildSnapshot(&generator, pool: pool)
        stage.take(.node(.snapshot(snapshot)))
        // The cursor stays on its job while that is there, once the operator has put it on one.
        if let before, wasPlaced, stage.model.selected != before, stage.model.focusedPane == .jobs,
          snapshot.jobs.contains(where: { $0.id == before }), !stage.model.hidesByFilter(before)
        {
          Issue.record("selection left \(before) for \(stage.model.selected ?? "none"), seed \(seed)")
        }
        if stage.sent.contains(where: { !isQuestion($0) }) {
          Issue.record("a snapshot made an act, seed \(seed)")
        }
        continue
      }
      if Int.random(in: 0..<30, using: &generator) == 0 {
        stage.take(.input(.paste(hostile(&generator))))
        if stage.sent.contains(where: { !isQuestion($0) }) {
          Issue.record("a paste made an act, seed \(seed)")
        }
        continue
      }
      let question = stage.model.question
      let key = keys[Int.random(in: 0..<keys.count, using: &generator)]
      stage.take(.input(.key(key)))
      for command in stage.sent where needsConfirmation(command) {
        acts += 1
        let isAnswer: Bool
        switch question {
        case .confirm: isAnswer = key == Key("y")
        case .reason, .name: isAnswer = key.code == .enter
        case .none: isAnswer = false
        }
        if !isAnswer { Issue.record("\(command) was sent by \(key) without its confirmation, seed \(seed)") }
      }
      if count % 4 == 0 { _ = stage.screen }
    }
    #expect(acts > 0, "nothing was confirmed, seed \(seed)")
  }

  /// Ended jobs are below live ones, and the view of an untouched list begins with its first row,
  /// whatever comes and whatever is pressed, at any size.
  @Test func noEndedRowStandsAboveALiveOne() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var generator = SeededGenerator(seed: seed)
    let keys =
      Action.table.filter { ![.action(.leave), .action(.talk), .pane(.chat)].contains($0.target) }
      .flatMap(\.keys).compactMap { Key(name: $0) } + ["y", "n", "e", "Esc"].compactMap { Key(name: $0) }
    let pool = (0..<60).map { String($0, radix: 16) + "0000000000000000".prefix(13) }
    var stage = Stage(size: Size(80, 24))
    stage.answers = false
    var states: [String: JobState] = [:]
    var compared = 0
    for round in 0..<(isHeavy ? 100_000 : 6_000) {
      if round % 1_000 == 0 {
        stage = Stage(size: Size(80, 24))
        stage.answers = false
      }
      stage.wait(milliseconds: Int64.random(in: 0...2_000, using: &generator))
      switch Int.random(in: 0..<8, using: &generator) {
      case 0:
        stage.take(
          .resized(
            Size(Int.random(in: 1...220, using: &generator), Int.random(in: 1...70, using: &generator))))
      case 1, 2, 3:
        let snapshot = wildSnapshot(&generator, pool: pool)
        stage.take(.node(.snapshot(snapshot)))
      default: stage.take(.input(.key(keys[Int.random(in: 0..<keys.count, using: &generator)])))
      }
      guard let shown = stage.model.snapshot else { continue }
      states = Dictionary(shown.jobs.map { ($0.id, $0.state) }, uniquingKeysWith: { first, _ in first })
      let rows = stage.model.rows(.jobs)
      let firstEnded = rows.firstIndex { states[$0]?.hasEnded ?? true } ?? rows.count
      compared += rows.count
      if rows[firstEnded...].contains(where: { states[$0]?.hasEnded == false }) {
        Issue.record("an ended row stands above a live one, round \(round), seed \(seed)")
        return
      }
      if rows.contains(where: { states[$0] == .pending }) {
        Issue.record("a job that waits stands among the jobs, round \(round), seed \(seed)")
        return
      }
      let focus = stage.model.focusedPane
      if !stage.model.isCursorPlaced, stage.model.firstLine(focus) != 0 {
        Issue.record("an untouched view of \(focus) left its first row, round \(round), seed \(seed)")
        return
      }
    }
    #expect(compared > 0)
  }

  /// Sizes come and go: a list that nobody walked through begins with its first row, and one that
  /// was walked through shows at the size it had what it showed there.
  @Test func aViewSurvivesEverySequenceOfSizes() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<(isHeavy ? 400 : 60) {
      var stage = Stage(.busy(queued: Int.random(in: 0...60, using: &generator)), size: Size(80, 24))
      stage.second(Int.random(in: 0...40, using: &generator))
      let pane = [Pane.jobs, .receipts].randomElement(using: &generator) ?? .jobs
      if pane == .receipts { stage.press("5") }
      let steps = Bool.random(using: &generator) ? 0 : Int.random(in: 1...9, using: &generator)
      for _ in 0..<steps { stage.press("j") }
      let before = stage.model.shownRows(pane)
      for _ in 0..<6 {
        switch Int.random(in: 0..<4, using: &generator) {
        case 0: stage.press("+", "_")
        case 1: stage.take(.resized(Size(40, Int.random(in: 1...24, using: &generator))))
        case 2: stage.take(.resized(Size(80, 20)))
        default:
          stage.take(
            .resized(
              Size(Int.random(in: 1...220, using: &generator), Int.random(in: 1...70, using: &generator))))
        }
        if steps == 0 {
          #expect(stage.model.firstLine(pane) == 0, "seed \(seed)")
          #expect(stage.model.selected == stage.model.rows(pane).first, "seed \(seed)")
        }
      }
      stage.take(.resized(Size(80, 24)))
      #expect(stage.model.shownRows(pane) == before, "\(pane) after \(steps) steps, seed \(seed)")
    }
  }

  private func isQuestion(_ command: NodeCommand) -> Bool {
    switch command {
    case .inspect, .history, .past, .receipt, .reveal, .conceal: true
    default: false
    }
  }

  @Test func hostileStringsNeverReachTheTerminal() throws {
    let seed = UInt64.random(in: 0...UInt64.max)
    var generator = SeededGenerator(seed: seed)
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
    let screen = try CursesScreen(
      descriptor: ends[1],
      environment: ["TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"],
      size: Size(100, 40))
    var terminal = StrictTerminal(width: 100, height: 40)
    func drain() {
      var bytes = [UInt8](repeating: 0, count: 65536)
      while true {
        let count = read(ends[0], &bytes, bytes.count)
        if count > 0 {
          terminal.feed(bytes.prefix(count))
        } else if screen.isStalled {
          screen.flush()
        } else {
          return
        }
      }
    }
    defer {
      screen.close()
      close(ends[0])
      close(ends[1])
    }
    // A wild snapshot carries some hundred strings of strangers; each pane and detail shows them in turn.
    let rounds = (isHeavy ? 1_000_000 : 20_000) / 100
    let pool = (0..<20).map { "\($0)" + hostile(&generator) }
    var stage = Stage(size: Size(100, 40))
    stage.answers = false
    let walk = ["1", "Enter", "r", "Esc", "2", "Enter", "Esc", "3", "+", "4", "5", "6", "7", "Esc", "8", "_"]
    for round in 0..<rounds {
      stage.commands = []
      stage.take(.node(.snapshot(wildSnapshot(&generator, pool: pool))))
      stage.wait(milliseconds: 400)
      stage.press(walk[round % walk.count])
      if let id = stage.model.selected {
        let row = JobRow(
          id: id, state: .running, stateDetail: hostile(&generator), client: hostile(&generator),
          origin: .client, model: hostile(&generator),
          priority: 1, promptTokens: 1, promptDone: 1, cachedTokens: 0, outputTokens: 1, outputLimit: 2,
          tokensPerSecond: 1, submitted: 0,
          started: nil, firstToken: nil, ended: nil, price: nil, priceIsBound: false, receipt: nil)
        stage.take(
          .node(
            .job(
              JobDetail(
                row: row, timeline: [.init(time: 0, what: hostile(&generator))],
                settings: [[hostile(&generator), hostile(&generator)]],
                prompt: hostile(&generator), answer: hostile(&generator)))))
        stage.take(.node(.text(job: id, hostile(&generator))))
      }
      stage.take(.node(.chat(.text(hostile(&generator)))))
      stage.take(.node(.reply(tag: 1, .refused(hostile(&generator)))))
      stage.take(.captured(hostile(&generator)))
      stage.take(.input(.paste(hostile(&generator))))
      _ = screen.present(stage.screen)
      for command in stage.commands {
        switch command {
        case .title(let title): screen.send(.title(title))
        case .copy(let text): screen.send(.copy(text))
        default: break
        }
      }
      screen.send(.copy(hostile(&generator)))
      drain()
      if !terminal.complaints.isEmpty {
        Issue.record("\(terminal.complaints), round \(round), seed \(seed)")
        return
      }
    }
  }
}
