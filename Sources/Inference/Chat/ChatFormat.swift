// ChatFormat.swift: the form in which a model reads conversations: its template, the texts of its
// special tokens, and the form in which the template reads contents. All commands that make prompts
// (run, chat, render, serve, verify) use it, so that a conversation always gives the same prompt.
// Start at ChatFormat.init(file:tokenizer:) and prompt(_:).
//
// Some templates print a message's content as a string, others loop over it as a list of parts.
// This can't be seen from outside: a string given to a loop over parts prints nothing at all. So a
// conversation with marks in it is rendered once when the template is read, and the marks that
// appear in the output decide.

import Foundation
import JSON
import Jinja

/// Why a model cannot chat.
public enum ChatFormatError: Error, Sendable, Equatable, CustomStringConvertible {
  case noTemplate(file: String)
  case metadata(GGUFError)
  case template(TemplateError)
  /// In no form does a user's text appear in the prompt.
  case leavesOutUsers
  /// The template omits messages of this role: their text would not be in the prompt.
  case leftOut(role: String)

  public var description: String {
    switch self {
    case .noTemplate(let file): "model '\(file)' has no chat template"
    case .metadata(let error): "\(error)"
    case .template(let error): "\(error)"
    case .leavesOutUsers: "the chat template leaves out what the user says, as a text and as a list of parts"
    case .leftOut(let role): "the chat template leaves out what messages of role '\(role)' say"
    }
  }

  public var hint: String? {
    switch self {
    case .noTemplate, .leavesOutUsers:
      "--template FILE gives another, 'hotpot run --raw' works without"
    case .metadata(let error): error.hint
    case .template(let error): error.hint
    case .leftOut: "leave such messages out, or give another template with --template FILE"
    }
  }
}

/// A template, with the values that it gets besides the messages. A value: many threads may use it
/// at once.
public struct ChatFormat: Sendable {
  private let template: Template
  /// The template's text.
  package let source: String
  /// `bos_token`, `eos_token`, `unk_token` and `pad_token` as the vocabulary spells them, as far as
  /// they exist.
  public let specials: [String: String]
  private let tokenizer: Tokenizer?
  private let forms: [String: ContentForm]
  /// How the template reads tools and calls; nil if it knows none.
  private let toolForm: ToolForm?

  /// With the model's own template.
  public init(file: GGUFFile, tokenizer: Tokenizer) throws(ChatFormatError) {
    let source: String?
    do throws(GGUFError) {
      source = try file.metadata.string("tokenizer.chat_template")
    } catch {
      throw .metadata(error)
    }
    guard let source else { throw .noTemplate(file: file.path) }
    try self.init(source, tokenizer: tokenizer)
  }

  /// With a template from elsewhere.
  /// - Parameters:
  ///   - tokenizer: The tokenizer of the model that the prompt is for; without one there are no
  ///     special tokens.
  ///   - specials: Texts that replace the vocabulary's.
  public init(
    _ source: String, tokenizer: Tokenizer?, specials given: [String: String] = [:]
  ) throws(ChatFormatError) {
    do throws(TemplateError) {
      template = try Template(source)
    } catch {
      throw .template(error)
    }
    self.source = source
    let specials = (tokenizer.map(Self.specials) ?? [:]).merging(given) { $1 }
    self.specials = specials
    self.tokenizer = tokenizer
    forms = ContentProbe(template: template, specials: specials, source: source).forms()
    toolForm = ToolForm(template, specials: specials, source: source)
  }

  /// Whether the template itself reads definitions of tools, calls and their answers. Where it does
  /// not, they are written into the texts (`PlainTools`).
  package var readsTools: Bool { toolForm != nil }

  /// The texts of special tokens that templates name. What the file does not specify, the tokenizer
  /// fills in (for example SentencePiece's usual ids). A missing token has no text, and its name is
  /// undefined, as in transformers.
  static func specials(of tokenizer: Tokenizer) -> [String: String] {
    var specials: [String: String] = [:]
    for (name, id) in [
      ("bos_token", tokenizer.bosToken), ("eos_token", tokenizer.eosToken),
      ("unk_token", tokenizer.unknownToken), ("pad_token", tokenizer.paddingToken),
    ] {
      if let id, let text = tokenizer.name(of: id) { specials[name] = text }
    }
    return specials
  }

  // MARK: Prompts

  /// A conversation as the model reads it.
  public struct Prompt: Sendable, Equatable {
    public let text: String
    public let tokens: [Int32]
  }

