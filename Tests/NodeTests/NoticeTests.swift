// NoticeTests.swift: what a configuration says in vain, with its place.
import Node
import Testing

@Suite struct NoticeTests {
  private func notices(_ text: String) throws -> [String] {
    try NodeConfiguration(file: "c", text: text).notices(
      file: "c",
      NamedThings(hasUser: { $0 == "anna" }, hasGroup: { $0 == "staff" }, isProgram: { _ in false }) {
        $0 == "smollm2" ? nil : "is not there: no model '\($0)'"
      }
    ).map(\.description)
  }

  @Test func `a configuration in which all has an effect has none`() throws {
    #expect(try notices("{}") == [])
    #expect(
      try notices(
        "{ model: 'smollm2', policy: [{ client: 'unknown', action: 'ask' }, { client: 'known', action: 'admit' }], control: { operators: ['anna', 'group:staff', '1000'] } }"
      ) == [])
  }

  @Test func `each thing is named with line and column`() throws {
    #expect(
      try notices(
        """
        {
          model: "nosuch",
          http: { model_names: ["gpt-*", "*-mini"] },
          policy: [
            { client: "known", action: "admit" },
            { client: "lab-*", action: "ask" },
          ],
          prices: [
            { client: "la*b", completion: "1" },
            { completion: "2" },
            { model: "m", completion: "3" },
          ],
          notify: ["/no/such", "now"],
          control: { operators: ["nosuchuser"], viewers: ["group:nosuch", "anna"] },
        }
        """) == [
          "c:2:3: 'model' is not there: no model 'nosuch'",
          "c:3:34: 'http.model_names.2' is '*-mini', where a '*' in the middle stands for itself: only one at the end stands for any rest",
          "c:6:5: 'policy.2' is never reached: rule 1 takes all jobs that it would match",
          "c:9:7: 'prices.1.client' is 'la*b', where a '*' in the middle stands for itself: only one at the end stands for any rest",
          "c:11:5: 'prices.3' is never reached: rule 2 takes all jobs that it would match",
          "c:13:12: 'notify.1' is no program of this machine: '/no/such'",
          "c:14:26: 'control.operators.1' is no user of this machine: 'nosuchuser'",
          "c:14:51: 'control.viewers.1' is no group of this machine: 'nosuch'",
        ])
  }
}
