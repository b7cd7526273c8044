// ProcessorDevice+HeadProducts.swift: how workers divide the products of single heads with matrices of
// their own: by head and tiles. The arithmetic is in CKernels.

import CKernels

extension ProcessorDevice {
  /// - counters: two of them
  func multiplyHeads(_ worker: Int, _ run: Run, rows n: Int, _ products: HeadProducts, counters: Int) {
    let a = run.activations
    let (from, into) = (a[products.from], a[products.into])
    let (columns, rows) = (products.matrices.columns, products.matrices.rows)
    let quantised = a.heads
    // Rows of one head follow each other, so that they are multiplied together.
    if products.matrices.takesBlocks {
      team.shareRows(worker, run.layout.counters(counters), n) { i in
        for head in 0..<products.heads {
          quantise(
            from.row(i) + head * products.stride, columns, to: head * n + i, of: quantised, together: 0,
            row: run.layout.row(at: i, of: n), worker, run)
        }
      }
      team.barrier()
    }
    let together = 4
    let parts = (rows / 16 + together - 1) / together
    team.share(worker, run.layout.counters(counters + 1), products.heads * parts) { unit in
      let head = unit / parts
      var matrix = model.weights.matrix(products.matrices[head])
      var input = input(quantised, values: from.base + head * products.stride, stride: from.stride)
      input.blocks = UnsafePointer(quantised.blocks + head * n * quantised.blockStride)
      input.groups = nil
      var output = ck_output(
        values: into.base + head * rows, stride: into.stride, bias: nil, residual: nil, residual_stride: 0)
      ck_multiply(
        level, &matrix, &input, &output,
        ck_range(
          first_tile: UInt32(unit % parts * together), tiles: UInt32(together), first_token: 0,
          tokens: UInt32(n), next: nil))
    }
  }
}
