// Cosign.swift: a witness' signature over a checkpoint of this log.
import Control

package struct Cosign: Verb {
  package static let word = "cosign"
  package static let right = Role.operator
  package static let isOffline = false

  let checkpoint: String
  let signature: String
  /// Keys that are trusted from now on, of which only the owner's word counts; may be empty.
  let witnesses: String

  package init(checkpoint: String, signature: String, witnesses: String) {
    self.checkpoint = checkpoint
    self.signature = signature
    self.witnesses = witnesses
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    // It counts by a key that the owner has trusted; only the owner's word trusts a new one.
    let trusted = desk.role == .owner ? witnesses : nil
    return .done(
      tag: tag, words: try desk.signing.cosign(checkpoint, signature, trusted, by: desk.who).get())
  }
}
