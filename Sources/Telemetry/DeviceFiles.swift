// DeviceFiles.swift: GPUs of amdgpu, i915 and xe, from the files that these drivers keep in /sys.
// Their processes are in ClientFiles.swift, NVIDIA's GPUs in NVIDIALibrary.swift, the threads in
// GPUWatch.swift. Start at DeviceFiles.read, then Layout.
import Glibc

/// The GPUs of one driver. Cards that were added or removed are noticed at the next search, every
/// 10 samples.
package struct DeviceFiles: GPUSource {
  package enum Driver: String, Sendable, CaseIterable {
    case amdgpu, i915, xe

    var maker: String {
      switch self {
      case .amdgpu: "AMD"
      case .i915, .xe: "Intel"
      }
    }
  }

  private static let lookPeriod = 10

  private let root: String
  private let driver: Driver
  private var cards: [DeviceCard] = []
  private var clients: ClientFiles
  private var turn = 0
  private var buffer = [UInt8](repeating: 0, count: 4_096)

  /// - root: "" for this machine; tests pass a directory of fixtures
  package init(root: String = "", driver: Driver) {
    self.root = root
    self.driver = driver
    clients = ClientFiles(root: root, driver: driver.rawValue)
  }

  package mutating func read(at time: Int64) -> DriverAnswer {
    if turn % Self.lookPeriod == 0 || (!cards.isEmpty && cards.contains { !$0.isThere }) { look() }
    turn &+= 1
    if cards.isEmpty { return .absent("no \(driver.rawValue) device") }
    let processes = clients.read(at: time)
    return .gpus(
      cards.map { card in
        var reading = card.read(&buffer, at: time)
        reading.processes = .value(processes[card.slot] ?? [])
        return reading
      })
  }

  private mutating func look() {
    let base = root + "/sys/class/drm"
    // `card0` is a device, `card0-DP-1` one of its sockets.
    let names = entries(base).filter { $0.hasPrefix("card") && $0.dropFirst(4).allSatisfy(\.isNumber) }
    cards = names.compactMap { name in
      let path = "\(base)/\(name)"
      // A card without a uevent belongs to none of these drivers.
      guard let facts = try? smallText(path + "/device/uevent") else { return nil }
      let lines = facts.split(separator: "\n")
      guard lines.contains("DRIVER=\(driver.rawValue)") else { return nil }
      let slot = lines.first { $0.hasPrefix("PCI_SLOT_NAME=") }.map { String($0.dropFirst(14)) } ?? name
      if let known = cards.first(where: { $0.path == path && $0.slot == slot }) { return known }
      let id = lines.first { $0.hasPrefix("PCI_ID=") }.map { " (\($0.dropFirst(7)))" } ?? ""
      // Few cards report their product name.
      let sold = (try? smallText(path + "/device/product_name")) ?? ""
      let title = sold.isEmpty ? "\(driver.maker) GPU\(id)" : sold
      return DeviceCard(path: path, slot: slot, name: title, driver: driver)
    }
  }
}

/// A file that holds one number and stays open.
private final class NumberCell {
  private var file: NumberFile

  init(_ path: String) { file = NumberFile(path) }

  /// The first of these files that exists; nil if none does.
  static func first(_ paths: String...) -> NumberCell? {
    paths.first { access($0, F_OK) == 0 }.map { NumberCell($0) }
  }

  func read(_ buffer: inout [UInt8]) -> Reading<Double> {
    do throws(SourceError) {
      return .value(try file.read(&buffer))
    } catch {
      return .unavailable(error.description)
    }
  }
}

