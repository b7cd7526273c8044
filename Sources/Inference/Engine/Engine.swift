// Engine.swift: a model, its KV memory and its threads: takes steps for a batch of sequences.
// Not here: choosing sequences and blocks (the scheduler) and the computing (Devices/). Start at
// step(_:cancelled:).

import CKernels
import Synchronization

/// Executes steps. Results do not depend on what else is in a step, on how a prompt is cut into
/// chunks, on the number of threads or on the level of the kernels: they are the same bits
/// (numerics profile N1).
///
/// The rule: one step at a time; a second caller gets `.busy`. It exists because the activations'
/// memory is shared between steps. `step` blocks its caller, which works along as one of the
/// engine's threads, so call it from a dedicated thread and never from the cooperative pool, where
/// it would starve every task.
public final class Engine: Sendable {
  public static let blockSize = KVCache.blockSize

  public let model: Model
  public let configuration: Configuration
  /// Blocks of each kind of place.
  private let blocks: [Int]
  // Safe, though the compiler can't see it: used only by the caller that set `isStepping`.
  nonisolated(unsafe) private let device: any Device
  private let isStepping = Atomic<Bool>(false)
  /// Why the processors compute though another device was preferred.
  public let deviceNote: String?

  public struct Configuration: Sendable, Equatable {
    /// 1 to 256; nil: as many as the affinity mask and the control group allow.
    public var threads: Int?
    public var profile: Profile
    public var device = ComputeDevice.processors
    /// The share of a graphics processor's steps of which one row is compared with the processors', 0 to 1.
    public var checkedShare = 0.001
    /// Blocks of 16 positions in all, 1 to 16,777,216.
    public var kvBlocks: Int
    /// The same of each of the model's windows; empty: as many as `kvBlocks`.
    public var windowBlocks: [Int] = []
    /// Places for the recurrent state of one sequence each, 2 to 65,536: one to read, one to write.
    /// Models without such a state have none. Memory of a place is taken when it is first written.
    public var stateSlots = 16
    /// nil: the one that `HOTPOT_ISA` names, or the best available one.
    public var level: KernelLevel?
    /// Tokens of all items of a step together, 1 to 65,536. Memory for activations grows with the
    /// largest step taken.
    public var maximumStepTokens: Int

    public init(
      threads: Int? = nil, profile: Profile = .standard, kvBlocks: Int, level: KernelLevel? = nil,
      maximumStepTokens: Int = 1_024
    ) {
      self.threads = threads
      self.profile = profile
      self.kvBlocks = kvBlocks
      self.level = level
      self.maximumStepTokens = maximumStepTokens
    }
  }

  public typealias Profile = NumericsProfile

  /// An engine on the device that the configuration names.
  public convenience init(model: Model, configuration: Configuration) throws(EngineError) {
    let note = DeviceNote()
    try self.init(model: model, configuration: configuration, note: note) {
      model, configuration, blocks throws(EngineError) in
      try ComputeDevice.make(model, configuration, blocks, note: note)
    }
  }

  /// - device: creates the device, after the configuration was checked; `blocks` is the number for
  ///   each kind of place.
  package init(
    model: Model, configuration: Configuration, note: DeviceNote? = nil,
    device: (Model, Configuration, _ blocks: [Int]) throws(EngineError) -> any Device
  ) throws(EngineError) {
    try Engine.check("threads", configuration.threads ?? 1, 1...256)
    try Engine.check("kvBlocks", configuration.kvBlocks, 1...16_777_216)
    if !configuration.windowBlocks.isEmpty {
      let windows = model.windows.count
      try Engine.check("the count of windowBlocks", configuration.windowBlocks.count, windows...windows)
    }
    try Engine.check("maximumStepTokens", configuration.maximumStepTokens, 1...65_536)
    var blocks = [configuration.kvBlocks]
    for (index, _) in model.windows.enumerated() {
      let count =
        configuration.windowBlocks.isEmpty ? configuration.kvBlocks : configuration.windowBlocks[index]
      try Engine.check("windowBlocks", count, 1...16_777_216)
      blocks.append(count)
    }
    if model.stateBytes > 0 {
      try Engine.check("stateSlots", configuration.stateSlots, 2...65_536)
      blocks.append(configuration.stateSlots)
    }
    self.blocks = blocks
    self.model = model
    self.configuration = configuration
    self.device = try device(model, configuration, blocks)
    deviceNote = note?.text.withLock { $0 }
  }

  /// The device's name, for people: the instruction set, or the name of a card.
  public var deviceName: String { device.name }

  /// What a graphics processor did so far; nil: the device is none. At any time.
  package var graphics: VulkanReport? { (device as? VulkanDevice)?.report }

