// OperatorSession.swift: one operator's screen or script at a node, wherever it is.
// Commands of the scheduler go to the state machine; chat, content, receipts and pulls are done here.
// Leaves out how messages travel. Start at perform.
import Accounting
import Control
import Foundation
import Inference
import Receipts
import Scheduling
import Synchronization

/// One operator at a node. Thread-safe.
final class OperatorSession: Sendable {
  private let node: NodeService
  private let who: Operator
  private let role: Role
  private let deliver: @Sendable (NodeMessage) -> Void
  private let inner = Mutex(Inner())

  private struct Inner {
    var subscription: UInt64?
    var watched: Set<JobID> = []
    var chat: JobID?
  }

  init(
    node: NodeService, who: Operator, role: Role, deliver: @escaping @Sendable (NodeMessage) -> Void
  ) {
    self.node = node
    self.who = who
    self.role = role
    self.deliver = deliver
  }

  /// Snapshots from now on.
  func subscribe(every interval: Microseconds) {
    deliver(.welcome(node.welcome(who, role)))
    let id = node.subscribe(every: interval, deliver)
    let old = inner.withLock { inner -> UInt64? in
      defer { inner.subscription = id }
      return inner.subscription
    }
    if let old {
      node.unsubscribe(old)
      node.farewell(who)
    }
  }

  func close() {
    let inner = self.inner.withLock { inner -> Inner in
      defer { inner = Inner() }
      return inner
    }
    if let subscription = inner.subscription {
      node.unsubscribe(subscription)
      node.farewell(who)
    }
    for id in inner.watched { node.transcripts.find(id)?.watch(nil) }
    if let chat = inner.chat { node.send(.clientGone(chat)) }
  }

  /// Performs a command and tells what became of it.
  func perform(_ command: NodeCommand, tag: UInt64) {
    let reply = run(command)
    if command.isPromise {
      // Said to be done once it outlives a crash. Where it could not be written the log says so,
      // and the node stops.
      node.whenRecorded { [weak self] _ in self?.deliver(.reply(tag: tag, reply)) }
    } else {
      deliver(.reply(tag: tag, reply))
    }
    if !command.onlyLooks { node.publishNow() }
  }

  private func run(_ command: NodeCommand) -> CommandReply {
    guard command.leastRole <= role else { return .refused(Role.refusal(role, wants: command.leastRole)) }
    switch command {
    case .approve, .reject, .hold, .release, .setPriority, .move, .cancel, .pause, .resume, .drain, .undrain,
      .shutdown:
      return node.act(command, by: who)
    case .inspect(let job): return detail(job, reveals: false)
    case .reveal(let job): return detail(job, reveals: true)
    case .conceal(let job):
      if case .success(let id) = node.resolve(job) {
        node.transcripts.find(id)?.watch(nil)
        inner.withLock { _ = $0.watched.remove(id) }
      }
      return .done("")
    case .receipt(let id): return receipt(id)
    case .verify(let id): return node.verify(receipt: id)
    case .chat(let request): return chat(request)
    case .stopChat:
      guard let id = inner.withLock({ $0.chat }) else { return .refused("no answer is being written") }
      node.send(.clientGone(id))
      return .done("stopped")
    case .pull(let model):
      node.note(.act, who: who.name, "pulls \(model)")
      return node.pull(model)
    case .cancelPull: return node.cancelPull()
    case .history:
      deliver(.history(node.state.withLock { $0.pastSamples(at: NodeService.now()) }))
      return .done("")
    }
  }

