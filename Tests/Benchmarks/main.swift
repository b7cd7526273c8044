// main.swift of Benchmarks: this engine against a peer on the same file, alternating in one run; or this engine alone.
//   HOTPOT_MODEL=FILE.gguf [HOTPOT_PEER=/path/to/llama-bench] swift run -c release Benchmarks [--rounds N] [--only NAME]
// The peer is llama.cpp's llama-bench, with llama-batched-bench and llama-completion beside it; the better of its flash
// attention on and off counts. Every figure is taken in a process of its own. Start at rows.

import Foundation
import Glibc
import Inference

struct Row {
  let name: String
  /// Arguments of this program that print one number.
  let ours: [String]
  /// Programs of the peer, of which the best number counts.
  let theirs: [() throws -> Double]
  /// Whether the smaller number is the better one.
  let isCost: Bool
  let hasNeighbour: Bool
}

struct BenchmarkError: Error, CustomStringConvertible {
  let description: String
}

/// What a child process printed, how long it ran, and its peak resident memory in megabytes.
struct Child {
  var output = ""
  var seconds = 0.0
  var megabytes = 0.0

  static func start(_ arguments: [String], output: Int32?) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    if let output {
      posix_spawn_file_actions_adddup2(&actions, output, 1)
    } else {
      posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    }
    var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
    defer { for pointer in pointers { free(pointer) } }
    pointers.append(nil)
    var child: pid_t = 0
    let code = posix_spawn(&child, arguments[0], &actions, nil, pointers, environ)
    guard code == 0 else {
      throw BenchmarkError(description: "\(arguments[0]): \(String(cString: strerror(code)))")
    }
    return child
  }

  static func run(_ arguments: [String]) throws -> Child {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw BenchmarkError(description: "pipe failed") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    let start = ContinuousClock.now
    let child = try Child.start(arguments, output: ends[1])
    close(ends[1])
    defer { close(ends[0]) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = read(ends[0], &buffer, buffer.count)
      if count <= 0 { break }
      bytes += buffer[..<count]
    }
    var status: Int32 = 0
    var usage = rusage()
    wait4(child, &status, 0, &usage)
    guard status == 0 else { throw BenchmarkError(description: "\(arguments.joined(separator: " ")) failed") }
    var result = Child()
    result.output = String(decoding: bytes, as: UTF8.self)
    let time = ContinuousClock.now - start
    result.seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
    result.megabytes = Double(usage.ru_maxrss) / 1_024
    return result
  }
}

let environment = ProcessInfo.processInfo.environment
let arguments = CommandLine.arguments
let own = "/proc/self/exe"

func option(_ name: String) -> String? {
  guard let at = arguments.firstIndex(of: name), at + 1 < arguments.count else { return nil }
  return arguments[at + 1]
}

func complain(_ what: String) {
  FileHandle.standardError.write(Data("benchmarks: error: \(what)\n".utf8))
}

func integer(_ name: String, _ standard: Int) -> Int { option(name).flatMap { Int($0) } ?? standard }

guard let modelPath = environment["HOTPOT_MODEL"], !modelPath.isEmpty else {
  complain("HOTPOT_MODEL names no model")
  exit(64)
}
let threads = integer("--threads", 2)

// MARK: - One figure of ours, in this process

/// Prints one number and ends: tokens a second.
func measureHere() throws {
  let profile: Engine.Profile = arguments.contains("--a8") ? .a8 : .a12
  let configuration = Engine.Configuration(threads: threads, profile: profile, kvBlocks: 1)
  let model = try Model(path: modelPath, threads: threads)
  if arguments.contains("--first-token") {
    var one = configuration
    one.kvBlocks = 64
    var generation = Generation(engine: try Engine(model: model, configuration: one))
    _ = try generation.run(prompt: [1, 2, 3, 4], options: .init(maximumTokens: 1))
    print(1)
    return
  }
  var plan = Bench.Plan(configuration: configuration, prefills: [], decodes: [], rounds: 1)
  if let length = option("--prefill").flatMap({ Int($0) }) { plan.prefills = [length] }
  if let batch = option("--decode").flatMap({ Int($0) }) {
    plan.decodes = [.init(batch: batch, depth: integer("--depth", 16))]
    plan.tokens = integer("--tokens", 64)
  }
  let result = try Bench.run(model: model, plan: plan)
  if arguments.contains("--roofline") {
    print("level \(result.level.name), \(result.threads) threads")
    print("weights \(result.bytesPerStep) bytes a step, \(result.operationsPerToken) operations a token")
    print("bandwidth \(result.bandwidth / 1e9) GB/s")
    for (decode, rate) in result.decodes {
      print("decode \(decode.batch): \(rate.median) tok/s, \(result.share(of: decode, rate.median)) of it")
    }
    for (tokens, rate) in result.prefills {
      print(
        "prefill \(tokens): \(rate.median) tok/s, \(rate.median * Double(result.operationsPerToken) / 1e9) Gop/s"
      )
    }
    return
  }
  print(result.prefills.first?.rate.median ?? result.decodes.first?.rate.median ?? 0)
}

if arguments.contains("--spin") {
  while true {}
}
if ["--prefill", "--decode", "--first-token"].contains(where: arguments.contains) {
  do {
    try measureHere()
    exit(0)
  } catch {
    complain("\(error)")
    exit(1)
  }
}

// MARK: - The peer

