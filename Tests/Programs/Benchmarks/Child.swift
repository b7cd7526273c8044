// Child.swift: a program run to its end: what it printed, how long it took, and its peak memory.

import Foundation
import Glibc

struct BenchmarkError: Error, CustomStringConvertible {
  let description: String
}

/// What a child process printed, how long it ran, and its peak resident memory in megabytes.
struct Child {
  var output = ""
  var seconds = 0.0
  var megabytes = 0.0

  static func start(_ arguments: [String], output: Int32?) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    if let output {
      posix_spawn_file_actions_adddup2(&actions, output, 1)
    } else {
      posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    }
    var pointers: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) }
    defer { for pointer in pointers { free(pointer) } }
    pointers.append(nil)
    var child: pid_t = 0
    let code = posix_spawn(&child, arguments[0], &actions, nil, pointers, environ)
    guard code == 0 else {
      throw BenchmarkError(description: "\(arguments[0]): \(String(cString: strerror(code)))")
    }
    return child
  }

  static func run(_ arguments: [String]) throws -> Child {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw BenchmarkError(description: "pipe failed") }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    let start = ContinuousClock.now
    let child = try Child.start(arguments, output: ends[1])
    close(ends[1])
    defer { close(ends[0]) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = read(ends[0], &buffer, buffer.count)
      if count <= 0 { break }
      bytes += buffer[..<count]
    }
    var status: Int32 = 0
    var usage = rusage()
    wait4(child, &status, 0, &usage)
    guard status == 0 else { throw BenchmarkError(description: "\(arguments.joined(separator: " ")) failed") }
    var result = Child()
    result.output = String(decoding: bytes, as: UTF8.self)
    let time = ContinuousClock.now - start
    result.seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
    result.megabytes = Double(usage.ru_maxrss) / 1_024
    return result
  }
}
