// SelfTestTests.swift: the start-up self-test as data: a device that divides work in a way of its
// own passes, and one that rounds one product wrongly does not.

import CKernels
import Testing

@Suite struct SelfTestTests {
  /// A device that computes with a level of the kernels, one token and one tile at a time.
  private struct OneByOne {
    var level: ck_level
    /// Whether the last bit of one product is wrong.
    var isWrong = false
  }

  private func passes(_ device: OneByOne) -> Bool {
    var device = device
    let level = device.level
    return withUnsafeMutableBytes(of: &device) { context in
      var tested = ck_tested(
        context: context.baseAddress,
        quantise: { context, profile, x, count, v, d, s in
          let blocks = KernelMemory(ck_blocks_bytes(profile, count))
          guard let level = SelfTestTests.device(context)?.level,
            ck_quantise(level, profile, x, count, blocks.base)
          else { return false }
          for block in 0..<count / 32 {
            let at = Int(block)
            ck_blocks_read(level, profile, blocks.base, block, v + 32 * at, d + at, s + at)
          }
          return true
        },
        product: { context, product, out in
          guard let device = SelfTestTests.device(context) else { return false }
          return SelfTestTests.multiply(device, product.pointee, out)
        },
        function: { context, function, x, n, y in
          guard let level = SelfTestTests.device(context)?.level else { return false }
          for i in 0..<Int(n) {
            switch function {
            case CK_TEST_EXP: ck_exp(level, x + i, 1, y + i)
            case CK_TEST_SILU: ck_silu(level, x + i, 1, y + i)
            case CK_TEST_TANH: ck_tanh(level, x + i, 1, y + i)
            case CK_TEST_ADD: ck_add(level, x + i, 1, y + i)
            case CK_TEST_SIGMOID_TIMES: ck_sigmoid_times(level, x + i, 1, y + i)
            case CK_TEST_SOFTPLUS: ck_softplus(level, x + i, 1, y + i)
            default: return false
            }
          }
          return true
        },
        norm: { context, x, weight, n, epsilon, y in
          guard let level = SelfTestTests.device(context)?.level else { return false }
          ck_rms_norm(level, x, weight, n, epsilon, y)
          return true
        },
        rope: { context, style, x, heads, size, pairs, table in
          guard let level = SelfTestTests.device(context)?.level else { return false }
          for head in 0..<Int(heads) { ck_rope(level, style, x + head * Int(size), 1, size, pairs, table) }
          return true
        },
        store: { context, key, value, size, keyPage, valuePage, slot in
          guard let level = SelfTestTests.device(context)?.level else { return false }
          ck_store_kv(level, key, value, 1, size, keyPage, valuePage, slot)
          return true
        },
        unit: { context, x, n, epsilon, scale, y in
          guard let level = SelfTestTests.device(context)?.level else { return false }
          ck_unit(level, x, n, epsilon, scale, y)
          return true
        },
        convolve: { context, convolution in
          guard let level = SelfTestTests.device(context)?.level else { return false }
          let all = convolution.pointee
          for token in 0..<all.tokens {
            var one = all
            one.x += Int(token) * all.stride
            one.tokens = 1
            if token > 0 { one.from = UnsafePointer(all.into) }
            ck_convolve(level, &one)
          }
          return true
        },
        recur: { context, recurrence in
          guard let level = SelfTestTests.device(context)?.level else { return false }
          let all = recurrence.pointee
          for token in 0..<Int(all.tokens) {
            for row in 0..<Int(all.rows) {
              var one = all
              one.keys += token * all.key_stride
              one.queries += token * all.query_stride
              one.values += token * all.value_stride + row
              one.steps += token * all.step_stride
              one.strengths = all.strengths.map { $0 + token * all.strength_stride }
              one.out += token * all.out_stride + row
              one.tokens = 1
              one.rows = 1
              one.into += row * Int(all.columns)
              one.from = token > 0 ? UnsafePointer(one.into) : all.from.map { $0 + row * Int(all.columns) }
              ck_recur(level, &one)
            }
          }
          return true
        },
        attend: { context, attention in
          guard let level = SelfTestTests.device(context)?.level else { return false }
          let all = attention.pointee
          let scratch = KernelMemory(
            ck_attention_scratch(all.first_position + all.tokens, all.head_size, all.group))
          for token in 0..<all.tokens {
            var one = all
            one.queries += Int(token) * all.query_stride
            one.out += Int(token) * all.out_stride
            one.first_position += token
            one.tokens = 1
            ck_attend(level, &one, scratch.base)
          }
          return true
        },
        selection: level)
      return ck_self_test_passes(&tested)
    }
  }

  private static func device(_ context: UnsafeMutableRawPointer?) -> OneByOne? {
    context?.load(as: OneByOne.self)
  }

  private static func multiply(
    _ device: OneByOne, _ product: ck_test_product, _ out: UnsafeMutablePointer<Float>
  ) -> Bool {
    let packed = KernelMemory(ck_packed_bytes(product.type, product.rows, product.cols))
    let tiles = ck_tile_count(product.rows)
    ck_pack(product.type, product.weights, product.rows, product.cols, 0, tiles, packed.base)
    var matrix = ck_matrix(
      data: packed.bound(UInt8.self), type: product.type, rows: product.rows, cols: product.cols)
    let blocks = KernelMemory(ck_blocks_bytes(product.profile, product.cols))
    for token in 0..<Int(product.tokens) {
      let x = product.x + token * Int(product.cols)
      guard ck_quantise(device.level, product.profile, x, product.cols, blocks.base) else { return false }
      var input = ck_input(
        values: x, value_stride: Int(product.cols), blocks: blocks.bound(UInt8.self),
        block_stride: ck_blocks_bytes(product.profile, product.cols), profile: product.profile, groups: nil,
        group_stride: 0)
      let rows = Int(product.rows)
      var output = ck_output(
        values: out + token * rows, stride: rows, bias: product.bias,
        residual: product.residual.map { $0 + token * rows }, residual_stride: rows)
      for tile in 0..<tiles {
        let range = ck_range(first_tile: tile, tiles: 1, first_token: 0, tokens: 1, next: nil)
        if product.gated {
          ck_multiply_gated(device.level, &matrix, &matrix, &input, &output, range)
        } else {
          ck_multiply(device.level, &matrix, &input, &output, range)
        }
      }
    }
    if device.isWrong, product.type == CK_Q6_K, product.profile == CK_A12 { out[0] = out[0].nextUp }
    return true
  }

  @Test(arguments: kernelLevels) func `a device that computes one by one passes, and one wrong bit does not`(
    _ level: ck_level
  ) {
    #expect(passes(OneByOne(level: level)))
    #expect(!passes(OneByOne(level: level, isWrong: true)))
  }

  @Test(arguments: kernelLevels) func `every part by itself gives its frozen digest`(_ level: ck_level) {
    for index in 0..<ck_test_part_count() {
      let part = ck_test_part_at(index)
      let found = ck_self_test_part_digest(level, part)
      #expect(
        found == part.pointee.frozen,
        "\(String(cString: part.pointee.name)) gives 0x\(String(found, radix: 16))")
    }
  }
}
