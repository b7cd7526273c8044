// StartTests.swift: how a node starts, or does not, and what else may reach it: addresses, sockets, models, signals, other
// processes on its state. No model is wanted. Start at BareNode.

import Foundation
import Synchronization
import Testing

/// A served node without a model. Ends with the test.
final class BareNode {
  let folder: Folder
  let process = Process()
  var state: String { folder.path + "/node" }
  private let errors = Mutex("")
  var said: String { errors.withLock { $0 } }

  struct NotThere: Error { let said: String }

  init(_ words: [String] = [], folder: Folder? = nil) throws {
    self.folder = try folder ?? Folder()
    process.executableURL = URL(fileURLWithPath: Program.path)
    process.arguments = ["serve", "--listen", "none", "--state", self.folder.path + "/node"] + words
    process.environment = [
      "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin", "HOME": self.folder.path,
    ]
    let log = self.folder.path + "/said-\(UUID().uuidString)"
    _ = FileManager.default.createFile(atPath: log, contents: nil)
    process.standardError = FileHandle(forWritingAtPath: log)
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    self.log = log
    let end = ContinuousClock.now + .seconds(30)
    while !text.contains("no model is loaded"), process.isRunning, ContinuousClock.now < end {
      _ = poll(nil, 0, 20)
    }
    guard process.isRunning, access(state + "/control.sock", F_OK) == 0 else { throw NotThere(said: text) }
  }

  private let log: String
  var text: String {
    FileManager.default.contents(atPath: log).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  func command(_ words: [String]) throws -> Outcome { try Program.run(words + ["--state", state]) }

  func stop() -> Int32 {
    process.terminate()
    process.waitUntilExit()
    return process.terminationReason == .exit ? process.terminationStatus : 128 + process.terminationStatus
  }

  deinit {
    if process.isRunning {
      process.terminate()
      process.waitUntilExit()
    }
  }
}

@Suite struct StartTests {
  // MARK: addresses

  @Test(arguments: [
    ("127.0.0.1:99999", Int32(64), "there is no port 99999, wanted 0 to 65535"),
    ("127.0.0.1:-1", 64, "is no address and port"),
    ("127.0.0.1", 64, "has no port"), ("::1", 64, "written as [::1]:8114"),
    ("[::1]", 64, "stands in brackets before ':PORT'"),
    ("[::g]:1", 64, "is no IPv6 address"), ("nohost.invalid:8114", 64, "is no numeric address"),
    ("127.0.0.1:", 64, "is no address"),
    ("nonsense", 64, "is no address and port"), ("127.1:8114", 64, "is no numeric address"),
    ("", 64, "found an empty one"),
    ("203.0.113.9:8114", 64, "of this machine"), ("[2001:db8::1]:8114", 64, "of this machine"),
  ]) func `an address that cannot be is said in its own words`(listen: String, code: Int32, words: String)
    throws
  {
    let folder = try Folder()
    let outcome = try Program.run(["serve", "--listen=\(listen)", "--state", folder.path + "/node"])
    #expect(outcome.status == code && outcome.errors.contains(words), "\(outcome)")
    #expect(!outcome.errors.contains("another program"), "\(outcome)")
    // And in a configuration, with its line.
    guard !listen.contains("203.0"), !listen.contains("2001:") else { return }
    let file = try folder.write(Array("{\n http: { listen: '\(listen)' } }".utf8), "c.json5")
    let configured = try Program.run(["serve", "--config", file, "--state", folder.path + "/node"])
    #expect(
      configured.status == 65 && configured.errors.contains("c.json5:2:10: 'http.listen' is refused"),
      "\(configured)")
  }