/// Which file holds which figure; nil if the driver has none.
private struct Layout {
  /// Percent of the time that it computes.
  var busy: NumberCell?
  /// Milliseconds asleep since the start.
  var idle: NumberCell?
  var memoryUsed: NumberCell?
  var memoryTotal: NumberCell?
  /// Thousandths of a degree.
  var temperature: NumberCell?
  var critical: NumberCell?
  /// Millionths of a watt.
  var power: NumberCell?
  var powerLimit: NumberCell?
  /// Millionths of a joule since the start.
  var energy: NumberCell?
  var clock: NumberCell?
  var memoryClock: NumberCell?
  /// Steps of the clocks in a MHz.
  var clockScale = 1.0
  /// Each file holds 1 while its cause slows the clock.
  var throttle: [(word: String, file: NumberCell)] = []
  /// A file with lines such as `ue: 0` and `ce: 0`.
  var errors: String?

  init(card: String, driver: DeviceFiles.Driver) {
    let device = card + "/device"
    let hwmon = device + "/hwmon/" + (entries(device + "/hwmon").first ?? "hwmon0")
    switch driver {
    case .amdgpu:
      // Source: Linux, Documentation/gpu/amdgpu/thermal.rst and driver-misc.rst. pcie_bw is not
      // read, because reading it takes a second.
      busy = NumberCell(device + "/gpu_busy_percent")
      memoryUsed = NumberCell(device + "/mem_info_vram_used")
      memoryTotal = NumberCell(device + "/mem_info_vram_total")
      temperature = NumberCell(hwmon + "/temp1_input")
      critical = .first(hwmon + "/temp1_crit")
      power = .first(hwmon + "/power1_average", hwmon + "/power1_input")
      powerLimit = .first(hwmon + "/power1_cap")
      clock = .first(hwmon + "/freq1_input")
      memoryClock = .first(hwmon + "/freq2_input")
      clockScale = 1_000_000
      let counts = device + "/ras/umc_err_count"
      errors = access(counts, F_OK) == 0 ? counts : nil
    case .i915:
      // Source: Linux, Documentation/ABI/testing/sysfs-driver-intel-i915-hwmon,
      // drivers/gpu/drm/i915/gt/intel_gt_sysfs_pm.c.
      idle = .first(card + "/gt/gt0/rc6_residency_ms", card + "/power/rc6_residency_ms")
      temperature = .first(hwmon + "/temp1_input")
      powerLimit = .first(hwmon + "/power1_max")
      energy = .first(hwmon + "/energy1_input")
      clock = .first(card + "/gt/gt0/rps_act_freq_mhz", card + "/gt_act_freq_mhz")
      throttle = Self.reasons(card + "/gt/gt0", "throttle_reason_")
    case .xe:
      // Source: Linux, Documentation/ABI/testing/sysfs-driver-intel-xe-hwmon,
      // drivers/gpu/drm/xe/xe_gt_freq.c, xe_gt_idle.c, xe_gt_throttle.c. In hwmon, 1 is the card
      // and 2 the package on it.
      let gt = device + "/tile0/gt0"
      idle = .first(gt + "/gtidle/idle_residency_ms")
      memoryTotal = .first(device + "/tile0/physical_vram_size_bytes")
      temperature = .first(hwmon + "/temp2_input", hwmon + "/temp1_input")
      critical = .first(hwmon + "/temp2_crit", hwmon + "/temp1_crit")
      powerLimit = .first(hwmon + "/power1_max", hwmon + "/power2_max")
      energy = .first(hwmon + "/energy1_input", hwmon + "/energy2_input")
      clock = .first(gt + "/freq0/act_freq")
      throttle = Self.reasons(gt + "/freq0/throttle", "reason_")
    }
  }

  private static func reasons(_ directory: String, _ prefix: String) -> [(word: String, file: NumberCell)] {
    entries(directory).filter { $0.hasPrefix(prefix) && $0 != prefix + "status" }.map { name in
      let word = String(name.dropFirst(prefix.count))
      return (words[word] ?? word, NumberCell("\(directory)/\(name)"))
    }
  }

  private static let words = [
    "pl1": "power limit", "pl2": "short power limit", "pl4": "peak current", "thermal": "heat",
    "prochot": "heat elsewhere (prochot)", "ratl": "heat (running average)",
    "vr_thermalert": "heat of the regulator", "vr_tdc": "current of the regulator",
  ]
}

