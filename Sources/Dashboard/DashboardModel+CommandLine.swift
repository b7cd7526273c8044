// DashboardModel+CommandLine.swift: the command line, and the palette that finds everything by its words.
// Every action runs by its name too. Start at run.
import Control
import Terminal

struct PaletteEntry: Equatable, Sendable {
  enum Target: Equatable, Sendable {
    case key(KeyTarget)
    case command(CommandName)
  }

  let target: Target
  /// Keys, or `:name`.
  let keys: String
  let words: String
}

extension DashboardModel {
  /// What matches the query: every word must be in the name, the keys or the explanation.
  func paletteEntries(_ query: String) -> [PaletteEntry] {
    var entries = Action.table.map { entry in
      PaletteEntry(
        target: .key(entry.target),
        keys: options.keyMap.keys(of: entry.target).map(\.name).joined(separator: " "),
        words: entry.words)
    }
    entries += CommandName.allCases.map {
      PaletteEntry(target: .command($0), keys: ":" + $0.rawValue, words: $0.usage)
    }
    let words = query.lowercased().split(separator: " ")
    if words.isEmpty { return entries }
    return entries.filter { entry in
      let name: String
      switch entry.target {
      case .key(let target): name = target.name
      case .command(let command): name = command.rawValue
      }
      let haystack = "\(name) \(entry.words) \(entry.keys)".lowercased()
      // A single character is most likely a key.
      if words.count == 1, query.unicodeScalars.count == 1,
        entry.keys.split(separator: " ").contains(where: { $0 == query })
      {
        return true
      }
      return words.allSatisfy { haystack.contains($0) }
    }
  }

  mutating func completeCommand() {
    let typed = field.text
    if typed.contains(" ") { return }
    let names = (CommandName.allCases.map(\.rawValue) + Action.table.map(\.target.name)).filter {
      $0.hasPrefix(typed)
    }
    guard var common = names.first else { return }
    for name in names.dropFirst() {
      while !name.hasPrefix(common) { common.removeLast() }
    }
    field.set(names.count == 1 ? common + " " : common)
    if names.count > 1 { say(names.sorted().prefix(12).joined(separator: " ")) }
  }

  mutating func run(_ line: String) -> [Effect] {
    let parts = line.split(separator: " ", maxSplits: 1)
    guard let first = parts.first else { return [] }
    let name = String(first)
    let rest = parts.count > 1 ? String(parts[1]) : ""
    if let command = CommandName(rawValue: name) { return run(command, rest) }
    if name == "theme" && !rest.isEmpty {
      chooseTheme(rest)
      return []
    }
    if name == "filter" {
      if filterOfFocus != nil { setFilterOfFocus(rest) }
      return []
    }
    if name == "reject" && !rest.isEmpty {
      let commands = perform(.reject)
      if case .reason = mode { field.set(rest) }
      return commands
    }
    if let target = KeyTarget(name: name) { return perform(target) }
    say("there is no command '\(displaySafe(name.prefix(30)))'; ? lists them", isError: true)
    return []
  }

  private mutating func run(_ command: CommandName, _ rest: String) -> [Effect] {
    switch command {
    case .drain:
      if options.isReadOnly { return act(.drain, saying: nil) }
      mode = .confirm(
        Confirmation(
          question: "drain: finish what runs (\(snapshot?.node.running ?? 0)), admit nothing more?",
          command: .drain))
      return []
    case .undrain: return act(.undrain, saying: nil)
    case .resume: return act(.resume, saying: nil)
    case .shutdown:
      // Who may not is told so before the questions.
      if options.isReadOnly || refusal(of: .shutdown(drain: true)) != nil {
        return act(.shutdown(drain: true), saying: nil)
      }
      mode = .shutdownHow
      return []
    case .priority: return setPriority(rest)
    case .sort:
      guard let column = focus.list?.columns.firstIndex(of: rest) else {
        return complain("sort", focus.list?.columns.joined(separator: ", ") ?? "a pane with a list", rest)
      }
      lists[focus]?.sortColumn = column
      lists[focus]?.restUntil = 0
      lists[focus]?.arrangedAt = 0
      arrangeLists()
      revealSelection()
      return []
    case .graphs:
      guard let style = GraphStyle(rawValue: rest) else { return complain("graphs", "scroll or sweep", rest) }
      graphStyle = style
      return []
    case .bell:
      guard rest == "on" || rest == "off" else { return complain("bell", "on or off", rest) }
      bell = rest == "on"
      say("the bell is \(rest)")
      return []
    case .pull:
      let model = rest.isEmpty ? options.defaultModel : rest
      return act(.pull(model: model), saying: "fetching \(displaySafe(model.prefix(40)))")
    case .cancelPull: return act(.cancelPull, saying: nil)
    case .saveScreen: return [.saveScreen(path: rest.isEmpty ? nil : rest)]
    case .saveChat:
      if chat.messages.isEmpty { return complain("save-chat", "a conversation", "none") }
      let text = chat.messages.map { "\($0.role.rawValue): \($0.content)\n" }.joined(separator: "\n")
      return [.saveText(path: rest.isEmpty ? nil : rest, text: text)]
    case .newChat:
      let commands = chat.phase == .idle ? [] : [send(.stopChat)]
      chat.messages = []
      chat.answer = ""
      chat.phase = .idle
      chat.scroll = 0
      chat.note = nil
      chat.rate = nil
      say("a new conversation; the old one was kept nowhere")
      return commands
    case .system:
      chat.system = rest
      say(rest.isEmpty ? "no system prompt" : "the system prompt is set")
      return []
    case .temperature:
      guard let value = Double(rest), value >= 0, value <= 2 else {
        return complain("temperature", "0 to 2", rest)
      }
      chat.temperature = value
      say("temperature \(decimal(value, 2))")
      return []
    case .maxTokens:
      guard let value = Int(rest), (1...1_000_000).contains(value) else {
        return complain("max-tokens", "a number from 1 on", rest)
      }
      chat.maxTokens = value
      say("answers of at most \(plural(value, "token"))")
      return []
    case .stopChat: return chat.phase == .idle ? [] : [send(.stopChat)]
    case .debug:
      showsDebug.toggle()
      return []
    case .quit: return [.leave]
    }
  }

  /// `:priority 7`, or a step: `:priority +2`.
  private mutating func setPriority(_ text: String) -> [Effect] {
    guard let number = Int(text), text.hasPrefix("+") || text.hasPrefix("-") || (0...9).contains(number),
      (-9...9).contains(number)
    else { return complain("priority", "0 to 9, or a step such as +1", text) }
    if now.steady < guardUntil {
      say("the row changed just now: priority was not done")
      return []
    }
    streak = nil
    if text.hasPrefix("+") || text.hasPrefix("-") { return shiftPriority(by: number) }
    let found = jobTargets { !$0.hasEnded }
    if found.ids.isEmpty {
      if found.tags != nil { return refuse(found, "reordered", "open") }
      return complain("priority", "an open job under the cursor", "none")
    }
    return act(.setPriority(jobs: found.ids, priority: number), saying: nil, tags: found.tags)
  }

  private mutating func chooseTheme(_ name: String) {
    if let found = options.themes.first(where: { $0.name == name }) {
      theme = found
      say("theme \(found.name)")
    } else {
      _ = complain("theme", options.themes.map(\.name).joined(separator: ", "), name)
    }
  }

  private mutating func complain(_ command: String, _ wanted: String, _ found: String) -> [Effect] {
    say(":\(command) wants \(wanted), found '\(displaySafe(found.prefix(30)))'", isError: true)
    return []
  }
}
