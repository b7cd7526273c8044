// ServedModel.swift: the model that is currently served: loaded at startup or fetched at an
// operator's request, replacing the previous one. Not here: what a loaded model is (Serving), the
// thread that steps it (EngineLoop). Start at load.
import Control
import Foundation
import Inference
import Synchronization

final class ServedModel: Sendable {
  /// Receives notices about the model.
  struct Listener: Sendable {
    /// A receipt has been re-executed.
    let audited: @Sendable (Transcript) -> Void
    /// Whatever the body sends to clients is sent in one batch.
    let together: @Sendable (() -> Void) -> Void
    /// A model accepts jobs from now on.
    let isReady: @Sendable () -> Void
    let pulls: @Sendable (Control.PullProgress) -> Void
  }

  private let runtime: Runtime
  private let transcripts: Transcripts
  private let configuration: NodeConfiguration
  private let find: @Sendable (String?) throws(ServingError) -> ModelFile
  private let listener: Listener
  private let inner = Mutex(Inner())

  private struct Inner {
    var serving: Serving?
    var loop: EngineLoop?
    var pull: Task<Void, Never>?
  }

  /// - find: the file of a model by name or path; nil means the configured one or the only one
  init(
    _ runtime: Runtime, transcripts: Transcripts, configuration: NodeConfiguration, listener: Listener,
    find: @escaping @Sendable (String?) throws(ServingError) -> ModelFile
  ) {
    self.runtime = runtime
    self.transcripts = transcripts
    self.configuration = configuration
    self.listener = listener
    self.find = find
  }

  var serving: Serving? { inner.withLock { $0.serving } }

  /// The model, or why there is none.
  func required() throws(Refusal) -> Serving {
    guard let serving else { throw runtime.state.withLock { $0.modelRefusal } }
    return serving
  }

  /// There may be work for the engine.
  func wake() { inner.withLock { $0.loop }?.signal() }

  func stop() {
    let (loop, pull) = inner.withLock { ($0.loop, $0.pull) }
    loop?.stop()
    pull?.cancel()
  }

  // MARK: loading

  /// Loads a model on a separate thread, replacing the current one.
  func load(named name: String?) {
    let thread = Thread { [self] in
      // The engine's own threads are created by this one and inherit its name.
      Thread.current.name = "engine-worker"
      runtime.send(.loading(fraction: nil))
      let serving: Serving
      do throws(ServingError) {
        serving = try Serving.load(try find(name), configuration: configuration)
      } catch {
        let words = "\(error)\(error.hint.map { "; \($0)" } ?? "")"
        // Serving continues without it, so this must be visible even if nobody looks at the state.
        runtime.note(.error, "no model is loaded: \(words)")
        runtime.send(.noModel(words))
        return
      }
      let warnings =
        serving.tokenizer.warnings + serving.chatWarnings + serving.engine.model.notes
        + [serving.engine.deviceNote].compactMap { $0 }
      for warning in warnings { runtime.note(.warning, warning) }
      install(serving)
    }
    thread.name = "load"
    thread.stackSize = 4 << 20
    thread.start()
  }

  private func install(_ serving: Serving) {
    let watch = DeviceWatch(serving.engine)
    let loop = EngineLoop(
      engine: serving.engine, transcripts: transcripts,
      node: EngineLoop.Node(
        nextStep: { [weak runtime] in runtime?.nextStep() },
        report: { [weak runtime] number, results, duration in
          runtime?.send(.stepped(number: number, results: results, duration: duration))
          if let words = watch.news() { runtime?.note(.warning, words) }
        },
        nextDeadline: { [weak runtime] in runtime?.state.withLock { $0.nextDeadline } },
        failed: { [weak runtime] in runtime?.send(.engineFailed($0)) }, audited: listener.audited,
        together: listener.together))
    let old = inner.withLock { inner -> EngineLoop? in
      defer { (inner.serving, inner.loop) = (serving, loop) }
      return inner.loop
    }
    old?.stop()
    runtime.send(.engineReady(serving.facts))
    loop.start()
    listener.isReady()
  }

  // MARK: pulling

  func pull(_ name: String) -> CommandReply {
    guard let model = ModelCatalog.model(named: name) else {
      return .refused("no model called '\(name)' can be pulled from here")
    }
    return inner.withLock { inner in
      guard inner.pull == nil else { return .refused("a model is being pulled already") }
      inner.pull = Task { [weak self] in await self?.run(pull: model.name) }
      return .done("pulling \(name)")
    }
  }

  func cancelPull() -> CommandReply {
    guard let task = inner.withLock({ $0.pull }) else { return .refused("nothing is being pulled") }
    task.cancel()
    return .done("the pull is being cancelled")
  }

  private func run(pull name: String) async {
    func tell(_ phase: Control.PullProgress.Phase, _ bytes: Int, _ total: Int?, _ detail: String?) {
      listener.pulls(
        Control.PullProgress(
          model: name, phase: phase, bytes: Int64(bytes), total: total.map { Int64($0) }, detail: detail))
    }
    tell(.starting, 0, nil, nil)
    do {
      let pull = try ModelPull(name, store: ModelStore())
      var flaw: String?
      for try await progress in pull.events() {
        if let found = progress.flaw, flaw == nil {
          flaw = found
          runtime.note(.warning, found)
        }
        switch progress.state {
        case .starting: tell(.starting, progress.bytes, progress.total, nil)
        case .downloading: tell(.fetching, progress.bytes, progress.total, nil)
        case .unpacking, .verifying: tell(.checking, progress.bytes, progress.total, nil)
        case .finished: tell(.loading, progress.bytes, progress.total, nil)
        }
      }
      if Task.isCancelled { throw CancellationError() }
      runtime.note(.info, "pulled \(name)")
      tell(.done, 0, nil, nil)
      load(named: name)
    } catch is CancellationError {
      tell(.cancelled, 0, nil, nil)
    } catch {
      runtime.note(.error, "pulling \(name): \(error)")
      tell(.failed, 0, nil, "\(error)")
    }
    inner.withLock { $0.pull = nil }
  }
}

/// Says when a graphics processor is no longer used, and when it is again.
private final class DeviceWatch: Sendable {
  private let engine: Engine
  private let problem = Mutex<String?>(nil)

  init(_ engine: Engine) { self.engine = engine }

  /// What changed since the last call; nil: nothing did.
  func news() -> String? {
    guard let report = engine.graphics else { return nil }
    return problem.withLock { problem in
      if report.problem == problem { return nil }
      problem = report.problem
      return problem.map { "\(engine.deviceName) is not used, and the processors compute: \($0)" }
        ?? "\(engine.deviceName) is used again"
    }
  }
}
