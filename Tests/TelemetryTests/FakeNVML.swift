// FakeNVML.swift: Tests/Support/FakeNVML/nvml.c, compiled once a run, and a copy of it for each test.
import Foundation
import TestSettings
import Testing

final class FakeNVML {
  let path: String
  private let library: UnsafeMutableRawPointer

  /// Why it cannot be made; nil where there is a compiler.
  static let absence: String? = {
    do {
      _ = try compiled([])
      return nil
    } catch {
      return "\(error)"
    }
  }()

  init(without missing: [String] = []) throws {
    path = NSTemporaryDirectory() + "libnvidia-ml-\(UUID().uuidString).so"
    // A copy is a library of its own for the loader, with its own GPUs.
    try FileManager.default.copyItem(atPath: Self.compiled(missing), toPath: path)
    library = try #require(dlopen(path, RTLD_NOW | RTLD_LOCAL))
  }

  deinit {
    dlclose(library)
    unlink(path)
  }

  private static func compiled(_ missing: [String]) throws -> String {
    let output = NSTemporaryDirectory() + "libnvidia-ml-\(UUID().uuidString).so"
    let source = repository.appending(path: "Tests/Support/FakeNVML/nvml.c").path
    let compiler = Process()
    compiler.executableURL = URL(filePath: "/usr/bin/env")
    compiler.arguments =
      ["clang", "-shared", "-fPIC", "-O1", "-w", "-o", output, source] + missing.map { "-DWITHOUT_\($0)" }
    try compiler.run()
    compiler.waitUntilExit()
    guard compiler.terminationStatus == 0 else { throw POSIXError(.ENOEXEC) }
    return output
  }

  private func function<Function>(_ name: String, _: Function.Type) throws -> Function {
    unsafeBitCast(try #require(dlsym(library, name)), to: Function.self)
  }

  func count(_ count: UInt32) throws {
    try function("fake_count", (@convention(c) (UInt32) -> Void).self)(count)
  }

  func set(_ gpu: UInt32, _ fields: [String: UInt64]) throws {
    let set = try function("fake_set", (@convention(c) (UInt32, UnsafePointer<CChar>, UInt64) -> Void).self)
    for (field, value) in fields { set(gpu, field, value) }
  }

  func failInit(_ error: Int32) throws {
    try function("fake_init_error", (@convention(c) (Int32) -> Void).self)(error)
  }

  func failHandles(_ error: Int32) throws {
    try function("fake_handle_error", (@convention(c) (Int32) -> Void).self)(error)
  }

  func hang(in input: Int32, said: Int32) throws {
    try function("fake_hang", (@convention(c) (Int32, Int32) -> Void).self)(input, said)
  }

  /// An H100 as nvidia-smi shows one at work.
  static let busy: [String: UInt64] = [
    "utilization": 93, "power": 412_345, "limit": 700_000, "temperature": 64, "slowdown": 92, "clock": 1_755,
    "memory_clock": 2_619, "total": 85_520_809_984, "used": 40_000_000_000, "reserved": 600_000_000,
    "energy": 5_000_000, "corrected": 3, "processes": 2, "tx": 1_000, "rx": 2_000,
  ]
}
