// Completions.swift: `hotpot completions bash|zsh|fish`: completions generated from the table of
// commands, so that they never lag behind it. Names of jobs, clients, models, themes and hosts are
// asked for when they are wanted: the scripts call `hotpot completions --names KIND`. Start at
// CompletionScript and CompletionNames.

import Control
import Dashboard
import Foundation
import Inference
import Node

extension Command {
  static let completions = Command(
    name: "completions", summary: "print completions for a shell", operands: "bash|zsh|fish",
    details: """
      bash:  hotpot completions bash > ~/.local/share/bash-completion/completions/hotpot
      zsh:   hotpot completions zsh > "${fpath[1]}/_hotpot"
      fish:  hotpot completions fish > ~/.config/fish/completions/hotpot.fish

      They ask for names when they need them, as --names KIND prints them, one a line: jobs, waiting, receipts, clients,
      models, themes, hosts. Where no node runs the first four are none.
      """,
    options: NodeSetup.commonOptions + [
      Option("names", value: "KIND", "print the names that a word may be, one a line")
    ]
  ) { arguments in
    if let kind = arguments.string("names") {
      _ = try arguments.operands(0...0, "")
      guard let kind = CompletionNames(rawValue: kind) else {
        let known = CompletionNames.allCases.map(\.rawValue).joined(separator: ", ")
        throw Failure(.usage, "option '--names' wants \(known), found '\(kind)'")
      }
      Console.pour(try kind.found(arguments).map { $0 + "\n" }.joined())
      return .ok
    }
    let words = try arguments.operands(1...1, "the shell")
    switch words[0] {
    case "bash": Console.pour(CompletionScript.bash(Commands.all))
    case "zsh": Console.pour(CompletionScript.zsh(Commands.all))
    case "fish": Console.pour(CompletionScript.fish(Commands.all))
    default: throw Failure(.usage, "there are completions for bash, zsh and fish, not for '\(words[0])'")
    }
    return .ok
  }
}

/// What a word on the command line can name.
enum CompletionNames: String, CaseIterable {
  case jobs, waiting, receipts, clients, models, themes, hosts

  /// The operands of a command.
  static let ofOperands: [String: CompletionNames] = [
    "approve": .waiting, "reject": .waiting, "cancel": .jobs, "hold": .jobs, "release": .jobs,
    "priority": .jobs, "jobs": .jobs, "receipts": .receipts, "clients": .clients, "settle": .clients,
    "models": .models, "attach": .hosts, "fleet": .hosts,
  ]

  /// The values of an option.
  static let ofOptions: [String: CompletionNames] = [
    "client": .clients, "statement": .clients, "job": .jobs, "model": .models, "models": .models,
    "theme": .themes,
  ]

  /// Names that a shell takes as one word, without those that only a quote could hold together.
  func found(_ arguments: Arguments) throws -> [String] {
    try all(arguments).filter { name in
      !name.isEmpty
        && name.unicodeScalars.allSatisfy {
          $0.value > 0x20 && $0.value != 0x7F && !"'\"\\$`;&|<>()*?[]{}!#~".unicodeScalars.contains($0)
        }
    }
  }

  private func all(_ arguments: Arguments) throws -> [String] {
    switch self {
    case .models: return ModelStore().models().map(\.name)
    case .themes: return try DashboardSetup.options(arguments).themes.map(\.name)
    case .hosts:
      return try ["local"] + NodeSetup.configuration(arguments).fleet + ((try? Fleet.sshNames()) ?? [])
    case .jobs, .waiting, .receipts, .clients: break
    }
    guard let node = try ControlClient.ifServed(state: NodeSetup.controlDirectory(arguments)) else {
      return []
    }
    let snapshot = try node.snapshot()
    switch self {
    case .jobs: return snapshot.jobs.filter { !$0.state.hasEnded }.map(\.id)
    case .waiting: return snapshot.approvals.map(\.id)
    case .receipts: return snapshot.receipts.recent.map(\.id)
    case .clients: return (snapshot.clients ?? []).map(\.name)
    case .models, .themes, .hosts: return []
    }
  }
}

enum CompletionScript {
  private static func options(_ command: Command) -> [Option] { command.options + [.help] }

