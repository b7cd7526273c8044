// HubListing.swift: the models in a repository of a model hub: its GGUF files with their sizes and
// digests, parts of one model together, and which of them a quantisation's name means. How the
// list is fetched is in ModelPull.swift. Start at init(pages:repository:).
//
// The list is the answer to /api/models/OWNER/REPO/tree/main?recursive=true: an array of objects
// with type, path, size and, for large files, lfs with oid (the SHA-256) and size.

import Foundation
import JSON

/// A model of a repository: one file, or the parts of one.
public struct HubModel: Sendable, Equatable {
  /// A file's path in the repository, without `.gguf` and the number of a part.
  public let name: String
  /// What tells it from the repository's other models: `Q4_K_M`, or a file's name. It may stand
  /// behind the repository's name.
  public fileprivate(set) var tag: String
  /// Bytes of all its files.
  public let byteCount: Int
  let files: [HubFile]

  public var partCount: Int { files.count }

  /// The digest of the model, where the hub states those of its files.
  public var digest: String? {
    let digests = files.compactMap(\.digest)
    return digests.count == files.count ? FileDigest.ofParts(digests) : nil
  }
}

struct HubFile: Sendable, Equatable {
  let path: String
  let byteCount: Int
  let digest: String?
}

/// The models of a repository.
package struct HubListing: Sendable {
  /// By name.
  package private(set) var models: [HubModel]
  let repository: String

  /// The quantisations that are taken where none is asked for, the first that is there. llama.cpp
  /// and Ollama take the first too; the others are what a repository without it has.
  static let preferred = ["Q4_K_M", "Q4_K_S", "Q4_0", "MXFP4", "Q8_0"]

  private static let mostFiles = 100_000

  /// - Throws: `.badListing`.
  package init(pages: [[UInt8]], repository: String) throws(PullError) {
    self.repository = repository
    var files: [String: HubFile] = [:]
    for page in pages {
      let value: JSONValue
      do {
        value = try JSONText.parse(page)
      } catch {
        throw .badListing(repository, "it is no JSON: \(error)")
      }
      guard let entries = value.array else { throw .badListing(repository, "it is no list of files") }
      for entry in entries {
        guard let file = Self.file(entry) else { continue }
        guard files.count < Self.mostFiles else { throw .badListing(repository, "it has too many files") }
        files[file.path] = file
      }
    }
    models = Self.models(files)
    for index in models.indices { models[index].tag = tag(of: models[index]) }
  }

  /// A GGUF file that may be a model; nil for others: pictures' projectors and importance matrices
  /// have the format too.
  private static func file(_ entry: JSONValue) -> HubFile? {
    guard entry["type"]?.string == "file", let path = entry["path"]?.string, path.utf8.count < 1_024 else {
      return nil
    }
    let folders = path.split(separator: "/", omittingEmptySubsequences: false)
    guard let name = folders.last, ModelName.hasSuffix(path), name.utf8.count > 5,
      folders.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." }),
      !path.unicodeScalars.contains(where: { $0.value < 0x20 || $0.value == 0x7F }),
      !["mmproj", "imatrix"].contains(where: name.lowercased().contains)
    else { return nil }
    let lfs = entry["lfs"]
    guard let size = (lfs?["size"] ?? entry["size"])?.integer, size >= 0, size < 1 << 50 else { return nil }
    let digest = lfs?["oid"]?.string.flatMap { ModelName.isDigest($0) ? $0 : nil }
    return HubFile(path: path, byteCount: size, digest: digest)
  }

  /// Groups parts; a model whose parts are not all there is left out.
  private static func models(_ files: [String: HubFile]) -> [HubModel] {
    files.keys.sorted().compactMap { path in
      guard ModelName.isFile(path) else { return nil }
      let parts = ModelName.parts(of: path).compactMap { files[$0] }
      guard parts.count == ModelName.parts(of: path).count else { return nil }
      return HubModel(
        name: ModelName.ofFile(path), tag: "", byteCount: parts.reduce(0) { $0 + $1.byteCount }, files: parts)
    }
  }

  // MARK: Choosing

  /// The model that a quantisation or a file's name means; without one, the preferred one.
  /// - Throws: `.noModelInRepository` or `.noSuchModel`.
  package func choose(_ wanted: String?) throws(PullError) -> HubModel {
    guard let first = models.first else { throw .noModelInRepository(repository) }
    if let wanted {
      guard let found = model(tagged: wanted) else {
        throw .noSuchModel(repository, wanted: wanted, there: models.map(\.tag))
      }
      return found
    }
    return Self.preferred.lazy.compactMap(model(tagged:)).first ?? first
  }

  /// The model whose name, or the end of it after a separator, is this, in any case; of several the
  /// one with the shortest name.
  private func model(tagged tag: String) -> HubModel? {
    let tag = ModelName.withoutSuffix(tag).lowercased()
    let found = models.filter { model in
      let name = model.name.lowercased()
      // A folder may have the quantisation's name.
      let folder = name.split(separator: "/").dropLast().last.map(String.init)
      return name == tag || folder == tag || ["-", ".", "/", "_"].contains { name.hasSuffix($0 + tag) }
    }
    return found.min { ($0.name.utf8.count, $0.name) < ($1.name.utf8.count, $1.name) }
  }

  /// The shortest end of a model's name that means it and holds a digit, as quantisations do.
  private func tag(of model: HubModel) -> String {
    let file = model.name.split(separator: "/").last.map(String.init) ?? model.name
    for (index, character) in zip(file.indices, file).reversed() where character == "-" || character == "." {
      let tail = String(file[file.index(after: index)...])
      let isTag = tail.contains(where: \.isNumber) && ModelName.isPart(tail)
      if isTag, self.model(tagged: tail)?.name == model.name { return tail }
    }
    return file
  }
}
