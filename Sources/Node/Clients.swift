// Clients.swift: who may ask, and how a bearer token names him.
// A value. Tokens are shown once and kept as SHA-256 only. Leaves out limits and money (Accounting) and where the
// list is kept (the journal). Start at ClientDirectory.identify.
import CKernels
import Foundation
import Receipts

/// Who sends a request.
public enum Identity: Sendable, Equatable {
  /// A client in the node's list.
  case known(String)
  /// Someone who brought a token of his own making: the fingerprint stands for him.
  case unknown(String)

  /// The name that rows, receipts and policies use.
  public var name: String {
    switch self {
    case .known(let name): name
    case .unknown(let fingerprint): "unknown-\(fingerprint)"
    }
  }

  public var isKnown: Bool {
    if case .known = self { true } else { false }
  }
}
