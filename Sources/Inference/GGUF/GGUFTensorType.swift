// GGUFTensorType.swift: the storage types of tensors that Hotpot computes with, and the names of the others.
// Leaves out what the bytes of a block mean: that is the kernels' matter.

/// How the elements of a tensor are stored. The raw value is the number in the file (ggml's `ggml_type`).
public enum GGUFTensorType: UInt32, Sendable, Hashable, CaseIterable, BitwiseCopyable {
  case f32 = 0
  case f16 = 1
  case q40 = 2
  case q41 = 3
  case q50 = 6
  case q51 = 7
  case q80 = 8
  case q2K = 10
  case q3K = 11
  case q4K = 12
  case q5K = 13
  case q6K = 14
  case iq4NL = 20
  case iq4XS = 23
  case bf16 = 30

  /// Elements in one block; a row holds a whole number of blocks.
  public var blockSize: Int {
    switch self {
    case .f32, .f16, .bf16: 1
    case .q40, .q41, .q50, .q51, .q80, .iq4NL: 32
    case .q2K, .q3K, .q4K, .q5K, .q6K, .iq4XS: 256
    }
  }

  /// Bytes of one block.
  public var blockByteCount: Int {
    switch self {
    case .f32: 4
    case .f16, .bf16: 2
    case .q40, .iq4NL: 18
    case .q41: 20
    case .q50: 22
    case .q51: 24
    case .q80: 34
    case .q2K: 84
    case .q3K: 110
    case .q4K: 144
    case .q5K: 176
    case .q6K: 210
    case .iq4XS: 136
    }
  }

  /// The name that ggml gives the type.
  public var name: String {
    switch self {
    case .f32: "F32"
    case .f16: "F16"
    case .bf16: "BF16"
    case .q40: "Q4_0"
    case .q41: "Q4_1"
    case .q50: "Q5_0"
    case .q51: "Q5_1"
    case .q80: "Q8_0"
    case .q2K: "Q2_K"
    case .q3K: "Q3_K"
    case .q4K: "Q4_K"
    case .q5K: "Q5_K"
    case .q6K: "Q6_K"
    case .iq4NL: "IQ4_NL"
    case .iq4XS: "IQ4_XS"
    }
  }

  /// The names of every supported type, for messages.
  public static var supportedNames: String {
    allCases.map(\.name).joined(separator: ", ")
  }

  /// The name of any type number that ggml has given out, supported here or not; `type N` for others.
  static func describe(_ raw: UInt32) -> String {
    if let known = GGUFTensorType(rawValue: raw) { return known.name }
    return unsupportedNames[raw].map { "\($0) (type \(raw))" } ?? "type \(raw)"
  }

  // Source: enum ggml_type in ggml.h; 4, 5, 31-33 and 36-38 were withdrawn.
  private static let unsupportedNames: [UInt32: String] = [
    4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S",
    21: "IQ3_S", 22: "IQ2_S", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M",
    31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8", 34: "TQ1_0", 35: "TQ2_0", 36: "IQ4_NL_4_4",
    37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8", 39: "MXFP4", 40: "NVFP4", 41: "Q1_0", 42: "Q2_0",
  ]
}
