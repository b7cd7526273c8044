// NodeVisit.swift: what a visit to somebody's node says of it, and what a visitor remembers. Not here:
// the visits themselves (NodeCheck.swift sends jobs, NodeInspection.swift reads what is published).
// Start at VisitReport.
import Receipts

/// What a visitor remembers of a node: its key, and the newest head of its log.
package struct KnownNode: Sendable, Equatable {
  package let key: SSHPublicKey
  package let head: LogHead

  package init(key: SSHPublicKey, head: LogHead) {
    self.key = key
    self.head = head
  }
}

package struct VisitReport: Sendable {
  package struct Finding: Sendable, Equatable {
    package let name: String
    package let result: Verification.Result
    package let detail: String
  }

  package internal(set) var findings: [Finding] = []
  /// To be remembered; nil if there is no log that could be.
  package internal(set) var known: KnownNode?

  /// Nothing is wrong with the node as far as the visit can tell.
  package var passes: Bool { !findings.contains { $0.result == .failed } }

  mutating func add(_ name: String, _ result: Verification.Result, _ detail: String) {
    findings.append(Finding(name: name, result: result, detail: detail))
  }
}