  /// Whether the option's value is a file or a directory.
  private static func isPath(_ option: Option) -> Bool {
    option.value.map { $0.contains("FILE") || $0.contains("DIR") } ?? false
  }

  /// The words that an operand or a value like `bash|zsh|fish` or `[list | add NAME | key FILE|none]`
  /// begins with.
  private static func words(_ text: String) -> [String] {
    let inner = text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
    let parts =
      inner.contains(" | ") ? inner.components(separatedBy: " | ") : inner.components(separatedBy: "|")
    return parts.compactMap { $0.split(separator: " ").first.map(String.init) }
      .filter { $0.allSatisfy { $0.isASCII && ($0.isLowercase || $0 == "-") } && !$0.hasPrefix("-") }
  }

  /// Whether an operand is a file or a directory.
  private static func takesPath(_ command: Command) -> Bool {
    ["FILE", "DIRECTORY", "BUNDLE", "MESSAGES", "CHECKPOINT"].contains { command.operands.contains($0) }
  }

  static func bash(_ commands: [Command]) -> String {
    var cases = ""
    for command in commands {
      let names = options(command).map { "--\($0.name)" }.joined(separator: " ")
      let kind = CompletionNames.ofOperands[command.name]?.rawValue ?? ""
      cases +=
        "    \(command.name)) options='\(names)'; words='\(words(command.operands).joined(separator: " "))'; "
        + "kind='\(kind)'; path='\(takesPath(command) ? "yes" : "")' ;;\n"
    }
    let all = commands.flatMap(\.options)
    let named = CompletionNames.ofOptions.sorted { $0.key < $1.key }.map { name, kind in
      let file = all.contains { $0.name == name && isPath($0) } ? " $(compgen -f -- \"$current\")" : ""
      return
        "    --\(name)) COMPREPLY=($(compgen -W \"$(_hotpot_names \(kind.rawValue))\" -- \"$current\")\(file)); return ;;\n"
    }
    let isNamed = Set(CompletionNames.ofOptions.keys.map { "--\($0)" })
    let paths = Set(all.filter(isPath).map { "--\($0.name)" }).subtracting(isNamed).sorted()
    let valued = Set(all.filter { $0.value != nil && !isPath($0) }.map { "--\($0.name)" })
      .subtracting(paths).subtracting(isNamed).sorted()
    return """
      # bash completion for hotpot
      _hotpot_names() {
        local place state=()
        for ((place = 1; place < COMP_CWORD; place++)); do
          if [ "${COMP_WORDS[place]}" = --state ] && [ "${COMP_WORDS[place+1]}" = = ]; then
            state=(--state "${COMP_WORDS[place+2]}")
          elif [ "${COMP_WORDS[place]}" = --state ]; then
            state=(--state "${COMP_WORDS[place+1]}")
          fi
        done
        "${COMP_WORDS[0]}" completions --names "$1" "${state[@]}" 2>/dev/null
      }
      _hotpot() {
        local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} options= words= kind= path=
        COMPREPLY=()
        if [ "$COMP_CWORD" -eq 1 ]; then
          COMPREPLY=($(compgen -W '\(commands.map(\.name).joined(separator: " ")) --help --version' -- "$current"))
          return
        fi
        # The equals sign of --option=value is a word of its own.
        if [ "$current" = = ]; then current=; elif [ "$previous" = = ]; then previous=${COMP_WORDS[COMP_CWORD-2]}; fi
        case $previous in
      \(named.joined())    \(paths.joined(separator: "|"))) COMPREPLY=($(compgen -f -- "$current")); return ;;
          \(valued.joined(separator: "|"))) return ;;
        esac
        case ${COMP_WORDS[1]} in
      \(cases)  esac
        case $current in
          -*) COMPREPLY=($(compgen -W "$options" -- "$current")); return ;;
        esac
        if [ -n "$kind" ] && { [ -z "$words" ] || [ "$COMP_CWORD" -gt 2 ]; }; then
          words=$(_hotpot_names "$kind")
        fi
        COMPREPLY=($(compgen -W "$words" -- "$current"))
        if [ -n "$path" ]; then COMPREPLY+=($(compgen -f -- "$current")); fi
      }
      complete -o filenames -F _hotpot hotpot

      """
  }

