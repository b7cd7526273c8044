// NodeSetup.swift: what the commands that start a node, or talk to one, share: where its state is,
// what the configuration says, and which model it means. Start at options(_:).

import Foundation
import Inference
import Node

enum NodeSetup {
  static let config = Option(
    "config", value: "FILE", "the configuration; default $XDG_CONFIG_HOME/hotpot/config.json5")

  static let commonOptions: [Option] = [
    Option("state", value: "DIR", "where the node keeps its state; default $XDG_STATE_HOME/hotpot"),
    config,
  ]

  static let servingOptions: [Option] =
    commonOptions + [
      .model,
      Option("threads", value: "N", "threads of the engine; default all that this process may use"),
      GraphicsChoice.option, LocalModel.mapped,
      Option(
        "listen", value: "ADDR:PORT", "where HTTP is served; 'none' for nowhere; default 127.0.0.1:8114"),
      Option("name", value: "NAME", "the node's name on screens; default the host's"),
      Option(
        "trace", value: "FILE",
        "write all that happens to the node's state to a new file, for 'hotpot replay'"),
    ]

  /// A directory of the user, by the XDG rules.
  static func home(_ variable: String, _ fallback: String) throws -> String {
    guard let path = UserDirectories.base(variable, fallback, ProcessInfo.processInfo.environment) else {
      throw Failure.noHome
    }
    return path
  }

  static func stateDirectory(_ arguments: Arguments) throws -> String {
    guard let named = arguments.string("state") else {
      return try home("XDG_STATE_HOME", ".local/state") + "/hotpot"
    }
    return try UserFile.absolute(named)
  }

  /// Something exists there that is not a directory.
  static func isOther(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mode & S_IFMT != S_IFDIR : errno == ENOTDIR
  }

  static func tooLong(_ path: String, _ limit: Int) -> Failure {
    Failure(
      .usage, "the path of the socket '\(path)' has \(path.utf8.count) bytes, at most \(limit) fit",
      hint: "name a shorter directory with --state DIR")
  }

  /// Where the system's own node has its control socket, if its configuration says so.
  static let systemRun = "/run/hotpot"

  /// The directory of the control socket of the chosen node: the one named, else the user's own,
  /// else the system's.
  static func controlDirectory(_ arguments: Arguments) throws -> String {
    // A user without a home can still reach the system's node.
    let isThere = FileManager.default.fileExists(atPath: systemRun + "/control.sock")
    let own: String
    do {
      own = try stateDirectory(arguments)
    } catch {
      guard isThere, !arguments.has("state") else { throw error }
      return systemRun
    }
    if arguments.has("state") || FileManager.default.fileExists(atPath: own + "/control.sock") { return own }
    return isThere ? systemRun : own
  }

  /// Nil for a user without a home.
  static var configurationDirectory: String? {
    UserDirectories.base("XDG_CONFIG_HOME", ".config", ProcessInfo.processInfo.environment).map {
      $0 + "/hotpot"
    }
  }

  /// The file that `--config` names, or the default one, whether or not it is there.
  static func configurationFile(_ arguments: Arguments) -> String? {
    arguments.string("config") ?? configurationDirectory.map { $0 + "/config.json5" }
  }

  /// Reads the configuration file; it may be missing unless it was named.
  static func configuration(_ arguments: Arguments) throws -> NodeConfiguration {
    let path = configurationFile(arguments) ?? "config.json5"
    var text: String?
    if arguments.has("config") || isThere(path) {
      let bytes = try UserFile.read(path, limit: 1 << 22)
      guard let decoded = String(validating: bytes, as: UTF8.self) else {
        throw Failure(.badData, "\(path): it is not UTF-8 text", hint: "save the file as UTF-8")
      }
      // /dev/null or an empty pipe counts as an empty configuration. An empty regular file was
      // probably truncated, and is refused.
      let isSpecial = try path == "-" || UserFile.isSpecial(UserFile.path(path))
      text = bytes.isEmpty && isSpecial ? nil : decoded
    }
    var configuration = try NodeConfiguration(file: path, text: text)
    if let listen = arguments.string("listen") { configuration.http.listen = listen == "none" ? nil : listen }
    if let threads = try arguments.int("threads", in: 1...1024) { configuration.threads = threads }
    if let device = try GraphicsChoice.named(arguments) { configuration.device = device }
    if arguments.has("mapped") { configuration.isMapped = true }
    if let model = arguments.string("model") { configuration.model = model }
    if let name = arguments.string("name") { configuration.name = name }
    return configuration
  }

