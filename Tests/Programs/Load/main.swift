// main.swift: a served node under load: how near its streams come to the bare engine, and how long they wait beside a
// long prompt. Starts a node of its own on loopback, and measures the engine alone in turns with it, so that a busy
// machine disturbs both. The client polls cheaply: on a small machine it shares the cores with what it measures.
// Leaves out clients that misbehave (load.py). Start at measureStreams.
//
//   load streams [N]   N streams at once (default 8) beside `hotpot bench` of the same batch and depth
//   load stall [N]     a prompt of N tokens (default 3,600) beside 4 streams
import CSystem
import Foundation

/// One stream's connection, and when its tokens came.
final class Stream {
  let descriptor: Int32
  /// Nanoseconds at which bytes with an event were read, and how many events they held.
  private(set) var arrivals: [(time: UInt64, events: Int)] = []
  private(set) var hasEnded = false
  private static let pattern = Array("data: {".utf8)
  private var matched = 0
  private var status: [UInt8] = []

  init(port: UInt16, request: [UInt8]) throws {
    descriptor = csystem_connect_tcp("127.0.0.1", port)
    guard descriptor >= 0 else { throw Failure("cannot connect to port \(port)") }
    _ = request.withUnsafeBytes { csystem_send_blocking(descriptor, $0.baseAddress, $0.count) }
  }

  deinit { _ = csystem_close(descriptor) }

  var isRefused: Bool { status.count >= 12 && !status.starts(with: Array("HTTP/1.1 200".utf8)) }

  /// Takes what has come.
  func read(_ buffer: inout [UInt8]) {
    let count = buffer.withUnsafeMutableBytes { csystem_receive(descriptor, $0.baseAddress, $0.count) }
    guard count > 0 else {
      if count != -Int(EAGAIN) { hasEnded = true }
      return
    }
    if status.count < 12 { status += buffer.prefix(min(count, 12 - status.count)) }
    var events = 0
    for index in 0..<count {
      if buffer[index] == Self.pattern[matched] {
        matched += 1
        if matched == Self.pattern.count {
          events += 1
          matched = 0
        }
      } else {
        matched = buffer[index] == Self.pattern[0] ? 1 : 0
      }
    }
    if events > 0 { arrivals.append((DispatchTime.now().uptimeNanoseconds, events)) }
  }
}

struct Failure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

/// What a node has counted and used, so far or in between.
struct Figures {
  var tokens = 0.0
  var steps = 0.0
  var engineSeconds = 0.0
  /// Seconds of processor time by the names of threads.
  var threads: [String: Double] = [:]
  let time = DispatchTime.now().uptimeNanoseconds
  var seconds = 0.0

  /// What came after `first`; its time is this one's.
  static func - (last: Figures, first: Figures) -> Figures {
    var spent = last
    spent.tokens -= first.tokens
    spent.steps -= first.steps
    spent.engineSeconds -= first.engineSeconds
    spent.seconds = Double(last.time - first.time) / 1e9
    for (name, value) in first.threads { spent.threads[name, default: 0] -= value }
    return spent
  }

  mutating func add(_ other: Figures) {
    tokens += other.tokens
    steps += other.steps
    engineSeconds += other.engineSeconds
    seconds += other.seconds
    for (name, value) in other.threads { threads[name, default: 0] += value }
  }
}

/// `hotpot serve` on a port of its own, in a state directory of its own.
final class ServedNode {
  /// The program beside this one, or what HOTPOT_EXECUTABLE names.
  static let program =
    ProcessInfo.processInfo.environment["HOTPOT_EXECUTABLE"]
    ?? URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    .appendingPathComponent("hotpot").path
  let port: UInt16
  let token: String
  private(set) var model = ""
  private let process = Process()
  private let state = NSTemporaryDirectory() + "hotpot-load-\(UUID().uuidString)"

