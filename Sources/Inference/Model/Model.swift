// Model.swift: a GGUF file made ready to compute with: hyperparameters checked, every tensor found in its shape, and the weights
// repacked into the kernels' tiles. Leaves out the forward pass (ForwardPass.swift). Start at init(file:threads:).

import CKernels
import Synchronization

/// The weights of one decoder. Immutable after the load, shared freely between engines.
///
/// The packed copy takes the file's bits per weight; the file's own pages are given back to the system as soon as each tensor is packed,
/// so a loaded model takes the size of the file once.
public final class Model: Sendable {
  public let file: GGUFFile
  public let hyperparameters: Hyperparameters
  /// Bytes of packed weights that one token's forward pass reads, the head included and the embedding not.
  public let bytesPerToken: Int
  /// Multiplications and additions of the matrix products for one token, the head included.
  public let operationsPerToken: Int
  // Unsafe only for the compiler: written by the load, read-only ever after.
  nonisolated(unsafe) let weights: Weights
  private let region: Region
  private let digest = Mutex<[UInt8]?>(nil)

  /// `general.name` of the file; nil where it has none.
  public var name: String? {
    guard case .string(let name) = file.metadata["general.name"] else { return nil }
    return name.text
  }

  /// Maps a file, checks it and packs its weights on `threads` threads (nil: what the system allows).
  public convenience init(path: String, threads: Int? = nil) throws(ModelError) {
    let file: GGUFFile
    do { file = try GGUFFile(path: path) } catch {
      throw ModelError(file: path, problem: .file(error.problem))
    }
    try self.init(file: file, threads: threads)
  }

  public init(file: GGUFFile, threads: Int? = nil) throws(ModelError) {
    let hyperparameters = try Hyperparameters(file)
    var layout = WeightLayout(file: file, shape: hyperparameters)
    let plan = try layout.plan()
    guard let region = Region(byteCount: layout.byteCount, hugePages: true) else {
      throw ModelError(file: file.path, problem: .noMemory(bytes: layout.byteCount, purpose: "weights"))
    }
    let processors = Processors.allowed()
    let team: Team
    do {
      team = try Team(count: min(max(threads ?? processors, 1), 256), processors: processors)
    } catch {
      throw ModelError(file: file.path, problem: .noThreads("\(error)"))
    }
    layout.pack(into: region.base, team: team)
    weights = Weights(plan: plan, base: region.base)
    try weights.checkRotaryFactors(file: file.path, count: hyperparameters.rotarySize / 2)
    bytesPerToken = weights.bytesPerToken
    operationsPerToken = weights.operationsPerToken
    self.file = file
    self.hyperparameters = hyperparameters
    self.region = region
  }

  /// All packed weights, the embedding included.
  var packedBytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: region.base, count: region.count) }

  /// SHA-256 of the file's bytes; computed at the first call (about 0.1 s for 100 MB) and remembered.
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
  /// SHA-256 of all bytes of the file, through the mapping that the weights came from. Pages are given back on the way.
  func sha256() -> [UInt8] {
    var context = hp_sha256_ctx()
    hp_sha256_init(&context)
    let slice = 4 << 20
    var offset = 0
    while offset < byteCount {
      let count = min(slice, byteCount - offset)
      let bytes = bytes(at: offset, count: count)
      hp_sha256_update(&context, bytes.baseAddress, bytes.count)
      dropPages(at: offset, count: count)
      offset += count
    }
    var digest = [UInt8](repeating: 0, count: 32)
    hp_sha256_final(&context, &digest)
    return digest
  }
}
