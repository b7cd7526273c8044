// ModelOrigin.swift: where a pulled model came from, the names that follow from that, and the note
// beside the file.
//
// `.NAME.source` holds one address per line. A model gets the name of its file; if a file from
// elsewhere has that name, it gets a longer one that says where it came from. Decision 0006 has the
// reasons. Start at ModelOrigin.

import Foundation

/// One source of a file: two with the same address are the same model, and no others are known to
/// be.
struct ModelOrigin: Sendable, Equatable {
  /// The address as noted. The part after `?` is often a short-lived secret, so its digest replaces
  /// it.
  let address: String
  /// The file's name without `.gguf`.
  let shortName: String
  /// OWNER--REPO--FILE for a hub's main branch, otherwise HOST--FOLDER--FILE.
  let longName: String

  init(package model: CatalogModel) {
    address = "package:\(model.package.name)==\(model.package.version)"
    shortName = model.name
    longName = model.name
  }

  init(_ url: URL) {
    let query = url.query.flatMap { $0.isEmpty ? nil : $0 }
    let place = url.port.map { ":\($0)" } ?? ""
    let host = (url.host ?? "").lowercased()
    let base = "\(url.scheme ?? "https")://\(host)\(place)\(url.path)"
    address = base + (query.map { "?\(Self.mark(of: $0))" } ?? "")
    shortName = Self.part(ModelName.ofFile(url.lastPathComponent))
    var parts = url.path.split(separator: "/").map(String.init)
    if parts.count >= 5, parts[2] == "resolve", parts[3] == "main" {
      parts.removeSubrange(2...3)
    } else {
      parts.insert(host + place, at: 0)
    }
    if let last = parts.indices.last { parts[last] = ModelName.ofFile(parts[last]) }
    let clean = parts.map(Self.part)
    var name = clean.joined(separator: "--")
    // If two addresses could share a name, or it is too long for a file, the mark makes it unique.
    let isAmbiguous = clean != parts || query != nil || parts.contains { $0.contains("--") }
    if isAmbiguous || name.utf8.count > 100 {
      name = Self.part(String(name.suffix(90))) + "-" + Self.mark(of: address)
    }
    longName = name
  }

  /// A tag of a registry. Names cannot have its colon, so the long name has the mark.
  init(_ model: RegistryModel) {
    address = model.manifest?.absoluteString ?? "ollama:\(model.fullName)"
    shortName = Self.part(model.name + (model.tag == "latest" ? "" : "-" + model.tag))
    longName = Self.part("\(model.namespace)--\(model.name)-\(model.tag)") + "-" + Self.mark(of: address)
  }

  /// Eight hexadecimal digits that identify this source in file names.
  var mark: String { Self.mark(of: address) }

  private static func mark(of text: String) -> String { String(FileDigest.sha256(of: text).prefix(8)) }

  /// Makes a text usable as a part of a name: other characters become `_`, as does a leading dot or
  /// dash.
  private static func part(_ text: String) -> String {
    var bytes = text.utf8.prefix(110).map { byte -> UInt8 in
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2E, 0x5F, 0x2D: byte
      default: 0x5F
      }
    }
    if bytes.first == 0x2E || bytes.first == 0x2D { bytes[0] = 0x5F }
    return bytes.isEmpty ? "_" : String(decoding: bytes, as: UTF8.self)
  }
}

extension ModelStore {
  private func sourcePath(_ name: String) -> String { "\(directory)/.\(name).source" }

  /// Where the model of that name was pulled from; empty if that is not known.
  func sources(of name: String) -> [String] {
    (FileTree.text(sourcePath(name), limit: 1 << 16) ?? "").split(separator: "\n").map(String.init)
  }

  func note(_ address: String, from name: String) throws(PullError) {
    let known = sources(of: name)
    guard !known.contains(address) else { return }
    try replace(sourcePath(name), with: (known + [address]).map { $0 + "\n" }.joined())
  }

  func forgetSources(of name: String) throws(PullError) {
    let path = sourcePath(name)
    guard unlink(path) == 0 || errno == ENOENT else { throw .system("unlink", path, errno) }
  }

  /// Writes a small file atomically.
  func replace(_ path: String, with text: String) throws(PullError) {
    let new = path + ".new"
    let descriptor = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw .system("open", new, errno) }
    let bytes = Array(text.utf8)
    let count = write(descriptor, bytes, bytes.count)
    let code = count == bytes.count && fsync(descriptor) == 0 ? 0 : count < 0 ? errno : ENOSPC
    close(descriptor)
    guard code == 0 else {
      unlink(new)
      throw code == ENOSPC || code == EDQUOT || code == EFBIG
        ? .noSpace(path: path, wanted: bytes.count, free: freeBytes(of: path)) : .system("write", path, code)
    }
    guard rename(new, path) == 0 else { throw .system("rename", path, errno) }
  }
}
