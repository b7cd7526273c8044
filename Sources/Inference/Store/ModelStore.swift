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
  public let path: String
  public let origin: Origin
  public let byteCount: Int
  /// The SHA-256 that its store claims for it, 64 hexadecimal digits; nil if it claims none.
  public let claimedDigest: String?

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
      return wanted.contains(last) || wanted.contains(ModelName.withoutSuffix(last))
    }
  }

  // MARK: Directories

  private func ownModels() -> [StoredModel] {
    // Users put files here too, under any name.
    let files = FileTree.names(in: directory).filter { ModelName.isFile($0) && !$0.hasPrefix(".") }
    let names = Dictionary(files.map { (ModelName.withoutSuffix($0), 1) }, uniquingKeysWith: +)
    return files.compactMap { file in
      let path = directory + "/" + file
      guard let size = FileTree.modelSize(path) else { return nil }
      let name = ModelName.withoutSuffix(file)
      // Beside `tiny.gguf`, `tiny.GGUF` keeps its whole name.
      let isTwin = names[name, default: 1] > 1 && !file.hasSuffix(".gguf")
      return StoredModel(
        name: isTwin ? file : name, path: path, origin: .own, byteCount: size,
        claimedDigest: digest(besideFile: file))
    }
  }

  /// The digest noted beside a model when it was pulled.
  func ownDigest(of name: String) -> String? { digest(besideFile: name + ".gguf") }

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
        let digest = Self.modelLayer(ofManifest: text)
      else { return nil }
      let path = root + "/blobs/sha256-" + digest
      guard let size = FileTree.modelSize(path) else { return nil }
      let owner = parts[1] == "library" ? "" : parts[1] + "/"
      return StoredModel(
        name: "\(owner)\(parts[2]):\(parts[3])", path: path, origin: .ollama, byteCount: size,
        claimedDigest: digest)
    }
  }

  /// The digest of the layer that holds the weights, without its `sha256:`.
  static func modelLayer(ofManifest text: String) -> String? {
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
      if ModelName.isDigest(hexadecimal) { return hexadecimal }
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
        let blob = FileTree.target(of: path)?.split(separator: "/").last.map(String.init)
        found[name] = StoredModel(
          name: name, path: path, origin: .huggingFace, byteCount: size,
          claimedDigest: blob.flatMap { ModelName.isDigest($0) ? $0 : nil })
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

/// Checks that a name must pass before it becomes part of a path.
public enum ModelName {
  /// One part of a path: letters, digits, `.`, `_`, `-`, without a leading dot or dash; 1 to 128
  /// bytes.
  public static func isPart(_ text: String) -> Bool {
    guard (1...128).contains(text.utf8.count), let first = text.utf8.first, first != 0x2E, first != 0x2D
    else {
      return false
    }
    return text.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2E, 0x5F, 0x2D: true
      default: false
      }
    }
  }

  /// Whether a file name is a model's: it ends in `.gguf` in any case, and does not name a part of
  /// a split model.
  public static func isFile(_ name: String) -> Bool {
    name.utf8.count > 5 && hasSuffix(name) && splitPart(name) == nil
  }

  /// `.gguf`, in any case: files come from systems with case-insensitive names.
  static func hasSuffix(_ name: String) -> Bool { name.suffix(5).lowercased() == ".gguf" }

  /// The name of a file without its `.gguf`, in any case.
  public static func withoutSuffix(_ name: String) -> String {
    hasSuffix(name) ? String(name.dropLast(5)) : name
  }

  /// The number and count in `NAME-00002-of-00005.gguf`; nil for any other name, and for part 1 of
  /// 1. Source: llama.cpp, `llama_split_path`: numbers count from 1 and have five digits.
  public static func splitPart(_ name: String) -> (number: Int, count: Int)? {
    let text = Array(withoutSuffix(name).utf8.suffix(15))
    // -00002-of-00005
    guard text.count == 15, text[0] == 0x2D, text[6..<10].elementsEqual("-of-".utf8) else { return nil }
    func number(_ digits: ArraySlice<UInt8>) -> Int? {
      guard digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
      return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }
    guard let part = number(text[1..<6]), let count = number(text[10..<15]), count > 1 else { return nil }
    return (part, count)
  }

  /// A SHA-256 in 64 lower-case hexadecimal digits.
  public static func isDigest(_ text: String) -> Bool {
    text.utf8.count == 64 && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
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

  /// The size of a regular file that begins like a GGUF file and is not a part of a split one; nil
  /// otherwise.
  static func modelSize(_ path: String) -> Int? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    var magic = [UInt8](repeating: 0, count: 4)
    guard magic.withUnsafeMutableBytes({ read(descriptor, $0.baseAddress, 4) }) == 4,
      magic == Array("GGUF".utf8), !GGUFFile.isPart(path: path)
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
