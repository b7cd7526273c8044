// Fleet.swift: `hotpot fleet [HOST...]`: many nodes in one table, each over its own ssh. A host
// that does not answer costs one line of the table and an attempt now and then. Start at
// Command.fleet.

import Control
import Dashboard
import Foundation
import Inference
import Node
import Synchronization

extension Command {
  static let fleet = Command(
    name: "fleet", summary: "many nodes in one table, through ssh", operands: "[[USER@]HOST[:STATE]]...",
    details: """
      Without hosts those of the configuration's 'fleet' are shown. Hosts are as ssh knows them; keys come from an agent,
      for nobody is asked for a password. Enter opens a node's own dashboard, and q comes back from it. 'local' is the
      node of this machine. With --json, or without a terminal that can show a screen, each node is asked once.
      """,
    options: NodeSetup.commonOptions + [
      .json,
      Option("ssh-config", "the hosts that ~/.ssh/config names, without patterns"),
      Option("timeout", value: "SECONDS", "with --json: how long a node may take to answer; default 10"),
      Option("remote", value: "COMMAND", "the hotpot program on the other sides; default hotpot"),
      Option("read-only", "look, and act on nothing"),
      Option("theme", value: "NAME|FILE", "colours: a shipped theme or a file in btop's format"),
      Option("no-bell", "do not ring when a job waits for approval"),
    ]
  ) { arguments in
    let hosts = try Fleet.hosts(arguments)
    var screen = try DashboardSetup.options(arguments)
    screen.isReadOnly = arguments.has("read-only")
    let options = screen
    let timeout = try arguments.double("timeout", in: 0.1...600) ?? 10
    if arguments.has("json") || !Console.obeys(STDOUT_FILENO) {
      let rows = try await OwnThread.run { Fleet.ask(hosts, timeout: timeout) }
      if arguments.has("json") {
        try Console.print(json: rows)
      } else {
        Console.write(Fleet.text(rows))
      }
      return rows.contains { $0.error == nil } ? .ok : .unavailable
    }
    guard TerminalSession.isChild else { return try DashboardSetup.guarded() }
    return try await OwnThread.run { try Fleet.show(hosts, options, remote: arguments.string("remote")) }
  }
}

enum Fleet {
  struct Member: Sendable {
    let name: String
    let open: @Sendable () throws(LinkError) -> LinkDescriptors
  }

  /// One node's figures, as a script reads them.
  struct Row: Encodable, Sendable {
    let host: String
    /// Why there are no figures; nil if there are.
    let error: String?
    var node: NodeSummary?
    var decodeTokensPerSecond: Double?
    var prefillTokensPerSecond: Double?
    /// 0 to 1.
    var cpu: Double?
    var today: MicroUnits?
    var unsettled: MicroUnits?
    var approvals: [ApprovalRow]?
  }

  static func hosts(_ arguments: Arguments) throws -> [Member] {
    var names = arguments.operands
    if arguments.has("ssh-config") { names += try sshNames() }
    if names.isEmpty { names = try NodeSetup.configuration(arguments).fleet }
    guard !names.isEmpty else {
      throw Failure(
        .usage, "there are no hosts to show",
        hint:
          "name some, or list them under 'fleet' in the configuration; '--ssh-config' takes those of ~/.ssh/config"
      )
    }
    guard names.count <= 256 else { throw Failure(.usage, "\(names.count) hosts, at most 256 are shown") }
    var seen: Set<String> = []
    return try names.filter { seen.insert($0).inserted }.map { name in
      if name == "local" {
        return Member(name: name, open: DashboardSetup.socket(try NodeSetup.controlDirectory(arguments)))
      }
      return Member(
        name: name, open: try SSHHost(name, remote: arguments.string("remote")).opener(first: nil))
    }
  }

