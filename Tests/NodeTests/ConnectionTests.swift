// ConnectionTests.swift: what a screen is promised of its line to a node: nothing that it sends
// makes it wait, and what it sends is done in its order. Start at
// aSlowCommandDoesNotHoldUpTheScreen.
import Control
import Dispatch
import Foundation
import Node
import Synchronization
import Testing

@Suite struct ConnectionTests {
  /// Waits until something holds, ten seconds at most.
  private func until(_ holds: () -> Bool) -> Bool {
    for _ in 0..<1_000 {
      if holds() { return true }
      usleep(10_000)
    }
    return holds()
  }

  @Test func aSlowCommandDoesNotHoldUpTheScreen() throws {
    try DoorTests().withNode { node, _, _ in
      let gate = DispatchSemaphore(value: 0)
      let replies = Mutex<[UInt64]>([])
      let connection = LocalConnection(node: node, name: "kim")
      connection.start { message in
        guard case .reply(let tag, _) = message else { return }
        // The first command is as slow as can be.
        if tag == 1 { _ = gate.wait(timeout: .now() + 10) }
        replies.withLock { $0.append(tag) }
      }
      for tag in UInt64(1)...40 {
        connection.send(tag % 3 == 0 ? .receipt(id: "none") : tag % 3 == 1 ? .history : .pause, tag: tag)
      }
      #expect(replies.withLock { $0 }.isEmpty, "a command was performed before its sender went on")
      gate.signal()
      #expect(until { replies.withLock { $0.count } == 40 })
      #expect(replies.withLock { $0 } == Array(1...40))
      connection.close()
      connection.send(.history, tag: 41)
      #expect(replies.withLock { $0.count } == 40)
    }
  }

  @Test func whatWasSentBeforeTheEndIsStillDone() throws {
    try DoorTests().withNode { node, _, _ in
      let connection = LocalConnection(node: node, name: "leaver")
      connection.start { _ in }
      for tag in UInt64(1)...5 { connection.send(.reveal(job: "abc"), tag: tag) }
      connection.send(.pull(model: "no such model"), tag: 6)
      connection.close()
      let other = LocalConnection(node: node, name: "kim")
      let log = Mutex<[String]>([])
      other.start { message in
        if case .snapshot(let snapshot) = message {
          log.withLock { $0 = snapshot.log.filter { $0.who == "leaver" }.map(\.text) }
        }
      }
      #expect(until { log.withLock { $0 } == ["pulls no such model"] })
      other.close()
    }
  }

  /// A pipe that nobody reads, as a stalled ssh is: a long conversation does not fit into it.
  @Test func aLineThatTakesNothingDoesNotHoldUpTheScreen() throws {
    var incoming: [Int32] = [0, 0]
    var outgoing: [Int32] = [0, 0]
    try #require(pipe(&incoming) == 0 && pipe(&outgoing) == 0)
    let (toUs, theirEnd, ours) = (incoming[0], incoming[1], outgoing)
    let isClosed = Mutex(false)
    let connection = SocketConnection(isReadOnly: false) {
      LinkDescriptors(read: toUs, write: ours[1]) {
        isClosed.withLock { $0 = true }
        close(toUs)
        close(ours[1])
      }
    }
    let isThere = Mutex(false)
    connection.start { if case .link(.connected) = $0 { isThere.withLock { $0 = true } } }
    let hello =
      ControlProtocol.line(ControlReply.hello(version: ControlProtocol.version, node: "n", software: "0")) + [
        0x0A
      ]
    #expect(write(theirEnd, hello, hello.count) == hello.count)
    #expect(until { isThere.withLock { $0 } })
    let long = String(repeating: "word ", count: 200_000)
    let request = ChatRequest(
      messages: [.init(role: .user, content: long)], temperature: 0, maxTokens: 1, seed: nil)
    let sent = Mutex(false)
    let thread = Thread {
      connection.send(.chat(request), tag: 1)
      connection.send(.pause, tag: 2)
      sent.withLock { $0 = true }
    }
    thread.start()
    #expect(until { sent.withLock { $0 } }, "send waited for the line")

    // Whoever reads then finds the lines whole and in order.
    var held: [UInt8] = []
    var lines: [ControlRequest?] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while lines.count < 3 {
      let count = read(ours[0], &buffer, buffer.count)
      guard count > 0 else { break }
      held += buffer[..<count]
      while let end = held.firstIndex(of: 0x0A) {
        lines.append(ControlProtocol.parse(ControlRequest.self, Array(held[..<end])))
        held.removeSubrange(...end)
      }
    }
    #expect(
      lines == [
        .hello(version: ControlProtocol.version, every: 1_000, readOnly: false),
        .command(tag: 1, command: .chat(request)), .command(tag: 2, command: .pause),
      ])

    // Nor does leaving wait for long.
    connection.send(.chat(request), tag: 3)
    let left = Mutex(false)
    Thread {
      connection.close()
      left.withLock { $0 = true }
    }.start()
    #expect(until { left.withLock { $0 } }, "close waited for the line")
    #expect(isClosed.withLock { $0 })
    close(theirEnd)
    close(ours[0])
  }
}
