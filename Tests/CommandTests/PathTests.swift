// PathTests.swift: every option that takes a path, with everything that a path can name. The options come from the
// program's own help, so that a new one is tried too. Start at PathOption.all.

import Foundation
import Testing

/// One option of one command whose value is a file or a directory.
struct PathOption: Sendable, CustomStringConvertible {
  let command: String
  let name: String
  /// As the help has it: `FILE`, `DIR`, `FILE|NAME`.
  let value: String
  let help: String

  var description: String { "\(command) --\(name) \(value)" }

  /// Written by the program, and not read.
  var isOutput: Bool { ["output", "logits", "trace"].contains(name) }

  /// What else stands on the command line, so that the option is looked at. An option that is not here is tried alone.
  func words(_ files: PathFiles) -> [String] {
    switch (command, name) {
    case ("run", _), ("tokenize", _):
      (name == "model" ? [] : ["-m", files.model]) + (command == "run" ? ["--raw", "-n", "1"] : []) + ["he"]
    case ("bench", _): name == "model" ? [] : ["-m", files.model]
    case ("chat", _): name == "model" ? [] : ["-m", files.model]
    case ("render", "template"): [files.messages]
    case ("render", _): [files.messages]
    case ("verify", _): [files.text]
    case ("witness", "signers"): [files.checkpoint]
    case ("witness", _): (name == "signers" ? [] : ["--signers", files.text]) + [files.checkpoint]
    case ("receipts", "transcript"): ["export", "1"]
    case ("receipts", "witnesses"): ["cosign", files.checkpoint, files.text]
    case ("receipts", _): ["check"]
    case ("settle", _): ["--statement", "bob"]
    case ("clients", _): ["list"]
    case ("approve", _), ("cancel", _), ("hold", _), ("release", _), ("reject", _): ["abcd"]
    case ("priority", _): ["abcd", "1"]
    case ("submit", _): [files.text]
    case ("queue", _): ["status"]
    case ("install", "prefix"): ["--list"]
    case ("install", _): ["--list"]
    case ("serve", _): ["--listen", "none"] + (name == "state" ? [] : ["--state", files.state])
    case ("fleet", _): ["--json", "local"]
    case ("demo", _): ["--headless"]
    default: []
    }
  }

  /// Those that the help of all commands names.
  static let all: [PathOption] = {
    guard let help = try? Program.run(["--help"]).output else { return [] }
    let commands = help.split(separator: "\n").filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") }
      .compactMap { $0.split(separator: " ").first.map(String.init) }.filter { !$0.hasPrefix("-") }
    return commands.flatMap { command -> [PathOption] in
      guard let help = try? Program.run([command, "--help"]).output else { return [] }
      return help.split(separator: "\n").compactMap { line in
        guard line.hasPrefix("  "), let start = line.range(of: "--") else { return nil }
        let words = line[start.upperBound...].split(separator: " ")
        guard words.count > 1,
          line.prefix(upTo: start.lowerBound).allSatisfy({ " -,".contains($0) || $0.isLetter })
        else { return nil }
        let parts = words[1].split(separator: "|")
        guard parts.contains("FILE") || parts.contains("DIR") else { return nil }
        return PathOption(
          command: command, name: String(words[0]), value: String(words[1]),
          help: words.dropFirst(2).joined(separator: " "))
      }
    }
  }()
}

/// Files that the options are tried with.
final class PathFiles: Sendable {
  let path: String
  private let folder: SendableFolder
  private struct SendableFolder: @unchecked Sendable { let folder: Folder }
  let model: String
  let messages: String
  let text: String
  let checkpoint: String
  var state: String { path + "/state" }

  init() throws {
    let made = try Folder()
    folder = SendableFolder(folder: made)
    path = made.path
    model = try made.write(TinyModel.bytes(), "tiny.gguf")
    messages = try made.write(Array("[]".utf8), "m.json")
    text = try made.write(Array("text\n".utf8), "text")
    checkpoint = try made.write(Array("a\n1\nb\n\n-----BEGIN SSH SIGNATURE-----\n".utf8), "checkpoint")
    chmod(made.path, 0o755)
  }
}

@Suite struct PathTests {
  /// What no user should ever read.
  private static let internalWords = [
    "Success", "Error Domain=", "NSCocoa", "Optional(", "Fatal error", "UserInfo", "The operation couldn",
  ]

