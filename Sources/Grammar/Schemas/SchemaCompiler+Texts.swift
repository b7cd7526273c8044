// SchemaCompiler+Texts.swift: the texts of the values that one alternative of a schema allows, type
// by type. Start at SchemaCompiler.text(of:).

import JSON

extension SchemaCompiler {
  /// A pattern or format is combined with lengths up to this.
  private static let longestPatternLength = 4_096
  /// Members whose names are given by patterns: every combination of patterns is looked at.
  private static let mostPatterns = 4

  mutating func text(of alternative: Alternative) throws(GrammarError) -> Expression {
    if alternative.isFree { return try anyValue(at: alternative.pointer) }
    if let values = alternative.values { return try text(of: values, alternative) }
    let kinds = alternative.kindsToWrite
    var branches: [Expression] = []
    if kinds.contains(.object) { branches.append(try object(alternative)) }
    if kinds.contains(.array) { branches.append(try array(alternative)) }
    if kinds.contains(.string) { branches.append(try string(alternative)) }
    if kinds.contains(.number) { branches.append(try number(alternative)) }
    if kinds.contains(.boolean) { branches.append(JSONTexts.anyBoolean) }
    if kinds.contains(.null) { branches.append(.text("null")) }
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  /// The texts of the values of some alternatives, strings as themselves: without quotation marks, and
  /// without `end` in them. What is no string is JSON.
  mutating func bareText(
    of alternatives: [Alternative], end: String
  ) throws(GrammarError) -> Expression {
    let free = try attempt(at: "") { (budget) throws(Refusal) in try DFA(without: [end], &budget) }
    var branches: [Expression] = []
    for alternative in alternatives {
      guard !alternative.isFree else { return .language(free, .utf8) }
      let words = alternative.values?.compactMap(\.string)
      if alternative.kindsToWrite.contains(.string), words?.isEmpty != true {
        var language = try lengths(alternative, try language(alternative) ?? free)
        if let words {
          let tree = try attempt(at: alternative.pointer) { (budget) throws(Refusal) in
            try DFA(words: words, &budget)
          }
          language = try attempt(at: alternative.pointer) { (budget) throws(Refusal) in
            try language?.intersection(tree, &budget)
          }
        }
        if let found = language {
          let kept = try attempt(at: alternative.pointer) { (budget) throws(Refusal) in
            try found.intersection(free, &budget)
          }
          if !kept.isEmpty { branches.append(.language(kept, .utf8)) }
        }
      }
      var other = alternative
      other.kinds = alternative.kindsToWrite.subtracting(.string)
      other.namesKinds = true
      if let values = other.values {
        other.values = values.filter { $0.string == nil }
        if other.values?.isEmpty == true { continue }
      }
      if !other.kinds.isEmpty { branches.append(try text(of: other)) }
    }
    return .alternatives(branches)
  }

  // MARK: Given values

  private mutating func text(
    of values: [JSONValue], _ alternative: Alternative
  ) throws(GrammarError) -> Expression {
    var branches: [Expression] = []
    var words: [String] = []
    for (index, value) in values.enumerated() where alternative.kinds.contains(Kinds(value)) {
      switch value {
      case .null, .bool: branches.append(try constant(value, in: alternative))
      case .int, .unsigned, .big, .double:
        guard let number = Decimal(value) else {
          throw GrammarError(
            place: .pointer(alternative.pointer), message: "a number of more than 400 digits")
        }
        if alternative.bounds.contains(number) { branches.append(try constant(value, in: alternative)) }
      case .string(let text): words.append(text)
      case .array(let elements):
        guard alternative.limitsArrays else {
          branches.append(try constant(value, in: alternative))
          continue
        }
        var given = alternative
        given.values = nil
        given.kinds = .array
        given.namesKinds = true
        given.leastItems = max(given.leastItems, elements.count)
        given.mostItems = min(given.mostItems ?? elements.count, elements.count)
        guard given.leastItems == elements.count, given.mostItems == elements.count else { continue }
        var exact = Keywords.Array()
        exact.prefix = elements.enumerated().map {
          constant($0.element, "\(alternative.pointer)#\(index)/\($0.offset)")
        }
        given.arrays.append(exact)
        branches.append(try array(given))
      case .object(let members):
        guard alternative.limitsObjects else {
          branches.append(try constant(value, in: alternative))
          continue
        }
        var given = alternative
        given.values = nil
        given.kinds = .object
        given.namesKinds = true
        var exact = Keywords.Object()
        exact.properties = members.map {
          ($0.key, constant($0.value, "\(alternative.pointer)#\(index)/\(Keywords.escaped($0.key))"))
        }
        exact.additional = ("\(alternative.pointer)#none", .bool(false))
        let known = Set(given.required)
        given.required += members.map(\.key).filter { !known.contains($0) }
        given.objects.insert(exact, at: 0)
        branches.append(try object(given))
      }
    }
    if !words.isEmpty { branches.append(try strings(words, alternative)) }
    return branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  private mutating func constant(
    _ value: JSONValue, in alternative: Alternative
  ) throws(GrammarError) -> Expression {
    try write(at: alternative.pointer) { (texts, rules, budget) throws(Refusal) in
      try texts.text(of: value, &rules, &budget)
    }
  }

  private mutating func anyValue(at pointer: String) throws(GrammarError) -> Expression {
    try write(at: pointer) { (texts, rules, budget) throws(Refusal) in
      try texts.anyValue(&rules, &budget)
    }
  }

  /// The strings of a language, as they are written; any string if there is none.
  private mutating func strings(_ language: DFA?, at pointer: String) throws(GrammarError) -> Expression {
    try write(at: pointer) { (texts, rules, budget) throws(Refusal) in
      if let language { return try texts.strings(language, &budget) }
      return try texts.anyString(&rules, &budget)
    }
  }

  /// Writes with the rules that all schemas share.
  private mutating func write(
    at pointer: String,
    _ work: (inout JSONTexts, inout Rules, inout Budget) throws(Refusal) -> Expression
  ) throws(GrammarError) -> Expression {
    do throws(Refusal) { return try work(&texts, &rules, &budget) } catch {
      throw error.at(.pointer(pointer))
    }
  }

  private func constant(_ value: JSONValue, _ pointer: String) -> Keywords.Part {
    (pointer, .object([(key: "const", value: value)]))
  }

  private mutating func strings(
    _ words: [String], _ alternative: Alternative
  ) throws(GrammarError) -> Expression {
    let language = try language(alternative)
    let kept = words.filter { word in
      let length = word.unicodeScalars.count
      return length >= alternative.leastLength && length <= alternative.mostLength ?? .max
        && language?.accepts(word) != false
    }
    let tree = try attempt(at: alternative.pointer) { (budget) throws(Refusal) in
      try DFA(words: kept, &budget)
    }
    return kept.isEmpty ? .nothing : try strings(tree, at: alternative.pointer)
  }

  // MARK: Numbers and strings

  private mutating func number(_ alternative: Alternative) throws(GrammarError) -> Expression {
    let bounds = alternative.bounds
    if bounds.isUnbounded { return bounds.isWhole ? texts.anyInteger(&rules) : texts.anyNumber(&rules) }
    let (above, below) = try attempt(at: alternative.pointer) { (budget) throws(Refusal) in
      try NumberTexts.languages(bounds, &budget)
    }
    var branches: [Expression] = []
    if let above { branches.append(.language(above, .utf8)) }
    if let below { branches.append(.sequence([.text("-"), .language(below, .utf8)])) }
    return .alternatives(branches)
  }

  /// What the patterns and formats leave; nil if there are none.
  private mutating func language(_ alternative: Alternative) throws(GrammarError) -> DFA? {
    var result: DFA?
    func combine(_ language: DFA, at pointer: String, _ compiler: inout SchemaCompiler) throws(GrammarError) {
      guard let known = result else {
        result = language
        return
      }
      result = try compiler.attempt(at: pointer) { (budget) throws(Refusal) in
        try known.intersection(language, &budget)
      }
    }
    for pattern in alternative.patterns {
      try combine(try expression(pattern.text, at: pattern.pointer), at: pattern.pointer, &self)
    }
    guard holdsFormats else { return result }
    for format in alternative.formats {
      guard let text = Formats.expressions[format] else { continue }
      let language: DFA
      if let known = formats[format] {
        language = known
      } else {
        language = try attempt(at: alternative.pointer) { (budget) throws(Refusal) in
          try DFA(try ExpressionReader.read(text, &budget), &budget)
        }
        formats[format] = language
      }
      try combine(language, at: alternative.pointer, &self)
    }
    return result
  }

  /// The texts in which an expression matches somewhere.
  private mutating func expression(_ text: String, at pointer: String) throws(GrammarError) -> DFA {
    if let known = expressions[text] { return known }
    let language = try attempt(at: pointer) { (budget) throws(Refusal) in
      try DFA(try ExpressionReader.read(text, &budget), anywhere: true, &budget)
    }
    expressions[text] = language
    return language
  }

  private mutating func string(_ alternative: Alternative) throws(GrammarError) -> Expression {
    let (least, most) = (alternative.leastLength, alternative.mostLength)
    guard most ?? .max >= least else { return .nothing }
    guard let language = try lengths(alternative, try language(alternative)) else {
      if least == 0, most == nil { return try strings(nil, at: alternative.pointer) }
      return try write(at: alternative.pointer) { (texts, rules, budget) throws(Refusal) in
        try texts.string(
          from: UInt32(least), to: most.map { UInt32(clamping: $0) } ?? .max, &rules, &budget)
      }
    }
    return try strings(language, at: alternative.pointer)
  }

  /// A language within the lengths of an alternative.
  private mutating func lengths(
    _ alternative: Alternative, _ language: DFA?
  ) throws(GrammarError) -> DFA? {
    let (least, most) = (alternative.leastLength, alternative.mostLength)
    guard let language, least > 0 || most != nil else { return language }
    guard max(least, most ?? 0) <= Self.longestPatternLength else {
      throw GrammarError(
        place: .pointer(alternative.pointer),
        message: "a pattern or format with a length above \(Self.longestPatternLength) is not supported")
    }
    return try attempt(at: alternative.pointer) { (budget) throws(Refusal) in
      try language.intersection(try DFA(lengthFrom: least, to: most, &budget), &budget)
    }
  }

  // MARK: Arrays

  private mutating func array(_ alternative: Alternative) throws(GrammarError) -> Expression {
    let least = alternative.leastItems
    let prefix = alternative.arrays.map(\.prefix.count).max() ?? 0
    // A tuple that says nothing of what follows it ends with it.
    let isOpen = prefix == 0 || alternative.arrays.contains { $0.items != nil }
    let most = isOpen ? alternative.mostItems ?? .max : min(alternative.mostItems ?? .max, prefix)
    guard least <= most else { return .nothing }
    let comma = texts.comma(&rules)
    let blank = texts.blank(&rules)
    var elements: Expression
    if prefix == 0 {
      let element = try element(0, alternative)
      if least == 0, most == .max { return texts.list(of: element, &rules) }
      elements = .call(
        rules.add(
          alternative.pointer,
          .sequence([
            .counted(element),
            .repeated(.sequence([.counted(.text(",")), blank, element]), least: 0, most: nil),
          ]), least: UInt32(clamping: max(1, least)), most: UInt32(clamping: most)))
      if most == 0 { elements = .nothing }
    } else {
      elements = .empty
      if isOpen, most > prefix {
        let more = Expression.sequence([.counted(.text(",")), blank, try element(prefix, alternative)])
        let needed = max(0, least - prefix)
        let repeated = Expression.repeated(more, least: 0, most: nil)
        elements = .call(
          rules.add(
            alternative.pointer, needed > 0 ? .sequence([more, repeated]) : repeated,
            least: UInt32(clamping: needed), most: UInt32(clamping: most - prefix)))
      }
      for index in (0..<prefix).reversed() {
        guard index < most else {
          elements = .empty
          continue
        }
        let own = try element(index, alternative)
        let next = Expression.sequence(index == 0 ? [own, elements] : [comma, own, elements])
        elements = index > 0 && index >= least ? .optional(next) : next
      }
      if most == 0 { elements = .nothing }
    }
    let filled = Expression.sequence([.text("["), blank, elements, blank, .text("]")])
    return least > 0 ? filled : .alternatives([.sequence([.text("["), blank, .text("]")]), filled])
  }

  /// A call of the rule for the element at an index.
  private mutating func element(_ index: Int, _ alternative: Alternative) throws(GrammarError) -> Expression {
    let parts = alternative.arrays.compactMap { index < $0.prefix.count ? $0.prefix[index] : $0.items }
    return parts.isEmpty ? try anyValue(at: alternative.pointer) : .call(try rule(parts))
  }

  // MARK: Objects

  private mutating func object(_ alternative: Alternative) throws(GrammarError) -> Expression {
    let place = GrammarError.Place.pointer(alternative.pointer)
    let names = try nameLanguage(alternative)
    var declared: [String] = []
    var isDeclared: Set<String> = []
    for name in alternative.objects.flatMap({ $0.properties.map(\.name) }) + alternative.required
    where isDeclared.insert(name).inserted {
      declared.append(name)
    }
    let required = Set(alternative.required)
    let properties = alternative.objects.map { object in
      Dictionary(object.properties.map { ($0.name, $0.part) }, uniquingKeysWith: { one, _ in one })
    }
    let blank = texts.blank(&rules)
    var members = Expression.Members(members: [], comma: texts.comma(&rules))
    for name in declared {
      if let names, !names.accepts(name) {
        if required.contains(name) { return .nothing }
        continue
      }
      let parts = try parts(of: name, alternative, properties)
      let value = try value(parts, at: alternative.pointer)
      members.members.append(
        Expression.Members.Member(
          text: .sequence([texts.key(name), blank, value]), isRequired: required.contains(name)))
    }
    let free = try freeMembers(alternative, declared: declared, names)
    if let free, declared.isEmpty, alternative.leastMembers <= 1, alternative.mostMembers == nil {
      let any = texts.object(of: free, &rules)
      if alternative.leastMembers == 0 { return any }
    }
    members.free = free
    members.most = alternative.mostMembers
    if alternative.leastMembers > required.count {
      members.least = alternative.leastMembers
      guard free == nil || members.least <= 1 else {
        throw GrammarError(
          place: place,
          message: "'minProperties' above 1 beside members that are not named is not supported")
      }
    }
    return .sequence([.text("{"), blank, .members(members), blank, .text("}")])
  }

  /// What the value of a named member must meet.
  private mutating func parts(
    of name: String, _ alternative: Alternative, _ properties: [[String: Keywords.Part]]
  ) throws(GrammarError) -> [Keywords.Part] {
    var parts: [Keywords.Part] = []
    for (object, named) in zip(alternative.objects, properties) {
      let own = named[name]
      var matched: [Keywords.Part] = []
      for pattern in object.patterns
      where try expression(pattern.pattern, at: pattern.part.pointer).accepts(name) {
        matched.append(pattern.part)
      }
      if let own { parts.append(own) }
      parts += matched
      if own == nil, matched.isEmpty, let additional = object.additional { parts.append(additional) }
    }
    return parts
  }

  /// A member with a name that the schema does not list; nil if it may have none.
  private mutating func freeMembers(
    _ alternative: Alternative, declared: [String], _ names: DFA?
  ) throws(GrammarError) -> Expression? {
    let objects = alternative.objects
    let blank = texts.blank(&rules)
    let speaksOfOthers = objects.contains { $0.additional != nil }
    let patterns = objects.flatMap(\.patterns)
    // Members that the schema neither names nor speaks of are left out, unless it names none at all.
    let isOpen = speaksOfOthers || declared.isEmpty && patterns.isEmpty
    guard isOpen || !patterns.isEmpty else { return nil }
    guard patterns.count <= Self.mostPatterns else {
      throw GrammarError(
        place: .pointer(alternative.pointer),
        message: "more than \(Self.mostPatterns) patterns in 'patternProperties' are not supported")
    }
    if patterns.isEmpty, names == nil, declared.isEmpty {
      return .sequence([
        try strings(nil, at: alternative.pointer), .text(":"), blank,
        try value(objects.compactMap(\.additional), at: alternative.pointer),
      ])
    }
    var base = try attempt(at: alternative.pointer) { (budget) throws(Refusal) in
      try DFA(words: declared, &budget).complement(&budget)
    }
    if let names {
      base = try attempt(at: alternative.pointer) { (budget) throws(Refusal) in
        try base.intersection(names, &budget)
      }
    }
    var branches: [Expression] = []
    for chosen in 0..<(1 << patterns.count) {
      var language = base
      for (index, pattern) in patterns.enumerated() {
        let matches = try expression(pattern.pattern, at: pattern.part.pointer)
        language = try attempt(at: pattern.part.pointer) { (budget) throws(Refusal) in
          try language.intersection(
            chosen >> index & 1 == 1 ? matches : try matches.complement(&budget), &budget)
        }
      }
      if language.isEmpty || chosen == 0 && !isOpen { continue }
      var parts: [Keywords.Part] = []
      var index = 0
      for object in objects {
        var isMatched = false
        for pattern in object.patterns {
          if chosen >> index & 1 == 1 {
            parts.append(pattern.part)
            isMatched = true
          }
          index += 1
        }
        if !isMatched, let additional = object.additional { parts.append(additional) }
      }
      if parts.contains(where: { $0.value == false }) { continue }
      branches.append(
        .sequence([
          try strings(language, at: alternative.pointer), .text(":"), blank,
          try value(parts, at: alternative.pointer),
        ]))
    }
    return branches.isEmpty ? nil : branches.count == 1 ? branches[0] : .alternatives(branches)
  }

  private mutating func value(
    _ parts: [Keywords.Part], at pointer: String
  ) throws(GrammarError) -> Expression {
    parts.isEmpty ? try anyValue(at: pointer) : .call(try rule(parts))
  }

  /// The names that `propertyNames` allows; nil if all are.
  private mutating func nameLanguage(_ alternative: Alternative) throws(GrammarError) -> DFA? {
    guard !alternative.names.isEmpty else { return nil }
    let place = GrammarError.Place.pointer(alternative.pointer + "/propertyNames")
    let choices = try alternatives(of: alternative.names).filter { $0.kinds.contains(.string) }
    guard choices.count == 1 else {
      if choices.isEmpty {
        return try attempt(at: alternative.pointer) { (budget) throws(Refusal) in
          try DFA(words: [], &budget)
        }
      }
      throw GrammarError(place: place, message: "branches in 'propertyNames' are not supported")
    }
    let choice = choices[0]
    if let values = choice.values {
      return try attempt(at: alternative.pointer) { (budget) throws(Refusal) in
        try DFA(words: values.compactMap(\.string), &budget)
      }
    }
    let language = try language(choice)
    if language == nil, choice.leastLength == 0, choice.mostLength == nil { return nil }
    let any = try attempt(at: alternative.pointer) { (budget) throws(Refusal) in
      try DFA(lengthFrom: 0, to: nil, &budget)
    }
    return try lengths(choice, language ?? any)
  }
}

extension Alternative {
  /// Whether it says anything about arrays beyond given values.
  fileprivate var limitsArrays: Bool { !arrays.isEmpty || leastItems > 0 || mostItems != nil }
  fileprivate var limitsObjects: Bool {
    !objects.isEmpty || !required.isEmpty || leastMembers > 0 || mostMembers != nil || !names.isEmpty
  }
}
