// ModelChoice.swift: which model a command uses: --model FILE|NAME, else HOTPOT_MODEL, else the
// only reasonable one.

import Foundation
import Inference

enum ModelChoice {
  /// The file that the command's `--model` names.
  static func path(_ arguments: Arguments) throws -> String { try path(wanted: arguments.string("model")) }

  /// The file of a model that a command or a configuration names; for nil, the one that the
  /// environment or the disk suggests.
  static func path(wanted: String?) throws -> String {
    let environment = ProcessInfo.processInfo.environment
    let store = ModelStore(environment: environment)
    if let name = wanted ?? environment["HOTPOT_MODEL"].flatMap({ $0.isEmpty ? nil : $0 }) {
      return try path(named: name, store)
    }
    let own = store.models(of: .own)
    if let found = own.first(where: { $0.name == ModelCatalog.standard.name }) { return found.path }
    let all = own.isEmpty ? store.models() : own
    guard let first = all.first else { throw noModel }
    guard all.count == 1 else {
      throw Failure(
        .usage, "there are \(all.count) models here and none is chosen",
        hint: "choose one with --model, such as --model \(first.name); 'hotpot models list' shows all")
    }
    return first.path
  }

  /// A file's name without `.gguf` and the number of a part: the model's name on screens and in
  /// receipts.
  static func name(ofFile path: String) -> String {
    let file = (path as NSString).lastPathComponent
    return ModelName.ofFile(file)
  }

  /// There is no model on this machine.
  static let noModel = Failure(
    .noInput, "there is no model on this machine", hint: "'hotpot models pull smollm2' fetches one (98 MB)")

  private static func path(named text: String, _ store: ModelStore) throws -> String {
    let name = try UserFile.path(text)
    var status = stat()
    let number = stat(name, &status) == 0 ? 0 : errno
    let isDirectory = number == 0 && status.st_mode & S_IFMT == S_IFDIR
    if number == 0, !isDirectory { return name }
    if let found = store.models(named: name).first { return found.path }
    let looksLikePath =
      name.contains("/") || name.lowercased().hasSuffix(".gguf") || name == "." || name == ".."
    if isDirectory, looksLikePath || ModelCatalog.model(named: name) == nil {
      throw Failure(
        .noInput, "model '\(name)' is a directory",
        hint: "name the .gguf file in it, or a model that 'hotpot models list' shows")
    }
    // A file in hotpot's own directory may be no model, such as one partly fetched; opening it
    // reports what it is.
    for file in [name, name + ".gguf"] where !name.contains("/") && !store.directory.isEmpty {
      let path = store.directory + "/" + file
      if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG { return path }
    }
    if looksLikePath {
      var failure = UserFile.unreadable(name, number == 0 ? ENOENT : number)
      failure.message = "model " + failure.message
      failure.hint = failure.hint ?? listHint
      throw failure
    }
    if ModelCatalog.model(named: name) != nil {
      throw Failure(
        .noInput, "model '\(name)' is not on this machine", hint: "'hotpot models pull \(name)' fetches it")
    }
    let names = store.models().map(\.name)
    throw Failure(
      .noInput, "no model is called '\(name)'",
      hint: Spelling.nearest(to: name, among: names).map { "did you mean '\($0)'?" } ?? listHint)
  }

  private static let listHint =
    "'hotpot models list' shows what is here, 'hotpot models pull smollm2' fetches one"
}
