// NodeHandle.swift: what the control socket, and a screen in the node's own process, may use of a node.
// Leaves out who may (Role) and what is done with it (OperatorSession, ControlServer).
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
  let screens: Screens
  let configuration: NodeConfiguration
  let stateDirectory: String
  let version: String
  /// Of the jobs of clients.
  let origin: JobOrigin
}
