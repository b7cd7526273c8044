// SSHPeer.swift: the person that sshd runs this program for: `hotpot link` for operators and
// viewers, `hotpot submit` for clients. The identity comes from the forced command or from sshd's
// own record of the key, never from the other side, and the node only ever uses it to take rights
// away. Start at init(link:) and init(client:).

import Control
import Foundation
import Receipts

struct SSHPeer: Sendable {
  var role: Role?
  var name: String?
  var key: String?

  var request: ControlRequest { .restrict(role: role, name: name, key: key) }

  static let keyOption = Option(
    "key", value: "SHA256:...|auto",
    "whose SSH key it is, by fingerprint; 'auto' asks sshd, which wants 'ExposeAuthInfo yes'")

  /// For `hotpot link`: nil for the owner.
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

  static let ownerOption = Option("as-operator", "the job is the operator's own, also where ssh led here")

  /// For `hotpot submit`: nil for a job of the operator's own.
  init?(client arguments: Arguments) throws {
    role = .client
    name = arguments.string("client")
    key = try Self.key(arguments)
    guard name == nil, key == nil else {
      if arguments.has("as-operator") {
        throw Failure(
          .usage, "'--as-operator' and '--client' or '--key' say of whom the job is, wanted one of them")
      }
      return
    }
    // A forced command without a name would let anyone who has the key send jobs without paying.
    // sshd does not distinguish that case from a command that owners type in their own session, so
    // behind ssh they must say that they are the operator.
    guard arguments.has("as-operator") || !Self.isBehindSSH else {
      throw Failure(
        .usage, "this came over ssh and names no client",
        hint: "a forced command says 'hotpot submit --client NAME' or '--key auto', and you '--as-operator'")
    }
    return nil
  }

  /// Whether sshd is among this process's ancestors. It marks a session in the environment, with or
  /// without a command. sudo removes those variables, and then the ancestors are searched.
  private static var isBehindSSH: Bool {
    let environment = ProcessInfo.processInfo.environment
    if ["SSH_CONNECTION", "SSH_CLIENT", "SSH_ORIGINAL_COMMAND", "SSH_USER_AUTH"].contains(where: {
      environment[$0] != nil
    }) {
      return true
    }
    guard environment["SUDO_UID"] != nil || environment["DOAS_USER"] != nil else { return false }
    var process = getppid()
    for _ in 0..<64 where process > 1 {
      // The name is in brackets and may contain anything; the fields after the last bracket cannot.
      guard let stat = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8),
        let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")"), open < close
      else { return false }
      let name = stat[stat.index(after: open)..<close]
      if name.hasPrefix("sshd") || name.hasPrefix("dropbear") { return true }
      guard
        let parent = stat[stat.index(after: close)...].split(separator: " ").dropFirst().first.flatMap({
          pid_t($0)
        })
      else { return false }
      process = parent
    }
    return false
  }

  private static func key(_ arguments: Arguments) throws -> String? {
    guard let text = arguments.string("key") else { return nil }
    guard text == "auto" else { return text }
    guard let path = ProcessInfo.processInfo.environment["SSH_USER_AUTH"] else {
      throw Failure(
        .noPermission, "sshd does not say which key was used",
        hint: "'ExposeAuthInfo yes' in sshd's configuration lets it, or name the key with '--key SHA256:...'")
    }
    // Lines such as `publickey ssh-ed25519 AAAA...`; if there are several methods, the last key
    // counts.
    let lines = String(decoding: try Command.readFile(path), as: UTF8.self).split(separator: "\n")
    let keys = lines.filter { $0.hasPrefix("publickey ") }
      .compactMap { SSHPublicKey(parsing: String($0.dropFirst("publickey ".count))) }
    guard let found = keys.last else {
      throw Failure(
        .noPermission, "no SSH key was used to log in", hint: "wanted authentication by a public key")
    }
    return found.fingerprint
  }

  /// Whether the other side asked for `--json`. A forced command ignores the rest of the request,
  /// so anything else is refused: otherwise users could take an answer for the result of their own
  /// command.
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
