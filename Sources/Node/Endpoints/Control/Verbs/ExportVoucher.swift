// ExportVoucher.swift: the best voucher of a client, with what proves it.
import Control

package struct ExportVoucher: Verb {
  package static let word = "exportVoucher"
  package static let right = Role.viewer

  let client: String

  package init(client: String) {
    self.client = client
  }

  package func perform(_ desk: VerbDesk, tag: UInt64) throws(AdministrationError) -> ControlReply {
    let proof = try desk.accounts.voucherProof(of: client).get()
    return .voucher(tag: tag, text: proof.text, signature: proof.signature, key: proof.key)
  }
}
