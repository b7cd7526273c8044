// Template.swift: a Jinja template, parsed, to be rendered with values.
//
// Templates come from strangers: they are interpreted with no access to anything but the values
// given, and with bounds (Interpreter). Every character of what is printed is known to be the
// template's own or a user's, so that a user who writes <|im_start|> gets its letters and not the
// token. What is printed is what Python's jinja2 prints (TemplateDifferenceTests). Left out, and
// refused by name: include, import, inheritance, and filters that need chance, tables of HTML or a
// layout for readers of code. Left out as well: what a conversation is (the chat format). Start at
// Template.render.

import Foundation
import JSON

/// A parsed template. A value: it may be rendered from many threads at once.
package struct Template: Sendable {
  /// A run of characters from one source.
  package struct Segment: Sendable, Equatable {
    package let text: String
    /// True of the words of the template's author, false of a user's.
    package let isTrusted: Bool

    package init(text: String, isTrusted: Bool) {
      self.text = text
      self.isTrusted = isTrusted
    }
  }

  private let statements: [Syntax.Statement]
  private var limits: TemplateLimits

  /// Parses `source`.
  /// - Throws: `.syntax`, `.unsupported` or `.tooLarge`, with the line.
  package init(_ source: String, limits: TemplateLimits = .standard) throws(TemplateError) {
    statements = try Parser.parse(source, limits: limits)
    self.limits = limits
  }

  /// The same template with less, or more, to spend.
  package func limited(to limits: TemplateLimits) -> Template {
    var copy = self
    copy.limits = limits
    return copy
  }

  /// What the template prints, in segments: none empty, neighbours of different trust.
  /// - Parameters:
  ///   - values: Values by name that users had a hand in: none of their characters is trusted. Of
  ///     two of one name the last counts.
  ///   - own: Values by name that the caller vouches for; they win over `values`.
  ///   - now: What `strftime_now` tells, in the time zone of this machine.
  /// - Throws: `.evaluation`, `.refused` (the template's own `raise_exception`), `.unsupported` or
  ///   `.tooLarge`.
  package func render(
    _ values: [JSONValue.Member], own: [JSONValue.Member] = [], now: Date = Date()
  ) throws(TemplateError) -> [Segment] {
    let interpreter = Interpreter(limits: limits, now: now)
    var names: [String: Value] = [:]
    for (name, value) in values { names[name] = try interpreter.value(of: value, isUsers: true) }
    for (name, value) in own { names[name] = try interpreter.value(of: value, isUsers: false) }
    return try interpreter.run(statements, names: names).segments
  }
}
