// Dashboard.swift: `hotpot` alone, the node and its dashboard in this terminal, and `hotpot attach`, the dashboard of a
// node that runs already, here or behind ssh. The shell waits for a guard of the terminal (TerminalSession), the work is
// done in its child: so the node outlives its screen. Start at the two commands.

import CSystem
import Dashboard
import Foundation
import Inference
import Intake
import Node
import Terminal

extension Command {
  private static let screenOptions: [Option] = [
    Option("theme", value: "NAME|FILE", "colours: a shipped theme or a file in btop's format"),
    Option("keymap", value: "FILE", "keys; default keymap beside the configuration"),
    Option("no-bell", "do not ring when a job waits for approval"),
    Option("plain", "lines that are only appended, for screen readers and dumb terminals"),
  ]

  /// What `hotpot` without a command does.
  static let dashboard = Command(
    name: "dashboard", summary: "the node and its dashboard in this terminal (also plain 'hotpot')",
    details: """
      Attaches instead if a node runs on the state directory already. Leaving with q, a hang-up or a closed window ends the
      screen and not the node; ':shutdown' or 'hotpot drain --stop' ends the node.
      """,
    options: NodeSetup.servingOptions + screenOptions
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    // What is wrong with options and files is said on a plain terminal.
    let options = try NodeSetup.options(arguments)
    let screen = try DashboardSetup.options(arguments)
    guard TerminalSession.isChild else { return try DashboardSetup.guarded() }
    return try await OwnThread.run {
      if DashboardSetup.isServed(options.stateDirectory) {
        return try DashboardSetup.attach(
          SocketConnection(isReadOnly: false, open: DashboardSetup.socket(options.stateDirectory)), screen,
          options.stateDirectory)
      }
      return try DashboardSetup.serve(options, screen)
    }
  }

  static let attach = Command(
    name: "attach", summary: "the dashboard of a running node, here or through ssh",
    operands: "[[USER@]HOST]",
    details: """
      With a host, 'ssh HOST hotpot link' is run and your ssh configuration holds: jump hosts, keys, ports. A line that drops is
      made again.
      """,
    options: NodeSetup.commonOptions + screenOptions + [
      Option("read-only", "look, and act on nothing"),
      Option("remote", value: "COMMAND", "the hotpot program on the other side; default hotpot"),
    ]
  ) { arguments in
    let words = try arguments.operands(0...1, "")
    var screen = try DashboardSetup.options(arguments)
    screen.isReadOnly = arguments.has("read-only")
    let state = NodeSetup.stateDirectory(arguments)
    if words.isEmpty, !DashboardSetup.isServed(state) {
      throw Failure(
        .unavailable, "no node runs on '\(state)'",
        hint: "'hotpot' starts one with its dashboard, '--state DIR' names another")
    }
    let open: @Sendable () throws(LinkError) -> LinkDescriptors
    if let host = words.first {
      open = try DashboardSetup.ssh(host, arguments)
    } else {
      open = DashboardSetup.socket(state)
    }
    guard TerminalSession.isChild else { return try DashboardSetup.guarded() }
    let options = screen
    return try await OwnThread.run {
      try DashboardSetup.attach(
        SocketConnection(isReadOnly: options.isReadOnly, open: open), options, state)
    }
  }

  /// What `attach` runs on the other side: standard input and output joined to the control socket.
  static let link = Command(
    name: "link", summary: "join standard input and output to a node's control socket (used by attach)",
    options: NodeSetup.commonOptions
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    let state = NodeSetup.stateDirectory(arguments)
    let descriptor = csystem_connect_unix(state + "/control.sock")
    guard descriptor >= 0 else {
      throw Failure(
        .unavailable, "no node runs on '\(state)' on this machine", hint: "'hotpot serve' starts one there")
    }
    return try await OwnThread.run {
      DashboardSetup.join(descriptor)
      return .ok
    }
  }
}