  init() throws {
    process.executableURL = URL(fileURLWithPath: Self.program)
    process.arguments = ["serve", "--listen", "127.0.0.1:0", "--state", state]
    let error = Pipe()
    process.standardError = error
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    var said = ""
    var found: UInt16?
    while found == nil || !said.contains("info: serving ") {
      let data = error.fileHandleForReading.availableData
      if data.isEmpty { break }
      said += String(decoding: data, as: UTF8.self)
      if let range = said.range(of: "serving http on port ") {
        found = UInt16(said[range.upperBound...].prefix { $0.isNumber })
      }
    }
    error.fileHandleForReading.readabilityHandler = { _ = $0.availableData }
    guard let found else { throw Failure("the node did not start: \(said)") }
    port = found
    token = try output(["clients", "add", "load", "--state", state])
      .trimmingCharacters(in: .whitespacesAndNewlines)
    let name = try get("/v1/models").split(separator: "\"id\":\"").dropFirst().first?.prefix { $0 != "\"" }
    guard let name else { throw Failure("the node serves no model") }
    model = String(name)
  }

  func stop() {
    process.terminate()
    process.waitUntilExit()
    try? FileManager.default.removeItem(atPath: state)  // what stays in /tmp does no harm
  }

  /// A prompt of `depth` token ids without meaning, as `hotpot bench` has them.
  func request(depth: Int, tokens: Int, seed: Int) -> [UInt8] {
    let prompt = (0..<depth).map { String(1_000 + ($0 * 7_919 + seed * 104_729) % 40_000) }
    let body =
      "{\"model\":\"\(model)\",\"prompt\":[\(prompt.joined(separator: ","))],\"max_tokens\":\(tokens),"
      + "\"temperature\":0,\"stream\":true,\"ignore_eos\":true}"
    return Array(
      """
      POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(token)\r\n\
      Content-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)
      """.utf8)
  }

  func get(_ path: String) throws -> String {
    let descriptor = csystem_connect_tcp("127.0.0.1", port)
    defer { _ = csystem_close(descriptor) }
    let request = Array(
      "GET \(path) HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(token)\r\nConnection: close\r\n\r\n"
        .utf8)
    _ = request.withUnsafeBytes { csystem_send_blocking(descriptor, $0.baseAddress, $0.count) }
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = buffer.withUnsafeMutableBytes {
        csystem_receive_blocking(descriptor, $0.baseAddress, $0.count)
      }
      guard count > 0 else { return String(decoding: answer, as: UTF8.self) }
      answer += buffer.prefix(count)
    }
  }

  func pause() throws { _ = try output(["pause", "--state", state]) }

  func resume() throws { _ = try output(["resume", "--state", state]) }

  func figures() throws -> Figures {
    var found = Figures()
    for line in try get("/metrics").split(separator: "\n") {
      guard let value = line.split(separator: " ").last.flatMap({ Double($0) }) else { continue }
      if line.hasPrefix("hotpot:generation_tokens_total{") { found.tokens = value }
      if line.hasPrefix("hotpot:engine_steps_total{") { found.steps = value }
      if line.hasPrefix("hotpot:engine_busy_seconds_total{") { found.engineSeconds = value }
    }
    let tasks = "/proc/\(process.processIdentifier)/task/"
    for task in try FileManager.default.contentsOfDirectory(atPath: tasks) {
      // A thread may end while it is looked at.
      guard let name = try? String(contentsOfFile: tasks + task + "/comm", encoding: .utf8),
        let times = try? String(contentsOfFile: tasks + task + "/schedstat", encoding: .utf8),
        let ran = times.split(separator: " ").first.flatMap({ Double($0) })
      else { continue }
      found.threads[name.trimmingCharacters(in: .whitespacesAndNewlines), default: 0] += ran / 1e9
    }
    return found
  }
}

