// Queue.swift: the commands that show a running node and act on its jobs, over its control socket:
// status, approve, reject, cancel, hold, release, priority, pause, resume, drain, submit. Lists of
// jobs are in Jobs.swift.

import Accounting
import Control
import Foundation
import Intake
import Scheduling

extension Command {
  private static let options = NodeSetup.commonOptions + [.json]

  static let status = Command(
    name: "status", summary: "one page of a running node's state",
    options: options + [Option("watch", "print it again every second")]
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    let control = try ControlClient(arguments)
    repeat {
      let snapshot = try control.snapshot()
      if arguments.has("json") {
        try Console.print(json: snapshot)
      } else {
        if arguments.has("watch") { Console.control("\u{1B}[H\u{1B}[2J", to: STDOUT_FILENO) }
        Console.write(StatusPage.text(snapshot))
      }
      if arguments.has("watch") { try await Task.sleep(for: .seconds(1)) }
    } while arguments.has("watch")
    return .ok
  }

  static let approve = Command(
    name: "approve", summary: "admit jobs that wait for the operator",
    operands: "ID... | --all | --client NAME",
    options: options + [
      Option("all", "all that wait now"), Option("client", value: "NAME", "all of this client that wait now"),
    ]
  ) { arguments in
    guard arguments.has("all") || arguments.has("client") else {
      return try perform("approved", arguments) { .approve(jobs: $0) }
    }
    _ = try arguments.operands(0...0, "")
    guard !arguments.has("all") || !arguments.has("client") else {
      throw Failure(.usage, "'--all' and '--client' are two choices")
    }
    let control = try ControlClient(arguments)
    let client = arguments.string("client")
    // Those that come meanwhile were not seen, so they wait on.
    let jobs = try control.snapshot().approvals.filter { client == nil || $0.client == client }.map(\.id)
    guard !jobs.isEmpty else {
      throw Failure(.failed, "no job\(client.map { " of '\($0)'" } ?? "") waits for approval")
    }
    return try finish(control.perform(.approve(jobs: jobs)), arguments)
  }
  static let cancel = act("cancel", "cancelled", "cancel jobs in any state") { .cancel(jobs: $0) }
  static let hold = act("hold", "held", "take jobs out of the queue or the batch") { .hold(jobs: $0) }
  static let release = act("release", "released", "let held jobs go on") { .release(jobs: $0) }

  static let reject = Command(
    name: "reject", summary: "turn jobs away that wait for the operator", operands: "ID... --reason R",
    options: options + [Option("reason", value: "R", "what the client reads")]
  ) { arguments in
    let reason = arguments.string("reason") ?? ""
    return try perform("rejected", arguments) { .reject(jobs: $0, reason: reason) }
  }

  static let priority = Command(
    name: "priority", summary: "set a job's priority, 0 (last) to 9 (first)", operands: "ID N",
    options: options
  ) { arguments in
    let words = try arguments.operands(
      2...2,
      arguments.operands.isEmpty ? "a job's id, and then its priority," : "the priority after the job's id")
    guard let number = Int(words[1]), (0...9).contains(number) else {
      throw Failure(.usage, "'\(words[1])' is no priority, wanted 0 to 9")
    }
    return try perform(.setPriority(jobs: [words[0]], priority: number), arguments)
  }

  static let pause = Command(
    name: "pause", summary: "freeze decoding; jobs keep their place", options: options
  ) { try perform(.pause, $0) }
  static let resume = Command(
    name: "resume", summary: "go on after pause, admit again after drain", options: options
  ) { arguments in
    let control = try ControlClient(arguments)
    if try control.snapshot().node.state == .draining {
      return try perform(.undrain, arguments)
    }
    return try perform(.resume, arguments)
  }
  static let drain = Command(
    name: "drain", summary: "finish what was admitted, admit nothing more",
    options: options + [
      Option("stop", "then stop the node"), Option("wait", "until what was admitted has finished"),
    ]
  ) { arguments in
    let code = try perform(arguments.has("stop") ? .shutdown(drain: true) : .drain, arguments)
    guard arguments.has("wait"), code == .ok else { return code }
    while let control = try ControlClient.ifServed(state: NodeSetup.controlDirectory(arguments)) {
      let node: NodeSummary
      do { node = try control.snapshot().node } catch let error as ServerError
        where error == .connectionClosed
      {
        continue
      }
      if !arguments.has("stop"), node.running + node.queued == 0 { return .ok }
      if node.state == .serving { throw Failure(.failed, "the node admits again: somebody undid the drain") }
      try await Task.sleep(for: .milliseconds(500))
    }
    // It stopped, which is what was waited for, or was to be finished anyway.
    return .ok
  }

