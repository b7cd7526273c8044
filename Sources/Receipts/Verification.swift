// Verification.swift: checks a receipt offline, each check by its name, and names the first
// difference.
// What was not checked is "not checked", never passed. Not here: running the model (the caller
// passes its results as a Reexecution), what an answer says (Verification+Answer.swift). Start at
// Verification.init.

/// What a re-execution found: one teacher-forced prefill over prompt and output, and the sampler
/// replayed over it.
public struct Reexecution: Hashable, Sendable {
  /// SHA-256 of the GGUF file that was run.
  public var model: SHA256Digest
  /// Profile of the arithmetic that was run.
  public var numerics: String
  /// The resulting window hashes (`WindowHashes`).
  public var windows: [SHA256Digest]
  /// What the sampler gives at each position of the output, given the receipt's output before it; of a
  /// vector the bits of its numbers.
  public var tokens: [UInt32]
  /// For a receipt of version 1: how the job would have ended after the transcript's last token, as
  /// far as the replay can tell. Later versions say more, which `Verification.Name.ending` checks.
  public var finish: Receipt.Finish?
  /// Only the hidden states were computed, which takes less time: `tokens` is empty, and nothing says
  /// that the sampler chooses the output.
  public var isWindowsAlone = false

  public init(
    model: SHA256Digest, numerics: String, windows: [SHA256Digest], tokens: [UInt32], finish: Receipt.Finish?
  ) {
    self.model = model
    self.numerics = numerics
    self.windows = windows
    self.tokens = tokens
    self.finish = finish
  }

  /// Where a re-execution first differs from a receipt.
  public enum Difference: Hashable, Sendable, CustomStringConvertible {
    case model(found: SHA256Digest, receipt: SHA256Digest)
    case numerics(found: String, receipt: String)
    case count(found: Int, transcript: Int)
    /// Position in the output, from 0.
    case token(position: Int, sampler: UInt32, receipt: UInt32)
    /// Position in the vector, from 0; both as the bits of a 32-bit float.
    case number(position: Int, found: UInt32, transcript: UInt32)
    /// Output positions `from` to `to`, from 0; the hidden states differ.
    case window(from: Int, to: Int)
    case finish(found: Receipt.Finish, receipt: Receipt.Finish)

    public var description: String {
      switch self {
      case .model(let found, let receipt):
        "the model's SHA-256 is \(found), the receipt says \(receipt)"
      case .numerics(let found, let receipt): "the numerics are \(found), the receipt says \(receipt)"
      case .count(let found, let transcript):
        "the re-execution has \(found) tokens, the transcript \(transcript)"
      case .token(let position, let sampler, let receipt):
        "token \(position): the sampler gives \(sampler), the receipt says \(receipt)"
      case .number(let position, let found, let transcript):
        "number \(position) of the vector is \(Float(bitPattern: found)), the transcript says \(Float(bitPattern: transcript))"
      case .window(let from, let to): "tokens \(from) to \(to): the hidden states differ"
      case .finish(let found, let receipt):
        "the job would have ended by '\(found.rawValue)', the receipt says '\(receipt.rawValue)'"
      }
    }

    /// The window of the output in which it lies, from 0; nil where all of it is another's.
    public var window: Int? {
      switch self {
      case .token(let position, _, _), .window(let position, _):
        position / WindowHashes.tokensPerWindow
      case .number, .model, .numerics, .count, .finish: nil
      }
    }

    /// With its window, for an operator.
    package var placed: String { window.map { "window \($0), \(self)" } ?? description }

    /// The same as a journal record, without any token.
    package func audit(of receipt: Int) -> Audit {
      switch self {
      case .model: Audit(receipt: receipt, outcome: .model)
      case .numerics: Audit(receipt: receipt, outcome: .numerics)
      case .count: Audit(receipt: receipt, outcome: .counts)
      case .token(let position, _, _), .number(let position, _, _):
        Audit(receipt: receipt, outcome: .token, position: position)
      case .window(let from, _): Audit(receipt: receipt, outcome: .window, position: from)
      case .finish: Audit(receipt: receipt, outcome: .finish)
      }
    }
  }