/// Runs the program and gives its standard output.
func output(_ words: [String]) throws -> String {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: ServedNode.program)
  process.arguments = words
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = FileHandle.nullDevice
  try process.run()
  let data = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  guard process.terminationStatus == 0 else {
    throw Failure("hotpot \(words.joined(separator: " ")) exited with \(process.terminationStatus)")
  }
  return String(decoding: data, as: UTF8.self)
}

/// Tokens a second of the engine alone.
func bench(batch: Int, depth: Int, tokens: Int) throws -> Double {
  let text = try output([
    "bench", "--json", "--prompt", "16", "--batch", String(batch), "--depth", String(depth), "--tokens",
    String(tokens), "--rounds", "3",
  ])
  guard let start = text.range(of: "\"decode\""), let tps = text[start.upperBound...].range(of: "\"tps\"")
  else { throw Failure("bench says \(text)") }
  let number = text[tps.upperBound...].drop { $0 == ":" || $0 == " " }.prefix { $0.isNumber || $0 == "." }
  guard let rate = Double(number) else { throw Failure("bench says \(text)") }
  return rate
}

/// Reads all streams until `end` says so, looking every `pause` milliseconds (0: as soon as anything comes).
func pump(_ streams: [Stream], pause: UInt32, until end: () -> Bool) {
  let poller = csystem_epoll_create()
  defer { _ = csystem_close(poller) }
  for (index, stream) in streams.enumerated() {
    _ = csystem_epoll_add(poller, stream.descriptor, UInt32(CSYSTEM_READABLE), UInt64(index))
  }
  var events = Array(repeating: csystem_event(), count: 256)
  var buffer = [UInt8](repeating: 0, count: 65_536)
  while !end() {
    if pause > 0 { usleep(pause * 1_000) }
    let count = csystem_epoll_wait(poller, &events, Int32(events.count), 100)
    for event in events.prefix(Int(max(count, 0))) {
      let stream = streams[Int(event.token)]
      stream.read(&buffer)
      if stream.hasEnded { _ = csystem_epoll_remove(poller, stream.descriptor) }
    }
  }
}

