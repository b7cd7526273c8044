// Reexecutor.swift: re-executes a receipt's transcript: one teacher-forced prefill, with the
// sampler replayed over it. Any machine with the model's file can do it; the bits are the same
// everywhere. Comparing is in Receipts.Reexecution.
// Start at Reexecutor.run.
import Foundation
import Inference
import Receipts

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
  private let threads: Int?
  private let level: KernelLevel?

  /// - path: the model's file
  /// - level: of the kernels; nil selects the best, or the one that `HOTPOT_ISA` names
  /// - Throws: words, if it isn't a model that can be run.
  package init(path: String, threads: Int? = nil, level: KernelLevel? = nil) throws(ServingError) {
    self.threads = threads
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
    let prompt = transcript.prompt.map { Int32(bitPattern: $0) }
    let output = transcript.output.map { Int32(bitPattern: $0) }
    guard !prompt.isEmpty else { throw ServingError("the transcript's prompt is empty", hint: nil) }
    let profile = Engine.Profile(numericsVersion: receipt.numerics) ?? .standard
    var result = Reexecution(
      model: digest, numerics: profile.numericsVersion, windows: [], tokens: [], finish: nil)
    // Another model's bits say nothing, and its vocabulary may not even contain these tokens.
    guard digest == receipt.modelSHA256, profile.numericsVersion == receipt.numerics else { return result }
    let vocabulary = model.hyperparameters.vocabularySize
    guard (prompt + output).allSatisfy({ $0 >= 0 && Int($0) < vocabulary }) else {
      throw ServingError(
        "the transcript holds a token that is not in the vocabulary of \(vocabulary)", hint: nil)
    }
    // The last token is chosen, not fed.
    let fed = prompt + output.dropLast()
    guard fed.count <= model.hyperparameters.contextLength else {
      throw ServingError(
        "the transcript has \(fed.count) tokens, the model's context is \(model.hyperparameters.contextLength)",
        hint: nil)
    }
    let blocks = (fed.count + Engine.blockSize - 1) / Engine.blockSize
    let engine: Engine
    do throws(EngineError) {
      engine = try Engine(
        model: model,
        configuration: Engine.Configuration(
          threads: threads, profile: profile, kvBlocks: blocks, level: level))
    } catch {
      throw ServingError("\(error)", hint: error.hint)
    }
    let sampling = SamplingRequest(receipt.sampler, biases: transcript.biases)
    let context = SamplingContext(
      sampling, promptCount: prompt.count, transcript: sampling.usesHistory ? prompt + output : [])
    let table = (0..<Int32(blocks)).map { $0 }
    var windows = WindowHashes()
    var position = 0
    while position < fed.count {
      let end = min(fed.count, position + Self.chunk)
      // A chunk that ends before the output begins needs no output.
      let item = StepItem(
        tokens: Array(fed[position..<end]), position: position, blocks: table,
        output: end >= prompt.count ? .replay(context) : .none, digests: true)
      let results: [StepResult]
      do throws(EngineError) { results = try engine.step([item]) } catch {
        throw ServingError("\(error)", hint: error.hint)
      }
      guard let found = results.first else { throw ServingError("the engine gave no result", hint: nil) }
      if let failure = found.failure { throw ServingError("\(failure)", hint: failure.hint) }
      for (choice, bytes) in zip(found.choices, found.digests) where result.tokens.count < output.count {
        result.tokens.append(UInt32(bitPattern: choice.token))
        if let digest = SHA256Digest(bytes: bytes) { windows.append(digest) }
      }
      position = end
      progress(position, fed.count)
    }
    result.windows = windows.windows
    if receipt.version == 1 { result.finish = Self.finish(receipt, output, tokenizer) }
    return result
  }

  /// The text of a receipt's tokens and of those after them, by the rule that the node answers by,
  /// and where it ends.
  package func decode(
    _ receipt: Receipts.Receipt, _ transcript: Receipts.Transcript, then unreceipted: [UInt32]
  ) -> Verification.Decoding {
    guard digest == receipt.modelSHA256 else {
      return .notDone(why: "the model that was given is another, with a vocabulary of its own")
    }
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
    var answer = AnswerText(
      tokenizer: tokenizer, stops: stops, ignoresEnd: ignoresEnd, limit: receipt.maxTokens)
    var search = AnswerText(tokenizer: tokenizer, stops: stops, ignoresEnd: true, limit: receipt.maxTokens)
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
