// StackBound.swift: how deep a template may go on the thread that reads or renders it.

import CSystem

/// The end of this thread's stack. The bounds of nesting below fit a thread of 8 MB; a thread with
/// less must not be overrun, so every level of nesting asks here as well.
struct StackBound {
  private let end = csystem_stack_end()
  /// What is left for the work between two levels: comparing, sorting and writing of nested values.
  private static let reserve: UInt = 160 << 10

  func check(line: Int) throws(TemplateError) {
    guard end == 0 || csystem_stack_here() >= end + Self.reserve else {
      throw .tooLarge(line: line, "the template nests deeper than the stack of this thread allows")
    }
  }
}
