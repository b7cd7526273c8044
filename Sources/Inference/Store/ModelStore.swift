// ModelStore.swift: the models on this machine: our own directory, and those of Ollama, the Hugging
// Face cache and LM Studio, which are read and never written. Not here: fetching (ModelPull.swift),
// and the content of files (GGUFFile.swift). Start at models().

import Foundation
import JSON

/// A model's file and its name.
public struct StoredModel: Sendable, Equatable {
  /// Whose directory it is in.
  public enum Origin: String, Sendable, CaseIterable {
    case own = "hotpot"
    case ollama = "Ollama"
    case huggingFace = "Hugging Face"
    case lmStudio = "LM Studio"
  }

  /// `smollm2`, `llama3.2:1b`, `OWNER/REPO/FILE.gguf`: unique within its origin.
  public let name: String
  /// The file, or the first of several parts.
  public let path: String
  public let origin: Origin
  /// Bytes of the file, or of all parts.
  public let byteCount: Int
  /// The SHA-256 that its store claims for it, 64 hexadecimal digits; nil if it claims none. Of
  /// parts, `FileDigest.ofParts` of theirs.
  public let claimedDigest: String?

  /// The file, or all parts in order.
  public var paths: [String] { ModelName.parts(of: path) }

  public init(name: String, path: String, origin: Origin, byteCount: Int, claimedDigest: String?) {
    self.name = name
    self.path = path
    self.origin = origin
    self.byteCount = byteCount
    self.claimedDigest = claimedDigest
  }
}

/// The directories of models.
public struct ModelStore: Sendable {
  /// `$XDG_DATA_HOME/hotpot/models`; created by the first pull.
  public let directory: String
  let ollama: [String]
  let huggingFace: [String]
  let lmStudio: [String]

  /// The directories that `environment` names; only absolute paths count.
  public init(environment: [String: String] = ProcessInfo.processInfo.environment) {
    let absolute = { (name: String) in UserDirectories.absolute(name, environment) }
    let home = UserDirectories.home(environment)
    // Without a home there is nothing to list, and a pull reports that.
    directory =
      (absolute("XDG_DATA_HOME") ?? home.map { $0 + "/.local/share" }).map { $0 + "/hotpot/models" } ?? ""
    ollama =
      absolute("OLLAMA_MODELS").map { [$0] }
      ?? [
        home.map { $0 + "/.ollama/models" }, "/usr/share/ollama/.ollama/models",
      ].compactMap { $0 }
    let cache = absolute("XDG_CACHE_HOME") ?? home.map { $0 + "/.cache" }
    huggingFace =
      [
        absolute("HF_HUB_CACHE"), absolute("HF_HOME").map { $0 + "/hub" },
        cache.map { $0 + "/huggingface/hub" },
      ]
      .compactMap { $0 }.prefix(1).map { $0 }
    lmStudio = home.map { [$0 + "/.lmstudio/models", $0 + "/.cache/lm-studio/models"] } ?? []
  }

  /// Every model found, ours first, sorted by name within an origin. Unreadable files are skipped.
  public func models() -> [StoredModel] {
    StoredModel.Origin.allCases.flatMap { models(of: $0) }
  }

  public func models(of origin: StoredModel.Origin) -> [StoredModel] {
    let found: [StoredModel] =
      switch origin {
      case .own: ownModels()
      case .ollama: ollama.flatMap(ollamaModels)
      case .huggingFace: huggingFace.flatMap(huggingFaceModels)
      case .lmStudio: lmStudio.flatMap(lmStudioModels)
      }
    return found.sorted { $0.name < $1.name }
  }

  /// The models that `name` may mean: by full name, otherwise by its last part, with or without
  /// `.gguf` and `:latest`. The first is the best match; our own come before others'.
  public func models(named name: String) -> [StoredModel] {
    let all = models()
    let wanted = [name, name + ":latest", ModelName.withoutSuffix(name)]
    let exact = all.filter { wanted.contains($0.name) || wanted.contains(ModelName.withoutSuffix($0.name)) }
    guard exact.isEmpty else { return exact }
    return all.filter { model in
      let last = model.name.split(separator: "/").last.map(String.init) ?? model.name
      // Of parts, the name of the first one's file means all.
      let file = model.path.split(separator: "/").last.map { ModelName.withoutSuffix(String($0)) }
      return wanted.contains(last) || wanted.contains(ModelName.withoutSuffix(last))
        || ModelName.splitPart(model.path) != nil && file.map(wanted.contains) == true
    }
  }

