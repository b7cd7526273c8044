// ChatTemplate.swift: a conversation to the prompt that a model was trained on, by the template in its GGUF file.
//
// Templates are Jinja, and come from strangers with the model: they are interpreted here with no access to anything
// but the values given, and with bounds (TemplateInterpreter). What a prompt is made of stays known to the character,
// so that a user who writes <|im_start|> gets its letters and not the token. Start at render(messages:).
// What it prints is what Python's jinja2 prints (TemplateDifferenceTests). Left out, and refused by name: include, import,
// inheritance, and filters that need chance, tables of HTML or a layout for readers of code.

import Foundation

/// A parsed chat template. A value: it may be rendered from many threads at once.
public struct ChatTemplate: Sendable {
  private let statements: [TemplateSyntax.Statement]
  private var limits: TemplateLimits

  /// Parses `source`.
  /// - Throws: `.syntax`, `.unsupported` or `.tooLarge`, with the line.
  public init(_ source: String, limits: TemplateLimits = .standard) throws(TemplateError) {
    statements = try TemplateParser.parse(source, limits: limits)
    self.limits = limits
  }

  /// The same template with less, or more, to spend.
  func limited(to limits: TemplateLimits) -> ChatTemplate {
    var copy = self
    copy.limits = limits
    return copy
  }

  /// The prompt for a conversation, in segments: none empty, neighbours of different trust.
  /// - Parameters:
  ///   - messages: Objects with `role` and `content`, and whatever else the template knows (`tool_calls`, ...).
  ///   - specials: Trusted texts by name: `bos_token`, `eos_token` as the vocabulary spells them.
  ///   - addGenerationPrompt: Ends with the opening of the assistant's turn.
  ///   - variables: More values by name, such as `tools`; untrusted like the messages.
  ///   - now: What `strftime_now` tells, in the zone of this machine.
  /// - Throws: `.evaluation`, `.refused` (the template's own `raise_exception`), `.unsupported` or `.tooLarge`.
  public func render(
    messages: [TemplateValue], specials: [String: String] = [:], addGenerationPrompt: Bool = true,
    variables: [TemplateMember] = [], now: Date = Date()
  ) throws(TemplateError) -> [PromptSegment] {
    let interpreter = TemplateInterpreter(limits: limits, now: now)
    var names: [String: TemplateInner] = [:]
    for member in variables { names[member.name] = try interpreter.inner(of: member.value, isUsers: true) }
    for (name, text) in specials { names[name] = .text(TemplateText(text)) }
    names["messages"] = try interpreter.inner(of: .list(messages), isUsers: true)
    names["add_generation_prompt"] = .bool(addGenerationPrompt)
    return try interpreter.run(statements, names: names).segments
  }
}
