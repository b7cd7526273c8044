// KernelRecurrenceTests.swift: convolutions and recurrent states: the twin against a plain
// definition in binary64, every level against the twin, and any division against the whole.

import CKernels
import Foundation
import Testing

@Suite struct KernelRecurrenceTests {
  /// A convolution and its memory, which outlives the calls.
  private final class Convolution {
    let channels: Int
    let taps: Int
    let tokens: Int
    let x: [Float]
    let weights: [Float]
    let bias: [Float]?
    let before: [Float]?
    let activates: Bool

    init(_ stream: inout KernelStream) {
      channels = 16 * (1 + Int(stream.word() % 5))
      taps = 2 + Int(stream.word() % 7)
      tokens = 1 + Int(stream.word() % 9)
      func floats(_ count: Int, _ stream: inout KernelStream) -> [Float] {
        (0..<count).map { _ in stream.float() }
      }
      x = floats(tokens * channels, &stream)
      weights = floats(channels * taps, &stream)
      bias = stream.word() % 2 == 0 ? floats(channels, &stream) : nil
      before = stream.word() % 2 == 0 ? floats((taps - 1) * channels, &stream) : nil
      activates = stream.word() % 2 == 0
    }

    /// The rows and the columns that remain; `chunk` tokens a call.
    func run(_ level: ck_level, chunk: Int) -> [UInt32] {
      var rows = x
      var columns = before ?? [Float](repeating: .nan, count: (taps - 1) * channels)
      let hasBefore = before != nil
      rows.withUnsafeMutableBufferPointer { rows in
        columns.withUnsafeMutableBufferPointer { columns in
          guard let base = rows.baseAddress, let kept = columns.baseAddress else { return }
          for first in stride(from: 0, to: tokens, by: chunk) {
            weights.withUnsafeBufferPointer { weights in
              guard let taken = weights.baseAddress else { return }
              func call(_ bias: UnsafePointer<Float>?) {
                var convolution = ck_convolution(
                  x: base + first * channels, stride: channels, tokens: UInt32(min(chunk, tokens - first)),
                  channels: UInt32(channels), taps: UInt32(taps), weights: taken, bias: bias,
                  activates: activates, from: first > 0 || hasBefore ? UnsafePointer(kept) : nil, into: kept,
                  width: channels)
                ck_convolve(level, &convolution)
              }
              if let bias { bias.withUnsafeBufferPointer { call($0.baseAddress) } } else { call(nil) }
            }
          }
        }
      }
      return kernelBits(rows + columns)
    }

    /// The rows, in binary64.
    var exact: [Double] {
      let all = (before ?? [Float](repeating: 0, count: (taps - 1) * channels)) + x
      return (0..<(tokens * channels)).map { at in
        let channel = at % channels
        var sum = 0.0
        for tap in 0..<taps {
          sum += Double(weights[channel * taps + tap]) * Double(all[at + tap * channels])
        }
        sum += Double(bias?[channel] ?? 0)
        return activates ? sum / (1 + exp(-sum)) : sum
      }
    }
  }

