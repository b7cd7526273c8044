// JetStream.swift: work queues of a NATS server: its API, publishing with a receipt, and what a
// delivery is. Pulling is PullConsumer's. Source: nats-server, "JetStream wire API"; only what 2.9
// and 2.14 both know is sent. Start at JetStream.call and publish.

import Foundation
import JSON

/// Why a work queue did not do what was asked.
package enum JetStreamError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Nothing was heard of it.
  case transport(NATSError)
  case refused(code: Int, error: Int, String)
  /// What came was no answer.
  case answer(String)

  /// The numbers of refusals that a caller may want to tell apart. Source: nats-server, errors.json.
  package static let streamFull = [10_077, 10_047]
  package static let noMessage = [10_043, 10_057, 10_037]
  /// A message was to be the next one after another on its subject, and is not.
  package static let wrongSequence = [10_071, 10_164]
  package static let noStream = 10_059
  package static let noConsumer = 10_014

  package var number: Int? { if case .refused(_, let error, _) = self { error } else { nil } }

  package var description: String {
    switch self {
    case .transport(let error): "\(error)"
    case .refused(_, let number, let words): "\(words) (\(number))"
    case .answer(let words): "its answer is none: \(words)"
    }
  }
}

package struct JetStream: Sendable {
  package typealias Done<Value: Sendable> = @Sendable (Result<Value, JetStreamError>) -> Void

  package let client: NATSClient
  /// `$JS.API`, or `$JS.DOMAIN.API` where a leaf node stands between.
  package let prefix: String

  package init(_ client: NATSClient, domain: String? = nil) {
    self.client = client
    prefix = domain.map { "$JS.\(NATSSubject.token($0)).API" } ?? "$JS.API"
  }

  /// Calls the API: `STREAM.INFO.NAME` and such.
  package func call(
    _ name: String, _ body: JSONValue? = nil, timeout: Duration = .seconds(5),
    _ done: @escaping Done<JSONValue>
  ) {
    client.request(request(name, body), timeout: timeout) { done(Self.answer($0)) }
  }

  /// The same, waiting; never on the client's own thread.
  package func call(
    waiting name: String, _ body: JSONValue? = nil, timeout: Duration = .seconds(5)
  ) throws(JetStreamError) -> JSONValue {
    let answer: Result<NATSMessage, NATSError>
    do throws(NATSError) { answer = .success(try client.ask(request(name, body), timeout: timeout)) } catch {
      answer = .failure(error)
    }
    return try Self.answer(answer).get()
  }

  private func request(_ name: String, _ body: JSONValue?) -> NATSMessage {
    NATSMessage(subject: "\(prefix).\(name)", payload: body.map { JSONWriter.bytes($0) } ?? [])
  }

  static func answer(_ result: Result<NATSMessage, NATSError>) -> Result<JSONValue, JetStreamError> {
    switch result {
    case .failure(let error): return .failure(.transport(error))
    case .success(let message):
      var limits = JSONText.Limits()
      limits.bytes = 16 << 20
      limits.duplicateKeys = .allowed
      let value: JSONValue
      do throws(JSONError) { value = try JSONText.parse(message.payload, limits: limits) } catch {
        return .failure(.answer("\(error)"))
      }
      guard value.members != nil else { return .failure(.answer("it is no object")) }
      if let error = value["error"] {
        return .failure(
          .refused(
            code: error["code"]?.integer ?? 0, error: error["err_code"]?.integer ?? 0,
            String((error["description"]?.string ?? "it refuses").prefix(200))))
      }
      return .success(value)
    }
  }

  /// What a stream says of a message that it took.
  package struct Stored: Sendable, Equatable {
    package let stream: String
    package let sequence: Int
    /// It had a message of that id already, and stored nothing.
    package let isDuplicate: Bool
  }

  /// The last message that a stream has on a subject.
  package struct Last: Sendable, Equatable {
    package let sequence: Int
    package let payload: [UInt8]
  }

  /// Looks up the last message on a subject; nil if there is none.
  package func last(
    on subject: String, in stream: String, _ done: @escaping Done<Last?>
  ) {
    call("STREAM.MSG.GET.\(stream)", ["last_by_subj": .string(subject)]) { result in
      switch result {
      case .failure(let error) where JetStreamError.noMessage.contains(error.number ?? 0):
        done(.success(nil))
      case .failure(let error): done(.failure(error))
      case .success(let value):
        // A payload that is empty is left out.
        let data = value["message"]?["data"]?.string ?? ""
        guard let sequence = value["message"]?["seq"]?.integer, let payload = Data(base64Encoded: data) else {
          return done(.failure(.answer("it names no message")))
        }
        done(.success(Last(sequence: sequence, payload: Array(payload))))
      }
    }
  }

  /// Publishes into a stream.
  package func publish(
    _ message: NATSMessage, timeout: Duration = .seconds(5), _ done: @escaping Done<Stored>
  ) {
    client.request(message, timeout: timeout) { done(Self.stored($0)) }
  }

  private static func stored(_ result: Result<NATSMessage, NATSError>) -> Result<Stored, JetStreamError> {
    answer(result).flatMap { value in
      guard let stream = value["stream"]?.string, let sequence = value["seq"]?.integer, sequence > 0 else {
        return .failure(.answer("it names no message"))
      }
      return .success(
        Stored(stream: stream, sequence: sequence, isDuplicate: value["duplicate"]?.bool ?? false))
    }
  }
}

