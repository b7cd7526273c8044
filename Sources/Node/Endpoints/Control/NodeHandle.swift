// NodeHandle.swift: the parts of a node that the control socket, and a screen in the node's own
// process, may use. Who may use them is in Role, what is done with them in OperatorSession and
// ControlServer.
import Control
import Scheduling

struct NodeHandle: Sendable {
  let runtime: Runtime
  let admission: Admission
  let model: ServedModel
  let transcripts: Transcripts
  let archive: TranscriptArchive
  let accounts: Accounts
  let signing: Signing
  let receipts: ReceiptLog
  let publication: Publication
  let screens: Screens
  let live: LiveConfiguration
  let administration: Administration
  let stateDirectory: String
  let version: String
  /// The origin of clients' jobs.
  let origin: JobOrigin

  /// As it is now.
  var configuration: NodeConfiguration { live.current }
}
