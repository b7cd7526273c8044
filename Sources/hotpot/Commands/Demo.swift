// Demo.swift: `hotpot demo`: a throw-away node, fed by four clients with real jobs at a human pace.
// The engine, the queue, the receipts and every number are real. Only the clients are made up, and
// the money, whose currency is DEMO: it ends with the node. The clients' requests are in DemoClients,
// recorded sessions in Recording.swift. Start at Command.demo.

import CSystem
import Dashboard
import Foundation
import Node
import Synchronization

extension Command {
  static let demo = Command(
    name: "demo", summary: "a throw-away node with a few demo clients, on the real engine",
    details: """
      Leaving ends it and removes all it wrote. Some jobs wait for your approval. With --headless it prints where it is and
      serves until Ctrl-C. The clients pay in DEMO, a currency that is nothing.

      --replay plays a recorded session instead: a file in asciinema's format, version 2, such as
      Tests/Acceptance/demo.cast. Pauses of more than two seconds are shortened; Ctrl-C ends it.
      """,
    options: [
      .model, Option("threads", value: "N", "threads of the engine; default all that this process may use"),
      Option("headless", "no dashboard"),
      Option("seed", value: "S", "what the clients ask, and when; default 1"),
      Option("theme", value: "NAME|FILE", "colours: a shipped theme or a file in btop's format"),
      Option("keymap", value: "FILE", "keys; default keymap beside the configuration"),
      Option("no-bell", "do not ring when a job waits for approval"),
      Option("replay", value: "FILE", "play a recorded session, asciinema v2, and start nothing"),
      Option("speed", value: "X", "with --replay: so many times as fast, 0.1 to 100; default 1"),
      Option("plain", "lines that are only appended, for screen readers and dumb terminals"),
    ]
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    let speed = try arguments.double("speed", in: 0.1...100)
    if let file = arguments.string("replay") {
      let recording = try Recording(file: file)
      return try await OwnThread.run { try recording.play(speed: speed ?? 1) }
    }
    guard speed == nil else { throw Failure(.usage, "'--speed' belongs to '--replay FILE'") }
    let screen = try DashboardSetup.options(arguments)
    let seed = UInt64(try arguments.int("seed", in: 0...Int.max) ?? 1)
    let threads = try arguments.int("threads", in: 1...1024)
    let model = arguments.string("model")
    // Faults of the model are reported before the screen opens.
    let path = try ModelChoice.path(wanted: model)
    let isHeadless = arguments.has("headless")
    guard isHeadless || TerminalSession.isChild else { return try DashboardSetup.guarded() }
    return try await OwnThread.run {
      try Demo.run(model: path, threads: threads, seed: seed, screen: isHeadless ? nil : screen)
    }
  }
}

enum Demo {
  /// The demo's own configuration: strangers, long jobs and low offers wait for the operator, and
  /// strangers that want much are turned away.
  static let configuration = """
    {
      name: "demo",
      currency: "DEMO",
      prices: [{ prompt: "5", cached: "1", completion: "20" }],
      queue: { decide_within_s: 300, running: 4 },
      policy: [
        { client: "unknown", tokens_above: 160, action: "reject", reason: "too long for a stranger" },
        { client: "unknown", action: "ask" },
        { tokens_above: 400, action: "ask" },
        { client: "night-*", price_below: "15", action: "ask" },
        { action: "admit" },
      ],
      audits: { share: 0.2 },
    }
    """