  /// The program, ended by SIGTERM where it would serve on.
  private func run(_ option: PathOption, _ value: String, _ files: PathFiles, through: [String] = []) throws
    -> Outcome
  {
    let timeout = try #require(Installed.find("timeout"))
    let serves = ["serve", "demo", "dashboard"].contains(option.command)
    return try Program.run(
      [option.command, "--\(option.name)=\(value)"] + option.words(files),
      environment: ["HOME": files.path + "/home"],
      through: through + [timeout, "--preserve-status", "-s", "TERM", serves ? "2" : "60"])
  }

  private func check(_ outcome: Outcome, _ what: String) {
    let known: Set<Int32> = [0, 1, 64, 65, 66, 69, 74, 75, 77, 128 + SIGTERM]
    #expect(known.contains(outcome.status), "\(what): \(outcome)")
    for words in Self.internalWords {
      #expect(!outcome.errors.contains(words), "\(what): \(outcome)")
    }
    // The fleet tells in its table what is wrong with a node.
    if ![0, 1, 128 + SIGTERM].contains(outcome.status), outcome.output.isEmpty {
      #expect(outcome.errors.contains("hotpot: error: "), "\(what): \(outcome)")
    }
  }

  @Test func `the help names the options that are tried here`() {
    let names = Set(PathOption.all.map { "\($0.command) \($0.name)" })
    for name in [
      "serve state", "serve config", "serve trace", "run model", "run logits", "render template",
      "attach theme",
      "attach keymap", "verify transcript", "verify revoked", "witness key", "settle output",
      "install prefix", "unit exec",
    ] {
      #expect(names.contains(name), "\(name)")
    }
  }