  /// The first difference between the re-execution and a receipt with its output; nil if they are
  /// bit for bit the same. A wrong token is reported before the window that contains it, because it
  /// says more.
  public func firstDifference(from receipt: Receipt, output: [UInt32]) -> Difference? {
    if model != receipt.modelSHA256 { return .model(found: model, receipt: receipt.modelSHA256) }
    if numerics != receipt.numerics { return .numerics(found: numerics, receipt: receipt.numerics) }
    if !isWindowsAlone, tokens.count != output.count {
      return .count(found: tokens.count, transcript: output.count)
    }
    if receipt.isVector {
      return output.indices.first { tokens[$0] != output[$0] }.map {
        .number(position: $0, found: tokens[$0], transcript: output[$0])
      }
    }
    let size = WindowHashes.tokensPerWindow
    let window = (0..<max(windows.count, receipt.windows.count)).first { i in
      !windows.indices.contains(i) || !receipt.windows.indices.contains(i) || windows[i] != receipt.windows[i]
    }
    let token = isWindowsAlone ? nil : output.indices.first { tokens[$0] != output[$0] }
    if let token, window.map({ token < ($0 + 1) * size }) ?? true {
      return .token(position: token, sampler: tokens[token], receipt: output[token])
    }
    if let window {
      return .window(from: window * size, to: max(window * size, min((window + 1) * size, output.count) - 1))
    }
    // A client that disconnects, or an operator, ends a job at any token: no replay can confirm or
    // deny that.
    if let finish, !receipt.finish.isCut, finish != receipt.finish {
      return .finish(found: finish, receipt: receipt.finish)
    }
    return nil
  }
}

/// The checks of one bundle, each with its result.
public struct Verification: Hashable, Sendable {
  public enum Name: String, Sendable, CaseIterable {
    /// The line is a receipt in canonical spelling, and its own digest is right.
    case receipt
    /// The checkpoint is signed by an allowed key, which is the key of this log and the one that
    /// the receipt names.
    case signature
    /// The receipt is in the log under the checkpoint.
    case inclusion
    /// The log continues a checkpoint that the verifier already holds.
    case consistency
    /// Someone else's key saw the same log.
    case witness
    /// The transcript is what the receipt commits to.
    case commitments
    /// Token counts agree among themselves and with the transcript.
    case counts
    /// The amount follows from counts and price.
    case amount
    /// The answer's members match the receipt: ids, model, seed, usage, amount, finish reason.
    case answer
    /// The text that a person reads is the decoded token ids.
    case text
    /// The log-probabilities that were answered are the model's.
    case logprobs
    /// Nothing was generated past an end, and generation ended the way the receipt says.
    case ending
    /// The same model produces the same bits.
    case reexecution = "re-execution"
    /// The client's own request, rendered and tokenised, is the prompt.
    case request
    /// Model, sampler, seed, biases, stop strings and limits are those of the client's own request.
    case settings
    /// The nonce that the client chose is in the commitments, so the receipt is younger than it.
    case freshness
  }

  public enum Result: Hashable, Sendable {
    case ok
    case failed
    case notChecked

    /// As `hotpot verify --json` spells it.
    public var word: String {
      switch self {
      case .ok: "ok"
      case .failed: "failed"
      case .notChecked: "not checked"
      }
    }
  }

  public struct Check: Hashable, Sendable {
    public let name: Name
    public let result: Result
    /// What was found and, for a failure, what was expected.
    public let detail: String
  }

  /// What verifiers bring themselves. Everything is optional; checks whose input is missing are not
  /// made.
  public struct Evidence: Sendable {
    /// Replaces the bundle's transcript.
    public var transcript: Transcript?
    /// What the node's answer says.
    public var answer: Answer?
    /// What the model's vocabulary says about the transcript's output, followed by the answer's
    /// tokens.
    public var decoding = Decoding.notDone(why: "no model was given, whose vocabulary decodes the token ids")
    public var logprobs = Comparison.notDone(why: "the answer has no log-probabilities")
    public var request = Comparison.notDone(
      why: "no request was given: the prompt is the one that the node says it got")
    public var settings = Comparison.notDone(
      why: "no request was given: the settings are those that the node says it got")
    public var freshness = Comparison.notDone(why: "no request was given, which may name a nonce")
    /// Why the transcript's nonces are not those of the receipt; nil where they are.
    public var noNonces: String?
    /// The transcript's tokens were generated again from the client's own request, since the answer
    /// has none.
    public var isGeneratedAgain = false
    /// The text of an allowed_signers file of keys that they trust. Without it the bundle's own key
    /// is used, and the detail says so.
    public var allowedSigners: String?
    /// A file of revoked keys.
    public var revoked: String?
    /// An earlier or later checkpoint of the same log.
    public var earlier: Checkpoint?
    /// Replaces the bundle's consistency proof.
    public var consistency: ConsistencyProof?
    /// An allowed_signers text of witnesses that they trust.
    public var witnesses: String?
    /// The keys of witnesses that cosign notes, whom they trust.
    package var noteWitnesses: [NoteKey] = []
    /// The result of running the model, or why it was not run.
    public var reexecution: Result

