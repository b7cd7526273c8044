// Program.swift: runs the built `hotpot` as a process, and what its tests need around it: folders, a tiny GGUF file and
// an HTTP server of this machine.

import Foundation
import Synchronization
import Testing

/// What a run of the program gave.
struct Outcome {
  var status: Int32
  var output: String
  var errors: String
}

enum Program {
  /// The executable beside the test bundle, or what HOTPOT_EXECUTABLE names.
  static let path: String = {
    if let path = ProcessInfo.processInfo.environment["HOTPOT_EXECUTABLE"] { return path }
    let bundle = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
    return URL(fileURLWithPath: bundle).deletingLastPathComponent().appendingPathComponent("hotpot").path
  }()

  /// Runs the program to its end.
  /// - Parameters:
  ///   - environment: Added to PATH and an empty HOME; nothing else of ours is handed on.
  ///   - fileLimit: Bytes that a file may grow to (in blocks of 512), through the shell's ulimit.
  ///   - closesOutput: Nobody reads standard output.
  ///   - bytes: Standard input that need not be text, in place of `input`.
  ///   - lastArgument: One more argument that need not be text, without zeros.
  ///   - through: A program that starts this one, and its arguments.
  static func run(
    _ arguments: [String], input: String = "", environment: [String: String] = [:], fileLimit: Int? = nil,
    closesOutput: Bool = false, bytes: [UInt8]? = nil, lastArgument: [UInt8]? = nil, through: [String] = []
  ) throws -> Outcome {
    let folder = try Folder()
    let home = folder.path + "/home"
    try FileManager.default.createDirectory(atPath: home, withIntermediateDirectories: true)
    try Data(bytes ?? Array(input.utf8)).write(to: URL(fileURLWithPath: folder.path + "/in"))
    var names = [
      "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin", "HOME": home, "TZ": "UTC",
    ]
    names.merge(environment) { $1 }
    var words = through + [path] + arguments
    if let fileLimit {
      // The thread sanitizer's runtime begins with a file of its own, larger than the limit, and does without where none can be.
      names["TMPDIR"] = folder.path + "/none"
      words = ["/bin/sh", "-c", "ulimit -f \(fileLimit / 512); exec \"$0\" \"$@\""] + words
    }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, folder.path + "/in", O_RDONLY, 0)
    var ends: [Int32] = [-1, -1]
    if closesOutput {
      #expect(pipe(&ends) == 0)
      // Programs that other tests start at this moment must not hold the end that nobody is to read.
      for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
      posix_spawn_file_actions_adddup2(&actions, ends[1], 1)
      posix_spawn_file_actions_addclose(&actions, ends[0])
      posix_spawn_file_actions_addclose(&actions, ends[1])
    } else {
      posix_spawn_file_actions_addopen(&actions, 1, folder.path + "/out", O_WRONLY | O_CREAT, 0o600)
    }
    posix_spawn_file_actions_addopen(&actions, 2, folder.path + "/err", O_WRONLY | O_CREAT, 0o600)
    var list: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) }
    if let lastArgument {
      list.append(
        (lastArgument + [0]).withUnsafeBufferPointer { buffer in
          buffer.withMemoryRebound(to: CChar.self) { $0.baseAddress.map { strdup($0) } ?? nil }
        })
    }
    list.append(nil)
    var variables: [UnsafeMutablePointer<CChar>?] = names.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for word in list + variables { free(word) } }
    var child: pid_t = 0
    let code = posix_spawn(&child, words[0], &actions, nil, &list, &variables)
    try #require(code == 0, "cannot start \(words[0]): \(String(cString: strerror(code)))")
    if closesOutput {
      close(ends[0])
      close(ends[1])
    }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0, errno == EINTR {}
    let signal = status & 0x7F
    return Outcome(
      status: signal == 0 ? (status >> 8) & 0xFF : 128 + signal, output: folder.text("out"),
      errors: folder.text("err"))
  }
}

/// A folder that goes with the value.
final class Folder: Sendable {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "hotpot-tests-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }  // what stays in /tmp does no harm

  func write(_ bytes: [UInt8], _ name: String) throws -> String {
    let file = path + "/" + name
    try FileManager.default.createDirectory(
      at: URL(fileURLWithPath: file).deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    return file
  }

  func text(_ name: String) -> String {
    FileManager.default.contents(atPath: path + "/" + name).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  /// Names in a folder below, hidden ones included.
  func names(_ name: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path + "/" + name)) ?? []).sorted()
  }
}

