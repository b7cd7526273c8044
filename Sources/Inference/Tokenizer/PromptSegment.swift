// PromptSegment.swift: a piece of a prompt and whether its author may write special tokens.

/// A piece of a prompt. A prompt is a list of pieces in order; their texts joined are what the model sees.
///
/// The rule: special tokens (`<|im_end|>`, `</s>` ...) are recognised only inside trusted text.
/// Why: text of a user that turned into a turn's end could speak in another's name.
/// What to do: whatever renders a chat template marks its own literals as trusted and every character that came
/// from a message, a tool or a name as not trusted. Trusted pieces that touch are joined first, so a special token
/// may be spread over several literals, but never over a border to user text.
/// Otherwise the text stays what it is: characters, tokenized together with the text around it, so that marking
/// changes no token of a prompt in which users write no special token's name.
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
