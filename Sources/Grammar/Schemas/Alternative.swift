// Alternative.swift: several schemas that must hold together, merged keyword by keyword: one of the
// alternatives that a schema with references and branches comes to. Start at Alternative.merge.

import JSON

/// What a value must be, without references, branches and conjunctions.
struct Alternative {
  var kinds: Kinds = .all
  /// Whether some schema names types; without that, the types that keywords are about are meant.
  var namesKinds = false
  var mentioned: Kinds = []
  var bounds = NumberBounds()
  var values: [JSONValue]?
  var leastLength = 0
  var mostLength: Int?
  /// Where each expression stands, and what it says.
  var patterns: [(pointer: String, text: String)] = []
  var formats: [String] = []
  var arrays: [Keywords.Array] = []
  var leastItems = 0
  var mostItems: Int?
  var objects: [Keywords.Object] = []
  var required: [String] = []
  var names: [Keywords.Part] = []
  var leastMembers = 0
  var mostMembers: Int?
  /// Where the schema that was merged last stands.
  var pointer = ""
  /// The schemas that it consists of, by number.
  var merged: Set<Int> = []

  /// Whether any JSON value will do.
  var isFree: Bool { kinds == .all && mentioned.isEmpty && values == nil }

  /// The types to write.
  var kindsToWrite: Kinds { namesKinds || mentioned.isEmpty ? kinds : kinds.intersection(mentioned) }

  /// False if no value can meet both, as far as the types tell.
  mutating func merge(_ keywords: Keywords, at pointer: String) -> Bool {
    self.pointer = pointer
    if let kinds = keywords.kinds {
      self.kinds.formIntersection(kinds)
      namesKinds = true
      bounds.isWhole = bounds.isWhole || keywords.isWhole
    }
    mentioned.formUnion(keywords.mentioned)
    if let values = keywords.values {
      self.values = self.values.map { values.common(with: $0) } ?? values
    }
    if let low = keywords.bounds.low { bounds.raise(low) }
    if let high = keywords.bounds.high { bounds.lower(high) }
    bounds.multiples += keywords.bounds.multiples
    leastLength = max(leastLength, keywords.leastLength)
    mostLength = Self.least(mostLength, keywords.mostLength)
    if let pattern = keywords.pattern { patterns.append((pointer + "/pattern", pattern)) }
    if let format = keywords.format { formats.append(format) }
    if keywords.array.items != nil || !keywords.array.prefix.isEmpty { arrays.append(keywords.array) }
    leastItems = max(leastItems, keywords.leastItems)
    mostItems = Self.least(mostItems, keywords.mostItems)
    if !keywords.object.isEmpty { objects.append(keywords.object) }
    if !keywords.required.isEmpty {
      var known = Set(required)
      for name in keywords.required where known.insert(name).inserted { required.append(name) }
    }
    if let names = keywords.names { self.names.append(names) }
    leastMembers = max(leastMembers, keywords.leastMembers)
    mostMembers = Self.least(mostMembers, keywords.mostMembers)
    return !kinds.isEmpty && values?.isEmpty != true
  }

  private static func least(_ one: Int?, _ other: Int?) -> Int? {
    guard let one else { return other }
    return other.map { min($0, one) } ?? one
  }
}
