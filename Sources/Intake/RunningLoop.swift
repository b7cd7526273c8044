// RunningLoop.swift: a loop on its thread, and the sockets that it listens on.

import CSystem
import Dispatch
import Foundation
import Synchronization

/// Listening sockets, bound before the thread starts so that errors reach the caller.
struct BoundAddresses: Sendable {
  struct Socket: Sendable {
    let descriptor: Int32
    let users: [UInt32]
    /// The socket file as created; removed at the end if it's still the same file.
    let file: (path: String, device: UInt64, inode: UInt64)?
  }

  private(set) var sockets: [Socket] = []
  private(set) var ports: [UInt16] = []

  init(_ addresses: [ListenAddress]) throws(ServerError) {
    do {
      for address in addresses {
        switch address {
        case .tcp(let host, let port): try listen(host, port)
        case .unix(let path, let users): try listen(path: path, users)
        }
      }
    } catch {
      close()
      throw error
    }
  }

  private mutating func listen(_ host: String, _ port: UInt16) throws(ServerError) {
    let descriptor = csystem_listen_tcp(host, port, 1024)
    if descriptor < 0 {
      switch -descriptor {
      case EADDRINUSE: throw .addressInUse("\(host):\(port)")
      case EINVAL, EADDRNOTAVAIL: throw .addressInvalid(host)
      default: throw .system("listen on \(host):\(port)", errno: -descriptor)
      }
    }
    sockets.append(Socket(descriptor: descriptor, users: [], file: nil))
    ports.append(UInt16(clamping: csystem_local_port(descriptor)))
  }

  private mutating func listen(path: String, _ users: [UInt32]) throws(ServerError) {
    let descriptor = csystem_listen_unix(path, 128)
    if descriptor < 0 {
      switch -descriptor {
      case EADDRINUSE: throw .addressInUse(path)
      case ENAMETOOLONG: throw .pathTooLong(path, limit: Int(csystem_unix_path_limit()))
      case EEXIST: throw .notASocket(path)
      default: throw .system("listen on '\(path)'", errno: -descriptor)
      }
    }
    var device: UInt64 = 0
    var inode: UInt64 = 0
    _ = csystem_file_identity(path, &device, &inode)
    sockets.append(Socket(descriptor: descriptor, users: users, file: (path, device, inode)))
  }

  /// Releases everything if no loop took it over.
  func close() {
    for socket in sockets { _ = csystem_close(socket.descriptor) }
    unlink()
  }

  /// Removes the socket files, unless other files have replaced them.
  func unlink() {
    for case let file? in sockets.map(\.file) {
      _ = csystem_unlink_unix(file.path, file.device, file.inode)
    }
  }
}

/// A thread that runs a loop until it is stopped.
final class RunningLoop: Sendable {
  private let mailbox: Mailbox
  let ended = DispatchGroup()
  private let statistics = StatisticsBox()

  private final class StatisticsBox: Sendable {
    let value = Mutex(LoopStatistics())
    let failure = Mutex<ServerError?>(nil)
  }

  init(
    name: String, maximumConnections: Int, bound: BoundAddresses, bodyBytes: Int,
    strangerBytes: Int = 0,
    service: @escaping @Sendable ([UInt32], BodyBudget) -> any Service
  ) throws(ServerError) {
    let mailbox: Mailbox
    do {
      mailbox = try Mailbox()
    } catch {
      bound.close()
      throw error
    }
    self.mailbox = mailbox
    let (statistics, ended) = (self.statistics, self.ended)
    let started = DispatchSemaphore(value: 0)
    ended.enter()
    // The loop is made on its own thread, because it belongs to that thread and is not Sendable.
    let thread = Thread {
      defer { ended.leave() }
      _ = csystem_thread_name(name)
      let loop: Loop
      do throws(ServerError) {
        loop = try Self.makeLoop(
          mailbox, maximumConnections, bound, BodyBudget(known: bodyBytes, strangers: strangerBytes), service)
      } catch {
        statistics.failure.withLock { $0 = error }
        started.signal()
        return
      }
      started.signal()
      while !loop.isStopped {
        loop.turn(wait: nil)
        var figures = loop.statistics
        figures.openConnections = loop.openCount
        statistics.value.withLock { $0 = figures }
      }
      mailbox.close()
      bound.unlink()
    }
    thread.start()
    started.wait()
    if let failure = statistics.failure.withLock({ $0 }) {
      bound.close()
      throw failure
    }
  }

  private static func makeLoop(
    _ mailbox: Mailbox, _ maximumConnections: Int, _ bound: BoundAddresses, _ bodies: BodyBudget,
    _ service: ([UInt32], BodyBudget) -> any Service
  ) throws(ServerError) -> Loop {
    // Some descriptors are reserved for the journal, models and pipes.
    let descriptors = Int(max(csystem_raise_file_limit(0), 256))
    let loop = try Loop(
      mailbox: mailbox, maximumConnections: min(maximumConnections, descriptors - 128),
      clock: monotonicNanoseconds)
    do {
      for socket in bound.sockets { try loop.listen(socket.descriptor, service(socket.users, bodies)) }
    } catch {
      loop.forgetListeners()
      throw error
    }
    return loop
  }

  var current: LoopStatistics { statistics.value.withLock { $0 } }

  func post(_ command: LoopCommand) { mailbox.post(command) }

  func corked(_ body: () -> Void) { mailbox.corked(body) }

  func stop(grace: Duration) {
    let deadline = monotonicNanoseconds().clampedSum(max(0, grace.nanoseconds))
    mailbox.post(.stop(deadlineNanoseconds: deadline))
  }
}

/// Raises the process's soft limit of open files towards `wanted`, at most to its hard limit, and
/// returns the limit in effect. Servers derive their connection limit from it, so call this before
/// creating one.
@discardableResult
public func raiseFileLimit(to wanted: Int) -> Int { Int(csystem_raise_file_limit(wanted)) }