/// A message of a work queue, leased to this client until it is acknowledged or its time is over.
package struct NATSDelivery: Sendable, Equatable {
  package let message: NATSMessage
  /// Where acknowledgements go, as the server wrote it.
  package let acknowledgement: String
  /// How often it was delivered, this time included.
  package let count: Int
  /// Its number in the stream.
  package let sequence: Int

  /// nil for a message that comes from no work queue.
  ///
  /// The subject is `$JS.ACK.STREAM.CONSUMER.COUNT.SEQ.SEQ.TIME.PENDING`; since 2.15 a domain and an
  /// account may stand before the stream, so longer ones are read from their end.
  package init?(_ message: NATSMessage) {
    guard let reply = message.reply, reply.hasPrefix("$JS.ACK."), NATSSubject.isPlain(reply) else {
      return nil
    }
    let tokens = reply.split(separator: ".")
    let first = tokens.count == 9 ? 4 : 6
    guard tokens.count == 9 || tokens.count >= 11, let count = Int(tokens[first]), count >= 1,
      let sequence = Int(tokens[first + 1]), sequence >= 1
    else { return nil }
    self.message = message
    self.count = count
    self.sequence = sequence
    acknowledgement = reply
  }

  package enum Acknowledgement: Sendable, Equatable {
    /// Done: it leaves the queue.
    case done
    /// Somebody else is to have it, at once or after a while.
    case pass(after: Duration?)
    /// It is still being worked on: the lease begins anew.
    case working
    /// It leaves the queue though it was not done.
    case end

    package var bytes: [UInt8] {
      switch self {
      case .done: Array("+ACK".utf8)
      case .working: Array("+WPI".utf8)
      case .end: Array("+TERM".utf8)
      case .pass(nil): Array("-NAK".utf8)
      case .pass(let delay?):
        Array("-NAK {\"delay\":\(max(1, delay.milliseconds) * 1_000_000)}".utf8)
      }
    }
  }

  /// Says what became of it, without waiting to hear that it was understood.
  package func say(_ what: Acknowledgement, to client: NATSClient) {
    // A lease that cannot be told of runs out, which passes the message on.
    try? client.publish(NATSMessage(subject: acknowledgement, payload: what.bytes))
  }

  /// Says it, and hears whether it was understood. It may be said again until it was.
  package func confirm(
    _ what: Acknowledgement, to client: NATSClient, _ done: @escaping @Sendable (Bool) -> Void
  ) {
    client.request(NATSMessage(subject: acknowledgement, payload: what.bytes), timeout: .seconds(2)) {
      if case .success = $0 { done(true) } else { done(false) }
    }
  }
}