/// A GGUF file of a vocabulary of all bytes, one merge, two special tokens and a chat template.
enum TinyModel {
  /// - tensors: how many tensors of 32 numbers it has
  static func bytes(padding: Int = 0, tensors: Int = 0) -> [UInt8] {
    // The alphabet of byte-level BPE: printable bytes stand for themselves, the others for 256 and up.
    var alphabet: [String] = []
    var moved: UInt32 = 256
    for byte in UInt32(0)...255 {
      let isPlain =
        (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
      alphabet.append(Unicode.Scalar(isPlain ? byte : moved).map { String(Character($0)) } ?? "")
      if !isPlain { moved += 1 }
    }
    let tokens = alphabet + ["he", "<|im_start|>", "<|im_end|>"]
    let template =
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>"
    var file = Array("GGUF".utf8) + number(UInt32(3)) + number(UInt64(tensors)) + number(UInt64(9))
    file += text("general.architecture") + number(UInt32(8)) + text("llama")
    file += text("tokenizer.ggml.model") + number(UInt32(8)) + text("gpt2")
    file += text("tokenizer.ggml.pre") + number(UInt32(8)) + text("gpt-2")
    file += text("tokenizer.ggml.tokens") + list(8, tokens.map(text))
    let kinds = tokens.indices.map { number(UInt32($0 < 257 ? 1 : 3)) }
    file += text("tokenizer.ggml.token_type") + list(5, kinds)
    file += text("tokenizer.ggml.merges") + list(8, [text("h e")])
    file += text("tokenizer.ggml.bos_token_id") + number(UInt32(4)) + number(UInt32(257))
    file += text("tokenizer.ggml.eos_token_id") + number(UInt32(4)) + number(UInt32(258))
    file += text("tokenizer.chat_template") + number(UInt32(8)) + text(template)
    for tensor in 0..<tensors {
      file += text("tensor\(tensor)") + number(UInt32(1)) + number(UInt64(32)) + number(UInt32(0))
      file += number(UInt64(tensor * 128))
    }
    if tensors > 0 {
      file += [UInt8](repeating: 0, count: (32 - file.count % 32) % 32)
      file += (0..<(tensors * 128)).map { UInt8(truncatingIfNeeded: $0) }
    }
    return file + [UInt8](repeating: 0, count: padding)
  }

  private static func number<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }
  private static func text(_ text: String) -> [UInt8] { number(UInt64(text.utf8.count)) + Array(text.utf8) }
  private static func list(_ type: UInt32, _ items: [[UInt8]]) -> [UInt8] {
    number(UInt32(9)) + number(type) + number(UInt64(items.count)) + items.joined()
  }
}

/// An HTTP server on a port of its own that answers each request, on a connection of its own, by `answer`.
final class LocalServer: Sendable {
  /// What to send: the head, the body, and how much of the body before the connection is cut.
  struct Answer {
    var status = "200 OK"
    var headers: [String] = []
    var body: [UInt8] = []
    var sent: Int?
  }

  let port: UInt16
  private let listener: Int32
  private let requests = Mutex<[String]>([])

  /// The heads of all requests so far.
  var heads: [String] { requests.withLock { $0 } }

  init(_ answer: @escaping @Sendable (_ head: String, _ count: Int) -> Answer) throws {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    self.listener = listener
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, size) == 0 && listen(listener, 8) == 0 && getsockname(listener, $0, &size) == 0
      }
    }
    port = UInt16(bigEndian: address.sin_port)
    try #require(bound, "no port of this machine can be had")
    Thread.detachNewThread { [self] in
      while true {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { return }
        Thread.detachNewThread {
          self.serve(connection, answer)
          close(connection)
        }
      }
    }
  }

  /// Ends the thread, which holds this value.
  func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

  deinit { close(listener) }

  private func serve(_ connection: Int32, _ answer: (String, Int) -> Answer) {
    var head: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while !String(decoding: head, as: UTF8.self).contains("\r\n\r\n") {
      let count = recv(connection, &chunk, chunk.count, 0)
      guard count > 0 else { return }
      head += chunk[..<count]
    }
    let text = String(decoding: head, as: UTF8.self)
    let count = requests.withLock { list in
      list.append(text)
      return list.count
    }
    let answer = answer(text, count)
    let lines = ["HTTP/1.1 \(answer.status)", "Content-Length: \(answer.body.count)", "Connection: close"]
    let top = (lines + answer.headers).joined(separator: "\r\n") + "\r\n\r\n"
    var bytes = (Array(top.utf8) + answer.body.prefix(answer.sent ?? .max))[...]
    while !bytes.isEmpty {
      let sent = bytes.withUnsafeBytes {
        send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      guard sent > 0 else { return }
      bytes = bytes.dropFirst(sent)
    }
    // The peer reads all of it before it sees the end.
    shutdown(connection, Int32(SHUT_WR))
    while recv(connection, &chunk, chunk.count, 0) > 0 {}
  }
}