  /// A default file that cannot even be looked for, such as one in another user's home, counts as
  /// missing.
  private static func isThere(_ path: String) -> Bool {
    var status = stat()
    if stat(path, &status) == 0 { return true }
    if errno == EACCES {
      Console.warn("'\(path)' cannot be looked for: \(String(cString: strerror(EACCES)))")
    }
    return false
  }

  /// Everything a node is started with.
  /// - isServing: whether the node starts in this process and not in its child
  static func options(_ arguments: Arguments, isServing: Bool = true) throws -> NodeOptions {
    var configuration = try configuration(arguments)
    let (named, examined) = (
      configuration.device,
      isServing ? try GraphicsChoice.examined(configuration.device) : configuration.device
    )
    configuration.device = examined
    if configuration.isMapped { Console.warn(LocalModel.mappedNotice) }
    if let listen = arguments.string("listen"), listen != "none" {
      do throws(ListenProblem) { _ = try NodeConfiguration.HTTP.address(listen) } catch {
        throw Failure(.usage, "option '--listen': \(error)", hint: error.hint)
      }
    }
    // A model that the command line names is checked at once; one that the configuration names may
    // arrive later.
    if arguments.has("model") { _ = try GGUFFile(path: ModelChoice.path(arguments)) }
    let state = try stateDirectory(arguments)
    let socket = state + "/control.sock"
    guard socket.utf8.count <= NodeConfiguration.longestSocketPath else {
      throw tooLong(socket, NodeConfiguration.longestSocketPath)
    }
    // On a new machine the state and the directories above it may be missing.
    do {
      try UserFile.makeDirectory(state)
    } catch var failure as Failure {
      if failure.hint == nil { failure.hint = "'--state DIR' names another place" }
      throw failure
    }
    var options = options(configuration, state: state)
    options.configurationFile = configurationFile(arguments).flatMap {
      $0 == "-" ? nil : try? UserFile.absolute($0)
    }
    options.notices = notices(configuration, arguments)
    options.readConfiguration = {
      do {
        var configuration = try Self.configuration(arguments)
        if configuration.device == named { configuration.device = examined }
        return .success(configuration)
      } catch {
        let failure = Failure(describing: error)
        return .failure(
          AdministrationError(failure.message + (failure.hint.map { "; \($0)" } ?? "")))
      }
    }
    if let path = arguments.string("trace"), isServing { options.trace = try TraceRecorder(file: path) }
    return options
  }

  /// What the configuration says in vain.
  static func notices(
    _ configuration: NodeConfiguration, _ arguments: Arguments, file: String? = nil
  ) -> [ConfigurationNotice] {
    let file = file ?? configurationFile(arguments) ?? "config.json5"
    // A model that the command line names was looked for already.
    let named = arguments.has("model")
    return configuration.notices(
      file: file,
      .system { name in
        if named { return nil }
        do {
          _ = try ModelChoice.path(wanted: name)
          return nil
        } catch {
          let failure = Failure(describing: error)
          return "is not there: \(failure.message)" + (failure.hint.map { "; \($0)" } ?? "")
        }
      })
  }

  /// The options of a node with that configuration and state, with the models of this machine.
  static func options(_ configuration: NodeConfiguration, state: String) -> NodeOptions {
    NodeOptions(configuration: configuration, stateDirectory: state, version: Commands.version) {
      (name) throws(ServingError) in
      do {
        let path = try ModelChoice.path(wanted: name)
        return ModelFile(name: ModelChoice.name(ofFile: path), path: path)
      } catch {
        let failure = Failure(describing: error)
        throw ServingError(failure.message, hint: failure.hint)
      }
    }
  }

  /// The user at this terminal, as the log names them.
  static var operatorName: String {
    let name = NSUserName()
    return name.isEmpty ? "uid \(getuid())" : name
  }
}
