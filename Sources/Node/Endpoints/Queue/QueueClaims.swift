// QueueClaims.swift: which node ends a job of the shared queue. A node claims the end before it writes
// the receipt, with a message that the server takes only if nobody's stands there: the one vote that
// a job needs. Start at claim and inquire.
import JSON
import NATS
import Scheduling

struct QueueClaims: Sendable {
  /// The claim on a job's end that stands.
  struct Claim: Sendable, Equatable {
    /// Its number in the stream of ends: what takes its place names it.
    let sequence: Int
    /// What the node calls itself, and the name that is its own alone.
    let node: String
    let claimant: String

    init?(_ last: JetStream.Last) {
      guard let value = try? JSONText.parse(last.payload), let node = value["node"]?.string,
        let claimant = value["claimant"]?.string, NATSSubject.isToken(claimant)
      else { return nil }
      (self.sequence, self.node, self.claimant) = (last.sequence, String(node.prefix(64)), claimant)
    }
  }

  enum Outcome: Sendable, Equatable {
    /// This node may write the receipt.
    case mine
    case others(Claim)
    /// It is not known; to be asked again.
    case unknown(JetStreamError)
  }

  let jetStream: JetStream
  /// The stream of ends.
  let stream: String
  let node: String
  /// The name of this node's key; two nodes may be called the same.
  let claimant: String

  /// Claims a job's end.
  /// - sequence: of the claim whose place it takes, whose node is gone; 0 for none
  func claim(
    _ job: QueueJob, after sequence: Int, _ done: @escaping @Sendable (Outcome) -> Void
  ) {
    let body: JSONValue = ["node": .string(node), "claimant": .string(claimant)]
    let message = NATSMessage(
      subject: QueueSubject.end(job.id, client: job.client),
      headers: NATSHeaders([(name: "Nats-Expected-Last-Subject-Sequence", value: "\(sequence)")]),
      payload: JSONWriter.bytes(body))
    jetStream.publish(message, timeout: .seconds(2)) { result in
      switch result {
      case .success: done(.mine)
      case .failure(let error) where JetStreamError.wrongSequence.contains(error.number ?? 0):
        // Also after a claim of this node whose answer was lost, or that it made before it died.
        standing(job) { found in
          switch found {
          case .success(let claim?): done(claim.claimant == claimant ? .mine : .others(claim))
          case .success(nil): done(.unknown(error))
          case .failure(let error): done(.unknown(error))
          }
        }
      case .failure(let error): done(.unknown(error))
      }
    }
  }

  /// The claim that stands on a job's end; nil if none does.
  func standing(_ job: QueueJob, _ done: @escaping JetStream.Done<Claim?>) {
    jetStream.last(on: QueueSubject.end(job.id, client: job.client), in: stream) { result in
      done(
        result.flatMap { last in
          guard let last else { return .success(nil) }
          guard let claim = Claim(last) else { return .failure(.answer("the claim names no node")) }
          return .success(claim)
        })
    }
  }

  // MARK: asking who claimed it

  enum Finding: Sendable, Equatable {
    /// It has a receipt: its end, without the answer, of which only the receipt is kept.
    case receipt(QueueWord)
    case noReceipt
    case away
    /// The connection was lost meanwhile.
    case cut
  }

  /// Asks the node of a claim whether it has the job's receipt.
  func inquire(_ claim: Claim, _ job: QueueJob, _ done: @escaping @Sendable (Finding) -> Void) {
    let body: JSONValue = [
      "job": .string(job.id.hex), "client": .string(job.client),
      "passed": job.passed.map { .string($0.client) } ?? .null,
    ]
    let message = NATSMessage(
      subject: QueueSubject.claimant(claim.claimant), payload: JSONWriter.bytes(body))
    jetStream.client.request(message, timeout: .seconds(2)) { result in
      switch result {
      case .success(let answer):
        if let word = QueueWord(parsing: answer.payload), word.job == job.id, case .done = word.body {
          done(.receipt(word))
        } else {
          // What is no answer says nothing of the receipt.
          done(answer.payload == Self.noReceipt ? .noReceipt : .away)
        }
      case .failure(.noResponders), .failure(.timedOut): done(.away)
      case .failure: done(.cut)
      }
    }
  }

  static let noReceipt = Array("{\"receipt\":false}".utf8)

  /// The job that a message asks about.
  /// - passed: in whose name its client, an entrance, published it
  static func question(_ bytes: [UInt8]) -> (job: JobID, client: String, passed: String?)? {
    guard let value = try? JSONText.parse(bytes), let job = value["job"]?.string.flatMap({ JobID(hex: $0) }),
      let client = value["client"]?.string, ClientDirectory.isValid(name: client)
    else { return nil }
    return (job, client, value["passed"]?.string)
  }
}
