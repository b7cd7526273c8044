// VulkanDevice.swift: runs a program on a graphics processor, with the bits of the processors. These stand
// behind it: they keep a copy of all keys and values, and whatever the device cannot do (a number for
// which its kernels have no proof, or the device was lost) they compute instead, so no step fails with
// it. Not here: the launches of a step (VulkanStep.swift), memory (VulkanMemory.swift), what is refused
// (VulkanPlan.swift). Start at step.

import CDigest
import CKernels
import CVulkan
import Synchronization

package final class VulkanDevice: Device {
  package let name: String
  let model: Model
  let plan: VulkanPlan
  private let opening: () throws(VulkanLoader.Refusal) -> GraphicsProcessor
  let processors: ProcessorDevice
  private let sampler: Sampler
  private let level: ck_level
  /// nil: the device was lost, or differed.
  private var open: Opened?
  /// When it was lost; it may come back thrice an hour.
  private var losses: [ContinuousClock.Instant] = []
  private static let mostReturns = 3
  /// How many steps of one are compared with the processors', at one row: 0 to 1.
  private let checkedShare: Double
  /// By kind: blocks that the device wrote. Where it differed once, nothing of them is believed.
  private var suspect: [Set<Int>]
  /// By kind: blocks that were written, which go to a device that comes back.
  private var written: [Set<Int>]
  private var angles: [AngleTable]
  private let state = Mutex(VulkanReport())
  /// What was observed so far; from any thread.
  package private(set) var report: VulkanReport {
    get { state.withLock { $0 } }
    set { state.withLock { $0 = newValue } }
  }

  /// An open device with everything in its memory.
  struct Opened {
    let device: GraphicsProcessor
    let memory: VulkanMemory
  }

  /// - checked: the share of steps of which one row is compared with the processors'
  /// - opening: opens and proves the device, now and whenever it comes back
  package init(
    model: Model, blocks: [Int], threads: Int?, level: KernelLevel?, profile: NumericsProfile,
    checked: Double = 0, opening: @escaping () throws(VulkanLoader.Refusal) -> GraphicsProcessor
  ) throws(EngineError) {
    let device: GraphicsProcessor
    do { device = try opening() } catch {
      throw .deviceRefused(device: "the graphics processor", reason: error.description)
    }
    let facts = (name: device.name, memory: device.memory)
    func refused(_ reason: String) -> EngineError { .deviceRefused(device: facts.name, reason: reason) }
    name = facts.name
    do { plan = try VulkanPlan(model.program, blocks: blocks, profile: profile.kernels) } catch {
      throw refused(error.reason)
    }
    let sizes = VulkanMemory.sizes(plan)
    guard sizes.total <= facts.memory else {
      func words(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20) MiB" }
      throw refused(
        "its memory is \(words(facts.memory)), and weights take \(words(sizes.weights)), keys and values "
          + "\(words(sizes.cache)), a step \(words(sizes.step))")
    }
    self.model = model
    self.opening = opening
    let processors = try ProcessorDevice(
      model: model, blocks: blocks, threads: threads, level: level, profile: profile)
    self.processors = processors
    let chosen: KernelLevel
    if let level { chosen = level } else { chosen = try KernelLevel.fromEnvironment() }
    self.level = chosen.kernels
    sampler = Sampler(vocabularySize: model.program.shape.vocabularySize, level: chosen)
    written = model.program.kinds.map { _ in [] }
    suspect = written
    checkedShare = checked
    angles = plan.tables.map { AngleTable($0, model.weights) }
    report.memory = sizes.total
    do { open = try start(device) } catch { throw refused(error.description) }
  }

  /// Puts all that is known into the device's memory.
  private func start(_ device: GraphicsProcessor) throws(VulkanLoader.Refusal) -> Opened {
    let opened = Opened(device: device, memory: try VulkanMemory(plan, on: device))
    for tensor in plan.tensors {
      let bytes = UnsafeRawBufferPointer(
        start: model.weights.base + plan.program.tensors[tensor].offset, count: plan.byteCount(of: tensor))
      try upload(bytes, to: opened.memory.tensors[tensor], opened)
    }
    let ones = UnsafeMutableBufferPointer<Float>.allocate(capacity: plan.widths.max() ?? 1)
    defer { ones.deallocate() }
    ones.initialize(repeating: 1)
    try upload(UnsafeRawBufferPointer(ones), to: opened.memory.ones, opened)
    for (kind, blocks) in written.enumerated() {
      for block in blocks { try upload(block, of: kind, opened) }
    }
    return opened
  }

  /// - bytes: a multiple of 4
  private func upload(
    _ bytes: UnsafeRawBufferPointer, to address: UInt64, _ opened: Opened
  ) throws(VulkanLoader.Refusal) {
    guard let staging = opened.memory.staging.bytes else { return }
    var at = 0
    while at < bytes.count {
      let count = min(bytes.count - at, VulkanMemory.stagingBytes)
      UnsafeMutableRawBufferPointer(start: staging, count: count).copyMemory(
        from: UnsafeRawBufferPointer(rebasing: bytes[at..<(at + count)]))
      var list = LaunchList()
      list.copy(from: opened.memory.staging.address, to: address + UInt64(at), count: count / 4)
      try opened.device.run(&list)
      at += count
    }
  }

  /// The processors' copy of a block.
  private func upload(_ block: Int, of kind: Int, _ opened: Opened) throws(VulkanLoader.Refusal) {
    for (state, place) in plan.states.enumerated() where place.kind == kind {
      let part = processors.cache[state]
      try upload(
        UnsafeRawBufferPointer(start: part.base + block * part.stride, count: part.stride),
        to: opened.memory.states[state] + UInt64(block * part.stride), opened)
    }
  }

  // MARK: - Device

  package var threadCount: Int { processors.threadCount }
  package func blockByteCount(of kind: Int) -> Int { processors.blockByteCount(of: kind) }
  package func read(_ block: Int, of kind: Int) -> [UInt8] { processors.read(block, of: kind) }

  package func write(_ bytes: [UInt8], to block: Int, of kind: Int) {
    processors.write(bytes, to: block, of: kind)
    written[kind].insert(block)
    // What was read from a device that was believed then may be written back later.
    suspect[kind].insert(block)
    guarded { opened throws(VulkanLoader.Refusal) in try upload(block, of: kind, opened) }
  }

  package func copy(_ block: Int, to other: Int, of kind: Int) {
    processors.copy(block, to: other, of: kind)
    written[kind].insert(other)
    if suspect[kind].contains(block) { suspect[kind].insert(other) } else { suspect[kind].remove(other) }
    guarded { opened throws(VulkanLoader.Refusal) in
      var list = LaunchList()
      for (state, place) in plan.states.enumerated() where place.kind == kind {
        let base = opened.memory.states[state]
        list.copy(
          from: base + UInt64(block * place.stride), to: base + UInt64(other * place.stride),
          count: place.stride / 4)
      }
      if list.count > 0 { _ = try opened.device.submit(&list) }
    }
  }

  package func project(_ vector: [Float]) -> [Float]? { processors.project(vector) }
  package func weightBandwidth(rounds: Int) -> Double { processors.weightBandwidth(rounds: rounds) }

  /// Does something with the device, if it is there; if that fails, the device is lost.
  private func guarded(_ body: (Opened) throws(VulkanLoader.Refusal) -> Void) {
    guard let open else { return }
    do { try body(open) } catch { lose(error.description) }
  }

  private func lose(_ reason: String) {
    open = nil
    losses.append(.now)
    report.problem = reason
    report.losses += 1
  }

  /// Opens a lost device again, unless that was done too often.
  private func comeBack() {
    guard open == nil, report.differences == 0 else { return }
    losses.removeAll { $0 < .now - .seconds(3600) }
    guard losses.count <= VulkanDevice.mostReturns else { return }
    do {
      open = try start(opening())
      report.problem = nil
      report.returns += 1
    } catch {
      lose(error.description)
    }
  }

  package func step(_ items: [StepItem], cancelled: () -> Bool) -> [StepResult]? {
    comeBack()
    guard let open else { return stepByProcessors(items, cancelled) }
    let check = Double.random(in: 0..<1) < checkedShare ? Check(items) : nil
    do {
      switch try run(check?.items ?? items, open, cancelled: cancelled) {
      case .done(let results):
        report.steps += 1
        for item in items {
          for (kind, block) in blocks(of: item) {
            written[kind].insert(block)
            suspect[kind].insert(block)
          }
        }
        guard let check else { return results }
        report.checked += 1
        if holds(check, results) { return check.stripped(results) }
        differ(at: check.position)
        return stepByProcessors(items, cancelled)
      case .cancelled: return nil
      case .unproved: report.unproved += 1
      }
    } catch {
      lose(error.description)
    }
    // The processors' copy is whole up to this step, or further.
    return stepByProcessors(items, cancelled)
  }

  private func stepByProcessors(_ items: [StepItem], _ cancelled: () -> Bool) -> [StepResult]? {
    let believed = items.filter { !isSuspect($0) }
    guard var results = believed.isEmpty ? [] : processors.step(believed, cancelled: cancelled) else {
      return nil
    }
    report.stepsByProcessors += 1
    for item in believed {
      for (kind, block) in blocks(of: item) {
        written[kind].insert(block)
        suspect[kind].remove(block)
        guarded { opened throws(VulkanLoader.Refusal) in try upload(block, of: kind, opened) }
      }
    }
    if believed.count == items.count { return results }
    return items.map { item in
      guard isSuspect(item) else { return results.removeFirst() }
      var result = StepResult(firstPosition: item.position + item.outputs.lowerBound)
      result.failure = .deviceDiffered(device: name, position: report.differedAt)
      return result
    }
  }

  // MARK: - Comparing with the processors

  /// One row of a step, chosen by chance: its item computes what can be compared.
  private struct Check {
    var items: [StepItem]
    private let asked: StepItem
    let item: Int
    let row: Int

    var position: Int { asked.position + row }

    init?(_ items: [StepItem]) {
      guard let item = items.indices.randomElement(), let row = items[item].tokens.indices.randomElement()
      else { return nil }
      self.items = items
      self.item = item
      self.row = row
      asked = items[item]
      self.items[item].digests = true
      self.items[item].logits = asked.logits || asked.context != nil
    }

    /// The item up to the row.
    var beginning: StepItem {
      var beginning = items[item]
      beginning.tokens = Array(beginning.tokens[...row])
      beginning.output = asked.outputs.contains(row) ? .end : .none
      return beginning
    }

    /// What the device gave for the row: digest and logits.
    func given(_ results: [StepResult], vocabulary: Int) -> (digest: [UInt8], logits: [Float])? {
      guard asked.outputs.contains(row) else { return nil }
      let at = row - asked.outputs.lowerBound
      let logits = results[item].logits
      return (
        results[item].digests[at],
        logits.isEmpty ? [] : Array(logits[(at * vocabulary)..<((at + 1) * vocabulary)])
      )
    }

    /// The results without what only the comparison needed.
    func stripped(_ results: [StepResult]) -> [StepResult] {
      var results = results
      if !asked.digests { results[item].digests = [] }
      if !asked.logits { results[item].logits = [] }
      return results
    }
  }

  /// Whether the processors give the same keys, values, final state and logits.
  private func holds(_ check: Check, _ results: [StepResult]) -> Bool {
    let beginning = check.beginning
    let places = blocks(of: beginning)
    let before = places.map { processors.read($0.block, of: $0.kind) }
    guard let own = processors.step([beginning], cancelled: { false })?.first, own.failure == nil,
      places.map({ processors.read($0.block, of: $0.kind) }) == before
    else { return false }
    guard let given = check.given(results, vocabulary: plan.program.shape.vocabularySize) else { return true }
    return own.digests == [given.digest]
      && (given.logits.isEmpty || own.logits.map(\.bitPattern) == given.logits.map(\.bitPattern))
  }

  private func differ(at position: Int) {
    open = nil
    report.differences += 1
    report.differedAt = position
    report.problem = "it gave other bits than the processors at position \(position)"
  }

  /// Whether an item continues from what a device wrote that gave other bits.
  private func isSuspect(_ item: StepItem) -> Bool {
    guard report.differences > 0, item.position > 0 else { return false }
    return plan.program.kinds.indices.contains { kind in
      guard plan.program.kinds[kind] != .slot else { return false }
      return item.table(kind)[...((item.position - 1) / 16)].contains {
        $0 >= 0 && suspect[kind].contains(Int($0))
      }
    }
  }

  /// The blocks that an item's step writes, with their kinds.
  private func blocks(of item: StepItem) -> [(kind: Int, block: Int)] {
    plan.program.kinds.indices.flatMap { kind -> [(kind: Int, block: Int)] in
      guard plan.program.kinds[kind] != .slot else { return [] }
      let table = item.table(kind)
      return ((item.position / 16)...((item.position + item.tokens.count - 1) / 16)).map {
        (kind, Int(max(table[$0], 0)))
      }
    }
  }

  // MARK: - A step

  private enum Outcome {
    case done([StepResult])
    case cancelled
    /// A number for which there is no proof that no operation meets a denormal, or one that is not
    /// finite.
    case unproved
  }

  private func run(
    _ items: [StepItem], _ opened: Opened, cancelled: () -> Bool
  ) throws(VulkanLoader.Refusal) -> Outcome {
    var results = items.map { StepResult(firstPosition: $0.position + $0.outputs.lowerBound) }
    for batch in VulkanBatch.batches(items) {
      var step = VulkanStep(
        plan: plan, memory: opened.memory, batch: batch, items: items, weights: model.weights)
      step.writeInputs { table, position, into in angles[table].copy(position, into) }
      step.begin()
      var tickets: [UInt64] = []
      for entry in plan.operations {
        step.record(entry)
        guard entry.endsLayer, step.isSliceFull else { continue }
        if cancelled() {
          if let last = tickets.last { try opened.device.wait(last) }
          return .cancelled
        }
        report.launches += step.list.count
        tickets.append(try opened.device.submit(&step.list))
        // Two are in flight.
        if tickets.count > 1 { try opened.device.wait(tickets[tickets.count - 2]) }
      }
      for entry in plan.closing { step.record(entry) }
      step.gatherStates()
      var done = 0
      repeat {
        let round = Array(batch.outputs[done...].prefix(VulkanPlan.logitRows))
        let wanted = round.contains { VulkanDevice.needsLogits(items[$0.item]) }
        if wanted { step.recordLogits(round) }
        report.launches += step.list.count
        try opened.device.run(&step.list)
        if step.flags != 0 { return .unproved }
        if done == 0 { merge(step, opened.memory) }
        for (at, output) in round.enumerated() {
          let isGood = finish(
            output, index: done + at, row: at, items[output.item], step, &results[output.item])
          if !isGood { return .unproved }
        }
        done += max(round.count, 1)
      } while done < batch.outputs.count
    }
    return .done(results)
  }

  private static func needsLogits(_ item: StepItem) -> Bool { item.logits || item.context != nil }

  /// An output's digest, state, logits and choice. false: a number is not finite.
  /// - index: among the batch's outputs
  /// - row: among the logits
  private func finish(
    _ output: VulkanBatch.Output, index: Int, row: Int, _ item: StepItem, _ step: VulkanStep,
    _ result: inout StepResult
  ) -> Bool {
    let columns = plan.ending.product.weights.columns
    let state = step.state(index)
    guard ck_all_finite(level, state, UInt32(columns)) else { return false }
    if item.digests {
      var digest = [UInt8](repeating: 0, count: 32)
      hp_sha256(state, columns * 4, &digest)
      result.digests.append(digest)
    }
    if item.states { result.states += UnsafeBufferPointer(start: state, count: columns) }
    guard VulkanDevice.needsLogits(item) else { return true }
    let vocabulary = plan.program.shape.vocabularySize
    let logits = step.logits(row)
    for operation in plan.ending.after {
      switch operation {
      case .scale(let scale): ck_scale(scale.factor, UInt32(scale.width), logits)
      case .cap(let cap): ck_cap(level, cap.bound, UInt32(cap.width), logits)
      default: return false
      }
    }
    if item.logits { result.logits += UnsafeBufferPointer(start: logits, count: vocabulary) }
    guard let context = item.context else { return true }
    guard let choice = sampler.choose(from: logits, context: context, position: output.position + 1) else {
      return false
    }
    result.choices.append(choice)
    return true
  }

  /// Puts what the batch stored into the processors' copy.
  private func merge(_ step: VulkanStep, _ memory: VulkanMemory) {
    guard let stored = memory.stored.bytes else { return }
    for (state, place) in plan.states.enumerated() {
      let part = processors.cache[state]
      guard case .keysAndValues(let heads, let size, _) = plan.program.states[state] else { continue }
      for (index, page) in step.pages[place.kind].enumerated() {
        let from = stored + memory.storedStates[state] + index * place.stride
        let to = part.base + page.block * part.stride
        if page.slots.count == 16 {
          to.update(from: from, count: place.stride)
          continue
        }
        for slot in page.slots {
          for head in 0..<heads {
            let at = head * Int(ck_page_bytes(1, UInt32(size)))
            VulkanDevice.copyKey(from + at, to + at, slot, size)
            VulkanDevice.copyValue(from + part.pageBytes + at, to + part.pageBytes + at, slot, size)
          }
        }
      }
    }
  }

  // Layouts as ck_page_bytes describes them.

  private static func copyKey(
    _ from: UnsafePointer<UInt8>, _ to: UnsafeMutablePointer<UInt8>, _ slot: Int, _ size: Int
  ) {
    let from = UnsafeRawPointer(from).assumingMemoryBound(to: UInt32.self)
    let to = UnsafeMutableRawPointer(to).assumingMemoryBound(to: UInt32.self)
    for word in 0...(size / 2) { to[word * 16 + slot] = from[word * 16 + slot] }
  }

  private static func copyValue(
    _ from: UnsafePointer<UInt8>, _ to: UnsafeMutablePointer<UInt8>, _ slot: Int, _ size: Int
  ) {
    (to + 4 * slot).update(from: from + 4 * slot, count: 4)
    let at = 64 + 2 * slot * size
    (to + at).update(from: from + at, count: 2 * size)
  }
}

