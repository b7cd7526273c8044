// ChatFormat.swift: how a model wants conversations: its template, the texts of its special tokens,
// and the form in which the template reads contents. One answer for all who make prompts (run,
// chat, render, serve, verify), so that one conversation is one prompt. Start at
// ChatFormat.init(file:tokenizer:) and prompt(_:).
//
// Some templates print a message's content as a text, others loop over it as a list of parts. Which
// one a template is cannot be seen from outside: a text handed to a loop over parts prints nothing
// at all. So a conversation with marks in it is rendered once when the template is read, and what
// comes through decides.

import Foundation
import JSON
import Jinja

/// Why a model cannot chat.
public enum ChatFormatError: Error, Sendable, Equatable, CustomStringConvertible {
  case noTemplate(file: String)
  case metadata(GGUFError)
  case template(TemplateError)
  /// No way of handing over a user's text brings it into the prompt.
  case leavesOutUsers
  /// The template has no place for the messages of this role: their text would not be in the prompt.
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

/// A template with what it is given besides the messages. A value: many threads may use it at once.
public struct ChatFormat: Sendable {
  private let template: Template
  /// `bos_token`, `eos_token`, `unk_token` and `pad_token` as the vocabulary spells them; those
  /// that there are.
  public let specials: [String: String]
  private let tokenizer: Tokenizer?
  private let forms: [String: ContentForm]

  /// By the model's own template.
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

  /// By a template from elsewhere.
  /// - Parameters:
  ///   - tokenizer: Of the model that the prompt is for; without one there are no special tokens.
  ///   - specials: Texts that stand in for the vocabulary's.
  public init(
    _ source: String, tokenizer: Tokenizer?, specials given: [String: String] = [:]
  ) throws(ChatFormatError) {
    do throws(TemplateError) {
      template = try Template(source)
    } catch {
      throw .template(error)
    }
    let specials = (tokenizer.map(Self.specials) ?? [:]).merging(given) { $1 }
    self.specials = specials
    self.tokenizer = tokenizer
    forms = ContentProbe(template: template, specials: specials, source: source).forms()
  }

  /// The texts of special tokens that templates name. What the file does not say is the tokenizer's
  /// to fill in, as SentencePiece's usual ids; a token that is not there has no text, and its name
  /// is undefined as in transformers.
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
  /// - Throws: `.leftOut` where the template has no place for what a message says, `.template` where
  ///   rendering fails.
  /// - now: what a template that prints the date is told
  public func prompt(_ messages: [ChatMessage], now: Date = Date()) throws(ChatFormatError) -> Prompt {
    let values = messages.map(\.value)
    if let role = leftOut(of: values).first { throw .leftOut(role: role) }
    let segments = try segments(values, now: now)
    return Prompt(text: segments.map(\.text).joined(), tokens: tokens(of: segments))
  }

  /// The same as far as a bound goes, as `Tokenizer.encode(segments:addBOS:atMost:isWanted:)` does it.
  public func prompt(
    _ messages: [ChatMessage], now: Date = Date(), atMost most: Int, isWanted: @escaping () -> Bool
  ) throws(ChatFormatError) -> (text: String, encoding: BoundedEncoding) {
    let values = messages.map(\.value)
    if let role = leftOut(of: values).first { throw .leftOut(role: role) }
    let segments = try segments(values, now: now)
    let encoding =
      tokenizer?.encode(segments: segments, addBOS: true, atMost: most, isWanted: isWanted) ?? .tokens([])
    return (segments.map(\.text).joined(), encoding)
  }

  /// The tokens of rendered segments. BOS comes first where the model wants one and the template
  /// has not written it.
  public func tokens(of segments: [PromptSegment]) -> [Int32] {
    tokenizer?.encode(segments: segments, addBOS: true) ?? []
  }

  /// What the template makes of messages, their contents in the form that it reads.
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

  /// Why no conversation gets through; nil where they do.
  public var problem: ChatFormatError? { leavesOut("user") ? .leavesOutUsers : nil }

  /// Roles whose messages the template passes over without a word.
  public var rolesLeftOut: [String] { ContentProbe.roles.filter(leavesOut) }

  /// Roles whose contents the template reads only as lists of parts.
  public var rolesOfParts: [String] {
    ContentProbe.roles.filter { role in forms[role].map { !$0.takesText && $0.parts != .none } ?? false }
  }

  private func leavesOut(_ role: String) -> Bool { forms[role].map { $0 == ContentForm.leftOut } ?? false }

  /// The roles of those messages that say something which would not be in the prompt.
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

  /// The message with its content in a form that the template reads. What is in such a form already
  /// stays as it is.
  private func handed(_ message: JSONValue) -> JSONValue {
    guard case .object(var members) = message, let content = message["content"] else { return message }
    var form = forms["user"]
    if case .string(let role)? = message["role"], let own = forms[role] { form = own }
    guard let form else { return message }
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

  /// The texts of parts that are nothing else; nil when one of them is an image or the like.
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

/// The forms of a content that come through a template.
struct ContentForm: Equatable, Sendable {
  enum Parts: Sendable { case none, one, many }
  var takesText: Bool
  var parts: Parts

  /// Neither a text nor parts come through, though the template renders.
  static let leftOut = ContentForm(takesText: false, parts: .none)
  /// The template would not say: contents are handed over as they come, and its errors speak for
  /// themselves.
  static let unknown = ContentForm(takesText: true, parts: .many)
}

/// Renders conversations with marks in them to see what a template does with contents.
private struct ContentProbe {
  static let roles = ["user", "system", "assistant"]

  let template: Template
  let specials: [String: String]
  /// Two texts that stand nowhere in the template. Digits: no filter for letters changes them.
  let marks: [String]

  enum Fate { case came, lost, refused }

  init(template: Template, specials: [String: String], source: String) {
    // A hostile template may not cost more at a start than a conversation's worth.
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
    // Only a template that looks at parts by name tells them from a text that happens to be
    // printed.
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

  /// What becomes of a content, in the first conversation that the template takes.
  private func fate(
    of role: String, _ content: JSONValue, wanted: [String], _ known: [String: ContentForm]
  ) -> Fate {
    for conversation in conversations(role, content, known) {
      let segments: [PromptSegment]
      do throws(TemplateError) {
        segments = try template.prompt(conversation, specials: specials)
      } catch { continue }
      // The names of a part's members are a message's words too: where one is printed, so was the
      // list as a whole.
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
