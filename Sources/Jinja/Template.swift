// Template.swift: a Jinja template, parsed, to be rendered with values.
//
// Templates come from strangers: they are interpreted with access only to the given values, and
// within bounds (Interpreter). Every printed character is known to be the template's or a user's,
// so a user who writes <|im_start|> gets its letters and not the token. The output is what Python's
// jinja2 prints (TemplateDifferenceTests). Refused by name: include, import, inheritance, and
// filters that need randomness, HTML's tables or a layout for readers of code. Not here: what a
// conversation is (Inference's ChatFormat.swift). Start at Template.render.

import Foundation
import JSON

/// A parsed template. A value: it may be rendered from many threads at once.
package struct Template: Sendable {
  /// A run of characters from one source.
  package struct Segment: Sendable, Equatable {
    package let text: String
    /// True for text of the template's author, false for a user's.
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

  /// The same template with other limits.
  package func limited(to limits: TemplateLimits) -> Template {
    var copy = self
    copy.limits = limits
    return copy
  }

  /// The template's output in segments; none is empty, and neighbours differ in trust.
  /// - Parameters:
  ///   - values: Values by name that users influenced: none of their characters is trusted. If two
  ///     have the same name, the last counts.
  ///   - own: Values by name that the caller vouches for; they win over `values`.
  ///   - now: The time of `strftime_now`, in the time zone of this machine.
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