  static func run(model: String, threads: Int?, seed: UInt64, screen: DashboardOptions?) throws -> ExitCode {
    StopSignals.ignoreOthers()
    let directory = try temporaryDirectory()
    defer {
      do {
        try FileManager.default.removeItem(atPath: directory)
      } catch {
        Console.warn("'\(directory)' could not be removed: \(error.localizedDescription)")
      }
    }
    let port = try freePort()
    var configuration = try NodeConfiguration(file: "the demo's configuration", text: Demo.configuration)
    configuration.http.listen = "127.0.0.1:\(port)"
    configuration.threads = threads
    configuration.model = model
    var options = NodeSetup.options(configuration, state: directory + "/state")
    options.isDemo = true
    let log = try LogFile(options.stateDirectory)
    let isHeadless = screen == nil
    options.log = { line in
      log.write(line)
      if isHeadless { Console.note(line.printed + "\n") }
    }
    let node = try NodeService(options)
    try node.start()
    let clients = try DemoClients(
      port: port, state: options.stateDirectory, model: ModelChoice.name(ofFile: model), seed: seed)
    clients.start()
    defer { clients.stop() }
    guard let screen else {
      Console.note(
        "hotpot: a demo at http://127.0.0.1:\(port), state in '\(options.stateDirectory)'\nhotpot: 'hotpot attach --state \(options.stateDirectory)' shows it, Ctrl-C ends it\n"
      )
      StopSignals.take(for: node)
      node.waitUntilStopped()
      return .ok
    }
    let exit = try DashboardSetup.show(
      LocalConnection(node: node, name: NodeSetup.operatorName), screen, options.stateDirectory)
    clients.stop()
    switch exit {
    case .left, .hangup, .terminated:
      node.stop(drain: false, by: "the demo's end")
      node.waitUntilStopped()
      TerminalSession.leave(code: 0, words: "the demo is over; nothing of it is left\n")
    case .nodeEnded(let reason): TerminalSession.leave(code: 0, words: "\(reason)\n")
    }
    return .ok
  }

  private static func temporaryDirectory() throws -> String {
    let base = FileManager.default.temporaryDirectory.path
    var template = Array("\(base)/hotpot-demo-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw Failure(
        .inputOutput, "no directory can be made in '\(base)': \(String(cString: strerror(errno)))")
    }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// A port that was free a moment ago. If another process takes it first, the node reports that.
  private static func freePort() throws -> UInt16 {
    let listener = csystem_listen_tcp("127.0.0.1", 0, 1)
    guard listener >= 0 else {
      throw Failure(.unavailable, "no port is free on 127.0.0.1: \(String(cString: strerror(errno)))")
    }
    defer { csystem_close(listener) }
    guard let port = UInt16(exactly: csystem_local_port(listener)), port > 0 else {
      throw Failure(.unavailable, "the system gave no port")
    }
    return port
  }
}

/// Four clients, each a thread that sends a request, waits for the answer, and pauses as people and
/// scripts do.
final class DemoClients: Sendable {
  private struct Client: Sendable {
    let name: String
    let token: String
    let questions: [String]
    /// Tokens of an answer, at most.
    let tokens: ClosedRange<Int>
    /// Seconds between two questions.
    let pause: ClosedRange<Double>
    /// The offer for a million completion tokens, if there is one.
    let offers: [String?]
    /// One question of so many is a call of a tool; nil for none.
    var callsEvery: Int?
  }

  /// What a client asks for with a tool that the answer has to call.
  private static var tool: [String: Any] {
    [
      "type": "function",
      "function": [
        "name": "log_sample",
        "parameters": [
          "type": "object",
          "properties": ["sample": ["type": "string", "maxLength": 12], "grams": ["type": "integer"]],
          "required": ["sample", "grams"], "additionalProperties": false,
        ] as [String: Any],
      ] as [String: Any],
    ]
  }

  private let clients: [Client]
  private let port: UInt16
  private let model: String
  private let seed: UInt64
  private let isStopped = Atomic<Bool>(false)

  /// Registers three of the four clients; the last comes as a stranger, with a token that it made
  /// itself.
  init(port: UInt16, state: String, model: String, seed: UInt64) throws {
    self.port = port
    self.model = model
    self.seed = seed
    let control = try ControlClient(state: state)
    func token(_ name: String) throws -> String {
      guard case .token(_, _, let token) = try control.ask(AddClient(name: name)) else {
        throw control.unexpected
      }
      return token
    }
    clients = [
      Client(
        name: "aria-research", token: try token("aria-research"),
        questions: [
          "Summarise in three sentences why the sea is salty.",
          "Give two arguments for and two against night trains.",
          "Explain to a student what a control group is.",
          "What did people use before paper was common?",
        ], tokens: 60...160, pause: 4...14, offers: ["30", "40", nil]),
      Client(
        name: "lab-notes", token: try token("lab-notes"),
        questions: [
          "Turn into one line: the sample was weighed, then dried, then weighed again.",
          "Name a unit for pressure and say what it measures.", "Write a title for notes on yeast and sugar.",
          "List three things to check before starting a pump.",
        ], tokens: 24...64, pause: 2...6, offers: [nil], callsEvery: 4),
      Client(
        name: "night-batch", token: try token("night-batch"),
        questions: [
          "Write a long story about a lighthouse keeper who repairs clocks.",
          "Describe a town that floods every spring, in detail, with its people and its trades.",
        ], tokens: 300...700, pause: 20...45, offers: ["10", "18"]),
      Client(
        name: "a stranger", token: "visitor-\(seed)",
        questions: [
          "Who are you, and what runs you?", "Write a short poem about soup.",
          "What is the capital of Australia?",
        ], tokens: 20...200, pause: 15...40, offers: [nil, "25"]),
    ]
  }

