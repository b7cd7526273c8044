// AdministrationError.swift: why a request of an operator cannot be carried out, in words.

package struct AdministrationError: Error, Sendable, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }
}
