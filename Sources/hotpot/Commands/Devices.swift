// Devices.swift: `hotpot devices`: the graphics processors of this machine, and whether each gives the frozen
// bits. The proof is CVulkan's; it runs in a child (DeviceExamination).

import Foundation

extension Command {
  static let devices = Command(
    name: "devices", summary: "the graphics processors, and whether each gives the right bits",
    details: """
      Each is tested kernel by kernel on the arithmetic of models, in a process of its own, and refused if one bit is
      wrong, or if it lacks something. One that passes is free: '--device' takes it for a model. Nothing is changed.
      HOTPOT_VULKAN_CPU=1 tests devices that are software too, which takes some seconds.
      """,
    options: [.json]
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    let environment = ProcessInfo.processInfo.environment
    if let from = environment[DeviceExamination.marker] {
      return try await OwnThread.run { try DeviceExamination.examine(from: from, environment) }
    }
    let found = try await OwnThread.run { DeviceExamination.run(environment) }
    if arguments.has("json") {
      try Console.print(json: found.devices.map(\.printed))
      if found.devices.isEmpty, let problem = found.problem { Console.note("hotpot: \(problem)\n") }
      return .ok
    }
    if found.devices.isEmpty {
      Console.print("no device: \(found.problem ?? "none was found")")
      return .ok
    }
    let rows = found.devices.map { device in
      [
        device.name, device.api, device.driver, "\(device.memory >> 20) MiB", device.state.rawValue,
        device.reason,
      ]
    }
    Console.write(StatusPage.table([["NAME", "API", "DRIVER", "MEMORY", "STATE", "REASON"]] + rows))
    return .ok
  }
}
