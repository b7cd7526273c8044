// DevicesTests.swift: `hotpot devices` without a loader, with drivers that crash, refuse and lack things
// (Tests/Support/FakeVulkan), and on a software device where there is one. Start at FakeVulkan.

import Foundation
import TestSettings
import Testing

/// One device of `hotpot devices --json`.
private struct Device: Decodable, Equatable {
  let name: String
  let api: String
  let driver: String
  let memory: UInt64
  let state: String
  let reason: String
}

/// A folder with a libvulkan.so.1 that does as it is told.
private struct FakeVulkan {
  let folder: Folder

  /// Why it cannot be made; nil where there is a compiler.
  static let absence: String? = {
    do {
      _ = try FakeVulkan()
      return nil
    } catch {
      return "\(error)"
    }
  }()

  init(_ definitions: String...) throws {
    folder = try Folder()
    let compiler = Process()
    compiler.executableURL = URL(filePath: "/usr/bin/env")
    compiler.arguments =
      ["clang", "-shared", "-fPIC", "-O1", "-w", "-o", folder.path + "/libvulkan.so.1"]
      + [repository.appending(path: "Tests/Support/FakeVulkan/vulkan.c").path] + definitions.map { "-D" + $0 }
    try compiler.run()
    compiler.waitUntilExit()
    guard compiler.terminationStatus == 0 else { throw POSIXError(.ENOEXEC) }
  }

  var environment: [String: String] { ["LD_LIBRARY_PATH": folder.path] }
}

@Suite struct DevicesTests {
  private func devices(_ environment: [String: String]) throws -> (devices: [Device], errors: String) {
    let outcome = try Program.run(["devices", "--json"], environment: environment)
    #expect(outcome.status == 0, "\(outcome)")
    return (try JSONDecoder().decode([Device].self, from: Data(outcome.output.utf8)), outcome.errors)
  }

  @Test func `a loader that cannot be opened leaves an empty list and a reason`() throws {
    let folder = try Folder()
    _ = try folder.write(Array("no library".utf8), "libvulkan.so.1")
    let environment = ["LD_LIBRARY_PATH": folder.path]
    let found = try devices(environment)
    #expect(found.devices == [])
    #expect(found.errors.hasPrefix("hotpot: Vulkan's loader cannot be opened: "), "\(found.errors)")
    let text = try Program.run(["devices"], environment: environment)
    #expect(text.output.hasPrefix("no device: Vulkan's loader cannot be opened: "), "\(text)")
    #expect(text.status == 0)
  }

  @Test(.enabled(if: FakeVulkan.absence == nil, "clang makes the loader that this test asks"))
  func `a device whose driver crashes is refused, and the next is looked at`() throws {
    let fake = try FakeVulkan("AT_DEVICE=CRASH")
    let found = try devices(fake.environment)
    let (api, driver, memory) = ("Vulkan 1.3.7", "fake driver 1.0", UInt64(3 << 30))
    #expect(
      found.devices == [
        Device(
          name: "Fake 0", api: api, driver: driver, memory: memory, state: "refused",
          reason: "its driver ended the process with signal 11 when it was tested"),
        Device(
          name: "Fake 1", api: api, driver: driver, memory: memory, state: "refused",
          reason: "it lacks timelineSemaphore"),
      ])
    let doctor = try Program.run(["doctor", "--json"], environment: fake.environment)
    #expect(
      doctor.output.contains(
        "\"found\":\"Fake 0 is refused: its driver ended the process with signal 11 when it was tested\""),
      "\(doctor)")
    let text = try Program.run(["devices"], environment: fake.environment).output
    let lines = text.split(separator: "\n").map {
      $0.split(separator: "  ").map { $0.trimmingCharacters(in: .whitespaces) }
    }
    #expect(lines.count == 3)
    #expect(lines.first == ["NAME", "API", "DRIVER", "MEMORY", "STATE", "REASON"])
    #expect(lines.last == ["Fake 1", api, driver, "3072 MiB", "refused", "it lacks timelineSemaphore"])
  }

  @Test(.enabled(if: FakeVulkan.absence == nil, "clang makes the loader that this test asks"))
  func `what a driver refuses, and a driver without its functions, is said`() throws {
    for (definition, reason) in [
      ("AT_DEVICE=REFUSE", "it cannot be opened: the driver could not start (-3)"),
      ("AT_DEVICE=GOOD", "its driver lacks vkDestroyDevice"),
    ] {
      let fake = try FakeVulkan(definition)
      let found = try devices(fake.environment)
      #expect(found.devices.map(\.reason) == [reason, "it lacks timelineSemaphore"])
    }
    let refusing = try FakeVulkan("AT_LOAD=REFUSE")
    let refused = try devices(refusing.environment)
    #expect(refused.devices == [])
    #expect(refused.errors == "hotpot: Vulkan does not start: the driver could not start (-3)\n")
    let crashing = try FakeVulkan("AT_LOAD=CRASH")
    let crashed = try devices(crashing.environment)
    #expect(crashed.devices == [])
    #expect(crashed.errors == "hotpot: Vulkan's loader or a driver ended the process with signal 11\n")
  }

  /// Mesa's software device, and the layer that checks how Vulkan is used.
  private static let lacksMesa = !FileManager.default.fileExists(
    atPath: "/usr/share/vulkan/explicit_layer.d/VkLayer_khronos_validation.json")

  @Test(.disabled(if: lacksMesa, "Vulkan's validation layer is absent"))
  func `a software device gives the frozen bits, and the validation layer has nothing to say`() throws {
    let refused = try devices([:]).devices.filter { $0.name.hasPrefix("llvmpipe") }
    try #require(refused.count == 1)
    #expect(refused[0].state == "refused")
    #expect(refused[0].reason.hasPrefix("it is software on the processors"))

    // The child by itself: all that it prints is its own words, where the layer is silent.
    let outcome = try Program.run(
      ["devices"],
      environment: [
        "HOTPOT_VULKAN_CPU": "1", "HOTPOT_DEVICES_FROM": "0",
        "VK_INSTANCE_LAYERS": "VK_LAYER_KHRONOS_validation",
      ])
    #expect(outcome.status == 0)
    let lines = outcome.output.split(separator: "\n")
    #expect(lines.allSatisfy { $0.hasPrefix("{\"") }, "\(outcome)")
    #expect(lines.last == "{\"whole\":{}}")
    let isFree = lines.contains {
      $0.contains("tests of its kernels give the frozen bits") && $0.contains("\"free\"")
    }
    #expect(isFree, "\(outcome)")
  }
}