  /// The names after `Host` that are no patterns.
  static func sshNames() throws -> [String] {
    guard let home = UserDirectories.home(ProcessInfo.processInfo.environment) else { throw Failure.noHome }
    let path = home + "/.ssh/config"
    let text = String(decoding: try Command.readFile(path), as: UTF8.self)
    return text.split(whereSeparator: \.isNewline).flatMap { line -> [String] in
      let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == "=" }).map(String.init)
      guard words.first?.lowercased() == "host" else { return [] }
      return words.dropFirst().filter { name in !name.contains { "*?!\"".contains($0) } }
    }
  }

  // MARK: a screen

  static func show(_ members: [Member], _ screen: DashboardOptions, remote: String?) throws -> ExitCode {
    let nodes = members.map { member -> (host: String, connection: any NodeConnection) in
      (
        member.name,
        SocketConnection(isReadOnly: screen.isReadOnly, interval: 2_000, longestWait: 60, open: member.open)
      )
    }
    let app: FleetApp
    do {
      app = try FleetApp(
        nodes: nodes, options: screen, environment: ProcessInfo.processInfo.environment)
    } catch {
      throw Failure(
        .unavailable, "the screen cannot be used: \(error)", hint: "'hotpot fleet --json' does without one")
    }
    TerminalSession.whenTerminalIsGone { kill(getpid(), SIGHUP) }
    var words = ["attach"]
    if screen.isReadOnly { words.append("--read-only") }
    if let remote { words += ["--remote", remote] }
    let exit = app.run { host in
      start(words + (host == "local" ? [] : ["--", host]))
    }
    if exit != .hangup { TerminalSession.leave(code: 0, words: "") }
    return .ok
  }

  /// Starts this program again, with the terminal.
  private static func start(_ words: [String]) -> Result<pid_t, LinkError> {
    unsetenv(TerminalSession.variable)
    defer { setenv(TerminalSession.variable, "1", 1) }
    var list: [UnsafeMutablePointer<CChar>?] = (["hotpot"] + words).map { strdup($0) } + [nil]
    defer { for word in list { free(word) } }
    var child: pid_t = 0
    let error = posix_spawn(&child, "/proc/self/exe", nil, nil, &list, environ)
    guard error == 0 else {
      return .failure(LinkError("cannot start: \(String(cString: strerror(error)))", isFinal: true))
    }
    return .success(child)
  }

  // MARK: once

  /// Asks all nodes at the same time, and waits for the slowest until the timeout.
  static func ask(_ members: [Member], timeout: Double) -> [Row] {
    let answers = Answers(count: members.count)
    let connections = members.enumerated().map { index, member in
      let connection = SocketConnection(
        isReadOnly: true, interval: 60_000, longestWait: 60, open: member.open)
      connection.start { message in
        switch message {
        case .snapshot(let snapshot): answers.take(index, .success(snapshot))
        case .link(.lost(_, let reason)), .link(.ended(let reason)):
          answers.take(index, .failure(LinkError(reason, isFinal: true)))
        case .welcome, .history, .past, .token, .reply, .job, .receipt, .text, .chat, .pull, .link: break
        }
      }
      return connection
    }
    let found = answers.wait(timeout)
    // Not waited for: a hanging ssh must not hold up the answer, and it ends with this program.
    for connection in connections { connection.close() }
    return zip(members, found).map { member, answer in
      switch answer {
      case nil: return Row(host: member.name, error: "no answer within \(StatusPage.rounded(timeout)) s")
      case .failure(let problem): return Row(host: member.name, error: problem.description)
      case .success(let snapshot):
        return Row(
          host: member.name, error: nil, node: snapshot.node,
          decodeTokensPerSecond: snapshot.throughput.decode.current,
          prefillTokensPerSecond: snapshot.throughput.prefill.current, cpu: snapshot.compute.cpu.current,
          today: snapshot.earnings.today.current, unsettled: snapshot.earnings.unsettled.current,
          approvals: snapshot.approvals)
      }
    }
  }

  private final class Answers: Sendable {
    private let found: Mutex<[Result<NodeSnapshot, LinkError>?]>
    private let changed = DispatchSemaphore(value: 0)

    init(count: Int) { found = Mutex(Array(repeating: nil, count: count)) }

    /// Only the first answer of each node counts.
    func take(_ index: Int, _ answer: Result<NodeSnapshot, LinkError>) {
      found.withLock { if $0[index] == nil { $0[index] = answer } }
      changed.signal()
    }

    func wait(_ seconds: Double) -> [Result<NodeSnapshot, LinkError>?] {
      let end = DispatchTime.now() + seconds
      while found.withLock({ $0.contains { $0 == nil } }), changed.wait(timeout: end) == .success {}
      return found.withLock { $0 }
    }
  }

  static func text(_ rows: [Row]) -> String {
    return StatusPage.table(
      [["HOST", "STATE", "CPU", "TOK/S", "RUN", "QUEUE", "WAIT", "TODAY", "NOTE"]]
        + rows.map { row in
          guard let node = row.node else {
            return [row.host, "no line", "-", "-", "-", "-", "-", "-", row.error ?? ""]
          }
          return [
            row.host, node.state.rawValue.replacingOccurrences(of: "_", with: " "),
            row.cpu.map { "\(Dashboard.percent($0)) %" } ?? "-",
            row.decodeTokensPerSecond.map(Dashboard.rate) ?? "-",
            "\(node.running)", "\(node.queued)", "\(node.waitingApproval)",
            row.today.map { "\(StatusPage.amount($0)) \(node.currency)" } ?? "-",
            node.alarms.first.map { "ALARM: \($0)" } ?? node.whyIdle ?? node.model ?? "",
          ]
        })
  }
}
