// HeadProducts.swift: the product of each head of a row with a matrix of its own (N1 item 3; DeepSeek-AI
// 2024, https://arxiv.org/abs/2405.04434, 2.1): keys and values of latent attention are never computed,
// queries and results are turned into the latent space and back instead.

package struct HeadProducts: OperationContents {
  package let from: Row
  package let into: Row
  /// One for each head; the heads of the result follow each other.
  package let matrices: ExpertMatrices
  /// Numbers from one head of the input to the next; the first of each are multiplied.
  package let stride: Int

  package var heads: Int { matrices.count }
  package var reads: [Access] { [Access(from, (heads - 1) * stride + matrices.columns)] }
  package var writes: Access { Access(into, heads * matrices.rows) }
  package var cost: ProductCost {
    let one = ProductCost(matrices[0])
    return ProductCost(
      bytes: heads * one.bytes, operations: heads * one.operations, longestInput: one.longestInput)
  }

  package func text(_ name: (Int) -> String) -> String {
    "\(into.name) = multiply each of \(heads) heads of \(from.name) by \(matrices.text(name))"
  }
}

extension Operation {
  package static func multiplyHeads(
    _ from: Row, every stride: Int, by matrices: ExpertMatrices, into: Row
  ) -> Operation {
    .headProducts(HeadProducts(from: from, into: into, matrices: matrices, stride: stride))
  }
}
