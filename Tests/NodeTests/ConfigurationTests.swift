import Accounting
import Node
import Scheduling
import Testing

@Suite struct ConfigurationTests {
  func read(_ text: String) throws -> NodeConfiguration {
    try NodeConfiguration(file: "config.json5", text: text)
  }

  func problem(_ text: String) -> String {
    do {
      _ = try read(text)
      return "it was taken"
    } catch {
      return "\(error)"
    }
  }

  @Test func aMissingFileGivesTheDefaults() throws {
    let configuration = try NodeConfiguration(file: "config.json5", text: nil)
    #expect(configuration.http.listen == "127.0.0.1:8114")
    #expect(configuration.policy == .standard)
    #expect(configuration.profile == .a15)
  }

  @Test func readsEverySection() throws {
    let configuration = try read(
      """
      // a kitchen
      {
        name: 'kitchen-1', model: "smollm2", threads: 2, profile: "a8", kv_tokens: 8192, token_target_ms: 50,
        http: { listen: "none", socket: "/run/hotpot.http", hosts: ["node.example"], connections: 64, body_limit: 65536 },
        queue: { jobs: 10, prompt_tokens: 1000, decide_within_s: 5, running: 4, },
        policy: [
          { client: "known", tokens_above: 8192, action: "reject", reason: "at most 8192 tokens" },
          { client: "lab-*", hours: "22-6", action: "admit" },
          { price_below: "0.02", action: "ask" },
        ],
        currency: "EUR",
        prices: [{ model: "smollm2", prompt: "0.01", completion: "0.04", minimum: "0.0001" }],
        energy: { per_kwh: "0.30", periods: [{ hours: "22-6", per_kwh: "0.20" }] },
        limits: { temperature_c: 85, memory_available: 1000000, disk_free: 0 },
        audits: { share: 0.5, keep_transcripts_s: 60, stop_on_failure: false },
      }
      """)
    #expect(configuration.name == "kitchen-1")
    #expect(configuration.http.listen == nil)
    #expect(configuration.queue.running == 4)
    #expect(configuration.policy.rules.count == 3)
    #expect(configuration.policy.rules[2].priceBelow == 20_000)
    #expect(
      configuration.prices.price(model: "smollm2", client: "x", hour: 3)?.cached == Amount(micro: 10_000))
    #expect(configuration.tariff?.cost(of: Energy(joules: 3_600_000), hour: 23) == Amount(micro: 200_000))
    #expect(configuration.audits.share == 0.5)
  }

  @Test(arguments: [
    (
      "{\n  queue: { jobs: -3 } }",
      "config.json5:2:12: 'queue.jobs' is -3, wanted a whole number from 1 to 100000"
    ),
    ("{ nmae: 'x' }", "config.json5:1:3: 'nmae' is not a key that hotpot knows"),
    ("{ name: 5 }", "config.json5:1:3: 'name' is 5, wanted a text"),
    ("{ profile: 'a9' }", "config.json5:1:3: 'profile' is \"a9\", wanted one of \"a15\", \"a12\", \"a8\""),
    (
      "{ policy: [{ action: 'admit' }, { client: 'x' }] }",
      "config.json5:1:33: 'policy.2.action' is missing, wanted \"admit\", \"reject\" or \"ask\""
    ),
    (
      "{ policy: [{ action: 'reject' }] }",
      "config.json5:1:12: 'policy.1.reason' is missing: the client is told why it was rejected"
    ),
    (
      "{ energy: {} }",
      "config.json5:1:3: 'energy.per_kwh' is missing, wanted the price of a kilowatt-hour such as \"0.30\""
    ),
    (
      "{ prices: [{ prompt: \"-1\" }] }",
      "config.json5:1:14: 'prices.1.prompt' is refused: the amount is negative"
    ),
    (
      "{\n  prices: [\n    { prompt: '1' },\n    // prompt\n    { client: 'a', prompt: '9007199254.740992' },\n  ] }",
      "config.json5:5:20: 'prices.2.prompt' is \"9007199254.740992\", wanted at most 9007199254.740991, the most that a receipt can say"
    ),
    (
      "{ prices: [\n{ completion: '1' },\n{ minimum: '9223372036854.775807' }] }",
      "config.json5:3:3: 'prices.2.minimum' is \"9223372036854.775807\", wanted at most 9007199254.740991, the most that a receipt can say"
    ),
    (
      "{ policy: [\n{ price_below: '99999999999', action: 'ask' }] }",
      "config.json5:2:3: 'policy.1.price_below' is \"99999999999\", wanted at most 9007199254.740991, the most that a receipt can say"
    ),
    (
      "{ energy: {\n 'per_kwh': '99999999999' } }",
      "config.json5:2:2: 'energy.per_kwh' is \"99999999999\", wanted at most 9007199254.740991, the most that a receipt can say"
    ),
    ("{ prices: [{ prompt: 0.1 }] }", "config.json5:1:14: 'prices.1.prompt' is 0.1, wanted a text"),
    ("{ audits: { share: 2 } }", "config.json5:1:13: 'audits.share' is 2, wanted a number from 0.0 to 1.0"),
    (
      "{ http: { tls: { certificate: 'a.pem' } } }",
      "config.json5:1:18: 'http.tls.certificate' is 'a.pem', wanted a file's path from '/' on, such as \"/etc/hotpot/certificate.pem\""
    ),
    (
      "{ http: {\n tls: { certificate: '/a.pem' } } }",
      "config.json5:2:2: 'http.tls.key' is missing, wanted a PEM file"
    ),
    (
      "{ http: { tls: { certificate: '/a.pem', key: '/a.key', ca: '/b' } } }",
      "config.json5:1:56: 'http.tls.ca' is not a key that hotpot knows"
    ),
    ("[1]", "config.json5:1:1: found no object at the top, wanted { \"key\": value, ... }"),
    ("", "config.json5: the file is empty, wanted an object such as {}"),
  ]) func namesFileLineKeyAndFix(text: String, expected: String) {
    #expect(problem(text) == expected)
  }

  @Test(arguments: [
    (
      "{\n name: 'x',\n threads 2 }",
      "config.json5:3:10: it is not JSON5: found '2', wanted ':' after the key"
    ),
    ("{\n name: 'x'\n threads: 2 }", "config.json5:3:2: it is not JSON5: found 't', wanted ',' or '}'"),
    ("{\n name: 'x", "config.json5:2:8: it is not JSON5: the text that begins here does not end on its line"),
    ("{ /* \n\n", "config.json5:1:3: it is not JSON5: the comment that begins here does not end"),
    ("{}\n}", "config.json5:2:1: it is not JSON5: found '}', wanted the end of the file"),
    ("{ a: [1, 2 }", "config.json5:1:12: it is not JSON5: found '}', wanted ',' or ']'"),
    ("{ threads: 1e+ }", "config.json5:1:12: it is not JSON5: found '1e+', wanted a value"),
    (
      "{ threads: 1,\n threads: 2 }",
      "config.json5:2:2: it is not JSON5: the key 'threads' for the second time in this object"
    ),
  ]) func aSyntaxErrorNamesItsLine(text: String, expected: String) {
    #expect(problem(text) == expected)
  }
}
