// OperatorSession.swift: one operator's screen or script at a node, local or remote. Commands for
// the scheduler go to the state machine; chat, content, receipts and pulls are handled here. How
// messages travel is the caller's. Start at perform.
import Accounting
import Control
import Foundation
import Inference
import Receipts
import Scheduling
import Synchronization
import Tools

/// One operator at a node. Thread-safe.
final class OperatorSession: Sendable {
  private let node: NodeHandle
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
    node: NodeHandle, who: Operator, role: Role, deliver: @escaping @Sendable (NodeMessage) -> Void
  ) {
    self.node = node
    self.who = who
    self.role = role
    self.deliver = deliver
  }

  /// Starts sending snapshots.
  func subscribe(every interval: Microseconds) {
    deliver(.welcome(node.screens.welcome(who, role)))
    let id = node.screens.subscribe(every: interval, who, role, deliver)
    let old = inner.withLock { inner -> UInt64? in
      defer { inner.subscription = id }
      return inner.subscription
    }
    if let old {
      node.screens.unsubscribe(old)
      node.screens.farewell(who)
    }
  }

  func close() {
    let inner = self.inner.withLock { inner -> Inner in
      defer { inner = Inner() }
      return inner
    }
    if let subscription = inner.subscription {
      node.screens.unsubscribe(subscription)
      node.screens.farewell(who)
    }
    for id in inner.watched { node.transcripts.find(id)?.watch(nil) }
    if let chat = inner.chat { node.runtime.send(.clientGone(chat)) }
  }

  /// Performs a command and replies with the result.
  func perform(_ command: NodeCommand, tag: UInt64) {
    let reply = run(command)
    if command.isPromise {
      // Reported as done once it survives a crash. If it cannot be written, the log says so and the
      // node stops.
      node.runtime.whenRecorded { [weak self] _ in self?.deliver(.reply(tag: tag, reply)) }
    } else {
      deliver(.reply(tag: tag, reply))
    }
    if !command.onlyLooks { node.screens.publishNow() }
  }

  private func run(_ command: NodeCommand) -> CommandReply {
    guard command.leastRole <= role else { return .refused(Role.refusal(role, wants: command.leastRole)) }
    switch command {
    case .approve, .reject, .hold, .release, .setPriority, .move, .cancel, .pause, .resume, .drain, .undrain,
      .shutdown:
      return node.runtime.act(command, by: who)
    case .inspect(let job): return detail(job, reveals: false)
    case .reveal(let job): return detail(job, reveals: true)
    case .conceal(let job):
      if case .success(let id) = node.runtime.state.withLock({ $0.resolve(job) }) {
        node.transcripts.find(id)?.watch(nil)
        inner.withLock { _ = $0.watched.remove(id) }
      }
      return .done("")
    case .receipt(let id): return receipt(id)
    case .verify(let id): return node.receipts.verify(receipt: id)
    case .chat(let request): return chat(request)
    case .stopChat:
      guard let id = inner.withLock({ $0.chat }) else { return .refused("no answer is being written") }
      node.runtime.send(.clientGone(id))
      return .done("stopped")
    case .keepChats(let book):
      node.screens.keep(book, of: who)
      return .done("")
    case .pull(let model):
      node.runtime.note(.act, who: who.name, "pulls \(model)")
      return node.model.pull(model)
    case .cancelPull: return node.model.cancelPull()
    case .history:
      deliver(.history(node.runtime.state.withLock { $0.pastSamples(at: NodeClock.now()) }))
      return .done("")
    case .past(let query): return past(query)
    case .administer(let act):
      return node.administration.perform(act, by: who) { deliver(.token(name: $0, token: $1)) }
    case .reload: return node.live.reload(node.runtime, by: who)
    }
  }

  private func detail(_ text: String, reveals: Bool) -> CommandReply {
    let id: JobID
    switch node.runtime.state.withLock({ $0.resolve(text) }) {
    case .success(let found): id = found
    case .failure(let problem): return .refused("\(problem)")
    }
    var prompt: String?
    var answer: String?
    if reveals {
      // That content was viewed is logged before it is shown.
      node.runtime.note(.act, who: who.name, "looked into the content of job \(id.short)")
      node.runtime.record([
        .operatorAct(OperatorAct(act: .reveal, who: who.name, target: id.hex, reason: ""))
      ])
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
      let detail = node.runtime.state.withLock({
        $0.detail(id, prompt: prompt, answer: answer, at: NodeClock.now())
      })
    else { return .refused("job \(id.hex.prefix(8)) is gone") }
    deliver(.job(detail))
    return .done("")
  }

  /// The disk is read elsewhere: this thread may be that of all sockets.
  private func past(_ query: PastQuery) -> CommandReply {
    DispatchQueue.global(qos: .utility).async { [node, deliver] in
      do throws(AdministrationError) { deliver(.past(try node.receipts.past(query))) } catch {
        node.runtime.note(.warning, "the journal's past cannot be shown: \(error)")
      }
    }
    return .done("")
  }

  private func receipt(_ id: String) -> CommandReply {
    do throws(JournalError) {
      deliver(.receipt(try node.receipts.receiptDetail(id)))
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
    let began = NodeClock.now().monotonic
    let first = Mutex<Microseconds?>(nil)
    // What the model thinks and what it says, once the prompt says how it writes them.
    let stage = Mutex(MessageStage(nil))
    let sink: AnswerSink = { [weak self] event in
      guard let self else { return }
      switch event {
      case .admitted, .started: break
      case .text(let text, _):
        first.withLock { $0 = $0 ?? NodeClock.now().monotonic }
        tell(stage.withLock { $0.feed(text) })
      case .finished(let end):
        tell(stage.withLock { $0.finish(end).events })
        release(id)
        let span = Double(max(1, NodeClock.now().monotonic - (first.withLock { $0 } ?? began))) / 1_000_000
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
      _ = try node.admission.admit(GenerationRequest(request), id: id, from: .operator) { prompt in
        stage.withLock { $0 = MessageStage(prompt.parser) }
        return sink
      }
    } catch {
      release(id)
      deliver(.chat(.failed("\(error)")))
      return .refused("\(error)")
    }
    deliver(.chat(.started(job: id.hex)))
    return .done("")
  }

  /// Delivers what the model says and thinks. It is offered no tools.
  private func tell(_ events: [MessageEvent]) {
    for event in events {
      switch event {
      case .content(let text): deliver(.chat(.text(text)))
      case .reasoning(let text): deliver(.chat(.thought(text)))
      case .call, .arguments, .finished: break
      }
    }
  }

  private func release(_ id: JobID) {
    inner.withLock { inner in
      if inner.chat == id { inner.chat = nil }
    }
  }
}

extension GenerationRequest {
  /// The operator's own conversation, with whichever model is served.
  fileprivate init(_ chat: ChatRequest) {
    self.init(.messages(chat.messages.map { ChatMessage(role: $0.role.rawValue, content: $0.content) }))
    sampling.temperature = Float(min(max(chat.temperature, 0), 2))
    sampling.seed = chat.seed ?? Self.drawnSeed()
    outputLimit = chat.maxTokens > 0 ? chat.maxTokens : nil
    priority = 8
    message = MessageTerms()
  }
}
