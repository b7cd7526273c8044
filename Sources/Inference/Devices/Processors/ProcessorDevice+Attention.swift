// ProcessorDevice+Attention.swift: how workers divide attention: by heads and queries, or, if few
// long sequences are decoded, by positions. The arithmetic is in CKernels. Start at
// attend(_:_:_:_:counters:).

import CKernels

extension ProcessorDevice {
  /// One attention of the program, and where its keys and values are.
  struct Attention: BitwiseCopyable {
    let attend: Attend
    let part: KVCache.Part
    let units: UnsafeBufferPointer<StepLayout.AttentionUnit>
    /// The operations on heads of queries, keys and values before it.
    let turns: UnsafeBufferPointer<Schedule.Turn>
  }

  /// Rotates queries and keys (and applies other operations on heads), stores keys and values, then
  /// computes softmax(q k) v.
  /// - counters: three of them
  func attend(_ worker: Int, _ layout: StepLayout, _ a: Activations, _ attention: Attention, counters: Int) {
    let attend = attention.attend
    // The kernels that share positions support neither windows and chunks, which bound the positions
    // anyway, nor sinks.
    let isPlain =
      attend.window == nil && attend.chunk == nil && attend.sinks == nil && !attend.isBothWays
    if layout.sharesPositions, isPlain, let shared {
      attendTogether(worker, layout, a, attention, shared, counters: counters)
      return
    }
    // What is seen both ways is stored before anyone attends.
    let storesFirst = !layout.hasFewTokensEach || attend.isBothWays
    if storesFirst {
      team.shareRows(worker, layout.counters(counters), layout.tokenCount) { row in
        turnAndStore(row, heads: 0..<attend.kvHeads, layout, a, attention)
      }
      team.barrier()
    }
    team.share(worker, layout.counters(counters + 1), attention.units.count) { index in
      let unit = attention.units[index]
      let segment = layout.segments[unit.segment]
      let row = segment.first + unit.first
      if !storesFirst {
        for row in row..<(row + unit.count) {
          turnAndStore(row, heads: unit.kvHead..<(unit.kvHead + 1), layout, a, attention)
        }
      }
      let head = unit.kvHead * attend.group * attend.size
      var kernel = kernel(
        attention, segment, queries: a[attend.query].row(row) + head, queryStride: a[attend.query].stride,
        out: a[attend.into].row(row) + head, outStride: a[attend.into].stride)
      kernel.kv_head = UInt32(unit.kvHead)
      kernel.sinks = attend.sinks.map { model.weights.floats($0) + unit.kvHead * attend.group }
      guard !attend.isBothWays else {
        attendBothWays(attend, &kernel, segment, unit, worker)
        return
      }
      kernel.first_position = UInt32(segment.position + unit.first)
      kernel.tokens = UInt32(unit.count)
      ck_attend(level, &kernel, scratch[worker])
    }
  }

  /// Each token as if it stood at the last position that it sees, with a window back to the first.
  private func attendBothWays(
    _ attend: Attend, _ kernel: inout ck_attention, _ segment: StepLayout.Segment,
    _ unit: StepLayout.AttentionUnit, _ worker: Int
  ) {
    let (queries, out) = (kernel.queries, kernel.out)
    for index in 0..<unit.count {
      let seen = attend.seen(at: segment.position + unit.first + index, of: segment.end)
      kernel.queries = queries + index * kernel.query_stride
      kernel.out = out + index * kernel.out_stride
      kernel.first_position = UInt32(seen.upperBound - 1)
      kernel.window = UInt32(seen.count)
      kernel.tokens = 1
      ck_attend(level, &kernel, scratch[worker])
    }
  }