/// One card.
private final class DeviceCard {
  let path: String
  let slot: String
  private let name: String
  private let layout: Layout
  private var before: (time: Int64, energy: Double?, idle: Double?)?

  init(path: String, slot: String, name: String, driver: DeviceFiles.Driver) {
    self.path = path
    self.slot = slot
    self.name = name
    layout = Layout(card: path, driver: driver)
  }

  var isThere: Bool { access(path + "/device/uevent", F_OK) == 0 }

  func read(_ buffer: inout [UInt8], at time: Int64) -> GPUReading {
    let seconds = before.flatMap { time > $0.time ? Double(time - $0.time) / 1_000_000 : nil }
    var reading = GPUReading(name: name, unavailable: "the driver does not tell it")
    func set(_ field: WritableKeyPath<GPUReading, Reading<Double>>, _ cell: NumberCell?, _ unit: Double) {
      if let cell { reading[keyPath: field] = cell.read(&buffer).map { $0 / unit } }
    }
    set(\.utilization, layout.busy, 100)
    set(\.temperature, layout.temperature, 1_000)
    set(\.slowdownTemperature, layout.critical, 1_000)
    set(\.power, layout.power, 1_000_000)
    set(\.powerLimit, layout.powerLimit, 1_000_000)
    set(\.clock, layout.clock, layout.clockScale)
    set(\.memoryClock, layout.memoryClock, layout.clockScale)
    if let cell = layout.memoryUsed { reading.memoryUsed = cell.read(&buffer).map(Self.bytes) }
    if let cell = layout.memoryTotal { reading.memoryTotal = cell.read(&buffer).map(Self.bytes) }

    let idle = layout.idle?.read(&buffer)
    if let idle {
      reading.utilization = Self.passed(idle, before?.idle).map { asleep in
        seconds.map { max(0, 1 - asleep / 1_000 / $0) } ?? 0
      }
    }
    let energy = layout.energy?.read(&buffer)
    if let energy {
      reading.joules = Self.passed(energy, before?.energy).map { $0 / 1_000_000 }
      if layout.power == nil {
        reading.power = reading.joules.map { joules in seconds.map { joules / $0 } ?? 0 }
      }
    } else {
      reading.joules = reading.power
      if reading.power.current != nil {
        reading.joules = seconds.map { seconds in reading.power.map { $0 * seconds } } ?? .warmingUp
      }
    }
    before = (time, energy?.current, idle?.current)

    if !layout.throttle.isEmpty {
      let states = layout.throttle.map { (word: $0.word, state: $0.file.read(&buffer)) }
      if let failed = states.first(where: { $0.state.current == nil }) {
        reading.throttle = failed.state.map { _ in [] }
      } else {
        reading.throttle = .value(states.filter { $0.state.current != 0 }.map(\.word))
      }
    }
    if let path = layout.errors {
      reading.correctedErrors = Self.count("ce", path)
      reading.uncorrectedErrors = Self.count("ue", path)
    }
    return reading
  }

  /// A counter's increase since the last sample; a counter that went backwards was restarted from
  /// zero.
  private static func passed(_ now: Reading<Double>, _ before: Double?) -> Reading<Double> {
    guard let value = now.current else { return now }
    guard let before, value >= before else { return .warmingUp }
    return .value(value - before)
  }

  private static func bytes(_ value: Double) -> Int64 { Int64(max(0, min(value, 9e18))) }

  private static func count(_ word: String, _ path: String) -> Reading<Int64> {
    do throws(SourceError) {
      for line in try smallText(path).split(separator: "\n") where line.hasPrefix(word + ": ") {
        if let count = Int64(line.dropFirst(word.utf8.count + 2)) { return .value(count) }
      }
      return .unavailable("\(path) is not understood")
    } catch {
      return .unavailable(error.description)
    }
  }
}
