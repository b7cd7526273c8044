// Stage.swift: a dashboard over a scripted node, with a clock moved by hand: what tests press keys on.
// Start at Stage.
import Control
import Dashboard
import Foundation
import ScriptedNode
import Terminal

struct Stage {
  var node: ScriptedNode
  var model: DashboardModel
  var moment: Instant
  /// What the dashboard wanted done since the last look.
  var commands: [Effect] = []
  /// Whether the node's answers come at once.
  var answers = true

  init(
    _ node: ScriptedNode = .busy(), size: Size = Size(80, 24), glyphs: GlyphLevel = .unicode,
    options: DashboardOptions = DashboardOptions()
  ) {
    self.node = node
    moment = Instant(wall: node.time, steady: 1_000_000_000)
    model = DashboardModel(size: size, glyphs: glyphs, options: options)
    take(.node(.link(.connected)))
    second(0)
    // The first rows came by themselves; their guard is not what most scenes are about.
    moment = Instant(wall: moment.wall, steady: moment.steady + 400_000)
    commands = []
  }

  mutating func take(_ message: Message) {
    let new = model.update(message, at: moment)
    commands += new
    for case .send(let command, let tag) in new where answers {
      for message in node.apply(command, tag: tag) { take(.node(message)) }
    }
  }

  mutating func press(_ names: String...) { for name in names { press(name) } }

  mutating func press(_ name: String) {
    guard let key = Key(name: name) else { preconditionFailure("no key '\(name)'") }
    take(.input(.key(key)))
  }

  mutating func type(_ text: String) {
    for scalar in text.unicodeScalars {
      take(.input(.key(scalar == " " ? Key(.character(" ")) : Key(scalar))))
    }
  }

  mutating func wait(milliseconds: Int64) {
    moment = Instant(
      wall: moment.wall + milliseconds * 1000, steady: moment.steady + milliseconds * 1000)
  }

  /// Seconds of the node's life, a snapshot after each.
  mutating func second(_ count: Int = 1) {
    for _ in 0..<count {
      node.advance()
      wait(milliseconds: 1000)
      take(.node(.snapshot(node.snapshot())))
    }
    if count == 0 { take(.node(.snapshot(node.snapshot()))) }
  }

  /// The node as it is now, without a second passing.
  mutating func refresh() { take(.node(.snapshot(node.snapshot()))) }

  var screen: Grid { view(model) }

  /// Without what is sent by itself, which is in `kept`.
  var sent: [NodeCommand] {
    commands.compactMap { command in
      switch command {
      case .send(.keepChats, _): nil
      case .send(let command, _): command
      default: nil
      }
    }
  }

  /// The conversations that the node was told to keep last.
  var kept: ChatBook? { node.chats }
}

/// A command as scenarios write it; ids are cut to four digits.
func words(_ command: NodeCommand) -> String {
  func ids(_ jobs: [String]) -> String { jobs.map { String($0.prefix(4)) }.joined(separator: " ") }
  return switch command {
  case .approve(let jobs): "approve \(ids(jobs))"
  case .reject(let jobs, let reason): "reject \(ids(jobs)): \(reason)"
  case .hold(let jobs): "hold \(ids(jobs))"
  case .release(let jobs): "release \(ids(jobs))"
  case .setPriority(let jobs, let priority, _): "priority \(ids(jobs)) to \(priority)"
  case .move(let job, let steps): "move \(ids([job])) by \(steps)"
  case .cancel(let jobs): "cancel \(ids(jobs))"
  case .pause: "pause"
  case .resume: "resume"
  case .drain: "drain"
  case .undrain: "undrain"
  case .shutdown(let drain): drain ? "shutdown after draining" : "shutdown now"
  case .inspect(let job): "inspect \(ids([job]))"
  case .reveal(let job): "reveal \(ids([job]))"
  case .conceal(let job): "conceal \(ids([job]))"
  case .receipt(let id): "receipt \(id)"
  case .verify(let id): "verify \(id)"
  case .chat(let request):
    "chat \(request.messages.map { "\($0.role.rawValue): \($0.content)" }.joined(separator: " | "))"
      .replacingOccurrences(of: "\n", with: "\\n")
  case .stopChat: "stop-chat"
  case .keepChats(let book):
    "\(book.conversations.count) conversations, number \(book.current + 1): "
      + book.conversations[book.current].messages.map { "\($0.role.rawValue): \($0.content)" }.joined(
        separator: " | ")
  case .pull(let model): "pull \(model)"
  case .cancelPull: "cancel-pull"
  case .history: "history"
  case .reload: "reload"
  case .administer(let act): words(act)
  case .past(let query): "past\(query.before == nil ? "" : ", older")"
  }
}

func words(_ act: ClientAct) -> String {
  switch act {
  case .add(let name): "add client \(name)"
  case .adopt(let stranger, let name): "adopt \(stranger) as \(name)"
  case .revoke(let name): "revoke \(name)"
  case .limit(let name, let changes):
    "limit \(name)"
      + [
        changes.models.map { " models=\($0)" }, changes.tokensPerJob.map { " tokens-per-job=\($0)" },
        changes.jobs.map { " jobs=\($0)" }, changes.tokensPerDay.map { " tokens-per-day=\($0)" },
        changes.priority.map { " priority=\($0)" }, changes.budget.map { " budget=\($0)" },
      ].compactMap { $0 }.joined()
  case .settle(let name, let amount, let reference): "settle \(name) \(amount) \(reference)"
  case .deposit(let name, let amount, let reference): "deposit \(name) \(amount) \(reference)"
  case .price(let name, let completion): "price \(name) \(completion)"
  case .admitAlways(let name): "always admit \(name)"
  case .rejectAlways(let name, let reason): "always reject \(name): \(reason)"
  }
}

let testFolder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
