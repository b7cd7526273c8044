// Embed.swift: a token's row of the embedding (N1 item 1).

package struct Embed: OperationContents {
  package let table: Matrix
  package let into: Row

  package var reads: [Access] { [] }
  package var writes: Access { Access(into, table.columns) }
  // One row of the table is read, not the table.

  package func text(_ name: (Int) -> String) -> String { "\(into.name) = embed \(table.text(name))" }
}

extension Operation {
  package static func embed(_ table: Matrix, into: Row) -> Operation {
    .embed(Embed(table: table, into: into))
  }
}
