// SSHPeer.swift: for whom sshd runs this program: `hotpot link` for operators and viewers, `hotpot submit` for clients.
// What it says comes from the forced command or from sshd's own word on the key, never from the other side; and the node
// only ever takes rights away for it. Start at init(link:) and init(client:).

import Foundation
import Node
import Receipts

struct SSHPeer: Sendable {
  var role: Role?
  var name: String?
  var key: String?

  var request: ControlRequest { .restrict(role: role, name: name, key: key) }

  static let keyOption = Option(
    "key", value: "SHA256:...|auto",
    "whose SSH key it is, by fingerprint; 'auto' asks sshd, which wants 'ExposeAuthInfo yes'")

  /// `hotpot link`: nil for the owner himself.
  init?(link arguments: Arguments) throws {
    name = arguments.string("as")
    key = try Self.key(arguments)
    if let text = arguments.string("role") {
      guard let found = Role(rawValue: text), found != .client else {
        throw Failure(.usage, "option '--role' wants owner, operator or viewer, found '\(text)'")
      }
      role = found
    }
    if role == nil, name == nil, key == nil { return nil }
    if role == nil, key == nil {
      throw Failure(.usage, "'--as' wants '--role' or '--key' beside it", hint: "'--role viewer' only looks")
    }
  }

  /// `hotpot submit`: nil for a job of the operator's own.
  init?(client arguments: Arguments) throws {
    role = .client
    name = arguments.string("client")
    key = try Self.key(arguments)
    if name == nil, key == nil {
      // A forced command without a name would let whoever has the key act as the owner.
      guard ProcessInfo.processInfo.environment["SSH_ORIGINAL_COMMAND"] == nil else {
        throw Failure(
          .usage, "this forced command names no client", hint: "'hotpot submit --client NAME' or '--key auto'"
        )
      }
      return nil
    }
  }

  private static func key(_ arguments: Arguments) throws -> String? {
    guard let text = arguments.string("key") else { return nil }
    guard text == "auto" else { return text }
    guard let path = ProcessInfo.processInfo.environment["SSH_USER_AUTH"] else {
      throw Failure(
        .noPermission, "sshd does not say which key was used",
        hint: "'ExposeAuthInfo yes' in sshd's configuration lets it, or name the key with '--key SHA256:...'")
    }
    // Lines such as `publickey ssh-ed25519 AAAA...`; of several methods the last key counts.
    let lines = String(decoding: try Command.readFile(path), as: UTF8.self).split(separator: "\n")
    let keys = lines.filter { $0.hasPrefix("publickey ") }
      .compactMap { SSHPublicKey(parsing: String($0.dropFirst("publickey ".count))) }
    guard let found = keys.last else {
      throw Failure(
        .noPermission, "no SSH key was used to log in", hint: "wanted authentication by a public key")
    }
    return found.fingerprint
  }

  /// What the other side asked for, which a forced command ignores but for `--json`; anything else is refused, so that
  /// nobody takes an answer for the result of his command.
  static func wantsJSON() throws -> Bool {
    guard let text = ProcessInfo.processInfo.environment["SSH_ORIGINAL_COMMAND"] else { return false }
    var words = text.split(separator: " ").map(String.init)
    if words.first == "hotpot" { words.removeFirst() }
    if words.first == "submit" { words.removeFirst() }
    if words.isEmpty || words == ["-"] { return false }
    guard words == ["--json"] else {
      throw Failure(
        .noPermission,
        "this key may send jobs and do nothing else, found '\(Console.oneLine(String(text.prefix(80))))'",
        hint: "send a request as JSON on standard input")
    }
    return true
  }
}
