// LineTests.swift: canonical lines: one spelling for each record, every other refused.
import Dice
import Foundation
import Receipts
import TestSettings
import Testing

@Suite struct LineTests {
  private func line(_ record: Record, seq: Int = 3) throws -> [UInt8] {
    try Entry(
      envelope: Envelope(seq: seq, time: 1_790_000_000_000_001, group: 2, previous: SHA256.hash([9])),
      record: record
    ).line()
  }

  @Test func everyRecordComesBackAsItWas() throws {
    for record in sampleRecords {
      let bytes = try line(record)
      #expect(bytes.last == 0x0A)
      #expect(bytes.dropLast().allSatisfy { $0 >= 0x20 && $0 != 0x7F }, "no control character in a line")
      let entry = try Entry(parsing: bytes)
      #expect(entry.record == record)
      #expect(try entry.line() == bytes)
    }
    #expect(Set(sampleRecords.map(\.kind)) == Set(Record.Kind.allCases), "a sample of every kind")
  }

  @Test func everyLineIsJSONWithoutFloats() throws {
    for record in sampleRecords {
      let object = try JSONSerialization.jsonObject(with: Data(try line(record)))
      let fields = try #require(object as? [String: Any])
      #expect(fields["type"] as? String == record.kind.rawValue)
      #expect(fields["seq"] as? Int == 3)
      for (key, value) in fields where !(value is String) {
        #expect(value is Int || value is Bool, "\(key)")
      }
    }
  }

  /// Every single-byte change is refused: by the grammar or by `h`.
  @Test func everyChangedByteIsRefused() throws {
    var generator = SeededGenerator(seed: 1)
    for record in sampleRecords {
      let bytes = try line(record)
      for i in bytes.indices where isHeavy || i % 3 == 0 {
        var changed = bytes
        changed[i] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        #expect(throws: LineError.self, "byte \(i) of \(record.kind)") { try Entry(parsing: changed) }
      }
    }
  }

  @Test func cutDoubledAndPaddedLinesAreRefused() throws {
    for record in sampleRecords {
      let bytes = try line(record)
      for count in stride(from: 0, to: bytes.count, by: 7) {
        #expect(throws: LineError.self) { try Entry(parsing: Array(bytes[..<count])) }
      }
      #expect(throws: LineError.self) { try Entry(parsing: bytes + bytes) }
      #expect(throws: LineError.self) { try Entry(parsing: bytes + [0x0A]) }
      #expect(throws: LineError.self) { try Entry(parsing: [0x20] + bytes) }
    }
  }

  /// Other spellings of the same values, each with a correct `h`: only the grammar can refuse them.
  @Test func otherSpellingsAreRefused() throws {
    let original = String(
      decoding: try line(
        .settlement(
          Settlement(client: "bob", amount: 12, currency: "EUR", reference: "a", day: 5))), as: UTF8.self)
    func resealed(_ text: String) -> [UInt8] {
      let head = text.components(separatedBy: ",\"h\":")[0]
      return Array("\(head),\"h\":\"\(SHA256.hash(Array(head.utf8)).hex.prefix(16))\"}\n".utf8)
    }
    #expect(resealed(original) == Array(original.utf8))
    for (from, to) in [
      ("\"amount\":12", "\"amount\":012"), ("\"amount\":12", "\"amount\":12.0"),
      ("\"amount\":12", "\"amount\":1.2e1"),
      ("\"amount\":12", "\"amount\":+12"), ("\"amount\":12", "\"amount\":-0"),
      ("\"amount\":12", "\"amount\":\"12\""),
      ("\"amount\":12", "\"amount\":9007199254740992"), ("\"amount\":12", "\"amount\":99999999999999999999"),
      ("\"amount\":12", "\"amount\": 12"), ("\"amount\":12", "\"amount\":null"), ("\"amount\":12,", ""),
      ("\"amount\":12", "\"amount\":12,\"amount\":12"), ("\"client\":\"bob\"", "\"client\":\"\\u0062ob\""),
      ("\"client\":\"bob\"", "\"client\":\"b\\/ob\""), ("\"client\":\"bob\"", "\"client\":\"\\u000A\""),
      ("\"client\":\"bob\"", "\"client\":\"\(String(repeating: "x", count: 257))\""),
      ("\"client\":\"bob\",\"amount\":12", "\"amount\":12,\"client\":\"bob\""), ("{\"seq\"", "{ \"seq\""),
      ("\"type\":\"settlement\"", "\"type\":\"settlements\""), ("\"day\":5", "\"day\":2147483648"),
      ("\"seq\":3", "\"seq\":-3"), ("\"t\":1790000000000001", "\"t\":1790000000000001.5"),
    ] {
      let text = original.replacingOccurrences(of: from, with: to)
      #expect(text != original)
      #expect(throws: LineError.self, "\(to)") { try Entry(parsing: resealed(text)) }
    }
  }

