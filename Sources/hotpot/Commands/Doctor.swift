// Doctor.swift: `hotpot doctor`: what this machine has and lacks, each with a hint that works. It
// changes nothing. The machine's readings are in MachineExamination.swift, and the engine tests
// itself in KernelLevel.available. Start at Examination.all.

import CSystem
import Control
import Foundation
import Inference
import Intake
import Node
import Receipts
import Scheduling
import TLS
import Telemetry

extension Command {
  static let doctor = Command(
    name: "doctor", summary: "what this machine has and lacks, each with a hint",
    details: """
      Each line is ok, warn (it works, but less well than it could), missing (what needs it does not work), or broken,
      which a node cannot run with; then the exit status is 1. Nothing is changed. With --model the operations that
      the model is computed by are listed, in their order.
      """,
    options: NodeSetup.servingOptions + [.json]
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    let findings = Examination(arguments).all()
    if arguments.has("json") {
      try Console.print(json: findings)
    } else {
      for finding in findings { finding.say() }
    }
    return findings.contains { $0.status == .broken } ? .failed : .ok
  }
}

private struct Examination {
  private let arguments: Arguments
  private let environment = ProcessInfo.processInfo.environment
  /// Empty if it is not known.
  private let state: String
  private var homeless: Failure?

  init(_ arguments: Arguments) {
    self.arguments = arguments
    do {
      state = try NodeSetup.stateDirectory(arguments)
    } catch {
      state = ""
      homeless = Failure(describing: error)
    }
  }

  func all() -> [Finding] {
    let configuration: NodeConfiguration?
    let settings: Finding
    do {
      let found = try NodeSetup.configuration(arguments)
      configuration = found
      let path = NodeSetup.configurationFile(arguments)
      let isThere = path.map { access($0, F_OK) == 0 } ?? false
      settings = Finding(
        "configuration", .ok, isThere ? path ?? "" : "none, so all is as built in (\(path ?? "no home"))")
    } catch {
      configuration = nil
      let failure = Failure(describing: error)
      settings = Finding(
        "configuration", .broken, failure.message,
        hint: failure.hint
          ?? "without --config and without that file the built-in settings hold")
    }
    let node = runningNode()
    return [kernels()] + MachineExamination(state: state, configuration).findings() + graphics()
      + [models(configuration)] + contexts(configuration)
      + (arguments.has("model") ? program(configuration) : []) + [settings, stateDirectory()]
      + [journal(isRunning: node != nil), address(configuration, isRunning: node != nil), tls(configuration)]
      + (node.map { [$0] } ?? []) + [
        program(
          "ssh-keygen", "signs and verifies receipts",
          missing: "no receipt can be signed or verified", package: "openssh-client"),
        python(), terminal(),
      ]
  }

  private func kernels() -> Finding {
    let levels = KernelLevel.available
    guard let best = levels.last else {
      return Finding(
        "kernels", .broken, "not even the scalar kernels give the right bits here",
        hint: "memory or processor are faulty: run a memory test; 'hotpot --version' names the build")
    }
    let text = levels.map(\.name).joined(separator: ", ")
    guard best > .scalar else {
      return Finding(
        "kernels", .warn, "\(text) only: many times slower than AVX2",
        hint: "use a processor of 2015 or later; under a hypervisor pass the host's processor through")
    }
    do throws(EngineError) {
      _ = try KernelLevel.fromEnvironment()
      return Finding("kernels", .ok, text)
    } catch {
      return Finding("kernels", .broken, "\(error)", hint: "unset HOTPOT_ISA, or set it to one of \(text)")
    }
  }

  /// What Vulkan offers; `hotpot devices` says it in full.
  private func graphics() -> [Finding] {
    let found = DeviceExamination.run(environment)
    guard !found.devices.isEmpty else {
      return [Finding("vulkan", .ok, (found.problem ?? "no device") + "; models run on the processor")]
    }
    return found.devices.map { device in
      let text = "\(device.name) is \(device.state.rawValue): \(device.reason)"
      // What is software is refused because the processor is as good.
      guard device.state == .refused, !device.isSoftware else { return Finding("vulkan", .ok, text) }
      return Finding(
        "vulkan", .warn, text,
        hint: "models run on the processor meanwhile; a newer driver may do: \(device.driver) is here")
    }
  }

  private func models(_ configuration: NodeConfiguration?) -> Finding {
    do {
      let path = try ModelChoice.path(wanted: configuration?.model)
      let count = ModelStore(environment: environment).models().count
      let file = try GGUFFile(path: path)
      let found = path + (count > 1 ? " (of \(count) on disk)" : "")
      return chat(file, found)
    } catch {
      let failure = Failure(describing: error)
      return Finding("model", .missing, failure.message, hint: modelHint(configuration) ?? failure.hint)
    }
  }

