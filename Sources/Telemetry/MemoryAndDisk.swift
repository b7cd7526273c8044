// MemoryAndDisk.swift: memory, pressure, this process, the container's limits, and the disk that
// holds the state. Start at MemorySource.read, PressureSource.read, ContainerLimits and DiskSource.
import Glibc

/// Bytes.
package struct MemoryReading: Sendable, Equatable {
  package var total: Reading<Int64> = .warmingUp
  package var available: Reading<Int64> = .warmingUp
  package var swapTotal: Reading<Int64> = .warmingUp
  package var swapUsed: Reading<Int64> = .warmingUp
  /// This process: resident bytes, and those of them that belong to files, such as a mapped model.
  package var resident: Reading<Int64> = .warmingUp
  package var residentFile: Reading<Int64> = .warmingUp

  /// Total less available.
  package var used: Reading<Int64> {
    guard let total = total.current, let available = available.current else { return available.map { $0 } }
    return .value(max(0, total - available))
  }
}

struct MemorySource: ~Copyable {
  private var meminfo: ProcFile
  private var statm: ProcFile
  private let pageSize = Int64(sysconf(Int32(_SC_PAGESIZE)))

  init(root: String) {
    meminfo = ProcFile(root + "/proc/meminfo")
    statm = ProcFile(root + "/proc/self/statm")
  }

  mutating func read(_ buffer: inout [UInt8]) -> MemoryReading {
    var reading = MemoryReading()
    do throws(SourceError) {
      let count = try meminfo.read(into: &buffer)
      var swapFree: Int64?
      buffer.withUnsafeBufferPointer { bytes in
        var scanner = WordScanner(UnsafeBufferPointer(rebasing: bytes[..<count]))
        func kibibytes() -> Int64 {
          let (bytes, overflow) = Int64(clamping: scanner.number() ?? 0).multipliedReportingOverflow(
            by: 1_024)
          return overflow ? .max : bytes
        }
        while !scanner.isAtEnd {
          if scanner.take("MemTotal:") {
            reading.total = .value(kibibytes())
          } else if scanner.take("MemAvailable:") {
            reading.available = .value(kibibytes())
          } else if scanner.take("SwapTotal:") {
            reading.swapTotal = .value(kibibytes())
          } else if scanner.take("SwapFree:") {
            swapFree = kibibytes()
          }
          scanner.nextLine()
        }
      }
      // Another file is mounted over the kernel's, as containers do.
      let problem = "\(meminfo.path) is not understood"
      if reading.total == .warmingUp { reading.total = .unavailable(problem) }
      if reading.available == .warmingUp { reading.available = .unavailable(problem) }
      if reading.swapTotal == .warmingUp { reading.swapTotal = .unavailable(problem) }
      if swapFree == nil { reading.swapUsed = .unavailable(problem) }
      if let total = reading.swapTotal.current, let swapFree {
        reading.swapUsed = .value(max(0, total - swapFree))
      }
    } catch {
      reading.total = .unavailable(error.description)
      reading.available = .unavailable(error.description)
      reading.swapTotal = .unavailable(error.description)
      reading.swapUsed = .unavailable(error.description)
    }
    do throws(SourceError) {
      let count = try statm.read(into: &buffer)
      let pages = buffer.prefix(count).withUnsafeBufferPointer { bytes -> (UInt64, UInt64)? in
        var scanner = WordScanner(bytes)
        guard scanner.number() != nil, let resident = scanner.number(), let shared = scanner.number() else {
          return nil
        }
        return (resident, shared)
      }
      guard let pages else { throw SourceError("\(statm.path) is not understood") }
      reading.resident = .value(Int64(clamping: pages.0) * pageSize)
      reading.residentFile = .value(Int64(clamping: pages.1) * pageSize)
    } catch {
      reading.resident = .unavailable(error.description)
      reading.residentFile = .unavailable(error.description)
    }
    return reading
  }
}

