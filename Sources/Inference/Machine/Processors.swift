// Processors.swift: how many threads the system lets this process use at once.

import Glibc

/// Start at allowed. The root is "" for this machine; tests pass a tree of fixtures.
public enum Processors {
  /// The processors of this thread's affinity mask, or fewer if a control group sets a quota; at
  /// least 1.
  public static func allowed(root: String = "") -> Int {
    let affine = affinity(root)
    guard let quota = quota(root: root) else { return affine }
    return max(1, Int(min(Double(affine), quota)))
  }

  private static func affinity(_ root: String) -> Int {
    for line in read(root + "/proc/self/status")?.split(separator: "\n") ?? []
    where line.hasPrefix("Cpus_allowed:") {
      let count = Processors.maskCount(line.dropFirst("Cpus_allowed:".count))
      if count > 0 { return count }
    }
    return max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
  }

  /// Counts the set bits of a mask as the kernel writes it: hexadecimal words separated by commas.
  static func maskCount(_ text: Substring) -> Int {
    text.reduce(0) { $0 + ($1.hexDigitValue?.nonzeroBitCount ?? 0) }
  }

  /// The lowest quota, in processors, of the control group and its ancestors: `0::/a/b` in version
  /// 2, and `1:cpu,cpuacct:/a/b` in version 1. In a container the host's path does not exist; the
  /// container's own group is the root.
  static func quota(root: String = "") -> Double? {
    var lowest: Double?
    for line in read(root + "/proc/self/cgroup")?.split(separator: "\n") ?? [] {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let isUnified = fields[0] == "0"
      guard isUnified || fields[1].split(separator: ",").contains("cpu") else { continue }
      // The folder may name its controllers in another order; then a link `cpu` leads there.
      for tree in isUnified ? [""] : ["/\(fields[1])", "/cpu"] {
        var path = fields[2]
        while true {
          let group = root + "/sys/fs/cgroup" + tree + path
          if let found = isUnified ? unifiedQuota(group) : oldQuota(group) {
            lowest = min(lowest ?? found, found)
          }
          guard let slash = path.lastIndex(of: "/") else { break }
          path = path[..<slash]
        }
      }
    }
    return lowest
  }

  private static func unifiedQuota(_ group: String) -> Double? { read(group + "/cpu.max").flatMap(parse) }

  /// A quota of -1 means none.
  private static func oldQuota(_ group: String) -> Double? {
    guard let quota = read(group + "/cpu.cfs_quota_us"), let period = read(group + "/cpu.cfs_period_us")
    else { return nil }
    return parse(quota + " " + period)
  }

  /// "max 100000" means no quota; "150000 100000" is one and a half processors.
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