  /// The operations that compute the model; nothing if the file is missing, which `models` reports.
  private func program(_ configuration: NodeConfiguration?) -> [Finding] {
    guard let path = try? ModelChoice.path(wanted: configuration?.model) else { return [] }
    do throws(ModelError) {
      let listing = try Model.listing(path: path)
      var finding = Finding("program", .ok, listing.first ?? "")
      finding.details = Array(listing.dropFirst())
      return [finding]
    } catch {
      return [
        Finding(
          "program", .missing, "\(error)",
          hint: error.hint ?? "another model, or the file fetched again, may run")
      ]
    }
  }

  /// The memory that is planned for keys and values; nothing if the model cannot be run, which others
  /// report.
  private func contexts(_ configuration: NodeConfiguration?) -> [Finding] {
    guard let configuration, let path = try? ModelChoice.path(wanted: configuration.model),
      let model = try? Model.contexts(path: path)
    else { return [] }
    let plan = KVPlan(
      context: model.length, bytesPerPosition: model.bytesPerPosition, configured: configuration.kvTokens)
    let longest = min(plan.context, plan.positions)
    let text =
      "room for \(plan.positions) positions of keys and values, \(plan.bytes >> 20) MiB: one job has at most \(longest) of the model's \(plan.context)"
    guard longest < min(plan.context, 32_768) else { return [Finding("contexts", .ok, text)] }
    return [
      Finding(
        "contexts", .warn, text,
        hint:
          "agents want 32768 or more: 'kv_tokens: \(plan.context)' in the configuration gives a job all of them"
      )
    ]
  }

  /// Whether the model chats, and how it reads messages.
  private func chat(_ file: GGUFFile, _ found: String) -> Finding {
    do {
      let format = try ChatFormat(file: file, tokenizer: try Tokenizer(file))
      if let problem = format.problem { throw problem }
      guard format.rolesLeftOut.isEmpty else {
        let roles = format.rolesLeftOut.joined(separator: " and ")
        return Finding(
          "model", .warn, "\(found); its chat template leaves out messages of role \(roles)",
          hint: "chats with such a message are refused")
      }
      let parts = format.rolesOfParts.isEmpty ? "" : "; its chat template reads contents as lists of parts"
      let tools = format.readsTools ? "; its chat template reads tools" : ""
      return Finding("model", .ok, found + parts + tools)
    } catch let error as ChatFormatError {
      return Finding(
        "model", .warn, "\(found), and chat will not work: \(error)",
        hint:
          "'hotpot run --raw', 'hotpot bench' and /v1/completions do; --template FILE gives 'hotpot run' another"
      )
    } catch {
      let failure = Failure(describing: error)
      return Finding(
        "model", .warn, "\(found), which cannot be served: \(failure.message)", hint: failure.hint)
    }
  }

  /// The hint for a file that exists and is no model.
  private func modelHint(_ configuration: NodeConfiguration?) -> String? {
    let path: String
    // A file that cannot be found has its own hint.
    do { path = try ModelChoice.path(wanted: configuration?.model) } catch { return nil }
    let name = ModelChoice.name(ofFile: path)
    let own = ModelStore(environment: environment).models(of: .own)
    guard own.contains(where: { $0.path == path }), ModelCatalog.model(named: name) != nil else {
      return "it is damaged or no GGUF file: fetch it again, or name another with --model"
    }
    return "'hotpot models pull \(name)' fetches it again"
  }

