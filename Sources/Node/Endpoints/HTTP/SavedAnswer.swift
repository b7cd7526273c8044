// SavedAnswer.swift: a node's answer as a client saved it, read back for verification: in one
// piece, a stream, or one that was cut. The counterpart of the dialects' writers. Its objects are read in
// SavedAnswerReader.swift, checks are in Receipts (Verification). Start at SavedAnswer.init.
import Foundation
import Intake
import JSON
import Receipts

/// Why a file isn't an answer that can be checked.
package struct SavedAnswerError: Error, Sendable, CustomStringConvertible {
  package let description: String
  package let hint: String?

  init(_ description: String, hint: String? = nil) {
    self.description = description
    self.hint = hint
  }
}

/// What opens the receipt, and what the answer says besides.
package struct SavedAnswer: Sendable {
  /// What opens the receipt; or why the answer alone does not.
  package let opening: Result<Receipts.Transcript, SavedAnswerError>
  /// Present without token ids too.
  package let nonces: Nonces?
  /// The node's part of them, if the client gave the other.
  package let nonceShare: Nonces?
  /// The receipt, if it came inside.
  package let inline: InlineReceipt?
  package let answer: Verification.Answer
  /// Which text of the request its vector is of; nil if the answer is text.
  let vector: Int?
  /// Log-probabilities in the form of the answer's endpoint, the pieces of a stream joined.
  let logprobs: SavedLogprobs
  /// Whose answer it is; nil if it doesn't say.
  let dialect: Dialect?
  /// Calls' arguments stand as JSON and not as its text, so that only its meaning is compared.
  let hasArgumentValues: Bool

  /// The longest answer that is read: one of 10^6 tokens with log-probabilities fits.
  package static let maximumBytes = 256 << 20

  /// Reads the JSON of an answer, of an error that ended one or of `GET /v1/jobs/ID`; or
  /// server-sent events as curl saves them; or one JSON object per line, as `hotpot submit --json`
  /// prints them.
  /// - receipt: the id of the receipt that is asked about, of an answer with several
  package init(_ bytes: [UInt8], receipt: String? = nil) throws(SavedAnswerError) {
    var reader = SavedAnswerReader()
    let objects = try Self.objects(bytes)
    var vector: Int?
    for whole in objects {
      let single = try SavedVectors(whole, receipt: receipt)
      vector = single?.index
      let object = single?.answer ?? whole
      do throws(JSONFieldError) { try reader.take(object) } catch {
        throw SavedAnswerError("the answer cannot be read: \(error)")
      }
    }
    do throws(JSONFieldError) { try reader.finishMessage() } catch {
      throw SavedAnswerError("the answer cannot be read: \(error)")
    }
    guard reader.hasOwn || reader.answer.text != nil else {
      throw SavedAnswerError(
        "found no member 'hotpot', which a node's answer ends with",
        hint: "save the whole answer, of a stream with its last events")
    }
    nonces = reader.nonce.flatMap { Nonces(hex: $0) }
    if reader.nonce != nil, nonces == nil {
      throw SavedAnswerError("the answer's 'hotpot.nonce' is not 128 hexadecimal digits")
    }
    nonceShare = reader.nonceShare.flatMap { Nonces(hex: $0) }
    inline = reader.answer.line.map { InlineReceipt(line: $0, signature: reader.signature) }
    opening = reader.opening(nonces)
    answer = reader.answer
    logprobs = reader.logprobs
    dialect = reader.dialect
    hasArgumentValues = reader.hasArgumentValues
    self.vector = vector
  }

  /// Whether these bytes aren't a transcript file, whose first key is its nonce.
  package static func isLikely(_ bytes: [UInt8]) -> Bool { !bytes.starts(with: Array("{\"nonce\":".utf8)) }

  private static func objects(_ bytes: [UInt8]) throws(SavedAnswerError) -> [JSONValue] {
    var limits = JSONText.Limits()
    limits.bytes = maximumBytes
    limits.values = 1 << 24
    do throws(JSONError) { return [try JSONText.parse(bytes, limits: limits)] } catch {
      // Possibly a stream.
      let lines = bytes.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D })
      let data = Array("data:".utf8)
      var events = lines.filter { $0.starts(with: data) }.map { $0.dropFirst(data.count).drop { $0 == 0x20 } }
      if events.isEmpty, lines.count > 1, lines.allSatisfy({ $0.first == 0x7B }) { events = lines }
      guard !events.isEmpty else {
        throw SavedAnswerError("the file is neither a transcript nor a node's answer: \(error)")
      }
      var objects: [JSONValue] = []
      for (number, event) in events.enumerated() where !event.elementsEqual("[DONE]".utf8) {
        do throws(JSONError) { objects.append(try JSONText.parse(Array(event), limits: limits)) } catch {
          throw SavedAnswerError("event \(number + 1) of the stream: \(error)")
        }
      }
      return objects
    }
  }
}
