// PromptSegment.swift: a piece of a prompt and whether its author may write special tokens.

/// A piece of a prompt. A prompt is a list of pieces; the model sees their texts joined.
///
/// The rule: special tokens (`<|im_end|>`, `</s>` ...) are recognised only inside trusted text.
/// Why: if a user's text could become an end of turn, it could speak in another's name. What to do:
/// code that renders a chat template marks the template's literals as trusted and every character
/// from a message, a tool or a name as untrusted. Adjacent trusted pieces are joined first, so a
/// special token may span several literals, but never a border to user text. What happens
/// otherwise: untrusted text remains plain characters, tokenized together with the text around it,
/// so marking changes no token of a prompt in which users write no special token's name.
public struct PromptSegment: Sendable, Equatable {
  public let text: String
  public let isTrusted: Bool

  public init(text: String, isTrusted: Bool) {
    self.text = text
    self.isTrusted = isTrusted
  }

  /// Text of a user, a tool, a file: never a special token.
  public static func text(_ text: String) -> PromptSegment { PromptSegment(text: text, isTrusted: false) }

  /// Text of the model's own chat template.
  public static func template(_ text: String) -> PromptSegment { PromptSegment(text: text, isTrusted: true) }
}