    public enum Result: Sendable {
      case notRun(why: String)
      case failed(String)
      case ran(Reexecution)
    }

    public init() { reexecution = .notRun(why: "no model was given") }
  }

  public let checks: [Check]
  /// What no check covers, in words.
  public let unproved: [String]
  /// The receipt, if the line could be read.
  public let receipt: Receipt?

  /// No check failed. `passes(asking:)` says whether all the required ones were made.
  public var isUnbroken: Bool { !checks.contains { $0.result == .failed } }

  /// No check failed, and all of these were made: exit status 0.
  public func passes(asking names: Set<Name>) -> Bool {
    isUnbroken && checks.allSatisfy { !names.contains($0.name) || $0.result == .ok }
  }

  /// Makes every check for which the input is available.
  public init(_ bundle: ReceiptBundle, evidence: Evidence = Evidence(), keygen: SSHKeygen = SSHKeygen()) {
    let line = Array(bundle.receipt.utf8)
    self.init(line: line, transcript: bundle.transcript, evidence: evidence) { receipt in
      let checkpoint: Checkpoint
      do throws(FormatError) { checkpoint = try Checkpoint(parsing: bundle.checkpoint) } catch {
        return [
          (.signature, .failed(error.description)),
          (.inclusion, .failed("there is no checkpoint to include it: \(error)")),
          (.consistency, .notChecked("there is no checkpoint")),
          (.witness, .notChecked("there is no checkpoint")),
        ]
      }
      return [
        (.signature, Self.signature(bundle, checkpoint, receipt, evidence, keygen)),
        (.inclusion, Self.inclusion(bundle, checkpoint, receipt, line)),
        (.consistency, Self.consistency(bundle, checkpoint, evidence)),
        (.witness, Self.witness(bundle, checkpoint, evidence, line, keygen)),
      ]
    }
  }

  /// - transcript: the text of one that came with the receipt
  /// - log: the checks of signature and log
  init(
    line: [UInt8], transcript text: String?, evidence: Evidence,
    log: (Receipt?) -> [(name: Name, outcome: Outcome)]
  ) {
    var checks: [Check] = []
    func add(_ name: Name, _ outcome: Outcome) {
      switch outcome {
      case .ok(let detail): checks.append(Check(name: name, result: .ok, detail: detail))
      case .failed(let detail): checks.append(Check(name: name, result: .failed, detail: detail))
      case .notChecked(let why): checks.append(Check(name: name, result: .notChecked, detail: why))
      }
    }
    var receipt: Receipt?
    do throws(LineError) {
      if case .receipt(let parsed) = try Entry(parsing: line).record {
        receipt = parsed
        add(.receipt, .ok("receipt \(parsed.index) of \(parsed.node)"))
      } else {
        add(.receipt, .failed("the line is no receipt"))
      }
    } catch { add(.receipt, .failed(error.description)) }
    self.receipt = receipt
    for (name, outcome) in log(receipt) { add(name, outcome) }

    var transcript = evidence.transcript
    var badTranscript: String?
    if transcript == nil, let text {
      do throws(FormatError) { transcript = try Transcript(parsing: text) } catch {
        badTranscript = error.description
      }
    }
    if let receipt {
      if let badTranscript {
        add(.commitments, .failed(badTranscript))
      } else {
        add(.commitments, Self.commitments(receipt, transcript, evidence))
      }
      add(.counts, Self.counts(receipt, transcript))
      add(.amount, Self.amount(receipt))
      add(.answer, Self.answer(receipt, line, evidence.answer))
      add(.text, Self.text(receipt, evidence.answer, evidence.decoding))
      add(.logprobs, Self.outcome(evidence.logprobs))
      add(.ending, Self.ending(receipt, transcript, evidence.decoding))
      add(.reexecution, Self.reexecution(receipt, transcript, evidence))
      add(.request, Self.outcome(evidence.request))
      add(.settings, Self.outcome(evidence.settings))
      add(.freshness, Self.outcome(evidence.freshness))
      let isLogged = checks.contains { $0.name == .inclusion && $0.result != .notChecked }
      unproved =
        (isLogged
          ? [] : ["that the receipt is in the node's log: it came inside the answer, without a proof"])
        + Self.unproved(receipt, transcript, evidence)
    } else {
      let made = Set(checks.map(\.name))
      for name in Name.allCases where !made.contains(name) {
        add(name, .notChecked("there is no receipt"))
      }
      unproved = ["anything: there is no receipt"]
    }
    self.checks = checks
  }

