// Verification+Answer.swift: compares what a person reads with the receipt: the answer's members,
// its text, and how it ended. Reading an answer's bytes and decoding tokens is in Node:
// SavedAnswer, Reexecutor. Start at Verification.Answer.
import Glibc

extension Verification {
  /// What a node's answer says, beside nonces and tokens. Members that it lacks are nil.
  public struct Answer: Hashable, Sendable {
    public struct Usage: Hashable, Sendable {
      public var prompt: Int?
      public var completion: Int?
      public var total: Int?
      public var cached: Int?

      public init() {}
    }

    /// `chatcmpl-` or `cmpl-` and the job.
    public var id: String?
    public var job: String?
    public var receipt: String?
    /// The receipt's line, if the answer holds it.
    public var line: String?
    public var model: String?
    public var seed: UInt64?
    public var amount: Int64?
    /// The message's text, the pieces of a stream joined.
    public var text: String?
    /// How many bytes of the text repeat the prompt, as the answer says.
    public var echoed = 0
    /// What read the generated text as a message, as the answer says; nil if its text is all of it.
    public var parser: String?
    /// What of the message is no text; the node read it in the generated text where `parser` says so.
    public var reasoning = ""
    public var calls: [Message.Call] = []
    public var finishReason: String?
    /// The code of the error that ended it.
    public var errorCode: String?
    public var usage = Usage()
    public var ignoresEnd: Bool?
    public var hasLogprobs = false
    /// Members of the message that a client acts on, besides its text, and which nothing reads in
    /// the generated text: no token of a receipt gives them.
    public var foreign: [String] = []
    /// Generated after the receipt's last token and before the client heard of the end; not
    /// charged.
    public var unreceipted: [UInt32] = []
    /// Paths of members that neither the receipt nor the tokens determine.
    public var undetermined: [String] = []

    public init() {}
  }

  /// What a node reads in a generated text.
  public struct Message: Hashable, Sendable {
    public struct Call: Hashable, Sendable {
      public var id: String
      public var name: String
      /// JSON, as it was sent.
      public var arguments: String

      public init(id: String, name: String, arguments: String) {
        self.id = id
        self.name = name
        self.arguments = arguments
      }
    }

    public var content: String
    public var reasoning: String
    public var calls: [Call]

    public init(content: String, reasoning: String, calls: [Call]) {
      self.content = content
      self.reasoning = reasoning
      self.calls = calls
    }
  }

  /// What the model's vocabulary says about an output.
  public struct DecodedOutput: Hashable, Sendable {
    /// The text that the node makes of the receipt's tokens and of those after them.
    public var text: String
    /// The prompt's.
    public var prompt: String
    /// The text, read as the answer says that the node read it; or why it was not.
    public var message: Reading
    /// Position of the first end token in the receipt's output.
    public var firstEnd: Int?
    /// Position of the token that completes a stop string of the transcript.
    public var firstStop: Int?
    /// The model's own context length.
    public var contextLength: Int

    /// A message, or why the text was not read as one.
    public enum Reading: Hashable, Sendable {
      case notDone(why: String)
      case message(Message)
    }

    public init(
      text: String, prompt: String = "", message: Reading = .notDone(why: "the answer is its text"),
      firstEnd: Int?, firstStop: Int?, contextLength: Int
    ) {
      self.text = text
      self.prompt = prompt
      self.message = message
      self.firstEnd = firstEnd
      self.firstStop = firstStop
      self.contextLength = contextLength
    }
  }

  /// The result of decoding, or why it was not done.
  public enum Decoding: Hashable, Sendable {
    case notDone(why: String)
    case decoded(DecodedOutput)
  }

  /// The result of comparing something of the client's own with the receipt, or why it was not
  /// compared.
  public enum Comparison: Hashable, Sendable {
    case notDone(why: String)
    case same(String)
    case differs(String)
  }

  // MARK: the checks

