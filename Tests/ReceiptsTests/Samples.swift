// Samples.swift: records and receipts for tests, and where tests may write.
import Foundation
import Receipts

func sampleReceipt(
  job: UInt64, tokens: Int = 40, client: String = "alice", model: String = "smollm2", day: Int32 = 20_000,
  node: String = "SHA256:test"
) -> Receipt {
  var receipt = Receipt()
  receipt.node = node
  receipt.job = job
  receipt.client = client
  receipt.model = model
  receipt.modelSHA256 = SHA256.hash(Array(model.utf8))
  receipt.numerics = "N1/A15/KVi16"
  receipt.promptTokens = 17
  receipt.cachedTokens = 5
  receipt.completionTokens = tokens
  receipt.maxTokens = max(tokens, 64)
  receipt.sampler.temperature = 0.7
  receipt.sampler.topP = 0.95
  receipt.sampler.seed = 0xFFFF_FFFF_FFFF_FFFF
  receipt.finish = .stop
  receipt.submitted = 1_790_000_000_000_000
  receipt.started = 1_790_000_000_100_000
  receipt.firstToken = tokens > 0 ? 1_790_000_000_200_000 : 0
  receipt.ended = 1_790_000_001_000_000
  receipt.currency = "EUR"
  receipt.price = Receipt.Price(prompt: 100_000, cached: 10_000, completion: 400_000, minimum: 1)
  receipt.amount = receipt.price.amount(promptTokens: 17, cachedTokens: 5, completionTokens: tokens) ?? 0
  receipt.day = day
  var windows = WindowHashes()
  for i in 0..<tokens { windows.append(SHA256.hash(Array("\(job) \(i)".utf8))) }
  receipt.windows = windows.windows
  return receipt
}

/// One of each kind, and edges of their fields.
let sampleRecords: [Record] = [
  .nodeStarted(NodeStarted(version: "1.0", key: "SHA256:x", numerics: "N1/A15/KVi16", currency: "EUR")),
  .nodeStopped(NodeStopped(reason: "asked to")),
  .recovered(Recovered(segment: 1, offset: 2, bytes: 3, file: "00000001.tail-2", sha256: .zero)),
  .jobAccepted(
    JobAccepted(
      job: 7, client: "bob", model: "m", promptTokens: 1, maxTokens: 2, reserved: 9_007_199_254_740_991,
      isSpooled: true)),
  .jobEnded(JobEnded(job: 7, client: "bob", outcome: .interrupted, reason: "the node stopped")),
  .receipt(sampleReceipt(job: 0xFEED)),
  .receipt(sampleReceipt(job: 0, tokens: 0)),
  .receipt(
    {
      var receipt = sampleReceipt(job: 9, tokens: 0)
      receipt.embed(pooling: "last", dimensions: 768)
      return receipt
    }()),
  .operatorAct(
    OperatorAct(
      act: .reject, who: "root", target: "0000000000000007", reason: "say \"no\" \\ \u{1}\n\u{7f} ü 🍲")),
  .policyChanged(PolicyChanged(who: "", sha256: .zero, summary: "")),
  .clientAdded(ClientAdded(client: "bob", tokenSHA256: SHA256.hash([1]))),
  .clientRevoked(ClientRevoked(client: "bob", reason: "left")),
  .budgetChanged(BudgetChanged(client: "bob", limit: 5_000_000, period: .month)),
  .clientLimits(
    ClientLimitsChanged(
      client: "bob", models: ["m", "n"], tokensPerJob: 1, jobs: 2, tokensPerDay: 3, budget: 4)),
  .clientLimits(
    ClientLimitsChanged(client: "bob", models: [], tokensPerJob: 0, jobs: 0, tokensPerDay: 0, budget: nil)),
  .deposit(Deposit(client: "bob", amount: 5_000_000, currency: "EUR", reference: "wire 3", day: 20_002)),
  .clientPriority(ClientPriorityChanged(client: "bob", most: 9)),
  .clientPriority(ClientPriorityChanged(client: "bob", most: nil)),
  .clientKey(ClientKeyChanged(client: "bob", key: "ssh-ed25519 AAAA")),
  .voucher(VoucherAccepted(client: "bob", text: "hotpot voucher v1\n", signature: "s\n", key: "")),
  .settlement(Settlement(client: "bob", amount: 12, currency: "EUR", reference: "invoice 9", day: 20_001)),
  .correction(Correction(client: "bob", amount: -3, reason: "goodwill", day: -1)),
  .transferVoided(TransferVoided(job: 7, client: "bob", amount: 4, reason: "rejected")),
  .energy(EnergyUsed(day: 20_001, hour: 23, millijoules: 9_007_199_254_740_991, cost: -1)),
  .energy(EnergyUsed(day: -1, hour: 0, millijoules: 0, cost: nil)),
  .checkpointSigned(CheckpointSigned(size: 1, root: .zero, sha256: .zero)),
  .checkpointWitnessed(CheckpointWitnessed(size: 1, root: .zero, witness: "SHA256:w")),
  .audit(Audit(receipt: 0, outcome: .token, position: 37)),
]

/// A directory of its own, removed when the value goes.
final class Scratch {
  let path: String

  init() throws {
    path =
      FileManager.default.temporaryDirectory.appendingPathComponent("hotpot-test-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(
      atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
  }

  deinit {
    do { try FileManager.default.removeItem(atPath: path) } catch { print("left behind: \(path): \(error)") }
  }
}

extension Appended {
  /// The receipt's number in the log.
  var receiptIndex: Int? {
    if case .receipt(let receipt) = entry.record { receipt.index } else { nil }
  }
}
