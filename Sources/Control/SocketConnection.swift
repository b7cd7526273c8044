// SocketConnection.swift: a node in another process, local or behind ssh, as a dashboard sees it.
// Speaks the control protocol over a pair of descriptors; if the connection breaks, it reports that
// and reconnects. Lines are sent on a separate queue: a link that accepts nothing (a stalled ssh)
// must not stop the thread that draws. What the descriptors are is up to those who make
// LinkDescriptors. Start at SocketConnection.
import Foundation
import Synchronization

/// Two descriptors that lead to a node's control socket, and how to end them.
package struct LinkDescriptors: Sendable {
  package let read: Int32
  package let write: Int32
  /// Closes both, and whatever is behind them. Called once.
  package let close: @Sendable () -> Void
  /// Called after the connection has ended: what the program behind it said about that, if
  /// anything. May wait a moment.
  package let explain: @Sendable () -> String?

  package init(
    read: Int32, write: Int32, explain: @escaping @Sendable () -> String? = { nil },
    close: @escaping @Sendable () -> Void
  ) {
    self.read = read
    self.write = write
    self.explain = explain
    self.close = close
  }
}

/// Why a connection to a node could not be opened, in words.
package struct LinkError: Error, Sendable, CustomStringConvertible {
  package let description: String
  /// Retrying cannot help.
  package let isFinal: Bool

  package init(_ description: String, isFinal: Bool) {
    self.description = description
    self.isFinal = isFinal
  }
}

