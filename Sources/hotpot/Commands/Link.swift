// Link.swift: `hotpot link`: what `attach` and `fleet` run on the other side of ssh. It joins
// standard input and output to a node's control socket. As a forced command it acts for another
// person, with no more rights than theirs.

import CSystem
import Control
import Foundation
import Node

extension Command {
  static let link = Command(
    name: "link", summary: "join standard input and output to a node's control socket (used by attach)",
    details: """
      As a forced command it lets others in under this account, who then get no shell, no file and no forwarding. A line of
      authorized_keys for each key:

        restrict,command="hotpot link --role viewer --as tom" ssh-ed25519 AAAA... tom

      or, for all keys at once, in sshd's configuration, where the node's own says who is an operator and who a viewer:

        Match User hotpot
          ExposeAuthInfo yes
          ForceCommand hotpot link --state /var/lib/hotpot --key auto
          DisableForwarding yes
          PermitTTY no
      """,
    options: NodeSetup.commonOptions + [
      Option("role", value: "ROLE", "viewer, operator or owner: no more than that from now on"),
      Option("as", value: "NAME", "who it is, for the log"),
      SSHPeer.keyOption,
    ]
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    let state = try NodeSetup.controlDirectory(arguments)
    let peer = try SSHPeer(link: arguments)
    let descriptor = csystem_connect_unix(state + "/control.sock")
    guard descriptor >= 0 else {
      if descriptor == -ENAMETOOLONG {
        throw NodeSetup.tooLong(state + "/control.sock", NodeConfiguration.longestSocketPath)
      }
      throw descriptor == -EACCES
        ? Failure(.noPermission, "the node on '\(state)' is another user's")
        : Failure(
          .unavailable, "no node runs on '\(state)' on this machine", hint: "'hotpot serve' starts one there")
    }
    if let peer {
      let line = ControlProtocol.line(peer.request) + [0x0A]
      let sent = line.withUnsafeBytes { csystem_send_blocking(descriptor, $0.baseAddress, $0.count) }
      guard sent == line.count else { throw Failure(.unavailable, "the node closed the connection") }
    }
    return try await OwnThread.run {
      join(descriptor)
      return .ok
    }
  }

  /// Copies both ways until either side ends. The pieces are small: on a slow connection, data
  /// buffered in between would be old by the time it arrives.
  private static func join(_ socket: Int32) {
    _ = csystem_set_send_buffer(socket, 16 << 10)
    _ = csystem_set_receive_buffer(socket, 16 << 10)
    var waits = [
      pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
      pollfd(fd: socket, events: Int16(POLLIN), revents: 0),
    ]
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      if poll(&waits, 2, -1) < 0 {
        if errno == EINTR { continue }
        return
      }
      for (index, target) in [(0, socket), (1, STDOUT_FILENO)] where waits[index].revents != 0 {
        let count = read(waits[index].fd, &buffer, buffer.count)
        guard count > 0 else { return }
        var sent = 0
        while sent < count {
          let written = buffer.withUnsafeBytes {
            write(target, $0.baseAddress.map { $0 + sent }, count - sent)
          }
          if written < 0 && errno == EINTR { continue }
          guard written > 0 else { return }
          sent += written
        }
      }
    }
  }
}