  @Test func `an address in use is said to be, and nothing is written to the journal`() throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(listener) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let isBound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, size) == 0 && listen(listener, 1) == 0 && getsockname(listener, $0, &size) == 0
      }
    }
    try #require(isBound)
    let folder = try Folder()
    let port = UInt16(bigEndian: address.sin_port)
    let outcome = try Program.run([
      "serve", "--listen", "127.0.0.1:\(port)", "--state", folder.path + "/node",
    ])
    #expect(
      outcome.status == 69 && outcome.errors.contains("'127.0.0.1:\(port)' is already in use"), "\(outcome)")
    #expect(outcome.errors.contains("'ss -ltnp' shows which"), "\(outcome)")
    let journal = folder.names("node/journal").filter { $0.hasSuffix(".jsonl") }
    for name in journal { #expect(!folder.text("node/journal/" + name).contains("node_started")) }
  }

  @Test(.enabled(if: Nobody.through != nil && getuid() == 0, "only root can become somebody else"))
  func `a port of root's is refused to others with 77`() throws {
    let limit = FileManager.default.contents(atPath: "/proc/sys/net/ipv4/ip_unprivileged_port_start")
    let first =
      limit.flatMap {
        Int(String(decoding: $0, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))
      } ?? 1024
    try #require(first > 80, "here every user may listen on port 80")
    let folder = try Folder()
    chmod(folder.path, 0o755)
    try Nobody.directory(folder.path + "/home", mode: 0o700)
    let outcome = try Program.run(
      ["serve", "--listen", "127.0.0.1:80"], environment: ["HOME": folder.path + "/home"],
      through: Nobody.through ?? [])
    #expect(
      outcome.status == 77 && outcome.errors.contains("listen on 127.0.0.1:80 failed: Permission denied"),
      "\(outcome)")
    #expect(outcome.errors.contains("ports below 1024 are root's"), "\(outcome)")
  }

  @Test func `a state directory that is too long for a socket is said to be, by every command`() throws {
    let folder = try Folder()
    let state = folder.path + "/" + String(repeating: "d", count: 110)
    for words in [
      ["serve", "--listen", "none"], ["status"], ["clients", "list"], ["link"], ["clients", "add", "bob"],
    ] {
      let outcome = try Program.run(words + ["--state", state])
      #expect(outcome.status == 64, "\(words): \(outcome)")
      #expect(
        outcome.errors.contains("has \((state + "/control.sock").utf8.count) bytes, at most 107 fit"),
        "\(words): \(outcome)")
      #expect(outcome.errors.contains("name a shorter directory with --state DIR"), "\(words): \(outcome)")
    }
    #expect(access(state, F_OK) != 0, "nothing was made")
    let file = try folder.write(
      Array("{ control: { socket: '/tmp/\(String(repeating: "s", count: 110))' } }".utf8), "c.json5")
    let configured = try Program.run(["serve", "--config", file, "--state", folder.path + "/node"])
    #expect(configured.status == 65 && configured.errors.contains("at most 107 fit"), "\(configured)")
  }

  // MARK: models

  @Test func `a model that was named and is not there ends the start, with the code of its reason`() throws {
    let folder = try Folder()
    let half = Array(TinyModel.bytes().prefix(400))
    let (damaged, text) = (
      try folder.write(half, "damaged.gguf"), try folder.write(Array("no".utf8), "text.gguf")
    )
    for (model, code, words) in [
      ("nosuch", Int32(66), "no model is called 'nosuch'"), (folder.path + "/none.gguf", 66, "No such file"),
      (folder.path, 66, "is a directory"), (damaged, 65, "are possible here"), (text, 65, "starts with"),
    ] {
      let outcome = try Program.run([
        "serve", "-m", model, "--listen", "none", "--state", folder.path + "/node",
      ])
      #expect(outcome.status == code && outcome.errors.contains(words), "\(model): \(outcome)")
      #expect(outcome.errors.hasPrefix("hotpot: error: "), "\(outcome)")
    }
  }

  @Test func `a model of the configuration that cannot be loaded is an error in the log and in the state`()
    throws
  {
    let folder = try Folder()
    let vocabulary = try folder.write(TinyModel.bytes(), "vocabulary.gguf")
    for model in ["nosuch", vocabulary] {
      let file = try folder.write(Array("{ model: '\(model)' }".utf8), "c.json5")
      let node = try BareNode(["--config", file], folder: folder)
      #expect(node.text.contains(" error: no model is loaded: "), "\(node.text)")
      let status = try node.command(["status"])
      #expect(status.status == 0 && status.output.contains("no model"), "\(status)")
      #expect(node.stop() == 0)
    }
  }

  // MARK: signals

  @Test func `signals that mean nothing to a node do not end it`() throws {
    let node = try BareNode()
    for signal in [SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGHUP, SIGPIPE, SIGIO, 34, 40, 64] {
      kill(node.process.processIdentifier, signal)
    }
    let status = try node.command(["status"])
    #expect(status.status == 0 && node.process.isRunning, "\(status) \(node.text)")
    // Programs that it starts have them by default: ssh-keygen signs as ever, and a request to end is obeyed.
    #expect(node.stop() == 0)
  }

  // MARK: one node to a state

  @Test func `a second start does not touch the journal, also where the lock's file was deleted`() throws {
    let node = try BareNode()
    #expect(try node.command(["clients", "add", "bob"]).status == 0)
    func journal() -> [String] {
      node.folder.names("node/journal").map { $0 + node.folder.text("node/journal/" + $0) }
    }
    let before = journal()
    for removed in [[], ["lock"], ["lock", "control.sock"]] {
      for name in removed { unlink(node.state + "/" + name) }
      for words in [["serve", "--listen", "none"], ["receipts", "check"]] {
        let outcome = try node.command(words)
        #expect(
          outcome.status == 75 && outcome.errors.contains("is in use by"), "\(removed) \(words): \(outcome)")
      }
    }
    #expect(journal() == before)
    #expect(node.stop() == 0)
    let check = try Program.run(["receipts", "check", "--state", node.state])
    #expect(check.status == 0, "\(check)")
  }

  @Test func `a state directory that others may write is not used`() throws {
    let folder = try Folder()
    let state = folder.path + "/node"
    try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: true)
    for mode in [0o777, 0o770, 0o702] as [mode_t] {
      chmod(state, mode)
      for words in [["serve", "--listen", "none"], ["clients", "add", "bob"]] {
        let outcome = try Program.run(words + ["--state", state])
        #expect(
          outcome.status == 77 && outcome.errors.contains("may be written by other users"), "\(outcome)")
        #expect(outcome.errors.contains("chmod 700"), "\(outcome)")
      }
      #expect(folder.names("node").isEmpty, "nothing was written")
    }
    chmod(state, 0o700)
    _ = try folder.write(Array("key".utf8), "node/key")
    chmod(state + "/key", 0o644)
    let open = try Program.run(["clients", "add", "bob", "--state", state])
    #expect(open.status == 77 && open.errors.contains("may be read or written by other users"), "\(open)")
  }

  @Test(.enabled(if: getuid() == 0, "only root can own for others"))
  func `a state directory of another user is not used, nor a key of his in one's own`() throws {
    let folder = try Folder()
    let state = folder.path + "/node"
    try FileManager.default.createDirectory(
      atPath: state, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    _ = try folder.write(Array("key".utf8), "node/key")
    chmod(state + "/key", 0o600)
    for path in [state, state + "/key"] {
      chown(state, 0, 0)
      chown(state + "/key", 0, 0)
      chown(path, 65_534, 65_534)
      let outcome = try Program.run(["serve", "--listen", "none", "--state", state])
      #expect(
        outcome.status == 77 && outcome.errors.contains("belongs to the user with number 65534"), "\(outcome)"
      )
    }
    let doctor = try Program.run(["doctor", "--json", "--state", state])
    #expect(doctor.output.contains("cannot be trusted"), "\(doctor)")
  }

  // MARK: without a node

  @Test func `clients and their money are kept without a node, and a node goes on from there`() throws {
    let folder = try Folder()
    let state = folder.path + "/node"
    func run(_ words: [String]) throws -> Outcome { try Program.run(words + ["--state", state]) }
    let nothing = try run(["clients", "list"])
    #expect(nothing.status == 69 && nothing.errors.contains("none has"), "\(nothing)")
    #expect(access(state, F_OK) != 0, "looking makes nothing")
    let added = try run(["clients", "add", "bob"])
    #expect(added.status == 0 && added.output.count > 20 && added.errors.contains("shown once"), "\(added)")
    let key = try Installed.run(
      try #require(Installed.find("ssh-keygen")),
      ["-q", "-t", "ed25519", "-N", "", "-f", folder.path + "/bob"])
    #expect(key.status == 0)
    let acts: [(words: [String], code: Int32, said: String)] = [
      (["clients", "add", "bob"], 1, "there is a client 'bob' already"),
      (["clients", "add", "ann", folder.path + "/bob.pub"], 0, ""),
      (["clients", "limit", "bob", "--jobs", "2", "--budget", "5.00"], 0, "bob has"),
      (["clients", "budget", "bob", "6.00"], 0, "bob has"),
      (["clients", "key", "bob", folder.path + "/bob.pub"], 0, "bob signs with SHA256:"),
      (["clients", "revoke", "ann"], 0, "revoked ann"),
      (["clients", "revoke", "nobody"], 1, "there is no active client"),
      (["settle", "bob", "1.50", "--correct", "a day by hand"], 0, "bob owes 1.50"),
      (["settle", "bob", "1.25", "--reference", "r1"], 0, "bob"),
      (["settle", "bob", "1.25", "--reference", "r1"], 1, "r1"),
      (["earnings"], 0, "settled"), (["settle", "--statement", "bob"], 0, "BEGIN SSH SIGNATURE"),
    ]
    for act in acts {
      let outcome = try run(act.words)
      #expect(outcome.status == act.code, "\(act.words): \(outcome)")
      #expect(
        act.said.isEmpty || (outcome.output + outcome.errors).contains(act.said), "\(act.words): \(outcome)")
    }
    struct Row: Decodable {
      let name: String
      let budget: Int64?
      let settled: Int64
    }
    func bob(_ outcome: Outcome) throws -> Row? {
      let decoder = JSONDecoder()
      return try decoder.decode([Row].self, from: Data(outcome.output.utf8)).first { $0.name == "bob" }
    }
    let alone = try #require(try bob(try run(["clients", "list", "--json"])))
    #expect(alone.budget == 6_000_000 && alone.settled == 1_250_000)
    #expect(try run(["receipts", "check"]).status == 0)
    // The node finds all of it, and takes over what is asked.
    let node = try BareNode(folder: folder)
    let served = try #require(try bob(try run(["clients", "list", "--json"])))
    #expect(served.budget == alone.budget && served.settled == alone.settled)
    #expect(try run(["clients", "add", "cid"]).status == 0)
    #expect(node.stop() == 0)
    #expect(try run(["clients", "list"]).output.contains("cid"))
  }

  // MARK: too many

  @Test func `a node with no room for another connection says so, and not that one is a stranger`() throws {
    let node = try BareNode()
    var held: [Int32] = []
    defer { for descriptor in held { close(descriptor) } }
    for _ in 0..<80 {
      let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
      var address = sockaddr_un()
      address.sun_family = sa_family_t(AF_UNIX)
      let path = Array((node.state + "/control.sock").utf8)
      withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
      let isConnected = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
        }
      }
      #expect(isConnected)
      held.append(descriptor)
    }
    let outcome = try node.command(["status"])
    #expect(outcome.status == 69 && outcome.errors.contains("no room for one more connection"), "\(outcome)")
    #expect(!outcome.errors.contains("let you in"), "\(outcome)")
  }
}
