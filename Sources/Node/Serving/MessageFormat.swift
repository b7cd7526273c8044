// MessageFormat.swift: how a loaded model writes reasoning and tool calls, by its chat template, and a
// prompt that was prepared for it. The formats themselves are in Tools. Start at parser.
import Control
import Grammar
import Inference
import JSON
import Receipts
import Scheduling
import Tools

struct MessageFormat: Sendable {
  private let format: ToolFormat?
  private let reasoning: ReasoningTags?
  /// The special tokens that spell the marks of both.
  let marks: Set<Int32>
  /// The format's name.
  let name: String
  /// SHA-256 of the chat template.
  let template: SHA256Digest

  /// - named: the format to use whatever the template says
  init(_ chat: Result<ChatFormat, ChatFormatError>, _ tokenizer: Tokenizer, named: String?) {
    let source: String
    let readsTools: Bool
    switch chat {
    case .success(let found): (source, readsTools) = (found.source, found.readsTools)
    case .failure: (source, readsTools) = ("", false)
    }
    template = SHA256.hash(Array(source.utf8))
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

  /// What an answer must be, of all that a request and this model's way of writing ask for.
  /// - asked: what its text must be
  /// - prompt: its text
  /// - unread: the fields that the template does not read; one that is held here is taken out
  func constraint(
    _ asked: AskedConstraint?, _ terms: MessageTerms?, prompt: String, unread: inout [String]
  ) throws(Refusal) -> ConstraintSource? {
    guard let terms, let format else { return asked?.source }
    var thinking = thinking(after: prompt)
    if thinking != nil { thinking?.tokens = terms.bound(&unread) }
    if thinking == nil, let budget = terms.budget { unread.append(budget.field) }
    // What text must be, calls of tools that are offered need not.
    let offers = asked != nil && !terms.definitions.isEmpty
    let demand =
      terms.demand
      ?? (offers
        ? CallDemand(isRequired: false, isSingle: terms.isSingleCall, tools: terms.definitions, strict: [])
        : nil)
    guard asked != nil || demand != nil || thinking?.tokens != nil else { return nil }
    if demand == nil, thinking == nil { return asked?.source }
    var marks = thinking.map { [$0.open, $0.close] } ?? []
    var text: JSONValue?
    if let demand {
      do throws(CallNotationError) {
        text = try format.notation(demand, content: asked?.source.element)
      } catch {
        throw .request(
          .unsupported, field: terms.demandField, words: "'\(terms.demandField)': of '\(error.tool)' \(error)"
        )
      }
      marks += format.marks
    } else if let asked {
      text = format.notation(content: asked.source.element)
      if format.hasChannels { marks += format.marks }
    }
    if text == nil { marks += format.marks }
    return .message(MessageShape(marks: marks, thinking: thinking, text: text))
  }

  /// The block in which the model may think where its answer begins.
  private func thinking(after prompt: String) -> MessageShape.Thinking? {
    if let channel = format?.thinkingChannel {
      return MessageShape.Thinking(
        open: channel.open.text, close: channel.close.text, isBegun: false, isInText: true)
    }
    guard let reasoning, reasoning.start(after: prompt) != .over else { return nil }
    return MessageShape.Thinking(
      open: reasoning.open.text, close: reasoning.close.text,
      isBegun: reasoning.start(after: prompt) == .begun)
  }

  /// Whether the model thinks before it answers.
  var reasons: Bool { reasoning != nil || format?.hasChannels == true }

  /// How an answer to a request with these tools is read; nil if the answer is its text.
  func reading(_ tools: [ToolDefinition], prompt: String) -> MessageReading? {
    guard !tools.isEmpty || reasoning != nil || format?.hasChannels == true else { return nil }
    return MessageReading(
      format: tools.isEmpty && format?.hasChannels != true ? nil : format?.name, reasoning: reasoning,
      promptEnd: String(decoding: prompt.utf8.suffix(256), as: UTF8.self))
  }

  /// The parser of an answer to a request with these tools; nil if the answer is its text.
  func parser(_ tools: [ToolDefinition], prompt: String) -> MessageParser? {
    reading(tools, prompt: prompt)?.parser(tools)
  }
}

/// How a text is read as a message, in words that another node understands.
package struct MessageReading: Sendable, Equatable {
  /// The name of a format of `Tools`.
  let format: String?
  let reasoning: ReasoningTags?
  /// The last bytes of the prompt's text, after which the answer begins.
  let promptEnd: String

  func parser(_ tools: [ToolDefinition]) -> MessageParser {
    MessageParser(
      format: format.flatMap { ToolFormat.named($0) }, reasoning: reasoning, tools: tools, prompt: promptEnd)
  }
}

/// A prompt, and what its answer is made with.
struct PreparedPrompt: Sendable {
  let tokens: [Int32]
  /// Nil if the answer is its text.
  let parser: MessageParser?
  /// What `parser` was made from.
  var reading: MessageReading?
  let parserName: String?
  /// The fields of the request that were left out of account.
  let ignored: [String]
  /// What the answer's text begins with.
  var echo = ""
}

/// A call in an answer.
struct AnsweredCall: Sendable, Equatable {
  let id: String
  let name: String
  /// JSON, as the parser wrote it.
  var arguments = ""

  init(id: String, name: String) {
    self.id = id
    self.name = name
  }

  /// The arguments, for dialects that send them as JSON and not as its text: every digit is kept.
  /// A call is only sent whole, so its arguments are JSON; the bounds are wider than those by which
  /// the parser read them.
  var input: JSONValue { (try? JSONText.parse(Array(arguments.utf8), limits: .python)) ?? .string(arguments) }

  /// A call's id: the model's own, or nine letters and digits, which is what the strictest templates
  /// want to see again.
  static func id(_ index: Int, _ own: String?, of job: JobID) -> String {
    if let own { return own }
    // SplitMix64 over the job's number: other jobs have other ids.
    var mixed = job.rawValue &+ UInt64(index + 1) &* 0x9E37_79B9_7F4A_7C15
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    let digits = String((mixed ^ mixed >> 31) % 101_559_956_668_416, radix: 36)
    return String(repeating: "0", count: 9 - digits.count) + digits
  }
}

/// Reads the text of a receipt's tokens as the node read it.
struct MessageReader: Sendable {
  let parser: MessageParser
  /// The special tokens that spell its marks.
  let marks: Set<Int32>

  func read(_ text: String, of receipt: Receipts.Receipt) -> Verification.Message {
    var parser = parser
    let isWhole = receipt.finish == .stop || receipt.finish == .stopString
    var message = Verification.Message(content: "", reasoning: "", calls: [])
    for event in parser.feed(text) + parser.finish(isCut: !isWhole) {
      switch event {
      case .content(let piece): message.content += piece
      case .reasoning(let piece): message.reasoning += piece
      case .call(let index, let id, let name):
        message.calls.append(
          .init(id: AnsweredCall.id(index, id, of: JobID(receipt.job)), name: name, arguments: ""))
      case .arguments(let index, let piece):
        if message.calls.indices.contains(index) { message.calls[index].arguments += piece }
      case .finished: break
      }
    }
    return message
  }
}
