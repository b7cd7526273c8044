// SSHKeygen.swift: signing and verifying with the stock ssh-keygen, as a process with a deadline.
// We write no cryptography. Not here: what is signed (Checkpoint.swift), and when (Notary.swift).
// Start at SSHKeygen.
import CSystem
import Foundation
import Glibc
import Synchronization

/// Why a signature was not made or not accepted.
package enum SignatureError: Error, Hashable, Sendable, CustomStringConvertible {
  case missing(program: String)
  case hung(program: String, seconds: Double)
  /// It was killed because its result is no longer needed.
  case cancelled(program: String)
  /// It exited with another status; its last line says why.
  case failed(program: String, status: Int32, message: String)
  case file(FileError)
  case badKey(path: String)
  /// The public key beside a private one belongs to a different pair: records that name it would
  /// name a node that does not exist.
  case foreignKey(path: String, found: String, wanted: String)
  case format(FormatError)
  case wrongNamespace(found: String, wanted: String)
  /// No line of the allowed signers has the key.
  case unknownSigner(fingerprint: String)
  /// A line has the key, but not for this time or namespace, or the key is revoked.
  case notAllowed(fingerprint: String, message: String)
  case doesNotHold(message: String)

  package var description: String {
    switch self {
    case .missing(let program): "'\(program)' is not installed"
    case .hung(let program, let seconds): "'\(program)' did not answer within \(seconds) s and was killed"
    case .failed(let program, let status, let message): "'\(program)' failed (\(status)): \(message)"
    case .file(let error): error.description
    case .cancelled(let program): "'\(program)' was killed: the node stops"
    case .badKey(let path): "'\(path)' is no SSH public key"
    case .foreignKey(let path, let found, let wanted):
      "'\(path).pub' is not the public half of '\(path)': found \(found), wanted \(wanted)"
    case .format(let error): error.description
    case .wrongNamespace(let found, let wanted):
      "the signature was made for the namespace '\(found)', wanted '\(wanted)'"
    case .unknownSigner(let fingerprint): "the key \(fingerprint) is not among the allowed signers"
    case .notAllowed(let fingerprint, let message):
      "the key \(fingerprint) is revoked, expired or not allowed for this: \(message)"
    case .doesNotHold(let message): "the signature does not hold: \(message)"
    }
  }

  package var hint: String? {
    switch self {
    case .missing: "install the OpenSSH client: receipts stay logged and unsigned until then"
    case .hung: "a key with a passphrase needs ssh-agent; give the node its .pub file as the key"
    case .badKey(let path) where path.hasSuffix(".pub"):
      "'ssh-keygen -y -f \(path.dropLast(4)) > \(path)' writes it again from the private key"
    case .foreignKey(let path, _, _):
      "'ssh-keygen -y -f \(path) > \(path).pub' writes it again from the private key; if that is the one that changed, bring it back from a backup"
    case .notAllowed(_, let message) where message.lowercased().contains("no principal"):
      "a line of allowed signers is a name, then the key: 'node ssh-ed25519 AAAA...'"
    case .cancelled, .failed, .file, .badKey, .format, .wrongNamespace, .unknownSigner, .notAllowed,
      .doesNotHold:
      nil
    }
  }
}

extension SignatureError {
  /// It was killed at its deadline.
  var isHang: Bool {
    if case .hung = self { true } else { false }
  }
}

/// Ends calls of ssh-keygen that are in progress.
package final class Cancellation: Sendable {
  private let flag = Atomic<Bool>(false)

  package init() {}

  package func cancel() { flag.store(true, ordering: .releasing) }
  package var isCancelled: Bool { flag.load(ordering: .acquiring) }
}

/// The stock `ssh-keygen`. Each call is a separate process: no terminal, no prompt, killed at the
/// deadline.
public struct SSHKeygen: Sendable {
  /// Searched for in `PATH` unless it has a slash.
  package let program: String
  /// Seconds.
  package let deadline: Double
  /// The socket of an ssh-agent; nil uses the one in the environment, if any.
  package let agent: String?
  private(set) var cancellation: Cancellation?
  private var memory: Memory?

  /// Signatures that were checked and hold, by everything that this depends on.
  private final class Memory: Sendable {
    let holding = Mutex<[SHA256Digest: SSHPublicKey]>([:])
  }

  /// A copy that checks a signature once: many receipts lie under one checkpoint.
  package func remembering() -> SSHKeygen {
    var copy = self
    copy.memory = Memory()
    return copy
  }

