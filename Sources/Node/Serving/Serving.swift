// Serving.swift: a loaded model that is ready: weights, engine, tokenizer and template; and it
// turns requests into jobs. Not here: deciding (NodeState), the thread that steps it (EngineLoop).
// Start at Serving.load and prepare.
import Control
import Foundation
import Grammar
import Inference
import Receipts
import Scheduling
import Tools

/// A model as found on disk.
package struct ModelFile: Sendable, Equatable {
  package let name: String
  package let path: String

  package init(name: String, path: String) {
    self.name = name
    self.path = path
  }
}

/// Why a model could not be loaded, in words with a hint.
package struct ServingError: Error, Sendable, CustomStringConvertible {
  package let description: String
  package let hint: String?

  package init(_ description: String, hint: String?) {
    self.description = description
    self.hint = hint
  }
}

extension NodeConfiguration.Profile {
  var engine: Engine.Profile {
    switch self {
    case .a15: .a15
    case .a12: .a12
    case .a8: .a8
    }
  }
}

/// The memory for keys and values of all jobs together, as it is planned when a model is loaded.
package struct KVPlan: Sendable, Equatable {
  /// The model's context, in positions.
  package let context: Int
  /// Blocks of 16 positions.
  package let blocks: Int
  package let bytes: Int

  package var positions: Int { blocks * Engine.blockSize }

  /// - configured: positions that the configuration asks for
  package init(context: Int, bytesPerPosition: Int, configured: Int?) {
    self.context = context
    let affordable = max(2_048, Serving.defaultKVBytes / max(1, bytesPerPosition))
    let positions = configured ?? min(8 * context, affordable)
    blocks = max(16, (positions + Engine.blockSize - 1) / Engine.blockSize)
    bytes = blocks * Engine.blockSize * bytesPerPosition
  }
}

/// One loaded model. Immutable; shared by all threads.
final class Serving: Sendable {
  let name: String
  let engine: Engine
  let tokenizer: Tokenizer
  let facts: EngineFacts
  private let chat: Result<ChatFormat, ChatFormatError>
  /// How the model writes calls and reasoning.
  let messages: MessageFormat
  /// As the file names it.
  let architecture: String
  private let secret: SHA256Digest
  private let constraints: Constraints
  /// How texts become vectors; nil: they do not.
  let pooling: Pooling?

  /// The most tokens of an answer if the request names no limit.
  static let defaultOutput = 4_096
  /// Memory for keys and values if the configuration does not say.
  static let defaultKVBytes = 512 << 20

