// DashboardModel+Chat.swift: several conversations, of which one is on the screen: begin, turn to
// another, forget, ask again, and system prompts under names. Keys and sending are in
// DashboardModel+Keys.swift, drawing in ChatPane.swift. Start at turnChat.
import Control
import Terminal

extension ChatState {
  /// Nothing was said here yet.
  var isUntouched: Bool {
    messages.isEmpty && phase == .idle && shelf.count == 1 && shelf[0].messages.isEmpty
  }

  /// All conversations as they are now.
  var book: ChatBook {
    var all = shelf
    if all.indices.contains(place) { all[place] = ChatBook.Conversation(messages: messages) }
    return ChatBook(conversations: all, current: place)
  }

  mutating func take(_ book: ChatBook) {
    let book = book.bounded
    shelf = book.conversations
    show(book.current)
  }

  /// Puts another conversation on the screen. Thoughts are not kept.
  mutating func show(_ other: Int) {
    guard shelf.indices.contains(other) else { return }
    place = other
    messages = shelf[other].messages
    thoughts = [:]
    thought = ""
    answer = ""
    phase = .idle
    scroll = 0
    note = nil
    rate = nil
    editedFrom = nil
  }

  /// Takes the messages from a place on away.
  mutating func cut(from first: Int) {
    messages.removeSubrange(min(first, messages.count)...)
    thoughts = thoughts.filter { $0.key < first }
    editedFrom = nil
  }

  /// The place of the last question.
  var lastQuestion: Int? { messages.lastIndex { $0.role == .user } }
}

extension DashboardModel {
  /// Has the node keep the conversations. One that does not know the command refuses it in silence:
  /// it keeps nothing.
  mutating func keepChats() -> [Effect] {
    if isReadOnly || link != .connected { return [] }
    let effect = send(.keepChats(chat.book.bounded))
    if case .send(_, let tag) = effect { silentTags.insert(tag) }
    return [effect]
  }

  private mutating func isBusy() -> Bool {
    if chat.phase == .idle { return false }
    say("one answer at a time: C-c stops this one", isError: true)
    return true
  }

  mutating func newChat() -> [Effect] {
    if isBusy() { return [] }
    chat.shelf = chat.book.conversations
    if chat.messages.isEmpty {
      say("this conversation is new")
      return []
    }
    if chat.shelf.count >= ChatBook.mostConversations { chat.shelf.removeFirst() }
    chat.shelf.append(ChatBook.Conversation())
    chat.show(chat.shelf.count - 1)
    say("a new conversation; :previous-chat goes back to the old one")
    return keepChats()
  }

  mutating func turnChat(by step: Int) -> [Effect] {
    if isBusy() { return [] }
    chat.shelf = chat.book.conversations
    let count = chat.shelf.count
    if count < 2 {
      say("there is one conversation; :new-chat begins another")
      return []
    }
    chat.show((chat.place + step + count) % count)
    say("conversation \(chat.place + 1) of \(count)")
    return keepChats()
  }

  mutating func forgetChat() -> [Effect] {
    if isBusy() { return [] }
    chat.shelf = chat.book.conversations
    chat.shelf.remove(at: chat.place)
    if chat.shelf.isEmpty { chat.shelf = [ChatBook.Conversation()] }
    chat.show(min(chat.place, chat.shelf.count - 1))
    say("the conversation is forgotten")
    return keepChats()
  }

  /// Another answer to the last question, in place of the one that is there.
  mutating func regenerate() -> [Effect] {
    if isBusy() { return [] }
    guard let question = chat.lastQuestion else {
      say("there is no question to answer again", isError: true)
      return []
    }
    if isReadOnly || link != .connected {
      say(
        isReadOnly ? "read-only: this dashboard only looks" : "no line to the node: not sent", isError: true)
      return []
    }
    chat.cut(from: question + 1)
    return askModel()
  }

  /// Puts the last question into the field; Enter asks it in place of the old one.
  mutating func editQuestion() -> [Effect] {
    if isBusy() { return [] }
    guard let question = chat.lastQuestion else {
      say("there is no question to change", isError: true)
      return []
    }
    if isReadOnly {
      say("read-only: this dashboard only looks", isError: true)
      return []
    }
    focus = .chat
    mode = .chat
    chat.editor.set(chat.messages[question].content)
    chat.editedFrom = question
    say("Enter asks this in place of the last question, Esc leaves it")
    return []
  }

  /// A name that was kept, or else a text.
  mutating func setSystem(_ text: String) -> [Effect] {
    chat.system = systems[text] ?? text
    say(
      text.isEmpty
        ? "no system prompt" : "the system prompt is set\(systems[text] == nil ? "" : " to '\(text)'")")
    return []
  }

  mutating func keepSystem(_ name: String) -> [Effect] {
    guard (1...40).contains(name.count), !name.contains(" ") else {
      say(":keep-system wants a name without blanks, found '\(displaySafe(name.prefix(30)))'", isError: true)
      return []
    }
    if chat.system.isEmpty {
      say(systems.removeValue(forKey: name) == nil ? "there is no '\(name)'" : "'\(name)' is forgotten")
    } else if systems[name] == nil, systems.count >= 50 {
      say("50 system prompts are kept already", isError: true)
    } else {
      systems[name] = chat.system
      say("kept: ':system \(name)' sets it again")
    }
    return []
  }
}
