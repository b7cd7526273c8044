// SystemTests.swift: what the program puts into a system: completions, units, an installation, words to the service
// manager; and what the manuals say about it, held against the program.

import Control
import Foundation
import Node
import ScriptedNode
import TestSettings
import Testing

/// Programs that only some machines have.
enum Installed {
  static func find(_ name: String) -> String? {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/\(name)" }
      .first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// Runs a program to its end; standard output, and standard error after it.
  static func run(_ path: String, _ arguments: [String], _ environment: [String: String] = [:]) throws
    -> Outcome
  {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.environment = [
      "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin", "HOME": "/nowhere",
    ]
    .merging(environment) { $1 }
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    process.standardInput = FileHandle.nullDevice
    try process.run()
    let bytes = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    return Outcome(
      status: process.terminationStatus, output: String(decoding: bytes, as: UTF8.self), errors: "")
  }
}

@Suite struct CompletionTests {
  private func script(_ shell: String, _ folder: Folder) throws -> String {
    let result = try Program.run(["completions", shell])
    #expect(result.status == 0 && result.errors.isEmpty)
    return try folder.write(Array(result.output.utf8), "hotpot." + shell)
  }

  @Test(.enabled(if: Installed.find("bash") != nil, "there is no bash here"))
  func bashCompletesCommandsOptionsAndWords() throws {
    let folder = try Folder()
    let file = try script("bash", folder)
    func complete(_ words: String, _ place: Int) throws -> [String] {
      let text = """
        . \(file)
        COMP_WORDS=(\(words)); COMP_CWORD=\(place); _hotpot; printf '%s\\n' "${COMPREPLY[@]}"
        """
      let result = try Installed.run(Installed.find("bash") ?? "", ["--norc", "-c", text])
      #expect(result.status == 0, "\(result.output)")
      return result.output.split(separator: "\n").map(String.init)
    }
    #expect(try complete("hotpot fl", 1) == ["fleet"])
    #expect(try complete("hotpot attach --re", 2).sorted() == ["--read-only", "--remote"])
    #expect(try complete("hotpot completions z", 2) == ["zsh"])
    #expect(try complete("hotpot clients re", 2).contains("revoke"))
    // A word that can be no file is offered none, and each word is offered once.
    #expect(try complete("hotpot approve ''", 2).isEmpty)
    #expect(try complete("hotpot clients ''", 2).count { $0 == "none" } == 0)
  }

  /// A program that answers `completions --names` as a node with these names does.
  private func program(_ folder: Folder) throws -> String {
    let text = """
      #!/bin/sh
      [ "$1 $2" = "completions --names" ] || exit 64
      [ "$4" = --state ] && echo "$3-of-$5" || echo "$3-here"
      """
    let path = try folder.write(Array(text.utf8), "hotpot")
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    return path
  }

  @Test(.enabled(if: Installed.find("bash") != nil, "there is no bash here"))
  func bashAsksForNames() throws {
    let folder = try Folder()
    let file = try script("bash", folder)
    let program = try program(folder)
    func complete(_ words: String) throws -> [String] {
      let text = """
        . \(file)
        COMP_WORDS=(\(program) \(words)); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _hotpot
        printf '%s\\n' "${COMPREPLY[@]}"
        """
      let result = try Installed.run(Installed.find("bash") ?? "", ["--norc", "-c", text])
      #expect(result.status == 0, "\(result.output)")
      return result.output.split(separator: "\n").map(String.init)
    }
    #expect(try complete("approve ''") == ["waiting-here"])
    #expect(try complete("cancel --state /s j") == ["jobs-of-/s"])
    #expect(try complete("cancel --state = /s j") == ["jobs-of-/s"])
    #expect(try complete("log --client ''") == ["clients-here"])
    #expect(try complete("log --client = cl") == ["clients-here"])
    #expect(try complete("log --client =") == ["clients-here"])
    #expect(try complete("clients revoke ''").contains("clients-here"))
    #expect(try complete("attach ''") == ["hosts-here"])
    #expect(try complete("serve --model mod").contains("models-here"))
    #expect(try complete("attach --theme th").contains("themes-here"))
  }

