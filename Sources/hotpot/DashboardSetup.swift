// DashboardSetup.swift: how a dashboard starts, over a node in this process or over a connection to
// one, and how it ends. The commands are in Commands/Dashboard.swift, the terminal's guard in
// TerminalSession.swift. Start at serve and attach.

import CSystem
import Control
import Dashboard
import Foundation
import Node
import Terminal

enum DashboardSetup {
  static func options(_ arguments: Arguments) throws -> DashboardOptions {
    var options = DashboardOptions()
    let directory = NodeSetup.configurationDirectory
    if let folder = directory.map({ $0 + "/themes" }), UserFile.isDirectory(folder) {
      for file in try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      where file.hasSuffix(".theme") {
        options.themes.append(try theme(folder + "/" + file))
      }
    }
    let configured = try NodeSetup.configuration(arguments).screen
    if let name = configured.theme {
      guard let theme = options.themes.last(where: { $0.name == name }) else {
        throw Failure(
          .badData, "'screen.theme' in the configuration is '\(name.prefix(40))', and there is no such theme",
          hint: "there are \(options.themes.map(\.name).joined(separator: ", "))")
      }
      options.theme = theme
    }
    options.mouse = configured.mouse ?? options.mouse
    options.graphs = configured.graphs.flatMap { GraphStyle(rawValue: $0.rawValue) } ?? options.graphs
    options.settings = ScreenFile.read()
    if let name = arguments.string("theme") {
      // What the command line says goes before what was chosen.
      options.settings.theme = nil
      if let theme = options.themes.last(where: { $0.name == name }) {
        options.theme = theme
      } else if name.contains("/") || name.hasSuffix(".theme") {
        options.theme = try theme(UserFile.path(name))
      } else {
        throw Failure(
          .usage, "there is no theme '\(name)'",
          hint:
            "there are \(options.themes.map(\.name).joined(separator: ", ")); a file is named with its path")
      }
    }
    let keymap = arguments.string("keymap") ?? directory.map { $0 + "/keymap" }
    if let keymap, arguments.has("keymap") || FileManager.default.fileExists(atPath: keymap) {
      options.keyMap = try keyMap(keymap)
      options.notes = options.keyMap.thefts.map { "'\(keymap)': \($0)" }
    }
    options.bell = configured.bell ?? true
    if arguments.has("no-bell") {
      options.bell = false
      options.settings.bell = nil
    }
    return options
  }

  static func keyMap(_ path: String) throws -> KeyMap {
    do {
      return try KeyMap(file: String(decoding: UserFile.read(path, limit: 1 << 20), as: UTF8.self))
    } catch let error as KeyMap.FileError {
      throw Failure(.badData, "'\(path)': \(error)", hint: "correct that line, or take the file away")
    }
  }

  private static func theme(_ path: String) throws -> Theme {
    let text = String(decoding: try UserFile.read(path, limit: 1 << 20), as: UTF8.self)
    do throws(ThemeError) {
      return try Theme(
        name: ((path as NSString).lastPathComponent as NSString).deletingPathExtension, file: text)
    } catch {
      throw Failure(
        .badData, "theme '\(path)' line \(error.line): found \(error.found), wanted \(error.wanted)",
        hint: "correct that line, or take the file away")
    }
  }

  /// Lines can be written anywhere; a screen needs a terminal that can move its cursor. This is
  /// checked before anything starts.
  static func wantsTerminal() throws {
    if isPlain { return }
    guard Console.isTerminal(STDIN_FILENO), Console.isTerminal(STDOUT_FILENO) else {
      throw Failure(
        .usage, "the dashboard wants a terminal on standard input and output",
        hint:
          "'--plain' writes lines, 'hotpot serve' runs the node without one, 'hotpot status' prints a page")
    }
    if let refusal = TerminalAbility.refusal(ProcessInfo.processInfo.environment) {
      throw Failure(.unavailable, "the screen cannot be used: \(refusal)", hint: refusal.hint)
    }
  }

  /// In the shell's process: checks for a terminal, then waits for the child that draws.
  /// - line: an open connection to a node, for the child
  static func guarded(line: Int32? = nil) throws -> ExitCode {
    try wantsTerminal()
    return ExitCode(rawValue: TerminalSession.guardTerminal(line: line)) ?? .failed
  }

  static var isPlain: Bool { CommandLine.arguments.contains("--plain") }

  static func isServed(_ state: String) -> Bool {
    let descriptor = csystem_connect_unix(state + "/control.sock")
    guard descriptor >= 0 else { return false }
    close(descriptor)
    return true
  }

  private static func place(_ state: String) -> DashboardPlace {
    var place = DashboardPlace(
      environment: ProcessInfo.processInfo.environment,
      // A machine that only shows other machines' nodes has no state of its own.
      streamLog: FileManager.default.isWritableFile(atPath: state) ? state + "/log" : nil,
      saveDirectory: FileManager.default.currentDirectoryPath)
    place.keep = { ScreenFile.write($0) }
    return place
  }

  // MARK: a node of our own

  static func serve(_ options: NodeOptions, _ screen: DashboardOptions) throws -> ExitCode {
    StopSignals.ignoreOthers()
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
    StopSignals.take(for: node)
    node.waitUntilStopped()
    if case .terminated = exit { TerminalSession.leave(code: 0, words: "the node stopped\n") }
    return .ok
  }

  /// Closes every descriptor of the terminal, for a node that goes on serving without it.
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
    if isPlain {
      return try PlainDashboard(connection: connection, isReadOnly: screen.isReadOnly).run()
    }
    let app: DashboardApp
    var ends: [Int32] = [-1, -1]
    defer { for end in ends where end >= 0 { close(end) } }
    do {
      var place = place(state)
      if TerminalSession.isChild, csystem_pipe(&ends) == 0 {
        place.shell = DashboardPlace.Shell(returned: ends[0]) { TerminalSession.suspend() }
      }
      app = try DashboardApp(connection: connection, options: screen, place: place)
    } catch {
      throw Failure(
        .unavailable, "the screen cannot be used: \(error)", hint: error.hint)
    }
    // The guard ends with its terminal. The dashboard is told by a hang-up, which it knows.
    TerminalSession.whenTerminalIsGone(returned: ends[1]) { kill(getpid(), SIGHUP) }
    defer { ScreenFile.finish() }
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
}
