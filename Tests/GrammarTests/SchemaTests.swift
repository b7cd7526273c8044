// SchemaTests.swift: what schemas allow and how they are refused, in small cases of our own.

import Grammar
import JSON
import Testing

@Suite struct SchemaTests {
  private struct Case: CustomTestStringConvertible {
    var schema: String
    var good: [String]
    var bad: [String]
    var testDescription: String { schema }
  }

  private static let cases: [Case] = [
    Case(
      schema: #"{"type":"integer","minimum":-12,"maximum":305}"#,
      good: ["-12", "-1", "0", "9", "10", "99", "299", "300", "305"],
      bad: ["-13", "-0", "306", "310", "1000", "1.0", "01", "-", "-120"]),
    Case(
      schema: #"{"type":"integer","exclusiveMinimum":9,"exclusiveMaximum":11}"#, good: ["10"],
      bad: ["9", "11", "1", "100"]),
    Case(
      schema: #"{"type":"number","minimum":0.5,"maximum":2.25}"#,
      good: ["0.5", "0.50", "1", "2.2", "2.25", "2.250", "2.249999", "0.51", "2"],
      bad: ["0", "0.49", "2.26", "2.251", "3", "10", "-1", "2.3", "0.", ".5", "22.5"]),
    Case(
      schema: #"{"type":"number","exclusiveMinimum":-1,"exclusiveMaximum":0.1}"#,
      good: ["-0.99", "0", "0.0", "0.09", "-0.5", "0.0999"],
      bad: ["-1", "-1.0", "0.1", "0.10", "1", "-1.5", "-0", "-0.0"]),
    Case(
      schema: #"{"type":"number","minimum":100}"#, good: ["100", "100.5", "101", "1000", "99999999"],
      bad: ["99.9", "20", "-200", "0"]),
    Case(
      schema: #"{"type":"integer","multipleOf":7,"minimum":0}"#, good: ["0", "7", "14", "7000000007"],
      bad: ["1", "-7", "13", "70.0", "7000000008"]),
    Case(
      schema: #"{"type":"number","multipleOf":0.25}"#, good: ["0.25", "-1.5", "2", "0.50", "10.75"],
      bad: ["0.1", "0.125", "0.2", "1.55"]),
    Case(
      schema: #"{"type":"integer","minimum":0,"maximum":9007199254740993}"#,
      good: ["9007199254740993", "9007199254740992"], bad: ["9007199254740994", "10000000000000000"]),
    Case(
      schema: #"{"type":"string","minLength":2,"maxLength":3}"#,
      good: ["\"ab\"", "\"abc\"", "\"日本語\"", "\"\\n\\\"\"", "\"\\u00e9a\"", "\"\\ud83d\\ude00x\""],
      bad: ["\"a\"", "\"abcd\"", "\"\"", "\"日\"", "\"\\ud83d\\ude00\"", "\"\\ud83dab\"", "\"a\nb\""]),
    Case(
      schema: #"{"type":"string","pattern":"b"}"#, good: ["\"b\"", "\"abc\"", "\"\\nb\""],
      bad: ["\"\"", "\"ac\"", "b"]),
    Case(
      schema: #"{"type":"string","pattern":"^a|b$"}"#, good: ["\"a\"", "\"axx\"", "\"xxb\"", "\"b\""],
      bad: ["\"xax\"", "\"bx\""]),
    Case(
      schema: #"{"type":"string","pattern":"^[ab]+$","minLength":2,"maxLength":3}"#,
      good: ["\"ab\"", "\"bbb\""], bad: ["\"a\"", "\"abab\"", "\"ac\""]),
    Case(
      schema: #"{"type":"string","format":"date"}"#,
      good: ["\"2024-02-29\"", "\"1999-12-31\"", "\"2000-02-29\""],
      bad: [
        "\"2023-02-29\"", "\"1900-02-29\"", "\"2024-13-01\"", "\"2024-04-31\"", "\"0000-01-01\"",
        "\"24-1-1\"",
      ]),
    Case(
      schema: #"{"type":"string","format":"ipv6"}"#,
      good: [
        "\"::\"", "\"::1\"", "\"fe80::1\"", "\"2001:db8:0:0:0:0:2:1\"", "\"1:2:3:4:5:6:7::\"",
        "\"::2:3:4:5:6:7:8\"",
      ],
      bad: ["\"1:2\"", "\":::\"", "\"1::2::3\"", "\"12345::\"", "\"1:2:3:4:5:6:7:8:9\""]),
    Case(schema: #"{"type":["integer","null"]}"#, good: ["1", "null"], bad: ["1.5", "\"a\"", "true"]),
    Case(
      schema: #"{"enum":[1,"a",{"k":[1,null]},true]}"#,
      good: ["1", "\"a\"", "{\"k\":[1,null]}", "{\"k\": [1, null]}", "true"],
      bad: ["2", "{\"k\":[1]}", "null"]),
    Case(
      schema: #"{"enum":["a","bb",3,4],"type":"string","maxLength":1}"#, good: ["\"a\""],
      bad: ["\"bb\"", "3"]),
    Case(
      schema:
        #"{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"null"},"c":{"type":"boolean"}},"required":["b"],"additionalProperties":false}"#,
      good: [
        "{\"b\":null}", "{\"a\":1,\"b\":null,\"c\":true}", "{\"b\":null,\"c\":false}",
        "{\n  \"a\": 1,\n  \"b\": null\n}",
      ],
      bad: [
        "{}", "{\"a\":1}", "{\"a\":1,\"b\":null,}", "{\"b\":null,\"b\":null}", "{\"b\":null,\"d\":1}",
        "{,\"b\":null}", "{\"b\":null} ",
      ]),
    Case(
      schema:
        #"{"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":{"type":"string"}}"#,
      good: ["{}", "{\"a\":1}", "{\"a\":1,\"b\":\"x\"}", "{\"ab\":\"x\",\"A\":\"\"}"],
      bad: ["{\"a\":\"x\"}", "{\"b\":1}", "{\"b\":\"x\",\"a\":\"y\"}", "{\"\\u0061\":\"x\"}"]),
    Case(
      schema:
        #"{"type":"object","patternProperties":{"^s_":{"type":"string"},"_n$":{"minLength":2}},"additionalProperties":false}"#,
      good: ["{\"s_a\":\"\"}", "{\"s_n\":\"ab\",\"s_\":\"x\"}", "{\"x_n\":\"ab\"}"],
      bad: ["{\"s_n\":\"a\"}", "{\"a\":1}", "{\"s_\":1}"]),
    Case(
      schema:
        #"{"type":"object","propertyNames":{"pattern":"^[a-z]{2}$"},"additionalProperties":{"type":"integer"}}"#,
      good: ["{}", "{\"ab\":1}"], bad: ["{\"a\":1}", "{\"abc\":1}", "{\"AB\":1}"]),
    Case(
      schema:
        #"{"type":"object","properties":{"a":{},"b":{},"c":{}},"minProperties":2,"maxProperties":2,"additionalProperties":false}"#,
      good: ["{\"a\":1,\"b\":[]}", "{\"a\":1,\"c\":{}}", "{\"b\":null,\"c\":\"\"}"],
      bad: ["{}", "{\"a\":1}", "{\"a\":1,\"b\":1,\"c\":1}"]),
    Case(
      schema:
        #"{"type":"object","properties":{"a":{},"b":{}},"minProperties":1,"additionalProperties":false}"#,
      good: ["{\"a\":1,\"b\":[]}", "{\"b\":1}", "{\"a\":1}"], bad: ["{}"]),
    Case(
      schema:
        #"{"type":"object","properties":{"card":{"type":"integer"},"cvc":{"type":"integer"}},"dependentRequired":{"card":["cvc"]}}"#,
      good: ["{}", "{\"cvc\":1}", "{\"card\":1,\"cvc\":2}"], bad: ["{\"card\":1}"]),
    Case(
      schema: #"{"type":"array","items":{"type":"integer"},"minItems":2,"maxItems":3}"#,
      good: ["[1,2]", "[1, 2, 3]", "[\n 1,\n 2\n]"], bad: ["[]", "[1]", "[1,2,3,4]", "[1,2,]", "[1,2,3,"]),
    Case(schema: #"{"type":"array","maxItems":0}"#, good: ["[]"], bad: ["[1]"]),
    Case(
      schema:
        #"{"type":"array","prefixItems":[{"const":"h"},{"type":"integer"}],"items":{"type":"number"},"minItems":1,"maxItems":4}"#,
      good: ["[\"h\"]", "[\"h\",1]", "[\"h\",1,0.5]", "[\"h\",1,2,3]"],
      bad: ["[]", "[1]", "[\"h\",0.5]", "[\"h\",1,2,3,4]"]),
    Case(
      schema: #"{"type":"array","prefixItems":[{"type":"integer"},false],"minItems":1}"#, good: ["[1]"],
      bad: ["[]", "[1,2]"]),
    Case(
      schema:
        #"{"allOf":[{"type":"object","properties":{"a":{"type":"integer","minimum":3}},"required":["a"]},{"properties":{"a":{"maximum":5},"b":{"type":"string"}},"required":["b"]}]}"#,
      good: ["{\"a\":3,\"b\":\"\"}", "{\"a\":5,\"b\":\"x\"}"],
      bad: ["{\"a\":6,\"b\":\"\"}", "{\"a\":3}", "{\"b\":\"\"}"]),
    Case(
      schema:
        #"{"type":"object","properties":{"k":{"type":"string"}},"required":["k"],"anyOf":[{"properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"b":{"type":"null"}},"required":["b"]}]}"#,
      good: ["{\"k\":\"\",\"a\":1}", "{\"k\":\"\",\"b\":null}"], bad: ["{\"k\":\"\"}", "{\"a\":1}"]),
    Case(
      schema:
        #"{"oneOf":[{"type":"object","properties":{"t":{"const":"x"},"v":{"type":"integer"}},"required":["t","v"]},{"type":"object","properties":{"t":{"const":"y"}},"required":["t"]}]}"#,
      good: ["{\"t\":\"x\",\"v\":1}", "{\"t\":\"y\"}"], bad: ["{\"t\":\"x\"}", "{\"t\":\"z\"}"]),
    Case(
      schema: #"{"const":{"a":1},"properties":{"a":{"type":"integer"}}}"#,
      good: ["{\"a\":1}", "{ \"a\": 1 }"], bad: ["{\"a\":2}", "{}"]),
    Case(
      schema:
        ##"{"$defs":{"a/b":{"$anchor":"here","type":"null"}},"type":"array","items":{"anyOf":[{"$ref":"#here"},{"$ref":"#/$defs/a~1b"}]}}"##,
      good: ["[null]", "[]"], bad: ["[1]"]),
    Case(
      schema: "true", good: ["1", "{\"a\":[]}", "\"x\"", "-1.5e10", "[[],{}]"],
      bad: ["", "{a}", "nul", "1e400"]),
    Case(
      schema: #"{"type":"object"}"#, good: ["{}", "{\"a\":{\"b\":[1,2,{\"c\":null}]}}"],
      bad: ["[]", "{\"a\":}"]),
  ]

  @Test(arguments: cases.indices) func textsOfSchemas(index: Int) throws {
    let own = Self.cases[index]
    let constraint = try Constraint(.jsonSchema(try schema(own.schema)))
    for text in own.good { #expect(accepts(constraint, text), "\(own.schema) must allow \(text)") }
    for text in own.bad { #expect(!accepts(constraint, text), "\(own.schema) must not allow \(text)") }
  }

  @Test(arguments: [
    (#"{"type":"strng"}"#, "found \"strng\", wanted a type of JSON, at /type"),
    (#"{"properties":{"a/b":{"minimum":"5"}}}"#, "found \"5\", wanted a number, at /properties/a~1b/minimum"),
    (#"{"type":"array","uniqueItems":true}"#, "'uniqueItems' is not supported, at /uniqueItems"),
    (#"{"properties":{"a":{"not":{}}}}"#, "'not' is not supported, at /properties/a/not"),
    (
      #"{"$ref":"https://example.com/x"}"#,
      "a reference out of the schema, 'https://example.com/x'; only those that begin with '#' are followed, at /$ref"
    ),
    (##"{"$ref":"#/$defs/no"}"##, "a reference to nothing, '#/$defs/no', at /$ref"),
    (##"{"$ref":"#"}"##, "the schema refers to itself with nothing between, at the schema's root"),
    (
      #"{"type":"object","properties":{"a":false},"required":["a"]}"#,
      "no value meets this schema, at /properties/a"
    ),
    (#"{"type":"integer","minimum":3,"maximum":2}"#, "no value meets this schema, at the schema's root"),
    (
      #"{"type":"string","minLength":3,"maxLength":2}"#,
      "'minLength' is above 'maxLength', so that nothing is valid, at the schema's root"
    ),
    (
      #"{"type":"string","pattern":"a(?=b)"}"#,
      "the expression has a lookahead or lookbehind, which is not supported (character 4), at /pattern"
    ),
    (
      #"{"oneOf":[{"type":"integer"},{"type":"number"}]}"#,
      "two branches of 'oneOf' may be valid together, which is not supported, at /oneOf"
    ),
    (
      #"{"type":"number","multipleOf":0.01}"#,
      "'multipleOf' is no multiple of a power of two below one, which is not supported, at /multipleOf"
    ),
    (
      #"{"type":"array","minItems":5000000}"#,
      "a minimum of 5000000 is longer than any context, wanted at most 1000000, at /minItems"
    ),
    (
      #"{"type":"string","pattern":"^((a{1,1000}){1,1000}){1,1000}$"}"#,
      "it needs too many states, at /pattern"
    ),
    ("[]", "found an array, wanted a schema, which is an object, true or false, at the schema's root"),
  ])
  func refusalsNameThePlace(text: String, words: String) throws {
    #expect(refusal(.jsonSchema(try schema(text)))?.description == words)
  }

  @Test(arguments: [
    (
      "root ::= a \"x\" | \"y\"\na ::= b? root\nb ::= \"b\"",
      "the rule 'root' calls itself before any character (left recursion)"
    ),
    ("root ::= missing", "the rule 'missing' is not defined, at line 1, column 10"),
    ("root ::= \"a\"\n  | \"b\"", "found '|', wanted a rule's name, at line 2, column 3"),
    ("root ::= [a", "a '[' without its ']', at line 1, column 10"),
    ("start ::= \"a\"", "the grammar has no rule 'root'"),
    (
      "root ::= <think>",
      "a token by name, which is not supported: a grammar is over text, at line 1, column 10"
    ),
    ("root ::= \"a\" root", "no text meets it"),
  ])
  func refusalsOfGrammars(text: String, words: String) { #expect(refusal(.gbnf(text))?.description == words) }

  @Test(arguments: [
    ("(a", "the expression has a '(' without its ')' (character 1)"),
    ("a)", "the expression has a ')' without its '(' (character 2)"),
    ("*a", "the expression has a '*' with nothing before it (character 1)"),
    ("(a)\\1", "the expression has a back-reference, which is not supported (character 5)"),
    ("\\bword", "the expression has a word boundary, which is not supported (character 2)"),
    ("a$b", "no text meets it"),
    ("[z-a]", "the expression has a range whose end is below its start (character 5)"),
  ])
  func refusalsOfExpressions(text: String, words: String) {
    #expect(refusal(.regex(text))?.description == words)
  }

  @Test func classesHoldUnderEveryReading() throws {
    let digit = try Constraint(.regex("\\d"))
    #expect(accepts(digit, "7"))
    #expect(!accepts(digit, "٣"))
    for text in ["\\D", "[^\\d]"] {
      let other = try Constraint(.regex(text))
      #expect(accepts(other, "é"))
      #expect(!accepts(other, "٣"))
      #expect(!accepts(other, "3"))
    }
    let word = try Constraint(.regex("[^\\w\\s]{1,2}"))
    #expect(accepts(word, "-§"))
    #expect(!accepts(word, "é"))
    #expect(!accepts(word, "\u{3000}"))
    #expect(accepts(try Constraint(.regex("[]a]+")), "]a"))
    #expect(accepts(try Constraint(.regex("a{,2}|x{y")), "aa"))
    #expect(accepts(try Constraint(.regex("\\u{1F600}|\\ud83d\\ude01|\\x41")), "😀"))
    #expect(accepts(try Constraint(.regex("\\u{1F600}|\\ud83d\\ude01|\\x41")), "😁"))
  }

  @Test func aSourceHasADigestAndComesBackFromItsText() throws {
    let sources: [ConstraintSource] = [
      .jsonObject, .jsonSchema(try schema(#"{"type":"integer","maximum":1e2}"#)), .gbnf("root ::= \"a\""),
      .regex("a|b"), .choice(["a", "\"", "日"]),
    ]
    for source in sources {
      #expect(ConstraintSource(kind: source.kind, text: source.text) == source)
      #expect(try Constraint(source).digest == source.digest)
    }
    #expect(Set(sources.map(\.digest)).count == sources.count)
    let digest = ConstraintSource.choice(["a"]).digest.map { format2($0) }.joined()
    // SHA-256 of "choice\n[\"a\"]".
    #expect(digest == "d9320f7e902ba4c8256eae06237083c3890ac25b112b24f7b8d9ec556d037cb9")
    #expect(ConstraintSource(kind: "choice", text: "[1]") == nil)
    #expect(ConstraintSource(kind: "lark", text: "") == nil)
  }

  private func format2(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 16)
    return digits.count == 1 ? "0" + digits : digits
  }
}
