// Render.swift: `hotpot render`: the prompt that a chat template makes of a list of messages.

import Foundation
import Inference

extension Command {
  static let render = Command(
    name: "render",
    summary: "print the prompt that a chat template makes of messages",
    operands: "[--template FILE | --model FILE|NAME] [OPTION]... MESSAGES.json",
    details: """
      MESSAGES.json (or - for standard input) is a list of messages, each with a role and a content, or an object
      with "messages" and more values that the template reads, such as "tools".
      """,
    options: [
      Option("template", letter: "t", value: "FILE", "a Jinja template; else the model's own"),
      .model,
      Option("bos", value: "TEXT", "the text of bos_token (default: the model's)"),
      Option("eos", value: "TEXT", "the text of eos_token (default: the model's)"),
      Option("no-generation-prompt", "do not open the assistant's turn"),
      Option("json", "print segments with their trust as JSON"),
    ],
    run: { arguments in try runRender(arguments) })
}

private func runRender(_ arguments: Arguments) throws -> ExitCode {
  let path = try arguments.operands(1...1, "MESSAGES.json")[0]
  let input = try TemplateValue(json: try Console.read(path, limit: 1 << 26))
  let messages: [TemplateValue]
  var variables: [TemplateMember] = []
  switch input {
  case .list(let list): messages = list
  case .object(let members):
    guard case .list(let list)? = input["messages"] else {
      throw Failure(.badData, "'\(path)' has no list \"messages\"")
    }
    messages = list
    variables = members.filter { $0.name != "messages" }
  default: throw Failure(.badData, "'\(path)' is neither a list of messages nor an object with one")
  }
  var specials: [String: String] = [:]
  let source: String
  if let template = arguments.string("template") {
    source = try Console.readText(template, limit: 1 << 21)
  } else {
    let file = try GGUFFile(path: try ModelChoice.path(arguments))
    guard let template = try file.metadata.string("tokenizer.chat_template") else {
      throw Failure(.badData, "model '\(file.path)' has no chat template", hint: "--template FILE gives one")
    }
    source = template
    specials = try ModelChoice.specials(of: file)
  }
  if let bos = arguments.string("bos") { specials["bos_token"] = bos }
  if let eos = arguments.string("eos") { specials["eos_token"] = eos }
  let template = try ChatTemplate(source)
  let generates = !arguments.has("no-generation-prompt")
  let segments = try template.render(
    messages: messages, specials: specials, addGenerationPrompt: generates, variables: variables)
  if arguments.has("json") {
    struct Segment: Encodable {
      let text: String
      let trusted: Bool
    }
    try Console.print(json: ["segments": segments.map { Segment(text: $0.text, trusted: $0.isTrusted) }])
  } else {
    let text = segments.map(\.text).joined()
    Console.write(Console.isTerminal(STDOUT_FILENO) ? Console.harmless(text) + "\n" : text)
  }
  return .ok
}