enum DashboardSetup {
  static func options(_ arguments: Arguments) throws -> DashboardOptions {
    var options = DashboardOptions()
    if let name = arguments.string("theme") {
      if let theme = Theme.shipped(name) {
        options.theme = theme
      } else if name.contains("/") || name.hasSuffix(".theme") {
        let text = String(decoding: try Command.readFile(name), as: UTF8.self)
        options.theme = try Theme(
          name: ((name as NSString).lastPathComponent as NSString).deletingPathExtension, file: text)
      } else {
        throw Failure(
          .usage, "there is no theme '\(name)'",
          hint:
            "there are \(Theme.shipped.map(\.name).joined(separator: ", ")); a file is named with its path")
      }
    }
    let keymap = arguments.string("keymap") ?? NodeSetup.configurationDirectory + "/keymap"
    if arguments.has("keymap") || FileManager.default.fileExists(atPath: keymap) {
      options.keyMap = try KeyMap(file: String(decoding: Command.readFile(keymap), as: UTF8.self))
    }
    options.bell = !arguments.has("no-bell")
    return options
  }

  /// In the shell's process: checks for a terminal, then waits for the child that draws.
  static func guarded() throws -> ExitCode {
    guard Console.isTerminal(STDIN_FILENO), Console.isTerminal(STDOUT_FILENO) else {
      throw Failure(
        .usage, "the dashboard wants a terminal on standard input and output",
        hint: "'hotpot serve' runs the node without one, 'hotpot status' prints a page")
    }
    return ExitCode(rawValue: TerminalSession.guardTerminal()) ?? .failed
  }

  static func isServed(_ state: String) -> Bool {
    let descriptor = csystem_connect_unix(state + "/control.sock")
    guard descriptor >= 0 else { return false }
    close(descriptor)
    return true
  }

  private static func place(_ state: String) -> DashboardPlace {
    DashboardPlace(
      environment: ProcessInfo.processInfo.environment, streamLog: state + "/log",
      saveDirectory: FileManager.default.currentDirectoryPath)
  }

  // MARK: a node of our own

  static func serve(_ options: NodeOptions, _ screen: DashboardOptions) throws -> ExitCode {
    var options = options
    let log = try LogFile(options.stateDirectory)
    options.log = { log.write($0) }
    let node = try NodeService(options)
    try node.start()
    let exit = try show(
      LocalConnection(node: node, name: NodeSetup.operatorName), screen, options.stateDirectory)
    switch exit {
    case .left:
      let name = options.configuration.name
      TerminalSession.leave(
        code: 0,
        words:
          "\(name) serves on (process \(getpid())). 'hotpot' shows it again, 'hotpot drain --stop' ends it.\n"
      )
    case .hangup: break
    case .terminated: node.stop(drain: true, by: "a signal")
    case .nodeEnded(let reason): TerminalSession.leave(code: 0, words: "\(reason)\n")
    }
    if exit == .left || exit == .hangup { leaveTerminal() }
    let signals = StopSignals(node: node)
    node.waitUntilStopped()
    signals.end()
    if case .terminated = exit { TerminalSession.leave(code: 0, words: "the node stopped\n") }
    return .ok
  }

