// PublicationTests.swift: what a node tells everybody, read through its own door by one who never met it: nobody's name and
// nobody's prompt is in it, its samples run again, and a log that forks, shrinks or is edited on its way is shouted.
import Control
import Foundation
import Intake
import JSON
import Node
import Receipts
import Testing
import Wire

@Suite(.serialized) struct PublicationTests {
  private static let keygen = SSHKeygen(deadline: 30)

  /// A node with a small model whose door is open, and what it needs to be asked.
  private final class Published {
    let node: NodeService
    let port: UInt16
    private let line: LineClient
    private let token: String

    init(
      _ scratch: ScratchDirectory, state: String = "state", seed: UInt64 = 1, isOpen: Bool = true
    ) throws {
      let model = scratch.path + "/small-\(seed).gguf"
      try SmallModel.write(to: model, seed: seed)
      node = try NodeService(
        NodeOptions(
          configuration: NodeConfiguration(
            file: "test",
            text: """
              { threads: 1, http: { listen: '127.0.0.1:0' }, audits: { share: 0 }, name: 'kitchen',
                prices: [{ prompt: '1', completion: '100' }, { client: 'zebediah', prompt: '7', completion: '7' }],
                publish: { door: \(isOpen), urls: ['http://kitchen.example:8114/'], contact: 'cook@kitchen.example' } }
              """),
          stateDirectory: scratch.path + "/" + state, version: "0"
        ) { (_) throws(ServingError) in ModelFile(name: "m", path: model) })
      try node.start()
      token = try node.accounts.addClient("zebediah", by: Operator("test")).get()
      for _ in 0..<6_000 where node.snapshot().node.state != .serving { usleep(10_000) }
      port = try #require(node.ports.first)
      line = try LineClient(path: scratch.path + "/\(state)/control.sock", timeout: .seconds(60))
      try line.send(
        ControlProtocol.line(
          ControlRequest.hello(version: ControlProtocol.version, every: 0, readOnly: false)))
    }

    func stop() {
      node.stop(drain: false, by: "test")
      node.waitUntilStopped()
    }

    func get(_ path: String) throws -> HTTPCall.Answer {
      try HTTPCall("http://127.0.0.1:\(port)/\(path)").send("GET", timeout: .seconds(30))
    }

    func read(_ path: String) throws -> [UInt8]? {
      let answer = try get(path)
      return answer.status == 200 ? answer.body : nil
    }

    /// A client's job.
    func ask(_ prompt: String) throws {
      let body: JSONValue = ["model": "m", "prompt": .string(prompt), "max_tokens": 3]
      let answer = try HTTPCall("http://127.0.0.1:\(port)/v1/completions").send(
        "POST", JSONWriter.bytes(body),
        fields: ["Content-Type: application/json", "Authorization: Bearer \(token)"],
        timeout: .seconds(60))
      #expect(answer.status == 200)
    }

    func reply(_ verb: some Verb) throws -> ControlReply {
      try line.send(ControlProtocol.line(VerbRequest(tag: 9, verb)))
      while true {
        let bytes = try #require(try line.receive())
        let reply = try #require(ControlProtocol.parse(ControlReply.self, bytes))
        switch reply {
        case .hello, .message, .snapshot, .chunk, .ended: continue
        default: return reply
        }
      }
    }

    /// A bundle of a job of the node's own, with its transcript.
    func sample() throws -> ReceiptBundle {
      let body =
        #"{"model":"m","prompt":"A story about salt:","max_tokens":40,"return_token_ids":true}"#
      try line.send(ControlProtocol.line(ControlRequest.submit(tag: 8, chat: false, body: body)))
      var answer: [UInt8] = []
      loop: while true {
        let bytes = try #require(try line.receive())
        switch ControlProtocol.parse(ControlReply.self, bytes) {
        case .chunk(_, let data): answer += Array(data.utf8)
        case .ended: break loop
        default: continue
        }
      }
      let saved = try SavedAnswer(answer)
      var bundle = try bundle(try #require(saved.answer.receipt))
      bundle.transcript = try saved.opening.get().text
      return bundle
    }

    func bundle(_ id: String) throws -> ReceiptBundle {
      for _ in 0..<600 {
        if case .bundle(_, let text) = try reply(ExportReceipt(id: id)) {
          return try ReceiptBundle(parsing: text)
        }
        usleep(20_000)
      }
      throw ServingError("receipt \(id) was never signed", hint: nil)
    }

    func offer(_ bundle: ReceiptBundle) throws -> ControlReply {
      try reply(OfferSample(bundle: bundle.text))
    }

    func inspect(
      machine: Reexecutor? = nil, known: KnownNode? = nil,
      elsewhere: [(place: String, node: KnownNode)] = [],
      witnesses: [NoteKey] = [], edit: @escaping (String, [UInt8]) -> [UInt8]? = { $1 }
    ) -> VisitReport {
      NodeInspection(
        machine: machine, witnesses: witnesses, keygen: PublicationTests.keygen.remembering()
      ) {
        try self.read($0).flatMap { [path = $0] in edit(path, $0) }
      }.run(samples: 4, known: known, elsewhere: { _ in elsewhere })
    }
  }