/// Shares of the last 10 s in which at least one task waited, 0 to 1. Source: Linux,
/// Documentation/accounting/psi.rst.
package struct PressureReading: Sendable, Equatable {
  package var cpu: Reading<Double> = .warmingUp
  package var memory: Reading<Double> = .warmingUp
  package var io: Reading<Double> = .warmingUp
}

struct PressureSource: ~Copyable {
  private var cpu: ProcFile
  private var memory: ProcFile
  private var io: ProcFile

  init(root: String) {
    cpu = ProcFile(root + "/proc/pressure/cpu")
    memory = ProcFile(root + "/proc/pressure/memory")
    io = ProcFile(root + "/proc/pressure/io")
  }

  mutating func read(_ buffer: inout [UInt8]) -> PressureReading {
    PressureReading(
      cpu: Self.some(&cpu, &buffer), memory: Self.some(&memory, &buffer), io: Self.some(&io, &buffer))
  }

  private static func some(_ file: inout ProcFile, _ buffer: inout [UInt8]) -> Reading<Double> {
    do throws(SourceError) {
      let count = try file.read(into: &buffer)
      let value = buffer.prefix(count).withUnsafeBufferPointer { bytes -> Double? in
        var scanner = WordScanner(bytes)
        while !scanner.isAtEnd {
          if scanner.take("some avg10=") { return scanner.decimal() }
          scanner.nextLine()
        }
        return nil
      }
      return value.map { .value($0 / 100) } ?? .unavailable("\(file.path) is not understood")
    } catch {
      return .unavailable("this kernel tells no pressure (PSI): \(error.description)")
    }
  }
}

/// The container's limits; nil is no limit. For control groups of version 2 and 1: the lowest limit
/// of the group and of those around it.
package struct ContainerLimits: Sendable, Equatable {
  package var processors: Double?
  package var memory: Int64?

  /// - root: "" for this machine; tests pass a directory of fixtures.
  package init(root: String = "") {
    guard let text = try? smallText(root + "/proc/self/cgroup") else { return }  // No /proc, no known limits.
    // `0::/a/b` of version 2; `4:memory:/a/b` and `1:cpu,cpuacct:/a/b` of version 1.
    for line in text.split(separator: "\n") {
      let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard fields.count == 3 else { continue }
      let controllers = fields[1].split(separator: ",")
      var path = String(fields[2])
      while true {
        if fields[0] == "0" { unified(root + "/sys/fs/cgroup" + path) }
        // The folder may name its controllers in another order; a link of one name leads there
        // then.
        if controllers.contains("cpu") {
          oldProcessors(root + "/sys/fs/cgroup/\(fields[1])" + path)
          oldProcessors(root + "/sys/fs/cgroup/cpu" + path)
        }
        if controllers.contains("memory") { oldMemory(root + "/sys/fs/cgroup/\(fields[1])" + path) }
        guard let slash = path.lastIndex(of: "/") else { break }
        path = String(path[..<slash])
      }
    }
  }

  // In the functions below, a missing file means no limit: the root group has none.

  private mutating func unified(_ group: String) {
    if let words = (try? smallText(group + "/cpu.max"))?.split(separator: " "), words.count == 2,
      let quota = Double(words[0]), let period = Double(words[1])
    {
      allow(quota, period)
    }
    if let limit = (try? smallText(group + "/memory.max")).flatMap({ Int64($0) }) {
      memory = min(memory ?? .max, limit)
    }
  }

  private mutating func oldProcessors(_ group: String) {
    if let quota = (try? smallText(group + "/cpu.cfs_quota_us")).flatMap({ Double($0) }),
      let period = (try? smallText(group + "/cpu.cfs_period_us")).flatMap({ Double($0) })
    {
      allow(quota, period)
    }
  }

  private mutating func oldMemory(_ group: String) {
    // The largest number of pages stands for no limit.
    if let limit = (try? smallText(group + "/memory.limit_in_bytes")).flatMap({ Int64($0) }), limit < 1 << 60
    {
      memory = min(memory ?? .max, limit)
    }
  }

  /// Applies a quota; -1 means none.
  private mutating func allow(_ quota: Double, _ period: Double) {
    if quota > 0, period > 0 { processors = min(processors ?? .infinity, quota / period) }
  }

  /// `2 of 64 cores, 8 GiB`; nil without a limit.
  package func words(cores: Int, memoryTotal: Int64?) -> String? {
    var parts: [String] = []
    if let processors, processors < Double(cores) {
      let shown = (processors * 10).rounded() / 10
      parts.append("\(shown == shown.rounded() ? "\(Int(shown))" : "\(shown)") of \(cores) cores")
    }
    if let memory, memory < memoryTotal ?? .max {
      let gibibytes = Double(memory) / Double(1 << 30)
      parts.append("\((gibibytes * 10).rounded() / 10) GiB")
    }
    return parts.isEmpty ? nil : parts.joined(separator: ", ")
  }
}

