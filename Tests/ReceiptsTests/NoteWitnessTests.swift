// NoteWitnessTests.swift: checkpoints as C2SP's notes, raw signatures by the stock ssh-agent, and a witness that logs of any
// make may ask: what it cosigns, and every reason for which it does not.
import Dice
import Foundation
import Receipts
import TestSettings
import Testing

/// A log of its own making: a key, and a tree of numbered leaves.
private struct Log {
  let keygen = SSHKeygen(deadline: 20)
  let path: String
  let key: SSHPublicKey
  let note: NoteKey
  var tree = MerkleTree()

  init(_ scratch: Scratch, _ name: String = "log") throws {
    path = scratch.path + "/" + name
    key = try keygen.makeKey(at: path)
    note = try #require(NoteKey(log: key))
  }

  mutating func grow(to size: Int, _ salt: String = "") {
    while tree.size < size { _ = tree.append(leaf: SHA256.leaf(Array("\(salt)\(tree.size)\n".utf8))) }
  }

  func text(_ size: Int? = nil, root: SHA256Digest? = nil) throws -> String {
    let size = size ?? tree.size
    let root = try #require(root ?? tree.root(at: size))
    return Checkpoint(origin: note.name, size: size, root: root, time: 1, previous: .zero).noteText
  }

  func signed(_ text: String) throws -> SignedNote {
    SignedNote(
      text: text,
      lines: [.init(key: note, signature: try keygen.signRaw(Array(text.utf8), key: key, keyPath: path))])
  }

  func request(from old: Int, to size: Int? = nil, path given: [SHA256Digest]? = nil) throws -> AddCheckpoint
  {
    let size = size ?? tree.size
    let path = try #require(given ?? tree.consistency(from: min(old, size), to: size))
    return AddCheckpoint(old: old, path: path, note: try signed(text(size)))
  }
}

@Suite struct NoteWitnessTests {
  @Test func `a key is a line, and nothing else is one`() throws {
    // Printed by aics-witness 0.1.0.
    let line = "witness.test/w1+6b4daddb+BPEmbdsTlBlHgul11B57RUumy1d3Y2y+1t6jzeHmyW5Z"
    let key = try #require(NoteKey(parsing: line))
    #expect(key.name == "witness.test/w1" && key.kind == .witness && key.text == line)
    for other in [
      "witness.test/w1+6b4daddc+BPEmbdsTlBlHgul11B57RUumy1d3Y2y+1t6jzeHmyW5Z",
      "witness.test/w2+6b4daddb+BPEmbdsTlBlHgul11B57RUumy1d3Y2y+1t6jzeHmyW5Z",
      "witness.test/w1+6b4daddb+AvEmbdsTlBlHgul11B57RUumy1d3Y2y+1t6jzeHmyW5Z",
      "witness test+6b4daddb+BPEmbdsTlBlHgul11B57RUumy1d3Y2y+1t6jzeHmyW5Z", "witness.test/w1+6b4daddb", "",
      "++",
      "+6b4daddb+BPEmbdsTlBlHgul11B57RUumy1d3Y2y+1t6jzeHmyW5Z",
    ] {
      #expect(NoteKey(parsing: other) == nil, "\(other)")
    }
  }

