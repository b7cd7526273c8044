// SSHForward.swift: the way to a node's HTTP door on a machine that only ssh reaches: `ssh -N -L`, with
// the user's own ssh configuration, for as long as a visit lasts. Not here: the control socket over ssh
// (SSHHost.swift). Start at SSHForward.open.

import CSystem
import Foundation
import Node

/// A port of this machine that ssh carries to an address as another machine sees it.
struct SSHForward {
  static let option = Option(
    "ssh", value: "[USER@]HOST",
    "go through ssh to this machine, and to the address from there; without an address to 127.0.0.1:8114")

  /// `http://127.0.0.1:PORT`.
  let url: String
  private let process: pid_t

  /// A place to visit: its address, what it is remembered by, and the way there.
  struct Place {
    let url: String
    let name: String
    let way: SSHForward?
  }

  /// Where a visit goes, from the command's only operand and `--ssh`.
  static func place(_ arguments: Arguments) throws -> Place {
    guard let host = arguments.string("ssh") else {
      let url = Command.address(try arguments.operands(1...1, "a node's address")[0])
      return Place(url: url, name: url, way: nil)
    }
    let named = try arguments.operands(0...1, "a node's address").first ?? "127.0.0.1"
    let url = Command.address(named)
    guard url.hasPrefix("http://"), let target = target(url) else {
      throw Failure(
        .usage,
        "'\(Console.oneLine(String(named.prefix(80))))' is not where '--ssh' can go, wanted HOST[:PORT]")
    }
    let way = try open(host, to: target)
    return Place(url: way.url, name: "ssh://\(host)/\(target)", way: way)
  }

  /// HOST:PORT of an address with nothing behind it.
  private static func target(_ url: String) -> String? {
    let authority = url.dropFirst("http://".count)
    guard !authority.isEmpty, !authority.contains("/"),
      authority.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F })
    else { return nil }
    let hasPort = authority.lastIndex(of: ":").map { !authority[$0...].contains("]") } ?? false
    return hasPort ? String(authority) : "\(authority):80"
  }

  /// Waits until ssh listens, for as long as it runs: it may be asking for a password.
  private static func open(_ host: String, to target: String) throws -> SSHForward {
    let tunnel: SSHTunnel
    let child: pid_t
    do throws(SSHTunnel.Failure) {
      tunnel = try SSHTunnel(host: host, targets: [target])
      // What ssh says is for the user.
      child = try tunnel.start(errors: STDERR_FILENO, asks: true)
    } catch {
      throw Failure(SharedQueue.isMachine(host) ? .unavailable : .usage, Console.oneLine(error.description))
    }
    let port = tunnel.ports[0]
    let way = SSHForward(url: "http://127.0.0.1:\(port)", process: child)
    while true {
      let descriptor = csystem_connect_tcp("127.0.0.1", port)
      if descriptor >= 0 {
        close(descriptor)
        return way
      }
      var status: Int32 = 0
      if waitpid(child, &status, WNOHANG) == child {
        throw Failure(
          .unavailable, "there is no way to \(target) through '\(host)'", hint: "what ssh said stands above")
      }
      usleep(50_000)
    }
  }

  func end() {
    kill(process, SIGTERM)
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
  }
}
