// EngineLoop.swift: the thread that steps the engine, at its own pace. It requests the next step,
// runs it, extends the transcripts, and reports. Decides nothing. Start at run().
import Foundation
import Inference
import Receipts
import Scheduling
import Synchronization

/// Steps one engine until it is stopped.
final class EngineLoop: Sendable {
  /// The loop's interface to the state machine.
  struct Node: Sendable {
    let nextStep: @Sendable () -> StepPlan?
    let report:
      @Sendable (_ number: UInt64, _ results: [Scheduling.StepResult], _ duration: Microseconds) -> Void
    /// Microseconds until the passing of time alone may bring work.
    let nextDeadline: @Sendable () -> Microseconds?
    let failed: @Sendable (String) -> Void
    let audited: @Sendable (Transcript) -> Void
    /// Whatever the body sends to clients is sent in one batch.
    let together: @Sendable (() -> Void) -> Void
  }

  private let engine: Engine
  private let transcripts: Transcripts
  private let node: Node
  private let wake = DispatchSemaphore(value: 0)
  private let isStopping = Atomic<Bool>(false)
  private let hasEnded = DispatchSemaphore(value: 0)

  init(engine: Engine, transcripts: Transcripts, node: Node) {
    self.engine = engine
    self.transcripts = transcripts
    self.node = node
  }

  func start() {
    let thread = Thread { [self] in run() }
    thread.name = "engine"
    thread.stackSize = 1 << 20
    thread.start()
  }

  /// Signals that there may be work.
  func signal() { wake.signal() }

  /// Ends the current step between two layers, and then the thread.
  func stop() {
    isStopping.store(true, ordering: .releasing)
    wake.signal()
    hasEnded.wait()
  }

  private func run() {
    Thread.current.name = "engine"
    // Swapped-out blocks and states; used by this thread only.
    var host: [HostPlace: [UInt8]] = [:]
    defer { hasEnded.signal() }
    while !isStopping.load(ordering: .acquiring) {
      guard let plan = node.nextStep(), !plan.isEmpty else {
        let limit = node.nextDeadline().map { DispatchTime.now() + .microseconds(Int(clamping: $0)) }
        _ = wake.wait(timeout: limit ?? .distantFuture)
        // Several signals during a step count as one.
        while wake.wait(timeout: .now()) == .success {}
        continue
      }
      do throws(EngineError) {
        try step(plan, &host)
      } catch .cancelled {
        return
      } catch {
        node.failed("\(error)")
        return
      }
    }
  }

  /// A block of host memory: of all positions, of one window, or of a recurrent state.
  private enum HostPlace: Hashable {
    case block(BlockID, window: Int?)
    case state(BlockID)
  }

  private func step(_ plan: StepPlan, _ host: inout [HostPlace: [UInt8]]) throws(EngineError) {
    var duration: UInt64 = 0
    let began = DispatchTime.now().uptimeNanoseconds
    for operation in plan.operations {
      switch operation {
      case .swapOut(_, let blocks, let places, let window):
        for (block, place) in zip(blocks, places) {
          host[.block(place, window: window)] = try engine.readBlock(block, window: window)
        }
      case .swapIn(_, let places, let blocks, let window):
        for (place, block) in zip(places, blocks) {
          if let bytes = host.removeValue(forKey: .block(place, window: window)) {
            try engine.writeBlock(block, bytes, window: window)
          }
        }
      case .saveState(_, let slot, let place): host[.state(place)] = try engine.readState(slot)
      case .restoreState(_, let place, let slot):
        if let bytes = host.removeValue(forKey: .state(place)) { try engine.writeState(slot, bytes) }
      }
    }
    if !plan.operations.isEmpty { duration = DispatchTime.now().uptimeNanoseconds - began }
    var items: [StepItem] = []
    var entries: [(StepEntry, Transcript)] = []
    var results: [Scheduling.StepResult] = []
    for entry in plan.entries {
      guard let transcript = transcripts.find(entry.job) else {
        results.append(.init(job: entry.job, .failed(reason: "its content is gone")))
        continue
      }
      switch entry.emits ? transcript.readiness({ [wake] in wake.signal() }) : .ready {
      case .ready: break
      case .awaited:
        results.append(.init(job: entry.job, .later))
        continue
      case .givenUp:
        let words =
          "which tokens the constraint allows was not found within \(HeldConstraint.longestWalk.components.seconds) s"
        results.append(.init(job: entry.job, .failed(reason: words)))
        continue
      }
      items.append(
        StepItem(
          tokens: transcript.tokens(entry.start..<entry.start + entry.count), position: entry.start,
          blocks: entry.blocks,
          windows: entry.windows ?? [],
          // The first position reads no state: any slot will do.
          state: entry.state.map { StepItem.State(from: $0.from ?? $0.into, into: $0.into) },
          output: Self.output(of: entry, transcript),
          digests: (entry.emits || transcript.audit != nil) && transcript.vector == nil,
          states: transcript.vector != nil))
      entries.append((entry, transcript))
    }
    // The walks' ends wake it.
    if items.isEmpty, !results.isEmpty { _ = wake.wait(timeout: .now() + .milliseconds(5)) }
    let computing = DispatchTime.now().uptimeNanoseconds
    let computed = items.isEmpty ? [] : try compute(items)
    duration += DispatchTime.now().uptimeNanoseconds - computing
    node.together {
      for ((entry, transcript), result) in zip(entries, computed) {
        results += outcome(entry, transcript, result)
      }
    }
    node.report(plan.number, results, Microseconds(clamping: duration / 1_000))
  }