  static func answer(_ receipt: Receipt, _ line: [UInt8], _ answer: Answer?) -> Outcome {
    guard let answer else { return .notChecked("no answer was given, only a transcript") }
    var compared: [String] = []
    var difference: String?
    func compare<T: Equatable>(_ name: String, _ found: T?, _ wanted: T) {
      guard let found, difference == nil else { return }
      if found == wanted {
        compared.append(name)
      } else {
        difference = "'\(name)' is \(Self.shown("\(found)")), the receipt gives \(Self.shown("\(wanted)"))"
      }
    }
    let job = LineWriter.hex(receipt.job)
    if let id = answer.id {
      compare("id", id, (id.hasPrefix("chatcmpl-") ? "chatcmpl-" : "cmpl-") + job)
    }
    compare("hotpot.job", answer.job, job)
    compare("hotpot.receipt", answer.receipt, String(SHA256.leaf(line).hex.prefix(16)))
    if let found = answer.line {
      if Array(found.utf8) != line { return .failed("'hotpot.receipt_line' is another receipt's") }
      compared.append("hotpot.receipt_line")
    }
    compare("model", answer.model, receipt.model)
    compare("hotpot.seed", answer.seed, receipt.sampler.seed)
    compare("hotpot.amount_micro", answer.amount, receipt.amount)
    compare("usage.prompt_tokens", answer.usage.prompt, receipt.promptTokens)
    compare("usage.completion_tokens", answer.usage.completion, receipt.completionTokens)
    compare("usage.total_tokens", answer.usage.total, receipt.promptTokens + receipt.completionTokens)
    compare("usage.prompt_tokens_details.cached_tokens", answer.usage.cached, receipt.cachedTokens)
    if receipt.version > 1 { compare("hotpot.ignore_eos", answer.ignoresEnd, receipt.ignoresEnd) }
    let (reason, code) = Self.words(for: receipt.finish)
    if let difference { return .failed(difference) }
    if let found = answer.finishReason {
      guard let reason else {
        return .failed(
          "'finish_reason' is \(Self.shown(found)), the receipt says that the job was cut: '\(receipt.finish.rawValue)'"
        )
      }
      // A message that calls ended as any text does; that it calls is for the check of its text.
      compare("finish_reason", found == "tool_calls" && answer.parser != nil ? "stop" : found, reason)
    }
    if let found = answer.errorCode {
      guard let code else {
        return .failed(
          "the answer ends with the error \(Self.shown(found)), the receipt says '\(receipt.finish.rawValue)'"
        )
      }
      if receipt.finish != .cancelled { compare("error.code", found, code) }
    }
    if let difference { return .failed(difference) }
    guard !compared.isEmpty else {
      return .notChecked("the answer says nothing that the receipt says too")
    }
    return .ok(compared.joined(separator: ", "))
  }

  /// How an answer reports an end: OpenAI's `finish_reason`, or the code of an error.
  private static func words(for finish: Receipt.Finish) -> (reason: String?, code: String?) {
    switch finish {
    case .stop, .stopString: ("stop", nil)
    case .length, .context: ("length", nil)
    case .cancelled, .cancelledByClient, .cancelledByOperator: (nil, "cancelled")
    case .expired: (nil, "expired")
    }
  }

  static func text(_ receipt: Receipt, _ answer: Answer?, _ decoding: Decoding) -> Outcome {
    if let name = answer?.foreign.first {
      return .failed("the answer has \(shown(name)), which no token of the receipt gives")
    }
    if let answer, answer.receipt != nil, receipt.isRendered, answer.parser ?? "" != receipt.rendering.parser
    {
      return .failed(
        "the answer was read by \(shown(answer.parser ?? "nothing")), the receipt says \(shown(receipt.rendering.parser.isEmpty ? "nothing" : receipt.rendering.parser))"
      )
    }
    if let answer, let parser = answer.parser {
      switch decoding {
      case .notDone(let why): return .notChecked(why)
      case .decoded(let decoded):
        switch decoded.message {
        case .notDone(let why): return .notChecked(why)
        case .message(let wanted): return message(receipt, answer, wanted, parser)
        }
      }
    }
    guard let found = answer?.text else { return .notChecked("there is no text to compare") }
    switch decoding {
    case .notDone(let why): return .notChecked(why)
    case .decoded(let decoded):
      // Compared as bytes: Swift treats canonically equivalent Unicode texts as equal.
      let echoed = answer?.echoed ?? 0
      guard echoed == 0 || Array(found.utf8.prefix(echoed)) == Array(decoded.prompt.utf8) else {
        return .failed("the answer's text does not begin with the prompt, which it says that it repeats")
      }
      let (a, b) = (Array(found.utf8.dropFirst(echoed)), Array(decoded.text.utf8))
      if a == b { return .ok("\(a.count) bytes, those of the token ids") }
      // Version 1 does not commit to stop strings, and streams that were cut have no receipt of
      // their own.
      if receipt.version == 1, receipt.finish == .stopString || receipt.finish.isCut, b.starts(with: a) {
        return .ok(
          "\(a.count) bytes, those of the token ids; that it ends \(b.count - a.count) bytes before them was not checked: this receipt's version does not say where"
        )
      }
      let at = zip(a, b).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(a.count, b.count)
      return .failed(
        "byte \(at): the answer says \(Self.excerpt(a, at)), the token ids give \(Self.excerpt(b, at))")
    }
  }

