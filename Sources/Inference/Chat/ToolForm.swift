// ToolForm.swift: how a chat template reads tools: found out by rendering a conversation with a call
// once, when the template is read, as ChatFormat does with contents. Templates differ in whether a
// call's arguments are an object or its text, and in whether a message that only calls has an empty
// content or none. Start at ToolForm.init.

import JSON
import Jinja

/// The form of calls that a template renders.
struct ToolForm: Sendable, Equatable {
  /// Arguments are handed as an object; else as JSON text.
  let argumentsAreObjects: Bool
  /// A message that only calls has no content; else an empty one.
  let contentIsNull: Bool

  /// Nil if the template doesn't show tools, or not the calls in a conversation and what tools
  /// answered.
  init?(_ template: Template, specials: [String: String], source: String) {
    guard source.contains("tools") else { return nil }
    var limits = TemplateLimits.standard
    limits.steps = 100_000
    limits.characters = 1 << 20
    let template = template.limited(to: limits)
    // Letters and digits that no template has, and that no filter changes.
    let (name, argument, answer) = ("f7301946582", "8311047601", "9322148620")
    let tools: JSONValue = [
      [
        "type": "function",
        "function": [
          "name": .string(name), "description": "d",
          "parameters": [
            "type": "object", "properties": ["k": ["type": "string", "description": "d"]], "required": ["k"],
          ],
        ],
      ]
    ]
    func rendered(_ messages: [JSONValue]) -> String? {
      do throws(TemplateError) {
        return try template.prompt(
          messages, specials: specials, variables: [(key: "tools", value: tools)]
        ).map(\.text).joined()
      } catch {
        // A template that refuses the conversation doesn't read it.
        return nil
      }
    }
    let user: JSONValue = ["role": "user", "content": "1"]
    guard rendered([user])?.contains(name) ?? false else { return nil }
    for (isObject, isNull) in [(true, true), (true, false), (false, true), (false, false)] {
      let arguments: JSONValue = isObject ? ["k": .string(argument)] : .string("{\"k\": \"\(argument)\"}")
      let conversation: [JSONValue] = [
        user,
        [
          "role": "assistant", "content": isNull ? .null : "",
          "tool_calls": [
            [
              "id": "call00001", "type": "function",
              "function": ["name": .string(name), "arguments": arguments],
            ]
          ],
        ],
        ["role": "tool", "tool_call_id": "call00001", "name": .string(name), "content": .string(answer)],
      ]
      guard let text = rendered(conversation), text.contains(argument), text.contains(answer) else {
        continue
      }
      // A null or an object that is printed as Python prints it was not meant to be printed, and a
      // text that is encoded once more was meant to be an object.
      if text.contains("None") || text.contains("{'k'") || text.contains("\\\"k\\\"") { continue }
      argumentsAreObjects = isObject
      contentIsNull = isNull
      return
    }
    return nil
  }

  /// The calls of a message with their arguments as the template reads them.
  func handed(_ calls: JSONValue) -> JSONValue {
    guard argumentsAreObjects, case .array(let items) = calls else { return calls }
    return .array(
      items.map { item in
        guard let function = item["function"], let name = function["name"],
          let text = function["arguments"]?.string, let id = item["id"]
        else { return item }
        return ["id": id, "type": "function", "function": ["name": name, "arguments": Self.object(text)]]
      })
  }

  /// The object that a text of arguments is; a text that is none, which a client made up, stays one.
  private static func object(_ text: String) -> JSONValue {
    if text.isEmpty { return [:] }
    var limits = JSONText.Limits()
    limits.duplicateKeys = .allowed
    limits.integers = .exact
    guard let value = try? JSONText.parse(Array(text.utf8), limits: limits), case .object = value else {
      return .string(text)
    }
    return value
  }
}

/// Tools for a model whose template knows none: definitions, calls and answers as texts of messages,
/// in the form that most models have seen (JSON in `<tool_call>` tags).
struct PlainTools {
  private let given: [ChatMessage]
  private let tools: [JSONValue]

  /// Nil if the conversation has no tools in it.
  init?(_ messages: [ChatMessage], _ tools: [JSONValue]) {
    guard !tools.isEmpty || messages.contains(where: { $0.role == "tool" || !$0.calls.isEmpty }) else {
      return nil
    }
    given = messages
    self.tools = tools
  }

  /// - underSystem: whether the definitions stand in the system's message; else in the first one
  func messages(underSystem: Bool) -> [ChatMessage] {
    var messages: [ChatMessage] = []
    for message in given {
      var text = message.content
      for call in message.calls {
        let name = String(decoding: JSONWriter.bytes(.string(call.name)), as: UTF8.self)
        let arguments = call.arguments.isEmpty ? "{}" : call.arguments
        text +=
          (text.isEmpty ? "" : "\n")
          + "<tool_call>\n{\"name\": \(name), \"arguments\": \(arguments)}\n</tool_call>"
      }
      guard message.role == "tool" else {
        var plain = message.calls.isEmpty ? message : ChatMessage(role: message.role, content: text)
        plain.reasoning = message.reasoning
        messages.append(plain)
        continue
      }
      text = "<tool_response>\n\(text)\n</tool_response>"
      // Answers to calls of one message are one message.
      if let last = messages.indices.last, messages[last].role == "user",
        messages[last].content.hasSuffix("</tool_response>")
      {
        messages[last] = ChatMessage(role: "user", content: messages[last].content + "\n" + text)
      } else {
        messages.append(ChatMessage(role: "user", content: text))
      }
    }
    guard !tools.isEmpty else { return messages }
    if let first = messages.first, first.role == "system" || !underSystem {
      messages[0] = ChatMessage(role: first.role, content: first.content + "\n\n" + definitions)
    } else {
      messages.insert(ChatMessage(role: "system", content: definitions), at: 0)
    }
    return messages
  }

  private var definitions: String {
    let lines = tools.map { String(decoding: JSONWriter.bytes($0), as: UTF8.self) }
    return """
      You can call these tools, one JSON object a line:
      <tools>
      \(lines.joined(separator: "\n"))
      </tools>
      To call one, write its name and its arguments in these tags, once for each call:
      <tool_call>
      {"name": "NAME", "arguments": {"KEY": "VALUE"}}
      </tool_call>
      What a tool answers comes back in <tool_response> tags.
      """
  }
}
