// Bench.swift: `hotpot bench`: tokens per second of a model on this machine, as Inference.Bench
// measures them.

import Foundation
import Inference
import Scheduling

extension Command {
  static let bench = Command(
    name: "bench",
    summary: "measure prefill, decode and batched tokens per second",
    operands: "[OPTION]...",
    details: """
      Medians of several rounds, with the slowest and the fastest. The last column is the part of the memory's speed
      that decoding uses for the weights: what is left of 100 % is what a better program could gain.
      """,
    options: LocalModel.options + [
      Option("prompt", value: "N,...", "tokens of the prompts (default 512)"),
      Option("batch", value: "N,...", "sequences decoded together (default 1,8)"),
      Option("depth", value: "N", "tokens before decoding begins (default 16)"),
      Option("tokens", letter: "n", value: "N", "tokens decoded per sequence and round (default 32)"),
      Option("rounds", value: "N", "rounds per measurement (default 5)"),
      .json,
    ],
    run: { arguments in
      _ = try arguments.operands(0...0, "")
      return try await OwnThread.run { try measure(arguments) }
    })
}

private struct Report: Encodable {
  struct Prefill: Encodable {
    let tokens: Int
    let tps: Double
  }
  struct Decode: Encodable {
    let batch: Int
    let depth: Int
    let tps: Double
    let memory_share: Double
  }
  let model: String
  let isa: String
  let threads: Int
  let profile: String
  let prefill: [Prefill]
  let decode: [Decode]
  let memory_bytes_per_second: Double
  let peak_rss_mb: Double
}

private func numbers(_ arguments: Arguments, _ name: String, _ standard: [Int], most: Int) throws -> [Int] {
  guard let text = arguments.string(name) else { return standard }
  return try text.split(separator: ",", omittingEmptySubsequences: false).map { part in
    guard let number = Int(part), (1...most).contains(number) else {
      throw Failure(.usage, "option '--\(name)' wants numbers from 1 to \(most), found '\(part)'")
    }
    return number
  }
}

private func measure(_ arguments: Arguments) throws -> ExitCode {
  let prompts = try numbers(arguments, "prompt", [512], most: 65_536)
  let batches = try numbers(arguments, "batch", [1, 8], most: 256)
  let depth = try arguments.int("depth", in: 1...65_536) ?? 16
  let count = try arguments.int("tokens", in: 1...65_536) ?? 32
  let rounds = try arguments.int("rounds", in: 1...1000) ?? 5
  let local = try LocalModel(path: try ModelChoice.path(arguments), for: .plain, arguments)
  let context = local.model.hyperparameters.contextLength
  let longest = max(prompts.max() ?? 0, depth + count)
  guard longest <= context else {
    throw Failure(
      .usage,
      "\(counted(longest, "token")) \(longest == 1 ? "is" : "are") asked for, the context has room for \(context)"
    )
  }
  let plan = Bench.Plan(
    configuration: local.configuration(blocks: 1),
    prefills: prompts, decodes: batches.map { Bench.Plan.Decode(batch: $0, depth: depth) }, tokens: count,
    rounds: rounds)
  let result = try Bench.run(model: local.model, plan: plan) { part in
    Console.progress("measuring \(part)")
  }
  Console.progress(nil)
  if arguments.has("json") {
    try Console.print(json: report(result, local))
  } else {
    show(result, local)
  }
  return .ok
}

private func report(_ result: Bench.Result, _ local: LocalModel) -> Report {
  Report(
    model: local.model.name ?? local.path, isa: result.device, threads: result.threads,
    profile: local.profile.rawValue,
    prefill: result.prefills.map { Report.Prefill(tokens: $0.tokens, tps: $0.rate.median) },
    decode: result.decodes.map { decode, rate in
      Report.Decode(
        batch: decode.batch, depth: decode.depth, tps: rate.median,
        memory_share: result.share(of: decode, rate.median))
    },
    memory_bytes_per_second: result.bandwidth, peak_rss_mb: Double(result.peakMemory) / 1e6)
}

private func show(_ result: Bench.Result, _ local: LocalModel) {
  let name = Console.oneLine(local.model.name ?? local.path)
  Console.print(
    "\(name), \(result.device), \(counted(result.threads, "thread")), \(local.profile.rawValue)")
  func line(_ what: String, _ rate: Bench.Rate, _ rest: String) {
    let padding = String(repeating: " ", count: max(22 - what.count, 0))
    let numbers = String(format: "%9.1f tokens/s (%.1f to %.1f)", rate.median, rate.minimum, rate.maximum)
    Console.print("\(what)\(padding)\(numbers)\(rest)")
  }
  for (tokens, rate) in result.prefills { line("prefill, \(counted(tokens, "token"))", rate, "") }
  for (decode, rate) in result.decodes {
    let share = String(format: ", %.0f %% of memory", 100 * result.share(of: decode, rate.median))
    line("decode, batch of \(decode.batch)", rate, share)
  }
  Console.print(
    String(
      format: "memory %.1f GB/s, at most %.1f MB in use", result.bandwidth / 1e9,
      Double(result.peakMemory) / 1e6))
}
