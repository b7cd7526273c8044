import Foundation
import Node
import TestSettings
import Testing

/// `man/hotpot-config.5` against the reader of the configuration.
@Suite struct ManualTests {
  static let page = repository.appending(path: "man/hotpot-config.5")

  static func example() throws -> String {
    let text = try String(contentsOf: page, encoding: .utf8)
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    let first = try #require(lines.firstIndex { $0 == ".\\\" test: example" })
    let last = try #require(lines.firstIndex { $0 == ".\\\" test: end" })
    return lines[(first + 2)..<(last - 1)].joined(separator: "\n")
  }

  @Test func theManualsExampleIsTaken() throws {
    let configuration = try NodeConfiguration(file: "man/hotpot-config.5", text: Self.example())
    #expect(configuration.name == "kitchen")
    #expect(configuration.policy.rules.count == 6)
    #expect(configuration.prices.rules.count == 3)
    #expect(configuration.vouchers == .optional)
    #expect(configuration.limits.diskFree == 512 << 20)
    #expect(configuration.witnesses.map(\.key.name) == ["witness.test/w1"])
    #expect(configuration.cosigns.map(\.name) == ["log.test/a"])
  }

  /// The reader names all keys that it knows in an object when it meets a strange one: each stands in the manual.
  @Test(arguments: [
    "{ strange: 1 }", "{ http: { strange: 1 } }", "{ queue: { strange: 1 } }", "{ limits: { strange: 1 } }",
    "{ strangers: { strange: 1 } }", "{ answers: { strange: 1 } }",
    "{ audits: { strange: 1 } }", "{ screen: { strange: 1 } }", "{ control: { strange: 1 } }",
    "{ policy: [{ action: 'ask', strange: 1 }] }",
    "{ prices: [{ strange: 1 }] }",
    "{ witnesses: [{ url: 'http://127.0.0.1:1', key: 'witness.test/w1+6b4daddb+BPEmbdsTlBlHgul11B57RUumy1d3Y2y+1t6jzeHmyW5Z', strange: 1 }] }",
    "{ energy: { per_kwh: '1', strange: 1 } }",
    "{ energy: { per_kwh: '1', periods: [{ hours: '1-2', per_kwh: '1', strange: 1 }] } }",
  ]) func everyKeyIsInTheManualAndInItsExample(text: String) throws {
    let page = try String(contentsOf: Self.page, encoding: .utf8)
    let example = try Self.example()
    do {
      _ = try NodeConfiguration(file: "config.json5", text: text)
      Issue.record("a strange key was taken")
    } catch {
      let known = try #require(error.hint?.split(separator: ": ").last).split(separator: ", ")
      #expect(known.count > 1)
      for key in known {
        #expect(example.contains("\(key): "), "the example lacks \(key)")
        #expect(
          page.split(separator: "\n").contains { line in
            (line.hasPrefix(".It Cm ")
              && line.dropFirst(7).replacing(",", with: " ").split(separator: " ").contains(key))
              || line == ".Ss \(key)"
          }, "the manual lacks \(key)")
      }
    }
  }
}
