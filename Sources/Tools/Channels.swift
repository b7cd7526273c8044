// Channels.swift: answers that are a row of messages, each with a header that says for whom it is:
// the user, the model itself, or a tool. The formats with channels are Harmony and Atem.

import JSON

struct Channels: Sendable {
  /// What a header makes of its message.
  enum Kind: Sendable, Equatable {
    case reasoning, content
    /// The message is a call of the tool of that name.
    case call(name: String)
  }

  /// A longer header is none.
  static let maximumHeader = 512

  /// What stands before a header; the prompt ends with the first one.
  var start: Marker
  /// What a header may begin with.
  var headerStarts: [Marker]
  /// What ends a header.
  var message: Marker
  /// What ends a message.
  var ends: [Marker]
  var kind: @Sendable (_ header: String) -> Kind
  /// What stands before a message of each kind, header and mark.
  var written: Written

  /// Headers; but for the first, as elements of the notation of shapes (CallNotation.swift).
  struct Written: Sendable {
    var reasoning: String
    var content: JSONValue
    /// The headers of a call of the tool of this name, each of which will do.
    var call: @Sendable (_ name: String) -> [JSONValue]
  }

  /// The word after `to=`.
  static func recipient(_ header: String) -> String? {
    let words = header.split { $0.isWhitespace || $0 == "<" || $0 == ">" }
    return words.first { $0.hasPrefix("to=") && $0.count > 3 }.map { String($0.dropFirst(3)) }
  }
}
