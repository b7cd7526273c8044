// DashboardModel+CommandLine.swift: the command line, and the palette that searches everything by
// words. A command is a row of LineCommand.all together with what it runs; every action can also be
// run by its name. Start at LineCommand.all and run.
import Control
import Terminal

/// A command of the command line that is not an action: it takes an argument, or has no key.
package struct LineCommand: Equatable, Sendable {
  package let name: String
  /// What it does; begins with the name of its argument, if it takes one.
  package let usage: String
  let run: @Sendable (inout DashboardModel, _ words: String) -> [Effect]

  init(
    _ name: String, _ usage: String,
    _ run: @escaping @Sendable (inout DashboardModel, _ words: String) -> [Effect]
  ) {
    (self.name, self.usage, self.run) = (name, usage, run)
  }

  package static func == (left: LineCommand, right: LineCommand) -> Bool { left.name == right.name }

  /// Whether it cannot run without an argument.
  var wantsWords: Bool { usage.first?.isUppercase == true || usage.hasPrefix("[") }
}

extension LineCommand {
  /// In the order of the palette and of the manual.
  package static let all = [
    LineCommand("drain", "finish what runs, admit nothing") { model, _ in model.askToDrain() },
    LineCommand("undrain", "admit again") { model, _ in model.act(.undrain, saying: nil) },
    LineCommand("resume", "go on after a pause") { model, _ in model.act(.resume, saying: nil) },
    LineCommand("shutdown", "stop the node: asks how, and for its name") { model, _ in model.askToStop() },
    LineCommand("reload", "read the node's configuration again, and apply what may change") { model, _ in
      model.act(.reload, saying: nil)
    },
    LineCommand("priority", "N: priority 0 to 9, or +N or -N, of the selected or tagged jobs") {
      $0.setPriority($1)
    },
    LineCommand("add-client", "NAME: a new client, whose token is shown once") { $0.addClient($1) },
    LineCommand("adopt", "NAME: make the unknown client in focus a client of that name") { $0.adopt($1) },
    LineCommand("limit", "jobs=N budget=X ...: limits of the client in focus") { $0.limitClient($1) },
    LineCommand("price", "X: what a million completion tokens cost the client in focus, as a rule") {
      $0.priceClient($1)
    },
    LineCommand("settle", "X REFERENCE: record a payment of the client in focus") { $0.settleClient($1) },
    LineCommand("deposit", "X REFERENCE: record that the client in focus pays ahead") {
      $0.depositOfClient($1)
    },
    LineCommand("always", "admit, or reject REASON: decide for the client in focus for good, as a rule") {
      $0.decideAlways($1)
    },
    LineCommand("revoke", "end the client in focus: its token and its jobs") { model, _ in
      model.revokeClient()
    },
    LineCommand("counter", "X: reject with the price for a million tokens that would be taken") {
      $0.counterOffer($1)
    },
    LineCommand("sort", "COLUMN: sort the list by it") { $0.sort(by: $1) },
    LineCommand("graphs", "scroll or sweep") { $0.setGraphs($1) },
    LineCommand("bell", "on or off: ring and tell the desktop when something needs you") { $0.setBell($1) },
    LineCommand("forget-settings", "theme, sorting, filters and the like as they were set up") { model, _ in
      model.forgetSettings()
    },
    LineCommand("pull", "NAME: fetch a model and load it") { $0.pull($1) },
    LineCommand("cancel-pull", "stop fetching") { model, _ in model.act(.cancelPull, saying: nil) },
    LineCommand("save-screen", "[FILE]: write the screen as text") { _, path in
      [.saveScreen(path: path.isEmpty ? nil : path)]
    },
    LineCommand("save-chat", "[FILE]: write the conversation as text") { $0.saveChat($1) },
    LineCommand("new-chat", "begin another conversation; the old ones stay") { model, _ in model.newChat() },
    LineCommand("next-chat", "go to the next conversation") { model, _ in model.turnChat(by: 1) },
    LineCommand("previous-chat", "go to the conversation before") { model, _ in model.turnChat(by: -1) },
    LineCommand("forget-chat", "forget the conversation on the screen") { model, _ in model.forgetChat() },
    LineCommand("edit-chat", "change the last question and ask it again") { model, _ in
      model.editQuestion()
    },
    LineCommand("regenerate", "another answer to the last question") { model, _ in model.regenerate() },
    LineCommand("system", "TEXT: the chat's system prompt, or the name of a kept one") { $0.setSystem($1) },
    LineCommand("keep-system", "NAME: keep the system prompt under a name; an empty one removes it") {
      $0.keepSystem($1)
    },
    LineCommand("temperature", "T: the chat's temperature, 0 is greedy") { $0.setTemperature($1) },
    LineCommand("max-tokens", "N: the longest answer of the chat") { $0.setMaxTokens($1) },
    LineCommand("stop-chat", "stop the answer") { model, _ in model.stopChat() },
    LineCommand("debug", "show or hide the debug overlay") { model, _ in
      model.showsDebug.toggle()
      return []
    },
    LineCommand("who", "who you are here, and who else is attached") { model, _ in
      model.mode = .who
      return []
    },
    LineCommand("quit", "leave; the node serves on") { _, _ in [.leave] },
  ]
}

