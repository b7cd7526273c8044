// Memory.swift: how much memory this process may still take, so that a model that does not fit is
// refused before it drives the machine into swapping. Start at available.

import Glibc

/// The root is "" for this machine; tests pass a tree of fixtures.
enum Memory {
  /// Bytes that can be used without swapping: what the kernel says is available, or less if a
  /// control group around this process leaves less; nil where neither says.
  static func available(root: String = "") -> Int? {
    let system = read(root + "/proc/meminfo").flatMap { field("MemAvailable:", $0) }
    let group = leftInGroups(root)
    guard let system, let group else { return system ?? group }
    return min(system, group)
  }

  /// The least that a control group and its ancestors leave: the limit, less what is used and cannot
  /// be dropped. The paths are those of `Processors.quota`.
  private static func leftInGroups(_ root: String) -> Int? {
    var least: Int?
    for line in read(root + "/proc/self/cgroup")?.split(separator: "\n") ?? [] {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isUnified = fields[0] == "0"
      guard isUnified || fields[1].split(separator: ",").contains("memory") else { continue }
      var path = fields[2]
      while true {
        let group = root + "/sys/fs/cgroup" + (isUnified ? "" : "/memory") + path
        if let left = left(group, isUnified: isUnified) { least = min(least ?? left, left) }
        guard let slash = path.lastIndex(of: "/") else { break }
        path = path[..<slash]
      }
    }
    return least
  }

  /// nil for a group without a limit. Pages of files that nobody has used lately count as used, but
  /// make room.
  private static func left(_ group: String, isUnified: Bool) -> Int? {
    let names =
      isUnified
      ? (limit: "memory.max", used: "memory.current", file: "inactive_file ")
      : (limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", file: "total_inactive_file ")
    guard let limit = number(group, names.limit), limit < 1 << 60, let used = number(group, names.used)
    else { return nil }
    let file = read(group + "/memory.stat").flatMap { field(names.file, $0) } ?? 0
    return max(0, limit - max(0, used - file))
  }

  private static func number(_ group: String, _ name: String) -> Int? {
    guard let text = read("\(group)/\(name)"), let number = Int(text.prefix { $0 != "\n" }), number >= 0
    else { return nil }
    return number
  }

  /// The number after a name at the beginning of a line, in bytes: `MemAvailable:  123 kB` or
  /// `inactive_file 123`.
  private static func field(_ name: String, _ text: String) -> Int? {
    for line in text.split(separator: "\n") where line.hasPrefix(name) {
      let words = line.dropFirst(name.count).split(separator: " ")
      guard let word = words.first, let number = Int(word), number >= 0 else { return nil }
      let (bytes, overflow) = number.multipliedReportingOverflow(by: words.count > 1 ? 1_024 : 1)
      return overflow ? nil : bytes
    }
    return nil
  }

  private static func read(_ path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var buffer = [UInt8](repeating: 0, count: 16_384)
    let length = Glibc.read(descriptor, &buffer, buffer.count)
    return length >= 0 ? String(decoding: buffer[..<length], as: UTF8.self) : nil
  }
}