  @Test(.enabled(if: Installed.find("fish") != nil, "there is no fish here"))
  func fishAsksForNames() throws {
    let folder = try Folder()
    let file = try script("fish", folder)
    let program = try program(folder)
    func complete(_ line: String) throws -> [String] {
      let result = try Installed.run(
        Installed.find("fish") ?? "",
        ["--no-config", "-c", "source \(file); complete -C '\(program) \(line)'"], ["HOME": folder.path])
      #expect(result.status == 0, "\(result.output)")
      return result.output.split(separator: "\n").compactMap {
        $0.split(separator: "\t").first.map(String.init)
      }
    }
    #expect(try complete("approve ") == ["waiting-here"])
    #expect(try complete("cancel --state /s ") == ["jobs-of-/s"])
    #expect(try complete("log --client ") == ["clients-here"])
    #expect(try complete("log --client=") == ["--client=clients-here"])
  }

  @Test(.enabled(if: Installed.find("zsh") != nil, "there is no zsh here"))
  func zshAsksForNames() throws {
    let folder = try Folder()
    let file = try script("zsh", folder)
    let program = try program(folder)
    let text = """
      autoload -Uz compinit; compinit -D -u
      _arguments() { words=(approve --state /s ''); _hotpot_names waiting }
      compadd() { print -l ${(P)2} }
      functions[_hotpot_file]="$(<\(file))"
      words=(\(program) approve --state /s ''); CURRENT=5; _hotpot_file
      """
    let result = try Installed.run(Installed.find("zsh") ?? "", ["-f", "-c", text], ["HOME": folder.path])
    #expect(result.output.split(separator: "\n").contains("waiting-of-/s"), "\(result.output)")
  }

  @Test func namesAreForCommandsAndOptionsThatExist() throws {
    let help = try Program.run(["--help"]).output
    for kind in ["jobs", "waiting", "receipts", "clients", "models", "themes", "hosts"] {
      let folder = try Folder()
      let result = try Program.run(["completions", "--names", kind, "--state", folder.path + "/none"])
      #expect(result.status == 0 && result.errors.isEmpty, "\(kind) \(result.errors)")
    }
    #expect(
      try Program.run(["completions", "--names", "themes"]).output.split(separator: "\n").contains("deutan"))
    #expect(
      try Program.run(["completions", "--names", "hosts"]).output.split(separator: "\n").contains("local"))
    let wrong = try Program.run(["completions", "--names", "zork"])
    #expect(wrong.status == 64 && wrong.errors.contains("found 'zork'"))
    for command in ["approve", "receipts", "settle", "attach"] { #expect(help.contains("\n  \(command) ")) }
  }

  @Test(.enabled(if: Installed.find("zsh") != nil, "there is no zsh here"))
  func zshLoadsItAndHasEveryCommand() throws {
    let folder = try Folder()
    let file = try script("zsh", folder)
    // In a shell of its own: the script is loaded as compinit loads it, and asked for its list of commands.
    let text = """
      autoload -Uz compinit; compinit -D -u
      _describe() { print -l ${(P)2} }
      _arguments() { print -l -- "$@" }
      functions[_hotpot_file]="$(<\(file))"
      words=(hotpot ''); CURRENT=2; _hotpot_file
      words=(hotpot attach '--re'); CURRENT=3; _hotpot_file
      """
    let result = try Installed.run(Installed.find("zsh") ?? "", ["-f", "-c", text], ["HOME": folder.path])
    #expect(result.status == 0, "\(result.output)")
    for name in ["attach:", "fleet:", "install:", "receipts:"] {
      #expect(
        result.output.split(separator: "\n").contains { $0.hasPrefix(name) }, "\(name) \(result.output)")
    }
    #expect(result.output.contains("--read-only["))
  }

  @Test(.enabled(if: Installed.find("fish") != nil, "there is no fish here"))
  func fishCompletesCommandsAndOptions() throws {
    let folder = try Folder()
    let file = try script("fish", folder)
    func complete(_ line: String) throws -> [String] {
      let result = try Installed.run(
        Installed.find("fish") ?? "", ["--no-config", "-c", "source \(file); complete -C '\(line)'"],
        ["HOME": folder.path])
      #expect(result.status == 0, "\(result.output)")
      return result.output.split(separator: "\n").compactMap {
        $0.split(separator: "\t").first.map(String.init)
      }
    }
    #expect(try complete("hotpot fl") == ["fleet"])
    #expect(try complete("hotpot attach --re").sorted() == ["--read-only", "--remote"])
    #expect(try complete("hotpot completions z") == ["zsh"])
  }
}

