// SocketConnection.swift: a node in another process, here or behind ssh, as a dashboard sees it.
// Speaks the control protocol over a pair of descriptors; when the line breaks it says so, and tries again.
// Leaves out what the descriptors are (LinkOpener). Start at SocketConnection.
import Foundation
import Intake
import Synchronization

/// Two descriptors that lead to a node's control socket, and how to end them.
public struct LinkDescriptors: Sendable {
  public let read: Int32
  public let write: Int32
  /// Closes both, and whatever stands behind them. Called once.
  public let close: @Sendable () -> Void
  /// After the line has ended: what the program behind it said about that, if anything. May wait a moment.
  public let explain: @Sendable () -> String?

  public init(
    read: Int32, write: Int32, explain: @escaping @Sendable () -> String? = { nil },
    close: @escaping @Sendable () -> Void
  ) {
    self.read = read
    self.write = write
    self.explain = explain
    self.close = close
  }
}

/// Why a line to a node could not be opened, in words.
public struct LinkError: Error, Sendable, CustomStringConvertible {
  public let description: String
  /// Trying again cannot help.
  public let isFinal: Bool

  public init(_ description: String, isFinal: Bool) {
    self.description = description
    self.isFinal = isFinal
  }
}

/// A node behind a control socket.
public final class SocketConnection: NodeConnection {
  private let open: @Sendable () throws(LinkError) -> LinkDescriptors
  private let isReadOnly: Bool
  /// Milliseconds between snapshots.
  private let interval: Int
  /// Seconds between two attempts to connect; doubles from 1 on.
  private let longestWait: Double
  private let inner = Mutex(Inner())

  private struct Inner {
    var link: LinkDescriptors?
    var isClosed = false
  }

  /// Longest line that is taken, in bytes; a snapshot with full history has far less.
  static let longestLine = 64 << 20

  /// - open: makes a line; called again after it broke. May block.
  /// - interval: milliseconds between snapshots
  /// - longestWait: seconds between two attempts to connect, at most
  public init(
    isReadOnly: Bool, interval: Int = 1_000, longestWait: Double = 8,
    open: @escaping @Sendable () throws(LinkError) -> LinkDescriptors
  ) {
    self.isReadOnly = isReadOnly
    self.interval = interval
    self.longestWait = longestWait
    self.open = open
  }

  public func start(deliver: @escaping @Sendable (NodeMessage) -> Void) {
    let thread = Thread { [self] in run(deliver) }
    thread.name = "link"
    thread.stackSize = 1 << 20
    thread.start()
  }

  public func send(_ command: NodeCommand, tag: UInt64) {
    let line = ControlProtocol.line(ControlRequest.command(tag: tag, command: command)) + [0x0A]
    inner.withLock { inner in
      // Without a line the command is lost, and the screen says that there is none.
      if let link = inner.link { Self.write(line, to: link.write) }
    }
  }

  public func close() {
    let link = inner.withLock { inner -> LinkDescriptors? in
      inner.isClosed = true
      defer { inner.link = nil }
      return inner.link
    }
    link?.close()
  }

  private var isClosed: Bool { inner.withLock { $0.isClosed } }

  private func run(_ deliver: @escaping @Sendable (NodeMessage) -> Void) {
    deliver(.link(.connecting))
    var lostSince: Microseconds?
    var wait = 1.0
    while !isClosed {
      do throws(LinkError) {
        let link = try open()
        let isWanted = inner.withLock { inner -> Bool in
          guard !inner.isClosed else { return false }
          inner.link = link
          return true
        }
        guard isWanted else { return link.close() }
        let hello = ControlRequest.hello(
          version: ControlProtocol.version, every: interval, readOnly: isReadOnly)
        Self.write(ControlProtocol.line(hello) + [0x0A], to: link.write)
        var reason = read(link, deliver) {
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
        let since = lostSince ?? NodeService.now().wall
        lostSince = since
        deliver(.link(.lost(since: since, reason: error.description)))
        Thread.sleep(forTimeInterval: wait)
        wait = min(longestWait, wait * 2)
      }
    }
  }

  /// Reads lines until the line breaks.
  private func read(
    _ link: LinkDescriptors, _ deliver: (NodeMessage) -> Void, connected: () -> Void
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
          Self.write(
            ControlProtocol.line(ControlRequest.seen(sequence: snapshot.sequence)) + [0x0A], to: link.write)
        case .message(let message): deliver(message)
        case .denied(let tag, let reason) where tag > 0: deliver(.reply(tag: tag, .refused(reason)))
        case .denied(_, let reason), .refused(_, let reason): return ("", reason)
        case .snapshot, .chunk, .ended, .clients, .token, .bundle, .earnings, .statement, .voucher, .done:
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

  public static func otherVersion(_ version: Int, node: String, software: String) -> String {
    "\(node) runs hotpot \(software), which speaks control protocol \(version); this one speaks \(ControlProtocol.version)"
  }

  /// The beginning of a line that is not ours, for a message: printable ASCII only.
  private static func shown(_ line: [UInt8]) -> String {
    String(decoding: line.prefix(80).map { (0x20...0x7E).contains($0) ? $0 : 0x3F }, as: UTF8.self)
  }

  private static func write(_ bytes: [UInt8], to descriptor: Int32) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      // A broken line is found by its reader.
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
  }
}