  /// One token at the segment's position, all heads.
  private func kernel(
    _ attention: Attention, _ segment: StepLayout.Segment, queries: UnsafePointer<Float>, queryStride: Int,
    out: UnsafeMutablePointer<Float>, outStride: Int
  ) -> ck_attention {
    let attend = attention.attend
    return ck_attention(
      keys: UnsafePointer(attention.part.keys),
      values: UnsafePointer(attention.part.keys + attention.part.pageBytes),
      page_stride: attention.part.stride, pages: segment.pages[attention.part.kind], queries: queries,
      query_stride: queryStride,
      out: out, out_stride: outStride, kv_head: 0, group: UInt32(attend.group),
      head_size: UInt32(attend.size),
      first_position: UInt32(segment.position), tokens: 1, scale: attend.scale,
      window: UInt32(attend.window ?? 0), chunk: UInt32(attend.chunk ?? 0), soft_cap: attend.cap ?? 0,
      sinks: nil)
  }

  // MARK: - Heads

  /// Some heads of keys and values of one row, if it has any, and the query heads that share them.
  private func turnAndStore(
    _ row: Int, heads: Range<Int>, _ layout: StepLayout, _ a: Activations, _ attention: Attention
  ) {
    let attend = attention.attend
    let first = heads.lowerBound * attend.size
    let query = a[attend.query].row(row)
    turn(
      query + attend.group * first, attend.query, heads: heads.count * attend.group, row, layout, attention)
    if attend.source != nil { return }
    let (key, value) = (a[attend.key].row(row), a[attend.value].row(row))
    turn(key + first, attend.key, heads: heads.count, row, layout, attention)
    turn(value + first, attend.value, heads: heads.count, row, layout, attention)
    store(row, heads: heads, key: key + first, value: value + first, layout, attention)
  }

  /// Applies to some heads of a row the program's operations before the attention.
  private func turn(
    _ vectors: UnsafeMutablePointer<Float>, _ name: Row, heads: Int, _ row: Int, _ layout: StepLayout,
    _ attention: Attention
  ) {
    for turn in attention.turns {
      switch turn.operation {
      case .norm(let norm) where norm.from == name:
        self.norm(norm, parts: 0..<heads, vectors, into: vectors)
      case .rotate(let rotate) where rotate.row == name:
        self.rotate(rotate, heads: heads, vectors, layout.rotation(turn.table, row))
      case .temper(let temper) where temper.row == name:
        self.temper(temper, heads * attention.attend.size, vectors, layout.position(row))
      case .embed, .norm, .multiply, .rotate, .attend, .temper, .gate, .activate, .add, .scale, .cap,
        .route, .experts, .weigh, .headProducts, .assemble,
        .slice, .unit, .softplus, .convolve, .recur:
        break
      }
    }
  }

  private func store(
    _ row: Int, heads: Range<Int>, key: UnsafePointer<Float>, value: UnsafePointer<Float>,
    _ layout: StepLayout, _ attention: Attention
  ) {
    let size = UInt32(attention.attend.size)
    let part = attention.part
    let segment = layout.segments[Int(layout.segmentOfRow[row])]
    let position = layout.position(row)
    let page = part.keys + Int(segment.pages[part.kind][position / KVCache.blockSize]) * part.stride
    let inPage = ck_page_bytes(UInt32(heads.lowerBound), size)
    ck_store_kv(
      level, key, value, UInt32(heads.count), size, page + inPage, page + part.pageBytes + inPage,
      UInt32(position % KVCache.blockSize))
  }

  // MARK: - Positions