let peer = environment["HOTPOT_PEER"].flatMap { $0.isEmpty ? nil : $0 }

func sibling(_ name: String) -> String {
  URL(filePath: peer ?? "").deletingLastPathComponent().appending(path: name).path
}

/// Average tokens a second of llama-bench's only test.
func peerBench(_ more: [String]) throws -> Double {
  let child = try Child.run(
    [peer ?? "", "-m", modelPath, "-t", "\(threads)", "-r", "1", "-o", "json"] + more)
  guard let list = try JSONSerialization.jsonObject(with: Data(child.output.utf8)) as? [[String: Any]],
    let rate = list.first?["avg_ts"] as? Double
  else { throw BenchmarkError(description: "the peer printed \(child.output.prefix(200))") }
  return rate
}

func peerBatched(_ batch: Int, _ flash: String) throws -> Double {
  let child = try Child.run([
    sibling("llama-batched-bench"), "-m", modelPath, "-t", "\(threads)", "-c", "4096", "-npp", "16", "-ntg",
    "32",
    "-npl", "\(batch)", "-fa", flash, "--output-format", "jsonl",
  ])
  for line in child.output.split(separator: "\n") where line.hasPrefix("{") {
    if let row = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
      let rate = row["speed_tg"] as? Double
    {
      return rate
    }
  }
  throw BenchmarkError(description: "the peer printed \(child.output.prefix(200))")
}

func peerFirstToken(_ value: @escaping (Child) -> Double) -> () throws -> Double {
  return {
    value(
      try Child.run([
        sibling("llama-completion"), "-m", modelPath, "-t", "\(threads)", "-n", "1", "-p",
        "one two three four",
        "-no-cnv", "-c", "1024", "--no-warmup",
      ]))
  }
}

func both(_ more: [String]) -> [() throws -> Double] {
  ["0", "1"].map { flash in { try peerBench(more + ["-fa", flash]) } }
}

// MARK: - The table

let rows: [Row] = [
  Row(
    name: "decode, 1 sequence", ours: ["--decode", "1"], theirs: both(["-p", "0", "-n", "64"]), isCost: false,
    hasNeighbour: false),
  Row(
    name: "decode, 8 sequences", ours: ["--decode", "8", "--tokens", "32"],
    theirs: ["off", "on"].map { flash in { try peerBatched(8, flash) } }, isCost: false, hasNeighbour: false),
  Row(
    name: "decode at depth 4096", ours: ["--decode", "1", "--depth", "4096", "--tokens", "32"],
    theirs: both(["-p", "0", "-n", "32", "-d", "4096"]), isCost: false, hasNeighbour: false),
  Row(
    name: "prefill 512", ours: ["--prefill", "512"], theirs: both(["-p", "512", "-n", "0"]), isCost: false,
    hasNeighbour: false),
  Row(
    name: "prefill 512 (A8)", ours: ["--prefill", "512", "--a8"], theirs: both(["-p", "512", "-n", "0"]),
    isCost: false, hasNeighbour: false),
  Row(
    name: "decode, busy neighbour", ours: ["--decode", "1"], theirs: both(["-p", "0", "-n", "64"]),
    isCost: false,
    hasNeighbour: true),
  Row(
    name: "start to first token, s", ours: ["--first-token"], theirs: [peerFirstToken { $0.seconds }],
    isCost: true,
    hasNeighbour: false),
  Row(
    name: "peak memory, MB", ours: ["--first-token"], theirs: [peerFirstToken { $0.megabytes }], isCost: true,
    hasNeighbour: false),
]

func text(_ values: [Double]) -> String {
  let sorted = values.sorted()
  guard let low = sorted.first, let high = sorted.last else { return "-" }
  let format = high < 10 ? "%.3f" : "%.1f"
  return [low, sorted[sorted.count / 2], high].map { String(format: format, $0) }.joined(separator: " / ")
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func measure(_ row: Row) throws {
  var ours: [Double] = []
  var theirs: [[Double]] = row.theirs.map { _ in [] }
  for _ in 0..<integer("--rounds", 5) {
    let neighbour = row.hasNeighbour ? try Child.start([own, "--spin"], output: nil) : nil
    defer {
      if let neighbour {
        kill(neighbour, SIGKILL)
        waitpid(neighbour, nil, 0)
      }
    }
    let child = try Child.run([own, "--threads", "\(threads)"] + row.ours)
    if row.name.hasPrefix("peak") {
      ours.append(child.megabytes)
    } else if row.isCost {
      ours.append(child.seconds)
    } else {
      ours.append(Double(child.output.split(separator: "\n").first ?? "0") ?? 0)
    }
    if peer != nil { for (i, run) in row.theirs.enumerated() { theirs[i].append(try run()) } }
  }
  var line = "\(row.name) | \(text(ours))"
  if peer != nil {
    let best = theirs.min { row.isCost ? median($0) < median($1) : median($0) > median($1) } ?? []
    let ratio = row.isCost ? median(best) / median(ours) : median(ours) / median(best)
    line += " | \(text(best)) | \(String(format: "%.2f", ratio))"
  }
  print(line)
  fflush(nil)
}

do {
  print("min / median / max | ours | peer | ours is better by")
  for row in rows where option("--only").map({ row.name.contains($0) }) ?? true { try measure(row) }
} catch {
  complain("\(error)")
  exit(1)
}