  @Test func `a convolution is what it is defined as, at every level and in any chunks`() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var stream = KernelStream(seed)
    for _ in 0..<60 {
      let convolution = Convolution(&stream)
      let whole = convolution.run(CK_SCALAR, chunk: convolution.tokens)
      for (bits, exact) in zip(whole, convolution.exact) {
        #expect(abs(Double(Float(bitPattern: bits)) - exact) <= 1e-4 * (1 + abs(exact)), "seed \(seed)")
      }
      for level in kernelLevels {
        for chunk in [1, 3, 64] {
          let isEqual = convolution.run(level, chunk: chunk) == whole
          #expect(isEqual, "level \(level.rawValue), chunks of \(chunk), seed \(seed)")
        }
      }
    }
  }

  /// One head's state and what goes through it.
  private struct Recurrence {
    let rows: Int
    let columns: Int
    let tokens: Int
    let isDelta: Bool
    let keys: [Float]
    let queries: [Float]
    let values: [Float]
    let steps: [Float]
    let strengths: [Float]
    let before: [Float]?
    let rate: Float = -0.6
    let skip: Float = 0.7

    init(_ stream: inout KernelStream) {
      func floats(_ count: Int, _ stream: inout KernelStream, _ scale: Float = 1) -> [Float] {
        (0..<count).map { _ in stream.float() * scale }
      }
      rows = 1 + Int(stream.word() % 11)
      columns = 16 * (1 + Int(stream.word() % 8))
      tokens = 1 + Int(stream.word() % 140)
      isDelta = stream.word() % 2 == 0
      // Keys of length 1 at most keep the state bounded.
      keys = floats(tokens * columns, &stream, 0.5 / Float(columns).squareRoot())
      queries = floats(tokens * columns, &stream)
      values = floats(tokens * rows, &stream)
      steps = floats(tokens, &stream).map { abs($0) }
      strengths = floats(tokens, &stream)
      before = stream.word() % 2 == 0 ? floats(rows * columns, &stream) : nil
    }

    /// What is read and the state that remains; some rows and some tokens a call.
    func run(_ level: ck_level, rowsAtOnce: Int, chunk: Int) -> [UInt32] {
      var out = [Float](repeating: .nan, count: tokens * rows)
      var state = [Float](repeating: .nan, count: rows * columns)
      withUnsafePointers(&out, &state) { out, state, inputs, before in
        for row in stride(from: 0, to: rows, by: rowsAtOnce) {
          for first in stride(from: 0, to: tokens, by: chunk) {
            let at = row * columns
            var recurrence = ck_recurrence(
              keys: inputs[0] + first * columns, key_stride: columns, queries: inputs[1] + first * columns,
              query_stride: columns, values: inputs[2] + first * rows + row, value_stride: rows,
              steps: inputs[3] + first, step_stride: 1, strengths: isDelta ? inputs[4] + first : nil,
              strength_stride: 1, rate: rate, skip: skip, out: out + first * rows + row, out_stride: rows,
              tokens: UInt32(min(chunk, tokens - first)), rows: UInt32(min(rowsAtOnce, rows - row)),
              columns: UInt32(columns), from: first > 0 ? UnsafePointer(state + at) : before.map { $0 + at },
              into: state + at)
            ck_recur(level, &recurrence)
          }
        }
      }
      return kernelBits(out + state)
    }

    private func withUnsafePointers(
      _ out: inout [Float], _ state: inout [Float],
      _ body: (
        UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>, [UnsafePointer<Float>],
        UnsafePointer<Float>?
      ) -> Void
    ) {
      let lists = [keys, queries, values, steps, strengths, before ?? []].map { list in
        let memory = UnsafeMutablePointer<Float>.allocate(capacity: max(list.count, 1))
        memory.initialize(from: list, count: list.count)
        return memory
      }
      defer { for list in lists { list.deallocate() } }
      out.withUnsafeMutableBufferPointer { out in
        state.withUnsafeMutableBufferPointer { state in
          guard let out = out.baseAddress, let state = state.baseAddress else { return }
          body(
            out, state, lists.prefix(5).map { UnsafePointer($0) }, before.map { _ in UnsafePointer(lists[5]) }
          )
        }
      }
    }

    /// What is read, in binary64.
    var exact: [Double] {
      var out = [Double](repeating: 0, count: tokens * rows)
      for row in 0..<rows {
        var m = (0..<columns).map { Double(before?[row * columns + $0] ?? 0) }
        for token in 0..<tokens {
          let key = keys[(token * columns)..<((token + 1) * columns)].map(Double.init)
          let query = queries[(token * columns)..<((token + 1) * columns)].map(Double.init)
          let (value, step) = (Double(values[token * rows + row]), Double(steps[token]))
          m = m.map { $0 * exp(step * Double(rate)) }
          let known = zip(m, key).reduce(0) { $0 + $1.0 * $1.1 }
          let share = 1 / (1 + exp(-Double(strengths[token])))
          let change = isDelta ? (value - known) * share : value * step
          m = zip(m, key).map { $0 + $1 * change }
          let read = zip(m, query).reduce(0) { $0 + $1.0 * $1.1 }
          out[token * rows + row] = isDelta ? read : read + Double(skip) * value
        }
      }
      return out
    }
  }

  @Test func `a recurrent state is what it is defined as, at every level and however it is divided`() {
    let seed = UInt64.random(in: 0...UInt64.max)
    var stream = KernelStream(seed)
    for _ in 0..<40 {
      let recurrence = Recurrence(&stream)
      let whole = recurrence.run(CK_SCALAR, rowsAtOnce: recurrence.rows, chunk: recurrence.tokens)
      for (bits, exact) in zip(whole, recurrence.exact) {
        #expect(abs(Double(Float(bitPattern: bits)) - exact) <= 2e-4 * (1 + abs(exact)), "seed \(seed)")
      }
      for level in kernelLevels {
        for (rows, chunk) in [(32, 512), (4, 7), (3, 1)] {
          let isEqual = recurrence.run(level, rowsAtOnce: rows, chunk: chunk) == whole
          #expect(isEqual, "level \(level.rawValue), \(rows) rows, chunks of \(chunk), seed \(seed)")
        }
      }
    }
  }
}
