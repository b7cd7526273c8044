// ToolCall.swift: what an answer with tool calls is made of: the tools that were offered, a call, and
// the events that a parser makes of an answer's text. Start at MessageParser.

import JSON

/// A tool that a request offers.
package struct ToolDefinition: Sendable, Equatable {
  package let name: String
  /// The JSON schema of its arguments; nil if the request gave none.
  package let parameters: JSONValue?

  package init(name: String, parameters: JSONValue? = nil) {
    self.name = name
    self.parameters = parameters
  }
}

/// A call as the model wrote it.
package struct ToolCall: Sendable, Equatable {
  /// The model's own name for the call; nil where the format has none.
  package var id: String?
  package var name: String
  /// The members of the arguments' object, in the order of the text, each name once.
  package var arguments: [JSONValue.Member]

  package init(id: String? = nil, name: String, arguments: [JSONValue.Member]) {
    self.id = id
    self.name = name
    self.arguments = arguments
  }

  /// The arguments as one line of JSON.
  package var argumentsText: String {
    String(decoding: JSONWriter.bytes(.object(arguments)), as: UTF8.self)
  }

  package static func == (one: ToolCall, other: ToolCall) -> Bool {
    one.id == other.id && one.name == other.name
      && JSONValue.object(one.arguments) == JSONValue.object(other.arguments)
  }
}

/// A piece of an answer. Nothing that was sent is taken back.
package enum MessageEvent: Sendable, Equatable {
  case reasoning(String)
  case content(String)
  /// A call begins; `index` counts from 0. Its arguments follow at once.
  case call(index: Int, id: String?, name: String)
  case arguments(index: Int, text: String)
  case finished(MessageEnding)
}

/// Why an answer ended.
package enum MessageEnding: Sendable, Equatable {
  case stop
  /// The limit of tokens cut the text.
  case length
  /// The model stopped, and called at least one tool.
  case toolCalls
}
