// VectorTests.swift: schemas, hostile schemas, grammars, expressions and choices of the reference
// folder, whose README says what is asked of each.

import Foundation
import Grammar
import JSON
import TestSettings
import Testing

private let absent = "the reference folder with vectors/agents is absent"

@Suite(.enabled(if: ReferenceFolder.url != nil, Comment(rawValue: absent)))
struct VectorTests {
  private func entries(_ name: String) throws -> [JSONValue] {
    let url = try #require(ReferenceFolder.url).appending(path: "vectors/agents/\(name).json")
    var limits = JSONText.Limits()
    limits.depth = 160
    limits.values = 2_000_000
    limits.integers = .exact
    limits.duplicateKeys = .allowed
    return try #require(try JSONText.parse(Array(try Data(contentsOf: url)), limits: limits).array)
  }

  private func texts(_ value: JSONValue?) -> [String] { (value?.array ?? []).compactMap(\.string) }

  @Test func schemasAreRefusedByNameOrHoldWhatTheirInstancesAsk() throws {
    var count = 0
    var instances = 0
    var refused = 0
    var mayNotRefuse = 0
    for source in ["pydantic-v2", "openai-strict", "zod-like", "hand"] {
      for entry in try entries("schemas/\(source)") {
        let name = try #require(entry["id"]?.string)
        let mayRefuse = entry["may_refuse"]?.bool == true
        count += 1
        if !mayRefuse { mayNotRefuse += 1 }
        let schema = try #require(entry["schema"])
        let constraint: Constraint
        do throws(GrammarError) {
          constraint = try Constraint(.jsonSchema(schema))
        } catch {
          if !mayRefuse { refused += 1 }
          continue
        }
        for instance in entry["instances"]?.array ?? [] {
          instances += 1
          let text = try #require(instance["text"]?.string)
          let isAccepted = accepts(constraint, text)
          switch instance["mask"]?.string {
          case "accept": #expect(isAccepted, "\(name) must allow \(text.prefix(200))")
          case "reject": #expect(!isAccepted, "\(name) must not allow \(text.prefix(200))")
          default:
            // Valid but left out, or invalid by its format alone.
            if isAccepted, instance["valid"]?.bool == false {
              #expect(instance["format_only"]?.bool == true, "\(name) allows \(text.prefix(200))")
            }
          }
        }
      }
    }
    #expect(count == 144)
    #expect(refused * 10 <= mayNotRefuse, "\(refused) of \(mayNotRefuse) refused")
    print("schemas: \(count), instances looked at: \(instances), refused without leave: \(refused)")
  }

  @Test func hostileSchemasAreRefusedOrCompileWithinTheirLimits() throws {
    for entry in try entries("schemas/hostile") {
      let name = try #require(entry["id"]?.string)
      let expected = try #require(entry["expect"]?.string)
      let text = try text(ofHostile: entry)
      var constraint: Constraint?
      var words = ""
      do {
        constraint = try Constraint(.jsonSchema(try GrammarTests.schema(text)))
      } catch {
        words = "\(error)"
        #expect(!words.isEmpty)
      }
      if expected == "refuse" { #expect(constraint == nil, "\(name) must be refused") }
      guard let constraint else { continue }
      if expected == "refuse_or_never_accept" {
        for value in ["1", "\"aaaaa\"", "\"aaaaaaaaaa\"", "null", "{}", "[]", "true"] {
          #expect(!accepts(constraint, value), "\(name) allows \(value)")
        }
      }
      for probe in entry["probes"]?.array ?? [] {
        let unit = try #require(probe["unit"]?.string)
        let tail = try #require(probe["tail"]?.string)
        let count = try #require(probe["n"]?.integer)
        let string = "\"" + String(repeating: unit, count: count) + tail + "\""
        let isAccepted = accepts(constraint, string)
        #expect(isAccepted == probe["valid"]?.bool, "\(name): \(string.suffix(20))")
      }
    }
  }

  private func text(ofHostile entry: JSONValue) throws -> String {
    if let text = entry["schema_text"]?.string { return text }
    if let recipe = entry["recipe"] { return try expand(recipe) }
    return String(decoding: JSONWriter.bytes(try #require(entry["schema"])), as: UTF8.self)
  }

  /// A hostile schema's text from its recipe, as `check.py` has it.
  private func expand(_ recipe: JSONValue) throws -> String {
    let count = try #require(recipe["n"]?.integer)
    func repeated(_ text: String) -> String { String(repeating: text, count: count) }
    switch recipe["kind"]?.string {
    case "pattern_repeat":
      return "{\"type\":\"string\",\"pattern\":\"^\(repeated(recipe["unit"]?.string ?? ""))$\"}"
    case "enum_strings":
      let length = try #require(recipe["len"]?.integer)
      let values = (0..<count).map { index in
        let start = "v\(index)_"
        return "\"" + start + String(repeating: "x", count: max(0, length - start.count)) + "\""
      }
      return "{\"type\":\"string\",\"enum\":[\(values.joined(separator: ","))]}"
    case "properties":
      let members = (0..<count).map { index in
        let digits = String(index)
        let name = "property_" + String(repeating: "0", count: 6 - digits.count) + digits
        return "\"\(name)\":{\"type\":\"string\",\"maxLength\":9}"
      }
      return "{\"type\":\"object\",\"properties\":{\(members.joined(separator: ","))}}"
    case "description": return "{\"type\":\"integer\",\"description\":\"\(repeated("d"))\"}"
    case "nest_items":
      return repeated("{\"type\":\"array\",\"items\":") + "{\"type\":\"integer\"}" + repeated("}")
    case "nest_anyof": return repeated("{\"anyOf\":[") + "{\"type\":\"integer\"}" + repeated("]}")
    default: throw JSONFieldError(field: "kind", message: "an unknown recipe")
    }
  }

  @Test func grammarsAcceptAndRejectWhatLlamaDoes() throws {
    for entry in try entries("grammars/gbnf") {
      try judge(entry, .gbnf(try #require(entry["grammar"]?.string)))
    }
    for entry in try entries("grammars/gbnf-refuse") {
      let error = refusal(.gbnf(try #require(entry["grammar"]?.string)))
      #expect(error != nil, "\(entry["id"]?.string ?? "")")
    }
  }

  @Test func expressionsAndChoicesMatchWholeTexts() throws {
    for entry in try entries("grammars/regex") {
      try judge(entry, .regex(try #require(entry["regex"]?.string)))
    }
    for entry in try entries("grammars/choice") {
      try judge(entry, .choice(texts(entry["choices"])))
    }
  }

  private func judge(_ entry: JSONValue, _ source: ConstraintSource) throws {
    let name = entry["id"]?.string ?? ""
    do throws(GrammarError) {
      let constraint = try Constraint(source)
      for text in texts(entry["accept"]) { #expect(accepts(constraint, text), "\(name) must allow \(text)") }
      for text in texts(entry["reject"]) {
        #expect(!accepts(constraint, text), "\(name) must not allow \(text)")
      }
    } catch {
      Issue.record("\(name) is refused: \(error)")
    }
  }
}
