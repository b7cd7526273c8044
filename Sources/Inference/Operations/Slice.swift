// Slice.swift: some numbers of each part of a row, copied side by side into another: how the product
// with a fused matrix comes apart.

package struct Slice: OperationContents {
  package let from: Row
  package let into: Row
  /// The row has `parts` parts of `stride` numbers; of each, `count` numbers from `start` on.
  package let parts: Int
  package let stride: Int
  package let start: Int
  package let count: Int

  package var reads: [Access] { [Access(from, parts * stride)] }
  package var writes: Access { Access(into, parts * count) }

  package func text(_ name: (Int) -> String) -> String {
    let numbers = "\(into.name) = \(from.name)[\(start) ..< \(start + count)]"
    return parts > 1 ? numbers + " of each \(stride)" : numbers
  }
}

extension Operation {
  /// - width: of the whole row
  package static func slice(_ from: Row, _ range: Range<Int>, of width: Int, into: Row) -> Operation {
    .slice(from, range, ofEach: width, parts: 1, into: into)
  }

  package static func slice(
    _ from: Row, _ range: Range<Int>, ofEach stride: Int, parts: Int, into: Row
  ) -> Operation {
    .slice(
      Slice(
        from: from, into: into, parts: parts, stride: stride, start: range.lowerBound, count: range.count))
  }
}
