// Processor.swift: the processors: use by kind and by core, load, pressure, frequency, temperature,
// power. Memory is in MemoryAndDisk.swift, GPUs in GPU.swift. Start at ProcessorSource.read.
import Glibc

/// Shares of one interval, 0 to 1.
package struct ProcessorUse: Sendable, Equatable, Codable {
  package let busy: Double
  package let user: Double
  package let system: Double
  package let iowait: Double
  /// Time that the hypervisor gave to other machines.
  package let steal: Double

  package init(busy: Double, user: Double, system: Double, iowait: Double, steal: Double) {
    self.busy = busy
    self.user = user
    self.system = system
    self.iowait = iowait
    self.steal = steal
  }
}

/// Ticks of one processor since the start, as in `/proc/stat`.
/// Source: proc(5), /proc/stat.
private struct Ticks {
  var user: UInt64 = 0
  var nice: UInt64 = 0
  var system: UInt64 = 0
  var idle: UInt64 = 0
  var iowait: UInt64 = 0
  var irq: UInt64 = 0
  var softirq: UInt64 = 0
  var steal: UInt64 = 0

  /// Nil if no time has passed, or a counter went back (a processor was removed and added again).
  func use(since old: Ticks) -> ProcessorUse? {
    func passed(_ field: KeyPath<Ticks, UInt64>) -> Double {
      // iowait and idle may decrease slightly; that counts as no time.
      let (new, before) = (self[keyPath: field], old[keyPath: field])
      return new > before ? Double(new - before) : 0
    }
    let (user, system) = (
      passed(\.user) + passed(\.nice), passed(\.system) + passed(\.irq) + passed(\.softirq)
    )
    let (idle, iowait, steal) = (passed(\.idle), passed(\.iowait), passed(\.steal))
    let total = user + system + idle + iowait + steal
    guard total > 0 else { return nil }
    return ProcessorUse(
      busy: (user + system + steal) / total, user: user / total, system: system / total,
      iowait: iowait / total, steal: steal / total)
  }
}

/// The processors since the last reading.
package struct ProcessorReading: Sendable, Equatable {
  package var total: Reading<ProcessorUse> = .warmingUp
  package var cores: Reading<[ProcessorUse]> = .warmingUp
  /// Averages over 1, 5 and 15 minutes.
  package var load: Reading<[Double]> = .warmingUp
  /// Mean over all cores, in MHz.
  package var frequency: Reading<Double> = .warmingUp
  /// Celsius.
  package var temperature: Reading<Double> = .warmingUp
  /// Watts, all packages.
  package var power: Reading<Double> = .warmingUp
  /// Joules since the last reading.
  package var joules: Reading<Double> = .warmingUp
}

struct ProcessorSource: ~Copyable {
  private var stat: ProcFile
  private var loadavg: ProcFile
  private var before: [Ticks] = []
  private var now: [Ticks] = []
  private var frequencies: FrequencySource
  private var temperature: TemperatureSource
  private var energy: EnergySource

  /// - root: "" for this machine; tests pass a directory of fixtures.
  init(root: String) {
    stat = ProcFile(root + "/proc/stat")
    loadavg = ProcFile(root + "/proc/loadavg")
    frequencies = FrequencySource(root: root)
    temperature = TemperatureSource(root: root)
    energy = EnergySource(root: root)
  }

