// Reexecutor.swift: re-executes a receipt's transcript: one teacher-forced prefill, with the
// sampler replayed over it. Any machine with the model's file can do it; the bits are the same
// everywhere. Comparing is in Receipts.Reexecution.
// Start at Reexecutor.run.
import Foundation
import Grammar
import Inference
import Receipts
import Synchronization

/// A model that is ready to re-execute transcripts.
package final class Reexecutor: Sendable {
  /// Tokens of one prefill chunk.
  static let chunk = 512

  private let model: Model
  let tokenizer: Tokenizer
  let digest: SHA256Digest
  var contextLength: Int { model.hyperparameters.contextLength }
  /// The same as on a node.
  let chat: Result<ChatFormat, ChatFormatError>
  private let constraints: Constraints
  private let threads: Int?
  private let level: KernelLevel?
  private let device: ComputeDevice
  /// The engine of the transcript before, for the next one: its threads, tables and memory are made
  /// once for many receipts.
  private let spare = Mutex<Engine?>(nil)
  /// Positions of the longest transcript whose engine is kept.
  private static let keptPositions = 16_384

  /// - path: the model's file
  /// - level: of the kernels; nil selects the best, or the one that `HOTPOT_ISA` names
  /// - Throws: words, if it isn't a model that can be run.
  package init(
    path: String, threads: Int? = nil, level: KernelLevel? = nil, device: ComputeDevice = .processors
  ) throws(ServingError) {
    self.threads = threads
    self.device = device
    self.level = level
    do {
      model = try Model(path: path, threads: threads)
      tokenizer = try Tokenizer(model.file)
    } catch {
      throw ServingError("\(error)", hint: nil)
    }
    guard let digest = SHA256Digest(bytes: model.fileDigest()) else {
      throw ServingError("the model file's digest cannot be computed", hint: nil)
    }
    self.digest = digest
    constraints = Constraints(tokenizer, vocabularySize: model.hyperparameters.vocabularySize)
    do throws(ChatFormatError) {
      let format = try ChatFormat(file: model.file, tokenizer: tokenizer)
      chat = format.problem.map { .failure($0) } ?? .success(format)
    } catch { chat = .failure(error) }
  }

  /// Re-executes one transcript with the model at `path`.
  package static func run(
    _ receipt: Receipts.Receipt, _ transcript: Receipts.Transcript, path: String, threads: Int?,
    progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
  ) throws(ServingError) -> Reexecution {
    try Reexecutor(path: path, threads: threads).run(receipt, transcript, progress: progress)
  }

  /// Re-executes a transcript under the receipt's sampler and numerics.
  ///
  /// Blocks for as long as the prefill takes. Memory: the KV cache of the transcript.
  /// - Throws: words, if the model cannot run it at all.
  package func run(
    _ receipt: Receipts.Receipt, _ transcript: Receipts.Transcript,
    progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
  ) throws(ServingError) -> Reexecution {
    try replay(receipt, transcript, topLogprobs: nil, progress: progress).reexecution
  }

  /// The same, with what the sampler chose at each position of the output.
  /// - topLogprobs: how many of the likeliest tokens to report beside each choice
  /// - windowsAlone: compute neither logits nor choices
  func replay(
    _ receipt: Receipts.Receipt, _ transcript: Receipts.Transcript, topLogprobs: Int?,
    windowsAlone: Bool = false, progress: (_ done: Int, _ of: Int) -> Void
  ) throws(ServingError) -> (reexecution: Reexecution, choices: [SampledToken]) {
    let prompt = transcript.prompt.map { Int32(bitPattern: $0) }
    let output = transcript.output.map { Int32(bitPattern: $0) }
    guard !prompt.isEmpty else { throw ServingError("the transcript's prompt is empty", hint: nil) }
    let profile = Engine.Profile(numericsVersion: receipt.numerics) ?? .standard
    var result = Reexecution(
      model: digest, numerics: profile.numericsVersion, windows: [], tokens: [], finish: nil)
    // Another model's bits say nothing, and its vocabulary may not even contain these tokens.
    guard digest == receipt.modelSHA256, profile.numericsVersion == receipt.numerics else {
      return (result, [])
    }
    if receipt.isVector {
      result.tokens = try vector(receipt, profile, prompt, progress)
      return (result, [])
    }
    // The last token is chosen, not fed.
    let fed = prompt + output.dropLast()
    let engine = try engine(profile, prompt + output, positions: fed.count)
    defer { keep(engine) }
    let table = (0..<Int32(engine.configuration.kvBlocks)).map { $0 }
    var sampling = SamplingRequest(receipt.sampler, biases: transcript.biases)
    sampling.topLogprobs = topLogprobs
    var choices: [SampledToken] = []
    var context = SamplingContext(
      sampling, promptCount: prompt.count, constraint: try hold(transcript.constraint))
    if context.usesTranscript { context.transcript = prompt + output }
    result.isWindowsAlone = windowsAlone
    var windows = WindowHashes()
    var position = 0
    while position < fed.count {
      let end = min(fed.count, position + Self.chunk)
      // A chunk that ends before the output begins needs no output.
      let item = StepItem(
        tokens: Array(fed[position..<end]), position: position, blocks: table, state: .init(0),
        output: end < prompt.count ? .none : windowsAlone ? .all : .replay(context), digests: true)
      let results: [StepResult]
      do throws(EngineError) { results = try engine.step([item]) } catch {
        throw ServingError("\(error)", hint: error.hint)
      }
      guard let found = results.first else { throw ServingError("the engine gave no result", hint: nil) }
      if let failure = found.failure { throw ServingError("\(failure)", hint: failure.hint) }
      if windowsAlone {
        for bytes in found.digests.dropFirst(max(0, prompt.count - 1 - found.firstPosition)) {
          if let digest = SHA256Digest(bytes: bytes) { windows.append(digest) }
        }
      }
      for (choice, bytes) in zip(found.choices, found.digests) where result.tokens.count < output.count {
        result.tokens.append(UInt32(bitPattern: choice.token))
        choices.append(choice)
        if let digest = SHA256Digest(bytes: bytes) { windows.append(digest) }
      }
      position = end
      progress(position, fed.count)
    }
    result.windows = windows.windows
    if receipt.version == 1 { result.finish = Self.finish(receipt, output, tokenizer) }
    return (result, choices)
  }

  /// The bits of a text's vector.
  private func vector(
    _ receipt: Receipts.Receipt, _ profile: Engine.Profile, _ prompt: [Int32],
    _ progress: (_ done: Int, _ of: Int) -> Void
  ) throws(ServingError) -> [UInt32] {
    guard let pooling = Pooling(rawValue: receipt.pooling) else {
      throw ServingError("the receipt's pooling is not known, '\(receipt.pooling)'", hint: nil)
    }
    let engine = try engine(profile, prompt, positions: prompt.count, isWhole: model.readsBothWays)
    defer { keep(engine) }
    do throws(EngineError) {
      return try engine.embed(
        prompt, pooling, dimensions: receipt.dimensions, chunk: Self.chunk, progress: progress
      ).map(\.bitPattern)
    } catch {
      throw ServingError("\(error)", hint: error.hint)
    }
  }

  /// Generates the receipt's tokens again from a prompt, at decoding speed: the same bits as on the
  /// node, so its windows are those of the receipt if prompt, model and sampler are.
  /// - extra: tokens to generate after them, at most
  /// - Returns: as many tokens as the receipt says, what they say of it, and those after them
  func generate(
    _ receipt: Receipts.Receipt, prompt: [UInt32], biases: [Receipts.Transcript.Bias],
    constraint: Receipts.Transcript.Constraint?, topLogprobs: Int?, then extra: Int = 0,
    progress: (_ done: Int, _ of: Int) -> Void
  ) throws(ServingError) -> (
    output: [UInt32], reexecution: Reexecution, choices: [SampledToken], more: [UInt32]
  ) {
    let profile = Engine.Profile(numericsVersion: receipt.numerics) ?? .standard
    var result = Reexecution(
      model: digest, numerics: profile.numericsVersion, windows: [], tokens: [], finish: nil)
    guard digest == receipt.modelSHA256, profile.numericsVersion == receipt.numerics,
      receipt.completionTokens + extra > 0
    else { return ([], result, [], []) }
    let prompt = prompt.map { Int32(bitPattern: $0) }
    let (charged, overflow) = prompt.count.addingReportingOverflow(receipt.completionTokens - 1)
    guard !overflow else { throw ServingError("the receipt's counts pass every context", hint: nil) }
    let positions = max(charged, min(charged + extra, contextLength))
    let engine = try engine(profile, prompt, positions: positions)
    defer { keep(engine) }
    var generation = Generation(engine: engine)
    var sampling = SamplingRequest(receipt.sampler, biases: biases)
    sampling.topLogprobs = topLogprobs
    let held = try hold(constraint)
    var done = 0
    let outcome: Generation.Outcome
    do throws(EngineError) {
      outcome = try generation.run(
        prompt: prompt,
        options: .init(
          sampling: sampling, maximumTokens: positions - prompt.count + 1, digests: true, constraint: held),
        onToken: { _ in
          done += 1
          progress(min(done, receipt.completionTokens), receipt.completionTokens)
          return true
        })
    } catch {
      throw ServingError("\(error)", hint: error.hint)
    }
    var windows = WindowHashes()
    let count = receipt.completionTokens
    for digest in outcome.digests.prefix(count).compactMap({ SHA256Digest(bytes: $0) }) {
      windows.append(digest)
    }
    result.windows = windows.windows
    let tokens = outcome.tokens.map { UInt32(bitPattern: $0.token) }
    result.tokens = Array(tokens.prefix(count))
    return (result.tokens, result, Array(outcome.tokens.prefix(count)), Array(tokens.dropFirst(count)))
  }

  /// What the text had to be, compiled again; nil if anything would do.
  private func hold(_ constraint: Receipts.Transcript.Constraint?) throws(ServingError) -> HeldConstraint? {
    guard let constraint else { return nil }
    guard let source = ConstraintSource(kind: constraint.kind, text: constraint.text) else {
      throw ServingError(
        "the transcript's constraint is of a kind that is not known, '\(constraint.kind.prefix(40))'",
        hint: nil)
    }
    do throws(GrammarError) {
      return try constraints.hold(source)
    } catch {
      throw ServingError("the transcript's constraint cannot be held: \(error)", hint: nil)
    }
  }

  /// An engine with room for so many positions of one sequence.
  private func engine(
    _ profile: Engine.Profile, _ tokens: [Int32], positions: Int, isWhole: Bool = false
  ) throws(ServingError) -> Engine {
    let vocabulary = model.hyperparameters.vocabularySize
    guard tokens.allSatisfy({ $0 >= 0 && Int($0) < vocabulary }) else {
      throw ServingError(
        "the transcript holds a token that is not in the vocabulary of \(vocabulary)", hint: nil)
    }
    guard positions <= model.hyperparameters.contextLength else {
      throw ServingError(
        "the transcript has \(positions) tokens, the model's context is \(model.hyperparameters.contextLength)",
        hint: nil)
    }
    let needed = (positions + Engine.blockSize - 1) / Engine.blockSize
    let kept = spare.withLock { spare in
      defer { spare = nil }
      return spare
    }
    let step = isWhole ? min(max(positions, 1_024), 65_536) : 1_024
    if let kept, kept.configuration.profile == profile, kept.configuration.kvBlocks >= needed,
      kept.configuration.maximumStepTokens >= step
    {
      return kept
    }
    // Room for somewhat longer ones too, so that the next transcript fits.
    let blocks = max(needed, min(2 * needed, Self.keptPositions / Engine.blockSize))
    var configuration = Engine.Configuration(
      threads: threads, profile: profile, kvBlocks: blocks, level: level, maximumStepTokens: step)
    configuration.device = device
    do throws(EngineError) {
      return try Engine(model: model, configuration: configuration)
    } catch {
      throw ServingError("\(error)", hint: error.hint)
    }
  }

  private func keep(_ engine: Engine) {
    guard engine.configuration.kvBlocks * Engine.blockSize <= Self.keptPositions else { return }
    spare.withLock { $0 = engine }
  }

  /// The log-probabilities of an answer's tokens, in the order and with the offsets that the node
  /// sends them.
  func logprobs(
    _ receipt: Receipts.Receipt, _ stops: [String], _ choices: [SampledToken], shown: Set<Int32>
  ) throws(SamplingError) -> [TextLogprob] {
    var text = AnswerText(
      tokenizer: tokenizer, stops: try StopMatcher(stops), ignoresEnd: receipt.ignoresEnd,
      limit: receipt.maxTokens, shown: shown)
    var pending = PendingLogprobs()
    return choices.flatMap { choice in
      pending.add(TextLogprob(choice, at: text.offset(of: choice.token), tokenizer: tokenizer))
      let more = text.append(choice.token)
      return pending.take(
        text: more, isLast: text.end != nil,
        endsWithNoText: tokenizer.isEndOfGeneration(choice.token) && !receipt.ignoresEnd)
    }
  }

  /// The parser of a message that an answer names, for a request's own tools; nil if this model's
  /// answers to that request are read by another.
  /// - prompt: its text
  func reader(named name: String, _ request: GenerationRequest, prompt: String) -> MessageReader? {
    guard let terms = request.message else { return nil }
    for given in [nil, name] {
      let format = MessageFormat(chat, tokenizer, named: given)
      guard format.parserName(terms.definitions) == name,
        let parser = format.parser(terms.definitions, prompt: prompt)
      else { continue }
      return MessageReader(parser: parser, marks: format.marks)
    }
    return nil
  }

  /// The text of a receipt's tokens and of those after them, by the rule that the node answers by,
  /// and where it ends.
  package func decode(
    _ receipt: Receipts.Receipt, _ transcript: Receipts.Transcript, then unreceipted: [UInt32]
  ) -> Verification.Decoding {
    decode(receipt, transcript, then: unreceipted, reader: nil)
  }

  /// - reader: what reads the text as a message; nil if the answer is its text
  func decode(
    _ receipt: Receipts.Receipt, _ transcript: Receipts.Transcript, then unreceipted: [UInt32],
    reader: MessageReader?
  ) -> Verification.Decoding {
    guard digest == receipt.modelSHA256 else {
      return .notDone(why: "the model that was given is another, with a vocabulary of its own")
    }
    if receipt.isVector { return .notDone(why: "the output is a vector, and no text") }
    let tokens = (transcript.output + unreceipted).map { Int32(bitPattern: $0) }
    if let stray = tokens.first(where: { !tokenizer.contains($0) }) {
      return .notDone(
        why: "token \(UInt32(bitPattern: stray)) is not in the vocabulary of \(tokenizer.vocabularySize)")
    }
    let stops: StopMatcher
    do throws(SamplingError) { stops = try StopMatcher(transcript.stops) } catch {
      return .notDone(why: "the transcript's stop strings are none: \(error)")
    }
    // Version 1 does not say whether end tokens were ignored; if one ended the job, they were not.
    let ignoresEnd = receipt.version == 1 ? receipt.finish != .stop : receipt.ignoresEnd
    let marks = reader?.marks ?? []
    var answer = AnswerText(
      tokenizer: tokenizer, stops: stops, ignoresEnd: ignoresEnd, limit: receipt.maxTokens, shown: marks)
    var search = AnswerText(
      tokenizer: tokenizer, stops: stops, ignoresEnd: true, limit: receipt.maxTokens, shown: marks)
    var text = ""
    var firstStop: Int?
    for (position, token) in tokens.enumerated() {
      text += answer.append(token)
      _ = search.append(token)
      if firstStop == nil, position < transcript.output.count,
        answer.end == .stopString || search.end == .stopString
      {
        firstStop = position
      }
    }
    return .decoded(
      .init(
        text: text,
        prompt: tokenizer.decode(transcript.prompt.map { Int32(bitPattern: $0) }, special: .hidden),
        message: reader.map { .message($0.read(text, of: receipt)) }
          ?? .notDone(why: "nothing says how the text is read as a message"),
        firstEnd: transcript.output.firstIndex { tokenizer.isEndOfGeneration(Int32(bitPattern: $0)) },
        firstStop: firstStop, contextLength: model.hyperparameters.contextLength))
  }

  /// Version 1: how the job would have ended after these tokens. Stop strings are known only to the
  /// client, so an answer that ends neither with an end token nor at its limit is not contradicted.
  private static func finish(
    _ receipt: Receipts.Receipt, _ output: [Int32], _ tokenizer: Tokenizer
  ) -> Receipts.Receipt.Finish? {
    if let last = output.last, tokenizer.isEndOfGeneration(last) {
      return receipt.finish == .length && output.count == receipt.maxTokens ? .length : .stop
    }
    if output.count >= receipt.maxTokens { return receipt.finish == .stopString ? .stopString : .length }
    return receipt.finish == .stopString || receipt.finish == .cancelled ? nil : .cancelled
  }
}