  @Test func `ssh-agent signs a note, and libcrypto says so`() throws {
    let scratch = try Scratch()
    var log = try Log(scratch)
    log.grow(to: 3)
    let note = try log.signed(log.text())
    #expect(try SignedNote(parsing: note.whole) == note)
    let signature = try #require(note.signature(of: log.note))
    #expect(log.note.verify(signature, over: Array(note.text.utf8)) == .holds)
    #expect(log.note.verify(signature, over: Array((note.text + "\n").utf8)) == .wrong)
    #expect(log.note.verify(signature.dropLast(), over: Array(note.text.utf8)) == .wrong)
    // No agent is left behind, nor the folder of its socket.
    let error = #expect(throws: SignatureError.self) {
      try log.keygen.signRaw([1], key: log.key, keyPath: scratch.path + "/nothing")
    }
    #expect("\(error, default: "")".contains("'ssh-agent' failed"))
    let held = #expect(throws: SignatureError.self) {
      try SSHKeygen(deadline: 20, agent: scratch.path + "/none").signRaw(
        [1], key: log.key, keyPath: log.path + ".pub")
    }
    #expect("\(held, default: "")".contains("does not hold the key SHA256:"))
  }

  @Test func `a note that is none is refused`() throws {
    let head = "o\n1\nAAAA\n"
    for (text, wanted) in [
      ("", "a text, an empty line and signatures"), (head, "a text, an empty line and signatures"),
      (head + "\n", "1 to 64 signatures"), (head + "\n\u{2014} a AAAAAAA=", "a text, an empty line"),
      (head + "\n- a AAAAAAAA\n", "an em dash"), (head + "\n\u{2014} a AAAA\n", "an em dash"),
      (head + "\n\u{2014} a b c\n", "an em dash"), (head + "\n\u{2014}  AAAAAAAA\n", "an em dash"),
      (head + "\n" + String(repeating: "\u{2014} a AAAAAAAA\n", count: 65), "1 to 64 signatures"),
    ] {
      let error = #expect(throws: FormatError.self, "\(text)") { try SignedNote(parsing: text) }
      #expect(error?.description.contains(wanted) == true, "\(text): \(error?.description ?? "")")
    }
  }

  @Test func `a log that only grows is cosigned, any other is not`() throws {
    let scratch = try Scratch()
    var log = try Log(scratch)
    let memory = WitnessMemory(directory: scratch.path + "/witness")
    let keygen = SSHKeygen(deadline: 20)
    let own = try memory.noteKey(keygen: keygen)
    func add(_ request: AddCheckpoint, logs: [NoteKey]? = nil) throws(WitnessRefusal) -> String {
      try memory.add(Array(request.text.utf8), logs: logs ?? [log.note], time: 1_790_000_000, keygen: keygen)
    }
    func refused(_ request: AddCheckpoint, _ status: Int, _ words: String, logs: [NoteKey]? = nil) {
      let error = #expect(throws: WitnessRefusal.self) { try add(request, logs: logs) }
      #expect(
        error?.status == status && error?.description.contains(words) == true, "\(error?.description ?? "")")
    }
    func cosigned(_ request: AddCheckpoint) throws {
      let line = try add(request)
      let text = line.trimmingCharacters(in: .newlines)
      let note = SignedNote(text: request.note.text, lines: [try #require(SignedNote.Line(parsing: text))])
      #expect(try NoteCosignature.time(of: note, by: own).get() == 1_790_000_000)
    }
    log.grow(to: 3)
    let first = try log.request(from: 0)
    refused(first, 404, "does not know the log 'hotpot/", logs: [])
    let stranger = try Log(scratch, "stranger")
    let wrong = try #require(NoteKey(name: log.note.name, kind: .log, bytes: stranger.note.bytes))
    refused(first, 403, "no signature by a key of its log", logs: [wrong])
    refused(
      AddCheckpoint(
        old: 0, path: [], note: SignedNote(text: try log.text(2), lines: first.note.lines)), 403,
      "does not hold")
    refused(try log.request(from: 4, to: 3, path: []), 400, "the proof begins at 4")
    refused(try log.request(from: 1), 409, "0")
    try cosigned(first)
    // The same once more: from what was seen.
    refused(first, 409, "3")
    try cosigned(try log.request(from: 3))
    log.grow(to: 9)
    refused(try log.request(from: 0), 409, "3")
    refused(try log.request(from: 3, path: []), 422, "does not continue the 3 seen before")
    try cosigned(try log.request(from: 3))
    // Another face of the log: the same size, and a longer one.
    var fork = log
    fork.tree = MerkleTree()
    fork.grow(to: 9, "fork")
    refused(try fork.request(from: 9), 422, "has seen another log of 9 receipts")
    fork.grow(to: 12, "fork")
    refused(try fork.request(from: 9), 422, "does not continue the 9 seen before")
    // What was cosigned as a note is known to a witness over files.
    let text = Checkpoint(
      origin: fork.key.origin, size: 9, root: try #require(fork.tree.root(at: 9)), time: testTime,
      previous: .zero
    ).text
    let signature = try keygen.sign(Array(text.utf8), key: fork.path, namespace: Checkpoint.namespace)
    let signers = "hotpot namespaces=\"\(Checkpoint.namespace)\" \(fork.key.text)\n"
    #expect(throws: WitnessError.fork(size: 9)) {
      try memory.cosign(
        text: text, signature: signature, proof: nil, allowedSigners: signers, key: nil, keygen: keygen)
    }
    log.grow(to: 10)
    try cosigned(try log.request(from: 9))
  }

  @Test func `malformed requests are refused with their line`() throws {
    for (text, wanted) in [
      ("", "'old' and a size"), ("x\n", "'old' and a size"),
      ("old 1\n", "a text, an empty line and signatures"),
      ("old x\n\nn", "line 1: wanted 'old' and a size"), ("old 01\n\nn", "'old' and a size"),
      ("old 1\nAAA\n\nn", "line 2: wanted a hash"),
      ("old 1\n" + String(repeating: "A", count: 43) + "=\n\nn", "a text, an empty line and signatures"),
      (
        "old 1\n" + String(repeating: String(repeating: "A", count: 43) + "=\n", count: 64) + "\nn",
        "at most 63 hashes"
      ),
    ] {
      let error = #expect(throws: FormatError.self, "\(text.prefix(40))") { try AddCheckpoint(parsing: text) }
      #expect(error?.description.contains(wanted) == true, "\(text.prefix(40)): \(error?.description ?? "")")
    }
  }

  /// The bytes come from anybody.
  @Test func `random requests never trap`() throws {
    let scratch = try Scratch()
    var log = try Log(scratch)
    log.grow(to: 5)
    let whole = Array(try log.request(from: 3).text.utf8)
    let memory = WitnessMemory(directory: scratch.path + "/witness")
    var generator = SeededGenerator(seed: 5)
    for _ in 0..<(isHeavy ? 20_000 : 500) {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...6, using: &generator) {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(
          in: 0...255, using: &generator)
      }
      // Of no log: what is read is refused before anything is signed.
      #expect(throws: WitnessRefusal.self) { try memory.add(bytes, logs: [], time: 1) }
      _ = NoteKey(parsing: String(decoding: bytes.prefix(90), as: UTF8.self))
    }
  }
}
