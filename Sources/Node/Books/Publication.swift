// Publication.swift: what a node tells everybody of itself, as files: who it is, what it runs and
// asks, the head of its log, the log's tree, and sample receipts of its own jobs. `hotpot publish`
// writes them into a directory, the HTTP door serves the same. No client's name and no client's prompt
// is in any of them, so no receipt's line but those of samples. Not here: reading another's
// (NodeInspection.swift). Start at Publication.file.
import Control
import Foundation
import JSON
import Receipts
import Synchronization

/// The paths of what is published, but for tiles and samples.
package enum PublishedFile {
  package static let card = ".well-known/hotpot.json"
  package static let catalog = ".well-known/ai-catalog.json"
  /// A note of C2SP, where tlog-tiles wants it.
  package static let checkpoint = "checkpoint"
  /// The same as `GET /v1/checkpoint`.
  package static let signedCheckpoint = "checkpoint.ssh"
}

/// A file of a publication.
struct PublicFile: Sendable, Equatable {
  let type: String
  let bytes: [UInt8]
}

package final class Publication: Sendable {
  /// Samples that are kept: the newest.
  static let maximumSamples = 64

  private let runtime: Runtime
  private let signing: Signing
  private let live: LiveConfiguration
  private let version: String
  private let directory: String
  private let files: any FileSystem = POSIXFileSystem()
  /// One sample is added at a time.
  private let adding = Mutex(())

  /// As it is now.
  private var configuration: NodeConfiguration { live.current }

  init(
    _ runtime: Runtime, signing: Signing, configuration: LiveConfiguration, version: String,
    stateDirectory: String
  ) {
    self.runtime = runtime
    self.signing = signing
    live = configuration
    self.version = version
    directory = stateDirectory + "/samples"
  }

  /// A file by its path; nil if there is none. A note may have to be signed, which takes a process's
  /// time.
  /// - Throws: words, if it cannot be made now
  func file(_ path: String) throws(AdministrationError) -> PublicFile? {
    switch path {
    case PublishedFile.card:
      return PublicFile(type: "application/json", bytes: JSONWriter.bytes(try nodeCard()))
    case PublishedFile.catalog:
      return try aiCatalog().map {
        PublicFile(type: "application/ai-catalog+json", bytes: JSONWriter.bytes($0))
      }
    case PublishedFile.checkpoint: return try note().map { Self.text($0.whole) }
    case PublishedFile.signedCheckpoint: return signing.notary?.current.map { Self.text($0.text) }
    default: break
    }
    if let tile = TilePath(parsing: path) {
      return runtime.journal.read { $0.tree.tile(tile) }.map {
        PublicFile(type: "application/octet-stream", bytes: $0)
      }
    }
    if path.hasPrefix("receipts/") {
      return sample(String(path.dropFirst(9))).map { Self.text($0) }
    }
    return nil
  }

  private static func text(_ text: String) -> PublicFile {
    PublicFile(type: "text/plain; charset=utf-8", bytes: Array(text.utf8))
  }

  private func note() throws(AdministrationError) -> SignedNote? {
    if let cosigned = signing.notary?.cosignedNote { return cosigned }
    do throws(SignatureError) { return try signing.notary?.note() } catch {
      throw AdministrationError("the checkpoint cannot be signed as a note: \(error)")
    }
  }

  // MARK: who it is

  private func nodeCard() throws(AdministrationError) -> JSONValue {
    guard let notary = signing.notary else { throw AdministrationError("the node has no key") }
    let facts = runtime.state.withLock { $0.facts }
    let models: [JSONValue] =
      facts.map {
        [
          [
            "name": .string($0.model), "sha256": .string($0.modelDigest.hex),
            "numerics": .string($0.profile),
          ]
        ]
      } ?? []
    var members: [JSONValue.Member] = [
      (key: "hotpot", value: 1), (key: "name", value: .string(configuration.name)),
      (key: "version", value: .string(version)), (key: "key", value: .string(notary.key.text)),
      (key: "key_fingerprint", value: .string(notary.key.fingerprint)),
      (key: "origin", value: .string(notary.key.origin)),
    ]
    if let key = NoteKey(log: notary.key) {
      members.append((key: "log_key", value: .string(key.text)))
    }
    let publish = configuration.publish
    members += [
      (key: "models", value: .array(models)),
      (key: "currency", value: .string(configuration.currency)),
      (key: "prices_per_million_tokens", value: .array(configuration.openPrices)),
      (key: "doors", value: .array(publish.urls.map { .string($0) })),
      (key: "witnesses", value: .array(configuration.witnesses.map { .string($0.key.text) })),
    ]
    if let contact = publish.contact { members.append((key: "contact", value: .string(contact))) }
    members.append((key: "samples", value: .array(samples.map { .string($0) })))
    return .object(members)
  }

  /// For registries that crawl AI Catalogs; nil if the node is reached by no name of a domain.
  /// Source: github.com/Agent-Card/ai-catalog, 0.9.
  private func aiCatalog() throws(AdministrationError) -> JSONValue? {
    guard let url = configuration.publish.urls.first,
      let domain = URLComponents(string: url)?.host, domain.contains(where: \.isLetter)
    else { return nil }
    func urn(_ name: String, _ kind: String) -> JSONValue {
      let plain = name.map {
        $0.isASCII && ($0.isLetter || $0.isNumber || "._-".contains($0)) ? $0 : "-"
      }
      return .string("urn:air:\(domain):\(String(plain)):\(kind)")
    }
    let card = try nodeCard()
    let base = url.hasSuffix("/") ? String(url.dropLast()) : url
    var entries: [JSONValue] = [
      [
        "identifier": urn(configuration.name, "node"), "displayName": .string(configuration.name),
        "type": "application/json", "url": .string("\(base)/\(PublishedFile.card)"),
        "description": "an inference node whose answers come with receipts that anybody can verify",
        "tags": ["inference", "openai-compatible", "receipts"],
      ]
    ]
    for model in card["models"]?.array ?? [] {
      guard let name = model["name"]?.string else { continue }
      entries.append([
        "identifier": urn(name, "model"), "displayName": .string(name), "type": "application/json",
        "url": .string("\(base)/v1/node"), "tags": ["model", "openai-compatible"],
      ])
    }
    return [
      "specVersion": "0.9",
      "host": ["displayName": .string(configuration.name), "identifier": .string(domain)],
      "entries": .array(entries),
    ]
  }

  // MARK: samples

  /// Ids of the sample receipts, sorted.
  var samples: [String] {
    // No sample was ever added.
    ((try? files.list(directory)) ?? []).filter { Self.isID($0) }.sorted()
  }

  static func isID(_ text: String) -> Bool {
    text.utf8.count == 16
      && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }

  private func sample(_ id: String) -> String? {
    guard Self.isID(id), let bytes = try? files.readAll("\(directory)/\(id)", limit: 1 << 22) else {
      return nil  // there is none
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Keeps a receipt of the operator's own job with its transcript, for everybody.
  /// - Returns: its id
  func add(sample text: String) throws(AdministrationError) -> String {
    let id: String
    do {
      let bundle = try ReceiptBundle(parsing: text)
      let line = Array(bundle.receipt.utf8)
      guard case .receipt(let receipt) = try Entry(parsing: line).record else {
        throw AdministrationError("the bundle holds no receipt")
      }
      let logged = try runtime.journal.receipt(at: receipt.index)
      guard logged.line == line else {
        throw AdministrationError("the bundle's receipt is not one of this log's")
      }
      // A client's receipt names the client.
      guard receipt.client == Admission.operatorName else {
        throw AdministrationError(
          "only receipts of the node's own jobs are published, this one is a client's")
      }
      guard let transcript = try bundle.transcript.map({ try Receipts.Transcript(parsing: $0) }),
        transcript.promptCommitment == receipt.promptCommitment,
        transcript.outputCommitment == receipt.outputCommitment
      else { throw AdministrationError("the bundle has no transcript of its receipt") }
      id = logged.id
    } catch let error as AdministrationError { throw error } catch {
      throw AdministrationError("\(error)")
    }
    do throws(FileError) {
      try adding.withLock { _ throws(FileError) in
        try files.makeDirectory(directory)
        try files.replaceFile("\(directory)/\(id)", with: Array(text.utf8), in: directory)
        try removeOldest()
      }
    } catch { throw AdministrationError("the sample cannot be kept: \(error)") }
    return id
  }

  private func removeOldest() throws(FileError) {
    let kept = samples
    guard kept.count > Self.maximumSamples else { return }
    let byAge = runtime.journal.read { catalog in
      kept.map { ($0, catalog.indexes(idPrefix: $0, limit: 1).first ?? -1) }
    }.sorted { $0.1 < $1.1 }
    for (id, _) in byAge.prefix(kept.count - Self.maximumSamples) {
      try files.remove("\(directory)/\(id)")
    }
  }
}

extension NodeConfiguration {
  /// The prices for everybody; those for one client are not shown to others.
  var openPrices: [JSONValue] {
    prices.rules.filter { $0.client == nil }.map { rule in
      var members: [JSONValue.Member] = []
      if let model = rule.model { members.append((key: "model", value: .string(model))) }
      if let hours = rule.hours {
        members.append((key: "hours", value: .string("\(hours.from)-\(hours.to)")))
      }
      members += [
        (key: "prompt", value: .string(rule.price.prompt.description)),
        (key: "cached", value: .string(rule.price.cached.description)),
        (key: "completion", value: .string(rule.price.completion.description)),
        (key: "minimum", value: .string(rule.price.minimum.description)),
      ]
      return .object(members)
    }
  }
}
