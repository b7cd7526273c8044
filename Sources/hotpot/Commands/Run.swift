// Run.swift: `hotpot run`: writes one completion to standard output while it is generated.

import Foundation
import Inference
import Scheduling

extension Command {
  static let run = Command(
    name: "run",
    summary: "answer one prompt",
    operands: "[OPTION]... PROMPT | -",
    details: """
      The prompt becomes a user's message of the model's chat template; '-' reads it from standard input.
      With --raw it is the text itself, in which names of special tokens are these tokens.
      """,
    options: LocalModel.options + LocalModel.samplingOptions + [
      Option("raw", "no chat template"),
      Option("logits", value: "FILE", "write the float32 logits of every position, row after row"),
      Option("verbose", "tell the speed on standard error"),
      .json,
    ],
    run: { arguments in
      let operand = try arguments.operands(1...1, "PROMPT")[0]
      let text = operand == "-" ? try Console.readText("-") : operand
      return try await OwnThread.run { try complete(text, arguments) }
    })
}

private struct Completion: Encodable {
  let prompt_tokens: [Int32]
  let tokens: [Int32]
  let text: String
  let logprobs: [Float]
  let finish_reason: String
  let prefill_tps: Double
  let decode_tps: Double
}

private func complete(_ text: String, _ arguments: Arguments) throws -> ExitCode {
  var sampling = try LocalModel.sampling(arguments)
  let asJSON = arguments.has("json")
  if asJSON { sampling.topLogprobs = 0 }
  let most = try arguments.int("max-tokens", in: 0...(1 << 24)) ?? 512
  let room = try arguments.int("context", in: 1...(1 << 24))
  var stops = try StopMatcher(arguments.string("stop").map { [$0] } ?? [])
  let local = try LocalModel(
    path: try ModelChoice.path(arguments), for: arguments.has("raw") ? .plain : .chat, arguments)
  let prompt: [Int32]
  if arguments.has("raw") {
    prompt = local.tokenizer.encode(text, parseSpecial: true, addBOS: true)
  } else {
    let system = arguments.string("system").map { [ChatMessage(role: "system", content: $0)] } ?? []
    prompt = try local.prompt(system + [ChatMessage(role: "user", content: text)])
  }
  guard !prompt.isEmpty else { throw Failure(.usage, "the prompt is empty") }
  let context = min(local.model.hyperparameters.contextLength, room ?? .max)
  guard prompt.count <= context else {
    throw Failure(
      .badData, "the prompt has \(counted(prompt.count, "token")), the context has room for \(context)",
      hint: "shorten the prompt, or choose a model with a longer context")
  }
  let logits = try arguments.string("logits").map { path in try LogitsFile(path) }
  var generation = Generation(engine: try local.engine(room: min(context, prompt.count + most)))
  var pieces = StreamingDetokenizer(local.tokenizer)
  var answer = ""
  func give(_ piece: String) {
    answer += piece
    if !asJSON, !piece.isEmpty { Console.pour(piece) }
  }
  let outcome = try generation.run(
    prompt: prompt,
    options: Generation.Options(
      sampling: sampling, maximumTokens: most, endTokens: Set(local.tokenizer.endOfGenerationTokens)),
    onLogits: logits.map { file in { rows in file.append(rows) } },
    onToken: { token in
      give(stops.append(pieces.append(token.token)))
      return stops.matched == nil
    })
  give(stops.append(pieces.finish()))
  give(stops.finish())
  try logits?.close()
  if asJSON {
    try Console.print(
      json: Completion(
        prompt_tokens: prompt, tokens: outcome.tokens.map(\.token), text: answer,
        logprobs: outcome.tokens.compactMap(\.logprob), finish_reason: outcome.finish.rawValue,
        prefill_tps: outcome.prefillRate, decode_tps: outcome.decodeRate))
  } else {
    Console.write("\n")
  }
  if arguments.has("verbose") { Console.note(speed(outcome)) }
  return .ok
}

/// One line about an answer's speed.
func speed(_ outcome: Generation.Outcome) -> String {
  String(
    format: "hotpot: prompt %d tokens (%d reused) at %.1f/s, answer %d tokens at %.1f/s\n",
    outcome.promptCount,
    outcome.reusedCount, outcome.prefillRate, outcome.tokens.count, outcome.decodeRate)
}

/// Logits as raw little-endian float32, row after row.
private final class LogitsFile {
  private let descriptor: Int32
  private let path: String
  private var failure: Int32 = 0

  init(_ path: String) throws {
    self.path = path
    descriptor = try UserFile.openToWrite(path)
  }

  func append(_ rows: [Float]) {
    rows.withUnsafeBytes { bytes in
      var rest = bytes[...]
      while failure == 0, !rest.isEmpty {
        let count = UnsafeRawBufferPointer(rebasing: rest).withUnsafeBytes {
          write(descriptor, $0.baseAddress, $0.count)
        }
        if count < 0, errno == EINTR { continue }
        if count <= 0 { failure = count < 0 ? errno : EIO }
        rest = rest.dropFirst(max(count, 0))
      }
    }
  }

  func close() throws {
    if Glibc.close(descriptor) != 0, failure == 0 { failure = errno }
    guard failure == 0 else {
      throw Failure(.inputOutput, "cannot write '\(path)': \(String(cString: strerror(failure)))")
    }
  }
}