  /// Threads that compute, the caller's included.
  public var threadCount: Int { device.threadCount }

  /// Computes every item, all layers, weights streamed once for all of them; results in the order
  /// of the items.
  ///
  /// - cancelled: asked between layers, on the calling thread; true ends the step with
  ///   `.cancelled`.
  /// - Throws `.badItem` before anything is computed. A fault within one item fails only that item
  ///   (`StepResult.failure`).
  public func step(_ items: [StepItem], cancelled: () -> Bool = { false }) throws(EngineError) -> [StepResult]
  {
    var tokens = 0
    for (index, item) in items.enumerated() {
      if let reason = problem(of: item) { throw .badItem(index: index, reason: reason) }
      tokens += item.tokens.count
    }
    if let (index, reason) = sharedState(items) { throw .badItem(index: index, reason: reason) }
    guard tokens <= configuration.maximumStepTokens else {
      throw .tooManyTokens(found: tokens, limit: configuration.maximumStepTokens)
    }
    if items.isEmpty { return [] }
    try enter()
    defer { leave() }
    guard let results = device.step(items, cancelled: cancelled) else { throw .cancelled }
    return results
  }

  /// Bytes that `readBlock` returns and `writeBlock` takes. If `window` is the index of one of the
  /// model's windows, that window's block; otherwise one of all positions.
  public func blockByteCount(window: Int? = nil) -> Int { device.blockByteCount(of: Engine.kind(window)) }

  /// The keys and values of one block over all layers, to be swapped out. Not during a step.
  public func readBlock(_ index: Int32, window: Int? = nil) throws(EngineError) -> [UInt8] {
    try checkBlock(index, window)
    try enter()
    defer { leave() }
    return device.read(Int(index), of: Engine.kind(window))
  }

  /// Writes what `readBlock` returned into any block. Not during a step.
  public func writeBlock(_ index: Int32, _ bytes: [UInt8], window: Int? = nil) throws(EngineError) {
    try checkBlock(index, window)
    let size = blockByteCount(window: window)
    try Engine.check("the size of a block", bytes.count, size...size)
    try enter()
    defer { leave() }
    device.write(bytes, to: Int(index), of: Engine.kind(window))
  }

  /// Copies one block to another, for a sequence that continues writing a block that others share.
  /// Not during a step.
  public func copyBlock(_ index: Int32, to other: Int32, window: Int? = nil) throws(EngineError) {
    try checkBlock(index, window)
    try checkBlock(other, window)
    try enter()
    defer { leave() }
    if index != other { device.copy(Int(index), to: Int(other), of: Engine.kind(window)) }
  }

  /// The model's products behind the vector of a text; nil: a number is not finite. Not during a step.
  func project(_ vector: [Float]) throws(EngineError) -> [Float]? {
    try enter()
    defer { leave() }
    return device.project(vector)
  }

  /// Bytes of the recurrent state of one sequence, as `readState` returns it.
  public var stateByteCount: Int { model.stateBytes > 0 ? device.blockByteCount(of: blocks.count - 1) : 0 }

  /// A recurrent state, to be kept elsewhere. Not during a step.
  public func readState(_ slot: Int32) throws(EngineError) -> [UInt8] {
    try checkSlot(slot)
    try enter()
    defer { leave() }
    return device.read(Int(slot), of: blocks.count - 1)
  }

  /// Writes what `readState` returned into any slot. Not during a step.
  public func writeState(_ slot: Int32, _ bytes: [UInt8]) throws(EngineError) {
    try checkSlot(slot)
    let size = stateByteCount
    try Engine.check("the size of a state", bytes.count, size...size)
    try enter()
    defer { leave() }
    device.write(bytes, to: Int(slot), of: blocks.count - 1)
  }

  private func checkSlot(_ slot: Int32) throws(EngineError) {
    guard model.stateBytes > 0 else {
      throw .badConfiguration(
        field: "the slot", found: "\(slot)", wanted: "a model with a recurrent state, which this one lacks")
    }
    try Engine.check("the slot", Int(slot), 0...(configuration.stateSlots - 1))
  }

  /// Of the program's kinds of place.
  private static func kind(_ window: Int?) -> Int { window.map { $0 + 1 } ?? 0 }

  /// Bytes per second at which all threads together read the packed weights: the best of some
  /// rounds.
  func weightBandwidth(rounds: Int) throws(EngineError) -> Double {
    try enter()
    defer { leave() }
    return device.weightBandwidth(rounds: rounds)
  }

  private func enter() throws(EngineError) {
    guard !isStepping.exchange(true, ordering: .acquiring) else { throw .busy }
  }

