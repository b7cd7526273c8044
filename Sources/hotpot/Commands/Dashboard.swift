// Dashboard.swift: `hotpot` alone, which runs the node and its dashboard in this terminal, and
// `hotpot attach`, the dashboard of a node that runs already, here or behind ssh. The shell waits
// for a guard of the terminal (TerminalSession), and a child does the work, so the node outlives
// its screen. What the two commands share is in DashboardSetup.swift. Start at the two commands.

import Control
import Dashboard
import Foundation
import Node

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
    // Faults of options and files are reported on a plain terminal.
    let options = try NodeSetup.options(arguments, isServing: TerminalSession.isChild)
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
    operands: "[[USER@]HOST[:STATE]]",
    details: """
      With a host, 'ssh HOST hotpot link' is run once and your ssh configuration holds: jump hosts, keys, ports. A line
      that drops is made again, and until then old figures are marked. HOTPOT_SSH names another ssh, with options.
      """,
    options: NodeSetup.commonOptions + screenOptions + [
      Option("read-only", "look, and act on nothing"),
      Option("remote", value: "COMMAND", "the hotpot program on the other side; default hotpot"),
    ]
  ) { arguments in
    let words = try arguments.operands(0...1, "")
    var screen = try DashboardSetup.options(arguments)
    screen.isReadOnly = arguments.has("read-only")
    let state = try NodeSetup.controlDirectory(arguments)
    let host = try words.first.map { try SSHHost($0, remote: arguments.string("remote")) }
    guard TerminalSession.isChild else {
      guard let host else {
        // A user who may not attach, or whose version differs, is told so on a plain terminal.
        _ = try ControlClient(state: state)
        return try DashboardSetup.guarded()
      }
      try DashboardSetup.wantsTerminal()
      return try DashboardSetup.guarded(line: host.openFirst(isReadOnly: screen.isReadOnly))
    }
    let options = screen
    let own = try NodeSetup.home("XDG_STATE_HOME", ".local/state") + "/hotpot"
    return try await OwnThread.run {
      let open = host.map { $0.opener(first: TerminalSession.takeLine()) } ?? DashboardSetup.socket(state)
      return try DashboardSetup.attach(
        SocketConnection(isReadOnly: options.isReadOnly, open: open), options, own)
    }
  }
}
