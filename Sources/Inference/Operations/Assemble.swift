// Assemble.swift: a row whose heads are put together of parts of others; numbers move and are not
// changed.

package struct Assemble: OperationContents {
  package let into: Row
  package let heads: Int
  /// Numbers of a head; what the parts do not fill is zero.
  package let size: Int
  package let first: Part
  package let second: Part?

  /// Some numbers of a row for each head.
  package struct Part: Hashable, Sendable, BitwiseCopyable {
    package let row: Row
    package let width: Int
    /// The number at which the first head's begin.
    package let start: Int
    /// Numbers from one head's to the next one's; 0: all heads have the same.
    package let stride: Int

    package init(_ row: Row, _ width: Int, from start: Int = 0, every stride: Int = 0) {
      self.row = row
      self.width = width
      self.start = start
      self.stride = stride
    }

    func access(_ heads: Int) -> Access { Access(row, start + (heads - 1) * stride + width) }
  }

  package var parts: [Part] { [first] + (second.map { [$0] } ?? []) }
  package var reads: [Access] { parts.map { $0.access(heads) } }
  package var writes: Access { Access(into, heads * size) }

  /// Why the parts don't fit the row; nil if they do.
  var fault: String? {
    if parts.contains(where: { $0.row == into }) { return "a row is put together of itself" }
    let width = parts.reduce(0) { $0 + $1.width }
    return width > size ? "heads of \(size) are put together of \(width)" : nil
  }

  package func text(_ name: (Int) -> String) -> String {
    "\(into.name) = \(heads) heads of \(size), "
      + parts.map { part in
        "\(part.width) of \(part.row.name)" + (part.start > 0 ? " from \(part.start)" : "")
          + (part.stride > 0 ? " every \(part.stride)" : "")
      }.joined(separator: " and ")
  }
}

extension Operation {
  package static func assemble(
    heads: Int, of size: Int, _ first: Assemble.Part, _ second: Assemble.Part? = nil, into: Row
  ) -> Operation {
    .assemble(Assemble(into: into, heads: heads, size: size, first: first, second: second))
  }
}