  /// - seconds: since the last reading; nil for the first
  mutating func read(_ buffer: inout [UInt8], seconds: Double?) -> ProcessorReading {
    var reading = ProcessorReading()
    do throws(SourceError) {
      let count = try stat.read(into: &buffer)
      parse(buffer, count)
      if before.count == now.count, !now.isEmpty {
        let uses = zip(now, before).map { $0.use(since: $1) }
        if let total = uses.first ?? nil { reading.total = .value(total) }
        let cores = uses.dropFirst().compactMap { $0 }
        if cores.count == now.count - 1 { reading.cores = .value(cores) }
      }
      swap(&before, &now)
    } catch {
      reading.total = .unavailable(error.description)
      reading.cores = .unavailable(error.description)
    }
    do throws(SourceError) {
      let count = try loadavg.read(into: &buffer)
      let averages = buffer.prefix(count).withUnsafeBufferPointer { bytes in
        var scanner = WordScanner(bytes)
        return [scanner.decimal(), scanner.decimal(), scanner.decimal()].compactMap { $0 }
      }
      reading.load =
        averages.count == 3 ? .value(averages) : .unavailable("\(loadavg.path) is not understood")
    } catch {
      reading.load = .unavailable(error.description)
    }
    reading.frequency = frequencies.read(&buffer)
    reading.temperature = temperature.read(&buffer)
    reading.joules = energy.read(&buffer)
    if let seconds, seconds > 0 {
      reading.power = reading.joules.map { $0 / seconds }
    } else if case .unavailable(let reason) = reading.joules {
      reading.power = .unavailable(reason)
    }
    return reading
  }

  private mutating func parse(_ buffer: [UInt8], _ count: Int) {
    now.removeAll(keepingCapacity: true)
    buffer.withUnsafeBufferPointer { bytes in
      var scanner = WordScanner(UnsafeBufferPointer(rebasing: bytes[..<count]))
      while scanner.take("cpu") {
        // The core's number; the line for all cores has none.
        scanner.skipRestOfWord()
        var ticks = Ticks()
        ticks.user = scanner.number() ?? 0
        ticks.nice = scanner.number() ?? 0
        ticks.system = scanner.number() ?? 0
        ticks.idle = scanner.number() ?? 0
        ticks.iowait = scanner.number() ?? 0
        ticks.irq = scanner.number() ?? 0
        ticks.softirq = scanner.number() ?? 0
        ticks.steal = scanner.number() ?? 0
        now.append(ticks)
        scanner.nextLine()
      }
    }
  }
}

/// A number in a file, for sources that keep one value per file.
struct NumberFile: ~Copyable {
  var file: ProcFile

  init(_ path: String) { file = ProcFile(path) }

  mutating func read(_ buffer: inout [UInt8]) throws(SourceError) -> Double {
    let count = try file.read(into: &buffer)
    let value = buffer.prefix(count).withUnsafeBufferPointer { bytes -> Double? in
      var scanner = WordScanner(bytes)
      let isNegative = scanner.take("-")
      return scanner.number().map { isNegative ? -Double($0) : Double($0) }
    }
    guard let value else { throw SourceError("\(file.path) holds no number") }
    return value
  }
}

/// Current frequency of the cores, from cpufreq.
private struct FrequencySource: ~Copyable {
  private var files: NumberFiles

  init(root: String) {
    let base = root + "/sys/devices/system/cpu"
    let cores = entries(base).filter {
      $0.hasPrefix("cpu") && $0.dropFirst(3).allSatisfy(\.isNumber) && $0.count > 3
    }
    files = NumberFiles(cores.map { "\(base)/\($0)/cpufreq/scaling_cur_freq" })
  }

  mutating func read(_ buffer: inout [UInt8]) -> Reading<Double> {
    let values = files.read(&buffer)
    guard !values.isEmpty else {
      return .unavailable("this machine does not tell its frequencies (no cpufreq)")
    }
    return .value(values.reduce(0, +) / Double(values.count) / 1_000)
  }
}

/// Several files of one number each; unreadable ones are skipped.
struct NumberFiles: ~Copyable {
  private let paths: [String]
  private var descriptors: [Int32]

  init(_ paths: [String]) {
    self.paths = paths
    descriptors = Array(repeating: -1, count: paths.count)
  }

  deinit { for descriptor in descriptors where descriptor >= 0 { close(descriptor) } }

  mutating func read(_ buffer: inout [UInt8]) -> [Double] {
    var values: [Double] = []
    for index in paths.indices {
      if descriptors[index] < 0 { descriptors[index] = open(paths[index], O_RDONLY | O_CLOEXEC) }
      guard descriptors[index] >= 0 else { continue }
      let descriptor = descriptors[index]
      let count = buffer.withUnsafeMutableBytes { pread(descriptor, $0.baseAddress, min($0.count, 64), 0) }
      guard count > 0 else {
        close(descriptor)
        descriptors[index] = -1
        continue
      }
      let value = buffer.prefix(count).withUnsafeBufferPointer { bytes -> UInt64? in
        var scanner = WordScanner(bytes)
        return scanner.number()
      }
      if let value { values.append(Double(value)) }
    }
    return values
  }
}

