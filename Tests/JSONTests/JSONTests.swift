// JSONTests.swift: the JSON reader against JSONTestSuite and at its own limits; the writer; the field reader.

import Foundation
import JSON
import TestSettings
import Testing

@Suite struct JSONTests {
  private func files(_ folder: URL) throws -> [(name: String, bytes: [UInt8])] {
    let parsing = folder.appendingPathComponent("vectors/json/test_parsing")
    return try FileManager.default.contentsOfDirectory(atPath: parsing.path).sorted().map {
      ($0, Array(try Data(contentsOf: parsing.appendingPathComponent($0))))
    }
  }

  private func accepts(_ bytes: [UInt8], _ limits: JSONText.Limits = .init()) -> Bool {
    do {
      let value = try JSONText.parse(bytes, limits: limits)
      try JSONText.validate(bytes, limits: limits)
      // What was read can be written and read again.
      #expect(try JSONText.parse(JSONWriter.bytes(value), limits: limits) == value)
      return true
    } catch {
      #expect(throws: JSONError.self) { try JSONText.validate(bytes, limits: limits) }
      return false
    }
  }

  @Test(.enabled(if: ReferenceFolder.url != nil, "the reference folder with vectors/json is absent"))
  func everyFileOfJSONTestSuiteIsJudgedRightly() throws {
    var limits = JSONText.Limits()
    limits.duplicateKeys = .allowed
    // The suite leaves these open. We take a number that rounds to zero or to a Double, and nothing else.
    let takenOfTheOpen = [
      "i_number_double_huge_neg_exp.json", "i_number_real_underflow.json", "i_number_too_big_neg_int.json",
      "i_number_too_big_pos_int.json", "i_number_very_big_negative_int.json",
    ]
    let files = try files(try #require(ReferenceFolder.url))
    #expect(files.count == 318)
    for file in files {
      let expected = file.name.hasPrefix("y_") || takenOfTheOpen.contains(file.name)
      #expect(accepts(file.bytes, limits) == expected, "\(file.name)")
      #expect(accepts(file.bytes, .python) == expected, "\(file.name)")
    }
    // Repeated keys are grammatical JSON, and refused by default all the same.
    let refusedByDefault = files.filter { accepts($0.bytes, limits) && !accepts($0.bytes) }.map(\.name)
    #expect(
      refusedByDefault == ["y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json"])
  }

