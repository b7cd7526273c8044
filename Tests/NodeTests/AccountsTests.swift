import Accounting
import Control
import Foundation
import Node
import Receipts
import Scheduling
import Testing

/// Whether the OpenSSH client is installed; what needs it is skipped elsewhere.
let hasSSHKeygen = FileManager.default.isExecutableFile(atPath: "/usr/bin/ssh-keygen")

/// A directory of its own, removed when the value goes.
final class ScratchDirectory {
  let path: String

  init() throws {
    path = FileManager.default.temporaryDirectory.path + "/hotpot-node-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
  }

  deinit {
    do { try FileManager.default.removeItem(atPath: path) } catch { print("left behind: \(path): \(error)") }
  }
}

@Suite struct AccountsTests {
  /// A node with all but a model and HTTP.
  func start(_ state: String, _ text: String = "{ http: { listen: 'none' } }") throws -> NodeService {
    let node = try NodeService(
      NodeOptions(
        configuration: NodeConfiguration(file: "config.json5", text: text), stateDirectory: state,
        version: "0"
      ) { (_) throws(ServingError) in throw ServingError("no model here", hint: nil) })
    try node.start()
    return node
  }

  func end(_ node: NodeService) {
    node.stop(drain: false, by: "test")
    node.waitUntilStopped()
  }