  func start() {
    for (number, client) in clients.enumerated() {
      let thread = Thread { [self] in live(client, DemoGenerator(seed: seed &+ UInt64(number) &* 7919)) }
      thread.name = "demo-client"
      thread.stackSize = 512 << 10
      thread.start()
    }
  }

  func stop() { isStopped.store(true, ordering: .relaxed) }

  private func live(_ client: Client, _ seeded: DemoGenerator) {
    var generator = seeded
    rest(Double.random(in: 0...client.pause.lowerBound, using: &generator))
    while !isStopped.load(ordering: .relaxed) {
      var fields: [String: Any] = [
        "model": model, "stream": true, "temperature": 0.7,
        "max_tokens": Int.random(in: client.tokens, using: &generator),
        "seed": Int.random(in: 0...(1 << 40), using: &generator),
        "messages": [
          ["role": "user", "content": client.questions.randomElement(using: &generator) ?? "Hello"]
        ],
      ]
      if let offer = client.offers.randomElement(using: &generator) ?? nil {
        fields["hotpot"] = ["price": offer]
      }
      if let every = client.callsEvery, Int.random(in: 0..<every, using: &generator) == 0 {
        fields["messages"] = [["role": "user", "content": "Log that sample A7 weighs 12 grams."]]
        fields["tools"] = [Self.tool]
        fields["tool_choice"] = "required"
      }
      ask(fields, token: client.token)
      rest(Double.random(in: client.pause, using: &generator))
    }
  }

  /// Waits in short steps, so that the demo can end promptly.
  private func rest(_ seconds: Double) {
    let end = ContinuousClock.now + .milliseconds(Int64(seconds * 1_000))
    while ContinuousClock.now < end, !isStopped.load(ordering: .relaxed) {
      Thread.sleep(forTimeInterval: 0.1)
    }
  }

  /// Sends one request over a connection of its own and reads the answer to its end. Refusals
  /// appear on the node's screen.
  private func ask(_ fields: [String: Any], token: String) {
    // Fields of texts and numbers always encode as JSON.
    guard let body = try? JSONSerialization.data(withJSONObject: fields) else { return }
    let socket = csystem_connect_tcp("127.0.0.1", port)
    guard socket >= 0 else { return }
    defer { csystem_close(socket) }
    // The answer may take minutes; twice a second the thread checks whether the demo has ended.
    csystem_set_timeouts(socket, 500)
    let head =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer \(token)\r\nContent-Type: application/json\r\nContent-Length: \(body.count)\r\nConnection: close\r\n\r\n"
    let bytes = Array(head.utf8) + Array(body)
    let sent = bytes.withUnsafeBytes { csystem_send_blocking(socket, $0.baseAddress, $0.count) }
    guard sent == bytes.count else { return }
    var buffer = [UInt8](repeating: 0, count: 16 << 10)
    while !isStopped.load(ordering: .relaxed) {
      let count = buffer.withUnsafeMutableBytes { csystem_receive_blocking(socket, $0.baseAddress, $0.count) }
      if count == -Int(EAGAIN) { continue }
      if count <= 0 { return }
    }
  }
}

/// SplitMix64: the same seed gives the same requests in the same order. Source: Steele, Lea and
/// Flood, "Fast splittable pseudorandom number generators", 2014.
struct DemoGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}
