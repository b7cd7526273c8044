import Foundation
import Telemetry
import Testing

private let second: Int64 = 1_000_000

/// Two samples, a second apart by their own clock, around a change.
private func rates(_ tree: Tree, _ change: () throws -> Void) rethrows -> MachineSample {
  var sampler = MachineSampler(root: tree.root, stateDirectory: tree.root)
  _ = sampler.sample(at: 0)
  try change()
  return sampler.sample(at: second)
}

@Suite struct FixtureTests {
  @Test func sixtyFourCoresAreEachReadByTheirOwnTicks() throws {
    let tree = try Tree()
    try tree.writeProcessors(64, user: 1_000, idle: 9_000)
    let sample = try rates(tree) {
      var text = "cpu  64100 0 64 579200 128 0 0 64 0 0\n"
      for core in 0..<64 { text += "cpu\(core) \(1_000 + core) 0 1 9030 2 0 0 1 0 0\n" }
      try tree.write("/proc/stat", text)
    }
    // 100 user, 64 system, 3200 idle, 128 iowait and 64 stolen ticks passed in all.
    let total = try #require(sample.processor.total.current)
    #expect(total.user == 100.0 / 3_556 && total.system == 64.0 / 3_556)
    #expect(total.steal == 64.0 / 3_556 && total.iowait == 128.0 / 3_556)
    #expect(total.busy == 228.0 / 3_556)
    let cores = try #require(sample.processor.cores.current)
    #expect(cores.count == 64)
    // Of core 63: 63 user, 1 system, 30 idle, 2 iowait, 1 stolen.
    #expect(cores[63].busy == 65.0 / 97 && cores[63].user == 63.0 / 97)
    #expect(cores[0].busy == 2.0 / 34)
  }