  static let submit = Command(
    name: "submit", summary: "run a JSON request as a job of the node, and stream its answer",
    operands: "[FILE]",
    details: """
      Reads a request of /v1/chat/completions, or of /v1/completions if it has a 'prompt', from FILE or standard input.
      The job is the operator's own: it is free and never counted as earnings. Exit codes: 0 answered, 65 a bad request,
      69 not possible now, 75 try again later, 77 refused.

      With --client or --key the job is that client's, under his limits and prices, and the policy decides about it. So an
      SSH key may send jobs and do nothing else, with a line of authorized_keys:

        restrict,command="hotpot submit --client bob" ssh-ed25519 AAAA... bob

      'ssh node < request.json' then prints the answer, 'ssh node submit --json < request.json' its JSON. Behind ssh a job
      without either is refused unless --as-operator says that it is meant.

      With --queue the job goes to the queue that machines share, see 'hotpot queue --help': whichever node takes it answers,
      and another goes on if that one dies. It names its model.
      """,
    options: options + [
      Option("client", value: "NAME", "the job is this client's"),
      Option("queue", "give it to the shared queue"),
      SSHPeer.keyOption, SSHPeer.ownerOption,
    ]
  ) { arguments in
    let words = try arguments.operands(0...1, "")
    if arguments.has("queue") {
      let submission = QueueSubmission(
        link: try QueueLink(arguments), json: arguments.has("json"),
        stateDirectory: try NodeSetup.stateDirectory(arguments))
      let body = try Console.read(words.first ?? "-", limit: 64 << 20)
      Console.endWhenNobodyReads()
      return try await OwnThread.run { try submission.run(body) }
    }
    let peer = try SSHPeer(client: arguments)
    var isJSON = arguments.has("json")
    if peer != nil { isJSON = try SSHPeer.wantsJSON() || isJSON }
    // A user who may not send is told so before the request is read.
    let control = try ControlClient(state: NodeSetup.controlDirectory(arguments), for: peer)
    let body = try Console.read(words.first ?? "-", limit: 64 << 20)
    Console.endWhenNobodyReads()
    return try Submission(json: isJSON).run(String(decoding: body, as: UTF8.self), control)
  }

  private static func act(
    _ name: String, _ done: String, _ summary: String, _ make: @escaping @Sendable ([String]) -> NodeCommand
  ) -> Command {
    Command(name: name, summary: summary, operands: "ID...", options: options) { arguments in
      try perform(done, arguments, make)
    }
  }

  /// Acts on jobs. For several jobs it prints a line each, and the exit status says whether all
  /// succeeded.
  private static func perform(
    _ done: String, _ arguments: Arguments, _ make: ([String]) -> NodeCommand
  ) throws -> ExitCode {
    let given = try ids(arguments)
    guard given.count > 1 else { return try perform(make(given), arguments) }
    let control = try ControlClient(arguments)
    var seen: Set<String> = []
    var rows: [ActsResult.Row] = []
    for id in given where seen.insert(id).inserted {
      let row: ActsResult.Row
      switch try control.perform(make([id])) {
      case .done: row = ActsResult.Row(id: id, ok: true, message: "job \(id.prefix(8)): \(done)")
      case .refused(let words): row = ActsResult.Row(id: id, ok: false, message: words)
      }
      rows.append(row)
      if arguments.has("json") { continue }
      if row.ok { Console.print(row.message) } else { Console.show(Failure(.failed, row.message)) }
    }
    let failed = rows.count { !$0.ok }
    if arguments.has("json") {
      let words = "\(done) \(rows.count - failed) of \(counted(rows.count, "job"))"
      try Console.print(json: ActsResult(ok: failed == 0, message: words, jobs: rows))
    }
    return failed == 0 ? .ok : .failed
  }