  private func detail(_ text: String, reveals: Bool) -> CommandReply {
    let id: JobID
    switch node.resolve(text) {
    case .success(let found): id = found
    case .failure(let problem): return .refused("\(problem)")
    }
    var prompt: String?
    var answer: String?
    if reveals {
      // The look is written down before it is taken.
      node.lookedInto(id, by: who)
      if let transcript = node.transcripts.find(id) {
        prompt = transcript.promptText
        answer = transcript.answer
        transcript.watch { [deliver] in deliver(.text(job: id.hex, $0)) }
        inner.withLock { _ = $0.watched.insert(id) }
      } else if let kept = node.archive.find(job: id) {
        prompt = kept.promptText
        answer = kept.answer
      } else {
        return .refused("the content of job \(id.hex.prefix(8)) is no longer in memory")
      }
    }
    guard
      let detail = node.state.withLock({
        $0.detail(id, prompt: prompt, answer: answer, at: NodeService.now())
      })
    else { return .refused("job \(id.hex.prefix(8)) is gone") }
    deliver(.job(detail))
    return .done("")
  }

  private func receipt(_ id: String) -> CommandReply {
    do throws(JournalError) {
      deliver(.receipt(try node.receiptDetail(id)))
      return .done("")
    } catch {
      return .refused("\(error)")
    }
  }

  private func chat(_ request: ChatRequest) -> CommandReply {
    let id = Admission.makeJobID()
    let isFree = inner.withLock { inner -> Bool in
      guard inner.chat == nil else { return false }
      inner.chat = id
      return true
    }
    guard isFree else { return .refused("an answer is being written; C-c stops it") }
    let began = NodeService.now().monotonic
    let first = Mutex<Microseconds?>(nil)
    let sink: AnswerSink = { [weak self] event in
      guard let self else { return }
      switch event {
      case .admitted, .started: break
      case .text(let text, _):
        first.withLock { $0 = $0 ?? NodeService.now().monotonic }
        deliver(.chat(.text(text)))
      case .finished(let end):
        release(id)
        let span = Double(max(1, NodeService.now().monotonic - (first.withLock { $0 } ?? began))) / 1_000_000
        deliver(
          .chat(
            .finished(
              reason: end.finishReason ?? "stopped", tokens: end.usage.completion,
              tokensPerSecond: Double(max(0, end.usage.completion - 1)) / span)))
      case .refused(.cancelled(by: .client)), .refused(.cancelled(by: .operator)),
        .cut(_, .cancelled(by: .client)), .cut(_, .cancelled(by: .operator)):
        release(id)
        deliver(.chat(.finished(reason: "stopped", tokens: 0, tokensPerSecond: 0)))
      case .refused(let refusal), .cut(_, let refusal):
        release(id)
        deliver(.chat(.failed("\(refusal)")))
      }
    }
    do throws(Refusal) {
      _ = try node.admission.admit(GenerationRequest(request), id: id, from: .operator) { _ in sink }
    } catch {
      release(id)
      deliver(.chat(.failed("\(error)")))
      return .refused("\(error)")
    }
    deliver(.chat(.started(job: id.hex)))
    return .done("")
  }

  private func release(_ id: JobID) {
    inner.withLock { inner in
      if inner.chat == id { inner.chat = nil }
    }
  }
}

extension GenerationRequest {
  /// The operator's own conversation, with whatever model is served.
  fileprivate init(_ chat: ChatRequest) {
    self.init(.messages(chat.messages.map { ChatMessage(role: $0.role.rawValue, content: $0.content) }))
    sampling.temperature = Float(min(max(chat.temperature, 0), 2))
    sampling.seed = chat.seed ?? Self.drawnSeed()
    outputLimit = chat.maxTokens > 0 ? chat.maxTokens : nil
    priority = 8
  }
}

extension NodeService {
  func act(_ command: NodeCommand, by who: Operator) -> CommandReply {
    decide { state, now, effects in
      let reply = state.act(command, by: who, at: now, &effects)
      options.trace?.record(.act(command, by: who), at: now, effects)
      return reply
    }
  }

  func resolve(_ text: String) -> Result<JobID, NodeState.UnknownJob> { state.withLock { $0.resolve(text) } }

  func lookedInto(_ id: JobID, by who: Operator) {
    note(.act, who: who.name, "looked into the content of job \(id.hex.prefix(8))")
    record([.operatorAct(OperatorAct(act: .reveal, who: who.name, target: id.hex, reason: ""))])
  }

