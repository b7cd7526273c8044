// ProcessorDevice+Experts.swift: how workers divide the products of experts. Rows are grouped by
// expert, so that each expert's weights are read once, and those of experts that no row goes to not
// at all. The arithmetic is in CKernels. Start at experts(_:_:rows:_:addedTo:counters:).

import CKernels
import Glibc

extension ProcessorDevice {
  func route(_ route: Route, _ logits: UnsafePointer<Float>, into choices: UnsafeMutablePointer<Float>) {
    let gating =
      switch route.gating {
      case .softmax: CK_GATING_SOFTMAX
      case .sigmoid: CK_GATING_SIGMOID
      case .softmaxOfChosen: CK_GATING_SOFTMAX_OF_CHOSEN
      }
    var router = ck_router(
      experts: UInt32(route.experts), chosen: UInt32(route.chosen), gating: gating,
      bias: route.bias.map(model.weights.floats), groups: UInt32(route.groups?.count ?? 0),
      groups_chosen: UInt32(route.groups?.chosen ?? 0), normalises: route.isNormalised, scale: route.scale,
      factors: route.factors.map(model.weights.floats))
    ck_route(level, &router, logits, choices)
  }

  /// The first products of every expert that has rows, their activation, then the down products,
  /// added up by ascending expert.
  /// - counters: four of them
  func experts(
    _ worker: Int, _ run: Run, rows n: Int, _ experts: Experts, addedTo sum: Row?, counters: Int
  ) {
    let a = run.activations
    guard let memory = a.experts else { preconditionFailure("a schedule with experts has their memory") }
    func counter(_ index: Int) -> UnsafeMutablePointer<ck_counter> { run.layout.counters(counters + index) }
    let places = memory.places + worker
    let choices = a[experts.choices]
    ck_place_choices(
      choices.base, choices.stride, UInt32(n), UInt32(experts.chosen), UInt32(experts.count), places)

    let isGathered = n > ProcessorDevice.fewTokens || experts.weighting == .input
    let input: ck_input
    if isGathered {
      gather(worker, run, counter(0), rows: n, experts, memory)
      input = self.input(memory.input, values: memory.values.base, stride: memory.values.stride)
    } else {
      input = prepare(
        worker, run, counter(0), rows: n, .init(row: experts.from, norm: nil), columns: experts.columns,
        takesBlocks: experts.multipliesBlocks)
    }
    openExperts(worker, counter(1), experts, memory, input, isGathered: isGathered)
    team.barrier()
    let pairs = n * experts.chosen
    if experts.down.takesBlocks {
      team.shareRows(worker, counter(2), pairs) { place in
        let row = run.layout.row(at: Int(places.pointee.tokens[place]), of: n)
        quantise(
          memory.opened.row(place), experts.width, to: place, of: memory.hidden, together: pairs, row: row,
          worker, run)
      }
      team.barrier()
    }
    closeExperts(worker, counter(3), rows: n, experts, memory, a, addedTo: sum)
  }

  /// Puts each row at the places of its experts. It ends with a barrier.
  private func gather(
    _ worker: Int, _ run: Run, _ counters: UnsafeMutablePointer<ck_counter>, rows n: Int,
    _ experts: Experts, _ memory: ExpertActivations
  ) {
    let (columns, chosen) = (experts.columns, experts.chosen)
    let from = run.activations[experts.from]
    let (places, weights) = (memory.places[worker].of_token, memory.places[worker].weights)
    let pairs = n * chosen
    team.shareRows(worker, counters, n) { i in
      let own = UnsafeBufferPointer(start: places + i * chosen, count: chosen)
      let row = run.layout.row(at: i, of: n)
      switch experts.weighting {
      case .input:
        for place in own.map(Int.init) {
          let values = memory.values.row(place)
          values.update(from: from.row(i), count: columns)
          ck_scale(weights[place], UInt32(columns), values)
          if experts.multipliesBlocks {
            quantise(values, columns, to: place, of: memory.input, together: pairs, row: row, worker, run)
          }
        }
      case .output:
        let first = Int(own[0])
        if experts.multipliesBlocks {
          quantise(from.row(i), columns, to: first, of: memory.input, together: pairs, row: row, worker, run)
        }
        for place in own.map(Int.init) {
          if experts.multipliesNumbers {
            memory.values.row(place).update(from: from.row(i), count: columns)
          }
          guard experts.multipliesBlocks, place != first else { continue }
          let stride = memory.input.blockStride
          memcpy(memory.input.blocks + place * stride, memory.input.blocks + first * stride, stride)
          group(place, columns, of: memory.input, together: pairs)
        }
      }
    }
    team.barrier()
  }

