// SSHAgent.swift: raw Ed25519 signatures by the stock ssh-agent: the one of the environment if it
// holds the key, which may be in hardware, else one that lives for this signature. ssh-keygen only
// makes signatures that are wrapped in its own form, and notes want raw ones.
// Source: draft-ietf-sshm-ssh-agent, 3.6. Start at SSHKeygen.signRaw.
import CSystem
import Foundation
import Glibc

extension SSHKeygen {
  /// The 64 bytes of an Ed25519 signature over a message.
  /// - keyPath: the private key's file, for an agent that is started for it
  package func signRaw(
    _ message: [UInt8], key: SSHPublicKey, keyPath: String
  ) throws(SignatureError) -> [UInt8] {
    if let socket = agent ?? ProcessInfo.processInfo.environment["SSH_AUTH_SOCK"],
      let signature = ask(socket, message, key)
    {
      return signature
    }
    // A public file stands for a key that only an agent holds.
    guard !keyPath.hasSuffix(".pub") else {
      throw .failed(program: "ssh-agent", status: 1, message: "it does not hold the key \(key.fingerprint)")
    }
    return try signWithOwnAgent(message, key, keyPath)
  }

  /// Starts an agent that ends with this function, or with this process: its child ends when its
  /// input does.
  private func signWithOwnAgent(
    _ message: [UInt8], _ key: SSHPublicKey, _ keyPath: String
  ) throws(SignatureError) -> [UInt8] {
    let end = ContinuousClock.now + .milliseconds(Int64(deadline * 1000))
    let directory = try temporaryDirectory()
    defer { directory.remove() }
    let socket = directory.path + "/agent"
    let child: Child
    do throws(FileError) {
      child = try Child(
        program: "ssh-agent",
        arguments: [
          "-a", socket, "sh", "-c", #"ssh-add -q -- "$1" </dev/null && echo ready && cat >/dev/null"#, "sh",
          keyPath,
        ], input: .bytes([]), agent: nil)
    } catch {
      throw error.isMissing || error.code == EACCES ? .missing(program: "ssh-agent") : .file(error)
    }
    let isReady = child.line(until: end, cancellation) == "ready"
    let signature = isReady ? ask(socket, message, key) : nil
    child.endInput()
    let words = child.exchange([], until: end, cancellation).error
    guard let status = child.wait(until: end, cancellation) else {
      throw cancellation?.isCancelled ?? false
        ? .cancelled(program: "ssh-agent") : .hung(program: "ssh-agent", seconds: deadline)
    }
    guard let signature else {
      let said =
        String(decoding: words, as: UTF8.self).split(whereSeparator: \.isNewline).last ?? "no message"
      throw .failed(program: "ssh-agent", status: status, message: String(said.prefix(300)))
    }
    return signature
  }

  /// - Returns: nil if the agent does not answer or does not hold the key.
  private func ask(_ socket: String, _ message: [UInt8], _ key: SSHPublicKey) -> [UInt8]? {
    let descriptor = csystem_connect_unix(socket)
    guard descriptor >= 0 else { return nil }
    defer { _ = csystem_close(descriptor) }
    _ = csystem_set_timeouts(descriptor, Int32(deadline * 1000))
    func string(_ bytes: [UInt8]) -> [UInt8] { Self.number(bytes.count) + bytes }
    // SSH_AGENTC_SIGN_REQUEST, without flags.
    let request = [13] + string(key.blob) + string(message) + Self.number(0)
    var out = (Self.number(request.count) + request)[...]
    while !out.isEmpty {
      let sent = out.withUnsafeBytes { csystem_send_blocking(descriptor, $0.baseAddress, $0.count) }
      guard sent > 0 else { return nil }
      out = out.dropFirst(sent)
    }
    guard let head = receive(4, descriptor) else { return nil }
    let count = head.reduce(0) { $0 << 8 | Int($1) }
    // SSH_AGENT_SIGN_RESPONSE.
    guard (1...65_536).contains(count), let answer = receive(count, descriptor), answer[0] == 14 else {
      return nil
    }
    var reader = WireReader(Array(answer.dropFirst()))
    guard let wrapped = reader.string(), reader.isAtEnd else { return nil }
    var inner = WireReader(wrapped)
    guard inner.string() == Array("ssh-ed25519".utf8), let signature = inner.string(), signature.count == 64,
      inner.isAtEnd
    else { return nil }
    return signature
  }

  private func receive(_ count: Int, _ descriptor: Int32) -> [UInt8]? {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: count)
    while bytes.count < count {
      let n = recv(descriptor, &buffer, count - bytes.count, 0)
      if n < 0, errno == EINTR { continue }
      guard n > 0 else { return nil }
      bytes += buffer[..<n]
    }
    return bytes
  }

  private static func number(_ value: Int) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
  }
}
