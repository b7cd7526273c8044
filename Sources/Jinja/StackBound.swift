// StackBound.swift: how deeply a template may nest on the thread that parses or renders it.

import CSystem

/// The end of this thread's stack. The bounds of nesting fit a stack of 8 MB. A thread may have
/// less, so every level of nesting also checks here.
struct StackBound {
  private let end = csystem_stack_end()
  /// Bytes reserved for the work between two checks: comparing, sorting and printing nested values.
  private static let reserve: UInt = 160 << 10

  func check(line: Int) throws(TemplateError) {
    guard end == 0 || csystem_stack_here() >= end + Self.reserve else {
      throw .tooLarge(line: line, "the template nests deeper than the stack of this thread allows")
    }
  }
}
