// ProcessorDevice+Pooling.swift: the products behind the vector of a text, on the calling thread
// alone: one row is too little to share. Making the vector is in Engine/Pooler.swift. Start at
// project.

import CKernels

extension ProcessorDevice {
  package func project(_ vector: [Float]) -> [Float]? {
    var row = vector
    for product in model.program.pooled {
      guard let next = multiply(row, product) else { return nil }
      row = next
    }
    return row
  }

  private func multiply(_ row: [Float], _ product: Multiply) -> [Float]? {
    let columns = UInt32(product.weights.columns)
    guard row.count == product.weights.columns else { return nil }
    let bytes = Int(ck_blocks_bytes(profile, columns))
    let blocks = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 64), alignment: 64)
      .bindMemory(to: UInt8.self, capacity: max(bytes, 64))
    let counters = UnsafeMutablePointer<ck_counter>.alignedToLines(capacity: 1)
    defer {
      blocks.deallocate()
      counters.deallocate()
    }
    ck_counter_set(counters, 0)
    var result = [Float](repeating: 0, count: product.weights.rows)
    let isFinite = row.withUnsafeBufferPointer { values in
      result.withUnsafeMutableBufferPointer { output -> Bool in
        guard let x = values.baseAddress, let y = output.baseAddress else { return false }
        guard ck_all_finite(level, x, columns) else { return false }
        let takesBlocks = ck_type_takes_blocks(product.weights.type.kernels)
        if takesBlocks, !ck_quantise(level, profile, x, columns, blocks) { return false }
        var input = ck_input(
          values: x, value_stride: row.count, blocks: UnsafePointer(blocks), block_stride: bytes,
          profile: profile, groups: nil, group_stride: 0)
        var work = ck_product(
          matrix: model.weights.matrix(product.weights),
          output: ck_output(
            values: y, stride: output.count, bias: product.bias.map(model.weights.floats), residual: nil,
            residual_stride: 0))
        var part = ck_division(
          tokens: 1, tokens_at_once: 1, tiles_at_once: 4, worker: 0, workers: 1, counters: counters, next: nil
        )
        ck_multiply_part(level, &work, 1, &input, &part)
        return ck_all_finite(level, y, UInt32(output.count))
      }
    }
    return isFinite ? result : nil
  }
}