package struct DiskReading: Sendable, Equatable {
  /// Bytes free to this user on the disk that holds the state.
  package var free: Reading<Int64> = .warmingUp
  package var total: Reading<Int64> = .warmingUp
  /// Bytes/s of the device below it.
  package var read: Reading<Double> = .warmingUp
  package var written: Reading<Double> = .warmingUp
}

struct DiskSource: ~Copyable {
  private let directory: String
  private var diskstats: ProcFile
  private var before: (read: UInt64, written: UInt64)?

  init(root: String, directory: String) {
    self.directory = directory
    diskstats = ProcFile(root + "/proc/diskstats")
  }

  mutating func read(_ buffer: inout [UInt8], seconds: Double?) -> DiskReading {
    var reading = DiskReading()
    var space = statvfs()
    if statvfs(directory, &space) == 0 {
      reading.free = .value(Int64(clamping: UInt64(space.f_bavail) &* UInt64(space.f_frsize)))
      reading.total = .value(Int64(clamping: UInt64(space.f_blocks) &* UInt64(space.f_frsize)))
    } else {
      let error = SourceError.system(directory, errno)
      reading.free = .unavailable(error.description)
      reading.total = .unavailable(error.description)
    }
    do throws(SourceError) {
      let now = try sectors(&buffer)
      defer { before = now }
      guard let before, let seconds, seconds > 0 else { return reading }
      // Sectors are 512 bytes, whatever the device's are (Linux,
      // Documentation/admin-guide/iostats.rst).
      reading.read = .value(Double(now.read &- before.read) * 512 / seconds)
      reading.written = .value(Double(now.written &- before.written) * 512 / seconds)
    } catch {
      before = nil
      reading.read = .unavailable(error.description)
      reading.written = .unavailable(error.description)
    }
    return reading
  }

  private mutating func sectors(_ buffer: inout [UInt8]) throws(SourceError) -> (
    read: UInt64, written: UInt64
  ) {
    var status = stat()
    guard stat(directory, &status) == 0 else { throw .system(directory, errno) }
    let device = UInt64(status.st_dev)
    let (major, minor) = ((device >> 8) & 0xFFF, (device & 0xFF) | ((device >> 12) & 0xFFF00))
    let count = try diskstats.read(into: &buffer)
    let found = buffer.prefix(count).withUnsafeBufferPointer { bytes -> (UInt64, UInt64)? in
      var scanner = WordScanner(bytes)
      while !scanner.isAtEnd {
        if scanner.number() == major, scanner.number() == minor {
          scanner.skipWord()
          guard scanner.number() != nil, scanner.number() != nil, let read = scanner.number(),
            scanner.number() != nil,
            scanner.number() != nil, scanner.number() != nil, let written = scanner.number()
          else { return nil }
          return (read, written)
        }
        scanner.nextLine()
      }
      return nil
    }
    guard let found else { throw SourceError("the state is on no block device (\(major):\(minor))") }
    return found
  }
}
