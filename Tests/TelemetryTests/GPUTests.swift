import Foundation
import Telemetry
import Testing

private let second: Int64 = 1_000_000

/// Asks, waits for the answers, and takes them.
private func ask(_ watch: GPUWatch, at time: Int64) -> GPUSample {
  _ = watch.sample(at: time)
  watch.settle(seconds: 60)
  return watch.sample(at: time)
}

@Suite struct DeviceFileTests {
  @Test func aMachineWithoutGPUsSaysWhatWasLookedFor() throws {
    let tree = try Tree()
    let sample = ask(GPUWatch(root: tree.root, library: "libnone-such.so.1"), at: 0)
    #expect(
      sample.gpus
        == .unavailable(
          "no GPU found (no NVIDIA library (libnone-such.so.1), no amdgpu device, no i915 device, no xe device)"
        ))
    #expect(sample.problems.isEmpty && sample.joules == 0)
  }

  @Test func aRadeonIsReadAsAPersonReadsIt() throws {
    let tree = try Tree()
    try tree.addRadeon(3)
    var source = DeviceFiles(root: tree.root, driver: .amdgpu)
    guard case .gpus(let first) = source.read(at: 0) else { throw POSIXError(.ENODEV) }
    #expect(first.count == 1)
    let gpu = try #require(first.first)
    #expect(gpu.name == "AMD GPU (1002:744C)")
    #expect(gpu.utilization == .value(0.37))
    #expect(gpu.memoryUsed == .value(1_234_567_168) && gpu.memoryTotal == .value(25_753_026_560))
    #expect(gpu.temperature == .value(61) && gpu.slowdownTemperature == .value(100))
    #expect(gpu.power == .value(212) && gpu.powerLimit == .value(339))
    #expect(gpu.clock == .value(2_371) && gpu.memoryClock == .value(1_249))
    #expect(gpu.correctedErrors == .value(41) && gpu.uncorrectedErrors == .value(2))
    #expect(gpu.joules == .warmingUp)
    #expect(gpu.received == .unavailable("the driver does not tell it"))
    guard case .gpus(let later) = source.read(at: second / 2) else { throw POSIXError(.ENODEV) }
    #expect(later.first?.joules == .value(106))
  }

  @Test func anIntegratedIntelGPUTellsHowLongItWasAwake() throws {
    let tree = try Tree()
    let card = "/sys/class/drm/card0"
    try tree.write(card + "/device/uevent", "DRIVER=i915\nPCI_ID=8086:46A6\nPCI_SLOT_NAME=0000:00:02.0")
    try tree.write(
      [
        "rc6_residency_ms": "500000", "rps_act_freq_mhz": "1150", "throttle_reason_status": "1",
        "throttle_reason_pl1": "1", "throttle_reason_pl2": "0", "throttle_reason_thermal": "1",
      ], under: card + "/gt/gt0")
    var source = DeviceFiles(root: tree.root, driver: .i915)
    guard case .gpus(let first) = source.read(at: 0) else { throw POSIXError(.ENODEV) }
    #expect(first.first?.utilization == .warmingUp)
    try tree.write(card + "/gt/gt0/rc6_residency_ms", "500250")
    guard case .gpus(let gpus) = source.read(at: second) else { throw POSIXError(.ENODEV) }
    let gpu = try #require(gpus.first)
    #expect(gpu.name == "Intel GPU (8086:46A6)")
    #expect(gpu.utilization == .value(0.75))
    #expect(gpu.clock == .value(1_150))
    #expect(gpu.throttle == .value(["power limit", "heat"]))
    #expect(gpu.memoryTotal == .unavailable("the driver does not tell it"))
    #expect(gpu.power.current == nil && gpu.joules.current == nil)
  }

  @Test func anIntelCardOfXeCountsItsEnergy() throws {
    let tree = try Tree()
    let device = "/sys/class/drm/card1/device"
    try tree.write(
      [
        "uevent": "DRIVER=xe\nPCI_ID=8086:E20B\nPCI_SLOT_NAME=0000:03:00.0",
        "tile0/gt0/gtidle/idle_residency_ms": "1000", "tile0/gt0/freq0/act_freq": "2850",
        "tile0/gt0/freq0/throttle/status": "0", "tile0/gt0/freq0/throttle/reason_pl1": "0",
        "tile0/physical_vram_size_bytes": "12884901888", "hwmon/hwmon5/energy1_input": "80000000",
        "hwmon/hwmon5/power1_max": "190000000", "hwmon/hwmon5/temp2_input": "54000",
        "hwmon/hwmon5/temp2_crit": "105000",
      ], under: device)
    var source = DeviceFiles(root: tree.root, driver: .xe)
    _ = source.read(at: 0)
    try tree.write(device + "/hwmon/hwmon5/energy1_input", "380000000")
    try tree.write(device + "/tile0/gt0/gtidle/idle_residency_ms", "2000")
    guard case .gpus(let gpus) = source.read(at: 2 * second) else { throw POSIXError(.ENODEV) }
    let gpu = try #require(gpus.first)
    #expect(gpu.joules == .value(300) && gpu.power == .value(150) && gpu.powerLimit == .value(190))
    #expect(gpu.utilization == .value(0.5))
    #expect(gpu.temperature == .value(54) && gpu.slowdownTemperature == .value(105))
    #expect(gpu.clock == .value(2_850) && gpu.memoryTotal == .value(12_884_901_888))
    #expect(gpu.throttle == .value([]))
  }

  /// fdinfo of i915 as drm-usage-stats.rst shows it: nanoseconds by engine.
  @Test func processesOfAnIntegratedGPUAreReadFromTheirOpenDevices() throws {
    let tree = try Tree()
    try tree.write(
      "/sys/class/drm/card0/device/uevent", "DRIVER=i915\nPCI_ID=8086:46A6\nPCI_SLOT_NAME=0000:00:02.0")
    func client(_ render: Int, _ video: Int) -> String {
      "pos:\t0\nflags:\t0100002\ndrm-driver:\ti915\ndrm-client-id:\t7\ndrm-pdev:\t0000:00:02.0\n"
        + "drm-engine-render:\t\(render) ns\ndrm-engine-video:\t\(video) ns\ndrm-engine-capacity-video:\t2"
    }
    try tree.open("/dev/dri/renderD128", pid: 4711, descriptor: 5, client(1_000_000_000, 500))
    // The same client under another number, another driver's device, and no device at all.
    try tree.open("/dev/dri/renderD128", pid: 4711, descriptor: 6, client(1_000_000_000, 500))
    try tree.open(
      "/dev/dri/card1", pid: 99, descriptor: 3,
      "drm-driver:\tnouveau\ndrm-pdev:\t0000:00:02.0\ndrm-client-id: 1")
    try tree.open("/dev/null", pid: 98, descriptor: 0, "pos:\t0")
    var source = DeviceFiles(root: tree.root, driver: .i915)
    guard case .gpus(let first) = source.read(at: 0) else { throw POSIXError(.ENODEV) }
    #expect(first.first?.processes == .value([GPUProcess(pid: 4711, memory: nil, share: nil)]))
    // In 2 s half a second of rendering, and 3 s of video on two engines.
    for descriptor in [5, 6] {
      try tree.write("/proc/4711/fdinfo/\(descriptor)", client(1_500_000_000, 3_000_000_500))
    }
    guard case .gpus(let later) = source.read(at: 2 * second) else { throw POSIXError(.ENODEV) }
    #expect(later.first?.processes == .value([GPUProcess(pid: 4711, memory: nil, share: 0.75)]))
    // Gone, and nothing else changes.
    try tree.remove("/proc/4711")
    guard case .gpus(let last) = source.read(at: 3 * second) else { throw POSIXError(.ENODEV) }
    #expect(last.first?.processes == .value([]))
    #expect(last.first?.name == "Intel GPU (8086:46A6)")
  }

  /// fdinfo of xe counts cycles of cycles; amdgpu tells its memory in KiB.
  @Test func processesOfXeAndAmdgpuTellTheirMemory() throws {
    let tree = try Tree()
    try tree.write("/sys/class/drm/card1/device/uevent", "DRIVER=xe\nPCI_SLOT_NAME=0000:03:00.0")
    try tree.addRadeon(4)
    func xe(_ busy: Int, _ total: Int) -> String {
      "drm-driver:\txe\ndrm-client-id:\t20\ndrm-pdev:\t0000:03:00.0\ndrm-total-vram0:\t80 MiB\n"
        + "drm-resident-vram0:\t64 MiB\ndrm-resident-system:\t9 KiB\ndrm-cycles-rcs:\t\(busy)\n"
        + "drm-total-cycles-rcs:\t\(total)\ndrm-cycles-bcs:\t0\ndrm-total-cycles-bcs:\t\(total)"
    }
    try tree.open("/dev/dri/renderD129", pid: 12, descriptor: 8, xe(100, 1_000))
    try tree.open(
      "/dev/dri/renderD130", pid: 13, descriptor: 4,
      "drm-driver:\tamdgpu\ndrm-client-id:\t3\ndrm-pdev:\t0000:04:00.0\ndrm-memory-vram:\t2048 KiB\n"
        + "drm-engine-gfx:\t5 ns")
    var (xes, radeons) = (
      DeviceFiles(root: tree.root, driver: .xe), DeviceFiles(root: tree.root, driver: .amdgpu)
    )
    _ = xes.read(at: 0)
    try tree.write("/proc/12/fdinfo/8", xe(350, 2_000))
    guard case .gpus(let cards) = xes.read(at: second) else { throw POSIXError(.ENODEV) }
    #expect(cards.first?.processes == .value([GPUProcess(pid: 12, memory: 64 << 20, share: 0.25)]))
    guard case .gpus(let others) = radeons.read(at: second) else { throw POSIXError(.ENODEV) }
    #expect(others.first?.processes == .value([GPUProcess(pid: 13, memory: 2 << 20, share: nil)]))
  }

  @Test func aFileThatGoesTakesItsOwnReadingOnlyAndComesBack() throws {
    let tree = try Tree()
    try tree.addRadeon(0)
    var source = DeviceFiles(root: tree.root, driver: .amdgpu)
    guard case .gpus(let before) = source.read(at: 0) else { throw POSIXError(.ENODEV) }
    let file = "/sys/class/drm/card0/device/hwmon/hwmon4/temp1_input"
    // An open file without a number is what a sensor that fails leaves.
    try tree.write(file, "")
    guard case .gpus(let during) = source.read(at: 0) else { throw POSIXError(.ENODEV) }
    var expected = try #require(before.first)
    expected.temperature = .unavailable("\(tree.root)\(file) holds no number")
    #expect(during == [expected])
    try tree.write(file, "62000")
    guard case .gpus(let after) = source.read(at: 0) else { throw POSIXError(.ENODEV) }
    #expect(after.first?.temperature == .value(62))
  }

  @Test func aCardThatIsPulledOutIsGoneAndFoundAgain() throws {
    let tree = try Tree()
    try tree.addRadeon(0)
    try tree.addRadeon(1)
    var source = DeviceFiles(root: tree.root, driver: .amdgpu)
    _ = source.read(at: 0)
    try tree.remove("/sys/class/drm/card1")
    guard case .gpus(let rest) = source.read(at: second) else { throw POSIXError(.ENODEV) }
    #expect(rest.count == 1 && rest.first?.utilization == .value(0.37))
    try tree.remove("/sys/class/drm/card0")
    #expect(source.read(at: 2 * second) == .absent("no amdgpu device"))
    try tree.addRadeon(0)
    var found = false
    for turn in 3..<20 {
      if case .gpus(let gpus) = source.read(at: Int64(turn) * second) { found = gpus.count == 1 }
    }
    #expect(found)
  }
}

