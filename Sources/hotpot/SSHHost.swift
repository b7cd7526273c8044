// SSHHost.swift: a node behind ssh: runs `ssh HOST hotpot link` with the user's own ssh
// configuration, once for each connection. The protocol over it is SocketConnection. Start at
// SSHHost.

import CSystem
import Control
import Foundation
import Synchronization
import Terminal

/// `[user@]host[:/state/directory]`, where ssh knows the host.
struct SSHHost: Sendable {
  let text: String
  private let destination: String
  private let state: String?
  private let remote: String

  init(_ text: String, remote: String?) throws {
    self.text = text
    var destination = text
    var state: String?
    // A path begins with a slash, so that IPv6 addresses are not split.
    if let colon = text.range(of: ":/") {
      destination = String(text[..<colon.lowerBound])
      state = "/" + text[colon.upperBound...]
    }
    // A name that begins with a dash would be an option of ssh.
    guard !destination.hasPrefix("-"), !destination.isEmpty,
      text.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7F })
    else { throw Failure(.usage, "'\(Console.oneLine(text))' is no host") }
    self.destination = destination
    self.state = state
    self.remote = remote ?? "hotpot"
  }

  /// - isUnattended: whether nobody can be asked for a password
  private func words(isUnattended: Bool) -> [String] {
    let program = (ProcessInfo.processInfo.environment["HOTPOT_SSH"] ?? "ssh").split(separator: " ").map(
      String.init)
    // Successive snapshots are much alike: compression reduces them to a twentieth.
    var words =
      program + [
        "-T", "-o", "Compression=yes", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3", "-o",
        "ConnectTimeout=15",
      ]
    if isUnattended { words += ["-o", "BatchMode=yes"] }
    words += ["--", destination, remote, "link"]
    if let state { words += ["--state", Self.quoted(state)] }
    return words
  }

  /// Opens the first connection in the terminal, where ssh may ask for a password, and sends the
  /// greeting, so that any failure is reported before a screen opens.
  /// - Returns: a descriptor to read and write.
  func openFirst(isReadOnly: Bool) throws -> Int32 {
    var ends: [Int32] = [-1, -1]
    let error = csystem_pipe(&ends)
    guard error == 0 else {
      throw Failure(.inputOutput, "cannot make a pipe: \(String(cString: strerror(-error)))")
    }
    for end in ends { _ = fcntl(end, F_SETFL, 0) }
    let relay = ErrorRelay(ends[0])
    let started = start(words(isUnattended: false), errors: ends[1])
    close(ends[1])
    let (near, process) = try started.get()
    let hello = ControlRequest.hello(version: ControlProtocol.version, every: 0, readOnly: isReadOnly)
    let bytes = ControlProtocol.line(hello) + [0x0A]
    let sent = bytes.withUnsafeBytes { csystem_send_blocking(near, $0.baseAddress, $0.count) }
    var line: [UInt8] = []
    var byte: UInt8 = 0
    while sent == bytes.count, line.count < 65_536, csystem_receive_blocking(near, &byte, 1) == 1,
      byte != 0x0A
    {
      line.append(byte)
    }
    var problem: Failure?
    switch byte == 0x0A ? ControlProtocol.parse(ControlReply.self, line) : nil {
    case .hello(let version, _, _) where version == ControlProtocol.version: break
    case .hello(let version, let node, let software):
      problem = Failure(
        .unavailable, SocketConnection.otherVersion(version, node: node, software: software),
        hint: "use the same release of hotpot here and there")
    case .denied(_, let reason): problem = Failure(.noPermission, reason)
    case .refused(_, let reason): problem = Failure(.unavailable, reason)
    case .message, .snapshot, .chunk, .ended, .clients, .token, .bundle, .file, .earnings, .past, .statement,
      .voucher,
      .done:
      problem = Failure(.unavailable, "\(text) does not greet as a node does")
    case nil:
      problem =
        line.isEmpty
        ? Failure(.unavailable, "there is no line to a node on \(text)", hint: "what ssh said stands above")
        : Failure(
          .unavailable,
          "what answers on \(text) is not hotpot: '\(Console.oneLine(String(decoding: line.prefix(80), as: UTF8.self)))'",
          hint: "'ssh \(destination) \(remote) link' should print nothing by itself")
    }
    guard let problem else {
      relay.hush()
      return near
    }
    close(near)
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    relay.wait()
    throw problem
  }

  /// Makes connections: first the one that is open already, then new ones that never ask the user
  /// for anything.
  func opener(first: Int32?) -> @Sendable () throws(LinkError) -> LinkDescriptors {
    let given = FirstLine(first)
    let words = words(isUnattended: true)
    return { () throws(LinkError) in
      if let near = given.take() {
        return LinkDescriptors(read: near, write: near) {
          shutdown(near, Int32(SHUT_RDWR))
          close(near)
        }
      }
      var ends: [Int32] = [-1, -1]
      let error = csystem_pipe(&ends)
      guard error == 0 else {
        throw LinkError("cannot make a pipe: \(String(cString: strerror(-error)))", isFinal: false)
      }
      for end in ends { _ = fcntl(end, F_SETFL, 0) }
      let said = LastWords(ends[0])
      let started = start(words, errors: ends[1])
      close(ends[1])
      let (near, process) = try started.get()
      return LinkDescriptors(read: near, write: near, explain: { said.text }) {
        shutdown(near, Int32(SHUT_RDWR))
        close(near)
        kill(process, SIGTERM)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
      }
    }
  }

  private func start(_ words: [String], errors: Int32) -> Result<(near: Int32, process: pid_t), LinkError> {
    var ends: [Int32] = [-1, -1]
    guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
      return .failure(LinkError("cannot make a socket: \(String(cString: strerror(errno)))", isFinal: false))
    }
    var child: pid_t = 0
    var list: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
    list.append(nil)
    let error = csystem_spawn_piped(list, ends[1], errors, &child)
    for word in list { free(word) }
    close(ends[1])
    guard error == 0 else {
      close(ends[0])
      return .failure(
        LinkError("'\(words[0])' cannot be run: \(String(cString: strerror(error)))", isFinal: true))
    }
    return .success((ends[0], child))
  }

  /// Quotes a word for the shell on the other side.
  private static func quoted(_ word: String) -> String {
    "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }
}