  /// A word for a shell, inside quotes that the caller writes.
  private static func word(_ path: String) -> String {
    let isPlain = path.utf8.allSatisfy {
      (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
        || "/._-+:@%,=".utf8.contains($0)
    }
    if isPlain { return path }
    return "\"" + path.map { "\\\"$`".contains($0) ? "\\\($0)" : "\($0)" }.joined() + "\""
  }

  /// How the user gets access to a directory that they cannot use.
  private static func opening(_ directory: String, _ status: stat, _ number: Int32) -> String {
    if number == EROFS { return "its file system is read-only: '--state DIR' names another place" }
    return status.st_uid == getuid()
      ? "'chmod 700 \(word(directory))'" : "as root 'chown -R \(getuid()) \(word(directory))'"
  }

  private func stateDirectory() -> Finding {
    if let homeless { return Finding("state", .broken, homeless.message, hint: homeless.hint) }
    var status = stat()
    guard stat(state, &status) == 0 else {
      let number = errno
      let above = (state as NSString).deletingLastPathComponent
      guard number == ENOENT else {
        return Finding(
          "state", .broken, "\(state): \(String(cString: strerror(number)))",
          hint: "'--state DIR' names another place")
      }
      var nearest = above
      while access(nearest, F_OK) != 0, nearest != "/" {
        nearest = (nearest as NSString).deletingLastPathComponent
      }
      return access(nearest, W_OK) == 0
        ? Finding("state", .ok, "\(state) is not there yet; the first 'hotpot serve' makes it")
        : Finding(
          "state", .broken, "\(state) is not there, and \(nearest) cannot be written",
          hint: "'--state DIR' names another place")
    }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      return Finding("state", .broken, "\(state) is no directory", hint: "'--state DIR' names another place")
    }
    guard access(state, R_OK | W_OK | X_OK) == 0 else {
      let number = errno
      return Finding(
        "state", .broken, "\(state) cannot be read and written by this user",
        hint: Self.opening(state, status, number))
    }
    if let problem = StateLock.problem(in: state) {
      return Finding("state", .broken, "\(problem)", hint: problem.hint)
    }
    guard status.st_mode & 0o077 == 0 else {
      return Finding(
        "state", .warn, "others on this machine may look into \(state)",
        hint: "'chmod 700 \(Self.word(state))'")
    }
    return Finding("state", .ok, state)
  }

  private func journal(isRunning: Bool) -> Finding {
    guard access(state + "/journal", F_OK) == 0 else { return Finding("journal", .ok, "none yet") }
    if isRunning {
      // The node is writing to it, so its last line may be incomplete.
      return Finding("journal", .ok, "in use by the node that runs; it was checked when that started")
    }
    do throws(JournalError) {
      let check = try Journal.check(state: state)
      guard let damage = check.damage else {
        return Finding(
          "journal", .ok,
          "\(counted(check.lines, "line")), \(counted(check.receipts, "receipt")), \(check.bytes) bytes, all chained"
        )
      }
      // A power cut leaves an incomplete last line. The next start moves it aside and goes on.
      if damage.kind == .tail {
        return Finding(
          "journal", .warn, "\(check.lines) good lines, then an unfinished one (\(damage.file))",
          hint: "'hotpot serve' moves it aside and goes on")
      }
      return Finding(
        "journal", .broken, "\(damage), after \(check.lines) good lines",
        hint:
          "keep a copy of '\(state)'; 'hotpot receipts repair' shows what is damaged and what can be done"
      )
    } catch {
      var status = stat()
      let journal = state + "/journal"
      if stat(journal, &status) == 0, access(journal, R_OK | W_OK | X_OK) != 0 {
        let number = errno
        return Finding("journal", .broken, "\(error)", hint: Self.opening(journal, status, number))
      }
      if case .file(let problem) = error, problem.code == EACCES {
        return Finding(
          "journal", .broken, "\(error)", hint: "as root 'chown -R \(getuid()) \(Self.word(journal))'")
      }
      return Finding(
        "journal", .broken, "\(error)", hint: error.hint ?? "check the disk: 'dmesg' as root has its errors")
    }
  }

  /// The node on this state directory, if one answers.
  private func runningNode() -> Finding? {
    let path = state + "/control.sock"
    let line: LineClient
    do throws(ServerError) {
      line = try LineClient(path: path, timeout: .seconds(5))
    } catch {
      if case .noServer = error { return nil }
      return Finding("node", .broken, "\(error)", hint: "'--state DIR' names another place")
    }
    do {
      try line.send(
        ControlProtocol.line(ControlRequest.hello(version: ControlProtocol.version, every: 0, readOnly: true))
      )
      guard let bytes = try line.receive(), let reply = ControlProtocol.parse(ControlReply.self, bytes),
        case .hello = reply
      else {
        return Finding(
          "node", .warn, "what listens on \(path) is of another release", hint: "restart it with this release"
        )
      }
      return Finding("node", .ok, "one runs on \(state); 'hotpot status' shows it")
    } catch {
      return Finding(
        "node", .warn, "the node on \(state) does not answer: \(error)",
        hint: "restart it; its journal is safe")
    }
  }

