// QueueConnection.swift: how this node, or a command, reaches the servers of the shared queue and says
// who it is: directly or through ssh, by password, token or a key of ssh. Start at connection.
import NATS
import Receipts

extension SharedQueue {
  /// The way to the servers, and this queue as it is at its end; nil where they are reached from here.
  package func tunnelled() throws(SSHTunnel.Failure) -> (tunnel: SSHTunnel, queue: SharedQueue)? {
    guard let ssh else { return nil }
    let tunnel = try SSHTunnel(host: ssh, targets: servers.map(\.description))
    var queue = self
    queue.carried = tunnel.ports.compactMap { NATSServer("127.0.0.1:\($0)") }
    return (tunnel, queue)
  }

  /// How a client of this name connects.
  package func connection(as name: String, version: String) -> NATSClient.Settings {
    var inbox = name
    if case .password(let user, _) = login { inbox = user }
    var settings = NATSClient.Settings(servers: carried ?? servers, name: "hotpot/\(name)", inbox: inbox)
    settings.trust = trust
    settings.version = version
    switch login {
    case .none: break
    case .token(let token): settings.login = .token(token)
    case .password(let user, let password): settings.login = .password(user: user, password: password)
    case .nkey(let path):
      settings.login = .keyFile(path)
    }
    return settings
  }
}

extension NATSLogin {
  /// Signs with a key that ssh-agent holds, or with the key's file through an agent of its own.
  static func keyFile(_ path: String) -> NATSLogin {
    let keygen = SSHKeygen()
    let key = try? keygen.publicKey(at: path + ".pub")
    return .nkey(key: key.flatMap { userKey(of: $0) } ?? "") { nonce in
      let key = try keygen.publicKey(at: path + ".pub")
      return try keygen.signRaw(nonce, key: key, keyPath: path)
    }
  }

  /// The nkey of a public key of ssh; nil for one that is not Ed25519.
  static func userKey(of key: SSHPublicKey) -> String? {
    // The last 32 bytes of such a key's blob are the key (RFC 8709, 4).
    guard key.blob.count == 51, key.blob.starts(with: [0, 0, 0, 11] + Array("ssh-ed25519".utf8)) else {
      return nil
    }
    return userKey(Array(key.blob.suffix(32)))
  }
}
