// ModelReference.swift: the names under which people pull models: a name of the catalog, an address,
// `hf:OWNER/REPO/FILE.gguf`, `hf:OWNER/REPO[:QUANT]` as llama.cpp and Ollama write it, and
// `ollama:NAME[:TAG]`. What a name stands for on its server is asked in ModelPull.swift. Start at
// init(_:environment:).

import Foundation

/// What is to be fetched, as far as its name says.
enum ModelReference: Sendable, Equatable {
  case catalog(CatalogModel)
  /// One file, or one part of a split model.
  case address(URL, HTTPToken?)
  /// A repository of a model hub, and which of its models: a quantisation such as `Q4_K_M`, or a
  /// file's name; nil leaves the choice to us.
  case repository(HubRepository, String?)
  case registry(RegistryModel)

  /// - Throws: `.unknownName` or `.badAddress`.
  init(_ text: String, environment: [String: String]) throws(PullError) {
    if let model = ModelCatalog.model(named: text) {
      self = .catalog(model)
      return
    }
    for prefix in ["hf:", "hf.co/", "huggingface.co/"] where text.hasPrefix(prefix) {
      self = try Self.hub(text, text.dropFirst(prefix.count), environment)
      return
    }
    if text.hasPrefix("ollama:") {
      self = .registry(try RegistryModel(text, environment))
      return
    }
    guard text.contains("://") else { throw .unknownName(text) }
    guard let url = URL(string: text) else { throw .badAddress(text, "it is no address") }
    try Self.check(url, text)
    self = .address(url, nil)
  }

  private static func hub(
    _ text: String, _ name: Substring, _ environment: [String: String]
  ) throws(PullError) -> ModelReference {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let wanted = "wanted hf:OWNER/REPO, hf:OWNER/REPO:QUANT or hf:OWNER/REPO/FILE.gguf"
    let base = try server("HF_ENDPOINT", "https://huggingface.co", text, environment)
    if parts.count == 2 {
      let last = parts[1].split(separator: ":", omittingEmptySubsequences: false).map(String.init)
      guard last.count <= 2, let repository = last.first, ([parts[0]] + last).allSatisfy(ModelName.isPart)
      else {
        throw .badAddress(text, wanted)
      }
      let hub = HubRepository(base: base, owner: parts[0], name: repository)
      // Ollama's word for a choice of its own.
      let quantisation = last.dropFirst().first { $0 != "latest" }
      return .repository(hub, quantisation)
    }
    guard (3...6).contains(parts.count), parts.allSatisfy(ModelName.isPart) else {
      throw .badAddress(text, wanted)
    }
    let hub = HubRepository(base: base, owner: parts[0], name: parts[1])
    guard let url = hub.address(of: parts[2...].joined(separator: "/")) else {
      throw .badAddress(text, "HF_ENDPOINT is no address")
    }
    try check(url, text)
    return .address(url, hub.token)
  }

  /// The server that a variable names, without a slash at its end.
  static func server(
    _ variable: String, _ standard: String, _ text: String, _ environment: [String: String]
  ) throws(PullError) -> URL {
    var base = environment[variable] ?? ""
    if base.isEmpty { base = standard }
    while base.hasSuffix("/") { base.removeLast() }
    guard let url = URL(string: base), url.host?.isEmpty == false else {
      throw .badAddress(text, "\(variable) is no address")
    }
    guard HTTPScript.isAllowed(url) else {
      throw .badAddress(text, "only https: is allowed, and http: for this machine (\(variable))")
    }
    return url
  }

  private static func check(_ url: URL, _ text: String) throws(PullError) {
    guard HTTPScript.isAllowed(url) else {
      throw .badAddress(text, "only https: is allowed, and http: for this machine")
    }
    guard url.host?.isEmpty == false, url.user == nil, url.password == nil else {
      throw .badAddress(text, "it names no host, or a password")
    }
    let file = url.lastPathComponent
    guard ModelName.hasSuffix(file), file.utf8.count > 5, !file.hasPrefix(".") else {
      throw .badAddress(text, "it does not end in the name of a .gguf file")
    }
  }
}

/// A file to fetch, and what is known of it beforehand.
struct RemoteFile: Sendable, Equatable {
  let address: URL
  var byteCount: Int?
  /// Its SHA-256.
  var digest: String?
  var token: HTTPToken?
}

/// A repository of a model hub.
struct HubRepository: Sendable, Equatable {
  /// The hub's address, without a slash at its end.
  let base: URL
  let owner: String
  let name: String

  var fullName: String { "\(owner)/\(name)" }
  var token: HTTPToken { HTTPToken(for: base) }

  /// Of a file of its main branch.
  func address(of file: String) -> URL? {
    // A file's path may hold spaces and other characters that an address writes otherwise.
    file.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed).flatMap {
      URL(string: "\(base.absoluteString)/\(owner)/\(name)/resolve/main/\($0)")
    }
  }

  /// Of the list of its files.
  var listing: URL? {
    URL(string: "\(base.absoluteString)/api/models/\(owner)/\(name)/tree/main?recursive=true")
  }
}

/// A model in Ollama's registry. Source of the addresses: the distribution specification of the Open
/// Container Initiative, which the registry follows.
struct RegistryModel: Sendable, Equatable {
  let base: URL
  let namespace: String
  let name: String
  let tag: String

  /// `ollama:NAME`, `ollama:NAME:TAG`, `ollama:OWNER/NAME:TAG`
  init(_ text: String, _ environment: [String: String]) throws(PullError) {
    let parts = text.dropFirst("ollama:".count).split(separator: "/", omittingEmptySubsequences: false)
    let last = (parts.last ?? "").split(separator: ":", omittingEmptySubsequences: false).map(String.init)
    let folders = parts.dropLast().map(String.init)
    guard folders.count <= 1, (1...2).contains(last.count), (folders + last).allSatisfy(ModelName.isPart)
    else {
      throw .badAddress(text, "wanted ollama:NAME, ollama:NAME:TAG or ollama:OWNER/NAME:TAG")
    }
    base = try ModelReference.server("HOTPOT_REGISTRY", "https://registry.ollama.ai", text, environment)
    namespace = folders.first ?? "library"
    name = last[0]
    tag = last.count == 2 ? last[1] : "latest"
  }

  /// As Ollama's users write it.
  var fullName: String { (namespace == "library" ? "" : namespace + "/") + "\(name):\(tag)" }

  static let manifestType = "application/vnd.docker.distribution.manifest.v2+json"

  var manifest: URL? { URL(string: "\(base.absoluteString)/v2/\(namespace)/\(name)/manifests/\(tag)") }

  func blob(_ digest: String) -> URL? {
    URL(string: "\(base.absoluteString)/v2/\(namespace)/\(name)/blobs/sha256:\(digest)")
  }
}
