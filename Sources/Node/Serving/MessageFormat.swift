// MessageFormat.swift: how a loaded model writes reasoning and tool calls, by its chat template, and a
// prompt that was prepared for it. The formats themselves are in Tools. Start at parser.
import Inference
import Tools

struct MessageFormat: Sendable {
  private let format: ToolFormat?
  private let reasoning: ReasoningTags?
  /// The special tokens that spell the marks of both.
  let marks: Set<Int32>
  /// The format's name.
  let name: String

  /// - named: the format to use whatever the template says
  init(_ chat: Result<ChatFormat, ChatFormatError>, _ tokenizer: Tokenizer, named: String?) {
    let source: String
    let readsTools: Bool
    switch chat {
    case .success(let found): (source, readsTools) = (found.source, found.readsTools)
    case .failure: (source, readsTools) = ("", false)
    }
    let chosen = ToolFormat.chosen(by: source)
    // Where the template knows no tools, calls are asked for in this form.
    let plain = chosen?.hasChannels == true ? chosen : .hermesJSON
    format = named.flatMap { ToolFormat.named($0) } ?? (readsTools ? chosen ?? .hermesJSON : plain)
    reasoning = ToolFormat.reasoning(in: source)
    name = format?.name ?? ""
    let texts = (format?.marks ?? []) + (reasoning.map { [$0.open.text, $0.close.text] } ?? [])
    marks = Set(
      texts.flatMap { text in
        tokenizer.encode(segments: [PromptSegment(text: text, isTrusted: true)], addBOS: false)
          .filter { tokenizer.isSpecial($0) }
      })
  }

  /// What an answer's parser is called: the format, or `reasoning` where only that is read.
  func parserName(_ tools: [ToolDefinition]) -> String {
    tools.isEmpty && format?.hasChannels != true ? "reasoning" : name
  }

  /// Whether the model thinks before it answers.
  var reasons: Bool { reasoning != nil || format?.hasChannels == true }

  /// The parser of an answer to a request with these tools; nil if the answer is its text.
  func parser(_ tools: [ToolDefinition], prompt: String) -> MessageParser? {
    guard !tools.isEmpty || reasoning != nil || format?.hasChannels == true else { return nil }
    return MessageParser(
      format: tools.isEmpty && format?.hasChannels != true ? nil : format, reasoning: reasoning, tools: tools,
      prompt: prompt)
  }
}

/// A prompt, and what its answer is made with.
struct PreparedPrompt: Sendable {
  let tokens: [Int32]
  /// Nil if the answer is its text.
  let parser: MessageParser?
  let parserName: String?
  /// The fields of the request that were left out of account.
  let ignored: [String]
}