@Suite struct UnitTests {
  @Test(.enabled(if: Installed.find("systemd-analyze") != nil, "there is no systemd-analyze here"))
  func theSystemsUnitIsExposedLittle() throws {
    let folder = try Folder()
    let unit = try Program.run(["unit", "--exec", "/usr/bin/true"])
    let file = try folder.write(Array(unit.output.utf8), "hotpot.service")
    let result = try Installed.run(
      Installed.find("systemd-analyze") ?? "",
      ["security", "--offline=true", "--threshold=15", "--no-pager", file])
    // Above the threshold (in tenths) it ends with 1.
    #expect(result.status == 0, "\(result.output.suffix(400))")
    #expect(result.output.contains("Overall exposure level for hotpot.service: 1."))
    for line in [
      "Type=notify", "WatchdogSec=60", "DeviceAllow=char-nvidia-uvm rw", "DeviceAllow=char-drm rw",
    ] {
      #expect(unit.output.split(separator: "\n").contains(Substring(line)), "\(line)")
    }
  }
}

/// The board and the alerts, held against the page that a node with a GPU and all sensors has.
@Suite struct MonitoringTests {
  /// Every name on the page, those of a histogram's series too.
  private func figures() throws -> Set<String> {
    let now = Moment(wall: 1_764_000_000_000_000, monotonic: 1_000_000)
    let configuration = try NodeConfiguration(file: "config.json5", text: "{}")
    var state = NodeState(
      configuration: configuration, policy: configuration.policy, version: "0", isDemo: false, address: nil,
      now: now)
    var machine = ScriptedNode()
    machine.hasGPU = true
    let facts = EngineFacts(
      model: "m", modelDigest: .zero, profile: "N1", isa: "scalar", contextLength: 64, kvBlocks: 4)
    for event: NodeEvent in [.engineReady(facts), .telemetry(machine.snapshot().compute, joules: 3)] {
      _ = state.apply(event, at: now)
    }
    let names = state.metrics(at: now).split(separator: "\n").filter { !$0.hasPrefix("#") }
      .compactMap { $0.split(separator: "{").first.map(String.init) }
    return Set(names)
  }

  private func named(in text: String) -> Set<String> {
    Set(text.matches(of: /hotpot:[a-z0-9_]+/).map { String($0.output) })
  }

  @Test func theBoardAsksForFiguresThatThePageHas() throws {
    let result = try Program.run(["unit", "--grafana"])
    #expect(result.status == 0 && result.errors.isEmpty)
    let board = try #require(
      JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
    let panels = try #require(board["panels"] as? [[String: Any]])
    var taken: Set<[Int]> = []
    for panel in panels {
      let queries = try #require(panel["targets"] as? [[String: Any]])
      #expect(!queries.isEmpty)
      for query in queries {
        #expect(!named(in: try #require(query["expr"] as? String)).isEmpty, "\(query)")
      }
      // No panel stands on another one.
      let place = try #require(panel["gridPos"] as? [String: Int])
      let (x, y, w, h) = (
        try #require(place["x"]), try #require(place["y"]), try #require(place["w"]), try #require(place["h"])
      )
      #expect(x + w <= 24)
      for column in x..<(x + w) {
        for row in y..<(y + h) { #expect(taken.insert([column, row]).inserted, "\(panel)") }
      }
    }
    let figures = try figures()
    let unknown = named(in: result.output).subtracting(figures)
    #expect(unknown.isEmpty, "\(unknown.sorted())")
    // What is nowhere on the board is a clock, an error count, a byte rate, or a fact without a figure.
    let shown = named(in: result.output)
    let missing = Set(figures.map { $0.replacing(/_(bucket|sum|count)$/, with: "") })
      .subtracting(shown.map { $0.replacing(/_bucket$/, with: "") })
    #expect(
      missing.allSatisfy {
        $0.contains("clock") || $0.contains("errors") || $0.contains("per_second")
          || $0.hasSuffix("request_success_total") || $0.hasSuffix("_info")
      }, "\(missing.sorted())")
  }