  public init(program: String = "ssh-keygen", deadline: Double = 2, agent: String? = nil) {
    self.program = program
    self.deadline = deadline
    self.agent = agent
  }

  /// A copy whose calls `cancellation` can end at any moment.
  func cancelled(by cancellation: Cancellation) -> SSHKeygen {
    var copy = self
    copy.cancellation = cancellation
    return copy
  }

  enum Input {
    case none
    case bytes([UInt8])
    case file(String)
  }

  struct Output {
    let status: Int32
    let output: [UInt8]
    let message: String
  }

  /// Makes an ed25519 key pair without passphrase at `path` and `path.pub` (0600); an existing one
  /// is kept.
  /// - Returns: the public key.
  package func makeKey(at path: String) throws(SignatureError) -> SSHPublicKey {
    if access(path, F_OK) != 0 {
      let made = try run(["-q", "-t", "ed25519", "-N", "", "-C", "hotpot", "-f", path], .none)
      guard made.status == 0 else { throw failed(made) }
    } else if access(path + ".pub", F_OK) != 0 {
      let made = try run(["-y", "-f", path], .none)
      guard made.status == 0 else { throw failed(made) }
      try write(made.output, to: path + ".pub")
    }
    return try publicKey(at: path + ".pub")
  }

  /// Checks that `path.pub` is the public half of `path`. This is impossible for a private key that
  /// has a passphrase or is held by an agent; for those a signature tells, because it names the key
  /// that made it.
  /// - Throws: `.foreignKey` if they do not belong together; any other error if that could not be
  ///   determined.
  package func checkKey(at path: String) throws(SignatureError) {
    let listed = try publicKey(at: path + ".pub")
    let derived = try run(["-y", "-P", "", "-f", path], .none)
    let found: SSHPublicKey
    if derived.status == 0, let key = SSHPublicKey(parsing: String(decoding: derived.output, as: UTF8.self)) {
      found = key
    } else {
      let signature = try sign(Array("hotpot".utf8), key: path, namespace: "check@hotpot")
      do throws(FormatError) { found = try SSHSignature(parsing: signature).key } catch {
        throw .format(error)
      }
    }
    guard found == listed else {
      throw .foreignKey(path: path, found: listed.fingerprint, wanted: found.fingerprint)
    }
  }

  /// The public key in a `.pub` file.
  package func publicKey(at path: String) throws(SignatureError) -> SSHPublicKey {
    let text: [UInt8]
    do throws(FileError) { text = try POSIXFileSystem().readAll(path, limit: 16_384) } catch {
      throw .file(error)
    }
    guard let key = SSHPublicKey(parsing: String(decoding: text, as: UTF8.self)) else {
      throw .badKey(path: path)
    }
    return key
  }

  /// A detached signature, armored.
  /// - key: a private key, or a public one whose private half ssh-agent holds.
  package func sign(_ bytes: [UInt8], key: String, namespace: String) throws(SignatureError) -> String {
    try sign(.bytes(bytes), key, namespace)
  }

  /// The same over a file's bytes.
  package func sign(file: String, key: String, namespace: String) throws(SignatureError) -> String {
    try sign(.file(file), key, namespace)
  }

  private func sign(_ input: Input, _ key: String, _ namespace: String) throws(SignatureError) -> String {
    let made = try run(["-q", "-Y", "sign", "-f", key, "-n", namespace], input)
    let text = String(decoding: made.output, as: UTF8.self)
    guard made.status == 0, text.hasPrefix("-----BEGIN SSH SIGNATURE-----") else { throw failed(made) }
    return text
  }

  /// Checks a detached signature against a list of allowed signers.
  /// - allowedSigners: the text of such a file (`ssh-keygen(1)`, ALLOWED SIGNERS).
  /// - revoked: a file of revoked keys, or nil.
  /// - time: when it was signed, microseconds; keys with a validity period are judged at this time.
  /// - Returns: the signer's key.
  @discardableResult
  package func verify(
    _ bytes: [UInt8], signature: String, namespace: String, allowedSigners: String, revoked: String? = nil,
    time: Int64
  ) throws(SignatureError) -> SSHPublicKey {
    var hash = SHA256()
    for part in [bytes, Array("\(namespace)\n\(time)\n\(revoked ?? "")\n".utf8), Array(signature.utf8)] {
      hash.update(SHA256.hash(part))
    }
    hash.update(allowedSigners.utf8)
    let name = hash.finish()
    if let key = memory?.holding.withLock({ $0[name] }) { return key }
    let key = try verify(
      .bytes(bytes), signature, namespace, allowedSigners: allowedSigners, revoked: revoked, time: time)
    memory?.holding.withLock { $0[name] = key }
    return key
  }

