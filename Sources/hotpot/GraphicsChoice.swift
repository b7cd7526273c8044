// GraphicsChoice.swift: the option `--device`, and whether what it names can be used: it is examined in a child
// first, because a driver may crash or hang. Start at device.

import Foundation
import Inference

enum GraphicsChoice {
  static let option = Option(
    "device", value: "processors|vulkan:N|auto",
    "what the model runs on: the processors, a device of 'hotpot devices', or the first that can (default processors)"
  )

  /// What the option names; nil without it.
  static func named(_ arguments: Arguments) throws -> ComputeDevice? {
    guard let text = arguments.string("device") else { return nil }
    guard let device = ComputeDevice(text) else {
      throw Failure(.usage, "option '--device' wants processors, vulkan:N or auto, found '\(text)'")
    }
    return device
  }

  static func device(_ arguments: Arguments) throws -> ComputeDevice {
    try examined(named(arguments) ?? .processors)
  }

  /// - Returns: for `auto` the first device that gives the frozen bits, or the processors.
  static func examined(_ wanted: ComputeDevice) throws -> ComputeDevice {
    if wanted == .processors { return wanted }
    let found = DeviceExamination.run(ProcessInfo.processInfo.environment)
    guard case .vulkan(let number) = wanted else {
      guard let first = found.devices.firstIndex(where: { $0.state != .refused }) else {
        let reasons = found.devices.map { "\($0.name): \($0.reason)" }.joined(separator: "; ")
        Console.note(
          "hotpot: no graphics processor can be used (\(found.problem ?? reasons)); the processors compute\n")
        return .processors
      }
      return .preferred(first)
    }
    guard found.devices.indices.contains(number) else {
      throw Failure(
        .unavailable,
        "there is no vulkan:\(number): \(found.problem ?? "Vulkan lists \(found.devices.count) here")",
        hint: "'hotpot devices' lists them; '--device processors' computes on the processors")
    }
    let device = found.devices[number]
    guard device.state != .refused else {
      throw Failure(
        .unavailable, "vulkan:\(number), \(device.name), cannot be used: \(device.reason)",
        hint: "'--device processors' computes on the processors")
    }
    return wanted
  }
}
