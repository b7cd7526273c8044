// GraphicsProcessor.swift: CVulkan in Swift: the loader, one open device whose kernels were proved, its
// memory, and lists of launches. Not here: what is launched for a step (VulkanStep.swift). Start at
// GraphicsProcessor.init.

import CVulkan

/// Vulkan's loader with its devices.
package final class VulkanLoader {
  let loader: OpaquePointer

  /// Why a device, or all of them, cannot be used.
  package struct Refusal: Error, CustomStringConvertible {
    package let description: String

    init(_ reason: String) { description = reason }
    fileprivate init(_ characters: [CChar]) {
      description = String(
        decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
  }

  package init(path: String = "libvulkan.so.1") throws(Refusal) {
    var reason = [CChar](repeating: 0, count: Int(CV_REASON))
    guard let loader = cv_load(path, &reason) else { throw Refusal(reason) }
    self.loader = loader
  }

  /// - find: vkGetInstanceProcAddr, of a layer for example
  package init(
    find: @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>) -> (@convention(c) () -> Void)?
  )
    throws(Refusal)
  {
    var reason = [CChar](repeating: 0, count: Int(CV_REASON))
    guard let loader = cv_load_from(find, &reason) else { throw Refusal(reason) }
    self.loader = loader
  }

  deinit { cv_unload(loader) }

  package var count: Int { Int(cv_count(loader)) }

  /// - index: below `count`
  package func facts(_ index: Int) -> (name: String, memory: Int, isSoftware: Bool) {
    var facts = cv_facts()
    cv_describe(loader, UInt32(index), &facts)
    let name = withUnsafeBytes(of: facts.name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    return (name, Int(clamping: facts.memory), facts.is_software)
  }

  fileprivate func open(_ index: Int, allowsSoftware: Bool) throws(Refusal) -> OpaquePointer {
    var reason = [CChar](repeating: 0, count: Int(CV_REASON))
    guard let device = cv_open(loader, UInt32(clamping: index), allowsSoftware, &reason) else {
      throw Refusal(reason)
    }
    return device
  }
}

/// An open device, all of whose kernels gave the frozen bits.
package final class GraphicsProcessor {
  private let loader: VulkanLoader
  fileprivate let device: OpaquePointer
  package let name: String
  /// Bytes of its own.
  package let memory: Int
  /// Whether something may still run that nobody waits for.
  fileprivate private(set) var isHung = false
  /// How long a wait may take, in nanoseconds.
  private let patience: UInt64

  package init(_ loader: VulkanLoader, index: Int, allowsSoftware: Bool) throws(VulkanLoader.Refusal) {
    self.loader = loader
    let facts = loader.facts(index)
    (name, memory) = (facts.name, facts.memory)
    patience = facts.isSoftware ? 600_000_000_000 : 30_000_000_000
    device = try loader.open(index, allowsSoftware: allowsSoftware)
    var reason = [CChar](repeating: 0, count: Int(CV_REASON))
    _ = cv_self_test(device, &reason)
    if reason[0] != 0 { throw VulkanLoader.Refusal(reason) }
  }

  deinit {
    if !isHung { cv_close(device) }
  }

  /// Why the device cannot be used any longer; nil as long as it can.
  package var problem: String? {
    let words = String(cString: cv_problem(device))
    return words.isEmpty ? nil : words
  }

  fileprivate var refusal: VulkanLoader.Refusal { .init(problem ?? "its driver refused") }

  /// Starts the launches, and empties the list. Returns a ticket.
  func submit(_ list: inout LaunchList) throws(VulkanLoader.Refusal) -> UInt64 {
    let ticket = list.withDispatches { cv_submit(device, $0, UInt32($1)) }
    list.removeAll()
    guard ticket > 0 else { throw refusal }
    return ticket
  }

  func wait(_ ticket: UInt64) throws(VulkanLoader.Refusal) {
    switch cv_wait(device, ticket, patience) {
    case CV_DONE: return
    case CV_LATE:
      isHung = true
      throw .init("it did not end within \(patience / 1_000_000_000) seconds")
    default: throw refusal
    }
  }

  func run(_ list: inout LaunchList) throws(VulkanLoader.Refusal) { try wait(submit(&list)) }
}

/// Memory on a device, freed together.
final class GraphicsMemory {
  private let device: GraphicsProcessor
  private var arenas: [cv_arena] = []

  init(_ device: GraphicsProcessor) { self.device = device }

  deinit {
    // What hangs may still write into its memory.
    if device.isHung { return }
    for i in arenas.indices { cv_arena_free(device.device, &arenas[i]) }
  }

  func arena(_ byteCount: Int, _ memory: cv_memory) throws(VulkanLoader.Refusal) -> cv_arena {
    var arena = cv_arena()
    guard cv_arena_make(device.device, UInt64(max(byteCount, 256)), memory, &arena) else {
      throw device.refusal
    }
    arenas.append(arena)
    return arena
  }
}

/// Launches in their order. Each sees what those before it wrote.
struct LaunchList {
  private struct Launch {
    let kernel: cv_kernel
    let x: UInt32
    let y: UInt32
    /// Of what it is told.
    let bytes: Range<Int>
  }

  private var launches: [Launch] = []
  private var told: [UInt8] = []
  /// Since the list was made, for measuring.
  private(set) var total = 0

  var count: Int { launches.count }

  mutating func add<Push: BitwiseCopyable>(_ kernel: cv_kernel, _ push: Push, _ x: Int, _ y: Int = 1) {
    if x < 1 || y < 1 { return }
    let start = told.count
    withUnsafeBytes(of: push) { told += $0 }
    launches.append(Launch(kernel: kernel, x: UInt32(x), y: UInt32(y), bytes: start..<told.count))
    total += 1
  }

  /// Some words of each of some rows.
  mutating func copy(
    from: UInt64, to: UInt64, rows: Int = 1, count: Int, fromStride: Int = 0, toStride: Int = 0
  ) {
    let words = rows * count
    if words < 1 { return }
    add(
      CV_COPY,
      cv_copy_push(
        from: from, to: to, rows: UInt32(rows), count: UInt32(count), from_stride: UInt32(fromStride),
        to_stride: UInt32(toStride)), min((words + 63) / 64, 16_384))
  }

  mutating func removeAll() {
    launches.removeAll(keepingCapacity: true)
    told.removeAll(keepingCapacity: true)
  }

  fileprivate func withDispatches(_ body: (UnsafePointer<cv_dispatch>, Int) -> UInt64) -> UInt64 {
    told.withUnsafeBytes { told in
      guard let base = told.baseAddress else { return 0 }
      let dispatches = launches.map { launch in
        cv_dispatch(
          kernel: launch.kernel, grid: (launch.x, launch.y, 1), push: base + launch.bytes.lowerBound,
          push_bytes: UInt32(launch.bytes.count))
      }
      return dispatches.withUnsafeBufferPointer { list in
        list.baseAddress.map { body($0, list.count) } ?? 0
      }
    }
  }
}