  private init(
    name: String, engine: Engine, tokenizer: Tokenizer, facts: EngineFacts,
    chat: Result<ChatFormat, ChatFormatError>, toolFormat: String?, architecture: String, pooling: Pooling?
  ) {
    self.name = name
    self.engine = engine
    self.tokenizer = tokenizer
    self.facts = facts
    self.chat = chat
    constraints = Constraints(
      tokenizer, vocabularySize: engine.model.hyperparameters.vocabularySize)
    messages = MessageFormat(chat, tokenizer, named: toolFormat)
    self.architecture = architecture
    self.pooling = pooling
    // The names of cached blocks must mean nothing to anyone else, in this run or another.
    var generator = SystemRandomNumberGenerator()
    secret = SHA256.hash((0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
  }

  /// Maps, repacks and starts a model. This is slow, so it is not for a thread that others wait
  /// for.
  static func load(_ file: ModelFile, configuration: NodeConfiguration) throws(ServingError) -> Serving {
    let model: Model
    do throws(ModelError) {
      model = try Model(
        path: file.path, threads: configuration.threads, isMapped: configuration.isMapped)
    } catch {
      throw ServingError("\(error)", hint: error.hint)
    }
    let tokenizer: Tokenizer
    do throws(TokenizerError) {
      tokenizer = try Tokenizer(model.file)
    } catch {
      throw ServingError("\(error)", hint: error.hint)
    }
    let context = model.hyperparameters.contextLength
    let plan = KVPlan(
      context: context, bytesPerPosition: model.kvBytesPerPosition, configured: configuration.kvTokens)
    let blocks = plan.blocks
    var settings = Engine.Configuration(
      threads: configuration.threads, profile: configuration.profile.engine, kvBlocks: blocks)
    settings.device = configuration.device
    settings.checkedShare = configuration.deviceChecks
    // A step contains one token of each running job and the prefill beside them.
    settings.maximumStepTokens = 512 + configuration.queue.running + 16
    if model.readsBothWays { settings.maximumStepTokens += min(context, 65_000) }
    // What the batch attends to plus what one step adds, and the same again for blocks that may be
    // reused.
    let windows = model.windows.map { positions in
      let span = Scheduling.Limits.Window.span(of: positions)
      let used = configuration.queue.running * span + settings.maximumStepTokens / Engine.blockSize
      return Scheduling.Limits.Window(positions: positions, blocks: max(span, min(blocks, 2 * used)))
    }
    settings.windowBlocks = windows.map(\.blocks)
    let states = Self.states(of: model, running: configuration.queue.running)
    if let states { settings.stateSlots = states.slots }
    let engine: Engine
    do throws(EngineError) {
      engine = try Engine(model: model, configuration: settings)
    } catch {
      throw ServingError("\(error)", hint: error.hint)
    }
    guard let digest = SHA256Digest(bytes: model.fileDigest()) else {
      throw ServingError("the model file's digest cannot be computed", hint: nil)
    }
    let facts = EngineFacts(
      model: file.name, modelDigest: digest, profile: settings.profile.numericsVersion,
      isa: engine.deviceName,
      contextLength: min(context, blocks * Engine.blockSize), kvBlocks: blocks,
      windows: windows.isEmpty ? nil : windows, states: states,
      wholePrompts: model.readsBothWays ? true : nil)
    let chat: Result<ChatFormat, ChatFormatError>
    do throws(ChatFormatError) {
      let format = try ChatFormat(file: model.file, tokenizer: tokenizer)
      chat = format.problem.map { .failure($0) } ?? .success(format)
    } catch {
      // Completions need no template.
      chat = .failure(error)
    }
    return Serving(
      name: file.name, engine: engine, tokenizer: tokenizer, facts: facts, chat: chat,
      toolFormat: configuration.toolFormat,
      // A file without it is no model, and was refused before.
      architecture: (try? model.file.metadata.string("general.architecture")) ?? "",
      pooling: configuration.pooling ?? model.pooling)
  }

  /// Slots for the batch, and for a few checkpoints of prompts; nil if the model keeps no state.
  private static func states(of model: Model, running: Int) -> Scheduling.Limits.States? {
    guard model.stateBytes > 0 else { return nil }
    let checkpoints = min(max(2, defaultKVBytes / model.stateBytes), 16)
    return Scheduling.Limits.States(
      slots: running + checkpoints,
      // Two gigabytes a second, which is what a copy takes.
      swapTime: Microseconds(model.stateBytes / 2_000))
  }

  /// What a log should say about chats with this model: why it cannot chat, or whose messages it
  /// refuses.
  var chatWarnings: [String] {
    // Nobody expects it to.
    if engine.model.readsBothWays { return [] }
    return switch chat {
    case .failure(let problem): ["chat will not work: \(problem); /v1/completions does"]
    case .success(let format):
      format.rolesLeftOut.map {
        "the chat template leaves out what messages of role '\($0)' say: chats with one are refused"
      }
    }
  }

  /// A request as tokens, within the context, and its job.
  struct Prepared {
    let transcript: Transcript
    var job: JobRequest
  }

  /// Renders, tokenises and bounds a request. A prompt longer than the context costs no more than
  /// one that fills it, and only its start is processed once `isWanted` says that nobody is
  /// waiting.
  /// - sink: made from the prompt's tokens
  func prepare(
    _ request: GenerationRequest, id: JobID, identity: Identity, origin: JobOrigin, isAsynchronous: Bool,
    isWanted: @escaping () -> Bool = { true }, sink: (_ prompt: PreparedPrompt) -> AnswerSink
  ) throws(Refusal) -> Prepared {
    if let terms = request.embedding {
      return try prepareVector(
        request, terms, id: id, identity: identity, origin: origin, isWanted: isWanted, sink: sink)
    }
    guard !engine.model.readsBothWays else {
      throw .request(
        .unsupported, field: "model",
        words: "'\(name)' reads texts both ways and generates none; POST /v1/embeddings gives their vectors")
    }
    let now = Date()
    var (prompt, text, unread) = try Self.tokens(
      of: request, chat: chat, tokenizer: tokenizer, context: facts.contextLength, now: now,
      isWanted: isWanted)
    let source = try messages.constraint(request.constraint, request.message, prompt: text, unread: &unread)
    guard !prompt.isEmpty else { throw .emptyPrompt }
    let room = facts.contextLength - prompt.count
    guard room >= 1 else { throw .promptTooLong(.tokens(prompt.count), context: facts.contextLength) }
    var asked = request.outputLimit
    var ignored = request.ignored + unread
    if let beyond = asked, beyond > room {
      guard let field = request.yieldingLimit else {
        throw .outputTooLong(prompt: prompt.count, asked: beyond, context: facts.contextLength)
      }
      asked = nil
      ignored.append(field)
    }
    let limit = min(asked ?? min(room, Self.defaultOutput), Receipts.Receipt.maximumCompletionTokens)
    let stops: StopMatcher
    do throws(SamplingError) {
      try request.sampling.validate(vocabularySize: tokenizer.vocabularySize)
      stops = try StopMatcher(request.stops)
    } catch {
      throw .sampling(error)
    }
    var constraint: HeldConstraint?
    if let source {
      do throws(GrammarError) { constraint = try constraints.hold(source) } catch {
        let named = error.of.flatMap { request.message?.schemaFields[$0] }
        let field = named ?? request.constraint?.field ?? request.message?.demandField ?? ""
        throw .request(.value, field: field, words: "'\(field)': \(error)")
      }
      ignored += (constraint?.loosened ?? []).map { request.message?.schemaFields[$0] ?? $0 }
    }
    let reading = request.message.flatMap { messages.reading($0.definitions, prompt: text) }
    let parser = reading?.parser(request.message?.definitions ?? [])
    let parserName = parser.map { _ in messages.parserName(request.message?.definitions ?? []) }
    var rendering: Receipts.Receipt.Rendering?
    if case .messages = request.prompt {
      rendering = Receipts.Receipt.Rendering(
        template: messages.template, time: Int64(now.timeIntervalSince1970 * 1e6),
        zone: Int32(clamping: TimeZone.current.secondsFromGMT(for: now)), parser: parserName ?? "")
    }
    let transcript = Transcript(
      id: id, client: identity.name, prompt: prompt, promptText: text, sampling: request.sampling,
      constraint: constraint, outputLimit: limit, stops: stops,
      terms: .init(
        stops: request.stops, ignoresEnd: request.ignoresEnd, constraint: source,
        rendering: rendering,
        isContextBound: asked == nil && limit == room,
        seedBy: request.hasSeed ? .client : .node, nonce: request.nonce),
      tokenizer: tokenizer,
      chain: BlockKeyChain(secret: secret, client: identity.name, modelDigest: facts.modelDigest),
      shown: parser == nil ? [] : messages.marks,
      sink: sink(
        PreparedPrompt(
          tokens: prompt, parser: parser, reading: reading, parserName: parserName, ignored: ignored,
          echo: request.echoes ? tokenizer.decode(prompt, special: .hidden) : "")))
    let job = JobRequest(
      id: id, identity: identity, origin: origin, model: name, promptTokens: prompt.count, outputLimit: limit,
      priority: request.priority, asksPriority: request.hasPriority, timeLimit: request.timeLimit,
      offered: request.offered, prefix: transcript.promptKeys(),
      borders: facts.states == nil ? nil : tokenizer.messageEnds(of: prompt),
      settings: Self.settings(request, source, ignored),
      isAsynchronous: isAsynchronous)
    return Prepared(transcript: transcript, job: job)
  }

  /// The job of a text whose vector is wanted.
  private func prepareVector(
    _ request: GenerationRequest, _ terms: EmbeddingTerms, id: JobID, identity: Identity, origin: JobOrigin,
    isWanted: @escaping () -> Bool, sink: (_ prompt: PreparedPrompt) -> AnswerSink
  ) throws(Refusal) -> Prepared {
    let model = engine.model
    guard let pooling else {
      throw .request(
        .value, field: "model",
        words:
          "'\(name)' is a model for generating text, of architecture '\(architecture)': its file names no pooling; one made for vectors, such as Qwen3-Embedding or EmbeddingGemma, has it, or 'pooling' in the node's configuration"
      )
    }
    let dimensions = terms.dimensions ?? model.vectorLength
    guard (1...model.vectorLength).contains(dimensions) else {
      throw .request(
        .value, field: "dimensions",
        words: "'dimensions' is \(dimensions), wanted 1 to \(model.vectorLength), which '\(name)' has")
    }
    let (prompt, text, _) = try Self.tokens(
      of: request, chat: chat, tokenizer: tokenizer, context: facts.contextLength, now: Date(),
      isWanted: isWanted)
    guard !prompt.isEmpty else { throw .emptyPrompt }
    let transcript = Transcript(
      id: id, client: identity.name, prompt: prompt, promptText: text, sampling: .greedy, outputLimit: 1,
      stops: .none, terms: .init(nonce: request.nonce), tokenizer: tokenizer,
      chain: BlockKeyChain(secret: secret, client: identity.name, modelDigest: facts.modelDigest),
      vector: .init(pooler: Pooler(pooling, of: model), dimensions: dimensions),
      sink: sink(PreparedPrompt(tokens: prompt, parser: nil, parserName: nil, ignored: request.ignored)))
    var settings = [["vector", "\(dimensions) numbers, \(pooling.rawValue)"]]
    if !request.ignored.isEmpty { settings.append(["ignored", request.ignored.joined(separator: ", ")]) }
    if let offered = request.offered {
      settings.append(["offers", "\(offered) per million completion tokens"])
    }
    let job = JobRequest(
      id: id, identity: identity, origin: origin, model: name, promptTokens: prompt.count, outputLimit: 0,
      priority: request.priority, asksPriority: request.hasPriority, timeLimit: request.timeLimit,
      offered: request.offered, prefix: transcript.promptKeys(), settings: settings)
    return Prepared(transcript: transcript, job: job)
  }

  /// An audit of a receipt: prompt and output in one teacher-forced prefill.
  func prepareAudit(
    of kept: KeptTranscript, id: JobID, sink: @escaping AnswerSink
  ) -> Prepared? {
    // The last token is chosen, not fed: its position is never computed.
    let fed = kept.receipt.isVector ? kept.prompt : kept.prompt + kept.output.dropLast()
    guard !kept.output.isEmpty else { return nil }
    let vector = Pooling(rawValue: kept.receipt.pooling).map {
      Transcript.VectorTerms(pooler: Pooler($0, of: engine.model), dimensions: kept.receipt.dimensions)
    }
    // What was compiled for the job is compiled again.
    let constraint = kept.terms.constraint.flatMap { try? constraints.hold($0) }
    let transcript = Transcript(
      id: id, client: "audit", prompt: fed, promptText: "", sampling: kept.sampling,
      constraint: constraint, outputLimit: 1,
      stops: .none,
      tokenizer: tokenizer,
      chain: BlockKeyChain(secret: secret, client: "audit-\(id.hex)", modelDigest: facts.modelDigest),
      vector: vector,
      audit: .init(id: kept.id, receipt: kept.receipt, promptCount: kept.prompt.count, output: kept.output),
      sink: sink)
    // No prefix: an audit recomputes everything.
    let job = JobRequest(
      id: id, identity: .known("audit"), origin: .audit, model: name, promptTokens: fed.count, outputLimit: 1,
      priority: 0, audits: kept.id)
    return Prepared(transcript: transcript, job: job)
  }

  /// The tokens of a prompt that was encoded only up to the context's length, or why there are
  /// none.
  private static func taken(_ encoding: BoundedEncoding, context: Int) throws(Refusal) -> [Int32] {
    switch encoding {
    case .tokens(let tokens): return tokens
    case .tooMany: throw .promptTooLong(.moreThan(context - 1), context: context)
    case .notWanted: throw .cancelled(by: .client)
    }
  }

  /// The tokens of a request's prompt.
  func tokens(_ request: GenerationRequest, isWanted: @escaping () -> Bool) throws(Refusal) -> [Int32] {
    try Self.tokens(
      of: request, chat: chat, tokenizer: tokenizer, context: facts.contextLength, now: Date(),
      isWanted: isWanted
    ).tokens
  }

  /// Whether it writes text at all.
  var generates: Bool { !engine.model.readsBothWays }

  /// Why a chat is not possible; nil if it is.
  var chatProblem: ChatFormatError? {
    if case .failure(let problem) = chat { return problem }
    return nil
  }

  /// The template's text; nil if there is none that works.
  var templateSource: String? {
    if case .success(let format) = chat { return format.source }
    return nil
  }

  /// The single path from a request to a prompt, both for answering it and for checking the answer.
  /// - Returns: the prompt, and the fields that the model's template does not read.
  static func tokens(
    of request: GenerationRequest, chat: Result<ChatFormat, ChatFormatError>, tokenizer: Tokenizer,
    context: Int, now: Date, isWanted: @escaping () -> Bool
  ) throws(Refusal) -> (tokens: [Int32], text: String, unread: [String]) {
    switch request.prompt {
    case .messages(let messages):
      let format: ChatFormat
      switch chat {
      case .success(let found): format = found
      case .failure(let problem): throw .noChatTemplate("\(problem)")
      }
      let (extras, unread) = request.message?.extras(for: format.source) ?? (ChatExtras(), [])
      let found: (text: String, encoding: BoundedEncoding)
      do throws(ChatFormatError) {
        found = try format.prompt(messages, extras, now: now, atMost: context - 1, isWanted: isWanted)
      } catch {
        throw .templateRefused("\(error)")
      }
      return (try taken(found.encoding, context: context), found.text, unread)
    case .text(let text):
      if let suffix = request.suffix {
        return try infilled(text, suffix, tokenizer, context: context, isWanted: isWanted)
      }
      // Vectors are made of texts that end as the model's makers ended them.
      let end = request.embedding == nil || !tokenizer.addsEOS ? nil : tokenizer.eosToken
      let encoding = tokenizer.encode(
        segments: [.text(text)], addBOS: tokenizer.addsBOS, atMost: context - (end == nil ? 1 : 2),
        isWanted: isWanted)
      var tokens = try taken(encoding, context: context)
      if let end, tokens.last != end { tokens.append(end) }
      return (tokens, text, [])
    case .tokens(let tokens):
      guard tokens.count < context else { throw .promptTooLong(.tokens(tokens.count), context: context) }
      if let stray = tokens.first(where: { !tokenizer.contains($0) }) {
        throw .unknownToken(stray, vocabulary: tokenizer.vocabularySize)
      }
      return (tokens, tokenizer.decode(tokens), [])
    }
  }

  /// A text whose middle is asked for. Neither part can hold a special token.
  private static func infilled(
    _ text: String, _ suffix: String, _ tokenizer: Tokenizer, context: Int, isWanted: @escaping () -> Bool
  ) throws(Refusal) -> (tokens: [Int32], text: String, unread: [String]) {
    guard let infill = tokenizer.infill else {
      throw .request(
        .unsupported, field: "suffix",
        words:
          "'suffix': the model has no tokens for text in the middle (tokenizer.ggml.fim_pre_token_id, fim_suf and fim_mid in its file); leave it out"
      )
    }
    var tokens = tokenizer.addsBOS ? [tokenizer.bosToken].compactMap(\.self) : []
    for (mark, part) in [(infill.prefix, text), (infill.suffix, suffix)] {
      tokens.append(mark)
      let encoding = tokenizer.encode(
        segments: [.text(part)], addBOS: false, atMost: max(0, context - 2 - tokens.count),
        isWanted: isWanted)
      tokens += try taken(encoding, context: context)
    }
    return (tokens + [infill.middle], text + suffix, [])
  }

  private static func settings(
    _ request: GenerationRequest, _ constraint: ConstraintSource?, _ ignored: [String]
  ) -> [[String]] {
    let sampling = request.sampling
    var rows: [[String]] = [
      ["temperature", sampling.temperature == 0 ? "0 (greedy)" : "\(sampling.temperature)"],
      ["seed", "\(sampling.seed)"],
    ]
    if sampling.topP < 1 { rows.append(["top p", "\(sampling.topP)"]) }
    if sampling.topK > 0 { rows.append(["top k", "\(sampling.topK)"]) }
    if sampling.minP > 0 { rows.append(["min p", "\(sampling.minP)"]) }
    if sampling.repetitionPenalty != 1 {
      rows.append(["repetition penalty", "\(sampling.repetitionPenalty)"])
    }
    if sampling.presencePenalty != 0 { rows.append(["presence penalty", "\(sampling.presencePenalty)"]) }
    if sampling.frequencyPenalty != 0 { rows.append(["frequency penalty", "\(sampling.frequencyPenalty)"]) }
    if !request.stops.isEmpty { rows.append(["stop strings", "\(request.stops.count)"]) }
    if let constraint {
      let digest = SHA256Digest(bytes: constraint.digest)?.hex.prefix(16) ?? ""
      rows.append(["constraint", "\(constraint.kind) \(digest)"])
    }
    if let tools = request.message?.definitions, !tools.isEmpty {
      rows.append(["tools", tools.map(\.name).joined(separator: ", ")])
    }
    if !ignored.isEmpty { rows.append(["ignored", ignored.joined(separator: ", ")]) }
    if let offered = request.offered { rows.append(["offers", "\(offered) per million completion tokens"]) }
    return rows
  }
}