  private func leave() {
    isStepping.store(false, ordering: .releasing)
  }

  private func checkBlock(_ index: Int32, _ window: Int?) throws(EngineError) {
    if let window { try Engine.check("the window", window, 0...max(model.windows.count - 1, 0)) }
    try Engine.check("the block", Int(index), 0...(blocks[Engine.kind(window)] - 1))
  }

  private static func check(_ field: String, _ value: Int, _ range: ClosedRange<Int>) throws(EngineError) {
    guard range.contains(value) else {
      throw .badConfiguration(
        field: field, found: "\(value)", wanted: "\(range.lowerBound) to \(range.upperBound)")
    }
  }

  /// Why an item contradicts the model or the configuration; nil if it doesn't.
  private func problem(of item: StepItem) -> String? {
    let shape = model.hyperparameters
    guard !item.tokens.isEmpty else { return "no tokens" }
    guard item.tokens.count <= configuration.maximumStepTokens else {
      return "\(item.tokens.count) tokens, at most \(configuration.maximumStepTokens) are possible"
    }
    guard item.position >= 0, item.position <= shape.contextLength - item.tokens.count else {
      return
        "positions \(item.position) to \(item.position) + \(item.tokens.count), the context has \(shape.contextLength)"
    }
    if let token = item.tokens.first(where: { !isToken($0) }) {
      return "token \(token), the vocabulary has \(shape.vocabularySize)"
    }
    let end = item.position + item.tokens.count
    if model.readsBothWays {
      guard item.position == 0, case .all = item.output else {
        return "this model reads a whole text from its beginning, and every position has an output"
      }
    }
    if let reason = Engine.problem(item.blocks, until: end, first: 0, of: blocks[0]) { return reason }
    guard item.windows.isEmpty || item.windows.count == model.windows.count else {
      return "\(item.windows.count) tables of windows, the model has \(model.windows.count)"
    }
    for (index, window) in model.windows.enumerated() {
      let first = max(0, item.position + 1 - window) / Engine.blockSize
      if let reason = Engine.problem(
        item.table(index + 1), until: end, first: first, of: blocks[index + 1])
      {
        return reason
      }
    }
    if model.stateBytes > 0 {
      guard let state = item.state else { return "no slot for the recurrent state" }
      let slots = configuration.stateSlots
      for slot in [state.into] + (item.position > 0 ? [state.from] : [])
      where slot < 0 || Int(slot) >= slots {
        return "slot \(slot) for the recurrent state, there are \(slots)"
      }
    }
    guard let context = item.context else { return nil }
    do { try context.request.validate(vocabularySize: shape.vocabularySize) } catch { return "\(error)" }
    guard context.promptCount >= 0, context.promptCount <= end else {
      return "a prompt of \(context.promptCount) tokens, the sequence has \(end)"
    }
    if context.usesTranscript {
      guard context.transcript.count >= end else {
        return "a transcript of \(context.transcript.count) tokens, wanted \(end)"
      }
      if let token = context.transcript.prefix(end).first(where: { !isToken($0) }) {
        return "token \(token) in the transcript, the vocabulary has \(shape.vocabularySize)"
      }
    }
    return nil
  }

  /// The first item that writes a recurrent state which another item uses; nil if there is none.
  private func sharedState(_ items: [StepItem]) -> (index: Int, reason: String)? {
    guard model.stateBytes > 0, items.count > 1 else { return nil }
    var readers: [Int32: Int] = [:]
    for item in items where item.position > 0 {
      if let from = item.state?.from { readers[from, default: 0] += 1 }
    }
    var written: Set<Int32> = []
    for (index, item) in items.enumerated() {
      guard let state = item.state else { continue }
      let own = item.position > 0 && state.from == state.into ? 1 : 0
      if !written.insert(state.into).inserted || readers[state.into, default: 0] > own {
        return (index, "slot \(state.into) for the recurrent state is another item's too")
      }
    }
    return nil
  }

  /// What is wrong with a table of blocks, whose entries before `first` are not read; nil if
  /// nothing is.
  private static func problem(_ table: [Int32], until end: Int, first: Int, of count: Int) -> String? {
    let needed = (end + blockSize - 1) / blockSize
    guard table.count >= needed else { return "\(table.count) blocks for \(end) positions, wanted \(needed)" }
    if let block = table[first..<needed].first(where: { $0 < 0 || Int($0) >= count }) {
      return "block \(block), the cache has \(count)"
    }
    return nil
  }

  private func isToken(_ id: Int32) -> Bool { id >= 0 && Int(id) < model.hyperparameters.vocabularySize }
}