  /// The same over a file's bytes.
  @discardableResult
  package func verify(
    file: String, signature: String, namespace: String, allowedSigners: String, revoked: String? = nil,
    time: Int64
  ) throws(SignatureError) -> SSHPublicKey {
    try verify(
      .file(file), signature, namespace, allowedSigners: allowedSigners, revoked: revoked, time: time)
  }

  private func verify(
    _ input: Input, _ signature: String, _ namespace: String, allowedSigners: String, revoked: String?,
    time: Int64
  ) throws(SignatureError) -> SSHPublicKey {
    let parsed: SSHSignature
    do throws(FormatError) { parsed = try SSHSignature(parsing: signature) } catch { throw .format(error) }
    guard parsed.namespace == namespace else {
      throw .wrongNamespace(found: String(parsed.namespace.prefix(64)), wanted: namespace)
    }
    let fingerprint = parsed.key.fingerprint
    guard allowedSigners.contains(Base64.format(parsed.key.blob)) else {
      throw .unknownSigner(fingerprint: fingerprint)
    }

    let directory = try temporaryDirectory()
    defer { directory.remove() }
    let signers = directory.path + "/allowed_signers"
    let detached = directory.path + "/signature"
    try write(Array(allowedSigners.utf8), to: signers)
    try write(Array(signature.utf8), to: detached)
    let moment = "-Overify-time=" + Self.moment(time)
    let found = try run(["-Y", "find-principals", "-s", detached, "-f", signers, moment], input)
    guard found.status == 0,
      let principal = String(decoding: found.output, as: UTF8.self).split(whereSeparator: \.isWhitespace)
        .first
    else { throw .notAllowed(fingerprint: fingerprint, message: found.message) }
    var arguments = [
      "-Y", "verify", "-f", signers, "-I", String(principal), "-n", namespace, "-s", detached, moment,
    ]
    let withoutRevocations = arguments
    if let revoked { arguments += ["-r", revoked] }
    let verified = try run(arguments, input)
    guard verified.status == 0 else {
      // ssh-keygen says the same for a revoked key and a wrong signature, but only a wrong
      // signature fails without the list too.
      if revoked != nil, try run(withoutRevocations, input).status == 0 {
        throw .notAllowed(fingerprint: fingerprint, message: "it is in the list of revoked keys")
      }
      let message = verified.message.lowercased()
      if message.contains("revoked") || message.contains("not permitted") || message.contains("expired")
        || message.contains("not yet valid") || message.contains("no principal")
      {
        throw .notAllowed(fingerprint: fingerprint, message: verified.message)
      }
      throw .doesNotHold(message: verified.message)
    }
    return parsed.key
  }

  /// `YYYYMMDDHHMMSS` in UTC, to which the process' time zone is set.
  static func moment(_ microseconds: Int64) -> String {
    var seconds = time_t(microseconds / 1_000_000)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    func pad(_ value: Int32, _ count: Int) -> String {
      let digits = String(value)
      return String(repeating: "0", count: max(0, count - digits.utf8.count)) + digits
    }
    return pad(parts.tm_year + 1900, 4) + pad(parts.tm_mon + 1, 2) + pad(parts.tm_mday, 2)
      + pad(parts.tm_hour, 2)
      + pad(parts.tm_min, 2) + pad(parts.tm_sec, 2)
  }

  private func failed(_ output: Output) -> SignatureError {
    .failed(program: program, status: output.status, message: output.message)
  }

  struct TemporaryDirectory {
    let path: String

    func remove() {
      for name in ["allowed_signers", "signature", "agent"] { _ = unlink("\(path)/\(name)") }
      _ = rmdir(path)
    }
  }

