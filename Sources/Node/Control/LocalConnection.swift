// LocalConnection.swift: a dashboard in the node's own process. Start at LocalConnection.
import Synchronization

/// The node in this process, as a dashboard sees it.
public final class LocalConnection: NodeConnection {
  private let node: NodeService
  private let who: Operator
  private let session = Mutex<OperatorSession?>(nil)

  /// - name: the operator's, as the log shows it
  public init(node: NodeService, name: String) {
    self.node = node
    who = Operator(name)
  }

  public func start(deliver: @escaping @Sendable (NodeMessage) -> Void) {
    let session = OperatorSession(node: node, who: who, role: .owner, deliver: deliver)
    self.session.withLock { $0 = session }
    deliver(.link(.connected))
    session.subscribe(every: 1_000_000)
  }

  public func send(_ command: NodeCommand, tag: UInt64) {
    session.withLock { $0 }?.perform(command, tag: tag)
  }

  public func close() {
    let session = self.session.withLock { session -> OperatorSession? in
      defer { session = nil }
      return session
    }
    session?.close()
  }
}