  @Test func memoryPressureLoadFrequencyAndTemperatureAreReadFromTheirFiles() throws {
    let tree = try Tree()
    try tree.write(
      "/proc/meminfo",
      "MemTotal:       65614216 kB\nMemFree:         2101488 kB\nMemAvailable:   48230064 kB\nSwapTotal:       8388604 kB\nSwapFree:        8000000 kB"
    )
    try tree.write("/proc/self/statm", "1000 500 200 1 0 300 0")
    try tree.write("/proc/loadavg", "3.25 1.10 0.07 2/1234 4321")
    try tree.write(
      "/proc/pressure/cpu",
      "some avg10=12.50 avg60=3.00 avg300=1.00 total=123\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0")
    for (core, kilohertz) in [3_600_000, 1_200_000].enumerated() {
      try tree.write(
        "/sys/devices/system/cpu/cpu\(core)/cpufreq/scaling_cur_freq", "\(kilohertz)")
    }
    try tree.write("/sys/class/hwmon/hwmon0/name", "nvme")
    try tree.write("/sys/class/hwmon/hwmon0/temp1_input", "99000")
    try tree.write("/sys/class/hwmon/hwmon3/name", "k10temp")
    try tree.write("/sys/class/hwmon/hwmon3/temp1_input", "71250")
    var sampler = MachineSampler(root: tree.root, stateDirectory: tree.root)
    let sample = sampler.sample(at: 0)
    #expect(
      sample.memory.total == .value(67_188_957_184) && sample.memory.available == .value(49_387_585_536))
    #expect(sample.memory.used == .value(17_801_371_648))
    #expect(sample.memory.swapTotal == .value(8_589_930_496) && sample.memory.swapUsed == .value(397_930_496))
    #expect(sample.memory.resident == .value(2_048_000) && sample.memory.residentFile == .value(819_200))
    #expect(sample.processor.load == .value([3.25, 1.1, 0.07]))
    #expect(sample.pressure.cpu == .value(0.125))
    #expect(
      sample.pressure.io
        == .unavailable("this kernel tells no pressure (PSI): no \(tree.root)/proc/pressure/io here"))
    #expect(sample.processor.frequency == .value(2_400))
    #expect(sample.processor.temperature == .value(71.25))
  }

  @Test func aLaptopWithoutRAPLPermissionSaysHowToGetIt() throws {
    let tree = try Tree()
    let domain = "/sys/class/powercap/intel-rapl:0"
    try tree.write(domain + "/name", "package-0")
    try tree.write(domain + "/max_energy_range_uj", "262143328850")
    try tree.write(domain + "/energy_uj", "1000000")
    chmod(tree.root + domain + "/energy_uj", 0)
    // Root may read anything; what then is read is right.
    var sampler = MachineSampler(root: tree.root, stateDirectory: tree.root)
    let reading = sampler.sample(at: 0).processor
    if getuid() == 0 {
      #expect(reading.power == .warmingUp)
    } else {
      let path = tree.root + domain + "/energy_uj"
      #expect(
        reading.power
          == .unavailable("no permission to read \(path); root may: chmod o+r \(path), or a udev rule"))
    }
  }

  @Test func energyCountersAreAddedOverPackagesAndWrapAtTheirRange() throws {
    let tree = try Tree()
    for (package, energy) in [(0, "262143000000"), (1, "5000000")] {
      let domain = "/sys/class/powercap/intel-rapl:\(package)"
      try tree.write(domain + "/name", "package-\(package)")
      try tree.write(domain + "/max_energy_range_uj", "262143328850")
      try tree.write(domain + "/energy_uj", energy)
      // The cores are a part of their package.
      try tree.write("/sys/class/powercap/intel-rapl:\(package):0/name", "core")
      try tree.write("/sys/class/powercap/intel-rapl:\(package):0/energy_uj", "1")
    }
    let sample = try rates(tree) {
      try tree.write("/sys/class/powercap/intel-rapl:0/energy_uj", "671150")
      try tree.write("/sys/class/powercap/intel-rapl:1/energy_uj", "25000000")
    }
    // 1 J over the wrap, and 20 J.
    #expect(sample.processor.joules == .value(21) && sample.processor.power == .value(21))
  }

  @Test func aContainerSeesTheLowestLimitAroundIt() throws {
    let tree = try Tree()
    try tree.write("/proc/self/cgroup", "0::/kubepods/pod1/main")
    try tree.write("/sys/fs/cgroup/kubepods/pod1/main/cpu.max", "max 100000")
    try tree.write("/sys/fs/cgroup/kubepods/pod1/main/memory.max", "max")
    try tree.write("/sys/fs/cgroup/kubepods/pod1/cpu.max", "250000 100000")
    try tree.write("/sys/fs/cgroup/kubepods/pod1/memory.max", "8589934592")
    try tree.write("/sys/fs/cgroup/kubepods/memory.max", "17179869184")
    let limits = ContainerLimits(root: tree.root)
    #expect(limits.processors == 2.5 && limits.memory == 8_589_934_592)
    #expect(limits.words(cores: 64, memoryTotal: 1 << 38) == "2.5 of 64 cores, 8.0 GiB")
    #expect(limits.words(cores: 2, memoryTotal: 1 << 32) == nil)
  }

  @Test func limitsOfTheFirstControlGroupsCountToo() throws {
    let tree = try Tree()
    try tree.write("/proc/self/cgroup", "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n0::/")
    // In a container the host's path is not there; its own group is the root.
    try tree.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "4294967296")
    try tree.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "400000")
    try tree.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000")
    let limits = ContainerLimits(root: tree.root)
    #expect(limits.processors == 4 && limits.memory == 4_294_967_296)
    try tree.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712")
    try tree.write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1")
    #expect(ContainerLimits(root: tree.root).words(cores: 64, memoryTotal: nil) == nil)
    // A folder that names its controllers in another order is reached by the link of one name.
    try tree.write("/proc/self/cgroup", "1:cpuacct,cpu:/docker/abc")
    try tree.write("/sys/fs/cgroup/cpu/docker/cpu.cfs_quota_us", "300000")
    try tree.write("/sys/fs/cgroup/cpu/docker/cpu.cfs_period_us", "100000")
    #expect(ContainerLimits(root: tree.root).processors == 3)
  }

  /// Each source is taken away in turn: what it told becomes unavailable, and nothing else changes.
  @Test(arguments: [
    ("/proc/stat", ["total", "cores"]), ("/proc/loadavg", ["load"]),
    ("/proc/meminfo", ["total memory", "available"]), ("/proc/self/statm", ["resident"]),
    ("/proc/pressure/memory", ["memory pressure"]), ("/sys/class/hwmon/hwmon0/temp1_input", ["temperature"]),
    ("/sys/class/powercap/intel-rapl:0/energy_uj", ["power"]),
    ("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", ["frequency"]),
  ])
  func aSourceThatGoesChangesItsOwnReadingsOnly(_ file: String, _ names: [String]) throws {
    let tree = try Tree()
    try tree.write("/proc/loadavg", "3.25 1.10 0.07 2/1234 4321")
    try tree.write("/proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 50 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB")
    try tree.write("/proc/self/statm", "1000 500 200 1 0 300 0")
    for kind in ["cpu", "memory", "io"] {
      try tree.write("/proc/pressure/\(kind)", "some avg10=1.00 avg60=0.00 avg300=0.00 total=1")
    }
    try tree.write("/sys/class/hwmon/hwmon0/name", "coretemp")
    try tree.write("/sys/class/hwmon/hwmon0/temp1_input", "50000")
    try tree.write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "2000000")
    try tree.write("/sys/class/powercap/intel-rapl:0/name", "package-0")
    try tree.write("/sys/class/powercap/intel-rapl:0/max_energy_range_uj", "9000000")

    var sampler = MachineSampler(root: tree.root, stateDirectory: tree.root)
    func step(_ number: Int, without gone: String?) throws -> [String: String] {
      if gone != "/proc/stat" { try tree.writeProcessors(2, user: 100 * number, idle: 100 * number) }
      if gone != "/sys/class/powercap/intel-rapl:0/energy_uj" {
        try tree.write("/sys/class/powercap/intel-rapl:0/energy_uj", "\(number * 1_000_000)")
      }
      let sample = sampler.sample(at: Int64(number) * second)
      return [
        "total": "\(sample.processor.total)", "cores": "\(sample.processor.cores)",
        "load": "\(sample.processor.load)", "frequency": "\(sample.processor.frequency)",
        "temperature": "\(sample.processor.temperature)", "power": "\(sample.processor.power)",
        "total memory": "\(sample.memory.total)", "available": "\(sample.memory.available)",
        "resident": "\(sample.memory.resident)", "cpu pressure": "\(sample.pressure.cpu)",
        "memory pressure": "\(sample.pressure.memory)", "io pressure": "\(sample.pressure.io)",
      ]
    }
    _ = try step(1, without: nil)
    let before = try step(2, without: nil)
    #expect(before.values.allSatisfy { $0.hasPrefix("value(") }, "\(before)")
    // Emptied: an open descriptor of a file in a real directory outlives its name, one of sysfs does not.
    try tree.write(file, "")
    let during = try step(3, without: file)
    for (name, text) in during {
      if names.contains(name) {
        #expect(!text.hasPrefix("value("), "\(name) is \(text)")
      } else {
        #expect(text == before[name], "\(name)")
      }
    }
  }
}