  @Test func theAlertsWatchFiguresThatThePageHas() throws {
    let result = try Program.run(["unit", "--alerts"])
    #expect(result.status == 0 && result.errors.isEmpty)
    let unknown = named(in: result.output).subtracting(try figures())
    #expect(unknown.isEmpty, "\(unknown.sorted())")
    let lines = result.output.split(separator: "\n").map { $0.trimmingCharacters(in: .whitespaces) }
    let alerts = lines.filter { $0.hasPrefix("- alert: ") }
    #expect(alerts.count > 10 && Set(alerts).count == alerts.count)
    for part in ["expr: '", "for: ", "severity: ", "summary: \""] {
      #expect(lines.count { $0.hasPrefix(part) } == alerts.count, "\(part)")
    }
    // Single quotes hold an expression as it stands.
    for line in lines where line.hasPrefix("expr: ") {
      #expect(line.hasSuffix("'") && line.count { $0 == "'" } == 2, "\(line)")
    }
  }

  @Test(.enabled(if: Installed.find("promtool") != nil, "there is no promtool here"))
  func prometheusTakesTheAlerts() throws {
    let folder = try Folder()
    let rules = try Program.run(["unit", "--alerts"]).output
    let file = try folder.write(Array(rules.utf8), "hotpot.yml")
    let result = try Installed.run(Installed.find("promtool") ?? "", ["check", "rules", file])
    #expect(result.status == 0, "\(result.output)")
  }

  @Test func oneThingIsPrintedAtATime() throws {
    let result = try Program.run(["unit", "--alerts", "--user"])
    #expect(result.status == 64)
    #expect(result.errors.contains("'--alerts' and '--user' are two things"))
  }
}

@Suite struct PackageTests {
  private static let person = "Anna Berg <anna@example.org>"

  @Test(arguments: ["", "anna", "Anna <anna>", "Anna <a@b>\nDepends: x"]) func aMaintainerIsWanted(
    name: String
  ) throws {
    let result = try Program.run(
      ["package", "--exec", "/bin/true"] + (name.isEmpty ? [] : ["--maintainer", name]),
      environment: ["DEBEMAIL": "", "DEBFULLNAME": ""])
    #expect(result.status == 64 && result.errors.contains("wants a maintainer"))
  }

  @Test(.enabled(if: Installed.find("dpkg") != nil, "there is no dpkg here"))
  func aProgramThatNeedsTheToolchainIsNotPackaged() throws {
    let folder = try Folder()
    let program = try folder.write([0x7F, 0x45, 0x4C, 0x46] + Array("\0libswiftCore.so\0".utf8), "hotpot")
    let result = try Program.run(
      ["package", "--exec", program, "--output", folder.path, "--maintainer", Self.person])
    #expect(result.status == 69 && result.errors.contains("--static-swift-stdlib"))
    let text = try folder.write(Array("#!/bin/sh\n".utf8), "script")
    #expect(try Program.run(["package", "--exec", text, "--maintainer", Self.person]).status == 65)
  }