  /// The prompt for a conversation that ends with a user's message.
  /// - Throws: `.leftOut` if the template omits a message's text, `.template` if rendering fails.
  /// - now: the time for templates that print the date
  public func prompt(_ messages: [ChatMessage], now: Date = Date()) throws(ChatFormatError) -> Prompt {
    let values = messages.map(\.value)
    if let role = leftOut(of: values).first { throw .leftOut(role: role) }
    let segments = try segments(values, now: now)
    return Prompt(text: segments.map(\.text).joined(), tokens: tokens(of: segments))
  }

  /// The same with tools and variables, and with a bound on the tokens, as in
  /// `Tokenizer.encode(segments:addBOS:atMost:isWanted:)`.
  package func prompt(
    _ messages: [ChatMessage], _ extras: ChatExtras = ChatExtras(), now: Date = Date(), atMost most: Int,
    isWanted: @escaping () -> Bool
  ) throws(ChatFormatError) -> (text: String, encoding: BoundedEncoding) {
    let segments = try segments(messages, extras, now: now)
    let encoding =
      tokenizer?.encode(segments: segments, addBOS: true, atMost: most, isWanted: isWanted) ?? .tokens([])
    return (segments.map(\.text).joined(), encoding)
  }

  /// Renders a conversation with tools, in the form that the template reads.
  package func segments(
    _ messages: [ChatMessage], _ extras: ChatExtras, now: Date = Date()
  ) throws(ChatFormatError) -> [PromptSegment] {
    func rendered(
      _ messages: [ChatMessage], _ variables: [JSONValue.Member]
    ) throws(ChatFormatError) -> [PromptSegment] {
      let values = messages.map(\.value)
      if let role = leftOut(of: values).first { throw .leftOut(role: role) }
      return try segments(values, variables: variables, now: now)
    }
    if toolForm != nil {
      let tools = extras.tools.isEmpty ? [] : [(key: "tools", value: JSONValue.array(extras.tools))]
      return try rendered(messages, tools + extras.variables)
    }
    guard let plain = PlainTools(messages, extras.tools) else {
      return try rendered(messages, extras.variables)
    }
    do throws(ChatFormatError) {
      return try rendered(plain.messages(underSystem: true), extras.variables)
    } catch {
      // A template without a system's role gets the definitions with the first message.
      return try rendered(plain.messages(underSystem: false), extras.variables)
    }
  }

  /// The tokens of rendered segments. BOS comes first if the model wants one and the template has
  /// not written it.
  public func tokens(of segments: [PromptSegment]) -> [Int32] {
    tokenizer?.encode(segments: segments, addBOS: true) ?? []
  }

  /// Renders messages, with their contents in the form that the template reads.
  package func segments(
    _ messages: [JSONValue], addGenerationPrompt: Bool = true, variables: [JSONValue.Member] = [],
    now: Date = Date()
  ) throws(ChatFormatError) -> [PromptSegment] {
    do throws(TemplateError) {
      return try template.prompt(
        messages.map { handed($0) }, specials: specials, addGenerationPrompt: addGenerationPrompt,
        variables: variables, now: now)
    } catch {
      throw .template(error)
    }
  }

  // MARK: Forms of contents

  /// Why no conversation can be rendered; nil if they can.
  public var problem: ChatFormatError? { leavesOut("user") ? .leavesOutUsers : nil }

  /// Roles whose messages the template silently omits.
  public var rolesLeftOut: [String] { ContentProbe.roles.filter(leavesOut) }

  /// Roles whose contents the template reads only as a list of parts.
  public var rolesOfParts: [String] {
    ContentProbe.roles.filter { role in forms[role].map { !$0.takesText && $0.parts != .none } ?? false }
  }

  private func leavesOut(_ role: String) -> Bool { forms[role].map { $0 == ContentForm.leftOut } ?? false }

  /// The roles of those messages whose text would not be in the prompt.
  package func leftOut(of messages: [JSONValue]) -> [String] {
    var found: [String] = []
    for message in messages {
      guard case .string(let role)? = message["role"], leavesOut(role), !found.contains(role) else {
        continue
      }
      switch message["content"] {
      case .string(let text)? where !text.isEmpty: found.append(role)
      case .array(let parts)? where !parts.isEmpty: found.append(role)
      default: break
      }
    }
    return found
  }