  private func failed(_ report: VisitReport) -> [String] {
    report.findings.filter { $0.result == .failed }.map(\.name)
  }

  private func detail(_ report: VisitReport, _ name: String) -> String {
    report.findings.first { $0.name == name }?.detail ?? ""
  }

  @Test func `a publication names its node, and no client and no prompt`() throws {
    let scratch = try ScratchDirectory()
    let published = try Published(scratch)
    defer { published.stop() }
    for number in 0..<3 { try published.ask("The xylophone of aunt Quintessa \(number)") }
    let sample = try published.sample()
    let id = String(SHA256.leaf(Array(sample.receipt.utf8)).hex.prefix(16))
    #expect(try published.offer(sample) == .done(tag: 9, words: "published receipt \(id)"))
    let paths =
      [
        ".well-known/hotpot.json", ".well-known/ai-catalog.json", "checkpoint", "checkpoint.ssh",
        "receipts/\(id)",
      ]
      + TilePath.all(ofLog: 4).map(\.text)
    var whole: [UInt8] = []
    for path in paths {
      let bytes = try #require(try published.read(path), "\(path)")
      let other = try published.reply(ReadPublic(path: path))
      // The control socket gives the same; a note is cosigned by nobody here.
      #expect(other == .file(tag: 9, base64: Data(bytes).base64EncodedString()), "\(path)")
      whole += bytes
    }
    // Of hashes too: nothing but these bytes is sent.
    let text = String(decoding: whole, as: UTF8.self)
    for secret in ["zebediah", "xylophone", "Quintessa"] {
      #expect(!text.contains(secret), "\(secret)")
    }
    let card = try JSONText.parse(try #require(try published.read(".well-known/hotpot.json")))
    #expect(card["name"]?.string == "kitchen" && card["contact"]?.string == "cook@kitchen.example")
    #expect(card["models"]?.array?.first?["name"]?.string == "m")
    #expect(card["models"]?.array?.first?["sha256"]?.string?.utf8.count == 64)
    #expect(card["models"]?.array?.first?["numerics"]?.string?.hasPrefix("N1/A15") == true)
    #expect(card["prices_per_million_tokens"]?.array?.count == 1)
    #expect(card["doors"]?.array == [.string("http://kitchen.example:8114/")])
    #expect(card["samples"]?.array == [.string(id)])
    let catalog = try JSONText.parse(
      try #require(try published.read(".well-known/ai-catalog.json")))
    #expect(catalog["specVersion"]?.string == "0.9")
    #expect(
      catalog["entries"]?.array?.map { $0["identifier"]?.string ?? "" } == [
        "urn:air:kitchen.example:kitchen:node", "urn:air:kitchen.example:m:model",
      ])
    for path in [
      "receipts/0123456789abcdef", "receipts/../key", "receipts/..%2fkey", "tile/0/001",
      "tile/entries/000",
      ".well-known/other",
    ] { #expect(try published.get(path).status != 200, "\(path)") }
  }

  @Test func `only the node's own jobs become samples`() throws {
    let scratch = try ScratchDirectory()
    let published = try Published(scratch)
    defer { published.stop() }
    try published.ask("mine")
    for _ in 0..<600 where published.node.snapshot().receipts.recent.isEmpty { usleep(10_000) }
    let clients = try published.bundle(
      try #require(published.node.snapshot().receipts.recent.first).id)
    func refusal(_ bundle: ReceiptBundle) throws -> String {
      guard case .refused(_, let reason) = try published.offer(bundle) else { return "taken" }
      return reason
    }
    #expect(
      try refusal(clients)
        == "only receipts of the node's own jobs are published, this one is a client's")
    let own = try published.sample()
    var silent = own
    silent.transcript = nil
    #expect(try refusal(silent) == "the bundle has no transcript of its receipt")
    var other = own
    other.transcript = other.transcript?.replacing("\"output\":[", with: "\"output\":[1,")
    #expect(try refusal(other) != "taken")
    var edited = own
    edited.receipt = edited.receipt.replacing("\"model\":\"m\"", with: "\"model\":\"n\"")
    #expect(try refusal(edited) != "taken")
    #expect(try refusal(own) == "taken")
  }

  @Test func `what is closed is not there`() throws {
    let scratch = try ScratchDirectory()
    let published = try Published(scratch, isOpen: false)
    defer { published.stop() }
    for path in [".well-known/hotpot.json", "checkpoint", "checkpoint.ssh", "tile/0/000.p/1"] {
      #expect(try published.get(path).status == 404, "\(path)")
    }
    guard case .file(_, .some) = try published.reply(ReadPublic(path: ".well-known/hotpot.json"))
    else {
      Issue.record("the operator cannot read it")
      return
    }
  }

  @Test func `an honest publication is found honest, and its samples run again`() throws {
    let scratch = try ScratchDirectory()
    let published = try Published(scratch)
    defer { published.stop() }
    #expect(failed(published.inspect()) == ["log"], "a log without a checkpoint")
    for _ in 0..<2 { _ = try published.offer(published.sample()) }
    let first = published.inspect()
    #expect(first.passes, "\(first.findings)")
    #expect(
      first.findings.map(\.name) == ["node", "key", "log", "witnesses", "samples", "re-execution"])
    #expect(detail(first, "log") == "2 receipts, signed; nothing to compare it with")
    #expect(first.findings.last?.result == .notChecked)
    let machine = try Reexecutor(path: scratch.path + "/small-1.gguf", threads: 1)
    for _ in 0..<3 { try published.ask("more") }
    _ = try published.bundle(try #require(published.node.snapshot().receipts.recent.first).id)
    let second = published.inspect(
      machine: machine, known: first.known,
      elsewhere: [("http://mirror", try #require(first.known))])
    #expect(second.passes, "\(second.findings)")
    #expect(
      detail(second, "log")
        == "5 receipts, signed; it continues what was seen at the last visit, at http://mirror")
    #expect(detail(second, "re-execution") == "2 of 2 samples are the model's, to the bit")
    // Another model under the name that the samples' receipts bear.
    try SmallModel.write(to: scratch.path + "/other.gguf", seed: 2)
    let other = try Reexecutor(path: scratch.path + "/other.gguf", threads: 1)
    #expect(published.inspect(machine: other).findings.last?.result == .notChecked)
  }

  @Test func `forks, lost receipts, other keys and edited files are shouted`() throws {
    let scratch = try ScratchDirectory()
    var seen: KnownNode?
    do {
      let published = try Published(scratch)
      defer { published.stop() }
      for _ in 0..<3 { _ = try published.offer(published.sample()) }
      seen = published.inspect().known
      let known = try #require(seen)
      #expect(known.head.size == 3)
      // A place that shows less than was seen there or anywhere.
      let longer = KnownNode(
        key: known.key, head: LogHead(origin: known.head.origin, size: 9, root: known.head.root))
      let lost = published.inspect(known: longer)
      #expect(failed(lost) == ["log"] && lost.known == longer)
      #expect(detail(lost, "log").hasPrefix("ROLLED BACK: it has 3 receipts, and SHA256:"))
      // Another place may be ahead; a fork of what it showed before is one.
      #expect(
        detail(published.inspect(elsewhere: [("http://mirror", longer)]), "log").hasSuffix(
          "; 9 were seen at http://mirror, which has to be looked at again"))
      let forked = KnownNode(
        key: known.key, head: LogHead(origin: known.head.origin, size: 2, root: known.head.root))
      #expect(
        detail(published.inspect(elsewhere: [("http://mirror", forked)]), "log").hasPrefix(
          "FORKED: of the first 2 receipts the root is "))
      for (edited, name, words) in [
        ("tile/0/000.p/3", "log", "do not give its root"), ("checkpoint.ssh", "log", "signature"),
        ("checkpoint", "log", "signature"), ("receipts/", "samples", "receipt "),
      ] {
        let report = published.inspect { path, bytes in
          guard path.hasPrefix(edited) else { return bytes }
          var other = bytes
          // In a checkpoint a digit of the root, in a bundle one of its receipt.
          let place = min(110, bytes.count - 1)
          other[place] = bytes[place] == UInt8(ascii: "B") ? UInt8(ascii: "C") : UInt8(ascii: "B")
          return other
        }
        #expect(failed(report).contains(name), "\(edited): \(report.findings)")
        #expect(detail(report, name).contains(words), "\(edited): \(detail(report, name))")
      }
      let gone = published.inspect { path, bytes in path.hasPrefix("tile") ? nil : bytes }
      #expect(failed(gone) == ["log"])
    }
    // The same key begins another log.
    let fork = scratch.path + "/fork"
    try FileManager.default.createDirectory(
      atPath: fork, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    for name in ["key", "key.pub"] {
      try FileManager.default.copyItem(
        atPath: scratch.path + "/state/" + name, toPath: fork + "/" + name)
    }
    do {
      let published = try Published(scratch, state: "fork")
      defer { published.stop() }
      for _ in 0..<4 { _ = try published.offer(published.sample()) }
      let report = published.inspect(known: seen)
      #expect(failed(report) == ["log"], "\(report.findings)")
      #expect(detail(report, "log").hasPrefix("FORKED: of the first 3 receipts the root is "))
      #expect(report.known == seen)
    }
    let published = try Published(scratch, state: "other")
    defer { published.stop() }
    let report = published.inspect(known: seen)
    #expect(failed(report) == ["key"] && report.known == seen)
  }
}