  /// The first products, activated: rows are places.
  /// - input: its rows are places too if `isGathered`, otherwise tokens
  private func openExperts(
    _ worker: Int, _ counters: UnsafeMutablePointer<ck_counter>, _ experts: Experts,
    _ memory: ExpertActivations, _ input: ck_input, isGathered: Bool
  ) {
    let places = memory.places[worker]
    let tiles = (experts.width + 15) / 16
    let together = isGathered ? 4 : tilesTogether(experts.up)
    let parts = (tiles + together - 1) / together
    let count = Int(places.busy) * parts
    team.share(worker, counters, count) { unit, isLast in
      let expert = Int(places.experts[unit / parts])
      let first = unit % parts * together
      let columns = first * 16..<min(experts.width, (first + together) * 16)
      var up = model.weights.matrix(experts.up[expert])
      let ups = up.data + first * ck_tile_bytes(up.type, up.cols)
      var next: UnsafePointer<UInt8>?
      if !isLast, unit + 1 < count {
        let following = (unit + 1) % parts * together
        let matrix = (experts.gate ?? experts.up)[Int(places.experts[(unit + 1) / parts])]
        next = model.weights.matrix(matrix).data + following * matrix.tileBytes
      }
      var place = Int(places.first[expert])
      let end = Int(places.first[expert + 1])
      while place < end {
        let run = isGathered ? end - place : consecutive(places, from: place, to: end)
        let token = Int(places.tokens[place])
        var source = input
        if !isGathered {
          source.values = input.values.map { $0 + token * input.value_stride }
          source.blocks = input.blocks.map { $0 + token * input.block_stride }
          source.groups = nil
        }
        // Rows of gathered input have the numbers of their places, because 16 of them share a group.
        let base = isGathered ? 0 : place
        func multiply(
          _ matrix: inout ck_matrix, _ bias: Vector?, into buffer: Activations.Buffer,
          next: UnsafePointer<UInt8>?
        ) {
          var output = ck_output(
            values: buffer.row(base), stride: buffer.stride,
            bias: bias.map { model.weights.floats($0) + expert * experts.width }, residual: nil,
            residual_stride: 0)
          ck_multiply(
            level, &matrix, &source, &output,
            ck_range(
              first_tile: UInt32(first), tiles: UInt32(together), first_token: UInt32(place - base),
              tokens: UInt32(run), next: next))
        }
        switch experts.hidden {
        case .gated(let matrices, let bias, let activation):
          var gate = model.weights.matrix(matrices[expert])
          multiply(&gate, bias, into: memory.opened, next: ups)
          multiply(&up, experts.upBias, into: memory.up, next: next)
          for row in place..<(place + run) {
            activate(
              activation, memory.opened.row(row) + columns.lowerBound,
              times: memory.up.row(row) + columns.lowerBound, count: columns.count)
          }
        case .plain(let activation):
          multiply(&up, experts.upBias, into: memory.opened, next: next)
          for row in place..<(place + run) {
            activate(activation, memory.opened.row(row) + columns.lowerBound, count: columns.count)
          }
        }
        place += run
      }
    }
  }

  /// How many places from the first on belong to consecutive tokens.
  private func consecutive(_ places: ck_places, from first: Int, to end: Int) -> Int {
    var count = 1
    while first + count < end, places.tokens[first + count] == places.tokens[first] + UInt32(count) {
      count += 1
    }
    return count
  }

  /// The down products, each times its weight, added up for each row by ascending expert. A unit
  /// is some columns of all rows, so that no sum is divided.
  private func closeExperts(
    _ worker: Int, _ counters: UnsafeMutablePointer<ck_counter>, rows n: Int, _ experts: Experts,
    _ memory: ExpertActivations, _ a: Activations, addedTo sum: Row?
  ) {
    let places = memory.places[worker]
    var input = input(memory.hidden, values: memory.opened.base, stride: memory.opened.stride)
    let target = a[experts.into]
    let tiles = (experts.down.rows + 15) / 16
    let together =
      n > ProcessorDevice.fewTokens
      ? min(max(tiles / (team.active * 4), 1), 4) : tilesTogether(experts.down)
    let parts = (tiles + together - 1) / together
    let busy = Int(places.busy)
    team.share(worker, counters, parts) { part, isLast in
      let first = part * together
      let columns = first * 16..<min(experts.down.rows, (first + together) * 16)
      for row in 0..<n {
        (target.row(row) + columns.lowerBound).update(repeating: 0, count: columns.count)
      }
      for index in 0..<busy {
        let expert = Int(places.experts[index])
        let first = first
        var matrix = model.weights.matrix(experts.down[expert])
        var next: UnsafePointer<UInt8>?
        if index + 1 < busy || !isLast {
          let following = experts.down[Int(places.experts[(index + 1) % busy])]
          let tile = index + 1 < busy ? first : min(first + together, tiles - 1)
          next = model.weights.matrix(following).data + tile * following.tileBytes
        }
        let place = places.first[expert]
        ck_multiply_expert(
          level, &matrix, &input,
          experts.downBias.map { model.weights.floats($0) + expert * experts.down.rows }, places.tokens,
          experts.weighting == .output ? UnsafePointer(places.weights) : nil, target.base, target.stride,
          ck_range(
            first_tile: UInt32(first), tiles: UInt32(together), first_token: place,
            tokens: places.first[expert + 1] - place, next: next))
      }
      guard let sum else { return }
      for row in 0..<n {
        ck_add(
          level, target.row(row) + columns.lowerBound, UInt32(columns.count),
          a[sum].row(row) + columns.lowerBound)
      }
    }
  }

  /// How many tiles a unit has for few tokens: enough bytes to cover the memory's latency.
  private func tilesTogether(_ matrices: ExpertMatrices) -> Int {
    guard matrices.takesBlocks else { return 4 }
    return min(max(ProcessorDevice.streamedBytes / max(matrices.all.tileBytes, 1), 1), 4)
  }
}
