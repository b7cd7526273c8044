// Processors.swift: how many threads the system lets this process use at once.

import Glibc

enum Processors {
  /// The processors of this thread's affinity mask, or fewer where a control group sets a quota; at least 1.
  static func allowed() -> Int {
    let affine = affinity()
    guard let quota = quota() else { return affine }
    return max(1, min(affine, Int(quota)))
  }

  private static func affinity() -> Int {
    for line in read("/proc/self/status")?.split(separator: "\n") ?? [] where line.hasPrefix("Cpus_allowed:")
    {
      let count = Processors.maskCount(line.dropFirst("Cpus_allowed:".count))
      if count > 0 { return count }
    }
    return max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
  }

  /// Set bits of a mask as the kernel writes it: hexadecimal words, commas between them.
  static func maskCount(_ text: Substring) -> Int {
    text.reduce(0) { $0 + ($1.hexDigitValue?.nonzeroBitCount ?? 0) }
  }

  /// The lowest quota, in processors, of the control group (version 2) and of those around it.
  private static func quota() -> Double? {
    guard let text = read("/proc/self/cgroup") else { return nil }
    var path = ""
    for line in text.split(separator: "\n") where line.hasPrefix("0::") { path = String(line.dropFirst(3)) }
    var lowest: Double?
    while true {
      if let limit = read("/sys/fs/cgroup\(path)/cpu.max").flatMap(parse) {
        lowest = min(lowest ?? limit, limit)
      }
      guard let slash = path.lastIndex(of: "/") else { return lowest }
      path = String(path[..<slash])
    }
  }

  /// "max 100000" is no quota; "150000 100000" is one and a half processors.
  static func parse(_ text: String) -> Double? {
    let words = text.split { $0 == " " || $0 == "\n" }
    guard words.count == 2, let quota = Double(words[0]), let period = Double(words[1]), period > 0, quota > 0
    else { return nil }
    return quota / period
  }

  private static func read(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 4_096)
    let length = Glibc.read(descriptor, &buffer, buffer.count)
    return length >= 0 ? String(decoding: buffer[..<length], as: UTF8.self) : nil
  }
}
