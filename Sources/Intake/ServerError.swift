// ServerError.swift: why a server, or a client of a line server, could not start or continue.

import Glibc
import TLS

public enum ServerError: Error, Sendable, Equatable {
  /// A system call failed, and we know no better reason.
  case system(String, errno: Int32)
  case addressInUse(String)
  case addressInvalid(String)
  case pathTooLong(String, limit: Int)
  /// The socket's path is taken by something that is not a socket.
  case notASocket(String)
  /// The certificate or the key that TLS needs is refused, or there is no TLS.
  case tls(TLSError)
  case noServer(String)
  case connectionClosed
  case timedOut
  case lineTooLong(limit: Int)
}

extension ServerError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .system(let call, let code): "\(call) failed: \(String(cString: strerror(code)))"
    case .addressInUse(let address): "'\(address)' is already in use"
    case .addressInvalid(let address):
      "'\(address)' is no address to listen on; wanted a numeric IPv4 or IPv6 address of this machine"
    case .pathTooLong(let path, let limit):
      "socket path '\(path)' has \(path.utf8.count) bytes, at most \(limit) fit"
    case .notASocket(let path): "'\(path)' exists and is no socket"
    case .tls(let error): "TLS: \(error)"
    case .noServer(let path): "nobody serves '\(path)'"
    case .connectionClosed: "the other side closed the connection"
    case .timedOut: "no answer in time"
    case .lineTooLong(let limit): "a line is longer than \(limit) bytes"
    }
  }
}