struct PaletteEntry: Equatable, Sendable {
  enum Target: Equatable, Sendable {
    case key(KeyTarget)
    case command(LineCommand)
  }

  let target: Target
  /// Keys, or `:name`.
  let keys: String
  let words: String
}

extension DashboardModel {
  /// The entries that match the query: every word must occur in the name, the keys or the
  /// explanation.
  func paletteEntries(_ query: String) -> [PaletteEntry] {
    var entries = Action.table.map { entry in
      PaletteEntry(
        target: .key(entry.target),
        keys: options.keyMap.keys(of: entry.target).map(\.name).joined(separator: " "),
        words: entry.words)
    }
    entries += LineCommand.all.map {
      PaletteEntry(target: .command($0), keys: ":" + $0.name, words: $0.usage)
    }
    let words = query.lowercased().split(separator: " ")
    // What is at hand comes first: the keys of the pane in focus.
    if words.isEmpty {
      let own = focus.hints.map { PaletteEntry.Target.key(.action($0.action)) }
      return own.compactMap { target in entries.first { $0.target == target } }
        + entries.filter { !own.contains($0.target) }
    }
    return entries.filter { entry in
      let name: String
      switch entry.target {
      case .key(let target): name = target.name
      case .command(let command): name = command.name
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
    if let blank = typed.firstIndex(of: " ") {
      completeArgument(of: String(typed[..<blank]), String(typed[typed.index(after: blank)...]))
      return
    }
    let names = (LineCommand.all.map(\.name) + Action.table.map(\.target.name)).filter {
      $0.hasPrefix(typed)
    }
    guard var common = names.first else { return }
    for name in names.dropFirst() {
      while !name.hasPrefix(common) { common.removeLast() }
    }
    field.set(names.count == 1 ? common + " " : common)
    if names.count > 1 { say(names.sorted().prefix(12).joined(separator: " ")) }
  }

  /// Themes, columns, models and clients, where a command takes one.
  private mutating func completeArgument(of command: String, _ typed: String) {
    let known: [String]
    switch command {
    case "theme": known = options.themes.map(\.name)
    case "sort": known = focus.list?.columns ?? []
    case "graphs": known = ["scroll", "sweep"]
    case "bell": known = ["on", "off"]
    case "always": known = ["admit", "reject "]
    case "system", "keep-system": known = systems.keys.sorted()
    case "filter":
      known = Set((snapshot?.jobs ?? []).map(\.client) + (snapshot?.clients ?? []).map(\.name)).sorted()
    default: return
    }
    // Tab goes on through the themes, each of which shows itself.
    if command == "theme", let place = known.firstIndex(of: typed) {
      field.set("theme \(known[(place + 1) % known.count])")
      return
    }
    let found = known.filter { $0.hasPrefix(typed) }
    guard var common = found.first else { return }
    for name in found.dropFirst() { while !name.hasPrefix(common) { common.removeLast() } }
    field.set("\(command) \(common)")
    if found.count > 1 { say(found.prefix(12).joined(separator: " ")) }
  }

  mutating func run(_ line: String) -> [Effect] {
    let parts = line.split(separator: " ", maxSplits: 1)
    guard let first = parts.first else { return [] }
    let name = String(first)
    let rest = parts.count > 1 ? String(parts[1]) : ""
    if let command = LineCommand.all.first(where: { $0.name == name }) { return command.run(&self, rest) }
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

  fileprivate mutating func askToDrain() -> [Effect] {
    if isReadOnly { return act(.drain, saying: nil) }
    mode = .confirm(
      Confirmation(
        question: "drain: finish what runs (\(snapshot?.node.running ?? 0)), admit nothing more?",
        command: .drain))
    return []
  }

  /// An operator who may not stop the node is refused before the questions.
  fileprivate mutating func askToStop() -> [Effect] {
    if isReadOnly || refusal(of: .shutdown(drain: true)) != nil {
      return act(.shutdown(drain: true), saying: nil)
    }
    mode = .shutdownHow
    return []
  }

  fileprivate mutating func sort(by name: String) -> [Effect] {
    guard let column = focus.list?.columns.firstIndex(of: name) else {
      return complain("sort", focus.list?.columns.joined(separator: ", ") ?? "a pane with a list", name)
    }
    lists[focus]?.sortColumn = column
    lists[focus]?.restUntil = 0
    lists[focus]?.arrangedAt = 0
    arrangeLists()
    revealSelection()
    return []
  }

  fileprivate mutating func setGraphs(_ name: String) -> [Effect] {
    guard let style = GraphStyle(rawValue: name) else { return complain("graphs", "scroll or sweep", name) }
    graphStyle = style
    return []
  }

  fileprivate mutating func setBell(_ word: String) -> [Effect] {
    guard word == "on" || word == "off" else { return complain("bell", "on or off", word) }
    bell = word == "on"
    say("the bell is \(word)")
    return []
  }

  fileprivate mutating func pull(_ name: String) -> [Effect] {
    let model = name.isEmpty ? options.defaultModel : name
    return act(.pull(model: model), saying: "fetching \(displaySafe(model.prefix(40)))")
  }

  // MARK: the chat

  fileprivate mutating func saveChat(_ path: String) -> [Effect] {
    if chat.messages.isEmpty { return complain("save-chat", "a conversation", "none") }
    let text = chat.messages.map { "\($0.role.rawValue): \($0.content)\n" }.joined(separator: "\n")
    return [.saveText(path: path.isEmpty ? nil : path, text: text)]
  }

  mutating func stopChat() -> [Effect] { chat.phase == .idle ? [] : [send(.stopChat)] }

  fileprivate mutating func setTemperature(_ text: String) -> [Effect] {
    guard let value = Double(text), value >= 0, value <= 2 else {
      return complain("temperature", "0 to 2", text)
    }
    chat.temperature = value
    say("temperature \(decimal(value, 2))")
    return []
  }

  fileprivate mutating func setMaxTokens(_ text: String) -> [Effect] {
    guard let value = Int(text), (1...1_000_000).contains(value) else {
      return complain("max-tokens", "a number from 1 on", text)
    }
    chat.maxTokens = value
    say("answers of at most \(plural(value, "token"))")
    return []
  }

  // MARK: words

  /// `:priority 7`, or a step: `:priority +2`.
  fileprivate mutating func setPriority(_ text: String) -> [Effect] {
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

  /// While `:theme NAME` is typed, the screen has the first theme of such a name.
  mutating func tryTheme() {
    let typed = field.text.hasPrefix("theme ") ? field.text.dropFirst(6) : ""
    guard mode == .command, !typed.isEmpty,
      let found = options.themes.first(where: { $0.name == typed })
        ?? options.themes.first(where: { $0.name.hasPrefix(typed) })
    else { return leaveTheme() }
    themeBefore = themeBefore ?? theme
    theme = found
  }

  mutating func leaveTheme() {
    guard let before = themeBefore else { return }
    (theme, themeBefore) = (before, nil)
  }

  private mutating func complain(_ command: String, _ wanted: String, _ found: String) -> [Effect] {
    say(":\(command) wants \(wanted), found '\(displaySafe(found.prefix(30)))'", isError: true)
    return []
  }
}