  /// Which outputs an entry needs. An audit replays the sampler from the last token of the original
  /// prompt on; a chunk that ends before that token needs no output, only its keys and values.
  private static func output(of entry: StepEntry, _ transcript: Transcript) -> StepItem.Output {
    if let output = transcript.pooledOutput(at: entry.start, isLast: entry.emits) { return output }
    guard let audit = transcript.audit else {
      guard entry.emits else { return .none }
      // The sampler says at every guessed position whether the guess is right.
      return entry.guessed == nil ? .last(transcript.context()) : .replay(transcript.context())
    }
    return entry.start + entry.count >= audit.promptCount ? .replay(transcript.context()) : .none
  }

  /// Runs the items. An item that the engine refuses fails alone, and the others continue without
  /// it.
  private func compute(_ items: [StepItem]) throws(EngineError) -> [Result<Inference.StepResult, EngineError>]
  {
    var kept = Array(items.indices)
    var results: [Result<Inference.StepResult, EngineError>] = items.map { _ in .failure(.cancelled) }
    while !kept.isEmpty {
      do throws(EngineError) {
        let found = try engine.step(kept.map { items[$0] }) { isStopping.load(ordering: .relaxed) }
        for (index, result) in zip(kept, found) { results[index] = .success(result) }
        return results
      } catch .badItem(let index, let reason) where kept.indices.contains(index) {
        results[kept.remove(at: index)] = .failure(.badItem(index: index, reason: reason))
      }
    }
    return results
  }

  private func outcome(
    _ entry: StepEntry, _ transcript: Transcript, _ computed: Result<Inference.StepResult, EngineError>
  ) -> [Scheduling.StepResult] {
    let result: Inference.StepResult
    switch computed {
    case .success(let found): result = found
    case .failure(let error): return [.init(job: entry.job, .failed(reason: "\(error)"))]
    }
    if let failure = result.failure { return [.init(job: entry.job, .failed(reason: "\(failure)"))] }
    if let vector = transcript.vector { return pooled(entry, transcript, vector, result.states) }
    let digests = result.digests.compactMap { SHA256Digest(bytes: $0) }
    if transcript.audit != nil {
      transcript.replay(result.choices, digests, firstPosition: result.firstPosition)
      guard entry.emits else { return [] }
      node.audited(transcript)
      return [.init(job: entry.job, .end(.length))]
    }
    guard entry.emits else { return [] }
    let guessed = transcript.guessed(entry.guessed ?? 0)
    guard result.choices.count == guessed.count + 1,
      let taken = transcript.take(result.choices, digests, guessed: guessed)
    else {
      return [.init(job: entry.job, .failed(reason: "the engine gave no token"))]
    }
    return [
      .init(
        job: entry.job, taken.kind, keys: taken.keys, count: taken.count > 1 ? taken.count : nil,
        guess: taken.guess > 0 ? taken.guess : nil)
    ]
  }

  /// A chunk of a text whose vector is wanted.
  private func pooled(
    _ entry: StepEntry, _ transcript: Transcript, _ vector: Transcript.VectorTerms, _ states: [Float]
  ) -> [Scheduling.StepResult] {
    let width = engine.model.hyperparameters.embeddingLength
    let pooler = transcript.pool(states, width: width, position: entry.start)
    guard entry.emits, let pooler else { return [] }
    do throws(EngineError) {
      transcript.take(vector: try engine.vector(pooler, dimensions: vector.dimensions))
    } catch {
      return [.init(job: entry.job, .failed(reason: "\(error)"))]
    }
    if transcript.audit != nil { node.audited(transcript) }
    return [.init(job: entry.job, .end(.length))]
  }
}