  /// The beginning of an id is enough; an empty one would match every id.
  private static func ids(_ arguments: Arguments) throws -> [String] {
    let ids = try arguments.operands(1...1_000, "a job's id")
    guard !ids.contains("") else { throw Failure(.usage, "a job's id is empty") }
    return ids
  }

  static func perform(_ command: NodeCommand, _ arguments: Arguments) throws -> ExitCode {
    try finish(ControlClient(arguments).perform(command), arguments)
  }

  private static func finish(_ reply: CommandReply, _ arguments: Arguments) throws -> ExitCode {
    let words: String
    var isDone = false
    switch reply {
    case .done(let text):
      words = text
      isDone = true
    case .refused(let text): words = text
    }
    if arguments.has("json") {
      try Console.print(json: ActResult(ok: isDone, message: words))
    } else if isDone {
      Console.print(words)
    } else {
      throw Failure(.failed, words)
    }
    return isDone ? .ok : .failed
  }
}

/// The result of an act, as a script reads it.
struct ActResult: Encodable {
  let ok: Bool
  let message: String
}

/// The result of an act on several jobs.
private struct ActsResult: Encodable {
  struct Row: Encodable {
    let id: String
    let ok: Bool
    let message: String
  }

  let ok: Bool
  let message: String
  let jobs: [Row]
}

/// One submitted job: prints its text as it comes, and knows how it ended.
private struct Submission {
  let json: Bool

  private struct Head: Decodable { let prompt: Discarded? }
  private struct Discarded: Decodable { init(from decoder: any Decoder) {} }

  private struct Chunk: Decodable {
    struct Choice: Decodable {
      struct Delta: Decodable { let content: String? }
      let delta: Delta?
      let message: Delta?
      let text: String?
    }
    struct Problem: Decodable {
      let message: String
      let code: String?
      let status: Int?
    }
    let choices: [Choice]?
    let error: Problem?
  }

  func run(_ body: String, _ control: ControlClient) throws -> ExitCode {
    // Invalid JSON is left for the node to report.
    let asksForChat = (try? JSONDecoder().decode(Head.self, from: Data(body.utf8)))?.prompt == nil
    try control.send(.submit(tag: 1, chat: asksForChat, body: body))
    var problem: Chunk.Problem?
    while let reply = try control.receive() {
      switch reply {
      case .chunk(_, let data):
        if json {
          if data != "[DONE]" { Console.print(jsonText: data) }
        }
        // `[DONE]` is no chunk.
        guard let chunk = try? JSONDecoder().decode(Chunk.self, from: Data(data.utf8)) else { continue }
        if let error = chunk.error { problem = error }
        guard !json else { continue }
        for choice in chunk.choices ?? [] {
          Console.pour(choice.delta?.content ?? choice.message?.content ?? choice.text ?? "")
        }
      case .ended(_, let status):
        if problem == nil, !json { Console.write("\n") }
        guard let problem else { return .ok }
        let code = problem.status ?? status
        throw Failure(
          code == 403 || code == 401
            ? .noPermission
            : code == 408 || code == 429
              ? .tryAgain
              : code == 503
                ? .unavailable
                : code < 500 ? .badData : .failed, problem.message)
      case .refused(_, let reason), .denied(_, let reason): throw Failure(.noPermission, reason)
      case .hello, .message, .snapshot, .clients, .token, .bundle, .file, .earnings, .past, .statement,
        .voucher,
        .done:
        continue
      }
    }
    throw Failure(.unavailable, "the node closed the connection before the answer was complete")
  }
}
