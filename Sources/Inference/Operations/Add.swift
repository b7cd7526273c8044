// Add.swift: adds one row to another, rounded once a number (N1 item 3).

package struct Add: OperationContents {
  package let from: Row
  package let to: Row
  package let width: Int

  package var reads: [Access] { [Access(to, width), Access(from, width)] }
  package var writes: Access { Access(to, width) }

  package func text(_ name: (Int) -> String) -> String { "\(to.name) += \(from.name)" }
}

extension Operation {
  package static func add(_ from: Row, to: Row, width: Int) -> Operation {
    .add(Add(from: from, to: to, width: width))
  }
}