/// What a device did, for people and metrics.
package struct VulkanReport: Sendable, Equatable {
  /// Bytes of the device's own memory.
  package var memory = 0
  /// Steps that ran on the device, and those that the processors took over.
  package var steps = 0
  package var stepsByProcessors = 0
  /// Steps with a number that the device's kernels have no proof for.
  package var unproved = 0
  package var losses = 0
  /// How often a lost device came back.
  package var returns = 0
  /// Steps of which a row was compared with the processors', and how many differed, the last at a position.
  package var checked = 0
  package var differences = 0
  package var differedAt = 0
  package var launches = 0
  /// Why the device is not used.
  package var problem: String?
}

/// Angles of positions, 64 at a time, on first use.
private struct AngleTable {
  private static let chunk = 64
  private let angles: RotaryAngles
  private let divisors: [Float]
  private var chunks: [Int: [Float]] = [:]

  init(_ angles: RotaryAngles, _ weights: Weights) {
    self.angles = angles
    divisors = angles.divisors(
      angles.factors.map { Array(UnsafeBufferPointer(start: weights.floats($0), count: $0.count)) })
  }

  /// cos and sin of each pair.
  mutating func copy(_ position: Int, _ into: UnsafeMutablePointer<Float>) {
    let chunk = position / AngleTable.chunk
    let count = 2 * angles.pairs
    if chunks[chunk] == nil {
      var table = [Float](repeating: 0, count: AngleTable.chunk * count)
      ck_rope_table(
        angles.base, 1 / angles.scale, angles.magnitude, divisors, UInt32(angles.pairs),
        UInt32(chunk * AngleTable.chunk), UInt32(AngleTable.chunk), &table)
      chunks[chunk] = table
    }
    chunks[chunk]?.withUnsafeBufferPointer { table in
      guard let base = table.baseAddress else { return }
      into.update(from: base + position % AngleTable.chunk * count, count: count)
    }
  }
}