  // MARK: Directories

  private func ownModels() -> [StoredModel] {
    // Users put files here too, under any name.
    let files = FileTree.names(in: directory).filter { ModelName.isFile($0) && !$0.hasPrefix(".") }
    let names = Dictionary(files.map { (ModelName.ofFile($0), 1) }, uniquingKeysWith: +)
    return files.compactMap { file in
      let path = directory + "/" + file
      guard let size = FileTree.modelSize(path) else { return nil }
      let name = ModelName.ofFile(file)
      // Beside `tiny.gguf`, `tiny.GGUF` and the parts of another keep their whole names.
      let isTwin = names[name, default: 1] > 1 && file != name + ".gguf"
      return StoredModel(
        name: isTwin ? file : name, path: path, origin: .own, byteCount: size,
        claimedDigest: digest(ofParts: ModelName.parts(of: file)))
    }
  }

  /// The digest of a model by those noted beside its files; nil if one has none.
  private func digest(ofParts files: [String]) -> String? {
    let digests = files.compactMap(digest(besideFile:))
    return digests.count == files.count ? FileDigest.ofParts(digests) : nil
  }

  /// Where the terms of use of a model of the catalog are kept, if it has any.
  public func termsPath(of name: String) -> String { "\(directory)/\(name).terms.html" }

  /// The files of the model of that name in our own directory: `NAME.gguf`, or the parts by their
  /// names; none if there is none. A link that leads nowhere counts.
  func files(of name: String) -> [String] {
    var status = stat()
    if lstat("\(directory)/\(name).gguf", &status) == 0 { return ["\(directory)/\(name).gguf"] }
    let first = FileTree.names(in: directory).first { file in
      ModelName.splitPart(file)?.number == 1 && ModelName.ofFile(file) == name && file.hasSuffix(".gguf")
    }
    return first.map { ModelName.parts(of: "\(directory)/\($0)") } ?? []
  }

  /// The digest noted beside a model's files when it was pulled.
  func ownDigest(of name: String) -> String? {
    let files = files(of: name)
    return files.isEmpty ? digest(besideFile: name + ".gguf") : ownDigest(ofFiles: files)
  }

  /// The digest noted beside these files of our own directory, whether they are there or not.
  func ownDigest(ofFiles paths: [String]) -> String? {
    digest(ofParts: paths.compactMap { $0.split(separator: "/").last.map(String.init) })
  }

  private func digest(besideFile file: String) -> String? {
    guard let text = FileTree.text(directory + "/" + file + ".sha256", limit: 256) else { return nil }
    let digest = String(text.prefix(64))
    return ModelName.isDigest(digest) ? digest : nil
  }

  /// Ollama: manifests/HOST/NAMESPACE/MODEL/TAG lists layers, one of which is the model in
  /// blobs/sha256-DIGEST.
  private func ollamaModels(_ root: String) -> [StoredModel] {
    FileTree.files(below: root + "/manifests", depth: 4).compactMap { file in
      let parts = file.split(separator: "/").map(String.init)
      guard parts.count == 4, let text = FileTree.text(root + "/manifests/" + file, limit: 1 << 20),
        let digest = Self.modelLayer(ofManifest: text)?.digest
      else { return nil }
      let path = root + "/blobs/sha256-" + digest
      guard let size = FileTree.modelSize(path) else { return nil }
      let owner = parts[1] == "library" ? "" : parts[1] + "/"
      return StoredModel(
        name: "\(owner)\(parts[2]):\(parts[3])", path: path, origin: .ollama, byteCount: size,
        claimedDigest: digest)
    }
  }

  /// The layer that holds the weights: its digest without `sha256:`, and its bytes, if it says.
  static func modelLayer(ofManifest text: String) -> (digest: String, byteCount: Int?)? {
    let manifest: JSONValue
    do {
      manifest = try JSONText.parse(Array(text.utf8))
    } catch {
      // A manifest that is not JSON names no model.
      return nil
    }
    guard let layers = manifest["layers"]?.array else { return nil }
    for layer in layers where layer["mediaType"] == "application/vnd.ollama.image.model" {
      guard let digest = layer["digest"]?.string, digest.hasPrefix("sha256:") else { continue }
      let hexadecimal = String(digest.dropFirst(7))
      let size = layer["size"]?.integer.flatMap { (0..<(1 << 50)).contains($0) ? $0 : nil }
      if ModelName.isDigest(hexadecimal) { return (hexadecimal, size) }
    }
    return nil
  }

