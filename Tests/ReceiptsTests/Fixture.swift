// Fixture.swift: a small log with real keys and signatures, made once, that tests tamper with.
import Foundation
import Receipts

/// Nine receipts of one node; number 4 has a transcript, numbers 5 to 8 are lies that the node signed.
final class Fixture: Sendable {
  static let shared = Result { try Fixture() }

  let scratch: String
  let keygen = SSHKeygen(deadline: 20)
  let nodeKey: SSHPublicKey
  let otherKey: SSHPublicKey
  let witnessKey: SSHPublicKey
  let lines: [String]
  let catalog: Catalog
  let transcript: Transcript
  let earlier: SignedCheckpoint
  let signed: SignedCheckpoint
  let journal: Journal

  static let honest = 4
  static let time: Int64 = 1_790_000_000_000_000

  func path(_ name: String) -> String { scratch + "/" + name }

  private init() throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent(
      "hotpot-fixture-\(getpid())")
    try? FileManager.default.removeItem(at: directory)
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    scratch = directory.path
    atexit {
      try? FileManager.default.removeItem(atPath: NSTemporaryDirectory() + "/hotpot-fixture-\(getpid())")
    }
    nodeKey = try keygen.makeKey(at: scratch + "/key")
    otherKey = try keygen.makeKey(at: scratch + "/other")
    witnessKey = try keygen.makeKey(at: scratch + "/witness")

    var nonceBytes: [UInt8] = []
    for i in 0..<64 { nonceBytes.append(UInt8(i * 3 + 1)) }
    guard let nonces = Nonces(bytes: nonceBytes) else { throw CocoaError(.coderInvalidValue) }
    transcript = Transcript(
      nonces: nonces, prompt: (0..<17).map { 1_000 + $0 * 7 }, output: (0..<40).map { 5 + $0 },
      biases: [Transcript.Bias(token: 9, bias: -100), Transcript.Bias(token: 50_256, bias: 0.5)],
      stops: ["END", "\"\n"])
    journal = try Journal.open(
      state: scratch,
      options: {
        var o = JournalOptions(); o.ballastBytes = 0; return o
      }(), time: Self.time
    ).journal
    let transcript = transcript
    let fingerprint = nodeKey.fingerprint
    func receipt(_ i: Int) -> Receipt {
      var receipt = sampleReceipt(job: UInt64(i), node: fingerprint)
      receipt.promptCommitment = transcript.promptCommitment
      receipt.outputCommitment = transcript.outputCommitment
      receipt.logitBias = transcript.biasCommitment
      receipt.stopStrings = transcript.stopCommitment
      switch i {
      case 5:
        receipt.completionTokens = 45
        receipt.amount = 20
      case 6: receipt.cachedTokens = 18
      case 7: receipt.windows.removeLast()
      case 8: receipt.amount += 1
      default: break
      }
      return receipt
    }
    for i in 0..<3 { try journal.append([.receipt(receipt(i))], at: Self.time) }
    earlier = try Self.sign(journal, nil, nodeKey, scratch, keygen)
    for i in 3..<9 { try journal.append([.receipt(receipt(i))], at: Self.time) }
    signed = try Self.sign(journal, earlier.checkpoint, nodeKey, scratch, keygen)
    let journal = journal
    lines = try (0..<9).map { String(decoding: try journal.receipt(at: $0).line, as: UTF8.self) }
    catalog = journal.catalog()
  }

  private static func sign(
    _ journal: Journal, _ previous: Checkpoint?, _ key: SSHPublicKey, _ scratch: String, _ keygen: SSHKeygen
  ) throws -> SignedCheckpoint {
    let checkpoint = Checkpoint(
      origin: key.origin, size: journal.read { $0.tree.size }, root: journal.read { $0.tree.root },
      time: Self.time, previous: previous?.sha256 ?? .zero)
    return SignedCheckpoint(
      checkpoint: checkpoint,
      signature: try keygen.sign(
        Array(checkpoint.text.utf8), key: scratch + "/key", namespace: Checkpoint.namespace))
  }

  func sign(_ text: String, key: String = "key", namespace: String = Checkpoint.namespace) throws -> String {
    try keygen.sign(Array(text.utf8), key: path(key), namespace: namespace)
  }

  func bundle(_ index: Int = honest) throws -> ReceiptBundle {
    let consistency = journal.consistency(from: 3, to: 9)
    guard
      var bundle = ReceiptBundle(
        try journal.receipt(at: index), journal: journal, under: signed, key: nodeKey,
        consistency: consistency)
    else { throw CocoaError(.coderInvalidValue) }
    bundle.transcript = transcript.text
    bundle.witness = try sign(bundle.checkpoint, key: "witness", namespace: Witness.namespace)
    return bundle
  }

  var witnesses: String { "observer namespaces=\"\(Witness.namespace)\" \(witnessKey.text)\n" }

  func evidence(_ index: Int = honest) throws -> Verification.Evidence {
    var evidence = Verification.Evidence()
    evidence.allowedSigners = ReceiptBundle.allowedSigners(nodeKey)
    evidence.earlier = earlier.checkpoint
    evidence.witnesses = witnesses
    let receipt = try journal.receipt(at: index).receipt
    evidence.reexecution = .ran(
      Reexecution(
        model: receipt.modelSHA256, numerics: receipt.numerics, windows: receipt.windows,
        tokens: transcript.output,
        finish: nil))
    evidence.answer = try answer(index)
    evidence.decoding = .decoded(
      .init(text: "caf\u{e9}\n", firstEnd: 39, firstStop: nil, contextLength: 2048))
    evidence.logprobs = .same("of 40 tokens")
    evidence.request = .same("the prompt")
    evidence.settings = .same("the settings")
    evidence.freshness = .same("your nonce")
    return evidence
  }

  /// What an honest node's answer says of this receipt.
  func answer(_ index: Int = honest) throws -> Verification.Answer {
    let logged = try journal.receipt(at: index)
    var answer = Verification.Answer()
    answer.id = "chatcmpl-000000000000000\(index)"
    answer.job = "000000000000000\(index)"
    answer.receipt = logged.id
    answer.model = "smollm2"
    answer.seed = .max
    answer.amount = logged.receipt.amount
    answer.text = "caf\u{e9}\n"
    answer.finishReason = "stop"
    answer.usage.prompt = 17
    answer.usage.completion = 40
    answer.usage.total = 57
    answer.usage.cached = 5
    answer.undetermined = ["created"]
    return answer
  }
}