  @Test(
    .enabled(
      if: Installed.find("dpkg-deb") != nil && Installed.find("objcopy") != nil,
      "there is no dpkg-deb or objcopy"))
  func thePackageHoldsWhatIsInstalled() throws {
    let folder = try Folder()
    let result = try Program.run(
      ["package", "--exec", "/bin/true", "--output", folder.path, "--maintainer", Self.person])
    #expect(result.status == 0, "\(result.errors)")
    let written = result.output.split(separator: "\n").compactMap {
      $0.split(separator: " ").last.map(String.init)
    }
    let package = try #require(written.first { $0.hasSuffix(".deb") })
    #expect(written.contains { $0.hasSuffix(".debug") })
    let tool = Installed.find("dpkg-deb") ?? ""
    let list = try Installed.run(tool, ["-c", package]).output
    for path in [
      "./usr/bin/hotpot", "./usr/share/man/man1/hotpot.1.gz", "./usr/lib/systemd/system/hotpot.service",
      "./usr/lib/systemd/user/hotpot.service", "./usr/share/zsh/vendor-completions/_hotpot",
      "./usr/share/doc/hotpot/copyright", "./usr/share/doc/hotpot/changelog.Debian.gz",
    ] {
      #expect(list.split(separator: "\n").contains { $0.hasSuffix(path) }, "\(path)")
    }
    // All belongs to root, and no one else may write.
    for line in list.split(separator: "\n") {
      #expect(line.contains(" root/root ") && !line.prefix(10).dropFirst(5).contains("w"), "\(line)")
    }
    let fields = try Installed.run(tool, ["-f", package]).output
    #expect(fields.contains("Maintainer: \(Self.person)\n") && fields.contains("Depends: libc6 (>= 2."))
    let unit = try Installed.run(tool, ["--fsys-tarfile", package]).output
    #expect(unit.contains("ExecStart=/usr/bin/hotpot serve"))
  }
}

/// A user's own unit. What his manager cannot do must not be in it, or the unit does not start.
@Suite struct UserUnitTests {
  private static let refused = [
    // Need CAP_SETPCAP: status 218 under systemd 252.
    "CapabilityBoundingSet", "AmbientCapabilities", "ProtectClock", "ProtectKernelLogs",
    "ProtectKernelModules",
    // Need a mount namespace: ignored, or status 226.
    "ProtectSystem", "ProtectHome", "ProtectProc", "PrivateTmp", "PrivateMounts", "PrivateDevices",
    "ProtectKernelTunables", "ProtectControlGroups", "ReadWritePaths",
    // Are root's.
    "User", "DynamicUser",
  ]

  private func settings() throws -> [(name: String, value: String)] {
    try Program.run(["unit", "--user", "--exec", "/usr/bin/true"]).output.split(separator: "\n")
      .filter { !$0.hasPrefix("#") }.compactMap { line in
        line.firstIndex(of: "=").map { (String(line[..<$0]), String(line[line.index(after: $0)...])) }
      }
  }

