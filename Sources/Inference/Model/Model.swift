// Model.swift: a GGUF file prepared for computing: its program, and the weights repacked into the
// kernels' tiles. Running it is in Devices/. Start at init(file:threads:).

import CDigest
import CKernels
import Glibc
import Synchronization

/// The weights of one decoder. Immutable after the load, shared freely between engines.
///
/// The packed copy has the same bits per weight as the file. The file's pages are returned to the
/// system as soon as each tensor is packed, so a loaded model takes the size of the file only once.
/// A model larger than memory is refused, unless the packed copy may be in a file: then the system
/// reads what is needed and drops it again.
public final class Model: Sendable {
  public let file: GGUFFile
  package let program: Program
  /// The lengths of windows that layers attend in, each once: a sequence has a table of blocks for
  /// each.
  public let windows: [Int]
  /// Bytes of the recurrent state of one sequence; 0: the model has none.
  public var stateBytes: Int { program.states.reduce(0) { $0 + $1.bytesPerSequence } }
  /// How the file's makers made one vector of a text; nil: the model is not made for that.
  public var pooling: Pooling? { program.pooling }
  /// Whether tokens see what comes behind them: such a model reads whole texts, and generates none.
  public let readsBothWays: Bool
  /// Numbers of the vector of a text.
  public var vectorLength: Int { program.pooled.last?.weights.rows ?? hyperparameters.embeddingLength }
  /// What people should know about the file: what of it is not run.
  public var notes: [String] { program.notes }
  /// Bytes of packed weights that one token's forward pass reads, the head included and the
  /// embedding not.
  public let bytesPerToken: Int
  /// Multiplications and additions of the matrix products for one token, the head included.
  public let operationsPerToken: Int
  // Safe, though the compiler can't see it: written once while loading, read-only afterwards.
  nonisolated(unsafe) let weights: Weights
  private let region: Region
  private let digest = Mutex<[UInt8]?>(nil)

  public var hyperparameters: Hyperparameters { program.shape }

  /// Bytes of keys and values of one position, over all layers that keep every position.
  public var kvBytesPerPosition: Int { bytesPerPosition(.all) }

  /// The same for the layers whose keys and values are of that kind.
  public func bytesPerPosition(_ kind: StateKind) -> Int {
    program.states.reduce(0) { $0 + ($1.kind == kind ? $1.bytesPerPosition : 0) }
  }

  /// The operations that a file's model is computed by, as text, one a line; weights are not
  /// loaded.
  public static func listing(path: String) throws(ModelError) -> [String] {
    try Program(open(path), among: Architecture.all).lines
  }

  /// What contexts of a file's model take: the longest, and the bytes of keys and values of one of its
  /// positions. Weights are not loaded.
  public static func contexts(path: String) throws(ModelError) -> (length: Int, bytesPerPosition: Int) {
    let program = try Program(open(path), among: Architecture.all)
    return (
      program.shape.contextLength,
      program.states.reduce(0) { $0 + ($1.kind == .all ? $1.bytesPerPosition : 0) }
    )
  }

  private static func open(_ path: String) throws(ModelError) -> GGUFFile {
    do { return try GGUFFile(path: path) } catch {
      throw ModelError(file: path, problem: .file(error.problem))
    }
  }

  /// `general.name` of the file; nil if it has none.
  public var name: String? {
    guard case .string(let name) = file.metadata["general.name"] else { return nil }
    return name.text
  }

  /// Maps a file, checks it and packs its weights on `threads` threads (nil: what the system
  /// allows).
  /// - isMapped: whether the packed weights are in a file instead of memory
  public convenience init(path: String, threads: Int? = nil, isMapped: Bool = false) throws(ModelError) {
    try self.init(file: Model.open(path), threads: threads, isMapped: isMapped)
  }

  public convenience init(file: GGUFFile, threads: Int? = nil, isMapped: Bool = false) throws(ModelError) {
    let own = file.path.lastIndex(of: "/").map { String(file.path[..<$0]) } ?? "."
    try self.init(
      file: file, threads: threads, among: Architecture.all,
      folders: isMapped ? [own.isEmpty ? "/" : own, "/var/tmp"] : [])
  }

  /// - architectures: those to choose from; tests pass made-up ones.
  /// - available: bytes of memory that may be used; nil: unknown
  /// - folders: where a file may hold the packed weights, the first that has room; none: they are in
  ///   memory
  package init(
    file: GGUFFile, threads: Int? = nil, among architectures: [Architecture],
    available: Int? = Memory.available(), folders: [String] = []
  ) throws(ModelError) {
    let program = try Program(file, among: architectures)
    if folders.isEmpty, let available, program.packedByteCount > available {
      throw ModelError(
        file: file.path, problem: .tooLarge(bytes: program.packedByteCount, available: available))
    }
    let region = try Model.region(program.packedByteCount, in: folders, for: file.path)
    let processors = Processors.allowed()
    let team: Team
    do {
      team = try Team(count: min(max(threads ?? processors, 1), 256), processors: processors)
    } catch {
      throw ModelError(file: file.path, problem: .noThreads("\(error)"))
    }
    program.pack(file, into: region.base, team: team)
    weights = Weights(base: region.base)
    try program.checkRotaryFactors(weights, file: file.path)
    bytesPerToken = program.bytesPerToken
    operationsPerToken = program.operationsPerToken
    self.file = file
    self.program = program
    readsBothWays = program.readsBothWays
    windows = program.kinds.compactMap { kind in
      switch kind {
      case .all, .slot: nil
      case .window(let length): length
      }
    }
    self.region = region
  }

  private static func region(_ size: Int, in folders: [String], for file: String) throws(ModelError) -> Region
  {
    guard let first = folders.first else {
      guard let region = Region(byteCount: size, hugePages: true) else {
        throw ModelError(file: file, problem: .noMemory(bytes: size, purpose: "weights"))
      }
      return region
    }
    var number: Int32 = 0
    for folder in folders {
      do throws(Region.FileProblem) {
        return try Region(byteCount: size, folder: folder)
      } catch {
        if folder == first { number = error.number }
      }
    }
    throw ModelError(
      file: file,
      problem: .noDisk(bytes: size, folder: first, reason: String(cString: strerror(number))))
  }

  /// All packed weights, the embedding included.
  var packedBytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: region.base, count: region.count) }

  /// SHA-256 of the file's bytes, or of its parts' digests (`FileDigest.ofParts`); computed at the
  /// first call (about 0.1 s for 100 MB) and remembered.
  public func fileDigest() -> [UInt8] {
    digest.withLock { known in
      if let known { return known }
      let computed = file.sha256()
      known = computed
      return computed
    }
  }
}

extension GGUFFile {
  /// SHA-256 of all bytes of the file, through the mapping that the weights came from; of several
  /// parts, that of their digests. Pages are returned to the system on the way.
  func sha256() -> [UInt8] {
    FileDigest.bytes(hexadecimal: FileDigest.ofParts(parts.map { FileDigest.hexadecimal(sha256(of: $0)) }))
  }

  private func sha256(of part: Part) -> [UInt8] {
    var context = hp_sha256_ctx()
    hp_sha256_init(&context)
    let slice = 4 << 20
    var offset = 0
    while offset < part.byteCount {
      let count = min(slice, part.byteCount - offset)
      let bytes = part.mapping.bytes(at: offset, count: count)
      hp_sha256_update(&context, bytes.baseAddress, bytes.count)
      part.mapping.dropPages(at: offset, count: count)
      offset += count
    }
    var digest = [UInt8](repeating: 0, count: 32)
    hp_sha256_final(&context, &digest)
    return digest
  }
}
