// Hotpot.swift: where the program starts: it turns words into a command and the command's failure
// into an exit code.

import CSystem
import Foundation

@main
enum Hotpot {
  static func main() async {
    // A closed pipe and an exceeded file size are reported by `write` and must not end the process.
    signal(SIGPIPE, SIG_IGN)
    signal(SIGXFSZ, SIG_IGN)
    // On a system that does not support this, a crash may leave a core dump. That is no reason not
    // to run.
    _ = csystem_forbid_dumps()
    let code: ExitCode
    do {
      code = try await run(try words())
    } catch {
      let failure = Failure(describing: error)
      Console.show(failure)
      code = failure.code
    }
    exit(code.rawValue)
  }

  /// The words after the program's name, exactly as given: Foundation would repair invalid UTF-8.
  private static func words() throws -> [String] {
    try (1..<max(1, Int(CommandLine.argc))).compactMap { place in
      guard let word = CommandLine.unsafeArgv[place] else { return nil }
      guard let text = String(validatingCString: word) else {
        throw Failure(.badData, "argument \(place) is not UTF-8 text", hint: Console.encodingHint)
      }
      return text
    }
  }

  private static func run(_ words: [String]) async throws -> ExitCode {
    guard let first = words.first else {
      if let command = Commands.whenNoneIsNamed { return try await run(command, []) }
      Console.note(Commands.helpText)
      return .usage
    }
    switch first {
    case "--help", "-h", "help":
      if first == "help", let name = words.dropFirst().first {
        Console.write(try command(name).helpText)
      } else {
        Console.write(Commands.helpText)
      }
      return .ok
    case "--version":
      Console.print("hotpot \(Commands.version)")
      return .ok
    default: break
    }
    if first.hasPrefix("-") {
      if let command = Commands.whenNoneIsNamed { return try await run(command, words) }
      let known = ["--help", "--version"]
      throw Failure(
        .usage, "unknown option '\(first)'",
        hint: Spelling.nearest(to: first, among: known).map { "did you mean '\($0)'?" }
          ?? "options of a command stand after its name; 'hotpot --help' lists the commands")
    }
    return try await run(try command(first), Array(words.dropFirst()))
  }

  private static func command(_ name: String) throws -> Command {
    if let command = Commands.all.first(where: { $0.name == name }) { return command }
    throw Failure(
      .usage, "unknown command '\(name)'",
      hint: Spelling.nearest(to: name, among: Commands.all.map(\.name)).map { "did you mean '\($0)'?" }
        ?? "'hotpot --help' lists the commands")
  }

  private static func run(_ command: Command, _ words: [String]) async throws -> ExitCode {
    let arguments = try Arguments(words, for: command)
    if arguments.has("help") {
      Console.write(command.helpText)
      return .ok
    }
    return try await command.run(arguments)
  }
}
