// ClientFiles.swift: which processes use a GPU of amdgpu, i915 or xe, and how much, from the
// kernel's counters of every open device in /proc/PID/fdinfo. A process that this user may not
// inspect is not seen. Every 10 samples all descriptors of all processes are searched; between them
// only the known ones are read. Source: Linux, Documentation/gpu/drm-usage-stats.rst. The card
// itself is in DeviceFiles.swift. Start at read.
import Glibc

struct ClientFiles {
  private static let lookPeriod = 10

  /// One open device of one process, with the kernel's counters.
  private struct Client {
    var pid: Int32
    var slot: String
    var id: UInt64
    var memory: Int64?
    /// By engine name: the busy time so far and its total. Nanoseconds have no total; cycles are
    /// counted out of total cycles.
    var engines: [String: (busy: UInt64, total: UInt64?)] = [:]
    var capacity: [String: UInt64] = [:]
  }

  private struct Key: Hashable {
    let pid: Int32
    let slot: String
    let id: UInt64
  }

  private let root: String
  private let driver: String
  private var files: [(pid: Int32, path: String)] = []
  private var before: [Key: Client] = [:]
  private var last: Int64?
  private var turn = 0

  init(root: String, driver: String) {
    self.root = root
    self.driver = driver
  }

  /// The processes by the slot of the card, each slot's sorted by process number.
  /// - time: microseconds of a monotonic clock
  mutating func read(at time: Int64) -> [String: [GPUProcess]] {
    if turn % Self.lookPeriod == 0 { look() }
    turn &+= 1
    let nanoseconds = last.flatMap { time > $0 ? Double(time - $0) * 1_000 : nil }
    last = time
    var now: [Key: Client] = [:]
    for file in files {
      // A process that has ended uses nothing.
      guard let text = try? smallText(file.path), let client = parse(text, pid: file.pid) else { continue }
      // Descriptors that were duplicated name the same client.
      now[Key(pid: client.pid, slot: client.slot, id: client.id)] = client
    }
    var uses: [String: [Int32: (share: Double?, memory: Int64?)]] = [:]
    for (key, client) in now {
      let share = before[key].flatMap { busyShare(client, since: $0, nanoseconds) }
      let known = uses[client.slot]?[client.pid]
      uses[client.slot, default: [:]][client.pid] = (
        Self.sum(known?.share, share), Self.sum(known?.memory, client.memory)
      )
    }
    before = now
    return uses.mapValues { processes in
      processes.sorted { $0.key < $1.key }.map { pid, use in
        GPUProcess(pid: pid, memory: use.memory, share: use.share.map { min(1, $0) })
      }
    }
  }

  private static func sum(_ left: Double?, _ right: Double?) -> Double? {
    guard let left, let right else { return left ?? right }
    return left + right
  }

  private static func sum(_ left: Int64?, _ right: Int64?) -> Int64? {
    guard let left, let right else { return left ?? right }
    let (sum, overflow) = left.addingReportingOverflow(right)
    return overflow ? .max : sum
  }

  /// The share of the busiest engine: nanoseconds are divided by the elapsed time, cycles by the
  /// engine's own total.
  private func busyShare(_ now: Client, since old: Client, _ nanoseconds: Double?) -> Double? {
    var most: Double?
    for (name, engine) in now.engines {
      guard let past = old.engines[name], engine.busy >= past.busy else { continue }
      let busy = Double(engine.busy - past.busy)
      let whole: Double
      if let total = engine.total, let pastTotal = past.total {
        guard total > pastTotal else { continue }
        whole = Double(total - pastTotal)
      } else {
        guard let nanoseconds else { continue }
        whole = nanoseconds
      }
      most = max(most ?? 0, busy / whole / Double(max(1, now.capacity[name] ?? 1)))
    }
    return most
  }

  /// Finds the open devices of all processes.
  private mutating func look() {
    files = []
    var target = [CChar](repeating: 0, count: 64)
    for name in entries(root + "/proc") {
      guard let pid = Int32(name) else { continue }
      let process = "\(root)/proc/\(name)"
      for descriptor in entries(process + "/fd") {
        let count = readlink("\(process)/fd/\(descriptor)", &target, target.count)
        let link = target.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
        if link.starts(with: "/dev/dri/".utf8) { files.append((pid, "\(process)/fdinfo/\(descriptor)")) }
      }
    }
  }

  /// Nil for another driver's device, or if the kernel does not count.
  private func parse(_ text: String, pid: Int32) -> Client? {
    var client = Client(pid: pid, slot: "", id: 0)
    var isOurs = false
    for line in text.split(separator: "\n") where line.hasPrefix("drm-") {
      guard let colon = line.firstIndex(of: ":") else { continue }
      let name = line[..<colon].dropFirst(4)
      let words = line[line.index(after: colon)...].split { $0 == " " || $0 == "\t" }
      guard let first = words.first else { continue }
      let number = UInt64(first)
      switch name {
      case "driver": isOurs = first == driver
      case "pdev": client.slot = String(first)
      case "client-id": client.id = number ?? 0
      default:
        if name.hasPrefix("engine-capacity-") {
          client.capacity[String(name.dropFirst("engine-capacity-".count))] = number
        } else if name.hasPrefix("engine-"), let number {
          client.engines[String(name.dropFirst("engine-".count)), default: (0, nil)].busy = number
        } else if name.hasPrefix("total-cycles-"), let number {
          client.engines[String(name.dropFirst("total-cycles-".count)), default: (0, nil)].total = number
        } else if name.hasPrefix("cycles-"), let number {
          client.engines[String(name.dropFirst("cycles-".count)), default: (0, nil)].busy = number
        } else if Self.isDeviceMemory(name), let number {
          client.memory = Self.sum(client.memory, Self.bytes(number, unit: words.dropFirst().first))
        }
      }
    }
    return isOurs ? client : nil
  }

  /// Whether the region is memory of the card: `vram`, `vram0`, `local0`. amdgpu calls the figure
  /// memory, the others resident.
  private static func isDeviceMemory(_ name: Substring) -> Bool {
    for prefix in ["memory-", "resident-"] where name.hasPrefix(prefix) {
      let region = name.dropFirst(prefix.count)
      return region.hasPrefix("vram") || region.hasPrefix("local")
    }
    return false
  }

  private static func bytes(_ number: UInt64, unit: Substring?) -> Int64 {
    let shift: UInt64 = unit == "MiB" ? 20 : unit == "KiB" ? 10 : 0
    let (product, overflow) = number.multipliedReportingOverflow(by: 1 << shift)
    return overflow ? .max : Int64(clamping: product)
  }
}
