// Completions.swift: `hotpot completions bash|zsh|fish`: completions generated from the table of
// commands, so that they never lag behind it. Start at CompletionScript.

extension Command {
  static let completions = Command(
    name: "completions", summary: "print completions for a shell", operands: "bash|zsh|fish",
    details: """
      bash:  hotpot completions bash > ~/.local/share/bash-completion/completions/hotpot
      zsh:   hotpot completions zsh > "${fpath[1]}/_hotpot"
      fish:  hotpot completions fish > ~/.config/fish/completions/hotpot.fish
      """
  ) { arguments in
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

enum CompletionScript {
  private static func options(_ command: Command) -> [Option] { command.options + [.help] }

  /// Whether the option's value is a file or a directory.
  private static func isPath(_ option: Option) -> Bool {
    option.value.map { $0.contains("FILE") || $0.contains("DIR") } ?? false
  }

  /// The words that an operand or a value like `bash|zsh|fish` or `[list | add NAME]` begins with.
  private static func words(_ text: String) -> [String] {
    text.split { "[]|".contains($0) }.compactMap { $0.split(separator: " ").first.map(String.init) }
      .filter { $0.allSatisfy { $0.isASCII && ($0.isLowercase || $0 == "-") } && !$0.hasPrefix("-") }
  }

  static func bash(_ commands: [Command]) -> String {
    var cases = ""
    for command in commands {
      let names = options(command).map { "--\($0.name)" }.joined(separator: " ")
      cases +=
        "    \(command.name)) options='\(names)'; words='\(words(command.operands).joined(separator: " "))' ;;\n"
    }
    let paths = Set(commands.flatMap(\.options).filter(isPath).map { "--\($0.name)" }).sorted()
    let valued = Set(
      commands.flatMap(\.options).filter { $0.value != nil && !isPath($0) }.map { "--\($0.name)" }
    )
    .subtracting(paths).sorted()
    return """
      # bash completion for hotpot
      _hotpot() {
        local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} options= words=
        COMPREPLY=()
        if [ "$COMP_CWORD" -eq 1 ]; then
          COMPREPLY=($(compgen -W '\(commands.map(\.name).joined(separator: " ")) --help --version' -- "$current"))
          return
        fi
        case $previous in
          \(paths.joined(separator: "|"))) COMPREPLY=($(compgen -f -- "$current")); return ;;
          \(valued.joined(separator: "|"))) return ;;
        esac
        case ${COMP_WORDS[1]} in
      \(cases)  esac
        case $current in
          -*) COMPREPLY=($(compgen -W "$options" -- "$current")) ;;
          *) COMPREPLY=($(compgen -W "$words" -- "$current") $(compgen -f -- "$current")) ;;
        esac
      }
      complete -o filenames -F _hotpot hotpot

      """
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
        let action = option.value.map { ":\(plain($0)):" + (isPath(option) ? "_files" : "") } ?? ""
        return quoted("--\(option.name)\(option.value == nil ? "" : "=")[\(plain(option.help))]\(action)")
      }
      let operands = words(command.operands)
      let rest = operands.isEmpty ? "'*:file:_files'" : quoted("*:word:(\(operands.joined(separator: " ")))")
      cases += "    \(command.name)) _arguments \(specs.joined(separator: " ")) \(rest) ;;\n"
    }
    return """
      #compdef hotpot
      # zsh completion for hotpot
      _hotpot() {
        local -a commands
        commands=(
      \(list)  )
        if (( CURRENT == 2 )); then
          _describe command commands
          return
        fi
        local command=$words[2]
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
    var text = "# fish completion for hotpot\ncomplete -c hotpot -f\n"
    for command in commands {
      text +=
        "complete -c hotpot -n __fish_use_subcommand -a \(command.name) -d \(quoted(command.summary))\n"
      let here = quoted("__fish_seen_subcommand_from \(command.name)")
      for option in options(command) {
        var line = "complete -c hotpot -n \(here) -l \(option.name)"
        if let letter = option.letter { line += " -s \(letter)" }
        if option.value != nil { line += isPath(option) ? " -r -F" : " -x" }
        text += "\(line) -d \(quoted(option.help))\n"
      }
      let operands = words(command.operands)
      if !operands.isEmpty {
        text += "complete -c hotpot -n \(here) -a \(quoted(operands.joined(separator: " ")))\n"
      }
    }
    return text
  }
}
