// DeviceExamination.swift: this machine's graphics processors, each opened and proved in a child, because a
// driver may crash or hang. The child is this program with `marker` set; it prints a line before it tests a
// device, and one after. Start at run.

import CSystem
import CVulkan
import Foundation

/// What is known of a device.
struct GraphicsDevice: Codable, Equatable {
  enum State: String, Codable {
    /// Steps run on it.
    case used
    /// It gives the frozen bits, and no step runs on it.
    case free
    /// It lacks something, failed, or differs in a bit.
    case refused
  }

  let name: String
  let api: String
  let driver: String
  /// Bytes of its own.
  let memory: UInt64
  var state: State
  var reason: String
  /// Whether it is a processor that plays a graphics processor.
  let isSoftware: Bool

  /// What is printed: `isSoftware` is said by the reason.
  struct Printed: Encodable {
    let name: String
    let api: String
    let driver: String
    let memory: UInt64
    let state: State
    let reason: String
  }

  var printed: Printed {
    Printed(name: name, api: api, driver: driver, memory: memory, state: state, reason: reason)
  }
}

struct DeviceExamination: Equatable {
  var devices: [GraphicsDevice] = []
  /// Why there are no devices.
  var problem: String?

  /// The variable that makes `hotpot devices` the child: the number of the first device to look at.
  static let marker = "HOTPOT_DEVICES_FROM"

  /// How long the child may say nothing, in seconds. Software devices are far slower.
  static func patience(_ environment: [String: String]) -> Int { allowsSoftware(environment) ? 300 : 30 }

  private static func allowsSoftware(_ environment: [String: String]) -> Bool {
    environment["HOTPOT_VULKAN_CPU"] == "1"
  }

  // MARK: The parent

  /// Examines all devices, each once. A device whose driver ends the child or hangs is refused, and another
  /// child goes on with the next.
  static func run(_ environment: [String: String]) -> DeviceExamination {
    var found = DeviceExamination()
    // More children than devices: each either ends the list or refuses one device.
    for _ in 0..<32 {
      var first = found.devices.count
      let problem = found.follow(environment, from: first)
      first = found.devices.count - first
      guard let problem else { break }
      if first == 0 {
        if found.devices.isEmpty { found.problem = problem }
        break
      }
    }
    if found.devices.isEmpty, found.problem == nil { found.problem = "Vulkan has no device" }
    return found
  }

  /// Runs one child and reads what it says.
  /// - Returns: nil if the list is whole; else how the child ended, which the last device says as well.
  private mutating func follow(_ environment: [String: String], from first: Int) -> String? {
    var environment = environment
    environment[Self.marker] = "\(first)"
    let child: Child
    switch Child.start(environment) {
    case .success(let started): child = started
    case .failure(let problem): return problem.words
    }
    var isTesting = false
    while let line = child.line(seconds: Self.patience(environment)) {
      // Drivers print what they like.
      guard let message = try? JSONDecoder().decode(Message.self, from: Data(line)) else { continue }
      switch message {
      case .begins(let device):
        devices.append(device)
        isTesting = true
      case .ends(let state, let reason):
        guard isTesting, var last = devices.popLast() else { continue }
        last.state = state
        last.reason = reason
        devices.append(last)
        isTesting = false
      case .none(let reason):
        problem = reason
      case .whole:
        _ = child.end()
        return nil
      }
    }
    let ending = child.end()
    if isTesting, var last = devices.popLast() {
      last.state = .refused
      last.reason = "its driver \(ending) when it was tested"
      devices.append(last)
    }
    return "Vulkan's loader or a driver \(ending)"
  }

  // MARK: The child

  /// What the child says, a line each.
  private enum Message: Codable {
    case begins(GraphicsDevice)
    case ends(GraphicsDevice.State, String)
    /// There are no devices, and why.
    case none(String)
    case whole
  }

  private static func say(_ message: Message) throws {
    // At once, whatever happens next.
    Console.write(Array(try JSONEncoder().encode(message)) + [0x0A], to: STDOUT_FILENO)
  }

