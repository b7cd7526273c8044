// Row.swift: the rows of numbers that operations read and write, and the tensors that they take
// from the file.
// The memory behind them is each device's own. Start at Row.

import CKernels

/// A row of numbers that every token of a step has. Operations name the rows they read and write; a
/// device gives each row memory as wide as its widest use. `stream` is what layers add to; the
/// others hold values between two operations.
package enum Row: Int, CaseIterable, Sendable, BitwiseCopyable {
  /// The residual stream.
  case stream
  /// After a norm.
  case normed
  case query, key, value
  /// What attention gives, one head after the other.
  case attended
  /// The two halves of a gated feed-forward network.
  case gate, up
  /// A token's embeddings for all layers, one after the other.
  case perLayer
  /// What a product with a fused matrix gives, before it comes apart.
  case fused
  /// One number for each head of a recurrent state: how long its step is, and how much it writes.
  case step, strength
  /// What is about to be added to the stream.
  case output
  /// One number for each expert, and the experts that a token goes to with their weights.
  case router, choices
  /// What the experts that a token goes to give, where an expert that all go to writes `output`; and
  /// one number: how much of the latter.
  case mixed, share
  /// What keys and values are made of in latent attention, and the part of a key that all heads share.
  case latent, turned
  /// What heads give one by one, and heads put together of parts.
  case parts, whole
  /// One number for each token of the vocabulary.
  case logits

  package var name: String { "\(self)" }
}

/// A matrix of the file, of any type. It multiplies a row of `columns` numbers and gives one
/// of `rows`.
package struct Matrix: Hashable, Sendable, BitwiseCopyable {
  /// Index in `Program.tensors`.
  package let tensor: Int
  package let type: GGUFTensorType
  package let rows: Int
  package let columns: Int
  /// Where it begins in the packed weights.
  package let offset: Int
  /// Which row of the tensor it begins with.
  package var firstRow = 0

  /// Bytes that a token's product reads.
  package var packedBytes: Int {
    Int(ck_packed_bytes(type.kernels, UInt32(rows), UInt32(columns)))
  }

  /// Bytes of 16 packed rows.
  package var tileBytes: Int { Int(ck_tile_bytes(type.kernels, UInt32(columns))) }

  /// Some of its rows, which begin with a packed tile of 16.
  func part(_ part: Range<Int>) -> Matrix {
    Matrix(
      tensor: tensor, type: type, rows: part.count, columns: columns,
      offset: offset + part.lowerBound / Int(CK_TILE_ROWS) * tileBytes,
      firstRow: firstRow + part.lowerBound)
  }
}

/// A vector of the file, as 32-bit floats.
package struct Vector: Hashable, Sendable, BitwiseCopyable {
  /// Index in `Program.tensors`.
  package let tensor: Int
  package let count: Int
  /// Where it begins in the packed weights.
  package let offset: Int
  /// Which number of the tensor it begins with.
  package var first = 0

  /// Some of its numbers.
  func part(_ part: Range<Int>) -> Vector {
    Vector(
      tensor: tensor, count: part.count, offset: offset + part.lowerBound * MemoryLayout<Float>.size,
      first: first + part.lowerBound)
  }
}
