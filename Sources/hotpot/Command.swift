// Command.swift: what a command is, and the options it takes. Each command is one file in Commands/
// that adds a `static let` to Command; Commands.swift lists them. Help texts are made from this
// description.

/// One command of the program.
struct Command: Sendable {
  let name: String
  /// One line for the list in `hotpot --help`.
  let summary: String
  /// What follows the name in the usage line.
  var operands = ""
  /// More about it, shown by `hotpot NAME --help`.
  var details = ""
  var options: [Option] = []
  let run: @Sendable (Arguments) async throws -> ExitCode
}

/// A long option, perhaps with a short letter and a value.
struct Option: Sendable {
  let name: String
  var letter: Character?
  /// What stands for the value in the help; nil for a switch.
  var value: String?
  let help: String
  /// Whether an empty value means something: a text may be empty; a name, a path and a number may
  /// not.
  let mayBeEmpty: Bool

  init(
    _ name: String, letter: Character? = nil, value: String? = nil, mayBeEmpty: Bool = false, _ help: String
  ) {
    self.name = name
    self.letter = letter
    self.value = value
    self.mayBeEmpty = mayBeEmpty
    self.help = help
  }

  static let help = Option("help", letter: "h", "show this text")
  static let version = Option("version", "show the version")
  static let json = Option("json", "print JSON")
  static let model = Option(
    "model", letter: "m", value: "FILE|NAME", "a GGUF file, or a name that 'hotpot models list' shows")
}

extension Command {
  var usage: String { "usage: hotpot \(name)\(operands.isEmpty ? "" : " " + operands)" }

  var helpText: String {
    var text = "\(usage)\n\n\(summary)\n"
    if !details.isEmpty { text += "\n\(details)\n" }
    text += "\noptions:\n"
    for option in options + [.help] { text += option.helpLine }
    return text
  }
}

extension Option {
  var spelling: String {
    (letter.map { "-\($0), " } ?? "    ") + "--\(name)" + (value.map { " \($0)" } ?? "")
  }

  var helpLine: String {
    let width = 32
    let left = "  \(spelling)"
    if left.count + 2 > width { return "\(left)\n\(String(repeating: " ", count: width))\(help)\n" }
    return left + String(repeating: " ", count: width - left.count) + help + "\n"
  }
}
