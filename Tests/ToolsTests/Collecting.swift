// Collecting.swift: an answer's events put together again, as a client does, with a check that their
// order is what clients can follow.

import JSON
import Testing

@testable import Tools

struct Collected {
  struct Call: Equatable {
    var name: String
    var arguments: String
  }

  var content = ""
  var reasoning = ""
  var calls: [Call] = []
  var ending: MessageEnding?

  /// Feeds the text in pieces of so many characters; nil feeds it whole.
  init(
    _ text: String, pieces: Int?, format: ToolFormat?, reasoning tags: ReasoningTags?,
    tools: [ToolDefinition],
    prompt: String = "", isCut: Bool = false
  ) {
    var parser = MessageParser(format: format, reasoning: tags, tools: tools, prompt: prompt)
    let characters = Array(text)
    let size = pieces ?? max(1, characters.count)
    for start in stride(from: 0, to: characters.count, by: size) {
      add(parser.feed(String(characters[start..<min(start + size, characters.count)])))
    }
    add(parser.finish(isCut: isCut))
  }

  private mutating func add(_ events: [MessageEvent]) {
    for event in events {
      #expect(ending == nil, "an event after the end")
      switch event {
      case .content(let text):
        #expect(!text.isEmpty)
        content += text
      case .reasoning(let text):
        #expect(!text.isEmpty)
        reasoning += text
      case .call(let index, _, let name):
        #expect(index == calls.count)
        calls.append(Call(name: name, arguments: ""))
      case .arguments(let index, let text):
        #expect(index == calls.count - 1)
        guard calls.indices.contains(index) else { continue }
        calls[index].arguments += text
      case .finished(let how): ending = how
      }
    }
  }
}

/// Whether two values are the same JSON, whatever the order of members and the spelling of numbers.
func isSame(_ one: JSONValue, _ other: JSONValue) -> Bool {
  switch (one, other) {
  case (.object(let a), .object(let b)):
    a.count == b.count
      && a.allSatisfy { member in other[member.key].map { isSame(member.value, $0) } ?? false }
  case (.array(let a), .array(let b)): a.count == b.count && zip(a, b).allSatisfy { isSame($0, $1) }
  default: one == other || (one.number != nil && one.number == other.number)
  }
}

func parsed(_ text: String) -> JSONValue? { parseJSON(Array(text.utf8)) }