  /// Whether a message is what its parser reads in the text of the token ids.
  private static func message(
    _ receipt: Receipt, _ answer: Answer, _ wanted: Message, _ parser: String
  ) -> Outcome {
    for (name, found, wanted) in [
      ("content", answer.text ?? "", wanted.content),
      ("reasoning_content", answer.reasoning, wanted.reasoning),
    ] {
      let (a, b) = (Array(found.utf8), Array(wanted.utf8))
      guard a != b else { continue }
      let at = zip(a, b).enumerated().first { $0.element.0 != $0.element.1 }?.offset ?? min(a.count, b.count)
      return .failed(
        "byte \(at) of '\(name)': the answer says \(excerpt(a, at)), the token ids give \(excerpt(b, at))")
    }
    guard answer.calls.count == wanted.calls.count else {
      return .failed(
        "the answer has \(answer.calls.count) tool calls, the token ids give \(wanted.calls.count)")
    }
    for (index, (found, wanted)) in zip(answer.calls, wanted.calls).enumerated() {
      for (name, found, wanted) in [
        ("id", found.id, wanted.id), ("name", found.name, wanted.name),
        ("arguments", found.arguments, wanted.arguments),
      ] where Array(found.utf8) != Array(wanted.utf8) {
        return .failed(
          "tool_calls[\(index)]: its \(name) is \(shown(found)), the token ids give \(shown(wanted))")
      }
    }
    let calls = !wanted.calls.isEmpty && (receipt.finish == .stop || receipt.finish == .stopString)
    if let reason = answer.finishReason, calls != (reason == "tool_calls") {
      return .failed(
        "'finish_reason' is \(shown(reason)), and \(calls ? "the message calls tools" : "no tool is called at its end")"
      )
    }
    return .ok(
      "content, reasoning and \(wanted.calls.count) tool calls, as \(shown(parser)) reads them in the text of the token ids"
    )
  }

  /// A few characters starting at a byte, without any that a terminal would interpret.
  private static func excerpt(_ bytes: [UInt8], _ at: Int) -> String {
    guard at < bytes.count else { return "its end" }
    return shown(String(decoding: bytes[at...].prefix(24), as: UTF8.self))
  }