/// A node behind a control socket.
package final class SocketConnection: NodeConnection {
  private let open: @Sendable () throws(LinkError) -> LinkDescriptors
  private let isReadOnly: Bool
  /// Milliseconds between snapshots.
  private let interval: Int
  /// Seconds between two attempts to connect; doubles from 1 on.
  private let longestWait: Double
  private let inner = Mutex(Inner())

  /// Sends lines in order, so that none is written into another.
  private let outgoing = DispatchQueue(label: "hotpot.link", qos: .userInitiated)

  private struct Inner {
    var link: LinkDescriptors?
    /// Counts the links, so that what was meant for a broken one is not sent over the next.
    var generation = 0
    var isClosed = false
  }

  /// How long `close` waits for lines that were sent before it, in seconds.
  private static let lastWords = 1.0

  /// The longest line that is accepted, in bytes; a snapshot with full history is far shorter.
  static let longestLine = 64 << 20

  /// - open: makes a connection; called again after it breaks. May block.
  /// - interval: milliseconds between snapshots
  /// - longestWait: seconds between two attempts to connect, at most
  package init(
    isReadOnly: Bool, interval: Int = 1_000, longestWait: Double = 8,
    open: @escaping @Sendable () throws(LinkError) -> LinkDescriptors
  ) {
    self.isReadOnly = isReadOnly
    self.interval = interval
    self.longestWait = longestWait
    self.open = open
  }

  package func start(deliver: @escaping @Sendable (NodeMessage) -> Void) {
    let thread = Thread { [self] in run(deliver) }
    thread.name = "link"
    thread.stackSize = 1 << 20
    thread.start()
  }

  package func send(_ command: NodeCommand, tag: UInt64) {
    // Without a connection the command is lost, and the screen shows that there is none.
    guard let generation = inner.withLock({ $0.link == nil ? nil : $0.generation }) else { return }
    post(.command(tag: tag, command: command), generation)
  }

  private func post(_ request: ControlRequest, _ generation: Int) {
    outgoing.async { [self] in write(ControlProtocol.line(request) + [0x0A], generation) }
  }

  package func close() {
    let sent = DispatchSemaphore(value: 0)
    outgoing.async { sent.signal() }
    _ = sent.wait(timeout: .now() + Self.lastWords)
    let link = inner.withLock { inner -> LinkDescriptors? in
      inner.isClosed = true
      defer { inner.link = nil }
      return inner.link
    }
    link?.close()
  }

  /// Microseconds since 1970-01-01 00:00 UTC.
  private static var now: Microseconds { Microseconds(Date().timeIntervalSince1970 * 1_000_000) }

  private var isClosed: Bool { inner.withLock { $0.isClosed } }

  private func run(_ deliver: @escaping @Sendable (NodeMessage) -> Void) {
    deliver(.link(.connecting))
    var lostSince: Microseconds?
    var wait = 1.0
    while !isClosed {
      do throws(LinkError) {
        let link = try open()
        let generation = inner.withLock { inner -> Int? in
          guard !inner.isClosed else { return nil }
          inner.link = link
          inner.generation += 1
          // Under the lock, so that it is sent before any command.
          post(
            .hello(version: ControlProtocol.version, every: interval, readOnly: isReadOnly), inner.generation)
          return inner.generation
        }
        guard let generation else { return link.close() }
        var reason = read(link, generation, deliver) {
          lostSince = nil
          wait = 1
        }
        if reason.final == nil, let more = link.explain() { reason.words = more }
        let mine = inner.withLock { inner -> LinkDescriptors? in
          defer { inner.link = nil }
          return inner.link
        }
        mine?.close()
        if isClosed { return }
        if let final = reason.final { return deliver(.link(.ended(reason: final))) }
        throw LinkError(reason.words, isFinal: false)
      } catch {
        if isClosed { return }
        if error.isFinal { return deliver(.link(.ended(reason: error.description))) }
        let since = lostSince ?? Self.now
        lostSince = since
        deliver(.link(.lost(since: since, reason: error.description)))
        Thread.sleep(forTimeInterval: wait)
        wait = min(longestWait, wait * 2)
      }
    }
  }

  /// Reads lines until the connection breaks.
  private func read(
    _ link: LinkDescriptors, _ generation: Int, _ deliver: (NodeMessage) -> Void, connected: () -> Void
  ) -> (words: String, final: String?) {
    var held: [UInt8] = []
    var searched = 0
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      while let end = held[searched...].firstIndex(of: 0x0A) {
        let line = Array(held[..<end])
        held.removeSubrange(...end)
        searched = 0
        switch ControlProtocol.parse(ControlReply.self, line) {
        case .hello(let version, let node, let software):
          guard version == ControlProtocol.version else {
            return ("", Self.otherVersion(version, node: node, software: software))
          }
          connected()
          deliver(.link(.connected))
        case .message(.link(.ended(let reason))): return ("", reason)
        case .message(.snapshot(let snapshot)):
          deliver(.snapshot(snapshot))
          post(.seen(sequence: snapshot.sequence), generation)
        case .message(let message): deliver(message)
        case .denied(let tag, let reason) where tag > 0: deliver(.reply(tag: tag, .refused(reason)))
        case .denied(_, let reason), .refused(_, let reason): return ("", reason)
        case .snapshot, .chunk, .ended, .clients, .token, .bundle, .file, .earnings, .past, .statement,
          .voucher,
          .done:
          break
        case nil:
          return (
            "", "the other side sent something that is not hotpot's control protocol: '\(Self.shown(line))'"
          )
        }
      }
      searched = held.count
      guard held.count < Self.longestLine else { return ("the node sent a line without end", nil) }
      let count = Foundation.read(link.read, &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else {
        return (count == 0 ? "the connection was closed" : String(cString: strerror(errno)), nil)
      }
      held.append(contentsOf: buffer[..<count])
    }
  }

  package static func otherVersion(_ version: Int, node: String, software: String) -> String {
    "\(node) runs hotpot \(software), which speaks control protocol \(version); this one speaks \(ControlProtocol.version)"
  }

  /// The beginning of a line that isn't ours, for a message: printable ASCII only.
  private static func shown(_ line: [UInt8]) -> String {
    String(decoding: line.prefix(80).map { (0x20...0x7E).contains($0) ? $0 : 0x3F }, as: UTF8.self)
  }

  private enum Written {
    case bytes(Int), full, gone
  }

  /// On the queue only. Returns early if the link is gone meanwhile; its reader detects a broken
  /// one.
  private func write(_ bytes: [UInt8], _ generation: Int) {
    var rest = bytes[...]
    while !rest.isEmpty {
      // The lock is held exactly while a descriptor is used, so that the descriptor is certainly
      // this link's.
      let written = inner.withLock { inner -> Written in
        guard inner.generation == generation, let link = inner.link else { return .gone }
        var wait = pollfd(fd: link.write, events: Int16(POLLOUT), revents: 0)
        let ready = poll(&wait, 1, 0)
        if ready == 0 || ready < 0 && errno == EINTR { return .full }
        // A descriptor that is writable has space for a page, so this does not wait.
        let count = rest.prefix(4_096).withUnsafeBytes {
          Foundation.write(link.write, $0.baseAddress, $0.count)
        }
        if count > 0 { return .bytes(count) }
        return count < 0 && (errno == EINTR || errno == EAGAIN) ? .full : .gone
      }
      switch written {
      case .bytes(let count): rest = rest.dropFirst(count)
      case .full: Thread.sleep(forTimeInterval: 0.01)
      case .gone: return
      }
    }
  }
}
