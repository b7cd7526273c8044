// dashboard-preview: the real dashboard on a real terminal, over a scripted node: four jobs run, fifty are queued.
// For measuring bytes and latency, and for pictures. `dashboard-preview [SCENE] [THEME]`. Start at ScriptedConnection.
import Control
import Dashboard
import Foundation
import ScriptedNode
import Terminal

/// Runs the scripted node on a thread of its own, one second a second.
private final class ScriptedConnection: NodeConnection, @unchecked Sendable {
  // Unchecked: everything is reached under the lock.
  private let lock = NSLock()
  private var node: ScriptedNode
  private var deliver: (@Sendable (NodeMessage) -> Void)?
  private var isClosed = false
  private var chatLeft: [String] = []

  init(_ node: ScriptedNode) { self.node = node }

  func start(deliver: @escaping @Sendable (NodeMessage) -> Void) {
    lock.withLock { self.deliver = deliver }
    deliver(.link(.connected))
    deliver(.snapshot(lock.withLock { node.snapshot() }))
    let thread = Thread { [self] in
      var ticks = 0
      while !lock.withLock({ isClosed }) {
        Thread.sleep(forTimeInterval: 0.05)
        ticks += 1
        if let word = lock.withLock({ chatLeft.isEmpty ? nil : chatLeft.removeFirst() }) {
          deliver(.chat(.text(word)))
          if lock.withLock({ chatLeft.isEmpty }) {
            deliver(.chat(.finished(reason: "stop", tokens: 180, tokensPerSecond: 20)))
          }
        }
        if ticks % 20 == 0 {
          deliver(
            .snapshot(
              lock.withLock {
                node.advance()
                return node.snapshot()
              }))
        }
      }
    }
    thread.start()
  }

  func send(_ command: NodeCommand, tag: UInt64) {
    let (messages, deliver) = lock.withLock {
      if case .chat = command {
        chatLeft = (0..<36).flatMap { _ in ["A ", "checkpoint ", "is ", "a signed ", "statement. "] }
      }
      if case .stopChat = command { chatLeft = [] }
      return (node.apply(command, tag: tag), self.deliver)
    }
    for message in messages { deliver?(message) }
  }

  func close() { lock.withLock { isClosed = true } }
}

private let arguments = CommandLine.arguments
private var node = ScriptedNode.busy(queued: 50)
switch arguments.count > 1 ? arguments[1] : "busy" {
case "idle":
  node = ScriptedNode()
case "first":
  node = ScriptedNode()
  node.state = .noModel
  node.modelName = nil
case "paused": node.state = .paused
case "alarm": node.alarms = ["cpu at 96 degrees: slowed down"]
default: break
}
private var options = DashboardOptions()
if arguments.count > 2 {
  if let theme = options.themes.first(where: { $0.name == arguments[2] }) {
    options.theme = theme
  } else {
    let file = try String(contentsOfFile: arguments[2], encoding: .utf8)
    options.theme = try Theme(name: arguments[2], file: file)
  }
}
do {
  let app = try DashboardApp(
    connection: ScriptedConnection(node), options: options,
    place: DashboardPlace(
      environment: ProcessInfo.processInfo.environment, streamLog: nil, saveDirectory: "."))
  let end = app.run()
  print("ended: \(end)")
} catch {
  FileHandle.standardError.write(Data("dashboard-preview: error: \(error)\n".utf8))
  exit(69)
}