  enum Outcome {
    case ok(String)
    case failed(String)
    case notChecked(String)
  }

  private static func signature(
    _ bundle: ReceiptBundle, _ checkpoint: Checkpoint, _ receipt: Receipt?, _ evidence: Evidence,
    _ keygen: SSHKeygen
  ) -> Outcome {
    judged { () throws(SignatureError) in
      let key = try keygen.verify(
        Array(bundle.checkpoint.utf8), signature: bundle.signature, namespace: Checkpoint.namespace,
        allowedSigners: evidence.allowedSigners ?? bundle.allowedSigners, revoked: evidence.revoked,
        time: checkpoint.time)
      guard key.origin == checkpoint.origin else {
        return .failed(
          "the checkpoint's origin is '\(checkpoint.origin)', its signer's log is '\(key.origin)'")
      }
      if let receipt, receipt.node != key.fingerprint {
        return .failed("the receipt names the node \(receipt.node), the signer is \(key.fingerprint)")
      }
      let trust =
        evidence.allowedSigners == nil ? ", as the bundle itself says; compare it with a key you trust" : ""
      return .ok("signed by \(key.fingerprint)\(trust)")
    }
  }

  /// What a check of a signature found.
  static func judged(_ check: () throws(SignatureError) -> Outcome) -> Outcome {
    do throws(SignatureError) { return try check() } catch {
      switch error {
      case .missing, .hung, .cancelled, .file:
        // The tool's failure says nothing about the receipt.
        return .notChecked(error.description)
      case .failed, .badKey, .foreignKey, .format, .wrongNamespace, .unknownSigner, .notAllowed, .doesNotHold:
        return .failed(error.description)
      }
    }
  }

  private static func inclusion(
    _ bundle: ReceiptBundle, _ checkpoint: Checkpoint, _ receipt: Receipt?, _ line: [UInt8]
  )
    -> Outcome
  {
    do throws(FormatError) {
      let proof = try InclusionProof(parsing: bundle.proof)
      guard proof.checkpoint == checkpoint else {
        return .failed("the proof is for another checkpoint than the signed one")
      }
      guard proof.index < checkpoint.size else {
        return .failed(
          "the proof's index is \(proof.index), the checkpoint covers \(receiptCount(checkpoint.size))")
      }
      if let receipt, receipt.index != proof.index {
        return .failed("the receipt has index \(receipt.index), the proof is for \(proof.index)")
      }
      guard proof.holds(for: line) else {
        return .failed("the path does not lead from the receipt to the checkpoint's root")
      }
      return .ok("receipt \(proof.index) of \(checkpoint.size)")
    } catch { return .failed(error.description) }
  }

  private static func consistency(_ bundle: ReceiptBundle, _ checkpoint: Checkpoint, _ evidence: Evidence)
    -> Outcome
  {
    guard let earlier = evidence.earlier else { return .notChecked("no earlier checkpoint was given") }
    let (old, new) = earlier.size <= checkpoint.size ? (earlier, checkpoint) : (checkpoint, earlier)
    var proof = evidence.consistency
    if proof == nil, let text = bundle.consistency {
      do throws(FormatError) { proof = try ConsistencyProof(parsing: text) } catch {
        return .failed(error.description)
      }
    }
    do throws(WitnessError) { try Witness.check(new, continues: old, proof) } catch {
      if case .noProof(let from, let to) = error, proof == nil {
        return .notChecked(
          "a consistency proof from \(from) to \(to) receipts is needed: 'hotpot receipts export --earlier' puts it into the bundle, and GET /v1/checkpoint?from=\(from)&to=\(to) gives it"
        )
      }
      return .failed(error.description)
    }
    return .ok("the log of \(receiptCount(new.size)) continues the one of \(old.size)")
  }

