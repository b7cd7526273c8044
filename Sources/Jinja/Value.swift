// Value.swift: the values of a running template: Python's, as far as templates need them. A
// caller's values are JSON (JSONSpelling.swift). Start at Value.

/// A list or another iterable. It is a reference, as in Python, so that every holder sees an
/// `append`.
final class List {
  /// Its Python type; these types print, compare and index differently.
  enum Kind: Equatable {
    case list, tuple
    /// A pair of `groupby`, with the names `grouper` and `list`.
    case group
    case range(from: Int, to: Int, by: Int)
    /// Views of a dictionary.
    case keys, values, items
    /// The result of filters such as `map`: it can be read once, and has neither length nor
    /// indices.
    case iterator
  }

  var items: [Value]
  let kind: Kind
  /// Levels of containers below this one when it was made; bounds the recursion of walking or
  /// freeing it.
  var rank: Int
  /// Already noted by the interpreter as a possible part of a cycle.
  var isNoted = false
  init(_ items: [Value], _ kind: Kind = .list, rank: Int = 1) {
    self.items = items
    self.kind = kind
    self.rank = rank
  }

  var isTuple: Bool { kind == .tuple || kind == .group }
  /// Whether it can be indexed: `value[0]`.
  var isIndexed: Bool {
    switch kind {
    case .list, .tuple, .group, .range: true
    case .keys, .values, .items, .iterator: false
    }
  }

  var name: String {
    switch kind {
    case .list: "a list"
    case .tuple, .group: "a tuple"
    case .range: "a range"
    case .keys: "the keys of a mapping"
    case .values: "the values of a mapping"
    case .items: "the items of a mapping"
    case .iterator: "an iterator"
    }
  }
}

/// A key: equal numbers are equal keys, as in Python (1, 1.0 and True are one key).
enum Key: Hashable {
  case text([UInt32])
  case int(Int)
  case big(BigInteger)
  case double(Double)
  case none
  case undefined
  case tuple([Key])
  case range([Int])
  /// A value that is equal only to itself.
  case object(ObjectIdentifier)
}

/// A dictionary in order of insertion, or the attributes of a namespace.
final class Mapping {
  private(set) var keys: [Value] = []
  private(set) var values: [Value] = []
  private var places: [Key: Int] = [:]
  var rank = 1
  /// Already noted by the interpreter as a possible part of a cycle.
  var isNoted = false

  var count: Int { keys.count }

  subscript(_ key: Key) -> Value? {
    places[key].map { values[$0] }
  }

  /// Replaces the value of a known key (which keeps its first spelling) or appends a new one.
  func set(_ key: Key, _ spelling: Value, _ value: Value) {
    if let place = places[key] {
      values[place] = value
    } else {
      places[key] = keys.count
      keys.append(spelling)
      values.append(value)
    }
  }

  func remove(_ key: Key) -> Value? {
    guard let place = places.removeValue(forKey: key) else { return nil }
    keys.remove(at: place)
    let value = values.remove(at: place)
    for (other, at) in places where at > place { places[other] = at - 1 }
    return value
  }

  func removeAll() {
    keys = []
    values = []
    places = [:]
  }
}

/// A macro with the scope it closes over; `caller` of a call block is one too.
final class BoundMacro {
  let definition: Syntax.Macro
  let scope: Scope
  init(_ definition: Syntax.Macro, scope: Scope) {
    self.definition = definition
    self.scope = scope
  }
}

/// The result of `cycler(...)` and `joiner(...)`: the values, and how many were taken.
final class Turns {
  let values: [Value]
  let isJoiner: Bool
  let rank: Int
  var place = 0
  init(_ values: [Value], isJoiner: Bool, rank: Int) {
    self.values = values
    self.isJoiner = isJoiner
    self.rank = rank
  }
}

