// LocalModel.swift: a model with its tokenizer and chat template, ready to answer in this process,
// and the options that the commands which run one share.

import Foundation
import Inference

/// A loaded model without an engine, because engines differ in the size of their cache.
struct LocalModel: Sendable {
  let path: String
  let model: Model
  let tokenizer: Tokenizer
  /// The chat format, or why there is none: only commands that make a prompt of messages need it.
  private let chat: Result<ChatFormat, ChatFormatError>
  let threads: Int?
  let device: ComputeDevice
  let profile: Engine.Profile

  static let options: [Option] = [
    .model,
    Option("threads", letter: "t", value: "N", "threads that compute (default: all that are allowed)"),
    GraphicsChoice.option,
    Option(
      "profile", value: "a15|a12|a8",
      "bits of the activations, part of the bits of every answer (default a15)"),
    mapped,
  ]

  static let mapped = Option("mapped", "let a model larger than memory run from the disk, slowly")

  /// For those who asked for it.
  static let mappedNotice =
    "weights are in a file on the disk, and read as they are needed: a model larger than memory is slow"

  static let samplingOptions: [Option] = [
    Option("max-tokens", letter: "n", value: "N", "tokens to generate at most (default 512)"),
    Option("temperature", value: "T", "0 always takes the likeliest token (default 0.7)"),
    Option("seed", letter: "s", value: "S", "the same seed gives the same answer (default 0)"),
    Option("top-k", value: "K", "choose among the K likeliest (default 0: all)"),
    Option("top-p", value: "P", "choose among the likeliest that hold P of the probability (default 0.95)"),
    Option("min-p", value: "P", "drop what is less than P times as likely as the likeliest (default 0)"),
    Option("repetition-penalty", value: "R", "make tokens of the text less likely (default 1: off)"),
    Option("presence-penalty", value: "P", "from -2 to 2 (default 0)"),
    Option("frequency-penalty", value: "P", "from -2 to 2 (default 0)"),
    Option("stop", value: "TEXT", "end the answer where this text appears"),
    Option("context", value: "N", "tokens of room for prompt and answer (default: what is needed)"),
    Option("system", value: "TEXT", mayBeEmpty: true, "what the model is told about its part"),
    Option("template", value: "FILE", "another chat template than the model's own"),
  ]

  /// What a command uses the model for.
  enum Use {
    /// To answer messages: a model without a working template is refused.
    case chat
    /// To continue plain text, or only to measure.
    case plain
  }

  init(path: String, for use: Use, _ arguments: Arguments) throws {
    self.path = path
    threads = try arguments.int("threads", in: 1...256)
    device = try GraphicsChoice.device(arguments)
    if let name = arguments.string("profile") {
      guard let profile = Engine.Profile(rawValue: name.uppercased()) else {
        throw Failure(.usage, "option '--profile' wants a15, a12 or a8, found '\(name)'")
      }
      self.profile = profile
    } else {
      profile = .standard
    }
    let file = try GGUFFile(path: path)
    tokenizer = try Tokenizer(file)
    let another = try arguments.string("template").map { try Console.readText($0, limit: 1 << 21) }
    do throws(ChatFormatError) {
      let format: ChatFormat
      if let another {
        format = try ChatFormat(another, tokenizer: tokenizer)
      } else {
        format = try ChatFormat(file: file, tokenizer: tokenizer)
      }
      chat = format.problem.map { .failure($0) } ?? .success(format)
    } catch {
      chat = .failure(error)
    }
    // A model that cannot chat is refused before its weights are read.
    if use == .chat { _ = try chat.get() }
    let isMapped = arguments.has("mapped")
    if isMapped { Console.warn(Self.mappedNotice) }
    model = try Model(file: file, threads: threads, isMapped: isMapped)
    for warning in tokenizer.warnings + model.notes { Console.warn(warning) }
  }

  /// The sampling settings that the options give.
  static func sampling(_ arguments: Arguments) throws -> SamplingRequest {
    var request = SamplingRequest()
    request.temperature = Float(try arguments.double("temperature", in: 0...100) ?? 0.7)
    request.topK = try arguments.int("top-k", in: 0...Int(Int32.max)) ?? 0
    request.topP = Float(try arguments.double("top-p", in: 0.000_001...1) ?? 0.95)
    request.minP = Float(try arguments.double("min-p", in: 0...1) ?? 0)
    request.repetitionPenalty = Float(try arguments.double("repetition-penalty", in: 0.000_001...100) ?? 1)
    request.presencePenalty = Float(try arguments.double("presence-penalty", in: -2...2) ?? 0)
    request.frequencyPenalty = Float(try arguments.double("frequency-penalty", in: -2...2) ?? 0)
    request.seed = UInt64(try arguments.int("seed", in: 0...Int.max) ?? 0)
    return request
  }

  /// The tokens of a conversation, opened for the assistant's answer.
  func prompt(_ messages: [ChatMessage]) throws -> [Int32] {
    try chat.get().prompt(messages).tokens
  }

  /// Makes an engine for `room` tokens, or for the model's context if that is shorter.
  func engine(room: Int) throws -> Engine {
    let tokens = min(max(room, 1), model.hyperparameters.contextLength)
    let blocks = (tokens + Engine.blockSize - 1) / Engine.blockSize
    let engine = try Engine(model: model, configuration: configuration(blocks: blocks))
    if let note = engine.deviceNote { Console.warn(note) }
    return engine
  }

  func configuration(blocks: Int) -> Engine.Configuration {
    var configuration = Engine.Configuration(threads: threads, profile: profile, kvBlocks: blocks)
    configuration.device = device
    return configuration
  }
}
