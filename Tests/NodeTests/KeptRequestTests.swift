// KeptRequestTests.swift: requests in the spool: read as they were written, by this release and by those before it.
import Accounting
import Testing

@testable import Node

@Suite struct KeptRequestTests {
  @Test func `a kept request is read as it was written, in every dialect`() throws {
    let terms = JobTerms(
      price: try Price(
        promptPerMillion: Amount(micro: 1), cachedPerMillion: Amount(micro: 2),
        completionPerMillion: Amount(micro: 3), minimum: Amount(micro: 4)), isAdmitted: true, policy: "p")
    for dialect in Dialect.all {
      for (identity, terms) in [(Identity.known("aria"), terms), (.unknown("0123456789ab"), nil)] {
        let kept = KeptRequest(dialect: dialect, identity: identity, terms: terms, body: [0x7B, 0x0A, 0x7D])
        let read = try #require(KeptRequest(kept.bytes))
        #expect(read.dialect.name == dialect.name && read.identity == identity)
        #expect(read.terms == terms && read.body == kept.body)
      }
    }
  }

  @Test func `what a release before names of dialects kept is read`() throws {
    for (chat, name) in [("true", "openai-chat"), ("false", "openai-completions")] {
      let line = #"{"chat":\#(chat),"client":"aria","known":true}"# + "\n{}"
      #expect(KeptRequest(Array(line.utf8))?.dialect.name == name)
    }
    for line in [
      "", "{}\n{}", #"{"client":"aria"}"# + "\n", #"{"dialect":"zork","chat":true,"client":"a"}"# + "\n",
    ] {
      #expect(KeptRequest(Array(line.utf8)) == nil, "\(line)")
    }
  }
}
