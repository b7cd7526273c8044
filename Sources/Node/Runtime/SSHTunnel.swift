// SSHTunnel.swift: ports of this machine that `ssh -N -L` carries to addresses as another machine sees
// them, with the user's own ssh configuration. A visit opens one for as long as it lasts
// (hotpot's SSHForward); the shared queue's is watched, and started again when it ends. Start at
// SSHTunnel and WatchedTunnel.
import CSystem
import Dispatch
import Foundation
import Synchronization

package struct SSHTunnel: Sendable {
  package struct Failure: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String
  }

  package let host: String
  /// HOST:PORT, as that machine sees them.
  package let targets: [String]
  /// On 127.0.0.1, one for each target.
  package let ports: [UInt16]

  /// Chooses free ports.
  package init(host: String, targets: [String]) throws(Failure) {
    guard SharedQueue.isMachine(host) else { throw Failure(description: "'\(host.prefix(80))' is no host") }
    self.host = host
    self.targets = targets
    ports = try Self.freePorts(targets.count)
  }

  private static func freePorts(_ count: Int) throws(Failure) -> [UInt16] {
    var open: [Int32] = []
    defer { for descriptor in open { close(descriptor) } }
    var ports: [UInt16] = []
    for _ in 0..<count {
      let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
      if descriptor >= 0 { open.append(descriptor) }
      var address = sockaddr_in()
      address.sin_family = sa_family_t(AF_INET)
      address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
      var length = socklen_t(MemoryLayout<sockaddr_in>.size)
      let found = withUnsafeMutablePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          descriptor >= 0 && bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
        }
      }
      guard found else {
        throw Failure(description: "no port is free here: \(String(cString: strerror(errno)))")
      }
      ports.append(UInt16(bigEndian: address.sin_port))
    }
    return ports
  }

  /// Starts ssh.
  /// - errors: where its words go; negative: this process's standard error
  /// - asks: whether it may ask for a password
  package func start(errors: Int32, asks: Bool) throws(Failure) -> pid_t {
    let program = (ProcessInfo.processInfo.environment["HOTPOT_SSH"] ?? "ssh").split(separator: " ").map(
      String.init)
    var words =
      program + [
        "-N", "-T", "-o", "ExitOnForwardFailure=yes", "-o", "ServerAliveInterval=10", "-o",
        "ServerAliveCountMax=3", "-o", "ConnectTimeout=15",
      ]
    if !asks { words += ["-o", "BatchMode=yes"] }
    for (port, target) in zip(ports, targets) { words += ["-L", "127.0.0.1:\(port):\(target)"] }
    words += ["--", host]
    let nothing = Glibc.open("/dev/null", O_RDWR | O_CLOEXEC)
    guard nothing >= 0 else {
      throw Failure(description: "cannot open /dev/null: \(String(cString: strerror(errno)))")
    }
    defer { close(nothing) }
    var list: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
    list.append(nil)
    defer { for word in list { free(word) } }
    var child: pid_t = 0
    let error = csystem_spawn_piped(list, nothing, errors, &child)
    guard error == 0 else {
      throw Failure(
        description: "'\(program.first ?? "ssh")' cannot be run: \(String(cString: strerror(error)))")
    }
    return child
  }
}

/// A tunnel that is opened again whenever it ends, after a second and then longer, up to half a minute.
package final class WatchedTunnel: Sendable {
  private struct Inner: Sendable {
    var child: pid_t = 0
    var isStarted = false
    var isEnded = false
  }

  package let tunnel: SSHTunnel
  private let inner = Mutex(Inner())
  private let ended = DispatchSemaphore(value: 0)
  private let said: @Sendable (String) -> Void

  /// - said: gets why a tunnel ended, on the watching thread; the same reason once
  package init(_ tunnel: SSHTunnel, said: @escaping @Sendable (String) -> Void) {
    self.tunnel = tunnel
    self.said = said
  }

  package func start() {
    inner.withLock { $0.isStarted = true }
    let thread = Thread { [self] in
      watch()
      ended.signal()
    }
    thread.name = "tunnel"
    thread.start()
  }

  /// Ends ssh, and waits for it.
  package func stop() {
    let (child, isStarted) = inner.withLock { inner in
      inner.isEnded = true
      return (inner.child, inner.isStarted)
    }
    if child > 0 { kill(child, SIGTERM) }
    if isStarted { ended.wait() }
  }

  private var isEnded: Bool { inner.withLock { $0.isEnded } }

  private func watch() {
    var pause = 1.0
    var last = ""
    while !isEnded {
      let began = ContinuousClock.now
      let words = run()
      if isEnded { return }
      // One that held for a while was a good one.
      if ContinuousClock.now - began > .seconds(60) { (pause, last) = (1, "") }
      if words != last { said("ssh to '\(tunnel.host)' ended: \(words)") }
      last = words
      let next = ContinuousClock.now + .seconds(pause)
      while !isEnded, ContinuousClock.now < next { usleep(50_000) }
      pause = min(30, pause * 2)
    }
  }

  /// Runs ssh until it ends.
  /// - Returns: the last line that it said
  private func run() -> String {
    var ends: [Int32] = [-1, -1]
    guard csystem_pipe(&ends) == 0 else { return "no pipe: \(String(cString: strerror(errno)))" }
    defer { close(ends[0]) }
    let child: pid_t
    do throws(SSHTunnel.Failure) {
      // The lock: a stop in between would leave ssh behind.
      child = try inner.withLock { inner throws(SSHTunnel.Failure) in
        if inner.isEnded { return 0 }
        inner.child = try tunnel.start(errors: ends[1], asks: false)
        return inner.child
      }
    } catch {
      close(ends[1])
      return error.description
    }
    close(ends[1])
    guard child > 0 else { return "" }
    var said: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1_024)
    while true {
      var wait = pollfd(fd: ends[0], events: Int16(POLLIN), revents: 0)
      guard poll(&wait, 1, -1) >= 0 || errno == EINTR else { break }
      let count = read(ends[0], &buffer, buffer.count)
      if count < 0 && (errno == EAGAIN || errno == EINTR) { continue }
      guard count > 0 else { break }
      said = Array((said + buffer[..<count]).suffix(4_096))
    }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0 && errno == EINTR {}
    inner.withLock { $0.child = 0 }
    let lines = String(decoding: said, as: UTF8.self).split(whereSeparator: \.isNewline)
    return lines.last.map { String($0.prefix(200)) } ?? "exit status \((status >> 8) & 0xFF)"
  }
}
