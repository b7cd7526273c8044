// OfferSample.swift: a receipt of the operator's own job that everybody may re-execute.
import Control

package struct OfferSample: Verb {
  package static let word = "offerSample"
  package static let right = Role.owner
  package static let isOffline = false

  /// A bundle with its transcript.
  let bundle: String

  package init(bundle: String) { self.bundle = bundle }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    .done(tag: tag, words: "published receipt \(try desk.publication.add(sample: bundle))")
  }
}