  /// Looks at the devices from number `from` on, and says what it finds on standard output.
  static func examine(from text: String, _ environment: [String: String]) throws -> ExitCode {
    guard let from = UInt32(text) else {
      throw Failure(.usage, "\(marker) is '\(text)', wanted the number of a device")
    }
    var reason = [CChar](repeating: 0, count: Int(CV_REASON))
    guard let loader = cv_load("libvulkan.so.1", &reason) else {
      try say(.none(words(reason)))
      try say(.whole)
      return .ok
    }
    defer { cv_unload(loader) }
    let count = cv_count(loader)
    for index in min(from, count)..<count {
      var facts = cv_facts()
      cv_describe(loader, index, &facts)
      try say(
        .begins(
          GraphicsDevice(
            name: words(of: facts.name), api: words(of: facts.api), driver: words(of: facts.driver),
            memory: facts.memory, state: .refused, reason: "it was not tested",
            isSoftware: facts.is_software)))
      guard let device = cv_open(loader, index, allowsSoftware(environment), &reason) else {
        try say(.ends(.refused, words(reason)))
        continue
      }
      defer { cv_close(device) }
      let tested = cv_self_test(device, &reason)
      let problem = words(reason)
      if problem.isEmpty {
        try say(
          .ends(
            .free,
            "all \(tested) tests of its kernels give the frozen bits; '--device vulkan:\(index)' computes on it"
          ))
      } else {
        try say(.ends(.refused, problem + "; \(tested) tests before it passed"))
      }
    }
    try say(.whole)
    return .ok
  }

  private static func words(_ characters: [CChar]) -> String {
    String(decoding: characters.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// The text of a C array, which ends before the array does.
  private static func words<Characters>(of characters: Characters) -> String {
    withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
  }
}

/// The child process and its output.
private final class Child {
  struct Problem: Error { let words: String }

  private let pid: pid_t
  private let output: Int32
  private var bytes: [UInt8] = []
  private var isLate = false

  private init(pid: pid_t, output: Int32) {
    self.pid = pid
    self.output = output
  }

  static func start(_ environment: [String: String]) -> Result<Child, Problem> {
    var ends: [Int32] = [-1, -1]
    let made = csystem_pipe(&ends)
    guard made >= 0 else { return .failure(Problem(words: "no pipe: \(String(cString: strerror(-made)))")) }
    // The child waits where the pipe is full.
    _ = fcntl(ends[1], F_SETFL, 0)
    let nothing = open("/dev/null", O_RDONLY | O_CLOEXEC)
    defer {
      close(ends[1])
      close(nothing)
    }
    var arguments: [UnsafeMutablePointer<CChar>?] =
      (["hotpot", "devices"] as [String]).map { strdup($0) } + [nil]
    var names: [UnsafeMutablePointer<CChar>?] =
      environment.sorted { $0.key < $1.key }.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer { for word in arguments + names { free(word) } }
    var pid: pid_t = 0
    let code = csystem_spawn_tool("/proc/self/exe", &arguments, &names, "/", nothing, ends[1], &pid)
    guard code == 0 else {
      close(ends[0])
      return .failure(Problem(words: "devices cannot be tested: \(String(cString: strerror(code)))"))
    }
    return .success(Child(pid: pid, output: ends[0]))
  }

  /// The next line; nil at the end, or if none came for so long.
  func line(seconds: Int) -> [UInt8]? {
    let deadline = ContinuousClock.now + .seconds(seconds)
    while true {
      if let end = bytes.firstIndex(of: 0x0A) {
        let line = Array(bytes[..<end])
        bytes.removeSubrange(...end)
        return line
      }
      // A driver's flood without a line's end.
      if bytes.count > 1 << 20 { bytes.removeAll() }
      let left = (deadline - ContinuousClock.now) / .milliseconds(1)
      guard left > 0 else {
        isLate = true
        return nil
      }
      var watched = pollfd(fd: output, events: Int16(POLLIN), revents: 0)
      guard poll(&watched, 1, Int32(min(left, 1000))) > 0 else { continue }
      var chunk = [UInt8](repeating: 0, count: 4096)
      let count = read(output, &chunk, chunk.count)
      if count < 0, errno == EAGAIN || errno == EINTR { continue }
      guard count > 0 else { return nil }
      bytes += chunk[..<count]
    }
  }

  /// Ends the process if it still runs, and says how it ended.
  func end() -> String {
    // What a process has ended by stays what it was; this is for one that has not.
    kill(pid, SIGKILL)
    close(output)
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0, errno == EINTR {}
    if isLate { return "did not answer" }
    let signal = status & 0x7F
    return signal == 0
      ? "ended the process with status \(status >> 8 & 0xFF)" : "ended the process with signal \(signal)"
  }
}
