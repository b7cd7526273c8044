// LineClient.swift: a small blocking client of a LineServer, for commands that send, read and exit.

import CSystem
import Glibc

/// One connection to a line server. Blocking, for one thread at a time.
public final class LineClient {
  private let descriptor: Int32
  private let lineBytes: Int
  private var held: [UInt8] = []
  private var searched = 0

  /// Connects to the socket at `path`. Each send and receive waits at most `timeout`; nil waits
  /// forever.
  public init(path: String, timeout: Duration? = .seconds(10), lineBytes: Int = 64 << 20) throws(ServerError)
  {
    let descriptor = csystem_connect_unix(path)
    if descriptor < 0 {
      switch -descriptor {
      case ENOENT, ECONNREFUSED: throw .noServer(path)
      case ENAMETOOLONG: throw .pathTooLong(path, limit: Int(csystem_unix_path_limit()))
      default: throw .system("connect to '\(path)'", errno: -descriptor)
      }
    }
    self.descriptor = descriptor
    self.lineBytes = lineBytes
    if let timeout {
      let milliseconds = Int32(clamping: max(1, timeout.nanoseconds / 1_000_000))
      let result = csystem_set_timeouts(descriptor, milliseconds)
      if result < 0 {
        _ = csystem_close(descriptor)
        throw .system("setsockopt", errno: -result)
      }
    }
  }

  deinit { _ = csystem_close(descriptor) }

  /// The user that the server runs as, as the kernel recorded it when the server began to listen.
  public func serverUser() throws(ServerError) -> UInt32 {
    var found = csystem_credentials()
    let result = csystem_credentials_of(descriptor, &found)
    if result < 0 { throw .system("getsockopt", errno: -result) }
    return found.uid
  }

  /// Sends a line, which must hold no LF; the LF is added.
  public func send(_ line: [UInt8]) throws(ServerError) {
    let bytes = line + [0x0A]
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes { all in
        let rest = UnsafeRawBufferPointer(rebasing: all[sent...])
        return csystem_send_blocking(descriptor, rest.baseAddress, rest.count)
      }
      if count < 0 { throw Self.failure("send", Int32(clamping: -count)) }
      sent += count
    }
  }

  /// The next line without its LF; nil if the server closed the connection after its last line.
  public func receive() throws(ServerError) -> [UInt8]? {
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      if let end = held[searched...].firstIndex(of: 0x0A) {
        let line = Array(held[..<end])
        held.removeSubrange(...end)
        searched = 0
        return line
      }
      searched = held.count
      guard held.count <= lineBytes else { throw .lineTooLong(limit: lineBytes) }
      let count = buffer.withUnsafeMutableBytes {
        csystem_receive_blocking(descriptor, $0.baseAddress, $0.count)
      }
      // If a server closes before it has read everything sent to it, the connection ends with a
      // reset, after the server's lines.
      if count == 0 || count == -Int(ECONNRESET) {
        guard held.isEmpty else { throw .connectionClosed }
        return nil
      }
      if count < 0 { throw Self.failure("recv", Int32(clamping: -count)) }
      held.append(contentsOf: buffer[..<count])
    }
  }

  private static func failure(_ call: String, _ code: Int32) -> ServerError {
    switch code {
    case EAGAIN: .timedOut
    case EPIPE, ECONNRESET: .connectionClosed
    default: .system(call, errno: code)
    }
  }
}