  func temporaryDirectory() throws(SignatureError) -> TemporaryDirectory {
    let base = ProcessInfo.processInfo.environment["TMPDIR"] ?? "/tmp"
    var template = Array("\(base)/hotpot-verify-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw .file(FileError(call: "mkdtemp", path: base, code: errno)) }
    return TemporaryDirectory(
      path: String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }

  private func write(_ bytes: [UInt8], to path: String) throws(SignatureError) {
    let files = POSIXFileSystem()
    do throws(FileError) {
      let file = try files.open(path, .replace)
      defer { files.closeQuietly(file) }
      try files.writeAll(file, bytes, path: path)
    } catch { throw .file(error) }
  }

  // MARK: The process

  func run(_ arguments: [String], _ input: Input) throws(SignatureError) -> Output {
    let end = ContinuousClock.now + .milliseconds(Int64(deadline * 1000))
    let child: Child
    do throws(FileError) {
      child = try Child(program: program, arguments: arguments, input: input, agent: agent)
    } catch {
      throw error.isMissing || error.code == EACCES ? .missing(program: program) : .file(error)
    }
    var bytes: [UInt8] = []
    if case .bytes(let given) = input { bytes = given }
    let streams = child.exchange(bytes, until: end, cancellation)
    guard let status = child.wait(until: end, cancellation) else {
      throw cancellation?.isCancelled ?? false
        ? .cancelled(program: program) : .hung(program: program, seconds: deadline)
    }
    let told = streams.error.isEmpty ? streams.output : streams.error
    let lines = String(decoding: told, as: UTF8.self).split(whereSeparator: \.isNewline)
    return Output(
      status: status, output: streams.output, message: String((lines.last ?? "no message").prefix(300)))
  }

  /// A child in a session of its own: it has no terminal to prompt on, and dies with all its
  /// children.
  final class Child {
    private let process: pid_t
    private let input: Int32
    private let output: Int32
    private let error: Int32
    private var isFed = false

    init(program: String, arguments: [String], input: Input, agent: String?) throws(FileError) {
      var ends: [Int32] = []
      func fail(_ call: String, _ code: Int32) -> FileError {
        for fd in ends { _ = Glibc.close(fd) }
        return FileError(call: call, path: program, code: code)
      }
      // Sockets instead of pipes: they can be made close-on-exec in one step, so no other child
      // inherits them.
      func pair() throws(FileError) -> (ours: Int32, theirs: Int32) {
        var two: [Int32] = [0, 0]
        let type = Int32(SOCK_STREAM.rawValue) | Int32(bitPattern: SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &two) == 0 else { throw fail("socketpair", errno) }
        ends += two
        return (two[0], two[1])
      }
      let i = try pair()
      let o = try pair()
      let e = try pair()
      var actions = posix_spawn_file_actions_t()
      posix_spawn_file_actions_init(&actions)
      defer { posix_spawn_file_actions_destroy(&actions) }
      if case .file(let path) = input {
        posix_spawn_file_actions_addopen(&actions, 0, path, O_RDONLY, 0)
      } else {
        posix_spawn_file_actions_adddup2(&actions, i.theirs, 0)
      }
      posix_spawn_file_actions_adddup2(&actions, o.theirs, 1)
      posix_spawn_file_actions_adddup2(&actions, e.theirs, 2)
      var attributes = posix_spawnattr_t()
      posix_spawnattr_init(&attributes)
      defer { posix_spawnattr_destroy(&attributes) }
      var none = sigset_t()
      sigemptyset(&none)
      posix_spawnattr_setsigmask(&attributes, &none)
      var all = sigset_t()
      sigfillset(&all)
      posix_spawnattr_setsigdefault(&attributes, &all)
      // POSIX_SPAWN_SETSID of glibc's <spawn.h>, which Swift's module leaves out.
      let ownSession: Int32 = 0x80
      posix_spawnattr_setflags(
        &attributes, Int16(Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF) | ownSession))
      let inherited = ProcessInfo.processInfo.environment
      var environment = ["LC_ALL=C", "TZ=UTC", "SSH_ASKPASS_REQUIRE=never"]
      for name in ["PATH", "HOME", "USER", "TMPDIR"] {
        if let value = inherited[name] { environment.append("\(name)=\(value)") }
      }
      if let socket = agent ?? inherited["SSH_AUTH_SOCK"] { environment.append("SSH_AUTH_SOCK=\(socket)") }
      var argv: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) } + [nil]
      var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
      defer { for p in argv + envp { free(p) } }
      var pid: pid_t = 0
      // Never a program in the working directory, whatever PATH says.
      var found = [CChar](repeating: 0, count: 4096)
      var code = csystem_find_program(program, &found, found.count)
      if code == 0 { code = posix_spawn(&pid, found, &actions, &attributes, &argv, &envp) }
      guard code == 0 else { throw fail("posix_spawn", code) }
      for fd in [i.theirs, o.theirs, e.theirs] { _ = Glibc.close(fd) }
      process = pid
      (self.input, output, error) = (i.ours, o.ours, e.ours)
      for fd in [self.input, output, error] { _ = fcntl(fd, F_SETFL, O_NONBLOCK) }
    }