  /// The hub's cache: models--OWNER--REPO/snapshots/REVISION/FILE, a link to blobs/DIGEST.
  private func huggingFaceModels(_ root: String) -> [StoredModel] {
    var found: [String: StoredModel] = [:]
    for folder in FileTree.names(in: root) where folder.hasPrefix("models--") {
      let parts = folder.dropFirst(8).components(separatedBy: "--")
      guard parts.count == 2 else { continue }
      for file in FileTree.files(below: "\(root)/\(folder)/snapshots", depth: 4) where ModelName.isFile(file)
      {
        let path = "\(root)/\(folder)/snapshots/\(file)"
        guard let size = FileTree.modelSize(path) else { continue }
        let name = parts.joined(separator: "/") + "/" + file.drop { $0 != "/" }.dropFirst()
        let files = ModelName.parts(of: path)
        let blobs = files.compactMap { FileTree.target(of: $0)?.split(separator: "/").last.map(String.init) }
        let digests = blobs.filter(ModelName.isDigest)
        found[name] = StoredModel(
          name: name, path: path, origin: .huggingFace, byteCount: size,
          claimedDigest: digests.count == files.count ? FileDigest.ofParts(digests) : nil)
      }
    }
    return Array(found.values)
  }

  private func lmStudioModels(_ root: String) -> [StoredModel] {
    FileTree.files(below: root, depth: 4).compactMap { file in
      guard ModelName.isFile(file) else { return nil }
      let path = root + "/" + file
      return FileTree.modelSize(path).map {
        StoredModel(name: file, path: path, origin: .lmStudio, byteCount: $0, claimedDigest: nil)
      }
    }
  }
}

/// Reads directories, with bounds, because the trees on a user's disk can be arbitrary.
enum FileTree {
  private static let mostEntries = 20_000

  /// The names in a directory; none if it cannot be read.
  static func names(in directory: String) -> [String] {
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while names.count < mostEntries, let entry = readdir(stream) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// The files below a directory, as relative paths, at most `depth` levels down. Directories that
  /// are links are not followed.
  static func files(below root: String, depth: Int) -> [String] {
    var found: [String] = []
    var pending: [(String, Int)] = [("", 1)]
    var seen = 0
    while let (folder, level) = pending.popLast() {
      for name in names(in: root + "/" + folder) {
        seen += 1
        guard seen <= mostEntries else { return found }
        let relative = folder.isEmpty ? name : folder + "/" + name
        var status = stat()
        guard lstat(root + "/" + relative, &status) == 0 else { continue }
        if status.st_mode & S_IFMT == S_IFDIR {
          if level < depth { pending.append((relative, level + 1)) }
        } else {
          found.append(relative)
        }
      }
    }
    return found
  }

  /// The size of a regular file that begins like a GGUF file, or of all parts of a model of which
  /// it is the first; nil for other files, and if a part is not there.
  static func modelSize(_ path: String) -> Int? {
    let parts = ModelName.parts(of: path)
    var total = 0
    for part in parts {
      guard let size = fileSize(part) else { return nil }
      total += size
    }
    // A part under a name of its own is no model.
    return parts.count == 1 && GGUFFile.isPart(path: path) ? nil : total
  }

  private static func fileSize(_ path: String) -> Int? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    var magic = [UInt8](repeating: 0, count: 4)
    guard magic.withUnsafeMutableBytes({ read(descriptor, $0.baseAddress, 4) }) == 4,
      magic == Array("GGUF".utf8)
    else {
      return nil
    }
    return Int(status.st_size)
  }

  static func size(_ path: String) -> Int? {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : nil
  }

  /// The target of a symbolic link.
  static func target(of path: String) -> String? {
    let bytes = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
      count = buffer.withMemoryRebound(to: CChar.self) { names in
        names.baseAddress.map { max(readlink(path, $0, names.count), 0) } ?? 0
      }
    }
    return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
  }

  /// Reads a small text file.
  static func text(_ path: String, limit: Int) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: limit)
    var filled = 0
    while filled < limit {
      let count = bytes.withUnsafeMutableBytes {
        read(descriptor, $0.baseAddress?.advanced(by: filled), limit - filled)
      }
      guard count > 0 else { break }
      filled += count
    }
    return String(validating: bytes[..<filled], as: UTF8.self)
  }
}
