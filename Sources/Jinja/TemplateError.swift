// TemplateError.swift: why a chat template was refused or stopped. The line counts from 1 in the
// template's text.

/// A chat template could not be read or rendered.
public enum TemplateError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The text is not a template: what was found and what was wanted.
  case syntax(line: Int, String)
  /// A feature of Jinja that this interpreter refuses by name.
  case unsupported(line: Int, String)
  /// An operation that cannot be done on these values, such as adding a number to a text.
  case evaluation(line: Int, String)
  /// The template itself refused the conversation through `raise_exception`.
  case refused(String)
  /// More work, depth or text than a prompt may take.
  case tooLarge(line: Int, String)

  public var description: String {
    switch self {
    case .syntax(let line, let what): "chat template, line \(line): \(what)"
    case .unsupported(let line, let what): "chat template, line \(line): \(what) is not supported"
    case .evaluation(let line, let what): "chat template, line \(line): \(what)"
    case .refused(let what): "the chat template refuses this conversation: \(what)"
    case .tooLarge(let line, let what): "chat template, line \(line): \(what)"
    }
  }

  /// What to do about it.
  public var hint: String {
    switch self {
    case .syntax, .unsupported, .evaluation:
      "another template can be given with --template FILE, or --raw sends the text as it stands"
    case .refused: "change the order or the roles of the messages as the model expects them"
    case .tooLarge:
      "the template loops or repeats too much; shorten the conversation or give another template"
    }
  }
}

/// What a template may spend on one prompt. The defaults suffice for a conversation of some hundred
/// thousand tokens.
package struct TemplateLimits: Sendable {
  /// Characters of template text.
  package var source = 1 << 20
  /// Evaluated nodes, plus one for every few characters that a filter or a comparison scans.
  package var steps = 5_000_000
  /// Characters of all intermediate strings and the output; an element of a list counts as eight.
  package var characters = 1 << 25
  /// Nested evaluations: blocks, expressions and macro calls together.
  package var depth = 400
  /// The standard limits.
  package static let standard = TemplateLimits()
  package init() {}
}