    deinit {
      endInput()
      for fd in [output, error] { _ = Glibc.close(fd) }
    }

    private func milliseconds(until end: ContinuousClock.Instant) -> Int32 {
      let (seconds, attoseconds) = (end - ContinuousClock.now).components
      return Int32(clamping: seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
    }

    /// The first line of the output; nil if it ends or time is up before that.
    func line(until end: ContinuousClock.Instant, _ cancellation: Cancellation?) -> String? {
      var bytes: [UInt8] = []
      var byte: UInt8 = 0
      while bytes.count < 4_096 {
        let left = milliseconds(until: end)
        if left <= 0 || cancellation?.isCancelled ?? false { return nil }
        var polled = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
        // Waits in short intervals, so that a cancellation is noticed.
        guard poll(&polled, 1, min(left, 50)) > 0 else { continue }
        let count = recv(output, &byte, 1, 0)
        if count < 0, errno == EAGAIN || errno == EINTR { continue }
        guard count == 1 else { return nil }
        if byte == 0x0A { return String(decoding: bytes, as: UTF8.self) }
        bytes.append(byte)
      }
      return nil
    }

    /// Tells a child that waits for the end of its input to end.
    func endInput() {
      if !isFed { _ = Glibc.close(input) }
      isFed = true
    }

    /// Writes the input and collects both outputs, until both end or time is up. Outputs are capped
    /// at 1 MiB.
    func exchange(
      _ bytes: [UInt8], until end: ContinuousClock.Instant, _ cancellation: Cancellation?
    ) -> (output: [UInt8], error: [UInt8]) {
      var collected: (output: [UInt8], error: [UInt8]) = ([], [])
      var sent = 0
      var isFeeding = !isFed
      var isOpen = (output: true, error: true)
      func stopFeeding() {
        endInput()
        isFeeding = false
      }
      defer { stopFeeding() }
      var buffer = [UInt8](repeating: 0, count: 65_536)
      func drain(_ fd: Int32, _ into: inout [UInt8]) -> Bool {
        let n = recv(fd, &buffer, buffer.count, 0)
        if n > 0, into.count < 1 << 20 { into.append(contentsOf: buffer[..<n]) }
        return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))
      }
      while isOpen.output || isOpen.error {
        if isFeeding, sent == bytes.count { stopFeeding() }
        let left = milliseconds(until: end)
        if left <= 0 || cancellation?.isCancelled ?? false { break }
        var polled = [
          pollfd(fd: isFeeding ? input : -1, events: Int16(POLLOUT), revents: 0),
          pollfd(fd: isOpen.output ? output : -1, events: Int16(POLLIN), revents: 0),
          pollfd(fd: isOpen.error ? error : -1, events: Int16(POLLIN), revents: 0),
        ]
        // Waits in short intervals, so that a cancellation is noticed.
        guard poll(&polled, 3, min(left, 50)) > 0 else { continue }
        if polled[0].revents != 0 {
          let n = bytes.withUnsafeBytes { raw in
            send(input, raw.baseAddress.map { $0 + sent }, raw.count - sent, Int32(MSG_NOSIGNAL))
          }
          if n > 0 { sent += n } else if n < 0, errno != EAGAIN, errno != EINTR { stopFeeding() }
        }
        if polled[1].revents != 0 { isOpen.output = drain(output, &collected.output) }
        if polled[2].revents != 0 { isOpen.error = drain(error, &collected.error) }
      }
      return collected
    }

    /// The exit status (128 plus the signal's number after a signal), or nil if it had to be
    /// killed.
    func wait(until end: ContinuousClock.Instant, _ cancellation: Cancellation?) -> Int32? {
      var status: Int32 = 0
      while true {
        let n = waitpid(process, &status, WNOHANG)
        if n == process { return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F }
        if n < 0, errno != EINTR { return 127 }
        if milliseconds(until: end) <= 0 || cancellation?.isCancelled ?? false { break }
        // Both outputs are closed, so it is about to end; poll it every millisecond.
        _ = poll(nil, 0, 1)
      }
      _ = kill(-process, SIGKILL)
      _ = kill(process, SIGKILL)
      while waitpid(process, &status, 0) < 0, errno == EINTR {}
      return nil
    }
  }
}
