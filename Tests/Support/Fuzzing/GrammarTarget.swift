// GrammarTarget.swift: fuzz targets for the parsers of constraints: schemas, GBNF and regular
// expressions, mutated from valid ones.

import Grammar
import JSON

extension FuzzTarget {
  package static let schema = grammar(
    "schema",
    [
      ##"{"$defs":{"n":{"type":"object","properties":{"v":{"type":"integer","minimum":-3,"maximum":1e2},"n":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["v"],"additionalProperties":{"type":"string","maxLength":4}}},"$ref":"#/$defs/n"}"##,
      #"{"allOf":[{"type":"object","properties":{"a":{"enum":["x",1,null,{"k":[true]}]}}},{"required":["a"],"minProperties":1}],"patternProperties":{"^s_":{"format":"date-time"}}}"#,
      #"{"oneOf":[{"type":"string","pattern":"^(a|b){2,3}[^c-x\\d]+$","minLength":2},{"type":"array","prefixItems":[{"const":2.5}],"items":{"multipleOf":0.25},"minItems":2,"maxItems":5}]}"#,
      #"{"type":["object","null"],"propertyNames":{"maxLength":3},"dependentRequired":{"a":["b"]},"dependentSchemas":{"c":{"minProperties":2}}}"#,
    ]
  ) { text in
    // Most mutants are no JSON; the reader has a target of its own.
    (try? JSONText.parse(text, limits: ConstraintSource.limits)).map { .jsonSchema($0) }
  }

  package static let gbnf = grammar(
    "gbnf",
    [
      "root ::= v\nv ::= s | n | \"[\" w (v w (\",\" w v)*)? \"]\"\ns ::= \"\\\"\" ([^\"\\\\\\x00-\\x1f] | \"\\\\\" [bfn])* \"\\\"\"\nn ::= \"-\"? [0-9]{1,3}\nw ::= [ \\t\\n]*",
      "root ::= \"(\" root* \")\" | x{2,} # c\nx ::= (\n \"a\" | \"\\u65E5\" )?\n",
      "root ::= a b? c+\na ::= .\nb ::= a a\nc ::= [^a-z]",
    ]
  ) { .gbnf(String(decoding: $0, as: UTF8.self)) }

  package static let expression = grammar(
    "expression",
    [
      "^([01]\\d|2[0-3]):[0-5]\\d(?:\\.\\w+?)?$", "(a+)+b|[^\\s\"]{1,10}",
      "\\u{1F600}|\\x41|[\\-\\]a-f日]{2,}",
      "(?P<year>\\d{4})-(0[1-9]|1[0-2])", "(a|aa|aaa|a?)*b", ".*\\.$|^$",
    ]
  ) { .regex(String(decoding: $0, as: UTF8.self)) }

  package static let shape = grammar(
    "shape",
    [
      ##"{"marks":["<tool_call>","</tool_call>"],"text":{"sequence":[{"text":"<tool_call>"},{"either":[{"text":"a"},{"schema":{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]},"of":"f","yields":true}]},{"text":"</tool_call>"}]}}"##,
      ##"{"marks":["<think>","</think>"],"thinking":{"open":"<think>","close":"</think>","begun":true,"in_text":false,"tokens":9},"text":{"members":[[{"text":"\"a\":1"},true],[{"regex":"b{2,3}"},false]]}}"##,
      ##"{"marks":[],"text":{"repeat":{"choice":["x","yy"]},"least":1,"most":3}}"##,
      ##"{"marks":["<|\"|>"],"text":{"sequence":[{"schema":{"$defs":{"s":{"type":"string","maxLength":3}},"type":"array","items":{"$ref":"#/$defs/s"}},"marks":"<|\"|>","at":"/items"},{"free":["</a>"],"start":["{"]},{"gbnf":"root ::= [0-9]+"}]}}"##,
      ##"{"marks":[],"text":{"schema":{"type":"string","minLength":1},"end":"</parameter>"}}"##,
    ]
  ) { ConstraintSource(kind: "message", text: String(decoding: $0, as: UTF8.self)) }

  /// A source compiles or is refused in words; where it compiles, whatever is begun can go on or is
  /// complete.
  private static func grammar(
    _ name: String, _ seeds: [String], _ source: @escaping @Sendable ([UInt8]) -> ConstraintSource?
  ) -> FuzzTarget {
    FuzzTarget(
      name: name, prepare: { seeds.map { Array($0.utf8) } },
      run: { corpus, generator in
        let seed = corpus[generator.below(corpus.count)]
        let text = Mutation.mutate(seed, corpus: corpus, limit: 4_096, &generator)
        guard let source = source(text) else { return nil }
        let constraint: Constraint
        do throws(GrammarError) {
          constraint = try Constraint(source)
        } catch {
          return error.description.isEmpty ? "a refusal without words" : nil
        }
        var state = ConstraintState(constraint)
        for _ in 0..<8 {
          // What the constraint forces must be possible.
          if !state.advance(state.forced(most: 16)) { return "what is forced is not possible" }
          let next = (UInt8.min...UInt8.max).filter { byte in
            var trial = state
            return trial.advance(CollectionOfOne(byte))
          }
          if next.isEmpty { return state.isComplete ? nil : "a text that cannot be completed" }
          state.advance(CollectionOfOne(next[generator.below(next.count)]))
        }
        return nil
      })
  }
}