  private static func zshValues(_ option: Option) -> String {
    let file = isPath(option)
    guard let kind = CompletionNames.ofOptions[option.name] else { return file ? "_files" : "" }
    return "_hotpot_names \(kind.rawValue)\(file ? " and files" : "")"
  }

  static func zsh(_ commands: [Command]) -> String {
    func quoted(_ text: String) -> String {
      "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
    // In a description, brackets and colons have a special meaning.
    func plain(_ text: String) -> String { String(text.map { "[]:".contains($0) ? " " : $0 }) }
    var list = ""
    var cases = ""
    for command in commands {
      list += "    \(quoted("\(command.name):\(plain(command.summary))"))\n"
      let specs = options(command).map { option in
        let action = option.value.map { ":\(plain($0)):" + zshValues(option) } ?? ""
        return quoted("--\(option.name)\(option.value == nil ? "" : "=")[\(plain(option.help))]\(action)")
      }
      let operands = words(command.operands)
      var rest: [String] = []
      if !operands.isEmpty { rest.append(quoted("1:word:(\(operands.joined(separator: " ")))")) }
      if let kind = CompletionNames.ofOperands[command.name] {
        rest.append(quoted("*:name:_hotpot_names \(kind.rawValue)\(takesPath(command) ? " and files" : "")"))
      } else if takesPath(command) {
        rest.append("'*:file:_files'")
      }
      cases += "    \(command.name)) _arguments \((specs + rest).joined(separator: " ")) ;;\n"
    }
    return """
      #compdef hotpot
      # zsh completion for hotpot
      _hotpot_names() {
        local -a found state
        local place=${words[(I)--state*]}
        if (( place )) && [[ $words[place] == --state=* ]]; then state=($words[place])
        elif (( place )); then state=(--state $words[place+1]); fi
        found=(${(f)"$($program completions --names $1 $state 2>/dev/null)"})
        compadd -a found
        if (( $# > 1 )); then _files; fi
      }
      _hotpot() {
        local -a commands
        commands=(
      \(list)  )
        if (( CURRENT == 2 )); then
          _describe command commands
          return
        fi
        local program=$words[1] command=$words[2]
        shift words
        (( CURRENT-- ))
        case $command in
      \(cases)  esac
      }
      _hotpot "$@"

      """
  }

  static func fish(_ commands: [Command]) -> String {
    // Inside fish's single quotes only the quote and the backslash are special.
    func quoted(_ text: String) -> String {
      "'" + text.map { $0 == "'" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined() + "'"
    }
    var text = """
      # fish completion for hotpot
      function __hotpot_names
        set -l words (commandline -opc)
        command -q -- $words[1]; or return
        set -l state
        if set -l place (contains -i -- --state $words)
          set state --state $words[(math $place + 1)]
        else
          set state (string match -- '--state=*' $words)
        end
        $words[1] completions --names $argv[1] $state 2>/dev/null
      end
      complete -c hotpot -f

      """
    for command in commands {
      text +=
        "complete -c hotpot -n __fish_use_subcommand -a \(command.name) -d \(quoted(command.summary))\n"
      let here = quoted("__fish_seen_subcommand_from \(command.name)")
      for option in options(command) {
        var line = "complete -c hotpot -n \(here) -l \(option.name)"
        if let letter = option.letter { line += " -s \(letter)" }
        if option.value != nil { line += isPath(option) ? " -r -F" : " -x" }
        if let kind = CompletionNames.ofOptions[option.name] {
          line += " -a '(__hotpot_names \(kind.rawValue))'"
        }
        text += "\(line) -d \(quoted(option.help))\n"
      }
      let operands = words(command.operands)
      if !operands.isEmpty {
        text += "complete -c hotpot -n \(here) -a \(quoted(operands.joined(separator: " ")))\n"
      }
      if let kind = CompletionNames.ofOperands[command.name] {
        text += "complete -c hotpot -n \(here) -a '(__hotpot_names \(kind.rawValue))'\n"
      }
      if takesPath(command) { text += "complete -c hotpot -n \(here) -F\n" }
    }
    return text
  }
}
