// VerbTests.swift: verbs as lines of the control socket: each is read as it was written, and spelt as it always was.
// Leaves out who may ask for which (RoleTests.swift) and what they do (AccountsTests.swift).
import Control
import JSON
import Testing

@testable import Node

@Suite struct VerbTests {
  /// One of each, and its line.
  private static let lines: [(any Verb, String)] = [
    (ListClients(), #"{"clients":{"tag":7}}"#),
    (AddClient(name: "aria"), #"{"add_client":{"name":"aria","tag":7}}"#),
    (RevokeClient(name: "aria"), #"{"revoke_client":{"name":"aria","tag":7}}"#),
    (
      LimitClient(name: "aria", budget: ""), #"{"limit_client":{"budget":"","name":"aria","tag":7}}"#
    ),
    (
      SetLimits(name: "bob", changes: LimitChanges(tokensPerJob: "1", tokensPerDay: "none")),
      #"{"set_limits":{"changes":{"tokens_per_day":"none","tokens_per_job":"1"},"name":"bob","tag":7}}"#
    ),
    (SetKey(name: "bob", key: "ssh"), #"{"set_key":{"key":"ssh","name":"bob","tag":7}}"#),
    (
      Settle(client: "bob", amount: "1", reference: "r"),
      #"{"settle":{"amount":"1","client":"bob","reference":"r","tag":7}}"#
    ),
    (
      PayAhead(client: "bob", amount: "1", reference: "r"),
      #"{"deposit":{"amount":"1","client":"bob","reference":"r","tag":7}}"#
    ),
    (
      Correct(client: "bob", amount: "-1", reason: "goodwill"),
      #"{"correct":{"amount":"-1","client":"bob","reason":"goodwill","tag":7}}"#
    ),
    (ShowEarnings(since: "2026-11-23"), #"{"earnings":{"since":"2026-11-23","tag":7}}"#),
    (
      MakeStatement(client: "bob", until: "2026-11-24", form: .csv),
      #"{"statement":{"client":"bob","form":"csv","tag":7,"until":"2026-11-24"}}"#
    ),
    (
      GiveVoucher(client: "bob", text: "a\n", signature: "b"),
      #"{"voucher":{"client":"bob","signature":"b","tag":7,"text":"a\n"}}"#
    ),
    (ExportVoucher(client: "bob"), #"{"export_voucher":{"client":"bob","tag":7}}"#),
    (ExportReceipt(id: "12", earlier: 3), #"{"export_receipt":{"earlier":3,"id":"12","tag":7}}"#),
    (
      Cosign(checkpoint: "c", signature: "s", witnesses: ""),
      #"{"cosign":{"checkpoint":"c","signature":"s","tag":7,"witnesses":""}}"#
    ),
    (ReadPublic(path: "checkpoint"), #"{"read_public":{"path":"checkpoint","tag":7}}"#),
    (OfferSample(bundle: "b"), #"{"offer_sample":{"bundle":"b","tag":7}}"#),
    (
      ListPast(query: PastQuery(client: "bob", outcome: .failed, since: "2026-11-23", limit: 5)),
      #"{"past":{"query":{"client":"bob","limit":5,"outcome":"failed","since":"2026-11-23"},"tag":7}}"#
    ),
  ]

  private func isSame<Asked: Verb>(_ asked: Asked, _ found: any Verb) -> Bool { asked == found as? Asked }

  /// With its keys in order.
  private func sorted(_ value: JSONValue) -> JSONValue {
    guard case .object(let members) = value else { return value }
    return .object(members.map { (key: $0.key, value: sorted($0.value)) }.sorted { $0.key < $1.key })
  }

  @Test func `a verb is read from its line as it was written`() throws {
    #expect(Self.lines.map { type(of: $0.0).word } == VerbRequest.all.map { $0.word })
    for (verb, line) in Self.lines {
      let written = ControlProtocol.line(VerbRequest(tag: 7, verb))
      #expect(String(decoding: JSONWriter.bytes(sorted(try JSONText.parse(written))), as: UTF8.self) == line)
      let read = try #require(ControlProtocol.parse(VerbRequest.self, Array(line.utf8)), "\(line)")
      #expect(read.tag == 7 && isSame(verb, read.verb), "\(line)")
    }
  }

  @Test func `a line that is no verb is none`() {
    for line in [
      "{}", "[]", "7", #"{"zork":{"tag":1}}"#, #"{"add_client":{"name":"x"}}"#, #"{"add_client":{"tag":1}}"#,
      #"{"clients":{"tag":-1}}"#, #"{"clients":{"tag":1},"earnings":{"tag":1}}"#, #"{"clients":7}"#,
    ] {
      #expect(ControlProtocol.parse(VerbRequest.self, Array(line.utf8)) == nil, "\(line)")
    }
  }

  @Test func `what takes rights away is read whole`() throws {
    let limits = VerbRequest.all.filter { $0.limitsRights }.map { $0.word }
    #expect(limits == ["limitClient", "setLimits"])
    let line = Array(#"{"limit_client":{"tag":7,"name":"aria","budget":"1","hours":"8-10"}}"#.utf8)
    let read = try #require(ControlProtocol.parse(VerbRequest.self, line))
    #expect(ControlProtocol.unreadKey(of: read, in: line) == "hours")
  }
}
