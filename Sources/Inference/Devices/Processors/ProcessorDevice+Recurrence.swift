// ProcessorDevice+Recurrence.swift: how workers divide convolutions and recurrent states: by
// sequences, then by channels or by rows of a head's state, which never depend on one another. Each
// unit goes through all tokens of its sequence, so a prompt's bits are those of its tokens one by
// one. The arithmetic is in CKernels.

import CKernels

extension ProcessorDevice {
  /// Channels of a unit: enough to cover the cost of taking it.
  private static let channelsPerUnit = 64
  /// Rows of a unit: their part of the state stays in a core's first cache while the tokens pass.
  private static let rowsPerUnit = 32

  func convolve(
    _ worker: Int, _ layout: StepLayout, _ a: Activations, _ convolve: Convolve, _ part: KVCache.Part,
    _ counters: UnsafeMutablePointer<ck_counter>
  ) {
    let perSegment = (convolve.channels + Self.channelsPerUnit - 1) / Self.channelsPerUnit
    let weights = model.weights.floats(convolve.weights)
    let bias = convolve.bias.map(model.weights.floats)
    team.share(worker, counters, layout.segmentCount * perSegment) { index in
      let segment = layout.segments[index / perSegment]
      let first = index % perSegment * Self.channelsPerUnit
      var kernel = ck_convolution(
        x: a[convolve.row].row(segment.first) + first, stride: a[convolve.row].stride,
        tokens: UInt32(segment.count),
        channels: UInt32(min(Self.channelsPerUnit, convolve.channels - first)),
        taps: UInt32(convolve.taps), weights: weights + first * convolve.taps, bias: bias.map { $0 + first },
        activates: convolve.activates, from: segment.from < 0 ? nil : part.floats(segment.from) + first,
        into: part.floats(segment.into) + first, width: convolve.channels)
      ck_convolve(level, &kernel)
    }
  }

  func recur(
    _ worker: Int, _ layout: StepLayout, _ a: Activations, _ recur: Recur, _ part: KVCache.Part,
    _ counters: UnsafeMutablePointer<ck_counter>
  ) {
    let perHead = (recur.valueSize + Self.rowsPerUnit - 1) / Self.rowsPerUnit
    let perSegment = recur.heads * perHead
    let rates = model.weights.floats(recur.rates)
    team.share(worker, counters, layout.segmentCount * perSegment) { index in
      let segment = layout.segments[index / perSegment]
      let head = index % perSegment / perHead
      let row = index % perHead * Self.rowsPerUnit
      let key = recur.keyHead(of: head) * recur.keySize
      let value = head * recur.valueSize + row
      let matrix = value * recur.keySize
      let strengths: Activations.Buffer?
      let skip: Float
      switch recur.rule {
      case .delta(let strength): (strengths, skip) = (a[strength], 0)
      case .mamba2(let vector): (strengths, skip) = (nil, model.weights.floats(vector)[head])
      }
      var kernel = ck_recurrence(
        keys: a[recur.key].row(segment.first) + key, key_stride: a[recur.key].stride,
        queries: a[recur.query].row(segment.first) + key, query_stride: a[recur.query].stride,
        values: a[recur.value].row(segment.first) + value, value_stride: a[recur.value].stride,
        steps: a[recur.step].row(segment.first) + head, step_stride: a[recur.step].stride,
        strengths: strengths.map { UnsafePointer($0.row(segment.first) + head) },
        strength_stride: strengths?.stride ?? 0, rate: rates[head], skip: skip,
        out: a[recur.into].row(segment.first) + value, out_stride: a[recur.into].stride,
        tokens: UInt32(segment.count), rows: UInt32(min(Self.rowsPerUnit, recur.valueSize - row)),
        columns: UInt32(recur.keySize), from: segment.from < 0 ? nil : part.floats(segment.from) + matrix,
        into: part.floats(segment.into) + matrix)
      ck_recur(level, &kernel)
    }
  }
}
