// ChatMessage.swift: one message of a conversation, and a conversation as chat templates read it.

import Foundation
import JSON
import Jinja

/// One message of a conversation.
public struct ChatMessage: Sendable, Equatable {
  public var role: String
  public var content: String
  /// The texts of the content's parts, if it came as a list of parts.
  public var parts: [String]?
  /// What an assistant's message called.
  package var calls: [ChatToolCall] = []
  /// For a message of role `tool`: the call that it answers, and the tool's name.
  package var callID: String?
  package var name: String?
  /// What an assistant's message thought before.
  package var reasoning: String?

  public init(role: String, content: String) {
    self.role = role
    self.content = content
  }

  public init(role: String, parts: [String]) {
    self.role = role
    self.content = parts.joined()
    self.parts = parts
  }

  /// The message as templates read it: `message.role`, `message['content']`, `message.tool_calls`.
  package var value: JSONValue {
    let content = parts.map { JSONValue.array($0.map { Self.part($0) }) } ?? .string(content)
    var members: [JSONValue.Member] = [(key: "role", value: .string(role)), (key: "content", value: content)]
    if let reasoning { members.append((key: "reasoning_content", value: .string(reasoning))) }
    if !calls.isEmpty { members.append((key: "tool_calls", value: .array(calls.map(\.value)))) }
    if let callID { members.append((key: "tool_call_id", value: .string(callID))) }
    if let name { members.append((key: "name", value: .string(name))) }
    return .object(members)
  }

  /// A part of a content: `{"type": "text", "text": ...}`.
  static func part(_ text: String) -> JSONValue { ["type": "text", "text": .string(text)] }
}

/// One call in an assistant's message.
package struct ChatToolCall: Sendable, Equatable {
  package var id: String
  package var name: String
  /// JSON.
  package var arguments: String

  package init(id: String, name: String, arguments: String) {
    self.id = id
    self.name = name
    self.arguments = arguments
  }

  /// As OpenAI's chats have it.
  var value: JSONValue {
    [
      "id": .string(id), "type": "function",
      "function": ["name": .string(name), "arguments": .string(arguments)],
    ]
  }
}

/// What a request hands to a template besides the messages.
package struct ChatExtras: Sendable {
  /// Definitions of tools as OpenAI's chats have them.
  package var tools: [JSONValue] = []
  /// More values by name.
  package var variables: [JSONValue.Member] = []

  package init(tools: [JSONValue] = [], variables: [JSONValue.Member] = []) {
    self.tools = tools
    self.variables = variables
  }
}

extension Template {
  /// The prompt for a conversation, in segments: none empty, neighbours of different trust.
  /// - Parameters:
  ///   - messages: Objects with `role` and `content`, and other members that the template knows
  ///     (`tool_calls`, ...).
  ///   - specials: Trusted texts by name: `bos_token`, `eos_token` as the vocabulary spells them.
  ///   - addGenerationPrompt: Whether the prompt ends with the opening of the assistant's turn.
  ///   - variables: More values by name, such as `tools`; untrusted like the messages.
  ///   - now: The time of `strftime_now`, in the time zone of this machine.
  package func prompt(
    _ messages: [JSONValue], specials: [String: String] = [:], addGenerationPrompt: Bool = true,
    variables: [JSONValue.Member] = [], now: Date = Date()
  ) throws(TemplateError) -> [PromptSegment] {
    let own = specials.map { (key: $0.key, value: JSONValue.string($0.value)) }
    return try render(
      variables + [("messages", .array(messages))],
      own: own + [("add_generation_prompt", .bool(addGenerationPrompt))], now: now
    ).map { PromptSegment(text: $0.text, isTrusted: $0.isTrusted) }
  }
}
