// GGUFTensorType.swift: the storage types of tensors that Hotpot computes with, and the names of
// the others.
// Not here: what the bytes of a block mean, and the list of types (CK_FLOAT_TYPES and
// CK_BLOCK_TYPES in ckernels.h).

import CKernels

/// How the elements of a tensor are stored. The raw value is the number in the file (ggml's
/// `ggml_type`).
public struct GGUFTensorType: RawRepresentable, Sendable, Hashable, CaseIterable, BitwiseCopyable {
  public let rawValue: UInt32

  /// nil if the kernels have no such type.
  public init?(rawValue: UInt32) {
    guard ck_type_supported(rawValue) else { return nil }
    self.rawValue = rawValue
  }

  /// In the order of their numbers.
  public static let allCases: [GGUFTensorType] = (0..<ck_type_end()).compactMap {
    GGUFTensorType(rawValue: $0)
  }

  var kernels: ck_type { ck_type(rawValue) }

  /// Elements in one block; a row holds a whole number of blocks.
  public var blockSize: Int { Int(ck_type_block_values(kernels)) }

  /// Bytes of one block.
  public var blockByteCount: Int { Int(ck_type_block_bytes(kernels)) }

  /// The name that ggml gives the type.
  public var name: String { String(cString: ck_type_name(kernels)) }

  /// The names of every supported type, for messages.
  public static var supportedNames: String {
    allCases.map(\.name).joined(separator: ", ")
  }

  /// The name of any type number that ggml has assigned, supported here or not; `type N` for
  /// others.
  static func describe(_ raw: UInt32) -> String {
    if let known = GGUFTensorType(rawValue: raw) { return known.name }
    return unsupportedNames[raw].map { "\($0) (type \(raw))" } ?? "type \(raw)"
  }

  // Source: enum ggml_type in ggml.h; 4, 5, 31-33 and 36-38 were withdrawn.
  private static let unsupportedNames: [UInt32: String] = [
    4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64",
    31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8",
    40: "NVFP4", 41: "Q1_0", 42: "Q2_0",
  ]
}
