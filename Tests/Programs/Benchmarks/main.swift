// main.swift of Benchmarks: this engine against a peer on the same files, alternating in one run; or this engine alone.
//   HOTPOT_MODEL=FILE.gguf [HOTPOT_PEER=/path/to/llama-bench] [HOTPOT_FORMS=FILE.gguf:...] [HOTPOT_BIG=FILE.gguf:...]
//     swift run -c release Benchmarks [--rounds N] [--only NAME] [--threads N] [--make-big FILE [--shape llama|qwen3moe|qwen35]]
// The peer is llama.cpp's llama-bench, with llama-batched-bench and llama-completion beside it; the better of its flash
// attention on and off counts. HOTPOT_FORMS are other forms of the model (Q4_0, Q8_0, ...; llama-quantize makes them), HOTPOT_BIG are
// those that no cache holds (--make-big writes them). Every figure is taken in a process of its own. Start at rows.

import Foundation
import Glibc
import Inference

struct Row {
  let name: String
  /// The model's file, and arguments of this program that print one number.
  let model: String
  let ours: [String]
  /// Programs of the other side, of which the best number counts.
  let theirs: [@Sendable () throws -> Double]
  /// Which of the figures of a run of ours counts; of costs the smaller is the better.
  var figure = Figure.rate
  var hasNeighbour = false

  enum Figure {
    case rate
    case seconds
    case megabytes
    var isCost: Bool { self != .rate }
  }
}

func complain(_ what: String) {
  FileHandle.standardError.write(Data("benchmarks: error: \(what)\n".utf8))
}

let environment = ProcessInfo.processInfo.environment
let arguments = CommandLine.arguments
let own = "/proc/self/exe"

func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }

let here = Ours(
  arguments: arguments,
  threads: arguments.firstIndex(of: "--threads").flatMap {
    $0 + 1 < arguments.count ? Int(arguments[$0 + 1]) : nil
  } ?? 2)

if arguments.contains("--spin") {
  while true {}
}
do {
  if let path = here.option("--make-big") {
    let name = here.option("--shape") ?? "llama"
    guard let shape = BigShape.named(name) else {
      throw BenchmarkError(
        description: "--shape: found '\(name)', wanted one of \(BigShape.names.joined(separator: ", "))")
    }
    try BigModel.write(shape, to: path)
    exit(0)
  }
  if arguments.contains("--masks") {
    try Masks.measure(constrained: !arguments.contains("--free"))
    exit(0)
  }
  if Ours.commands.contains(where: arguments.contains) {
    guard let path = here.option("--model") ?? variable("HOTPOT_MODEL") else {
      throw BenchmarkError(description: "HOTPOT_MODEL names no model")
    }
    try here.measure(path)
    exit(0)
  }
} catch {
  complain("\(error)")
  exit(1)
}

guard let model = variable("HOTPOT_MODEL") else {
  complain("HOTPOT_MODEL names no model")
  exit(64)
}
let peer = variable("HOTPOT_PEER").map { Peer(path: $0, threads: here.threads) }

// MARK: - The table

func bench(_ file: String, _ more: [String]) -> [@Sendable () throws -> Double] {
  peer?.bench(file, more) ?? []
}

var rows: [Row] = [
  Row(
    name: "decode, 1 sequence", model: model, ours: ["--decode", "1"],
    theirs: bench(model, ["-p", "0", "-n", "64"])),
  Row(
    name: "decode, 8 sequences", model: model, ours: ["--decode", "8", "--tokens", "32"],
    theirs: peer?.batched(model, 8) ?? []),
  Row(
    name: "decode at depth 4096", model: model, ours: ["--decode", "1", "--depth", "4096", "--tokens", "32"],
    theirs: bench(model, ["-p", "0", "-n", "32", "-d", "4096"])),
  Row(
    name: "prefill 512", model: model, ours: ["--prefill", "512"],
    theirs: bench(model, ["-p", "512", "-n", "0"])),
  Row(
    name: "prefill 512 (A8)", model: model, ours: ["--prefill", "512", "--a8"],
    theirs: bench(model, ["-p", "512", "-n", "0"])),
  Row(
    name: "decode, busy neighbour", model: model, ours: ["--decode", "1"],
    theirs: bench(model, ["-p", "0", "-n", "64"]), hasNeighbour: true),
  Row(
    name: "start to first token, s", model: model, ours: ["--first-token"],
    theirs: peer?.firstToken(model) { $0.seconds } ?? [], figure: .seconds),
  Row(
    name: "peak memory, MB", model: model, ours: ["--first-token"],
    theirs: peer?.firstToken(model) { $0.megabytes } ?? [], figure: .megabytes),
  Row(
    name: "repetitive text, guessing 8 ahead or not", model: model, ours: ["--repetitive", "--ahead", "8"],
    theirs: [
      {
        let child = try Child.run([own, "--model", model, "--threads", "\(here.threads)", "--repetitive"])
        return Double(child.output.split(separator: "\n").first ?? "0") ?? 0
      }
    ]),
]
rows.append(
  Row(
    name: "sampling from 248,320, under a schema or free", model: model, ours: ["--masks"],
    theirs: [
      {
        let child = try Child.run([own, "--masks", "--free"])
        return Double(child.output.split(separator: "\n").first ?? "0") ?? 0
      }
    ]))