  /// Each cosignature is checked separately: an untrusted one neither counts nor affects the
  /// trusted ones.
  private static func witness(
    _ bundle: ReceiptBundle, _ checkpoint: Checkpoint, _ evidence: Evidence, _ line: [UInt8],
    _ keygen: SSHKeygen
  ) -> Outcome {
    var all: [(checkpoint: Checkpoint, signature: String, isOfReceipt: Bool)] = []
    if let cosignature = bundle.witness { all.append((checkpoint, cosignature, true)) }
    for other in bundle.cosigned.prefix(ReceiptBundle.maximumCosigned) {
      all.append((other.proof.checkpoint, other.signature, other.proof.holds(for: line)))
    }
    guard !all.isEmpty || bundle.note != nil else { return .notChecked("the bundle has no cosignature") }
    guard evidence.witnesses != nil || !evidence.noteWitnesses.isEmpty else {
      return .notChecked("no trusted witnesses were given")
    }
    let witnesses = evidence.witnesses ?? ""
    var trusted: [String] = []
    var problem: Outcome?
    if let text = bundle.note, !evidence.noteWitnesses.isEmpty {
      do throws(NoteProblem) {
        trusted += try cosigners(of: text, checkpoint, evidence.noteWitnesses, line)
      } catch { problem = .failed(error.description) }
      if trusted.isEmpty, problem == nil {
        problem = .notChecked("the bundle's note has no line of a witness that you trust")
      }
    }
    if evidence.witnesses == nil { all = [] }
    for (seen, signature, isOfReceipt) in all {
      do throws(SignatureError) {
        let key = try keygen.verify(
          Array(seen.text.utf8), signature: signature, namespace: Witness.namespace,
          allowedSigners: witnesses, revoked: evidence.revoked, time: seen.time)
        if key.origin == checkpoint.origin {
          problem = problem ?? .failed("the witness is the node itself")
        } else if seen.origin != checkpoint.origin {
          problem = problem ?? .failed("\(key.fingerprint) cosigned another log, '\(seen.origin)'")
        } else if !isOfReceipt {
          problem =
            problem ?? .failed("the checkpoint that \(key.fingerprint) cosigned does not include the receipt")
        } else if !trusted.contains(key.fingerprint) {
          trusted.append(key.fingerprint)
        }
      } catch {
        switch error {
        case .missing, .hung, .cancelled, .file: return .notChecked(error.description)
        case .failed, .badKey, .foreignKey, .format, .wrongNamespace, .unknownSigner, .notAllowed,
          .doesNotHold:
          problem = problem ?? .failed(error.description)
        }
      }
    }
    guard !trusted.isEmpty else { return problem ?? .notChecked("no cosignature is by a key that you trust") }
    let rest = all.count - trusted.filter { $0.hasPrefix("SHA256:") }.count
    return .ok(
      "cosigned by \(trusted.joined(separator: ", "))\(rest > 0 ? "; \(rest) more are not counted" : "")")
  }

  /// The names of trusted witnesses whose lines a note has, if it is of this log and holds the
  /// receipt.
  private static func cosigners(
    of text: String, _ checkpoint: Checkpoint, _ keys: [NoteKey], _ line: [UInt8]
  ) throws(NoteProblem) -> [String] {
    let proof: NoteProof
    let head: LogHead
    do throws(FormatError) {
      proof = try NoteProof(parsing: text)
      head = try LogHead(parsing: proof.note.text)
    } catch { throw NoteProblem("the bundle's note: \(error)") }
    guard head.origin == checkpoint.origin else {
      throw NoteProblem("the bundle's note is of another log, '\(head.origin)'")
    }
    guard proof.holds(for: line, head) else {
      throw NoteProblem("the bundle's note does not include the receipt")
    }
    var names: [String] = []
    for key in keys where key.name != head.origin && proof.note.signature(of: key) != nil {
      _ = try NoteCosignature.time(of: proof.note, by: key).get()
      names.append(key.name)
    }
    return names
  }

  private static func commitments(
    _ receipt: Receipt, _ transcript: Transcript?, _ evidence: Evidence
  ) -> Outcome {
    if let why = evidence.noNonces { return .notChecked(why) }
    guard let transcript else { return .notChecked("no transcript was given") }
    guard transcript.promptCommitment == receipt.promptCommitment else {
      return .failed("prompt or its nonce: the transcript does not give the receipt's commitment")
    }
    guard transcript.outputCommitment == receipt.outputCommitment else {
      return .failed("output or its nonce: the transcript does not give the receipt's commitment")
    }
    guard transcript.biasCommitment == receipt.logitBias else {
      return .failed("logit biases: the transcript does not give the receipt's commitment")
    }
    guard receipt.version > 1 else { return .ok("prompt, output and logit biases") }
    guard transcript.stopCommitment == receipt.stopStrings else {
      return .failed("stop strings: the transcript does not give the receipt's commitment")
    }
    guard transcript.constraintCommitment == receipt.constraint else {
      return .failed("constraint: the transcript does not give the receipt's commitment")
    }
    return .ok(
      "prompt, output, logit biases\(receipt.version > 2 ? ", stop strings and constraint" : " and stop strings")"
    )
  }