  private func address(_ configuration: NodeConfiguration?, isRunning: Bool) -> Finding {
    guard let configuration else {
      return Finding(
        "address", .warn, "unknown, as the configuration is not valid", hint: "mend the configuration first")
    }
    guard let listen = configuration.http.listen else {
      return Finding("address", .ok, "HTTP is served on no port, as configured")
    }
    let (host, port): (String, UInt16)
    do throws(ListenProblem) { (host, port) = try NodeConfiguration.HTTP.address(listen) } catch {
      return Finding("address", .broken, "\(error)", hint: error.hint)
    }
    let descriptor = csystem_listen_tcp(host, port, 1)
    if descriptor >= 0 {
      _ = csystem_close(descriptor)
      return Finding("address", .ok, "\(listen) is free")
    }
    switch -descriptor {
    case EADDRINUSE where isRunning: return Finding("address", .ok, "\(listen) is in use, as a node runs")
    case EADDRINUSE:
      return Finding(
        "address", .warn, "\(listen) is in use by another program",
        hint: "'ss -ltnp' shows which; 'http.listen' in the configuration or --listen chooses another")
    case EACCES:
      return Finding(
        "address", .broken, "\(listen): this user may not listen there", hint: "choose a port above 1023")
    case let number:
      return Finding(
        "address", .broken, "\(listen): \(String(cString: strerror(number)))",
        hint: "such as --listen 127.0.0.1:8114")
    }
  }

  /// The library, and the certificate of the HTTP door if there is one.
  private func tls(_ configuration: NodeConfiguration?) -> Finding {
    let library: String
    do throws(TLSError) { library = try TLSContext.library() } catch {
      let isWanted = configuration?.http.tls != nil
      return Finding(
        "tls", isWanted ? .broken : .warn, "\(error); https is neither served nor called", hint: error.hint)
    }
    guard let files = configuration?.http.tls, configuration?.http.listen != nil else {
      return Finding("tls", .ok, "\(library); HTTP is served without it")
    }
    let days: Int
    do throws(TLSError) {
      days = try TLSContext.server(certificate: files.certificate, key: files.key).daysLeft ?? 0
    } catch {
      return Finding(
        "tls", .broken, "\(error)",
        hint: error.hint
          ?? "'http.tls' names a certificate and its key, both PEM, the key without a passphrase")
    }
    let renewal = "renew it; SIGHUP makes a running node read it again"
    guard days >= 0 else {
      return Finding("tls", .warn, "\(files.certificate) has expired: clients refuse it", hint: renewal)
    }
    var status = stat()
    if stat(files.key, &status) == 0, status.st_mode & 0o007 != 0 {
      return Finding(
        "tls", .warn, "everybody on this machine may read \(files.key)",
        hint: "'chmod o= \(Self.word(files.key))'")
    }
    let words = "\(library); \(files.certificate) holds for \(counted(days, "day"))"
    return days < 14 ? Finding("tls", .warn, words, hint: renewal) : Finding("tls", .ok, words)
  }

  private func program(_ name: String, _ use: String, missing: String, package: String) -> Finding {
    find(name).map { Finding(name, .ok, "\($0) \(use)") }
      ?? Finding(name, .missing, missing, hint: "as root 'apt install \(package)'")
  }

  private func find(_ name: String) -> String? {
    (environment["PATH"] ?? "").split(separator: ":").lazy.filter { $0.hasPrefix("/") }
      .map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
  }

  /// Models come as packages: without pip, python3 cannot fetch one by name.
  private func python() -> Finding {
    let missing = "'hotpot models pull' cannot fetch"
    switch PythonInterpreter.examine(environment) {
    case .none:
      return Finding("python3", .missing, missing, hint: "as root 'apt install python3 python3-pip'")
    case .broken(let path, let why):
      return Finding(
        "python3", .missing, "\(path) does not run: \(why)", hint: "as root 'apt install python3'")
    case .withoutPip(let path):
      return Finding(
        "python3", .missing, "\(path) has no pip: \(missing) models by name",
        hint: "as root 'apt install python3-pip'; in a virtual environment 'python3 -m ensurepip'")
    case .whole(let path): return Finding("python3", .ok, "\(path) fetches models")
    }
  }

  private func terminal() -> Finding {
    let name = environment["TERM"] ?? ""
    guard !name.isEmpty, name != "dumb" else {
      return Finding(
        "terminal", .warn, "TERM is \(name.isEmpty ? "not set" : name): no dashboard, plain text only",
        hint: "run it in a terminal; over ssh use 'ssh -t'")
    }
    let locale =
      ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap { environment[$0] }.first { !$0.isEmpty } ?? ""
    let folded = locale.lowercased()
    guard folded.contains("utf-8") || folded.contains("utf8") else {
      return Finding(
        "terminal", .warn, "\(name), locale '\(locale)' without UTF-8: graphs are drawn in ASCII",
        hint: "'export LC_ALL=C.UTF-8'")
    }
    let isFull = ["truecolor", "24bit"].contains(environment["COLORTERM"] ?? "")
    let colours =
      !(environment["NO_COLOR"] ?? "").isEmpty
      ? "no colours (NO_COLOR)"
      : isFull ? "all colours" : name.contains("256color") ? "256 colours" : "16 colours"
    return Finding("terminal", .ok, "\(name), UTF-8, \(colours)")
  }
}
