// Dialect.swift: an HTTP dialect for requesting tokens: turns request bytes into a
// GenerationRequest, and the events of its answer into bytes. Pure: knows no job, no connection and
// no node. To add one: a file with its row beside this one, and the row's name in `all`. Each
// dialect has its own table of refusals. Paths and rights are in Routes. Start at Dialect.
import Inference
import Intake
import JSON
import Scheduling
import Tools

struct Dialect: Sendable {
  /// Its name in the spool, so it never changes.
  let name: String
  /// The path to which its requests are posted.
  let path: String
  let read: @Sendable (JSONValue) throws(Refusal) -> AskedAnswer
  let writer: @Sendable (AnswerShape) -> any AnswerWriter
  /// The response that replaces an answer.
  let refuse: @Sendable (Refusal) -> Response

  static let all = [
    openAIChat, openAICompletions, openAIResponses, anthropicMessages, ollamaChat, ollamaGenerate,
  ]

  /// Reads a request's body; draws a seed if the client gave none.
  func read(_ body: [UInt8], atMost bytes: Int) throws(Refusal) -> AskedAnswer {
    var limits = JSONText.Limits()
    limits.bytes = bytes
    let value: JSONValue
    do throws(JSONError) { value = try JSONText.parse(body, limits: limits) } catch {
      throw .request(.syntax, field: nil, words: "the body is not the JSON that is wanted: \(error)")
    }
    var asked = try read(value)
    if !asked.request.hasSeed { asked.request.sampling.seed = GenerationRequest.drawnSeed() }
    return asked
  }
}

/// What was requested, and the form of its answer.
struct AskedAnswer: Sendable {
  var request: GenerationRequest
  var form: AnswerForm
  /// The tools that were offered, for dialects whose answers repeat them.
  var offered: OfferedTools?
}

struct AnswerForm: Sendable {
  var isStreamed = false
  var includesUsage = false
  /// Whether the answer includes the ids of all tokens, which open the receipt.
  var returnsTokens = false
  /// Whether the answer includes the receipt's line with a signature of its own.
  var hasInlineReceipt = false
}

/// What an answer repeats from its request.
struct AnswerShape: Sendable {
  let job: JobID
  /// As the request named it.
  let model: String
  /// Seconds since 1970.
  let created: Int64
  let form: AnswerForm
  let wantsLogprobs: Bool
  let seed: UInt64
  let prompt: [Int32]
  /// How the text is read; nil if the answer is its text.
  let parser: MessageParser?
  let parserName: String?
  /// The fields of the request that were left out of account.
  let ignored: [String]
  /// What the answer's text begins with, which no token of the answer gives.
  let echo: String
  /// The tools that were offered, as the request's dialect has them in answers.
  let offered: OfferedTools?

  init(_ asked: AskedAnswer, job: JobID, prompt: PreparedPrompt, created: Int64) {
    self.job = job
    self.prompt = prompt.tokens
    parser = prompt.parser
    parserName = prompt.parserName
    ignored = prompt.ignored
    echo = prompt.echo
    offered = asked.offered
    self.created = created
    model = asked.request.model ?? ""
    form = asked.form
    wantsLogprobs = asked.request.sampling.topLogprobs != nil
    seed = asked.request.sampling.seed
  }
}

/// A piece of an answer, in the order of sending.
enum AnswerPiece: Sendable {
  /// A stream begins: only events, comments and the end follow.
  case begin
  /// A stream of lines begins: only lines and the end follow.
  case beginLines
  /// JSON on one line.
  case event([UInt8])
  /// The same, with the event's name.
  case named(String, [UInt8])
  /// JSON on a line of its own.
  case line([UInt8])
  case comment(String)
  case end
  /// The answer in one piece, or a refusal before a stream began.
  case whole(Response)
}

/// Writes one answer, event by event.
protocol AnswerWriter: Sendable {
  mutating func take(_ event: AnswerEvent) -> [AnswerPiece]
  /// The job waits for the operator: a stream begins now, so that comment lines keep it open.
  mutating func wait() -> [AnswerPiece]
}

extension AnswerShape {
  /// For tests and tools: an answer to a prompt of these tokens that is its text.
  init(_ asked: AskedAnswer, job: JobID, prompt: [Int32], created: Int64) {
    self.init(
      asked, job: job,
      prompt: PreparedPrompt(tokens: prompt, parser: nil, parserName: nil, ignored: asked.request.ignored),
      created: created)
  }
}
