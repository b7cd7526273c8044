// ComputeDevice.swift: the names of what a model runs on, and the choice among it. Every device gives the
// same bits. Start at ComputeDevice.make.

import Glibc
import Synchronization

public enum ComputeDevice: Hashable, Sendable, CustomStringConvertible {
  case processors
  /// One of Vulkan's devices, by its number; if it cannot run the model, nothing does.
  case vulkan(Int)
  /// The same, but if it cannot run the model, the processors do.
  case preferred(Int)

  /// What people write; `auto` prefers the first device.
  public init?(_ text: String) {
    switch text {
    case "processors": self = .processors
    case "auto": self = .preferred(0)
    default:
      guard text.hasPrefix("vulkan:"), let number = Int(text.dropFirst(7)), (0..<16).contains(number),
        text == "vulkan:\(number)"
      else { return nil }
      self = .vulkan(number)
    }
  }

  public var description: String {
    switch self {
    case .processors: "processors"
    case .vulkan(let number): "vulkan:\(number)"
    case .preferred: "auto"
    }
  }

  /// - note: gets why the processors are taken though another device was preferred
  static func make(
    _ model: Model, _ configuration: Engine.Configuration, _ blocks: [Int], note: DeviceNote
  ) throws(EngineError) -> any Device {
    func processors() throws(EngineError) -> any Device {
      try ProcessorDevice(
        model: model, blocks: blocks, threads: configuration.threads, level: configuration.level,
        profile: configuration.profile)
    }
    func vulkan(_ number: Int) throws(EngineError) -> any Device {
      let loader: VulkanLoader
      do {
        loader = try VulkanLoader()
      } catch { throw .deviceRefused(device: "vulkan:\(number)", reason: error.description) }
      guard number < loader.count else {
        throw .deviceRefused(device: "vulkan:\(number)", reason: "Vulkan has \(loader.count) here")
      }
      let allowsSoftware = getenv("HOTPOT_VULKAN_CPU").map { String(cString: $0) } == "1"
      return try VulkanDevice(
        model: model, blocks: blocks, threads: configuration.threads, level: configuration.level,
        profile: configuration.profile, checked: configuration.checkedShare
      ) { () throws(VulkanLoader.Refusal) in
        try GraphicsProcessor(loader, index: number, allowsSoftware: allowsSoftware)
      }
    }
    switch configuration.device {
    case .processors: return try processors()
    case .vulkan(let number): return try vulkan(number)
    case .preferred(let number):
      do { return try vulkan(number) } catch {
        guard case .deviceRefused = error else { throw error }
        note.text.withLock { $0 = "\(error); the processors compute" }
        return try processors()
      }
    }
  }
}

/// Why a device is not the one that was preferred.
package final class DeviceNote: Sendable {
  let text = Mutex<String?>(nil)
}