  /// Nothing of the terminal stays open in a node that serves on without it.
  private static func leaveTerminal() {
    let null = open("/dev/null", O_RDWR | O_CLOEXEC)
    for stream in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] { dup2(null, stream) }
    close(null)
  }

  // MARK: somebody else's

  static func attach(
    _ connection: SocketConnection, _ screen: DashboardOptions, _ state: String
  ) throws -> ExitCode {
    switch try show(connection, screen, state) {
    case .left, .hangup, .terminated:
      TerminalSession.leave(code: 0, words: "")
      return .ok
    case .nodeEnded(let reason):
      TerminalSession.leave(
        code: ExitCode.unavailable.rawValue, words: "hotpot: \(Console.oneLine(reason))\n")
      return .unavailable
    }
  }

  static func show(
    _ connection: any NodeConnection, _ screen: DashboardOptions, _ state: String
  ) throws -> DashboardExit {
    if CommandLine.arguments.contains("--plain") {
      return try PlainDashboard(connection: connection, isReadOnly: screen.isReadOnly).run()
    }
    let app: DashboardApp
    do {
      app = try DashboardApp(connection: connection, options: screen, place: place(state))
    } catch {
      throw Failure(
        .unavailable, "the screen cannot be used: \(error)", hint: "'hotpot serve' runs without one")
    }
    // The guard is gone when its terminal is: a hang-up, as the dashboard knows it.
    TerminalSession.whenTerminalIsGone { kill(getpid(), SIGHUP) }
    return app.run()
  }

  // MARK: lines

  static func socket(_ state: String) -> @Sendable () throws(LinkError) -> LinkDescriptors {
    { () throws(LinkError) in
      let descriptor = csystem_connect_unix(state + "/control.sock")
      guard descriptor >= 0 else { throw LinkError("no node runs on '\(state)'", isFinal: false) }
      return LinkDescriptors(read: descriptor, write: descriptor) {
        shutdown(descriptor, Int32(SHUT_RDWR))
        close(descriptor)
      }
    }
  }

  static func ssh(_ host: String, _ arguments: Arguments) throws
    -> @Sendable () throws(LinkError) -> LinkDescriptors
  {
    // A name that begins with a dash would be an option of ssh.
    guard !host.hasPrefix("-"), !host.isEmpty, host.unicodeScalars.allSatisfy({ $0.value > 0x20 }) else {
      throw Failure(.usage, "'\(host)' is no host")
    }
    var remote = [arguments.string("remote") ?? "hotpot", "link"]
    if let state = arguments.string("state") { remote += ["--state", quoted(state)] }
    let words =
      ["ssh", "-T", "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3", "--", host] + remote
    return { () throws(LinkError) in
      var ends: [Int32] = [-1, -1]
      guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
        throw LinkError("cannot make a socket: \(String(cString: strerror(errno)))", isFinal: true)
      }
      var child: pid_t = 0
      var list: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
      list.append(nil)
      let error = csystem_spawn_piped(list, ends[1], &child)
      for word in list { free(word) }
      close(ends[1])
      guard error == 0 else {
        close(ends[0])
        throw LinkError("ssh cannot be run: \(String(cString: strerror(error)))", isFinal: true)
      }
      let (near, process) = (ends[0], child)
      return LinkDescriptors(read: near, write: near) {
        shutdown(near, Int32(SHUT_RDWR))
        close(near)
        kill(process, SIGTERM)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
      }
    }
  }

  /// One word for a shell on the other side.
  private static func quoted(_ word: String) -> String {
    "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
  }

  /// Copies both ways until either side ends.
  static func join(_ socket: Int32) {
    var waits = [
      pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
      pollfd(fd: socket, events: Int16(POLLIN), revents: 0),
    ]
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      if poll(&waits, 2, -1) < 0 {
        if errno == EINTR { continue }
        return
      }
      for (index, target) in [(0, socket), (1, STDOUT_FILENO)] where waits[index].revents != 0 {
        let count = read(waits[index].fd, &buffer, buffer.count)
        guard count > 0 else { return }
        var sent = 0
        while sent < count {
          let written = buffer.withUnsafeBytes {
            write(target, $0.baseAddress.map { $0 + sent }, count - sent)
          }
          if written < 0 && errno == EINTR { continue }
          guard written > 0 else { return }
          sent += written
        }
      }
    }
  }
}

/// The node's own log file, 0600, in its state directory.
final class LogFile: Sendable {
  private let descriptor: Int32

  init(_ state: String) throws {
    mkdir(state, 0o700)
    let path = state + "/log"
    descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else {
      throw Failure(.inputOutput, "'\(path)' cannot be written: \(String(cString: strerror(errno)))")
    }
  }

  deinit { close(descriptor) }

  func write(_ line: LogLine) {
    let bytes = Array((LogPrinter.text(line) + "\n").utf8)
    // A log that cannot be written must not end the node.
    _ = bytes.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
  }
}
