// ExportReceipt.swift: a bundle of a receipt for offline verification.
import Control
import Receipts

package struct ExportReceipt: Verb {
  package static let word = "exportReceipt"
  package static let right = Role.viewer
  package static let isOffline = false

  let id: String
  /// Size of a checkpoint that its reader holds, for the proof that the log continues it.
  let earlier: Int?

  package init(id: String, earlier: Int? = nil) {
    self.id = id
    self.earlier = earlier
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    do throws(JournalError) {
      return .bundle(tag: tag, text: try desk.receipts.bundle(id, earlier: earlier).text)
    } catch {
      throw AdministrationError("\(error)")
    }
  }
}