  /// The stock program's own word on a signature.
  func stockVerifies(
    _ text: String, _ signature: String, _ signers: String, namespace: String, in directory: String
  )
    throws -> Bool
  {
    try signers.write(toFile: directory + "/allowed_signers", atomically: true, encoding: .utf8)
    try signature.write(toFile: directory + "/text.sig", atomically: true, encoding: .utf8)
    try text.write(toFile: directory + "/text", atomically: true, encoding: .utf8)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/ssh-keygen")
    process.arguments = [
      "-Y", "verify", "-f", directory + "/allowed_signers", "-I", "node", "-n", namespace, "-s",
      directory + "/text.sig",
    ]
    process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: directory + "/text"))
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return process.terminationStatus == 0
  }

  func words<Value>(_ result: Result<Value, AdministrationError>) -> String {
    switch result {
    case .success: "it was taken"
    case .failure(let error): error.description
    }
  }

  @Test func daysAreReadAsTheyArePrinted() {
    #expect(CalendarDay.parse("1970-01-01") == 0)
    #expect(CalendarDay.parse("2026-11-23") == 20_780)
    for day in stride(from: Day(-100_000), to: 100_000, by: 17) {
      #expect(CalendarDay.parse(Statement.date(day)) == day)
    }
    for text in [
      "2026-02-30", "2026-2-3", "26-02-03", "2026-13-01", "2026-00-01", "", "today", "2026-11-23 ",
    ] {
      #expect(CalendarDay.parse(text) == nil, "\(text)")
    }
  }

  @Test func limitsChangeOnlyWhatIsNamed() throws {
    var limits = ClientLimits()
    limits.jobsAtOnce = 3
    limits = try LimitChanges(models: "a,b/c", tokensPerDay: "1000", budget: "0.50").applied(to: limits)
    #expect(limits.models == ["a", "b/c"])
    #expect(limits.jobsAtOnce == 3)
    #expect(limits.tokensPerDay == 1000)
    #expect(limits.budget == Amount(micro: 500_000))
    limits = try LimitChanges(models: "none", jobs: "none", budget: "none").applied(to: limits)
    #expect(limits.models == nil && limits.jobsAtOnce == nil && limits.budget == nil)
    #expect(limits.tokensPerDay == 1000)
  }

  @Test(arguments: [
    LimitChanges(), LimitChanges(models: ""), LimitChanges(models: "a,,b"), LimitChanges(models: "a\nb"),
    LimitChanges(tokensPerJob: "0"), LimitChanges(jobs: "-1"), LimitChanges(tokensPerDay: "many"),
    LimitChanges(budget: "-1"), LimitChanges(budget: "9223372036854"), LimitChanges(budget: "1e3"),
  ]) func absurdLimitsAreRefused(changes: LimitChanges) {
    #expect(throws: AdministrationError.self) { try changes.applied(to: ClientLimits()) }
  }

  @Test func aLimitsModelAndSizeAreHeld() throws {
    let node = try ScriptedNode()
    node.send(.limitsSet(client: "aria", try LimitChanges(models: "n").applied(to: ClientLimits())))
    #expect(node.answers[node.submit(1)] == ["refused 403 client_forbidden"])
    node.send(.limitsSet(client: "aria", try LimitChanges(tokensPerJob: "27").applied(to: ClientLimits())))
    #expect(node.answers[node.submit(2, prompt: 20, limit: 8)] == ["refused 403 client_forbidden"])
    #expect(node.answers[node.submit(3, prompt: 20, limit: 7)]?.first == "admitted")
    node.send(.limitsSet(client: "aria", try LimitChanges(jobs: "1").applied(to: ClientLimits())))
    #expect(node.answers[node.submit(4)] == ["refused 429 client_limit"])
    #expect(node.answers[node.submit(5, client: "bob")]?.first == "admitted")
  }

  @Test func workBeyondTheVoucherIsRefusedWhereVouchersAreRequired() throws {
    let node = try ScriptedNode("{ prices: [{ completion: '1' }], vouchers: 'required' }")
    #expect(node.answers[node.submit(1, limit: 8)] == ["refused 402 voucher_required"])
    var effects: [NodeEffect] = []
    let promise = Voucher(node: "N", client: "aria", amount: Amount(micro: 20), currency: "EUR", time: 1)
    let proof = try node.state.accept(
      promise, signature: "s", key: "k", node: "N", from: "aria", at: node.now, &effects)
    #expect(proof.text == promise.text)
    // Two jobs of 8 are covered by 20, a third only when what they did not use has returned.
    #expect(node.answers[node.submit(2, limit: 8)]?.first == "admitted")
    #expect(node.answers[node.submit(3, limit: 8)]?.first == "admitted")
    #expect(node.answers[node.submit(4, limit: 8)] == ["refused 402 voucher_required"])
    while node.step() {}
    #expect(node.answers[node.submit(5, limit: 12)]?.first == "admitted")
    #expect(node.answers[node.submit(6, limit: 1)] == ["refused 402 voucher_required"])
    // Work that costs nothing needs no promise; a voucher that shrinks is none.
    #expect(node.answers[node.submit(7, client: "operator", origin: .chat)]?.first == "admitted")
    #expect(throws: AccountingError.self) {
      try node.state.accept(
        Voucher(node: "N", client: "aria", amount: Amount(micro: 19), currency: "EUR", time: 2),
        signature: "s", key: "k", node: "N", from: "aria", at: node.now, &effects)
    }
  }

  @Test func earningsAreTheReceiptsByDayClientAndModel() throws {
    let node = try ScriptedNode("{ prices: [{ prompt: '1', completion: '10' }] }")
    _ = node.submit(1)
    _ = node.submit(2, client: "bob")
    _ = node.submit(3, client: "operator", origin: .chat)
    _ = node.submit(4, client: "demo", origin: .demo)
    while node.step() {}
    node.pass(seconds: 86_400)
    _ = node.submit(5)
    while node.step() {}
    let table = node.state.earningsTable(since: nil)
    #expect(table.rows.map(\.client) == ["aria", "bob", "aria"])
    // 20 x 1 + 4 x 10 micro-units a job, less what the cache held of the prompt.
    #expect(
      table.rows.reduce(0) { $0 + $1.amount }
        == node.seals.filter { ["aria", "bob"].contains($0.client) }
        .reduce(0) { $0 + $1.amount.micro })
    let second = node.now.day
    #expect(node.state.earningsTable(since: second).rows.map(\.date) == [Statement.date(second)])
    #expect(node.state.earningsTable(since: second + 1).rows.isEmpty)
  }

  @Test func aStatementSpansFromTheFirstMovementToToday() throws {
    let node = try ScriptedNode("{ prices: [{ prompt: '1', completion: '10' }] }")
    _ = node.submit(1)
    while node.step() {}
    let first = node.now.day
    node.pass(seconds: 3 * 86_400)
    let statement = try #require(node.state.statement(of: "aria", since: nil, node: "N", at: node.now))
    #expect(statement.days == first...(first + 3))
    #expect(statement.unsettled == Amount(micro: 60))
    #expect(
      node.state.statement(of: "aria", since: first + 1, node: "N", at: node.now)?.cells.isEmpty == true)
    #expect(node.state.statement(of: "nobody", since: nil, node: "N", at: node.now) == nil)
  }

  @Test(.enabled(if: hasSSHKeygen, "ssh-keygen is not installed"))
  func aStatementVerifiesWithStockToolsAndAnAlteredOneDoesNot() throws {
    let scratch = try ScratchDirectory()
    let node = try start(scratch.path + "/state")
    defer { end(node) }
    _ = try node.accounts.addClient("bob", by: Operator("test")).get()
    let (text, signature) = try node.accounts.statement(
      of: "bob", since: nil, form: .text, by: Operator("test")
    )
    .get()
    let key = try String(contentsOfFile: scratch.path + "/state/key.pub", encoding: .utf8)
    let signed = try #require(signature)
    func verifies(_ text: String, namespace: String = "statement@hotpot") throws -> Bool {
      try stockVerifies(text, signed, "node \(key)", namespace: namespace, in: scratch.path)
    }
    #expect(text.contains("client bob\n"))
    #expect(try verifies(text))
    #expect(try !verifies(text.replacing("unsettled 0.00", with: "unsettled 0.01")))
    #expect(try !verifies(text + "\n"))
    #expect(try !verifies(text, namespace: "voucher@hotpot"))
    #expect(
      words(node.accounts.statement(of: "bob", since: "2026-02-30", form: .text, by: Operator("test")))
        == "'2026-02-30' is no day, wanted one such as 2026-11-23")
  }

  @Test(.enabled(if: hasSSHKeygen, "ssh-keygen is not installed"))
  func aVoucherIsTakenOnceFromItsOwnKeyAndOutlivesARestart() throws {
    let scratch = try ScratchDirectory()
    let keygen = SSHKeygen(deadline: 30)
    let bobs = try keygen.makeKey(at: scratch.path + "/bob")
    _ = try keygen.makeKey(at: scratch.path + "/eve")
    let who = Operator("test")
    var node = try start(scratch.path + "/state")
    let fingerprint = try keygen.publicKey(at: scratch.path + "/state/key.pub").fingerprint
    _ = try node.accounts.addClient("bob", by: who).get()

    func voucher(_ amount: String, node: String, time: Int64 = 1) throws -> String {
      Voucher(node: node, client: "bob", amount: try Amount(parsing: amount), currency: "EUR", time: time)
        .text
    }
    func sign(_ text: String, by name: String, namespace: String = "voucher@hotpot") throws -> String {
      try keygen.sign(Array(text.utf8), key: scratch.path + "/" + name, namespace: namespace)
    }
    let text = try voucher("12.50", node: fingerprint)
    let signature = try sign(text, by: "bob")
    #expect(
      words(node.accounts.takeVoucher(text, signature: signature, from: "bob")).contains(
        "no SSH key of 'bob'"))
    #expect(words(node.accounts.setKey("bob", "ssh-ed25519 nonsense", by: who)).contains("no SSH public key"))
    _ = try node.accounts.setKey("bob", bobs.text, by: who).get()
    _ = try node.accounts.setLimits("bob", LimitChanges(models: "m", budget: "3"), by: who).get()

    let altered = try voucher("99.50", node: fingerprint)
    #expect(
      words(node.accounts.takeVoucher(altered, signature: signature, from: "bob")).contains("does not hold"))
    #expect(
      words(node.accounts.takeVoucher(text, signature: try sign(text, by: "eve"), from: "bob"))
        .contains("not among the allowed signers"))
    let statement = try sign(text, by: "bob", namespace: "statement@hotpot")
    #expect(words(node.accounts.takeVoucher(text, signature: statement, from: "bob")).contains("namespace"))
    let elsewhere = try voucher("12.50", node: "SHA256:other")
    #expect(
      words(node.accounts.takeVoucher(elsewhere, signature: try sign(elsewhere, by: "bob"), from: "bob"))
        .contains("the voucher is for node SHA256:other"))

    #expect(
      try node.accounts.takeVoucher(text, signature: signature, from: "bob").get().amount
        == Amount(micro: 12_500_000))
    #expect(
      words(node.accounts.takeVoucher(text, signature: signature, from: "bob")).contains("vouchers only grow")
    )

    end(node)
    // A copy: the lock of the first is held as long as the value lives.
    try FileManager.default.copyItem(atPath: scratch.path + "/state", toPath: scratch.path + "/again")
    node = try start(scratch.path + "/again")
    defer { end(node) }
    let proof = try node.accounts.voucherProof(of: "bob").get()
    #expect(proof == VoucherAccepted(client: "bob", text: text, signature: signature, key: bobs.text))
    #expect(
      words(node.accounts.takeVoucher(text, signature: signature, from: "bob")).contains("vouchers only grow")
    )
    let row = try #require(node.accounts.clientRows().first)
    #expect(row.budget == 3_000_000 && row.models == ["m"] && row.key == bobs.fingerprint)
    #expect(row.voucher == 12_500_000)
  }
}
