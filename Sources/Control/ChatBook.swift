// ChatBook.swift: the conversations of one operator with the node's model. The node keeps them in its
// memory while it runs, so that they are there when the operator comes back; never on the disk. Start
// at ChatBook.

package struct ChatBook: Codable, Sendable, Equatable {
  package struct Conversation: Codable, Sendable, Equatable {
    package var messages: [ChatRequest.Message]

    package init(messages: [ChatRequest.Message] = []) { self.messages = messages }

    /// Bytes of its texts.
    package var size: Int { messages.reduce(0) { $0 + $1.content.utf8.count + 64 } }
  }

  /// At least one, the oldest first.
  package var conversations: [Conversation]
  /// The place of the one that is on the screen.
  package var current: Int

  /// What a node keeps of one operator.
  package static let mostConversations = 20
  package static let mostBytes = 256 << 10

  package init(conversations: [Conversation], current: Int) {
    (self.conversations, self.current) = (conversations, current)
  }

  /// As much as a node keeps: without the oldest conversations, and if the current one alone is too
  /// long, without its oldest messages.
  package var bounded: ChatBook {
    var kept = conversations.isEmpty ? [Conversation()] : conversations
    var place = kept.indices.contains(current) ? current : kept.count - 1
    while kept.count > 1,
      kept.count > Self.mostConversations || kept.reduce(0, { $0 + $1.size }) > Self.mostBytes
    {
      let oldest = place == 0 ? 1 : 0
      kept.remove(at: oldest)
      if oldest < place { place -= 1 }
    }
    while kept[place].size > Self.mostBytes, !kept[place].messages.isEmpty {
      kept[place].messages.removeFirst()
    }
    return ChatBook(conversations: kept, current: place)
  }
}