  /// Every other byte at every place, with a correct `h`: what is accepted is written so.
  @Test func whatIsAcceptedIsTheOnlySpelling() throws {
    var receipt = sampleReceipt(job: 0xA9, tokens: 70, client: "a \"b\" \u{7F} \u{E9}")
    receipt.amount = -12_345_678
    receipt.cachedTokens = 0
    let original = try line(.receipt(receipt))
    let seal = Array(",\"h\":".utf8)
    let body = original.count - 25
    #expect(Array(original[body..<body + seal.count]) == seal)
    var accepted = 0
    for i in stride(from: 0, to: body, by: isHeavy ? 1 : 7) {
      for byte in 0...UInt8.max where byte != original[i] {
        var bytes = Array(original[..<body])
        bytes[i] = byte
        bytes += seal + Array("\"\(SHA256.hash(bytes).hex.prefix(16))\"}\n".utf8)
        guard let entry = try? Entry(parsing: bytes) else { continue }
        accepted += 1
        guard try entry.line() != bytes else { continue }
        Issue.record("byte \(byte) at \(i) has another spelling")
        return
      }
    }
    #expect(accepted > 500)
  }

  @Test func whatALineCannotHoldIsRefusedBeforeItIsWritten() {
    var receipt = sampleReceipt(job: 1)
    receipt.sampler.temperature = .nan
    #expect(throws: LineError.self) { try line(.receipt(receipt)) }
    receipt = sampleReceipt(job: 1)
    receipt.amount = 9_007_199_254_740_992
    #expect(throws: LineError.self) { try line(.receipt(receipt)) }
    receipt = sampleReceipt(job: 1)
    receipt.client = String(repeating: "c", count: 257)
    #expect(throws: LineError.self) { try line(.receipt(receipt)) }
    #expect(throws: LineError.self) { try line(.nodeStopped(NodeStopped(reason: "x")), seq: -1) }
  }

  @Test func theLongestOutputFitsALine() throws {
    var receipt = sampleReceipt(
      job: 1, tokens: Receipt.maximumCompletionTokens, client: String(repeating: "\u{1}", count: 256),
      model: String(repeating: "\u{1}", count: 512), node: String(repeating: "n", count: 128))
    receipt.numerics = String(repeating: "n", count: 64)
    #expect(try line(.receipt(receipt)).count <= maximumLineBytes)
    receipt.windows.append(.zero)
    #expect(throws: LineError.self) { try line(.receipt(receipt)) }
  }

  @Test func base64HasOneSpelling() {
    for count in 0..<70 {
      let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ count) }
      #expect(Base64.format(bytes) == Data(bytes).base64EncodedString())
      #expect(Base64.parse(Base64.format(bytes)) == bytes)
    }
    for bad in ["A", "AA", "AAA", "A===", "AB==", "AAB=", "AA=A", "AA==AAAA", "AA\n=", "-_==", "AAAA="] {
      #expect(Base64.parse(bad) == nil, "\(bad)")
    }
  }

  @Test func randomBytesNeverTrap() {
    var generator = SeededGenerator(seed: 7)
    for _ in 0..<(isHeavy ? 200_000 : 5_000) {
      let base =
        (try? Entry(
          envelope: Envelope(),
          record: sampleRecords[Int.random(in: 0..<sampleRecords.count, using: &generator)]
        ).line()) ?? []
      var bytes = base
      for _ in 0..<Int.random(in: 1...4, using: &generator) where !bytes.isEmpty {
        let i = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<3, using: &generator) {
        case 0: bytes[i] = UInt8.random(in: 0...255, using: &generator)
        case 1: bytes.remove(at: i)
        default: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: i)
        }
      }
      if bytes != base { #expect(throws: LineError.self) { try Entry(parsing: bytes) } }
    }
  }
}
