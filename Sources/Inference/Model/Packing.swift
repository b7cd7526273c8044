// Packing.swift: packs every tensor of a program into the kernels' tiles, tile by tile on all
// workers. Where each tensor is placed is decided in TensorReader.swift. Start at
// pack(_:into:team:).

import CKernels

/// The packed weights of a loaded model: where the matrices and vectors of its program are in
/// memory. Safe to share, though the compiler can't see it: written once while loading, read-only
/// afterwards.
struct Weights: BitwiseCopyable {
  let base: UnsafeMutableRawPointer

  func matrix(_ matrix: Matrix) -> ck_matrix {
    ck_matrix(
      data: UnsafePointer((base + matrix.offset).assumingMemoryBound(to: UInt8.self)),
      type: matrix.type.kernels, rows: UInt32(matrix.rows), cols: UInt32(matrix.columns))
  }

  func floats(_ vector: Vector) -> UnsafePointer<Float> {
    UnsafePointer((base + vector.offset).assumingMemoryBound(to: Float.self))
  }
}

extension Program {
  /// Packs every tensor at its place, tile by tile on all workers, and drops the file's pages on
  /// the way.
  func pack(_ file: GGUFFile, into base: UnsafeMutableRawPointer, team: Team) {
    let counters = UnsafeMutablePointer<ck_counter>.alignedToLines(capacity: tensors.count)
    defer { counters.deallocate() }
    for i in tensors.indices { ck_counter_set(counters + i, 0) }
    let entries = tensors
    nonisolated(unsafe) let memory = base
    nonisolated(unsafe) let tickets = counters
    team.run { worker in
      for (i, entry) in entries.enumerated() {
        let bytes = file.bytes(of: entry.tensor)
        guard let source = bytes.baseAddress else { continue }
        let type = entry.tensor.type.kernels
        let destination = memory + entry.offset
        if entry.isMatrix {
          let rows = UInt32(entry.tensor.rowCount)
          let columns = UInt32(entry.tensor.rowLength)
          let tiles = ck_tile_count(rows)
          let chunk: UInt32 = 16
          while true {
            let first = Int(ck_counter_take(tickets + i)) * Int(chunk)
            if first >= Int(tiles) { break }
            ck_pack(
              type, source, rows, columns, UInt32(first), min(chunk, tiles - UInt32(first)), destination)
            // A big tensor is never entirely in memory twice, not even while packing. A worker that
            // still needs these pages faults them in again; slices are large, so that is rare.
            let rowBytes = entry.tensor.rowByteCount
            let end = first + min(Int(chunk), Int(tiles) - first)
            let slice = 4 << 20
            if first * Int(CK_TILE_ROWS) * rowBytes / slice != end * Int(CK_TILE_ROWS) * rowBytes / slice {
              file.dropPages(at: entry.tensor.byteOffset, count: first * Int(CK_TILE_ROWS) * rowBytes)
            }
          }
        } else if ck_counter_take(tickets + i) == 0 {
          ck_dequantise(
            type, source, UInt32(entry.tensor.rowLength * entry.tensor.rowCount),
            destination.assumingMemoryBound(to: Float.self))
        }
        team.barrier()
        if worker == 0 { file.dropPages(of: entry.tensor) }
      }
    }
    file.dropPages()
  }

  /// Factors divide, so each must be a positive number.
  func checkRotaryFactors(_ weights: Weights, file: String) throws(ModelError) {
    var checked: Set<Vector> = []
    for case .rotate(let turn) in operations {
      guard let vector = turn.angles.factors, checked.insert(vector).inserted else { continue }
      let factors = weights.floats(vector)
      for i in 0..<vector.count where !(factors[i] > 0 && factors[i].isFinite) {
        throw ModelError(
          file: file,
          problem: .badWeights(
            name: tensors[vector.tensor].tensor.name,
            reason: "has \(factors[i]) at index \(i), wanted above 0"))
      }
    }
  }
}
