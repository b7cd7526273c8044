// NumericsProfile.swift: the profiles of N1, as receipts name them. See hotpot-numerics(7).

import CKernels

/// Bits of the quantised activations.
public enum NumericsProfile: String, Sendable, CaseIterable {
  case a8 = "A8"
  case a12 = "A12"
  case a15 = "A15"

  /// The default profile.
  public static let standard = NumericsProfile.a15

  /// The string that stands in receipts.
  public var numericsVersion: String { "N1/\(rawValue)/KVi16" }

  /// The profile of a receipt's string; nil if this engine has none of that name.
  public init?(numericsVersion: String) {
    guard let found = NumericsProfile.allCases.first(where: { $0.numericsVersion == numericsVersion }) else {
      return nil
    }
    self = found
  }

  var kernels: ck_profile {
    switch self {
    case .a8: CK_A8
    case .a12: CK_A12
    case .a15: CK_A15
    }
  }
}