  /// Attention of a few long sequences, one token each: scores and weighted sums of values are
  /// divided by accumulation chains of 256 positions, then the chains are added in order. If the
  /// first chains are a worker's own, it adds them itself, so that only their total moves to
  /// another worker.
  private func attendTogether(
    _ worker: Int, _ layout: StepLayout, _ a: Activations, _ attention: Attention, _ shared: SharedAttention,
    counters: Int
  ) {
    let attend = attention.attend
    let (heads, kvHeads) = (attend.heads, UInt32(attend.kvHeads))
    // Every worker rotates its own copy of the queries, which is cheaper than a barrier.
    let queries = own[worker][attend.query]
    func kernel(_ segment: Int) -> ck_attention {
      self.kernel(
        attention, layout.segments[segment], queries: queries.row(segment), queryStride: queries.stride,
        out: a[attend.into].row(segment), outStride: a[attend.into].stride)
    }
    for row in 0..<layout.segmentCount {
      queries.row(row).update(from: a[attend.query].row(row), count: attend.queryLength)
      turn(queries.row(row), attend.query, heads: heads, row, layout, attention)
    }
    let part =
      (layout.chains.count * worker / team.active)..<(layout.chains.count * (worker + 1) / team.active)
    team.share(worker, layout.counters(counters + 1), layout.chains.count) { index, isLast in
      let (segment, chain) = (layout.chains[index].segment, layout.chains[index].chain)
      let count = layout.chainCount(segment)
      // After the keys of its last chain, the worker reads the values of its first.
      var next = isLast ? count : chain + 1
      if isLast, part.contains(index), layout.chains[part.lowerBound].segment == segment {
        next = layout.chains[part.lowerBound].chain
      }
      if chain == count - 1, attend.source == nil {
        let (key, value) = (a[attend.key].row(segment), a[attend.value].row(segment))
        turn(key, attend.key, heads: attend.kvHeads, segment, layout, attention)
        turn(value, attend.value, heads: attend.kvHeads, segment, layout, attention)
        store(segment, heads: 0..<attend.kvHeads, key: key, value: value, layout, attention)
      }
      var kernel = kernel(segment)
      ck_attend_scores(
        level, &kernel, kvHeads, UInt32(chain), UInt32(next), shared.scores(segment),
        shared.stride, shared.largest(segment, chain, heads: heads), scratch[worker])
    }
    team.barrier()
    // This worker has summed the values of all chains from the start of its own part up to here.
    var mixed = part.lowerBound
    team.share(worker, layout.counters(counters + 2), layout.chains.count) { index, isLast in
      let (segment, chain) = (layout.chains[index].segment, layout.chains[index].chain)
      var kernel = kernel(segment)
      ck_attend_mix(
        level, &kernel, kvHeads, UInt32(chain), UInt32(isLast ? layout.chainCount(segment) : chain + 1),
        shared.largest(segment, 0, heads: heads), shared.scores(segment), shared.stride,
        shared.partial(segment, chain))
      if index == mixed { mixed += 1 }
    }
    for segment in 0..<layout.segmentCount where part.contains(layout.firstChain[segment]) {
      let count = max(0, min(mixed - layout.firstChain[segment], layout.chainCount(segment)))
      add(segment, heads: 0..<heads, chains: 0..<count)
      shared.added[segment] = count
    }
    team.barrier()
    // With many workers the heads are divided; otherwise the owner of the last chains adds them,
    // because it has most of them in its cache.
    let parts = team.active <= 2 ? 1 : min(team.active, heads)
    for segment in 0..<layout.segmentCount {
      let count = layout.chainCount(segment)
      let owner = ((layout.firstChain[segment] + count) * team.active - 1) / layout.chains.count
      for part in 0..<parts where (owner + part) % team.active == worker {
        let range = (heads * part / parts)..<(heads * (part + 1) / parts)
        add(segment, heads: range, chains: shared.added[segment]..<count)
        let at = range.lowerBound * attend.size
        ck_attend_finish(
          level, UInt32(range.count), UInt32(attend.size), shared.sums(segment) + range.lowerBound * 16,
          shared.totals(segment) + at, a[attend.into].row(segment) + at)
      }
    }

    func add(_ segment: Int, heads: Range<Int>, chains: Range<Int>) {
      let sums = shared.sums(segment) + heads.lowerBound * 16
      let totals = shared.totals(segment) + heads.lowerBound * attend.size
      if chains.lowerBound == 0 {
        sums.update(repeating: 0, count: heads.count * 16)
        totals.update(repeating: 0, count: heads.count * attend.size)
      }
      var kernel = kernel(segment)
      ck_attend_add(
        level, &kernel, UInt32(heads.count), UInt32(chains.lowerBound), UInt32(chains.upperBound),
        shared.scores(segment) + heads.lowerBound * shared.stride, shared.stride,
        shared.partial(segment, 0) + heads.lowerBound * attend.size, shared.perChain, sums, totals)
    }
  }

}
