// LogprobComparison.swift: the log-probabilities of a saved answer beside those that the model
// gives, entry by entry, in the form of the answer's endpoint. Start at SavedLogprobs.difference.
import JSON
import Receipts

/// The lists under `logprobs` of an answer, the pieces of a stream joined.
struct SavedLogprobs: Sendable {
  /// By their names: `content`, or `tokens`, `token_logprobs`, `top_logprobs` and `text_offset`.
  private var lists: [String: [JSONValue]] = [:]

  init() {}

  private init(_ value: JSONValue) { add(value) }

  mutating func add(_ value: JSONValue) {
    for member in value.members ?? [(key: "", value: value)] {
      switch member.value {
      case .null: break
      case .array(let items): lists[member.key, default: []] += items
      case .bool, .int, .unsigned, .big, .double, .string, .object:
        lists[member.key, default: []].append(member.value)
      }
    }
  }

  private var hasContent: Bool { lists["content"] != nil }

  /// How many tokens they are of.
  var count: Int { (lists["content"] ?? lists["tokens"] ?? []).count }

  /// The most alternatives that an entry names; completions count the chosen one too, if it is not
  /// among them.
  var mostAlternatives: Int {
    let lengths = (lists["content"] ?? lists["top_logprobs"] ?? []).map { entry in
      (hasContent ? entry["top_logprobs"]?.array?.count : entry.members?.count) ?? 0
    }
    return lengths.max() ?? 0
  }

  /// How many alternatives may have been asked for.
  func candidates(asked: Int?) -> [Int] {
    if let asked { return [asked] }
    return hasContent || mostAlternatives == 0
      ? [mostAlternatives] : [mostAlternatives, mostAlternatives - 1]
  }

  /// Where they first differ from what the model gives; nil where they do not.
  /// - expected: with at least `top` alternatives each
  /// - isPrefix: more may follow the expected ones, which nothing here determines
  func difference(from expected: [TextLogprob], top: Int, isPrefix: Bool) -> String? {
    let cut = expected.map {
      TextLogprob(chosen: $0.chosen, top: Array($0.top.prefix(top)), offset: $0.offset)
    }
    let form = hasContent ? OpenAIChat.form(cut) : OpenAICompletions.form(cut)
    // Written and read, as the answer's were. What the node writes it can read.
    guard let read = try? JSONText.parse(JSONWriter.bytes(form)) else { return "they cannot be written" }
    let wanted = SavedLogprobs(read)
    for name in Set(lists.keys).union(wanted.lists.keys).sorted() {
      let (found, given) = (lists[name] ?? [], wanted.lists[name] ?? [])
      if let place = zip(found, given).enumerated().first(where: { !Self.isSame($0.element.0, $0.element.1) }
      )?
      .offset {
        return
          "token \(place): 'logprobs.\(name.filter { $0.isLetter || $0 == "_" })' is not what the model gives"
      }
      if found.count < given.count || found.count > given.count && !isPrefix {
        return "the answer has \(found.count) log-probabilities, the model gives \(given.count)"
      }
    }
    return nil
  }

  /// The same names and numbers, however a client's tools spelled and ordered them. The depth of a
  /// parsed value is bounded, and so is this recursion.
  private static func isSame(_ one: JSONValue, _ other: JSONValue) -> Bool {
    switch (one, other) {
    case (.array(let a), .array(let b)):
      return a.count == b.count && zip(a, b).allSatisfy { isSame($0, $1) }
    case (.object(let a), .object(let b)):
      guard a.count == b.count else { return false }
      let members = Dictionary(b.map { (Array($0.key.utf8), $0.value) }) { first, _ in first }
      return a.allSatisfy { member in
        members[Array(member.key.utf8)].map { isSame(member.value, $0) } ?? false
      }
    case (.string(let a), .string(let b)):
      // Compared as bytes: Swift treats canonically equivalent Unicode texts as equal.
      return Array(a.utf8) == Array(b.utf8)
    default:
      if let a = one.number, let b = other.number { return a == b }
      return one == other
    }
  }
}