  package static func shown(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.prefix(60))).debugDescription
  }

  static func ending(_ receipt: Receipt, _ transcript: Transcript?, _ decoding: Decoding) -> Outcome {
    if receipt.version == 1 {
      return .notChecked(
        "the end was not checked: this receipt's version does not say whether end tokens were to be ignored")
    }
    if receipt.isVector, !receipt.finish.isCut {
      return .ok("nothing is generated: the output is a vector of \(receipt.dimensions) numbers")
    }
    let count = receipt.completionTokens
    let isAtLimit = count == receipt.maxTokens && !receipt.isVector
    switch receipt.finish {
    case .length, .context:
      if !isAtLimit {
        return .failed(
          "the receipt says '\(receipt.finish.rawValue)', and \(count) of \(receipt.maxTokens) tokens were generated"
        )
      }
    case .cancelled, .cancelledByClient, .cancelledByOperator, .expired:
      if isAtLimit {
        return .failed(
          "the receipt says '\(receipt.finish.rawValue)', and all \(count) tokens were generated: nothing was left to cut"
        )
      }
    case .stop, .stopString: break
    }
    guard let transcript else { return .notChecked("no transcript was given") }
    guard case .decoded(let decoded) = decoding else {
      if case .notDone(let why) = decoding { return .notChecked(why) }
      return .notChecked("the tokens were not decoded")
    }
    if !receipt.ignoresEnd, let end = decoded.firstEnd, end < count - 1 {
      return .failed("token \(end) is an end token, and \(count - 1 - end) follow it: the output is padded")
    }
    if let stop = decoded.firstStop, stop < count - 1 {
      return .failed(
        "a stop string is complete with token \(stop), and \(count - 1 - stop) follow it: the output is padded"
      )
    }
    let hasEnd = !receipt.ignoresEnd && count > 0 && decoded.firstEnd == count - 1
    let hasStop = count > 0 && decoded.firstStop == count - 1
    switch receipt.finish {
    case .stop:
      if receipt.ignoresEnd { return .failed("the receipt says 'stop', and end tokens were to be ignored") }
      guard hasEnd else {
        return .failed("the receipt says 'stop', and the last token is no end token: the output is cut")
      }
      return .ok("the last token is an end token, and no other is")
    case .stopString:
      if transcript.stops.isEmpty { return .failed("the receipt says 'stop_string', and there was none") }
      guard hasStop, !hasEnd else {
        return .failed(
          "the receipt says 'stop_string', and none is complete with the last token: the output is cut")
      }
      return .ok("a stop string is complete with the last token, and not before")
    case .length, .context:
      if hasEnd || hasStop {
        return .failed(
          "the receipt says '\(receipt.finish.rawValue)', and the job would have ended by '\(hasEnd ? "stop" : "stop_string")'"
        )
      }
      return .ok(
        "all \(count) tokens of max_tokens\(receipt.ignoresEnd ? ", end tokens ignored" : ", no end before")")
    case .cancelled, .cancelledByClient, .cancelledByOperator, .expired:
      if hasEnd || hasStop {
        return .failed("the receipt says '\(receipt.finish.rawValue)', and the answer was complete")
      }
      return .ok(
        "'\(receipt.finish.rawValue)' after \(count) of \(receipt.maxTokens) tokens, no end before; who cut it is the node's word"
      )
    }
  }

  static func outcome(_ comparison: Comparison) -> Outcome {
    switch comparison {
    case .notDone(let why): .notChecked(why)
    case .same(let what): .ok(what)
    case .differs(let what): .failed(what)
    }
  }

  // MARK: what no check says

  /// In words that nobody can mistake for a proof.
  static func unproved(
    _ receipt: Receipt, _ transcript: Transcript?, _ evidence: Evidence
  ) -> [String] {
    guard transcript != nil || evidence.answer != nil else {
      return ["prompt, answer and text: no transcript was given"]
    }
    var open: [String] = []
    if transcript == nil {
      open.append("prompt and answer: the answer holds no token ids, and it was not generated again")
    }
    if case .notDone = evidence.request {
      open.append(
        "the prompt is the one that the node says it got; it was not compared with a request of yours")
    }
    if case .notDone = evidence.settings {
      open.append(
        "max_tokens, the stop strings and the sampler's settings are those that the node says it got; they were not compared with a request of yours"
      )
    }
    if let why = evidence.noNonces { open.append("that the commitments are to these tokens: \(why)") }
    switch evidence.reexecution {
    case .ran(let found):
      if found.isWindowsAlone {
        open.append(
          "that the sampler chose these tokens, the last one above all: only hidden states were compared")
      }
    case .notRun, .failed: open.append("that the model gives these tokens: it was not run")
    }
    if let answer = evidence.answer {
      if case .notDone = evidence.decoding, answer.text != nil {
        open.append("that the text is the one of the token ids: they were not decoded")
      }
      if answer.hasLogprobs, case .notDone(let why) = evidence.logprobs {
        open.append("the log-probabilities of the answer: \(why)")
      }
      if answer.finishReason == nil, answer.errorCode == nil {
        open.append("why generation ended, as the answer says it: it says nothing of it")
      }
      if !answer.undetermined.isEmpty {
        let names = answer.undetermined.prefix(12).map { shown($0).dropFirst().dropLast() }
        let more = answer.undetermined.count > 12 ? " and \(answer.undetermined.count - 12) more" : ""
        open.append(
          "members of the answer that nothing here determines: \(names.joined(separator: ", "))\(more)")
      }
      if !answer.unreceipted.isEmpty {
        open.append(
          "the last \(answer.unreceipted.count) tokens of the text, which came as the job was cut: they are neither in the receipt nor charged"
        )
      }
    } else {
      open.append("the text that somebody read: only tokens were given")
    }
    if case .same = evidence.freshness {
    } else {
      let seed =
        receipt.version > 1 && receipt.seedBy == .client
        ? "; a nonce in your request, or a seed that you never used before, tells them apart" : ""
      open.append(
        "that the answer was made for this request and not for an earlier one of the same words: the node says that it was submitted at \(utc(receipt.submitted))\(seed)"
      )
    }
    if receipt.version == 1 {
      open.append("how generation ended: a receipt of version 1 does not say enough")
    } else {
      if receipt.seedBy == .node {
        open.append("seed chosen by the node: that it drew one once and took what came")
      }
      if receipt.finish.isCut { open.append("that generation was cut by whom and where the receipt says") }
      if receipt.finish == .context, case .decoded(let decoded) = evidence.decoding,
        receipt.promptTokens + receipt.completionTokens != decoded.contextLength
      {
        open.append(
          "that the node's context ends at \(receipt.promptTokens + receipt.completionTokens) tokens; the model's own is \(decoded.contextLength)"
        )
      }
    }
    open.append(
      "that the prices are those you were offered, and that \(receipt.cachedTokens) prompt tokens were cached"
    )
    return open
  }

  private static func utc(_ microseconds: Int64) -> String {
    var seconds = time_t(microseconds / 1_000_000)
    var parts = tm()
    guard gmtime_r(&seconds, &parts) != nil else { return "\(microseconds) microseconds" }
    func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return
      "\(Int(parts.tm_year) + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) \(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)) UTC"
  }
}