/// A descriptor that the first caller takes.
private final class FirstLine: Sendable {
  private let inner: Mutex<Int32?>
  init(_ descriptor: Int32?) { inner = Mutex(descriptor) }
  func take() -> Int32? {
    inner.withLock { inner in
      defer { inner = nil }
      return inner
    }
  }
}

/// Prints what a program writes to its standard error, as words, because ssh passes on whatever the
/// other side writes.
private final class ErrorRelay: Sendable {
  private let isHushed = Mutex(false)
  private let ended = DispatchSemaphore(value: 0)

  init(_ descriptor: Int32) {
    let thread = Thread { [self] in
      var buffer = [UInt8](repeating: 0, count: 4096)
      var rest: [UInt8] = []
      while true {
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { break }
        rest += buffer[..<count]
        let whole = rest.count - Self.unfinished(rest)
        show(rest[..<whole])
        rest.removeFirst(whole)
      }
      show(rest[...])
      close(descriptor)
      ended.signal()
    }
    thread.stackSize = 256 << 10
    thread.start()
  }

  /// From now on nothing is printed, because a screen is drawn.
  func hush() { isHushed.withLock { $0 = true } }

  /// Waits until the program has ended, but for a second at most: its own children may keep its
  /// standard error open.
  func wait() { _ = ended.wait(timeout: .now() + 1) }

  private func show(_ bytes: ArraySlice<UInt8>) {
    isHushed.withLock { isHushed in
      if !isHushed, !bytes.isEmpty { Console.note(displaySafeText(String(decoding: bytes, as: UTF8.self))) }
    }
  }

  /// How many bytes at the end must wait for the next ones: those of an incomplete character, or a
  /// carriage return before its line feed.
  private static func unfinished(_ bytes: [UInt8]) -> Int {
    if bytes.last == 0x0D { return 1 }
    guard let start = bytes.suffix(3).lastIndex(where: { $0 >= 0xC0 }) else { return 0 }
    let length = bytes[start] >= 0xF0 ? 4 : bytes[start] >= 0xE0 ? 3 : 2
    return bytes.count - start < length ? bytes.count - start : 0
  }
}

/// What a program wrote to its standard error last, read until the program ends.
private final class LastWords: Sendable {
  private let inner = Mutex<[UInt8]>([])
  private let ended = DispatchSemaphore(value: 0)

  init(_ descriptor: Int32) {
    let thread = Thread { [self] in
      var buffer = [UInt8](repeating: 0, count: 1024)
      while true {
        let count = read(descriptor, &buffer, buffer.count)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { break }
        inner.withLock { $0 = Array(($0 + buffer[..<count]).suffix(2048)) }
      }
      close(descriptor)
      ended.signal()
    }
    thread.stackSize = 256 << 10
    thread.start()
  }

  /// The last line, once the program has ended or a second has passed.
  var text: String? {
    _ = ended.wait(timeout: .now() + 1)
    ended.signal()
    let lines = String(decoding: inner.withLock { $0 }, as: UTF8.self)
      .split(whereSeparator: \.isNewline).map { $0.trimmingCharacters(in: .whitespaces) }
    let said = lines.last { !$0.isEmpty && !$0.hasPrefix("hotpot: hint:") }
    guard var text = said else { return nil }
    if text.hasPrefix("hotpot: error: ") { text.removeFirst("hotpot: error: ".count) }
    return Console.oneLine(String(text.prefix(200)))
  }
}
