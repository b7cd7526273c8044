// ReadPublic.swift: one file of what the node publishes.
import Control
import Receipts

package struct ReadPublic: Verb {
  package static let word = "readPublic"
  package static let right = Role.viewer
  package static let usesKey = true
  package static let isOffline = false

  let path: String

  package init(path: String) { self.path = path }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    .file(tag: tag, base64: try desk.publication.file(path).map { Base64.format($0.bytes) })
  }
}