/// This machine's own readings beside what its other tools say.
@Suite(.serialized) struct AgreementTests {
  private static func run(_ command: String, _ arguments: String...) throws -> [[String]] {
    let (process, output) = (Process(), Pipe())
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = [command] + arguments
    process.environment = ["PATH": "/usr/bin:/bin", "LC_ALL": "C"]
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "\(command) ended with \(process.terminationStatus)")
    return text.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
  }

  private static func has(_ command: String) -> Bool { access("/usr/bin/\(command)", X_OK) == 0 }

  /// A figure of ours, and where it should lie by what another tells.
  private struct Pair {
    let name: String
    let ours: Double
    let theirs: ClosedRange<Double>

    init(_ name: String, _ ours: Double, near theirs: Double, within slack: Double = 0.05) {
      self.init(name, ours, between: theirs, theirs, within: slack)
    }

    init(_ name: String, _ ours: Double, between one: Double, _ other: Double, within slack: Double) {
      self.name = name
      self.ours = ours
      theirs = min(one, other) - slack...max(one, other) + slack
    }
  }

  /// Another's moment is never quite ours, least of all where many programs wait for a processor, and what moves just then
  /// makes us differ by what lies between: so figures agree when they all do so in one of ten tries. Shares have 5
  /// percentage points where nothing else is said.
  private static func expectAgreement(_ tool: String, _ measure: () throws -> [Pair]) throws {
    for attempt in 1...10 {
      let pairs = try measure()
      print(
        "telemetry: \(tool), try \(attempt):",
        pairs.map { "\($0.name) \($0.ours), \($0.theirs)" }.joined(separator: "; "))
      if pairs.allSatisfy({ $0.theirs.contains($0.ours) }) { return }
    }
    Issue.record("in no try did all figures agree with those of \(tool)")
  }

  @Test(.enabled(if: has("vmstat"))) func processorUseAgreesWithVmstat() throws {
    try Self.expectAgreement("vmstat") {
      var sampler = MachineSampler(stateDirectory: "/")
      // The first line is since the start of the machine; the second is the second between them.
      _ = sampler.sample(at: 0)
      let lines = try Self.run("vmstat", "-n", "1", "2")
      let total = try #require(sampler.sample(at: second).processor.total.current)
      let (names, values) = (try #require(lines.dropFirst().first), try #require(lines.last))
      func share(_ name: String) throws -> Double {
        let column = try #require(names.firstIndex(of: name))
        return try #require(Double(values[column])) / 100
      }
      return [
        Pair("busy", total.busy, near: try share("us") + share("sy") + share("st")),
        Pair("user", total.user, near: try share("us")),
        Pair("system", total.system, near: try share("sy")),
        Pair("iowait", total.iowait, near: try share("wa")),
      ]
    }
  }

  /// What `top` prints in two rounds a second apart: the lines of its head by their first word, as pairs of a number and
  /// what it is of, such as `us` or `total`.
  private struct Top {
    var rounds: [[String: [String: Double]]] = []

    init(_ text: String) {
      for line in text.split(separator: "\n") {
        if line.hasPrefix("top - ") { rounds.append([:]) }
        guard let colon = line.firstIndex(of: ":"), !rounds.isEmpty,
          ["%Cpu(s)", "KiB Mem ", "KiB Swap"].contains(line[..<colon])
        else { continue }
        var named: [String: Double] = [:]
        // `  0.4 us,`, and `22.9 avail Mem` after the last point of the line of swap.
        for part in line[line.index(after: colon)...].split(whereSeparator: { $0 == "," || $0 == "\t" }) {
          let words = part.replacing(". ", with: " ").split(separator: " ")
          for (number, name) in zip(words, words.dropFirst()) {
            if let value = Double(number) { named[String(name)] = value }
          }
        }
        rounds[rounds.count - 1][String(line[..<colon])] = named
      }
    }
  }

  /// One second of top and of our own sampler beside it.
  private func besideTop() throws -> (round: [String: [String: Double]], sample: MachineSample) {
    let (process, output) = (Process(), Pipe())
    process.executableURL = URL(filePath: "/usr/bin/top")
    process.arguments = ["-b", "-n", "2", "-d", "1", "-E", "k", "-w", "200"]
    // Its own settings would change the lines.
    process.environment = ["LC_ALL": "C", "HOME": "/nonexistent", "TERM": "dumb"]
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    var sampler = MachineSampler(stateDirectory: "/")
    try process.run()
    // Its second begins when the first round is there.
    var text = ""
    while !text.contains("KiB Swap") {
      let data = output.fileHandleForReading.availableData
      try #require(!data.isEmpty, "top ended: \(text)")
      text += String(decoding: data, as: UTF8.self)
    }
    _ = sampler.sample(at: 0)
    while Top(text).rounds.count < 2 {
      let data = output.fileHandleForReading.availableData
      try #require(!data.isEmpty, "top ended: \(text)")
      text += String(decoding: data, as: UTF8.self)
    }
    let sample = sampler.sample(at: second)
    text += String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (try #require(Top(text).rounds.last), sample)
  }

  @Test(.enabled(if: has("top"), "there is no top here: procps has it"))
  func processorAgreesWithTop() throws {
    try Self.expectAgreement("top") {
      let (round, sample) = try besideTop()
      let use = try #require(round["%Cpu(s)"])
      func share(_ names: String...) throws -> Double {
        try names.reduce(0) { $0 + (try #require(use[$1], "no '\($1)' in \(use)")) } / 100
      }
      let total = try #require(sample.processor.total.current)
      return [
        Pair("user", total.user, near: try share("us", "ni")),
        Pair("system", total.system, near: try share("sy", "hi", "si")),
        Pair("idle", 1 - total.busy - total.iowait, near: try share("id")),
        Pair("iowait", total.iowait, near: try share("wa")),
        Pair("steal", total.steal, near: try share("st")),
      ]
    }
  }

  /// The total to the KiB, and the rest within 2 % of the total, which others move meanwhile. `free` and `buff/cache` are
  /// figures that we do not show; what is available lies between the first and the sum of both, as far as that goes.
  @Test(.enabled(if: has("top"), "there is no top here: procps has it"))
  func memoryAgreesWithTop() throws {
    try Self.expectAgreement("top") {
      let (round, sample) = try besideTop()
      let (memory, swap) = (try #require(round["KiB Mem "]), try #require(round["KiB Swap"]))
      func bytes(_ line: [String: Double], _ name: String) throws -> Double {
        try #require(line[name], "no '\(name)' in \(line)") * 1_024
      }
      let all = Double(try #require(sample.memory.total.current))
      let available = Double(try #require(sample.memory.available.current))
      let used = Double(try #require(sample.memory.used.current))
      let slack = all / 50
      #expect(all == (try bytes(memory, "total")))
      #expect(sample.memory.swapTotal == .value(Int64(try bytes(swap, "total"))))
      // Since 4.0 procps counts as used what is not available; before, what is neither free nor in the cache, which is
      // less.
      let (top, free) = (try bytes(memory, "used"), try bytes(memory, "free"))
      let isRecent = abs(top - (all - (try bytes(swap, "avail")))) <= 1_048_576
      return [
        Pair("available", available, near: try bytes(swap, "avail"), within: slack),
        Pair("available", available, between: free, free + (try bytes(memory, "buff/cache")), within: slack),
        Pair("used", used, between: top, isRecent ? top : .infinity, within: slack),
        Pair(
          "swap used", Double(try #require(sample.memory.swapUsed.current)), near: try bytes(swap, "used"),
          within: slack),
      ]
    }
  }

  /// The sums of all processors in `/proc/stat` around the sample, taken by other code: the use lies within 2 points.
  @Test func processorUseAgreesWithProcStat() throws {
    func ticks() throws -> [Double] {
      let line = try #require(
        String(contentsOfFile: "/proc/stat", encoding: .utf8).split(separator: "\n").first)
      return line.split(separator: " ").dropFirst().prefix(8).compactMap { Double($0) }
    }
    try Self.expectAgreement("/proc/stat") {
      var sampler = MachineSampler(stateDirectory: "/")
      let start = try ticks()
      _ = sampler.sample(at: 0)
      var now = start
      var work = 0.0
      while now.reduce(0, +) - start.reduce(0, +) < 100 {
        for i in 0..<100_000 { work += Double(i).squareRoot() }
        now = try ticks()
      }
      let sample = sampler.sample(at: second)
      #expect(work > 0)
      let passed = zip(now, start).map { $0 - $1 }
      let all = passed.reduce(0, +)
      let total = try #require(sample.processor.total.current)
      return [
        Pair("busy", total.busy, near: 1 - (passed[3] + passed[4]) / all, within: 0.02),
        Pair("user", total.user, near: (passed[0] + passed[1]) / all, within: 0.02),
      ]
    }
  }

  /// Totals are equal; what is available lies between two readings of `free` around it, give or take 2 % of the memory.
  @Test(.enabled(if: has("free"))) func memoryAgreesWithFree() throws {
    func free() throws -> (memory: [Int64], swap: [Int64]) {
      let lines = try Self.run("free", "-b")
      let memory = try #require(lines.first { $0.first == "Mem:" }).compactMap { Int64($0) }
      let swap = try #require(lines.first { $0.first == "Swap:" }).compactMap { Int64($0) }
      return (memory, swap)
    }
    try Self.expectAgreement("free") {
      let before = try free()
      var sampler = MachineSampler(stateDirectory: "/")
      let reading = sampler.sample(at: 0).memory
      let after = try free()
      #expect(reading.total == .value(before.memory[0]))
      #expect(reading.swapTotal == .value(before.swap[0]))
      let slack = Double(before.memory[0]) / 50
      func pair(_ name: String, _ ours: Reading<Int64>, _ one: Int64, _ other: Int64) throws -> Pair {
        Pair(
          name, Double(try #require(ours.current)), between: Double(one), Double(other), within: slack)
      }
      return [
        try pair("available", reading.available, before.memory[5], after.memory[5]),
        try pair("swap used", reading.swapUsed, before.swap[1], after.swap[1]),
      ]
    }
  }

  /// The limits are the lowest ones in the files of this process' control groups and those around them, found by the
  /// table of mounts: exactly, as nobody moves them. What this machine has is printed.
  @Test(.enabled(if: access("/proc/self/cgroup", R_OK) == 0, "this kernel has no control groups"))
  func limitsAgreeWithTheFilesOfTheControlGroups() throws {
    func lines(_ path: String, by separator: Character) throws -> [[String]] {
      try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        .map { $0.split(separator: separator, omittingEmptySubsequences: false).map(String.init) }
    }
    let (mounts, own) = (
      try lines("/proc/self/mounts", by: " "), try lines("/proc/self/cgroup", by: ":")
    )
    /// Directories from this process' group up to the top; version 2 has no controller's name.
    func groups(_ controller: String?) -> [String] {
      let mount = mounts.first { line in
        line[2] == (controller == nil ? "cgroup2" : "cgroup")
          && (controller.map { line[3].split(separator: ",").contains(Substring($0)) } ?? true)
      }
      let line = own.first {
        controller.map($0[1].split(separator: ",").map(String.init).contains) ?? ($0[0] == "0")
      }
      guard let mount, let line else { return [] }
      let names = line[2...].joined(separator: ":").split(separator: "/")
      return (0...names.count).reversed().map {
        ([mount[1]] + names.prefix($0).map(String.init)).joined(separator: "/")
      }
    }
    var found: [String] = []
    func words(_ path: String) -> [String] {
      guard let data = FileManager.default.contents(atPath: path) else { return [] }
      let words = String(decoding: data, as: UTF8.self).split(whereSeparator: \.isWhitespace).map(String.init)
      found.append("\(path): \(words.joined(separator: " "))")
      return words
    }
    var (processors, memory): ([Double], [Int64]) = ([], [])
    for group in groups(nil) {
      let quota = words(group + "/cpu.max").compactMap { Double($0) }
      if quota.count == 2 { processors.append(quota[0] / quota[1]) }
      memory += words(group + "/memory.max").compactMap { Int64($0) }
    }
    for group in groups("cpu") {
      let quota = (words(group + "/cpu.cfs_quota_us") + words(group + "/cpu.cfs_period_us")).compactMap {
        Double($0)
      }
      if quota.count == 2, quota[0] > 0 { processors.append(quota[0] / quota[1]) }
    }
    for group in groups("memory") {
      // The largest number of whole pages means none.
      memory += words(group + "/memory.limit_in_bytes").compactMap { Int64($0) }.filter { $0 < 1 << 60 }
    }
    print("telemetry: control groups:\n  " + found.joined(separator: "\n  "))
    let limits = ContainerLimits()
    #expect(limits.processors == processors.min())
    #expect(limits.memory == memory.min())
    if groups(nil).isEmpty && groups("memory").isEmpty {
      print("telemetry: no control group of either version is mounted")
    }
  }

  /// Within 64 MiB of `/proc/self/status`, which other tests in this process move meanwhile.
  @Test func residentMemoryAgreesWithStatus() throws {
    try Self.expectAgreement("/proc/self/status") {
      var sampler = MachineSampler(stateDirectory: "/")
      let reading = try #require(sampler.sample(at: 0).memory.resident.current)
      let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8).split(separator: "\n")
      let line = try #require(status.first { $0.hasPrefix("VmRSS:") })
      let kibibytes = try #require(Double(line.split(separator: " ")[1]))
      return [Pair("resident", Double(reading), near: kibibytes * 1_024, within: 64 * 1_048_576)]
    }
  }

  /// The load lies between the two read around it; pressure, where the kernel tells it, too, give or take 5 points.
  @Test func loadAndPressureAgreeWithTheirFiles() throws {
    func words(_ path: String) -> [String] {
      do {
        return try String(contentsOfFile: path, encoding: .utf8)
          .split { $0 == " " || $0 == "\n" || $0 == "=" }.map(String.init)
      } catch {
        return []
      }
    }
    try Self.expectAgreement("/proc/loadavg and /proc/pressure") {
      var sampler = MachineSampler(stateDirectory: "/")
      let load = words("/proc/loadavg").prefix(3).compactMap { Double($0) }
      let pressure = words("/proc/pressure/cpu")
      let sample = sampler.sample(at: 0)
      let later = words("/proc/loadavg").prefix(3).compactMap { Double($0) }
      let found = try #require(sample.processor.load.current)
      var pairs = try (0..<3).map { i in
        try #require(load.count == 3 && later.count == 3)
        return Pair("load", found[i], between: load[i], later[i], within: 1e-9)
      }
      if let share = sample.pressure.cpu.current {
        pairs.append(Pair("pressure", share, near: try #require(Double(pressure[2])) / 100))
      } else {
        #expect(pressure.isEmpty)
      }
      return pairs
    }
  }

  /// Within 1 GiB of `df`, as others write meanwhile.
  @Test(.enabled(if: has("df"))) func freeDiskAgreesWithDf() throws {
    try Self.expectAgreement("df") {
      var sampler = MachineSampler(stateDirectory: "/")
      let disk = sampler.sample(at: 0).disk
      let line = try #require(try Self.run("df", "-B1", "--output=size,avail", "/").last)
      #expect(disk.total == .value(try #require(Int64(line[0]))))
      return [
        Pair(
          "free", Double(try #require(disk.free.current)), near: try #require(Double(line[1])),
          within: 1_073_741_824)
      ]
    }
  }
}

/// What sampling costs. The figures are printed; the bound holds for optimised code.
@Suite(.enabled(if: FakeNVML.absence == nil), .serialized) struct CostTests {
  private static func processorSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  @Test func sixtyFourCoresAndEightGPUsCostUnderAFifthOfAPercentOfACore() throws {
    let tree = try Tree()
    try tree.write("/proc/loadavg", "3.25 1.10 0.07 2/1234 4321")
    try tree.write(
      "/proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 50 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB")
    try tree.write("/proc/self/statm", "1000 500 200 1 0 300 0")
    try tree.write("/proc/diskstats", "259 0 nvme0n1 1 2 3 4 5 6 7 8 9 10 11")
    for kind in ["cpu", "memory", "io"] {
      try tree.write("/proc/pressure/\(kind)", "some avg10=1.00 avg60=0.00 avg300=0.00 total=1")
    }
    try tree.write("/sys/class/hwmon/hwmon0/name", "coretemp")
    try tree.write("/sys/class/hwmon/hwmon0/temp1_input", "50000")
    for core in 0..<64 {
      try tree.write("/sys/devices/system/cpu/cpu\(core)/cpufreq/scaling_cur_freq", "2000000")
    }
    for package in 0..<2 {
      try tree.write("/sys/class/powercap/intel-rapl:\(package)/name", "package-\(package)")
      try tree.write("/sys/class/powercap/intel-rapl:\(package)/max_energy_range_uj", "9000000")
      try tree.write("/sys/class/powercap/intel-rapl:\(package)/energy_uj", "1")
    }
    try tree.writeProcessors(64, user: 123_456_789, idle: 987_654_321)
    for card in 0..<8 { try tree.addRadeon(card) }
    let fake = try FakeNVML()
    try fake.count(8)
    for gpu in 0..<UInt32(8) { try fake.set(gpu, FakeNVML.busy) }

    var sampler = MachineSampler(root: tree.root, stateDirectory: tree.root)
    var radeons = DeviceFiles(root: tree.root, driver: .amdgpu)
    var others = [
      DeviceFiles(root: tree.root, driver: .i915), DeviceFiles(root: tree.root, driver: .xe),
    ]
    var nvidia = NVIDIALibrary(path: fake.path)
    let count = 200
    func cost(_ sample: (Int64) throws -> Void) rethrows -> Double {
      try sample(0)
      let start = Self.processorSeconds()
      for turn in 1...count { try sample(Int64(turn) * second) }
      return (Self.processorSeconds() - start) / Double(count)
    }
    let machine = cost { _ = sampler.sample(at: $0) }
    let amd = cost { _ = radeons.read(at: $0) }
    let rest = cost { time in for index in others.indices { _ = others[index].read(at: time) } }
    let nvml = cost { _ = nvidia.read(at: $0) }
    func percent(_ seconds: Double) -> String { String(format: "%.4f %%", seconds * 100) }
    print(
      "telemetry: of a core at 1 Hz: machine of 64 cores \(percent(machine)), 8 AMD GPUs \(percent(amd)), "
        + "i915 and xe \(percent(rest)), 8 NVIDIA GPUs \(percent(nvml)) without the driver's own work")
    #if !DEBUG
      #expect(machine + max(amd, nvml) + rest < 0.002)
    #endif
  }
}