  @Test func nothingInItNeedsRoot() throws {
    let names = try settings().map(\.name)
    #expect(names.contains("NoNewPrivileges") && names.contains("SystemCallFilter"))
    for name in Self.refused { #expect(!names.contains(name), "\(name)") }
  }

  private static let hasManager: Bool = {
    guard let systemctl = Installed.find("systemctl") else { return false }
    let words = ProcessInfo.processInfo.environment.filter { $0.key == "XDG_RUNTIME_DIR" }
    // One that cannot be asked is none.
    return (try? Installed.run(systemctl, ["--user", "show-environment"], words))?.status == 0
  }()

  /// The program, started by the manager with everything that the unit says about what it may do.
  @Test(.enabled(if: hasManager, "no user's systemd runs here"))
  func aUsersManagerStartsTheProgramWithIt() throws {
    let other: Set = [
      "Description", "Documentation", "Type", "NotifyAccess", "WatchdogSec", "ExecStart", "Restart",
      "RestartSec",
      "TimeoutStopSec", "KillMode", "WantedBy",
    ]
    let properties = try settings().filter { !other.contains($0.name) }
    #expect(properties.count > 10)
    let result = try Installed.run(
      try #require(Installed.find("systemd-run")),
      ["--user", "--wait", "--pipe", "--quiet", "--collect"]
        + properties.flatMap { ["-p", "\($0.name)=\($0.value)"] } + [Program.path, "--version"],
      ProcessInfo.processInfo.environment.filter { $0.key == "XDG_RUNTIME_DIR" })
    #expect(result.status == 0, "\(result)")
    #expect(result.output.contains("hotpot "))
  }
}

@Suite struct InstallTests {
  @Test func anInstallationHasAllOfItAndGoesWithoutARest() throws {
    let folder = try Folder()
    let prefix = folder.path + "/usr/local"
    let result = try Program.run(["install", "--prefix", prefix])
    #expect(result.status == 0, "\(result.errors)")
    for path in [
      "bin/hotpot", "share/man/man1/hotpot.1", "share/man/man5/hotpot-config.5",
      "share/man/man5/hotpot-receipt.5",
      "share/man/man7/hotpot-api.7", "share/man/man7/hotpot-keys.7", "share/man/man7/hotpot-numerics.7",
      "share/hotpot/themes/hotpot.theme",
      "share/bash-completion/completions/hotpot",
      "share/zsh/site-functions/_hotpot", "share/fish/vendor_completions.d/hotpot.fish",
      "lib/systemd/system/hotpot.service", "lib/sysusers.d/hotpot.conf", "share/systemd/user/hotpot.service",
    ] {
      #expect(FileManager.default.fileExists(atPath: prefix + "/" + path), "\(path)")
      #expect(result.output.contains("wrote \(prefix)/\(path)\n"), "\(path)")
    }
    // The manuals in the program are those of man/.
    let source = repository.appending(path: "man/hotpot.1").path
    #expect(
      FileManager.default.contents(atPath: prefix + "/share/man/man1/hotpot.1")
        == FileManager.default.contents(atPath: source))
    // The unit starts what was installed, and what was installed runs.
    #expect(
      folder.text("usr/local/lib/systemd/system/hotpot.service").contains(
        "ExecStart=\(prefix)/bin/hotpot serve"))
    #expect(try Installed.run(prefix + "/bin/hotpot", ["--version"]).output.hasPrefix("hotpot "))
    // Once more over itself, and away.
    #expect(try Program.run(["install", "--prefix", prefix]).status == 0)
    #expect(folder.names("usr/local/bin") == ["hotpot"])
    #expect(try Program.run(["install", "--prefix", prefix, "--remove"]).status == 0)
    #expect(folder.names("usr/local/bin").isEmpty && folder.names("usr/local/share/hotpot").isEmpty)
  }

  @Test func aListWritesNothing() throws {
    let folder = try Folder()
    let result = try Program.run(["install", "--prefix", folder.path + "/p", "--list", "--json"])
    #expect(result.status == 0)
    let paths = try JSONDecoder().decode([String].self, from: Data(result.output.utf8))
    #expect(paths.contains(folder.path + "/p/bin/hotpot") && paths.count > 15)
    #expect(folder.names("p").isEmpty)
  }

  @Test func whatCannotBeWrittenIsNamed() throws {
    let result = try Program.run(["install", "--prefix", "/proc/nowhere"])
    #expect(result.status == 74 || result.status == 77)
    #expect(
      result.errors.hasPrefix("hotpot: error: cannot make the directory of '/proc/nowhere/bin/hotpot': "))
    #expect(try Program.run(["install", "--prefix", "/a b"]).status == 64)
  }
}

/// A service manager's socket, and a node that speaks to it.
@Suite struct ServiceTests {
  /// Receives datagrams on a path, or on a name in the abstract space.
  final class Manager {
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    private(set) var said: [String] = []

