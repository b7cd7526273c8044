// AdministrationError.swift: what an operator asked for that cannot be done, in words.

package struct AdministrationError: Error, Sendable, CustomStringConvertible {
  package let description: String
  init(_ description: String) { self.description = description }
}
