// NodeSetup.swift: what the commands that make a node, or speak with one, have in common: where its state is, what the
// configuration says, and which model it means. Start at options(_:).

import Foundation
import Inference
import Node

enum NodeSetup {
  static let commonOptions: [Option] = [
    Option("state", value: "DIR", "where the node keeps its state; default $XDG_STATE_HOME/hotpot"),
    Option("config", value: "FILE", "the configuration; default $XDG_CONFIG_HOME/hotpot/config.json5"),
  ]

  static let servingOptions: [Option] =
    commonOptions + [
      .model,
      Option("threads", value: "N", "threads of the engine; default all that this process may use"),
      Option(
        "listen", value: "ADDR:PORT", "where HTTP is served; 'none' for nowhere; default 127.0.0.1:8114"),
      Option("name", value: "NAME", "the node's name on screens; default the host's"),
      Option(
        "trace", value: "FILE",
        "write all that happens to the node's state to a new file, for 'hotpot replay'"),
    ]

  /// A directory of the user's, by the XDG rules.
  static func home(_ variable: String, _ fallback: String) -> String {
    let environment = ProcessInfo.processInfo.environment
    if let directory = environment[variable], directory.hasPrefix("/") { return directory }
    return (environment["HOME"] ?? "/") + "/" + fallback
  }

  static func stateDirectory(_ arguments: Arguments) -> String {
    guard let named = arguments.string("state") else {
      return home("XDG_STATE_HOME", ".local/state") + "/hotpot"
    }
    return named.hasPrefix("/") ? named : FileManager.default.currentDirectoryPath + "/" + named
  }

  /// Where a system's own node has its control socket, if its configuration says so.
  static let systemRun = "/run/hotpot"

  /// The directory of the control socket of the node that is meant: the one named, else the user's own, else the
  /// system's.
  static func controlDirectory(_ arguments: Arguments) throws -> String {
    let own = stateDirectory(arguments)
    if arguments.has("state") || FileManager.default.fileExists(atPath: own + "/control.sock") { return own }
    return FileManager.default.fileExists(atPath: systemRun + "/control.sock") ? systemRun : own
  }

  static var configurationDirectory: String { home("XDG_CONFIG_HOME", ".config") + "/hotpot" }

  /// The configuration file, read; its absence is fine unless it was named.
  static func configuration(_ arguments: Arguments) throws -> NodeConfiguration {
    let path = arguments.string("config") ?? configurationDirectory + "/config.json5"
    var text: String?
    if let bytes = FileManager.default.contents(atPath: path) {
      guard let decoded = String(validating: bytes, as: UTF8.self) else {
        throw Failure(.badData, "\(path): it is not UTF-8 text", hint: "save the file as UTF-8")
      }
      text = decoded
    } else if arguments.has("config") {
      throw Failure(.noInput, "\(path): \(String(cString: strerror(errno)))")
    }
    var configuration = try NodeConfiguration(file: path, text: text)
    if let listen = arguments.string("listen") { configuration.http.listen = listen == "none" ? nil : listen }
    if let threads = try arguments.int("threads", in: 1...1024) { configuration.threads = threads }
    if let model = arguments.string("model") { configuration.model = model }
    if let name = arguments.string("name") { configuration.name = name }
    return configuration
  }

  /// Everything a node is started with.
  /// - isServing: the node starts in this process, and not in its child
  static func options(_ arguments: Arguments, isServing: Bool = true) throws -> NodeOptions {
    let configuration = try configuration(arguments)
    let state = stateDirectory(arguments)
    // The directory above it may be missing on a new machine; the state itself is made 0700 by the node.
    try FileManager.default.createDirectory(
      atPath: (state as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    var options = options(configuration, state: state)
    if let path = arguments.string("trace"), isServing { options.trace = try TraceRecorder(file: path) }
    return options
  }

  /// A node with that configuration and state, on the models of this machine.
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

  /// The user who sits here, as the log names him.
  static var operatorName: String {
    let name = NSUserName()
    return name.isEmpty ? "uid \(getuid())" : name
  }
}
