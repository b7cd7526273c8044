// KernelLevel.swift: which instruction set the kernels use. Every level gives the same bits.
// Start at choose(named:).

import CKernels
import Glibc

/// An instruction set that this build has kernels for.
public enum KernelLevel: Int, Sendable, CaseIterable, Comparable {
  case scalar = 0
  case avx2 = 1
  case avx512 = 2

  var kernels: ck_level { ck_level(rawValue: UInt32(rawValue)) }

  public var name: String { String(cString: ck_level_name(kernels)) }

  public static func < (a: KernelLevel, b: KernelLevel) -> Bool { a.rawValue < b.rawValue }

  /// Those that the machine offers and that reproduce the frozen digests here; lowest first, found once.
  public static let available: [KernelLevel] = allCases.filter {
    ck_level_available($0.kernels) && ck_self_test($0.kernels)
  }

  /// The best available level, or the one that the environment's `HOTPOT_ISA` names.
  public static func fromEnvironment() throws(EngineError) -> KernelLevel {
    try choose(named: getenv("HOTPOT_ISA").map { String(cString: $0) })
  }

  /// The level of that name, which must be available; the best one for nil or an empty name.
  public static func choose(named name: String?) throws(EngineError) -> KernelLevel {
    let wanted = name.map { $0.lowercased() } ?? ""
    let found = wanted.isEmpty ? available.last : available.first { $0.name == wanted }
    guard let found else {
      throw .levelUnavailable(found: wanted, available: available.map(\.name))
    }
    return found
  }
}