/// The files that a variable names, separated by colons.
func files(_ name: String) -> [String] { variable(name)?.split(separator: ":").map(String.init) ?? [] }

func title(_ file: String) -> String { URL(filePath: file).deletingPathExtension().lastPathComponent }

let big = files("HOTPOT_BIG")
for file in files("HOTPOT_FORMS") {
  let name = title(file)
  rows.append(
    Row(
      name: "\(name): decode", model: file, ours: ["--decode", "1"],
      theirs: bench(file, ["-p", "0", "-n", "64"])))
  rows.append(
    Row(
      name: "\(name): prefill 512", model: file, ours: ["--prefill", "512"],
      theirs: bench(file, ["-p", "512", "-n", "0"])))
}
for file in big {
  rows.append(
    Row(
      name: "big \(title(file)): decode", model: file, ours: ["--decode", "1", "--tokens", "24"],
      theirs: bench(file, ["-p", "0", "-n", "24"])))
  rows.append(
    Row(
      name: "big \(title(file)): prefill 512", model: file, ours: ["--prefill", "512"],
      theirs: bench(file, ["-p", "512", "-n", "0"])))
}

func text(_ values: [Double]) -> String {
  let sorted = values.sorted()
  guard let low = sorted.first, let high = sorted.last else { return "-" }
  let format = high < 10 ? "%.3f" : "%.1f"
  return [low, sorted[sorted.count / 2], high].map { String(format: format, $0) }.joined(separator: " / ")
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func measure(_ row: Row, rounds: Int) throws {
  var ours: [Double] = []
  var theirs: [[Double]] = row.theirs.map { _ in [] }
  for _ in 0..<rounds {
    let neighbour = row.hasNeighbour ? try Child.start([own, "--spin"], output: nil) : nil
    defer {
      if let neighbour {
        kill(neighbour, SIGKILL)
        waitpid(neighbour, nil, 0)
      }
    }
    let child = try Child.run([own, "--model", row.model, "--threads", "\(here.threads)"] + row.ours)
    switch row.figure {
    case .rate: ours.append(Double(child.output.split(separator: "\n").first ?? "0") ?? 0)
    case .seconds: ours.append(child.seconds)
    case .megabytes: ours.append(child.megabytes)
    }
    for (i, run) in row.theirs.enumerated() { theirs[i].append(try run()) }
  }
  var line = "\(row.name) | \(text(ours))"
  let isCost = row.figure.isCost
  if let best = theirs.min(by: { isCost ? median($0) < median($1) : median($0) > median($1) }) {
    let ratio = isCost ? median(best) / median(ours) : median(ours) / median(best)
    line += " | \(text(best)) | \(String(format: "%.2f", ratio))"
  }
  print(line)
  fflush(nil)
}

/// What the memory of this machine allows, and how near decoding comes to it.
func roofline(_ name: String, _ file: String, _ more: [String]) throws {
  print("\n\(name)")
  let child = try Child.run([own, "--model", file, "--threads", "\(here.threads)", "--roofline"] + more)
  print(child.output, terminator: "")
}

do {
  let rounds = here.option("--rounds").flatMap { Int($0) } ?? 5
  let only = here.option("--only")
  print("min / median / max | ours | theirs | ours is better by")
  for row in rows where only.map({ row.name.contains($0) }) ?? true { try measure(row, rounds: rounds) }
  if only.map({ "roofline".contains($0) }) ?? true {
    try roofline("roofline", model, ["--decode", "1", "--prefill", "512"])
    try roofline("roofline at depth 4096", model, ["--decode", "1", "--depth", "4096"])
    for file in big { try roofline("roofline of \(title(file))", file, ["--decode", "1"]) }
  }
} catch {
  complain("\(error)")
  exit(1)
}
