// TLSContext.swift: what many TLS connections share: certificates, keys, whom to trust. A server's
// identity can be read again while it serves. Not here: one connection (TLSSession). Start at
// TLSContext.server and TLSContext.client.

import CTLS
import Synchronization

/// Why TLS cannot be used, or was refused, in words.
public struct TLSError: Error, Hashable, Sendable, CustomStringConvertible {
  public let description: String
  public let hint: String?

  package init(_ description: String, hint: String? = nil) {
    self.description = description
    self.hint = hint
  }
}

/// Whom a client believes, and who it says it is.
public struct TLSTrust: Hashable, Sendable {
  /// A PEM file of authorities; nil means the system's. Revocation lists in it are asked too.
  public var authorities: String?
  /// PEM files of the client's own certificate and key.
  public var certificate: String?
  public var key: String?

  public init(authorities: String? = nil, certificate: String? = nil, key: String? = nil) {
    self.authorities = authorities
    self.certificate = certificate
    self.key = key
  }
}

/// Settings of TLS connections, read from files once. OpenSSL counts its users and guards it with
/// locks of its own, so it may be used by several threads.
public final class TLSContext: @unchecked Sendable {
  let pointer: OpaquePointer

  private init(_ pointer: OpaquePointer) { self.pointer = pointer }

  deinit { ctls_context_free(pointer) }

  /// A server: TLS 1.2 and 1.3, ALPN `http/1.1`.
  /// - certificate: a PEM file, the server's certificate first and then its chain
  /// - key: a PEM file without a passphrase
  public static func server(certificate: String, key: String) throws(TLSError) -> TLSContext {
    try make { ctls_server(certificate, key, $0, $1) }
  }

  /// A client that verifies its server.
  public static func client(_ trust: TLSTrust = TLSTrust()) throws(TLSError) -> TLSContext {
    try make { ctls_client(trust.authorities, trust.certificate, trust.key ?? trust.certificate, $0, $1) }
  }

  private static func make(
    _ body: (UnsafeMutablePointer<CChar>?, Int) -> OpaquePointer?
  ) throws(TLSError) -> TLSContext {
    _ = try library()
    var words = [CChar](repeating: 0, count: 512)
    let made = words.withUnsafeMutableBufferPointer { body($0.baseAddress, $0.count) }
    guard let made else { throw TLSError(text(words)) }
    return TLSContext(made)
  }

  /// The name and version of the library that is used.
  public static func library() throws(TLSError) -> String {
    var words = [CChar](repeating: 0, count: 512)
    let isThere = words.withUnsafeMutableBufferPointer { ctls_open($0.baseAddress, $0.count) }
    guard isThere == 1 else {
      throw TLSError(
        "there is no TLS here: \(text(words))", hint: "as root 'apt install libssl3' brings libssl.so.3")
    }
    return String(cString: ctls_version())
  }

  /// Whole days until its own certificate ends, negative once it has; nil without one.
  public var daysLeft: Int? {
    var isKnown: Int32 = 0
    let days = ctls_days_left(pointer, &isKnown)
    return isKnown == 1 ? days : nil
  }

  private static func text(_ words: [CChar]) -> String {
    String(decoding: words.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// A server's certificate and key, which can be read again from their files while it serves:
/// connections that are open keep the ones that they began with.
public final class TLSIdentity: Sendable {
  public let certificate: String
  public let key: String
  private let current: Mutex<TLSContext>

  public init(certificate: String, key: String) throws(TLSError) {
    self.certificate = certificate
    self.key = key
    current = Mutex(try TLSContext.server(certificate: certificate, key: key))
  }

  public var context: TLSContext { current.withLock { $0 } }

  /// Reads the files again. If one of them is refused, the identity stays as it was.
  public func reload() throws(TLSError) {
    let fresh = try TLSContext.server(certificate: certificate, key: key)
    current.withLock { $0 = fresh }
  }
}
