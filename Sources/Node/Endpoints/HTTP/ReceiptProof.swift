// ReceiptProof.swift: everything that a client can check of one receipt, in the order in which it
// is done: its own request, its saved answer, and a model that runs both again. The checks
// themselves are in Receipts (Verification) and beside this file. Start at ReceiptProof.init.
import Inference
import JSON
import Receipts

/// One receipt with what its client brings.
///
/// The receipt comes in a bundle, with its place in the log, or inside of the answer.
///
/// Without a model, signature, place in the log, amounts and settings are checked. `run` decodes
/// the answer's tokens, renders the request and runs the model over them; or, if the answer holds no
/// token ids, generates it again from the request.
package struct ReceiptProof: Sendable {
  private enum Source: Sendable {
    case bundle(ReceiptBundle)
    case inline(InlineReceipt)
  }

  private let source: Source
  package var evidence = Verification.Evidence()
  /// The checks that have to hold.
  package private(set) var asked: Set<Verification.Name> = [
    .receipt, .signature, .inclusion, .counts, .amount,
  ]
  /// nil if the line is none; the first check says why.
  let receipt: Receipts.Receipt?
  private let own: OwnRequest?
  private let saved: SavedAnswer?
  /// What reads the answer's text as a message, if the answer says that something did.
  private var reader: MessageReader?

  /// - bundle: nil if the answer holds its receipt
  /// - answer: the node's answer as it was saved, or a transcript
  /// - request: the JSON that the client sent
  /// - Throws: if the files are not what they are given for; nothing was checked then.
  package init(
    _ bundle: ReceiptBundle?, answer: [UInt8]? = nil, request: [UInt8]? = nil
  ) throws(SavedAnswerError) {
    var transcript: Receipts.Transcript?
    do throws(FormatError) {
      transcript = try bundle?.transcript.map { text throws(FormatError) in
        try Receipts.Transcript(parsing: text)
      }
      if let answer, !SavedAnswer.isLikely(answer) {
        transcript = try Receipts.Transcript(parsing: String(decoding: answer, as: UTF8.self))
      }
    } catch { throw SavedAnswerError("\(error)") }
    evidence.transcript = transcript
    let id = bundle.map { String(SHA256.leaf(Array($0.receipt.utf8)).hex.prefix(16)) }
    saved = try answer.flatMap { bytes throws(SavedAnswerError) in
      SavedAnswer.isLikely(bytes) ? try SavedAnswer(bytes, receipt: id) : nil
    }
    let line: String
    if let bundle {
      (source, line) = (.bundle(bundle), bundle.receipt)
    } else if let inline = saved?.inline {
      (source, line) = (.inline(inline), inline.line)
      asked.remove(.inclusion)
    } else {
      throw SavedAnswerError(
        "the answer holds no receipt line",
        hint:
          "a bundle has one: 'hotpot receipts export'; or ask for it with \"hotpot\":{\"receipt\":\"inline\"}"
      )
    }
    if case .receipt(let found)? = (try? Entry(parsing: Array(line.utf8)))?.record {
      receipt = found
    } else {
      receipt = nil
    }
    if let request {
      do throws(Refusal) {
        own =
          receipt?.isVector == true
          ? try OwnRequest(request, vector: saved?.vector ?? 0)
          : try OwnRequest(request, to: saved?.dialect, receipt)
      } catch {
        throw SavedAnswerError("the request cannot be read: \(error)")
      }
    } else {
      own = nil
    }
    if let saved { try read(saved) }
    if evidence.transcript != nil { asked.insert(.commitments) }
    compareSettings()
  }

  package func verify(keygen: SSHKeygen = SSHKeygen()) -> Verification {
    switch source {
    case .bundle(let bundle): Verification(bundle, evidence: evidence, keygen: keygen)
    case .inline(let inline): Verification(inline, evidence: evidence, keygen: keygen)
    }
  }

  private mutating func read(_ saved: SavedAnswer) throws(SavedAnswerError) {
    evidence.answer = saved.answer
    if saved.logprobs.count > 0 {
      evidence.logprobs = .notDone(why: "no model was given, which gives log-probabilities")
    }
    if saved.answer.saysSomething { asked.insert(.answer) }
    switch saved.opening {
    case .success(let transcript): evidence.transcript = transcript
    case .failure(let problem):
      // A bundle's own transcript opens it too; a request generates it again.
      guard evidence.transcript == nil else { break }
      guard own != nil else { throw problem }
      if saved.nonces == nil { evidence.noNonces = "the answer holds no nonce, which opens them" }
    }
  }

  private mutating func compareSettings() {
    guard let own, let receipt else { return }
    asked.insert(.settings)
    let nonces = evidence.transcript?.nonces ?? saved?.nonces
    evidence.settings = own.settings(receipt, nonces)
    evidence.freshness = own.freshness(receipt, nonces, share: saved?.nonceShare)
    if own.request.nonce != nil { asked.insert(.freshness) }
    evidence.request = .notDone(why: "no model was given, whose template and vocabulary make the prompt")
  }

  /// Runs the model: all that needs its template, its vocabulary or its weights.
  /// - machine: not called if there is nothing to run
  /// - windowsAlone: of an answer with its token ids compute the hidden states alone, which is faster
  package mutating func run(
    on machine: () throws(ServingError) -> Reexecutor, windowsAlone: Bool = false,
    progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
  ) {
    asked.insert(.reexecution)
    if evidence.answer?.text != nil || evidence.answer?.parser != nil { asked.insert(.text) }
    if saved?.logprobs.count ?? 0 > 0 { asked.insert(.logprobs) }
    if own != nil { asked.insert(.request) }
    guard let receipt else { return skip("the line is no receipt") }
    if receipt.version > 1 { asked.insert(.ending) }
    do throws(ServingError) {
      if let transcript = evidence.transcript {
        // Running a transcript that the receipt does not commit to would say nothing about the
        // receipt.
        guard transcript.promptCommitment == receipt.promptCommitment,
          transcript.outputCommitment == receipt.outputCommitment
        else { return skip("the transcript is not the one that the receipt commits to") }
        // Log-probabilities want the logits.
        let isAlone = windowsAlone && saved?.logprobs.count ?? 0 == 0
        replay(transcript, receipt, on: try machine(), windowsAlone: isAlone, progress)
      } else if let own {
        if evidence.noNonces == nil { asked.insert(.commitments) }
        generate(own, receipt, on: try machine(), progress)
      } else {
        skip("there is no transcript; the client's is needed")
      }
    } catch { fail(error) }
  }

  private mutating func skip(_ why: String) {
    if own != nil { evidence.request = .notDone(why: why) }
    evidence.reexecution = .notRun(why: why)
    evidence.decoding = .notDone(why: why)
    if saved?.logprobs.count ?? 0 > 0 { evidence.logprobs = .notDone(why: why) }
  }

  /// The model could not be run on this, which is a failure of the check.
  private mutating func fail(_ error: ServingError) {
    evidence.reexecution = .failed("\(error)")
    evidence.decoding = .notDone(why: "the model could not be run on this")
  }

  // MARK: an answer with its token ids

  private mutating func replay(
    _ transcript: Receipts.Transcript, _ receipt: Receipts.Receipt, on machine: Reexecutor,
    windowsAlone: Bool, _ progress: (Int, Int) -> Void
  ) {
    var promptText: String?
    if let own {
      // If a job was cut during prefill, its receipt commits to the tokens that were read.
      func read(_ prompt: [UInt32]) -> [UInt32] {
        receipt.finish.isCut ? Array(prompt.prefix(transcript.prompt.count)) : prompt
      }
      switch machine.prompt(of: own, receipt, isReceipts: { read($0) == transcript.prompt }) {
      case .none(let why): evidence.request = .notDone(why: why)
      case .other(let why): evidence.request = .differs(why)
      case .prompt(let rendered):
        let prompt = rendered.tokens
        evidence.request = Self.compare(read(prompt), of: prompt.count, with: transcript.prompt)
        if case .same = evidence.request,
          !machine.constraints(of: own, rendered, parser: parserName(receipt)).contains(
            transcript.constraint)
        {
          evidence.request = .differs(
            "what the text had to be: your request and this model's way of writing calls give another constraint"
          )
        }
        promptText = rendered.text
      }
    }
    evidence.decoding = decode(
      transcript, receipt, on: machine, then: evidence.answer?.unreceipted ?? [], promptText: promptText)
    do throws(ServingError) {
      let (found, choices) = try machine.replay(
        receipt, transcript, topLogprobs: topLogprobs, windowsAlone: windowsAlone, progress: progress)
      evidence.reexecution = .ran(found)
      compareLogprobs(machine, receipt, transcript.stops, choices)
    } catch { fail(error) }
  }

  /// The text of the tokens, read as a message where the answer says that it was.
  private mutating func decode(
    _ transcript: Receipts.Transcript, _ receipt: Receipts.Receipt, on machine: Reexecutor,
    then unreceipted: [UInt32], promptText: String?
  ) -> Verification.Decoding {
    var why: String?
    if let parser = evidence.answer?.parser {
      if let own, let promptText {
        reader = machine.reader(named: parser, own.request, prompt: promptText)
        why = "this model's answers to your request are not read by \(Verification.shown(parser))"
      } else {
        why =
          "the answer was read as a message by \(Verification.shown(parser)), and only your request says which tools there were: give '--request'"
      }
    }
    let decoding = machine.decode(receipt, transcript, then: unreceipted, reader: reader)
    guard case .decoded(var decoded) = decoding else { return decoding }
    if reader == nil, let why { decoded.message = .notDone(why: why) }
    if saved?.hasArgumentValues == true, case .message(var message) = decoded.message {
      for index in message.calls.indices {
        var call = AnsweredCall(id: "", name: "")
        call.arguments = message.calls[index].arguments
        message.calls[index].arguments = String(
          decoding: JSONWriter.bytes(call.input), as: UTF8.self)
      }
      decoded.message = .message(message)
    }
    return .decoded(decoded)
  }

  private static func compare(
    _ read: [UInt32], of count: Int, with prompt: [UInt32]
  ) -> Verification.Comparison {
    guard read != prompt else {
      return .same("\(prompt.count) prompt tokens\(read.count < count ? " of \(count)" : "")")
    }
    let place = zip(read, prompt).enumerated().first { $0.element.0 != $0.element.1 }?.offset
    return .differs(
      "the prompt differs at token \(place ?? min(read.count, prompt.count)): your request gives \(read.count) tokens, the node had \(prompt.count)"
    )
  }

  /// What the answer was read by, as the receipt says or, before version 4, the answer.
  private func parserName(_ receipt: Receipts.Receipt) -> String? {
    receipt.isRendered ? receipt.rendering.parser : evidence.answer?.parser
  }

  // MARK: an answer without them

  private mutating func generate(
    _ own: OwnRequest, _ receipt: Receipts.Receipt, on machine: Reexecutor, _ progress: (Int, Int) -> Void
  ) {
    guard !receipt.isVector else {
      return skip("the answer holds no token ids: ask for them with \"return_token_ids\": true")
    }
    func read(_ prompt: [UInt32]) -> [UInt32] {
      receipt.finish.isCut ? Array(prompt.prefix(receipt.promptTokens)) : prompt
    }
    let nonces = saved?.nonces
    func isReceipts(_ prompt: [UInt32]) -> Bool {
      guard let nonces else { return read(prompt).count == receipt.promptTokens }
      return Commitment.to(tokens: read(prompt), nonce: nonces.prompt) == receipt.promptCommitment
    }
    let prompt: [UInt32]
    let promptText: String
    let whole: [UInt32]
    let constraint: Receipts.Transcript.Constraint?
    switch machine.prompt(of: own, receipt, isReceipts: isReceipts) {
    case .none(let why): return skip(why)
    case .other(let why):
      skip(why)
      evidence.request = .differs(why)
      return
    case .prompt(let found):
      (prompt, promptText, whole) = (read(found.tokens), found.text, found.tokens)
      let ways = machine.constraints(of: own, found, parser: parserName(receipt))
      // The one that the receipt commits to, if the answer's nonce can say.
      let committed = nonces.flatMap { nonces in
        ways.first {
          ($0.map { Commitment.to(constraint: $0, nonce: nonces.prompt) } ?? .zero) == receipt.constraint
        }
      }
      constraint = committed ?? ways.first { ($0 != nil) == receipt.isConstrained } ?? nil
    }
    guard isReceipts(prompt) else {
      evidence.request = .differs(
        nonces == nil
          ? "your request gives \(prompt.count) tokens, the receipt says \(receipt.promptTokens)"
          : "your request gives \(prompt.count) tokens, which are not those that the receipt commits to; it says \(receipt.promptTokens)"
      )
      let why = "your request does not give the receipt's prompt"
      evidence.reexecution = .notRun(why: why)
      evidence.decoding = .notDone(why: why)
      return
    }
    do throws(ServingError) {
      // A client may have got tokens that came as the job was cut, after those of its receipt: also
      // the first one, of a prompt whose last tokens were being read and are not in the receipt.
      let isWhole = prompt == whole || receipt.completionTokens == 0
      let extra = receipt.finish.isCut && isWhole ? Self.mostUnreceipted : 0
      let (output, found, choices, more) = try machine.generate(
        receipt, prompt: extra > 0 ? whole : prompt, biases: own.biases, constraint: constraint,
        topLogprobs: topLogprobs, then: extra, progress: progress)
      // Without a nonce nothing is committed to: the windows prove the tokens, and only they do.
      let transcript = Receipts.Transcript(
        nonces: nonces ?? .zero, prompt: prompt, output: output, biases: own.biases,
        stops: own.request.stops, constraint: constraint)
      evidence.transcript = transcript
      evidence.isGeneratedAgain = true
      evidence.reexecution = .ran(found)
      // Not every token adds text; each may add a log-probability.
      let logged = max(0, (saved?.logprobs.count ?? 0) - output.count)
      var isFound = false
      for count in 0...more.count {
        let decoding = decode(
          transcript, receipt, on: machine, then: Array(more.prefix(count)), promptText: promptText)
        if count == 0 { evidence.decoding = decoding }
        guard saysTheSame(decoding), !isFound || count == logged else { continue }
        isFound = true
        evidence.decoding = decoding
        evidence.answer?.unreceipted = Array(more.prefix(count))
        if count >= logged { break }
      }
      let said = "\(prompt.count) prompt tokens\(prompt == whole ? "" : " of \(whole.count)")"
      if nonces != nil {
        evidence.request = .same(said)
      } else if found.firstDifference(from: receipt, output: output) == nil, !receipt.windows.isEmpty {
        evidence.request = .same("\(said), by the window hashes of what follows them")
      } else {
        evidence.request = .notDone(why: "no nonce opens the prompt's commitment, and no window hash equals")
      }
      compareLogprobs(machine, receipt, own.request.stops, choices)
    } catch { fail(error) }
  }

  /// The most tokens that come between a job's last charged one and its end.
  private static let mostUnreceipted = 4

  /// Whether the answer's text is that of these tokens.
  private func saysTheSame(_ decoding: Verification.Decoding) -> Bool {
    guard let answer = evidence.answer, case .decoded(let decoded) = decoding else { return false }
    let text = Array((answer.text ?? "").utf8)
    guard case .message(let message) = decoded.message else { return text == Array(decoded.text.utf8) }
    return text == Array(message.content.utf8)
      && Array(answer.reasoning.utf8) == Array(message.reasoning.utf8)
      && answer.calls.count == message.calls.count
  }

  // MARK: log-probabilities

  /// How many alternatives the model has to report, for those of the answer.
  private var topLogprobs: Int? {
    guard let saved, saved.logprobs.count > 0 else { return nil }
    let most = saved.logprobs.candidates(asked: own?.request.sampling.topLogprobs).max() ?? 0
    return min(max(most, 0), SamplingRequest.maximumTopLogprobs)
  }

  private mutating func compareLogprobs(
    _ machine: Reexecutor, _ receipt: Receipts.Receipt, _ stops: [String], _ choices: [SampledToken]
  ) {
    let asked = own?.request.sampling.topLogprobs
    guard let saved, saved.logprobs.count > 0 else {
      // A job may have been cut before the text of its first token began.
      if own != nil, asked != nil, saved != nil,
        (try? machine.logprobs(receipt, stops, choices, shown: reader?.marks ?? []))?.isEmpty != true
      {
        evidence.logprobs = .differs("your request asked for log-probabilities, and the answer has none")
        self.asked.insert(.logprobs)
      }
      return
    }
    if own != nil, asked == nil {
      evidence.logprobs = .differs("the answer has log-probabilities, for which your request did not ask")
      return
    }
    guard case .ran(let found) = evidence.reexecution, found.model == receipt.modelSHA256,
      found.numerics == receipt.numerics
    else {
      evidence.logprobs = .notDone(why: "the model was not run on this")
      return
    }
    // Tokens after the receipt's are run by nobody.
    let isPrefix = evidence.answer?.unreceipted.isEmpty == false
    do throws(SamplingError) {
      let expected = try machine.logprobs(receipt, stops, choices, shown: reader?.marks ?? [])
      let differences = saved.logprobs.candidates(asked: asked).map {
        saved.logprobs.difference(from: expected, top: $0, isPrefix: isPrefix)
      }
      if differences.contains(nil) {
        let rest = saved.logprobs.count - expected.count
        evidence.logprobs = .same(
          "of \(expected.count) tokens, those of the model\(rest > 0 ? "; the last \(rest) were not compared" : "")"
        )
      } else {
        evidence.logprobs = .differs(differences.compactMap { $0 }.first ?? "they are not the model's")
      }
    } catch { evidence.logprobs = .notDone(why: "the stop strings are none: \(error)") }
  }
}

extension Verification.Answer {
  /// It says something that a receipt says too.
  fileprivate var saysSomething: Bool {
    id != nil || job != nil || receipt != nil || model != nil || seed != nil || amount != nil
      || finishReason != nil || errorCode != nil || usage != Usage() || ignoresEnd != nil
  }
}