/// The `loop` of a for block.
final class Loop {
  let items: [Value]
  let depth: Int
  /// The for statement and where it stands, when it is recursive and `loop(...)` may be called.
  let recursion: (Syntax.For, Scope)?
  var place = 0
  var changed: [Value]?
  /// See List.rank.
  var rank: Int
  init(items: [Value], depth: Int, rank: Int, recursion: (Syntax.For, Scope)?) {
    self.rank = rank
    self.items = items
    self.depth = depth
    self.recursion = recursion
  }
}

/// The names of one scope; a for body, a macro call and a captured block each have their own.
final class Scope {
  var names: [String: Value] = [:]
  let parent: Scope?
  init(parent: Scope?) {
    self.parent = parent
  }
}

/// All functions that a template may call.
enum Function: String, CaseIterable {
  case range, namespace, dict, cycler, joiner
  case raiseException = "raise_exception"
  case strftimeNow = "strftime_now"
}

/// A value while a template runs.
enum Value {
  /// A missing name or member; it reads as empty, and any further use is refused.
  case undefined(String)
  case none
  case bool(Bool)
  case int(Int)
  /// A whole number that does not fit `int`.
  case big(BigInteger)
  case double(Double)
  case text(Text)
  case list(List)
  case dictionary(Mapping)
  case namespace(Mapping)
  case loop(Loop)
  case macro(BoundMacro)
  case turns(Turns)
  case function(Function)
  /// A method of a value, not called yet. Its name is always one of the fixed lists in
  /// Methods.swift.
  indirect case method(Value, String)

  /// The type as a template's author would call it.
  var kind: String {
    switch self {
    case .undefined: "an undefined value"
    case .none: "none"
    case .bool: "a boolean"
    case .int, .big, .double: "a number"
    case .text: "a text"
    case .list(let list): list.name
    case .dictionary: "a mapping"
    case .namespace: "a namespace"
    case .loop: "the loop"
    case .macro: "a macro"
    case .turns(let turns): turns.isJoiner ? "a joiner" : "a cycler"
    case .function, .method: "a function"
    }
  }

  /// Python's truth.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .int(let value): value != 0
    case .big: true
    case .double(let value): value != 0
    case .text(let text): !text.isEmpty
    case .list(let list): list.kind == .iterator || !list.items.isEmpty
    case .dictionary(let dictionary): dictionary.count > 0
    case .namespace, .loop, .macro, .turns, .function, .method: true
    }
  }

  /// Levels of containers; see List.rank.
  var rank: Int {
    switch self {
    case .list(let list): list.rank
    case .dictionary(let dictionary), .namespace(let dictionary): dictionary.rank
    case .loop(let loop): loop.rank
    case .turns(let turns): turns.rank
    case .method(let value, _): value.rank
    default: 0
    }
  }

  /// As a key of a dictionary; nil for a value that cannot be one.
  var key: Key? {
    switch self {
    case .text(let text): return .text(text.plain)
    case .bool(let value): return .int(value ? 1 : 0)
    case .int(let value): return .int(value)
    case .big(let value): return .big(value)
    case .double(let value):
      if let whole = Int(exactly: value) { return .int(whole) }
      if value == value.rounded(), let whole = BigInteger(value) { return .big(whole) }
      return .double(value)
    case .none: return Key.none
    case .undefined: return .undefined
    case .list(let list) where list.isTuple:
      var keys: [Key] = []
      for item in list.items {
        guard let key = item.key else { return nil }
        keys.append(key)
      }
      return .tuple(keys)
    case .list(let list):
      switch list.kind {
      case .range:
        return .range(list.items.compactMap { if case .int(let number) = $0 { number } else { nil } })
      case .iterator, .values: return .object(ObjectIdentifier(list))
      default: return nil
      }
    case .namespace(let space): return .object(ObjectIdentifier(space))
    case .loop(let loop): return .object(ObjectIdentifier(loop))
    case .macro(let macro): return .object(ObjectIdentifier(macro))
    case .turns(let turns): return .object(ObjectIdentifier(turns))
    default: return nil
    }
  }

  /// A whole number as it is stored: small if it fits.
  static func whole(_ value: BigInteger) -> Value { value.int.map { .int($0) } ?? .big(value) }
}