@Suite(.enabled(if: FakeNVML.absence == nil, "clang makes the library that these tests ask"))
struct NVIDIATests {
  @Test func eightGPUsAreReadEachForItself() throws {
    let fake = try FakeNVML()
    try fake.count(8)
    for gpu in 0..<UInt32(8) {
      try fake.set(gpu, FakeNVML.busy)
      try fake.set(gpu, ["utilization": UInt64(gpu) * 10, "temperature": 50 + UInt64(gpu)])
    }
    try fake.set(5, ["throttle": 0x1 | 0x4 | 0x40 | 0x1000])
    let watch = GPUWatch(root: "/nonexistent", library: fake.path)
    let gpus = try #require(ask(watch, at: 0).gpus.current)
    #expect(gpus.count == 8)
    for (index, gpu) in gpus.enumerated() {
      #expect(gpu.name == "NVIDIA Test \(index)")
      #expect(gpu.utilization == .value(Double(index * 10) / 100))
      #expect(gpu.temperature == .value(Double(50 + index)) && gpu.slowdownTemperature == .value(92))
      #expect(gpu.memoryUsed == .value(40_000_000_000) && gpu.memoryTotal == .value(85_520_809_984))
      #expect(gpu.power == .value(412.345) && gpu.powerLimit == .value(700))
      #expect(gpu.clock == .value(1_755) && gpu.memoryClock == .value(2_619))
      #expect(gpu.correctedErrors == .value(3) && gpu.uncorrectedErrors == .value(0))
      #expect(gpu.sent == .value(1_024_000) && gpu.received == .value(2_048_000))
      #expect(
        gpu.processes
          == .value([GPUProcess(pid: 1000, memory: nil), GPUProcess(pid: 1001, memory: 1_048_576)]))
      #expect(gpu.parts == .value([]))
      #expect(gpu.throttle == .value(index == 5 ? ["power cap", "heat (hardware)", "reason 0x1000"] : []))
    }
  }

  @Test func energyIsTheDriversOwnCountElseThePower() throws {
    let fake = try FakeNVML()
    try fake.count(2)
    try fake.set(0, FakeNVML.busy)
    try fake.set(1, FakeNVML.busy)
    try fake.set(1, ["energy": 0, "power": 100_000])
    var library = NVIDIALibrary(path: fake.path)
    guard case .gpus(let first) = library.read(at: 0) else { throw POSIXError(.ENODEV) }
    #expect(first.map(\.joules) == [.warmingUp, .warmingUp])
    try fake.set(0, ["energy": 5_412_000])
    guard case .gpus(let later) = library.read(at: second) else { throw POSIXError(.ENODEV) }
    #expect(later.map(\.joules) == [.value(412), .value(100)])
    try fake.set(0, ["energy": 7])
    guard case .gpus(let restarted) = library.read(at: 2 * second) else { throw POSIXError(.ENODEV) }
    #expect(restarted.first?.joules == .warmingUp)
  }

  @Test func joulesOfAllGPUsAreHandedOutOnce() throws {
    let fake = try FakeNVML()
    try fake.count(1)
    try fake.set(0, FakeNVML.busy)
    let watch = GPUWatch(root: "/nonexistent", library: fake.path)
    _ = watch.sample(at: 0)
    watch.settle(seconds: 60)
    try fake.set(0, ["energy": 5_300_000])
    _ = watch.sample(at: second)
    watch.settle(seconds: 60)
    #expect(watch.sample(at: 2 * second).joules == 300)
    watch.settle(seconds: 60)
    #expect(watch.sample(at: 3 * second).joules == 0)
  }

  @Test(arguments: [
    (Int32(3), "this GPU does not tell it"),
    (4, "no permission to ask the GPU: give this user access to /dev/nvidia*"),
    (15, "the GPU fell off the bus: see the kernel's log, then reset or reboot"),
    (16, "the GPU wants a reset: 'nvidia-smi --gpu-reset' as root"),
    (17, "the system or the container blocks /dev/nvidia*"), (999, "an unknown error of the driver"),
    (4_711, "NVML error 4711"),
  ])
  func anErrorOfOneGPUIsItsOwn(_ error: Int32, _ words: String) throws {
    let fake = try FakeNVML()
    try fake.count(2)
    for gpu in 0..<UInt32(2) { try fake.set(gpu, FakeNVML.busy) }
    var library = NVIDIALibrary(path: fake.path)
    guard case .gpus(let healthy) = library.read(at: 0) else { throw POSIXError(.ENODEV) }
    try fake.set(1, ["error": UInt64(error)])
    // At the next look at slow figures all are errors.
    var gpus: [GPUReading] = []
    for turn in 1...Int64(NVIDIALibrary.slowPeriod) {
      guard case .gpus(let found) = library.read(at: turn * second) else { throw POSIXError(.ENODEV) }
      gpus = found
    }
    #expect(gpus.first?.utilization == healthy.first?.utilization)
    #expect(gpus.last == GPUReading(name: "NVIDIA Test 1", unavailable: words))
    try fake.set(1, ["error": 0])
    for turn in 10...Int64(20) {
      guard case .gpus(let found) = library.read(at: turn * second) else { throw POSIXError(.ENODEV) }
      gpus = found
    }
    #expect(gpus.last?.utilization == .value(0.93) && gpus.last?.powerLimit == .value(700))
  }

  @Test func aGPUThatFellOffTheBusIsFoundAfterAFreshStart() throws {
    let fake = try FakeNVML()
    try fake.count(2)
    for gpu in 0..<UInt32(2) { try fake.set(gpu, FakeNVML.busy) }
    try fake.set(1, ["error": 15])
    var library = NVIDIALibrary(path: fake.path)
    for turn in 0..<Int64(25) {
      guard case .gpus(let gpus) = library.read(at: turn * second) else { throw POSIXError(.ENODEV) }
      #expect(gpus.count == 2 && gpus[0].temperature == .value(64) && gpus[1].temperature.current == nil)
    }
    try fake.count(1)
    guard case .gpus(let rest) = library.read(at: 30 * second) else { throw POSIXError(.ENODEV) }
    #expect(rest.map(\.name) == ["NVIDIA Test 0"])
  }

  @Test func aDriverThatIsLoadedLaterIsFound() throws {
    let fake = try FakeNVML()
    try fake.count(1)
    try fake.set(0, FakeNVML.busy)
    try fake.failInit(9)
    var library = NVIDIALibrary(path: fake.path)
    #expect(
      library.read(at: 0)
        == .failed("NVIDIA's driver: the kernel module is not loaded: load it with 'nvidia-modprobe' as root")
    )
    try fake.failInit(0)
    var answers: [DriverAnswer] = []
    for turn in 1...Int64(10) { answers.append(library.read(at: turn * second)) }
    guard case .gpus(let gpus)? = answers.last else { throw POSIXError(.ENODEV) }
    #expect(gpus.first?.temperature == .value(64))
  }

  @Test func aGPUWithoutPermissionIsNamedByItsNumber() throws {
    let fake = try FakeNVML()
    try fake.count(1)
    try fake.failHandles(4)
    var library = NVIDIALibrary(path: fake.path)
    #expect(
      library.read(at: 0)
        == .gpus([
          GPUReading(
            name: "NVIDIA GPU 0",
            unavailable: "no permission to ask the GPU: give this user access to /dev/nvidia*")
        ]))
  }

  @Test func aMissingFunctionTakesItsOwnReadingOnly() throws {
    let fake = try FakeNVML(without: ["POWER", "MEMORY_V2"])
    try fake.count(1)
    try fake.set(0, FakeNVML.busy)
    var library = NVIDIALibrary(path: fake.path)
    guard case .gpus(let gpus) = library.read(at: 0) else { throw POSIXError(.ENODEV) }
    let gpu = try #require(gpus.first)
    #expect(
      gpu.power == .unavailable("NVIDIA's library has no nvmlDeviceGetPowerUsage: install a newer driver"))
    #expect(gpu.temperature == .value(64))
    // The older function counts what the driver keeps as used.
    #expect(gpu.memoryUsed == .value(40_600_000_000))
  }

  @Test func aLibraryWithoutItsEntryIsRefusedByName() throws {
    let fake = try FakeNVML(without: ["COUNT"])
    var library = NVIDIALibrary(path: fake.path)
    #expect(
      library.read(at: 0)
        == .failed("NVIDIA's library has no nvmlDeviceGetCount_v2: install a newer driver"))
  }

  @Test func aFileThatIsNoLibrarySaysSo() throws {
    let tree = try Tree()
    try tree.write("/libnvidia-ml.so.1", "not a library")
    var library = NVIDIALibrary(path: tree.root + "/libnvidia-ml.so.1")
    guard case .failed(let reason) = library.read(at: 0) else { throw POSIXError(.ENODEV) }
    #expect(reason.hasPrefix("NVIDIA's library does not load: "))
  }

  @Test func aDividedGPUShowsItsParts() throws {
    let fake = try FakeNVML()
    try fake.count(1)
    try fake.set(0, FakeNVML.busy)
    try fake.set(0, ["mig_mode": 1, "parts": 2])
    var library = NVIDIALibrary(path: fake.path)
    guard case .gpus(let gpus) = library.read(at: 0) else { throw POSIXError(.ENODEV) }
    let parts = try #require(gpus.first?.parts.current)
    #expect(parts.map(\.name) == ["NVIDIA Test MIG 1g.10gb", "NVIDIA Test MIG 1g.10gb"])
    #expect(parts.map(\.memoryUsed) == [1 << 30, 2 << 30])
    #expect(gpus.first?.utilization == .unavailable("this GPU does not tell it"))
  }

  @Test func moreProcessesThanExpectedAreAllListed() throws {
    let fake = try FakeNVML()
    try fake.count(1)
    try fake.set(0, FakeNVML.busy)
    try fake.set(0, ["processes": 300])
    var library = NVIDIALibrary(path: fake.path)
    guard case .gpus(let gpus) = library.read(at: 0) else { throw POSIXError(.ENODEV) }
    #expect(gpus.first?.processes.current?.map(\.pid) == (1000..<1300).map { Int32($0) })
  }

  @Test func aDriverThatHangsStallsNobodyAndComesBack() throws {
    let tree = try Tree()
    try tree.addRadeon(0)
    let fake = try FakeNVML()
    try fake.count(1)
    try fake.set(0, FakeNVML.busy)
    let watch = GPUWatch(root: tree.root, library: fake.path)
    let healthy = try #require(ask(watch, at: 0).gpus.current)
    #expect(healthy.map(\.name) == ["NVIDIA Test 0", "AMD GPU (1002:744C)"])
    watch.settle(seconds: 60)

    let (release, said) = (Pipe(), Pipe())
    try fake.hang(
      in: release.fileHandleForReading.fileDescriptor, said: said.fileHandleForWriting.fileDescriptor)
    _ = watch.sample(at: 10 * second)
    #expect(said.fileHandleForReading.readData(ofLength: 1).count == 1)
    // The driver is in its call now, and stays there. For a while its last answer stands.
    #expect(watch.sample(at: 12 * second).gpus.current?.first?.temperature == .value(64))
    watch.settle(driver: "amdgpu", seconds: 60)
    let during = try #require(watch.sample(at: 40 * second).gpus.current)
    #expect(
      during.first
        == GPUReading(name: "NVIDIA Test 0", unavailable: "NVIDIA's driver does not answer for 30 s"))
    #expect(during.last?.temperature == .value(61))

    try release.fileHandleForWriting.write(contentsOf: Data([0]))
    watch.settle(seconds: 60)
    let after = try #require(watch.sample(at: 41 * second).gpus.current)
    #expect(after.first?.temperature == .value(64) && after.last?.temperature == .value(61))
  }
}
