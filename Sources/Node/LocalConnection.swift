// LocalConnection.swift: a dashboard in the node's own process. Start at LocalConnection.
//
// Rule: a command is performed on the session's own queue, one after the other, never on the
// caller's thread. Why: it takes the node's lock, reads receipts from the disk, and tokenises chat
// messages; the caller is the thread that draws. So: `send` only enqueues it. Otherwise keys would
// wait for the node.
import Control
import Dispatch
import Synchronization

/// The node in this process, as a dashboard sees it.
package final class LocalConnection: NodeConnection {
  private let node: NodeService
  private let who: Operator
  private let queue = DispatchQueue(label: "hotpot.operator", qos: .userInitiated)
  private let inner = Mutex(Inner())

  private struct Inner {
    var session: OperatorSession?
    var isClosed = false
  }

  /// - name: the operator's, as the log shows it
  package init(node: NodeService, name: String) {
    self.node = node
    who = Operator(name)
  }

  package func start(deliver: @escaping @Sendable (NodeMessage) -> Void) {
    let session = OperatorSession(node: node.handle, who: who, role: .owner) { [self] message in
      if !inner.withLock({ $0.isClosed }) { deliver(message) }
    }
    inner.withLock { $0.session = session }
    queue.async {
      deliver(.link(.connected))
      session.subscribe(every: 1_000_000)
    }
  }

  package func send(_ command: NodeCommand, tag: UInt64) {
    guard let session = inner.withLock({ $0.session }) else { return }
    queue.async { session.perform(command, tag: tag) }
  }

  /// Commands sent before are still performed, but nothing more is delivered.
  package func close() {
    let session = inner.withLock { inner -> OperatorSession? in
      inner.isClosed = true
      defer { inner.session = nil }
      return inner.session
    }
    if let session { queue.async { session.close() } }
  }
}