/// The package's temperature: from the processor's hwmon, otherwise from a thermal zone.
private struct TemperatureSource: ~Copyable {
  private var sensor: NumberFile
  private let isThere: Bool

  init(root: String) {
    let path = Self.find(root)
    sensor = NumberFile(path ?? "")
    isThere = path != nil
  }

  private static func find(_ root: String) -> String? {
    let hwmon = root + "/sys/class/hwmon"
    for name in entries(hwmon) {
      // A sensor without a name is not the processor's.
      let driver = (try? smallText("\(hwmon)/\(name)/name")) ?? ""
      guard ["coretemp", "k10temp", "zenpower", "cpu_thermal"].contains(driver) else { continue }
      // `Tctl` of k10temp and `Package id 0` of coretemp are both temp1.
      let path = "\(hwmon)/\(name)/temp1_input"
      if access(path, R_OK) == 0 { return path }
    }
    let zones = root + "/sys/class/thermal"
    for name in entries(zones) where name.hasPrefix("thermal_zone") {
      let type = (try? smallText("\(zones)/\(name)/type")) ?? ""  // As above.
      if type == "x86_pkg_temp" || type.hasPrefix("cpu") { return "\(zones)/\(name)/temp" }
    }
    return nil
  }

  mutating func read(_ buffer: inout [UInt8]) -> Reading<Double> {
    guard isThere else {
      return .unavailable("no temperature sensor of the processor (hwmon or thermal zone)")
    }
    do throws(SourceError) {
      let value = try sensor.read(&buffer) / 1_000
      // A disconnected sensor reads 0, or a value far outside of what silicon survives.
      return (-40...200).contains(value) && value != 0
        ? .value(value) : .unavailable("the sensor reads \(value) °C")
    } catch {
      return .unavailable(error.description)
    }
  }
}

/// The energy of all packages, from RAPL through powercap. Source: Linux,
/// Documentation/power/powercap/powercap.rst; counters wrap at max_energy_range_uj.
private struct EnergySource: ~Copyable {
  private let paths: [String]
  private let ranges: [Double]
  private var before: [Double]?

  init(root: String) {
    let base = root + "/sys/class/powercap"
    var paths: [String] = []
    var ranges: [Double] = []
    for name in entries(base) where name.contains("-rapl:") && name.split(separator: ":").count == 2 {
      // Only domains such as `package-0`: the platform domain would count them twice.
      guard let domain = try? smallText("\(base)/\(name)/name"), domain.hasPrefix("package") else { continue }
      paths.append("\(base)/\(name)/energy_uj")
      let range = (try? smallText("\(base)/\(name)/max_energy_range_uj")).flatMap { Double($0) }
      ranges.append(range ?? 0)
    }
    self.paths = paths
    self.ranges = ranges
  }

  /// Joules since the last reading.
  mutating func read(_ buffer: inout [UInt8]) -> Reading<Double> {
    guard !paths.isEmpty else { return .unavailable("this machine does not tell its power (no RAPL)") }
    var now: [Double] = []
    for path in paths {
      do throws(SourceError) {
        var file = NumberFile(path)
        now.append(try file.read(&buffer))
      } catch {
        before = nil
        let isForbidden = access(path, F_OK) == 0 && access(path, R_OK) != 0
        return .unavailable(
          isForbidden
            ? "no permission to read \(path); root may: chmod o+r \(path), or a udev rule" : error.description
        )
      }
    }
    defer { before = now }
    guard let before else { return .warmingUp }
    var joules = 0.0
    for index in now.indices {
      var passed = now[index] - before[index]
      if passed < 0 { passed += ranges[index] }
      joules += max(0, passed) / 1_000_000
    }
    return .value(joules)
  }
}