  private static func counts(_ receipt: Receipt, _ transcript: Transcript?) -> Outcome {
    if receipt.cachedTokens > receipt.promptTokens {
      return .failed("\(receipt.cachedTokens) cached tokens of a prompt of \(receipt.promptTokens)")
    }
    if receipt.isVector, receipt.completionTokens > 0 {
      return .failed("\(receipt.completionTokens) generated tokens beside a vector, wanted none")
    }
    if receipt.completionTokens > receipt.maxTokens {
      return .failed(
        "\(receipt.completionTokens) generated tokens, at most \(receipt.maxTokens) were asked for")
    }
    let windows = WindowHashes.count(tokens: receipt.completionTokens)
    if receipt.windows.count != windows {
      return .failed(
        "\(receipt.windows.count) window hashes for \(receipt.completionTokens) tokens, wanted \(windows)")
    }
    guard let transcript else { return .ok("among themselves; without a transcript not against it") }
    if transcript.prompt.count != receipt.promptTokens {
      return .failed(
        "the receipt says \(receipt.promptTokens) prompt tokens, the transcript has \(transcript.prompt.count)"
      )
    }
    if transcript.output.count != receipt.outputCount {
      return .failed(
        "the receipt says \(receipt.outputCount) \(receipt.isVector ? "numbers" : "generated tokens"), the transcript has \(transcript.output.count)"
      )
    }
    if receipt.isVector {
      return .ok("\(receipt.promptTokens) prompt, a vector of \(receipt.dimensions) numbers")
    }
    return .ok("\(receipt.promptTokens) prompt, \(receipt.completionTokens) generated")
  }

  /// Millionths in the spelling of amounts: at least two digits after the point, and only as many
  /// more as needed.
  package static func decimal(micro: Int64) -> String {
    let (whole, rest) = micro.magnitude.quotientAndRemainder(dividingBy: 1_000_000)
    var fraction = String(rest)
    fraction = String(repeating: "0", count: 6 - fraction.utf8.count) + fraction
    while fraction.utf8.count > 2, fraction.hasSuffix("0") { fraction.removeLast() }
    return "\(micro < 0 ? "-" : "")\(whole).\(fraction)"
  }

  private static func amount(_ receipt: Receipt) -> Outcome {
    guard
      let wanted = receipt.price.amount(
        promptTokens: receipt.promptTokens, cachedTokens: receipt.cachedTokens,
        completionTokens: receipt.completionTokens)
    else { return .failed("the price passes the largest amount") }
    return wanted == receipt.amount
      ? .ok("\(decimal(micro: receipt.amount)) \(receipt.currency)")
      : .failed(
        "the receipt says \(receipt.amount) micro-units (\(decimal(micro: receipt.amount)) \(receipt.currency)), its prices give \(wanted) (\(decimal(micro: wanted)))"
      )
  }

  private static func reexecution(_ receipt: Receipt, _ transcript: Transcript?, _ evidence: Evidence)
    -> Outcome
  {
    switch evidence.reexecution {
    case .notRun(let why): return .notChecked(why)
    case .failed(let why): return .failed("the model could not be run on this: \(why)")
    case .ran(let found):
      guard let transcript else { return .notChecked("no transcript was given") }
      if let difference = found.firstDifference(from: receipt, output: transcript.output) {
        return .failed(difference.description)
      }
      if receipt.isVector { return .ok("\(transcript.output.count) numbers: the same bits") }
      if found.isWindowsAlone {
        return .ok(
          "\(receipt.windows.count) window hashes of \(transcript.output.count) tokens: the same bits; the sampler was not replayed"
        )
      }
      let how = evidence.isGeneratedAgain ? " generated again from your request" : ""
      return .ok(
        "\(transcript.output.count) tokens\(how), \(receipt.windows.count) window hashes: the same bits")
    }
  }
}