  @Test func `integers of any size keep their digits where they are wanted`() throws {
    let text = Array("[18446744073709551616, -9223372036854775809, 18446744073709551615, -0]".utf8)
    #expect(
      try JSONText.parse(text, limits: .python)
        == [.big("18446744073709551616"), .big("-9223372036854775809"), .unsigned(.max), .double(-0.0)])
    #expect(
      try JSONText.parse(text)
        == [.double(18446744073709551616), .double(-9223372036854775808), .unsigned(.max), .double(-0.0)])
    #expect(accepts([UInt8](repeating: 0x31, count: 4_301), .python))
    #expect(!accepts([UInt8](repeating: 0x31, count: 4_302), .python))
  }

  @Test func everyPrefixOfADocumentIsRefused() {
    let text = Array(#"{"a":[1,-2.5e3,"x\n\ud83d\ude00é",true,false,null,{}],"b":{"c":[]}}"#.utf8)
    #expect(accepts(text))
    for count in 0..<text.count { #expect(!accepts(Array(text.prefix(count))), "\(count) bytes") }
  }

  @Test func depthIsLimitedExactly() {
    func nested(_ depth: Int) -> [UInt8] {
      Array((String(repeating: "[", count: depth) + String(repeating: "]", count: depth)).utf8)
    }
    #expect(accepts(nested(64)))
    #expect(!accepts(nested(65)))
    #expect(!accepts(Array(String(repeating: "{\"a\":", count: 1_000_000).utf8)))
  }

  @Test func valuesAreLimitedExactly() {
    var limits = JSONText.Limits()
    limits.values = 4
    #expect(accepts(Array("[1,2,3]".utf8), limits))
    #expect(!accepts(Array("[1,2,3,4]".utf8), limits))
  }

  @Test func repeatedKeysAreFoundHoweverTheyAreSpelt() throws {
    for text in [#"{"a":1,"a":2}"#, #"{"a":1,"\u0061":2}"#, #"[{"x":{"b":0,"c":1,"b":2}}]"#, #"{"":1,"":2}"#]
    {
      let error = #expect(throws: JSONError.self) { try JSONText.parse(Array(text.utf8)) }
      guard case .duplicateKey? = error?.reason else {
        Issue.record("\(text): \(String(describing: error))")
        continue
      }
    }
    #expect(accepts(Array(#"{"a":{"a":1},"b":{"a":1}}"#.utf8)))
    let many = "{" + (0..<50_000).map { "\"k\($0)\":0" }.joined(separator: ",") + "}"
    #expect(accepts(Array(many.utf8)))
  }

  @Test func integersStayExact() throws {
    func value(_ text: String) throws -> JSONValue { try JSONText.parse(Array(text.utf8)) }
    #expect(try value("9223372036854775807") == .int(.max))
    #expect(try value("-9223372036854775808") == .int(.min))
    #expect(try value("9223372036854775808") == .unsigned(9_223_372_036_854_775_808))
    #expect(try value("18446744073709551615") == .unsigned(.max))
    #expect(try value("18446744073709551616") == .double(18_446_744_073_709_551_616))
    #expect(try value("1.0") == .double(1))
    #expect(try value("-0") == .double(-0.0))
    #expect(throws: JSONError.self) { try value("1e309") }
    #expect(throws: JSONError.self) { try value(String(repeating: "9", count: 513)) }
    #expect(throws: JSONError.self) { try value("01") }
    #expect(throws: JSONError.self) { try value("-") }
  }

  @Test func errorsSayWhatAndWhere() {
    func message(_ text: String) -> String? {
      do {
        _ = try JSONText.parse(Array(text.utf8))
        return nil
      } catch { return error.description }
    }
    #expect(message("{\n  \"a\": 1,\n}") == "found '}', wanted a key in quotes at line 3, column 1 (byte 12)")
    #expect(message("[1 2]") == "found '2', wanted ',' or ']' at line 1, column 4 (byte 3)")
    #expect(message("") == "the JSON text ends too early at line 1, column 1 (byte 0)")
    #expect(message("{\"k\":1,\"k\":2}") == "the key 'k' for the second time at line 1, column 8 (byte 7)")
    #expect(message("\"\\ud800\"") == "an escape of half a surrogate pair at line 1, column 2 (byte 1)")
    #expect(
      message("\u{FEFF}{}") == "a byte order mark; JSON is UTF-8 without one at line 1, column 1 (byte 0)")
  }

  @Test func stringsAreUnescapedAndEscapedBack() throws {
    let text = #""\"\\\/\b\f\n\r\t\u0000\u001f\u00e9\ud83d\ude00""#
    let value = try JSONText.parse(Array(text.utf8))
    #expect(value == .string("\"\\/\u{8}\u{C}\n\r\t\u{0}\u{1F}é😀"))
    let written = String(decoding: JSONWriter.bytes(value), as: UTF8.self)
    #expect(written == #""\"\\/\b\f\n\r\t\u0000\u001fé😀""#)
  }

  @Test func doublesAreWrittenShortest() {
    let written = [0.1, 1e300, .leastNonzeroMagnitude, 1, -0.0, 1e16, 123456.789, .nan, .infinity].map {
      String(decoding: JSONWriter.bytes(.double($0)), as: UTF8.self)
    }
    #expect(
      written == ["0.1", "1e+300", "5e-324", "1.0", "-0.0", "1e+16", "123456.789", "null", "null"])
  }

  @Test func numericFieldsAreHeldToTheirRange() throws {
    for (text, expected) in [
      ("-1", nil), ("0", nil), ("1", 1), ("4096", 4096), ("4097", nil), ("1e308", nil), ("\"5\"", nil),
      ("1.5", nil), ("9223372036854775808", nil), ("1e400", nil), ("true", nil), ("[1]", nil), ("2.0", 2),
    ] as [(String, Int?)] {
      do {
        var fields = try JSONFields(JSONText.parse(Array("{\"n\":\(text)}".utf8)))
        #expect(try fields.integer("n", 1...4096) == expected, "\(text)")
      } catch {
        #expect(expected == nil, "\(text): \(error)")
      }
    }
  }

  @Test func fieldErrorsNameTheFieldAndTheRange() throws {
    var fields = try JSONFields(
      JSONText.parse(Array(#"{"max_tokens":1.5,"t":3,"s":7,"o":{"w":"x"},"n":null,"extra":1}"#.utf8)))
    func message(_ body: () throws(JSONFieldError) -> Void) -> String {
      do {
        try body()
        return "no error"
      } catch { return "\(error.field): \(error)" }
    }
    #expect(
      message { () throws(JSONFieldError) in _ = try fields.integer("max_tokens", 1...1_048_576) }
        == "max_tokens: 'max_tokens' is 1.5, wanted an integer from 1 to 1048576")
    #expect(
      message { () throws(JSONFieldError) in _ = try fields.number("t", 0...2) }
        == "t: 't' is 3, wanted a number from 0.0 to 2.0")
    #expect(
      message { () throws(JSONFieldError) in _ = try fields.string("s") } == "s: 's' is 7, wanted a string")
    #expect(
      message { () throws(JSONFieldError) in
        var inner = try fields.require("o", fields.object("o"))
        _ = try inner.word("w", ["text", "json"])
      } == "o.w: 'o.w' is \"x\", wanted one of 'text', 'json'")
    #expect(
      message { () throws(JSONFieldError) in
        let found = try fields.string("model")
        _ = try fields.require("model", found)
      } == "model: 'model' is missing")
    #expect(try fields.integer("n", 0...1) == nil)
    #expect(fields.unread == ["extra"])
    #expect(
      message { () throws(JSONFieldError) in _ = try JSONFields([1]) }
        == ": the request is an array, wanted an object")
  }
}
