// KernelLevel.swift: which instruction set the kernels use. Every level gives the same bits.
// Start at choose(named:).

import CKernels
import Glibc
import Synchronization

/// An instruction set that this build has kernels for.
public enum KernelLevel: Int, Sendable, CaseIterable, Comparable {
  case scalar = 0
  case avx2 = 1
  case avx512 = 2
  case amx = 3

  var kernels: ck_level { ck_level(rawValue: UInt32(rawValue)) }

  public var name: String { String(cString: ck_level_name(kernels)) }

  public static func < (a: KernelLevel, b: KernelLevel) -> Bool { a.rawValue < b.rawValue }

  private static let tested = Mutex<[KernelLevel: Bool]>([:])

  /// Whether the machine offers the level and it reproduces the frozen digests here; tested once,
  /// on first use.
  public var isAvailable: Bool {
    Self.tested.withLock { tested in
      if let known = tested[self] { return known }
      let passes = ck_level_available(kernels) && ck_self_test(kernels)
      tested[self] = passes
      return passes
    }
  }

  /// The available levels, lowest first.
  public static var available: [KernelLevel] { allCases.filter(\.isAvailable) }

  /// The best available level, or the one that the environment's `HOTPOT_ISA` names.
  public static func fromEnvironment() throws(EngineError) -> KernelLevel {
    try choose(named: getenv("HOTPOT_ISA").map { String(cString: $0) })
  }

  /// The level of that name, which must be available; the best one for nil or an empty name.
  public static func choose(named name: String?) throws(EngineError) -> KernelLevel {
    let wanted = name.map { $0.lowercased() } ?? ""
    // The scalar level takes ten times as long to test as the others, so it is not tested if a
    // better one is available.
    let found = allCases.last { (wanted.isEmpty || $0.name == wanted) && $0.isAvailable }
    guard let found else {
      throw .levelUnavailable(found: wanted, available: available.map(\.name))
    }
    return found
  }
}
