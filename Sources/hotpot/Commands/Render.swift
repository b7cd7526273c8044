// Render.swift: `hotpot render`: the prompt that a chat template makes from a list of messages.

import Foundation
import Inference
import JSON

extension Command {
  static let render = Command(
    name: "render",
    summary: "print the prompt that a chat template makes of messages",
    operands: "[--template FILE | --model FILE|NAME] [OPTION]... MESSAGES.json",
    details: """
      MESSAGES.json (or - for standard input) is a list of messages, each with a role and a content, or an object
      with "messages" and more values that the template reads, such as "tools". A template that reads contents only
      as a text, or only as a list of parts, gets them so, as in 'hotpot serve'. With --template alone no model is
      read, and bos_token and eos_token are what --bos and --eos say.
      """,
    options: [
      Option("template", letter: "t", value: "FILE", "a Jinja template; else the model's own"),
      .model,
      Option("bos", value: "TEXT", mayBeEmpty: true, "the text of bos_token (default: the model's)"),
      Option("eos", value: "TEXT", mayBeEmpty: true, "the text of eos_token (default: the model's)"),
      Option("no-generation-prompt", "do not open the assistant's turn"),
      Option("tokens", "print the token ids that the model reads, BOS included"),
      Option("json", "print segments with their trust as JSON"),
    ],
    run: { arguments in try runRender(arguments) })
}

private func runRender(_ arguments: Arguments) throws -> ExitCode {
  let path = try arguments.operands(1...1, "MESSAGES.json")[0]
  let input = try JSONText.parse(try Console.read(path, limit: 1 << 26), limits: .python)
  let messages: [JSONValue]
  var variables: [JSONValue.Member] = []
  switch input {
  case .array(let list): messages = list
  case .object(let members):
    guard let list = input["messages"]?.array else {
      throw Failure(.badData, "'\(path)' has no list \"messages\"")
    }
    messages = list
    variables = members.filter { $0.key != "messages" }
  default: throw Failure(.badData, "'\(path)' is neither a list of messages nor an object with one")
  }
  let format = try chatFormat(arguments)
  let generates = !arguments.has("no-generation-prompt")
  let segments = try format.segments(messages, addGenerationPrompt: generates, variables: variables)
  for role in format.leftOut(of: messages) {
    Console.warn("\(ChatFormatError.leftOut(role: role)); run, chat and serve refuse such a conversation")
  }
  if arguments.has("tokens") {
    let tokens = format.tokens(of: segments)
    if arguments.has("json") {
      try Console.print(json: ["tokens": tokens])
    } else {
      Console.print(tokens.map(String.init).joined(separator: " "))
    }
    return .ok
  }
  if arguments.has("json") {
    struct Segment: Encodable {
      let text: String
      let trusted: Bool
    }
    try Console.print(json: ["segments": segments.map { Segment(text: $0.text, trusted: $0.isTrusted) }])
  } else {
    let text = segments.map(\.text).joined()
    Console.pour(Console.isTerminal(STDOUT_FILENO) ? text + "\n" : text)
  }
  return .ok
}

/// The template that the options choose, with the special tokens of the model that they name.
private func chatFormat(_ arguments: Arguments) throws -> ChatFormat {
  var specials: [String: String] = [:]
  if let bos = arguments.string("bos") { specials["bos_token"] = bos }
  if let eos = arguments.string("eos") { specials["eos_token"] = eos }
  let source = try arguments.string("template").map { try Console.readText($0, limit: 1 << 21) }
  // A template needs no model, unless one is named.
  let isNamed =
    arguments.string("model")
    ?? ProcessInfo.processInfo.environment["HOTPOT_MODEL"].flatMap {
      $0.isEmpty ? nil : $0
    } != nil
  guard source == nil || isNamed || arguments.has("tokens") else {
    let format = try ChatFormat(source ?? "", tokenizer: nil, specials: specials)
    for name in ["bos_token", "eos_token"] where specials[name] == nil && (source ?? "").contains(name) {
      Console.warn("the template reads \(name), which is undefined: --model names a model that has one")
    }
    return format
  }
  let file = try GGUFFile(path: try ModelChoice.path(arguments))
  let tokenizer = try Tokenizer(file)
  if let source { return try ChatFormat(source, tokenizer: tokenizer, specials: specials) }
  guard let own = try file.metadata.string("tokenizer.chat_template") else {
    throw ChatFormatError.noTemplate(file: file.path)
  }
  return try ChatFormat(own, tokenizer: tokenizer, specials: specials)
}