  @Test(arguments: PathOption.all)
  func `an empty path is wrong usage`(_ option: PathOption) throws {
    let files = try PathFiles()
    let outcome = try run(option, "", files)
    #expect(outcome.status == 64, "\(outcome)")
    #expect(
      outcome.errors.contains("option '--\(option.name)' wants a value, found an empty one"), "\(outcome)")
    #expect(outcome.output.isEmpty)
    check(outcome, "\(option)")
  }

  @Test(arguments: PathOption.all)
  func `whatever a path names, it works or is said in words`(_ option: PathOption) throws {
    let files = try PathFiles()
    let odd = files.path + "/ein Ordner (1)/u\u{308}nd \u{FC}"
    try FileManager.default.createDirectory(
      atPath: files.path + "/ein Ordner (1)", withIntermediateDirectories: true)
    let link = files.path + "/broken"
    try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: files.path + "/none")
    let values = [
      "/dev/null", files.path, odd, files.path + "/none/file", link, files.text + "/", "~/x y", "/dev/null/x",
      files.path + "/" + String(repeating: "n", count: 300),
    ]
    for value in values {
      let outcome = try run(option, value, files)
      check(outcome, "\(option) \(value)")
      // Where the file is what is wrong, and not something before it.
      if option.value.contains("FILE"), value == files.path, outcome.errors.contains("'\(value)'") {
        #expect(outcome.errors.contains("is a directory"), "\(option): \(outcome)")
      }
    }
    // Nothing was put where it does not belong.
    var status = stat()
    #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
    #expect(access("~", F_OK) != 0)
  }

  @Test(
    .enabled(if: Nobody.through != nil && getuid() == 0, "only root can show what it may not do"),
    arguments: PathOption.all)
  func `what this user may not read or write is said, with 77`(_ option: PathOption) throws {
    let files = try PathFiles()
    let closed = files.path + "/closed"
    try FileManager.default.createDirectory(atPath: closed, withIntermediateDirectories: true)
    _ = try Data().write(to: URL(fileURLWithPath: closed + "/file"))
    chmod(closed, 0o700)
    let outcome = try run(
      option, closed + (option.value == "DIR" ? "/dir" : "/file"), files, through: Nobody.through ?? [])
    check(outcome, "\(option)")
    #expect(outcome.status != 74, "\(option): \(outcome)")
    if outcome.errors.contains("'\(closed)"), option.command != "fleet" {
      #expect(outcome.status == 77, "\(option): \(outcome)")
    }
  }

  /// A shell's `<(…)`, standard input, and a pipe with a name: opened once, never sought in, and never waited for in vain.
  @Test(arguments: PathOption.all)
  func `a pipe in place of a file works or is said in words`(_ option: PathOption) throws {
    let bash = try #require(Installed.find("bash"))
    let files = try PathFiles()
    let named = files.path + "/pipe"
    var sources = [("exec 7< <(printf x)", "/dev/fd/7"), ("exec 0< <(printf x)", "/dev/stdin")]
    // Who writes into a pipe waits for its reader, as with a shell's `>`.
    if !option.isOutput {
      sources.append(("(timeout 5 bash -c \"printf x > '\(named)'\" &) 2>/dev/null", named))
    }
    #expect(mkfifo(named, 0o600) == 0)
    for (before, value) in sources {
      let outcome = try run(option, value, files, through: [bash, "-c", before + "; exec \"$0\" \"$@\""])
      check(outcome, "\(option) \(value)")
      let serves = ["serve", "demo", "dashboard"].contains(option.command)
      #expect(serves || outcome.status != 128 + SIGTERM, "\(option) \(value) waited: \(outcome)")
    }
  }

  /// Options that are read, each with a text that it takes.
  @Test(arguments: [
    (["doctor", "--state", "/nowhere/x", "--config"], "{ name: 'substituted' }", Int32(1), "\"name\""),
    (["render", "MESSAGES", "--template"], "{{ messages|length }}", 0, "0"),
  ]) func `a pipe and a shell's substitution are read like a file`(
    words: [String], text: String, status: Int32, output: String
  ) throws {
    let bash = try #require(Installed.find("bash"))
    let files = try PathFiles()
    let words = words.map { $0 == "MESSAGES" ? files.messages : $0 }
    let line = words.map { "'\($0)'" }.joined(separator: " ")
    for source in [
      "<(printf %s \"\(text.replacingOccurrences(of: "\"", with: "\\\""))\")", "/dev/stdin", "/dev/fd/0",
    ] {
      let outcome = try Installed.run(
        bash, ["-c", "printf %s \"\(text)\" | '\(Program.path)' \(line) \(source)"], ["HOME": files.path])
      #expect(outcome.status == status || outcome.status == 0, "\(source): \(outcome)")
      #expect(
        !outcome.output.contains("cannot be read") && !outcome.output.contains("is empty"),
        "\(source): \(outcome)")
    }
  }

  @Test func `a configuration of /dev/null is none, an empty file is lost, and a directory is a directory`()
    throws
  {
    let files = try PathFiles()
    let state = ["--state", files.state]
    let null = try Program.run(["receipts", "repair", "--config", "/dev/null"] + state)
    #expect(null.status == 66 && null.errors.contains("there is no journal"), "\(null)")
    let folder = try Program.run(["serve", "--config", files.path] + state)
    #expect(folder.status == 66 && folder.errors.contains("'\(files.path)' is a directory"), "\(folder)")
    let empty = files.path + "/empty.json5"
    try Data().write(to: URL(fileURLWithPath: empty))
    let lost = try Program.run(["serve", "--config", empty] + state)
    #expect(lost.status == 65 && lost.errors.contains("the file is empty"), "\(lost)")
    let endless = try Program.run(["serve", "--config", "/dev/zero"] + state)
    #expect(endless.status == 65 && endless.errors.contains("is larger than"), "\(endless)")
  }

  @Test func `operands that are paths are read the same way`() throws {
    let files = try PathFiles()
    for words in [
      ["verify"], ["replay"], ["render", "--template", files.text], ["witness", "--signers", files.text],
    ] {
      for (value, status, said) in [
        (files.path, Int32(66), "is a directory"), ("", 64, "is empty"),
        (files.path + "/none", 66, "No such file"),
      ] {
        let outcome = try Program.run(words + [value])
        #expect(outcome.status == status && outcome.errors.contains(said), "\(words) \(value): \(outcome)")
      }
      check(try Program.run(words + ["/dev/null"]), "\(words) /dev/null")
    }
  }

  @Test func `a model's name is said to be a directory, a broken link, or not there`() throws {
    let files = try PathFiles()
    let folder = files.path + "/folder.gguf"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: files.path + "/l.gguf", withDestinationPath: files.path + "/none")
    let home = files.path + "/home"
    try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
    _ = try Data(TinyModel.bytes()).write(to: URL(fileURLWithPath: home + "/x.gguf"))
    for (value, status, said) in [
      (files.path, Int32(66), "is a directory"), (folder, 66, "is a directory"),
      (folder + "/", 66, "is a directory"),
      (".", 66, "is a directory"), (files.path + "/l.gguf", 66, "leads nowhere"),
      ("/none/x.gguf", 66, "No such file"),
      (files.model + "/", 66, "Not a directory"), ("/dev/null", 65, "not a regular file"),
      (files.text, 65, "starts with"),
      ("~/x.gguf", 0, ""),
    ] {
      let outcome = try Program.run(["tokenize", "--model=\(value)", "he"], environment: ["HOME": home])
      #expect(
        outcome.status == status && (said.isEmpty || outcome.errors.contains(said)), "\(value): \(outcome)")
    }
    let variable = try Program.run(
      ["tokenize", "he"], environment: ["HOME": home, "HOTPOT_MODEL": files.path])
    #expect(variable.status == 66 && variable.errors.contains("is a directory"), "\(variable)")
  }

  @Test func `what is written goes into devices and pipes, and replaces nothing else`() throws {
    let files = try PathFiles()
    let bash = try #require(Installed.find("bash"))
    let trace = try Program.run(
      ["serve", "--listen", "none", "--state", files.state, "--trace", "/dev/null"],
      environment: ["HOME": files.path],
      through: [try #require(Installed.find("timeout")), "--preserve-status", "-s", "TERM", "2"])
    #expect([0, 128 + SIGTERM].contains(trace.status) && !trace.errors.contains("trace"), "\(trace)")
    let there = try Program.run(["serve", "--state", files.state, "--trace", files.text])
    #expect(there.status == 74 && there.errors.contains("never written over"), "\(there)")
    // A statement into a pipe, a device and a file.
    #expect(try Program.run(["clients", "add", "bob", "--state", files.state]).status == 0)
    let words = "'\(Program.path)' settle --statement bob --state '\(files.state)' -o"
    let piped = try Installed.run(bash, ["-c", "\(words) >(cat); sleep 0.3"], ["HOME": files.path])
    #expect(piped.output.contains("bob") && piped.output.contains("BEGIN SSH SIGNATURE"), "\(piped)")
    #expect(try Installed.run(bash, ["-c", "\(words) /dev/null"], ["HOME": files.path]).status == 0)
    var status = stat()
    #expect(
      stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR
        && access("/dev/null.sig", F_OK) != 0)
    let odd = files.path + "/Rechnung (1) f\u{FC}r bob.txt"
    #expect(try Installed.run(bash, ["-c", "\(words) '\(odd)'"], ["HOME": files.path]).status == 0)
    #expect(access(odd, F_OK) == 0 && access(odd + ".sig", F_OK) == 0)
  }

  // MARK: homes

  @Test func `without HOME the user's entry says where state is, and never the root directory`() throws {
    let entry = try #require(getpwuid(getuid())).pointee
    let home = String(cString: entry.pw_dir)
    for value in ["", "relative/home"] {
      let outcome = try Program.run(["status"], environment: ["HOME": value])
      #expect(
        outcome.errors.contains("'\(home)/.local/state/hotpot'") || outcome.errors.contains("/run/hotpot"),
        "\(outcome)")
      #expect(!outcome.errors.contains("//"), "\(outcome)")
    }
    let unset = try Program.run(["status"], through: [try #require(Installed.find("env")), "-u", "HOME"])
    #expect(unset.errors.contains("'\(home)/.local/state/hotpot'"), "\(unset)")
    let files = try PathFiles()
    for value in ["", "relative", "./x"] {
      let outcome = try Program.run(["status"], environment: ["HOME": files.path, "XDG_STATE_HOME": value])
      #expect(outcome.errors.contains("'\(files.path)/.local/state/hotpot'"), "\(outcome)")
    }
  }

  @Test(.enabled(if: Nobody.through != nil && getuid() == 0, "only root can become somebody else"))
  func `a node whose home is not there says so and exits 77`() throws {
    for words in [["serve"], ["clients", "add", "bob"]] {
      let outcome = try Program.run(
        words, environment: ["HOME": "/nonexistent"], through: Nobody.through ?? [])
      #expect(outcome.status == 77, "\(outcome)")
      #expect(outcome.errors.contains("cannot be made: Permission denied at '/nonexistent'"), "\(outcome)")
      #expect(outcome.errors.contains("hotpot: hint: '--state DIR' names another place"), "\(outcome)")
    }
    // A user that the user database does not know.
    let setpriv = try #require(Installed.find("setpriv"))
    let stranger = try Program.run(
      ["serve"], environment: ["HOME": ""],
      through: [setpriv, "--reuid=54321", "--regid=54321", "--clear-groups"])
    #expect(stranger.status == 66 && stranger.errors.contains("no home directory"), "\(stranger)")
  }
}