  /// The message with its content in a form that the template reads; content already in such a form
  /// is unchanged.
  private func handed(_ message: JSONValue) -> JSONValue {
    guard case .object(var members) = message, let content = message["content"] else { return message }
    var form = forms["user"]
    if case .string(let role)? = message["role"], let own = forms[role] { form = own }
    guard let form else { return message }
    if let toolForm, let calls = message["tool_calls"] {
      for place in members.indices {
        switch members[place].key {
        case "tool_calls": members[place].value = toolForm.handed(calls)
        case "content" where toolForm.contentIsNull && content == "": members[place].value = .null
        default: break
        }
      }
      return .object(members)
    }
    let changed: JSONValue
    switch content {
    case .string(let text):
      guard !form.takesText, form.parts != .none else { return message }
      changed = .array([ChatMessage.part(text)])
    case .array(let parts):
      guard form.parts != .many, form.parts != .one || parts.count > 1, form != .leftOut,
        let texts = Self.texts(of: parts)
      else { return message }
      changed = form.takesText ? .string(texts.joined()) : .array([ChatMessage.part(texts.joined())])
    default: return message
    }
    for place in members.indices where members[place].key == "content" { members[place].value = changed }
    return .object(members)
  }

  /// The texts of the parts, if all are texts; nil if one of them is an image or the like.
  private static func texts(of parts: [JSONValue]) -> [String]? {
    var texts: [String] = []
    for part in parts {
      guard part["type"] == .string("text"), case .string(let text)? = part["text"] else {
        return nil
      }
      texts.append(text)
    }
    return texts
  }
}

/// The forms of content that a template renders.
struct ContentForm: Equatable, Sendable {
  enum Parts: Sendable { case none, one, many }
  var takesText: Bool
  var parts: Parts

  /// The template renders, but neither a string nor parts appear in its output.
  static let leftOut = ContentForm(takesText: false, parts: .none)
  /// The probe failed: contents are passed unchanged, and the template's own errors are reported.
  static let unknown = ContentForm(takesText: true, parts: .many)
}

/// Renders conversations with marks in them to find out what a template does with contents.
private struct ContentProbe {
  static let roles = ["user", "system", "assistant"]

  let template: Template
  let specials: [String: String]
  /// Two strings that do not occur in the template. They are digits, so that no filter for letters
  /// changes them.
  let marks: [String]

  enum Fate { case came, lost, refused }

  init(template: Template, specials: [String: String], source: String) {
    // A hostile template must not cost more at start-up than a conversation would.
    var limits = TemplateLimits.standard
    limits.steps = 50_000
    limits.characters = 1 << 20
    self.template = template.limited(to: limits)
    self.specials = specials
    var number = 7_301_946_582
    var marks: [String] = []
    while marks.count < 2 {
      if !source.contains(String(number)) { marks.append(String(number)) }
      number += 1_010_101_019
    }
    self.marks = marks
  }

  func forms() -> [String: ContentForm] {
    var forms: [String: ContentForm] = [:]
    for role in Self.roles { forms[role] = form(of: role, known: forms) }
    return forms
  }

  private func form(of role: String, known: [String: ContentForm]) -> ContentForm {
    // Only a template that reads the members of parts treats them differently from a value that it
    // merely prints.
    let text = fate(of: role, .string(marks[0]), wanted: [marks[0]], known)
    let many = fate(of: role, .array(marks.map { ChatMessage.part($0) }), wanted: marks, known)
    let one =
      many == .came
      ? .came : fate(of: role, .array([ChatMessage.part(marks[0])]), wanted: [marks[0]], known)
    if text == .came || one == .came {
      return ContentForm(takesText: text == .came, parts: many == .came ? .many : one == .came ? .one : .none)
    }
    return text == .lost || one == .lost ? .leftOut : .unknown
  }

  /// What happens to a content in the first conversation that the template accepts.
  private func fate(
    of role: String, _ content: JSONValue, wanted: [String], _ known: [String: ContentForm]
  ) -> Fate {
    for conversation in conversations(role, content, known) {
      let segments: [PromptSegment]
      do throws(TemplateError) {
        segments = try template.prompt(conversation, specials: specials)
      } catch { continue }
      // The member names of a part are untrusted text too: if one is printed, the list was printed
      // as a whole.
      let words = segments.filter { !$0.isTrusted }.map(\.text)
      let text = words.joined(separator: "\n")
      let isWhole = wanted.allSatisfy(text.contains) && !words.contains { $0.contains("type") }
      return isWhole ? .came : .lost
    }
    return .refused
  }

  private func conversations(
    _ role: String, _ content: JSONValue, _ known: [String: ContentForm]
  ) -> [[JSONValue]] {
    func message(_ role: String, _ content: JSONValue) -> JSONValue {
      ["role": .string(role), "content": content]
    }
    func filler(_ role: String) -> JSONValue {
      let takesText = known[role]?.takesText ?? true
      return message(role, takesText ? .string("1") : .array([ChatMessage.part("1")]))
    }
    let probed = message(role, content)
    switch role {
    case "user": return [[probed], [filler("system"), probed], [probed, filler("assistant"), probed]]
    case "system": return [[probed, filler("user")]]
    default: return [[filler("user"), probed, filler("user")], [filler("user"), probed]]
    }
  }
}