func ownProcessorSeconds() -> Double {
  var usage = rusage()
  _ = getrusage(RUSAGE_SELF.rawValue, &usage)
  func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
  return seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

func number(_ value: Double, _ digits: Int = 1) -> String { String(format: "%.\(digits)f", value) }

/// Some streams for some seconds, several times, each between two runs of the bare engine over the same depths while the node is
/// paused: a machine whose speed drifts, drifts under both.
func measureStreams(_ count: Int) throws {
  let (rounds, seconds) = (5, 3.0)
  let node = try ServedNode()
  defer { node.stop() }
  let streams = try (0..<count).map {
    try Stream(port: node.port, request: node.request(depth: 16, tokens: 4_000, seed: $0))
  }
  pump(streams, pause: 1) { streams.allSatisfy { !$0.arrivals.isEmpty } || streams.contains { $0.isRefused } }
  if streams.contains(where: { $0.isRefused }) { throw Failure("a stream was refused") }
  func depth() -> Int { 16 + streams.map { $0.arrivals.reduce(0) { $0 + $1.events } }.reduce(0, +) / count }

  var shares: [Double] = []
  var total = Figures()
  var client = 0.0
  try node.pause()
  var before = try bench(batch: count, depth: depth(), tokens: 160)
  for round in 1...rounds {
    let began = depth()
    try node.resume()
    let first = try node.figures()
    let own = ownProcessorSeconds()
    pump(streams, pause: 8) { Double(DispatchTime.now().uptimeNanoseconds - first.time) > seconds * 1e9 }
    client += ownProcessorSeconds() - own
    let spent = try node.figures() - first
    try node.pause()
    pump(streams, pause: 8) {
      DispatchTime.now().uptimeNanoseconds - first.time > UInt64(seconds * 1e9) + 100_000_000
    }
    if streams.contains(where: { $0.hasEnded }) { throw Failure("a stream ended after \(depth()) tokens") }
    let after = try bench(batch: count, depth: (began + depth()) / 2, tokens: 160)
    let rate = spent.tokens / spent.seconds
    shares.append(100 * rate / ((before + after) / 2))
    print(
      "round \(round), depth \(began) to \(depth()): \(number(rate)) tokens/s; bench \(number(before)) before, "
        + "\(number(after)) after: \(number(shares[round - 1])) % of it")
    total.add(spent)
    before = after
  }
  shares.sort()
  print(
    "\(count) streams: \(number(shares[rounds / 2])) % of bench (\(number(shares[0])) to \(number(shares[rounds - 1]))); "
      + "engine busy \(number(100 * total.engineSeconds / total.seconds)) %, "
      + "\(number(1e6 * (total.seconds - total.engineSeconds) / total.steps, 0)) us between two steps of "
      + "\(number(1e3 * total.engineSeconds / total.steps, 2)) ms")
  let used = total.threads.map { (name: $0.key, share: $0.value / total.seconds) }
    .filter { $0.share > 0.0005 }.sorted { $0.share > $1.share }
  print(
    "processor, % of a core: "
      + used.map { "\($0.name) \(number(100 * $0.share, 2))" }.joined(separator: ", ")
      + "; this client \(number(100 * client / total.seconds, 2))")
}

/// A long prompt beside four streams: how long the streams wait, in their own medians.
func measureStall(_ length: Int) throws {
  let node = try ServedNode()
  defer { node.stop() }
  let streams = try (0..<4).map {
    try Stream(port: node.port, request: node.request(depth: 16, tokens: 4_000, seed: $0))
  }
  let begun = DispatchTime.now().uptimeNanoseconds
  pump(streams, pause: 0) { DispatchTime.now().uptimeNanoseconds - begun > 3_000_000_000 }
  let asked = DispatchTime.now().uptimeNanoseconds
  let long = try Stream(port: node.port, request: node.request(depth: length, tokens: 4, seed: 99))
  pump(streams + [long], pause: 0) { long.hasEnded || !long.arrivals.isEmpty }
  let answered = DispatchTime.now().uptimeNanoseconds
  if long.isRefused { throw Failure("the long prompt was refused") }
  var usual: [UInt64] = []
  var beside: [UInt64] = []
  for stream in streams {
    for (a, b) in zip(stream.arrivals, stream.arrivals.dropFirst()) where b.time > begun + 1_000_000_000 {
      if b.time <= asked { usual.append(b.time - a.time) }
      if b.time > asked, b.time <= answered { beside.append(b.time - a.time) }
    }
  }
  usual.sort()
  beside.sort()
  guard let longest = beside.last, !usual.isEmpty else { throw Failure("too few tokens came") }
  let median = Double(usual[usual.count / 2])
  func milliseconds(_ nanoseconds: UInt64) -> String { number(Double(nanoseconds) / 1e6) }
  print(
    "a prompt of \(length) tokens took \(number(Double(answered - asked) / 1e9, 2)) s beside 4 streams: median "
      + "\(number(median / 1e6)) ms without it, \(milliseconds(beside[beside.count / 2])) with it, "
      + "p99 \(milliseconds(beside[beside.count * 99 / 100])) (\(number(Double(beside[beside.count * 99 / 100]) / median, 2)) medians), "
      + "longest \(milliseconds(longest)) (\(number(Double(longest) / median, 2)) medians, "
      + "\(number(Double(longest) / Double(beside[beside.count / 2]), 2)) of those with it); "
      + "longest without it \(milliseconds(usual[usual.count - 1]))")
}

do {
  let arguments = CommandLine.arguments
  let count = arguments.count > 2 ? Int(arguments[2]) : nil
  switch arguments.count > 1 ? arguments[1] : "" {
  case "streams": try measureStreams(count ?? 8)
  case "stall": try measureStall(count ?? 3_600)
  default: throw Failure("usage: load streams [N] | stall [N]")
  }
} catch {
  print("load: error: \(error)")
  exit(1)
}