  /// Everything about a receipt, by its id or the beginning of one.
  func receiptDetail(_ id: String) throws(JournalError) -> ReceiptDetail {
    let logged = try journal.receipt(at: try index(ofReceipt: id))
    let receipt = logged.receipt
    let row =
      state.withLock { $0.receipts.row(logged.id) }
      ?? ReceiptRow(
        id: logged.id, index: UInt64(clamping: receipt.index), job: JobID(receipt.job).hex,
        client: receipt.client,
        model: receipt.model, time: receipt.ended, promptTokens: receipt.promptTokens,
        outputTokens: receipt.completionTokens, amount: receipt.amount,
        state: NodeState.state(logged.status.seal), audit: NodeState.audit(logged.status.reexecution))
    var fields: [[String]] = [
      ["receipt", logged.id], ["index", "\(receipt.index)"], ["line", "\(logged.entry.envelope.seq)"],
      ["node", receipt.node], ["job", JobID(receipt.job).hex], ["client", receipt.client],
      ["model", receipt.model], ["model sha256", receipt.modelSHA256.hex], ["numerics", receipt.numerics],
      ["prompt commitment", receipt.promptCommitment.hex],
      ["output commitment", receipt.outputCommitment.hex],
      ["prompt tokens", "\(receipt.promptTokens), \(receipt.cachedTokens) cached"],
      ["completion tokens", "\(receipt.completionTokens) of at most \(receipt.maxTokens)"],
      ["temperature", "\(receipt.sampler.temperature)"], ["seed", "\(receipt.sampler.seed)"],
      ["finish", receipt.finish.rawValue],
      ["amount", "\(Amount(micro: receipt.amount)) \(receipt.currency)"],
      ["previous line", logged.entry.envelope.previous.hex],
    ]
    for (number, window) in receipt.windows.enumerated() { fields.append(["window \(number)", window.hex]) }
    return ReceiptDetail(row: row, fields: fields, line: String(decoding: logged.line, as: UTF8.self))
  }

  func index(ofReceipt id: String) throws(JournalError) -> Int {
    let found = journal.read { $0.indexes(idPrefix: id, limit: 2) }
    guard let index = found.first else { throw .noReceipt("has an id that begins with '\(id.prefix(20))'") }
    guard found.count == 1 else { throw .noReceipt("is meant: several ids begin with '\(id.prefix(20))'") }
    return index
  }

  /// A bundle that verifies anywhere.
  /// - earlier: the size of a checkpoint that its reader holds; the proof that the log continues it comes along
  func bundle(_ id: String, earlier: Int? = nil) throws(JournalError) -> ReceiptBundle {
    let logged = try journal.receipt(at: try index(ofReceipt: id))
    // A checkpoint that a witness cosigned says more than a newer one. Every other witness' word comes beside it.
    let cosigned = (notary?.cosignatures ?? []).filter { $0.checkpoint.size > logged.receipt.index }
    guard let notary, let signed = cosigned.first?.signed ?? notary.current,
      var bundle = ReceiptBundle(logged, journal: journal, under: signed, key: notary.key)
    else { throw .noReceipt("'\(logged.id)' is under a signed checkpoint yet; try again in a second") }
    bundle.witness = cosigned.first?.signature
    for other in cosigned.dropFirst().prefix(ReceiptBundle.maximumCosigned) {
      guard let proof = journal.proof(of: logged.receipt.index, under: other.checkpoint) else { continue }
      bundle.cosigned.append(.init(proof: proof, signature: other.signature))
    }
    if let earlier {
      let size = signed.checkpoint.size
      guard let proof = journal.consistency(from: min(earlier, size), to: max(earlier, size)) else {
        throw .noReceipt("lies in a log that continues one of \(earlier) receipts: this log is shorter")
      }
      bundle.consistency = proof.text
    }
    return bundle
  }
}
