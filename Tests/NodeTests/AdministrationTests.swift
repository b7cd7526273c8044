// AdministrationTests.swift: what an owner does about clients from a screen: rules written into the configuration's
// file, strangers who become clients, and what screens show of each.
import Accounting
import Control
import Foundation
import Receipts
import Scheduling
import Testing

@testable import Node

@Suite struct AdministrationTests {
  @Test func `a rule goes in front, and all else stays as it was written`() {
    let text = """
      // [ a bracket, { and another
      {
        name: "x", // keep me
        policy: [ // the first decides
          { client: "known", action: "admit" },
        ],
      }

      """
    let edited = ConfigurationEdit.inserting("client: \"bob\", action: \"ask\"", into: "policy", of: text)
    #expect(
      edited
        == """
        // [ a bracket, { and another
        {
          name: "x", // keep me
          policy: [
            { client: "bob", action: "ask" }, // the first decides
            { client: "known", action: "admit" },
          ],
        }

        """)
    let usual = ["client: \"known\", action: \"admit\""]
    #expect(
      ConfigurationEdit.inserting("client: \"bob\", action: \"ask\"", into: "policy", of: nil, usual: usual)
        == "{\n  policy: [\n    { client: \"bob\", action: \"ask\" },\n    { client: \"known\", action: \"admit\" },\n  ],\n}\n"
    )
    #expect(
      ConfigurationEdit.inserting("a: 1", into: "prices", of: "{ prices: [] }")
        == "{ prices: [\n    { a: 1 },] }")
    #expect(ConfigurationEdit.inserting("a: 1", into: "prices", of: "{ prices: 7 }") == nil)
    #expect(ConfigurationEdit.inserting("a: 1 }, {", into: "prices", of: "{}") == nil)
  }

  private func start(_ scratch: ScratchDirectory, _ text: String) throws -> NodeService {
    let file = scratch.path + "/config.json5"
    try text.write(toFile: file, atomically: true, encoding: .utf8)
    var options = NodeOptions(
      configuration: try NodeConfiguration(file: file, text: text), stateDirectory: scratch.path + "/state",
      version: "0"
    ) { (_) throws(ServingError) in throw ServingError("no model here", hint: nil) }
    options.configurationFile = file
    options.readConfiguration = {
      do throws(ConfigurationError) {
        let text = try? String(contentsOfFile: file, encoding: .utf8)
        return .success(try NodeConfiguration(file: file, text: text))
      } catch {
        return .failure(AdministrationError(error.description))
      }
    }
    let node = try NodeService(options)
    try node.start()
    return node
  }

  private func ask(_ node: NodeService, _ act: ClientAct) -> CommandReply {
    node.handle.administration.perform(act, by: Operator("anna")) { _, _ in }
  }

  @Test func `a decision for good and a price are rules of the file, and hold at once`() throws {
    let scratch = try ScratchDirectory()
    let node = try start(
      scratch, "{ http: { listen: 'none' },\n  // mine\n  prices: [{ prompt: '0.1', completion: '0.4' }] }\n")
    defer { AccountsTests().end(node) }
    let admitted = ask(node, .admitAlways(name: "unknown-9c41"))
    guard case .done(let words) = admitted else { throw AdministrationError("\(admitted)") }
    #expect(words == "wrote { client: \"unknown-9c41\", action: \"admit\" } into policy; applied: policy")
    _ = ask(node, .rejectAlways(name: "unknown-7", reason: "say \"please\""))
    _ = ask(node, .price(name: "bob", completion: "0.30"))
    let now = node.configuration.current
    #expect(
      now.policy.rules == [
        Policy.Rule(client: .named("unknown-7"), action: .reject(reason: "say \"please\"")),
        Policy.Rule(client: .named("unknown-9c41"), action: .admit),
        Policy.Rule(client: .known, action: .admit),
      ])
    let price = now.prices.price(model: "m", client: "bob", hour: 3)
    #expect(price?.completion.description == "0.30" || price?.completion == Amount(micro: 300_000))
    #expect(price?.prompt == Amount(micro: 100_000))
    #expect(now.prices.price(model: "m", client: "aria", hour: 3)?.completion == Amount(micro: 400_000))
    let file = try String(contentsOfFile: scratch.path + "/config.json5", encoding: .utf8)
    #expect(file.contains("// mine"))
    #expect(ask(node, .price(name: "bob", completion: "-1")) == .refused("the price is negative"))
    #expect(
      ask(node, .rejectAlways(name: "x", reason: "a\nb"))
        == .refused("'a\nb' wants 1 to 400 bytes on one line"))
  }

  @Test func `a stranger becomes a client and keeps its own token`() throws {
    let scratch = try ScratchDirectory()
    let node = try start(scratch, "{ http: { listen: 'none' } }")
    let stranger = try node.admission.identify(token: "my own word")
    #expect(!stranger.isKnown)
    #expect(
      ask(node, .adopt(stranger: stranger.name, name: "phone"))
        == .done("\(stranger.name) is client phone now, with the token that it made itself"))
    #expect(try node.admission.identify(token: "my own word") == .known("phone"))
    #expect(
      ask(node, .adopt(stranger: "unknown-000000000000", name: "other"))
        == .refused(
          "'unknown-000000000000' has sent nothing since the node's start, so its token is not known"))
    #expect(
      ask(node, .adopt(stranger: stranger.name, name: "phone"))
        == .refused("there is a client 'phone' already"))
    #expect(ask(node, .revoke(name: "phone")) == .done("revoked phone"))
    AccountsTests().end(node)
    // A restart finds it in the journal.
    var digests: [SHA256Digest] = []
    _ = try Journal.check(state: scratch.path + "/state") { entry in
      if case .clientAdded(let added) = entry.record, added.client == "phone" {
        digests.append(added.tokenSHA256)
      }
    }
    #expect(digests == [ClientDirectory.digest(of: "my own word")])
  }

  @Test func `screens see who is there, what each does and what is left`() throws {
    let node = try ScriptedNode("{ prices: [{ completion: '2' }] }")
    var limits = ClientLimits()
    limits.budget = Amount(micro: 1_000)
    limits.tokensPerDay = 100
    node.send(.limitsSet(client: "bob", limits))
    node.length = 100
    _ = node.submit(1, client: "bob", limit: 50)
    _ = node.step()
    node.pass(seconds: 1)
    _ = node.submit(2, client: "9c41", known: false)
    let rows = try #require(node.snapshot().clients)
    #expect(rows.map(\.name) == ["unknown-9c41", "bob", "aria"])
    #expect(rows.map(\.isKnown) == [false, true, true])
    let bob = rows[1]
    #expect(bob.running == 1 && bob.waiting == 0 && bob.asked == 2_000_000)
    #expect(bob.budget == 1_000 && bob.budgetLeft == 900 && bob.tokensPerDay == 100)
    #expect(bob.tokensToday == 20 || bob.tokensToday == 21)
    #expect(rows[0].waiting == 1 && rows[0].tokensToday == nil && rows[0].lastSeen == node.time)
    #expect(rows[2].lastSeen == nil)
    node.send(.clientRevoked(name: "bob"))
    #expect(node.snapshot().clients?.first { $0.name == "bob" }?.isRevoked == true)
    // Names of strangers are free to make up.
    for number in 3..<2_000 { _ = node.submit(UInt64(number), client: "s\(number)", known: false) }
    #expect(node.state.lastSeen.count <= 513)
    #expect(node.snapshot().clients?.count == 200)
  }
}