    init(_ name: String) throws {
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      let bytes = Array(name.utf8)
      withUnsafeMutableBytes(of: &address.sun_path) { path in
        for (index, byte) in bytes.enumerated() where index < path.count { path[index] = byte }
        if bytes.first == 0x40 { path[0] = 0 }
      }
      let isPath = bytes.first == 0x2F
      let size = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count + (isPath ? 1 : 0))
      let isBound = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, size) == 0 }
      }
      try #require(isBound, "\(String(cString: strerror(errno)))")
      var limit = timeval(tv_sec: 60, tv_usec: 0)
      setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// Reads until a line comes that is wanted; false when a minute passes without a word.
    func hear(_ wanted: (String) -> Bool) -> Bool {
      var buffer = [UInt8](repeating: 0, count: 4096)
      while true {
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { return false }
        let lines = String(decoding: buffer[..<count], as: UTF8.self).split(separator: "\n").map(String.init)
        said += lines
        if lines.contains(where: wanted) { return true }
      }
    }
  }

  @Test(arguments: [false, true]) func aNodeSaysThatItIsReadyThatItLivesAndThatItStops(isAbstract: Bool)
    throws
  {
    let folder = try Folder()
    let name = isAbstract ? "@hotpot-test-\(UUID().uuidString)" : folder.path + "/notify"
    let manager = try Manager(name)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: Program.path)
    process.arguments = [
      "serve", "--listen", "none", "--state", folder.path + "/node", "--config",
      try folder.write(Array("{ model: '/nowhere.gguf' }".utf8), "config.json5"),
    ]
    process.environment = [
      "PATH": "/usr/bin:/bin", "HOME": folder.path, "NOTIFY_SOCKET": name, "WATCHDOG_USEC": "200000",
    ]
    process.standardError = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    #expect(manager.hear { $0 == "READY=1" })
    #expect(manager.said.contains("MAINPID=\(process.processIdentifier)"))
    #expect(manager.hear { $0 == "WATCHDOG=1" })
    #expect(manager.hear { $0 == "STATUS=no model" })
    #expect(manager.hear { $0 == "WATCHDOG=1" })
    process.terminate()
    #expect(manager.hear { $0 == "STOPPING=1" })
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
  }
}

/// The manual of the program against the program.
@Suite struct ProgramManualTests {
  static func text(_ name: String) throws -> String {
    try String(contentsOf: repository.appending(path: name), encoding: .utf8)
  }

  static func commands() throws -> [String] {
    try Program.run(["--help"]).output.split(separator: "\n")
      .filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") && !$0.contains("--") }
      .compactMap { $0.split(separator: " ").first.map(String.init) }
  }

  @Test func everyCommandIsInTheManual() throws {
    let page = try Self.text("man/hotpot.1")
    let words = Set(page.split(whereSeparator: { $0 == " " || $0 == "\n" || $0 == "," }).map(String.init))
    for name in try Self.commands() { #expect(words.contains(name), "\(name)") }
  }

  /// Lines of examples: the words of each are taken by the command that it names.
  @Test(arguments: [
    "man/hotpot.1", "man/hotpot-config.5", "man/hotpot-receipt.5", "man/hotpot-api.7", "man/hotpot-keys.7",
    "man/hotpot-numerics.7",
    "README.md",
  ])
  func theExamplesAreTaken(page: String) throws {
    var isExample = false
    var count = 0
    for line in try Self.text(page).split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix(".Bd -literal") || line.hasPrefix("```sh") { isExample = true }
      if line == ".Ed" || line == "```" { isExample = false }
      guard isExample, line.hasPrefix("hotpot ") else { continue }
      // What follows a pipe, a redirection or a comment is the shell's.
      let words = line.split(separator: " ").prefix { !["|", ">", "<", "&&", "&", "#", ">>"].contains($0) }
      let given = words.dropFirst().map { $0.filter { $0 != "\"" && $0 != "'" } }
      let result = try Program.run(given + ["--help"])
      #expect(
        result.status == 0 && result.output.hasPrefix("usage: hotpot "), "\(page): \(line): \(result.errors)")
      count += 1
    }
    if page == "man/hotpot.1" { #expect(count > 10) }
  }

  @Test(.enabled(if: Installed.find("mandoc") != nil, "there is no mandoc here"))
  func theManualsAreClean() throws {
    let pages = [
      "hotpot.1", "hotpot-config.5", "hotpot-receipt.5", "hotpot-api.7", "hotpot-keys.7", "hotpot-numerics.7",
    ].map {
      repository.appending(path: "man/" + $0).path
    }
    let result = try Installed.run(Installed.find("mandoc") ?? "", ["-Tlint", "-Wwarning"] + pages)
    #expect(result.status == 0, "\(result.output)")
  }
}
