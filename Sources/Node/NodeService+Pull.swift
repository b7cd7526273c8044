// NodeService+Pull.swift: fetching a model at an operator's word, told to all screens. Start at pull.
import Control
import Inference

extension NodeService {
  func pull(_ name: String) -> CommandReply {
    guard let model = ModelCatalog.model(named: name) else {
      return .refused("no model called '\(name)' can be pulled from here")
    }
    return parts.withLock { parts in
      guard parts.pull == nil else { return .refused("a model is being pulled already") }
      parts.pull = Task { [weak self] in await self?.run(pull: model.name) }
      return .done("pulling \(name)")
    }
  }

  func cancelPull() -> CommandReply {
    guard let task = parts.withLock({ $0.pull }) else { return .refused("nothing is being pulled") }
    task.cancel()
    return .done("the pull is being cancelled")
  }

  private func run(pull name: String) async {
    func tell(_ phase: Control.PullProgress.Phase, _ bytes: Int, _ total: Int?, _ detail: String?) {
      broadcast(
        .pull(
          Control.PullProgress(
            model: name, phase: phase, bytes: Int64(bytes), total: total.map { Int64($0) }, detail: detail)))
    }
    tell(.starting, 0, nil, nil)
    do {
      let pull = try ModelPull(name, store: ModelStore())
      var flaw: String?
      for try await progress in pull.events() {
        if let found = progress.flaw, flaw == nil {
          flaw = found
          note(.warning, found)
        }
        switch progress.state {
        case .starting: tell(.starting, progress.bytes, progress.total, nil)
        case .downloading: tell(.fetching, progress.bytes, progress.total, nil)
        case .unpacking, .verifying: tell(.checking, progress.bytes, progress.total, nil)
        case .finished: tell(.loading, progress.bytes, progress.total, nil)
        }
      }
      if Task.isCancelled { throw CancellationError() }
      note(.info, "pulled \(name)")
      tell(.done, 0, nil, nil)
      loadModel(named: name)
    } catch is CancellationError {
      tell(.cancelled, 0, nil, nil)
    } catch {
      note(.error, "pulling \(name): \(error)")
      tell(.failed, 0, nil, "\(error)")
    }
    parts.withLock { $0.pull = nil }
  }
}
