// NVIDIALibrary.swift: NVIDIA's GPUs through libnvidia-ml.so.1, which is loaded at run time. If a
// driver is reloaded, a GPU falls off the bus or the library lacks a function, only the affected
// readings become unavailable, and they are tried again. The threads are in GPUWatch.swift. Start
// at NVIDIALibrary.read.
import CSystem

/// Source: NVML API reference, version 13.
package struct NVIDIALibrary: GPUSource {
  /// The functions that every use of NVML needs.
  private struct Entry {
    let initialise: @convention(c) () -> Int32
    let count: @convention(c) (UnsafeMutablePointer<UInt32>?) -> Int32
    let handle: @convention(c) (UInt32, UnsafeMutablePointer<csystem_nvml_device?>?) -> Int32
  }

  private struct Device {
    let handle: csystem_nvml_device
    let name: String
    var energy: UInt64?
    var time: Int64?
    /// The last answers to queries that cost the driver more or change seldom.
    var slow: Slow?
  }

  private struct Slow {
    var slowdownTemperature: Reading<Double>
    var powerLimit: Reading<Double>
    var correctedErrors: Reading<Int64>
    var uncorrectedErrors: Reading<Int64>
    var received: Reading<Double>
    var sent: Reading<Double>
    var processes: Reading<[GPUProcess]>
    var parts: Reading<[GPUPart]>
  }

  /// Samples between two slow queries, and between two attempts at what failed.
  package static let slowPeriod = 5
  private static let retryPeriod = 10

  private let path: String
  private var nvml = csystem_nvml()
  private var entry: Entry?
  private var isInitialised = false
  private var devices: [Device?] = []
  private var turn = 0
  private var failure: (answer: DriverAnswer, turn: Int)?
  /// A buffer for the processes of one GPU.
  private var processes = [csystem_nvml_process](repeating: csystem_nvml_process(), count: 64)

  package init(path: String = "libnvidia-ml.so.1") { self.path = path }

  package mutating func read(at time: Int64) -> DriverAnswer {
    turn &+= 1
    if let failure, turn &- failure.turn < Self.retryPeriod { return failure.answer }
    failure = nil
    switch open() {
    case .failure(let problem): return failed(problem.answer)
    case .success(let entry):
      var count: UInt32 = 0
      let result = entry.count(&count)
      guard result == CSYSTEM_NVML_SUCCESS else {
        close()
        return failed(.failed("NVIDIA's driver: \(Self.words(result))"))
      }
      return .gpus(readAll(entry, min(Int(count), 1_024), time))
    }
  }

  private struct Problem: Error { let answer: DriverAnswer }

  private mutating func failed(_ answer: DriverAnswer) -> DriverAnswer {
    failure = (answer, turn)
    return answer
  }

  private mutating func open() -> Result<Entry, Problem> {
    if nvml.library == nil {
      var words = [CChar](repeating: 0, count: 512)
      switch csystem_nvml_open(path, &nvml, &words, words.count) {
      case CSYSTEM_NVML_UNINITIALIZED: break
      case 0: return .failure(Problem(answer: .absent("no NVIDIA library (\(path))")))
      default:
        let text = String(decoding: words.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return .failure(Problem(answer: .failed("NVIDIA's library does not load: \(text)")))
      }
      guard let initialise = nvml.`init`, let count = nvml.count, let handle = nvml.handle else {
        let missing =
          nvml.`init` == nil
          ? "nvmlInit_v2" : nvml.count == nil ? "nvmlDeviceGetCount_v2" : "nvmlDeviceGetHandleByIndex_v2"
        csystem_nvml_close(&nvml)
        return .failure(
          Problem(answer: .failed("NVIDIA's library has no \(missing): install a newer driver")))
      }
      entry = Entry(initialise: initialise, count: count, handle: handle)
    }
    guard let entry else { return .failure(Problem(answer: .failed("NVIDIA's library is not open"))) }
    if !isInitialised {
      let result = entry.initialise()
      guard result == CSYSTEM_NVML_SUCCESS else {
        // If the library was replaced meanwhile, the next attempt loads the new one.
        csystem_nvml_close(&nvml)
        self.entry = nil
        return .failure(Problem(answer: .failed("NVIDIA's driver: \(Self.words(result))")))
      }
      isInitialised = true
    }
    return .success(entry)
  }

  /// Ends this use of the library, so that the next one starts from scratch.
  private mutating func close() {
    if isInitialised, let shutdown = nvml.shutdown { _ = shutdown() }
    isInitialised = false
    devices = []
    csystem_nvml_close(&nvml)
    entry = nil
  }

  private mutating func readAll(_ entry: Entry, _ count: Int, _ time: Int64) -> [GPUReading] {
    if devices.count != count { devices = Array(repeating: nil, count: count) }
    var readings: [GPUReading] = []
    readings.reserveCapacity(count)
    var isLost = false
    for index in 0..<count {
      if devices[index] == nil {
        var handle: csystem_nvml_device?
        let result = entry.handle(UInt32(index), &handle)
        guard result == CSYSTEM_NVML_SUCCESS, let handle else {
          isLost = isLost || result == CSYSTEM_NVML_GPU_IS_LOST
          readings.append(GPUReading(name: "NVIDIA GPU \(index)", unavailable: Self.words(result)))
          continue
        }
        devices[index] = Device(handle: handle, name: Self.name(nvml, handle) ?? "NVIDIA GPU \(index)")
      }
      guard var device = devices[index] else { continue }
      let reading = read(&device, time)
      devices[index] = device
      if case .unavailable(Self.lost) = reading.temperature { isLost = true }
      readings.append(reading)
    }
    // Only a fresh start finds a lost GPU again; it also renews the handles of the others.
    if isLost, turn % Self.retryPeriod == 0 { close() }
    return readings
  }

  private mutating func read(_ device: inout Device, _ time: Int64) -> GPUReading {
    let (nvml, handle) = (nvml, device.handle)
    var reading = GPUReading(name: device.name, unavailable: "")
    reading.temperature = Self.number(nvml.temperature, "nvmlDeviceGetTemperature") {
      $0(handle, CSYSTEM_NVML_TEMPERATURE_GPU, &$1)
    }
    if case .unavailable(Self.lost) = reading.temperature {
      device.energy = nil
      device.slow = nil
      return GPUReading(name: device.name, unavailable: Self.lost)
    }
    reading.utilization = Self.ask(
      nvml.utilization, "nvmlDeviceGetUtilizationRates", csystem_nvml_utilization(), { $0(handle, &$1) }
    ) { min(1, Double($0.gpu) / 100) }
    (reading.memoryUsed, reading.memoryTotal) = Self.memory(nvml, handle)
    reading.power = Self.number(nvml.power, "nvmlDeviceGetPowerUsage") { $0(handle, &$1) }.map { $0 / 1_000 }
    reading.clock = Self.number(nvml.clock, "nvmlDeviceGetClockInfo") {
      $0(handle, CSYSTEM_NVML_CLOCK_GRAPHICS, &$1)
    }
    reading.memoryClock = Self.number(nvml.clock, "nvmlDeviceGetClockInfo") {
      $0(handle, CSYSTEM_NVML_CLOCK_MEMORY, &$1)
    }
    reading.throttle = Self.ask(
      nvml.throttle_reasons, "nvmlDeviceGetCurrentClocksEventReasons", UInt64(0), { $0(handle, &$1) },
      as: Self.throttleWords)
    reading.joules = joules(&device, reading.power, time)
    let slow: Slow
    if let last = device.slow, turn % Self.slowPeriod != 0 {
      slow = last
    } else {
      slow = readSlow(handle)
      device.slow = slow
    }
    reading.slowdownTemperature = slow.slowdownTemperature
    reading.powerLimit = slow.powerLimit
    reading.correctedErrors = slow.correctedErrors
    reading.uncorrectedErrors = slow.uncorrectedErrors
    reading.received = slow.received
    reading.sent = slow.sent
    reading.processes = slow.processes
    reading.parts = slow.parts
    return reading
  }

  private mutating func readSlow(_ handle: csystem_nvml_device) -> Slow {
    func errors(_ type: Int32) -> Reading<Int64> {
      Self.ask(
        nvml.ecc_errors, "nvmlDeviceGetTotalEccErrors", UInt64(0),
        { $0(handle, type, CSYSTEM_NVML_ECC_VOLATILE, &$1) }
      ) {
        Int64(clamping: $0)
      }
    }
    func rate(_ counter: Int32) -> Reading<Double> {
      // The header says 1 KB granularity; the driver counts in KiB, as nvidia-smi does.
      Self.number(nvml.pcie_throughput, "nvmlDeviceGetPcieThroughput") { $0(handle, counter, &$1) }
        .map { $0 * 1_024 }
    }
    return Slow(
      slowdownTemperature: Self.number(nvml.temperature_threshold, "nvmlDeviceGetTemperatureThreshold") {
        $0(handle, CSYSTEM_NVML_THRESHOLD_SLOWDOWN, &$1)
      },
      powerLimit: Self.number(nvml.power_limit, "nvmlDeviceGetEnforcedPowerLimit") { $0(handle, &$1) }
        .map { $0 / 1_000 },
      correctedErrors: errors(CSYSTEM_NVML_ERROR_CORRECTED),
      uncorrectedErrors: errors(CSYSTEM_NVML_ERROR_UNCORRECTED), received: rate(CSYSTEM_NVML_PCIE_RECEIVED),
      sent: rate(CSYSTEM_NVML_PCIE_SENT),
      processes: readProcesses(handle), parts: Self.parts(nvml, handle))
  }

  /// Joules from the driver's own counter, otherwise computed from the power.
  private func joules(_ device: inout Device, _ power: Reading<Double>, _ time: Int64) -> Reading<Double> {
    let (handle, before, since) = (device.handle, device.energy, device.time)
    let counter = Self.ask(nvml.energy, "nvmlDeviceGetTotalEnergyConsumption", UInt64(0), { $0(handle, &$1) })
    {
      $0
    }
    device.energy = counter.current
    device.time = time
    guard let since, time >= since else {
      return power.current == nil && counter.current == nil ? power : .warmingUp
    }
    guard let now = counter.current else { return power.map { $0 * Double(time - since) / 1_000_000 } }
    guard let before, now >= before else { return .warmingUp }
    return .value(Double(now - before) / 1_000)
  }

  private mutating func readProcesses(_ handle: csystem_nvml_device) -> Reading<[GPUProcess]> {
    guard let function = nvml.processes else {
      return .unavailable(Self.missing("nvmlDeviceGetComputeRunningProcesses"))
    }
    for _ in 0..<4 {
      var count = UInt32(clamping: processes.count)
      let result = processes.withUnsafeMutableBufferPointer { function(handle, &count, $0.baseAddress) }
      if result == CSYSTEM_NVML_INSUFFICIENT_SIZE, processes.count < 1 << 16 {
        // There were more processes than fit, and more may start before the next call.
        let wanted = max(processes.count * 2, min(Int(count), 1 << 15) * 2)
        processes = Array(repeating: csystem_nvml_process(), count: wanted)
        continue
      }
      guard result == CSYSTEM_NVML_SUCCESS else { return .unavailable(Self.words(result)) }
      return .value(
        processes.prefix(Int(count)).map {
          GPUProcess(pid: Int32(clamping: $0.pid), memory: $0.used == .max ? nil : Int64(clamping: $0.used))
        })
    }
    return .unavailable("the processes change too fast to be listed")
  }

  private static func memory(_ nvml: csystem_nvml, _ handle: csystem_nvml_device) -> (
    used: Reading<Int64>, total: Reading<Int64>
  ) {
    if let function = nvml.memory_v2 {
      var memory = csystem_nvml_memory_v2()
      memory.version = CSYSTEM_NVML_MEMORY_V2
      if function(handle, &memory) == CSYSTEM_NVML_SUCCESS {
        return (.value(Int64(clamping: memory.used)), .value(Int64(clamping: memory.total)))
      }
    }
    let function = nvml.memory
    func bytes(_ field: (csystem_nvml_memory) -> UInt64) -> Reading<Int64> {
      ask(function, "nvmlDeviceGetMemoryInfo", csystem_nvml_memory(), { $0(handle, &$1) }) {
        Int64(clamping: field($0))
      }
    }
    return (bytes(\.used), bytes(\.total))
  }

  private static func parts(_ nvml: csystem_nvml, _ handle: csystem_nvml_device) -> Reading<[GPUPart]> {
    var pending: UInt32 = 0
    let mode = number(nvml.mig_mode, "nvmlDeviceGetMigMode") { $0(handle, &$1, &pending) }
    guard let mode = mode.current else { return mode.map { _ in [] } }
    if mode == Double(CSYSTEM_NVML_MIG_DISABLED) { return .value([]) }
    guard let part = nvml.mig_handle else {
      return .unavailable(missing("nvmlDeviceGetMigDeviceHandleByIndex"))
    }
    let most = number(nvml.mig_count, "nvmlDeviceGetMaxMigDeviceCount") { $0(handle, &$1) }
    return most.map { most in
      var parts: [GPUPart] = []
      for index in 0..<UInt32(min(most, 64)) {
        var found: csystem_nvml_device?
        // Indices may have gaps where no part was created.
        guard part(handle, index, &found) == CSYSTEM_NVML_SUCCESS, let found else { continue }
        let memory = memory(nvml, found)
        parts.append(
          GPUPart(
            name: name(nvml, found) ?? "MIG \(index)", memoryUsed: memory.used.current,
            memoryTotal: memory.total.current))
      }
      return parts
    }
  }

  private static func name(_ nvml: csystem_nvml, _ handle: csystem_nvml_device) -> String? {
    guard let function = nvml.name else { return nil }
    var name = [CChar](repeating: 0, count: 96)
    guard function(handle, &name, UInt32(name.count)) == CSYSTEM_NVML_SUCCESS else { return nil }
    return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  private static func ask<Function, Answer, Value>(
    _ function: Function?, _ name: String, _ empty: Answer, _ call: (Function, inout Answer) -> Int32,
    as value: (Answer) -> Value
  ) -> Reading<Value> {
    guard let function else { return .unavailable(missing(name)) }
    var answer = empty
    let result = call(function, &answer)
    return result == CSYSTEM_NVML_SUCCESS ? .value(value(answer)) : .unavailable(words(result))
  }

  private static func number<Function>(
    _ function: Function?, _ name: String, _ call: (Function, inout UInt32) -> Int32
  ) -> Reading<Double> {
    ask(function, name, UInt32(0), call) { Double($0) }
  }

  private static func missing(_ name: String) -> String {
    "NVIDIA's library has no \(name): install a newer driver"
  }

  static let lost = "the GPU fell off the bus: see the kernel's log, then reset or reboot"

  /// NVML's errors, in words an operator can act on.
  static func words(_ result: Int32) -> String {
    switch result {
    case CSYSTEM_NVML_UNINITIALIZED: "NVML was shut down"
    case CSYSTEM_NVML_INVALID_ARGUMENT: "NVML refuses the question"
    case CSYSTEM_NVML_NOT_SUPPORTED: "this GPU does not tell it"
    case CSYSTEM_NVML_NO_PERMISSION: "no permission to ask the GPU: give this user access to /dev/nvidia*"
    case CSYSTEM_NVML_NOT_FOUND: "the GPU was not found"
    case CSYSTEM_NVML_DRIVER_NOT_LOADED:
      "the kernel module is not loaded: load it with 'nvidia-modprobe' as root"
    case CSYSTEM_NVML_TIMEOUT: "the driver did not answer in its own time"
    case CSYSTEM_NVML_IRQ_ISSUE: "the kernel has a problem with the GPU's interrupts: see its log"
    case CSYSTEM_NVML_LIBRARY_NOT_FOUND, CSYSTEM_NVML_FUNCTION_NOT_FOUND:
      "the library and the driver do not fit together"
    case CSYSTEM_NVML_CORRUPTED_INFOROM: "the GPU's infoROM is corrupted"
    case CSYSTEM_NVML_GPU_IS_LOST: lost
    case CSYSTEM_NVML_RESET_REQUIRED: "the GPU wants a reset: 'nvidia-smi --gpu-reset' as root"
    case CSYSTEM_NVML_OPERATING_SYSTEM: "the system or the container blocks /dev/nvidia*"
    case CSYSTEM_NVML_LIB_RM_VERSION_MISMATCH:
      "the library and the kernel module are of different releases: reboot, or reload the module"
    case CSYSTEM_NVML_MEMORY: "the driver is out of memory"
    case CSYSTEM_NVML_NO_DATA: "the driver has no data yet"
    case CSYSTEM_NVML_UNKNOWN: "an unknown error of the driver"
    default: "NVML error \(result)"
    }
  }

  /// Source: nvml.h, nvmlClocksEventReason*. Idle is not reported as a slowdown.
  static func throttleWords(_ reasons: UInt64) -> [String] {
    let known: [(UInt64, String)] = [
      (0x2, "application clocks"), (0x4, "power cap"), (0x8, "hardware slowdown"), (0x10, "sync boost"),
      (0x20, "heat"), (0x40, "heat (hardware)"), (0x80, "power brake"), (0x100, "display clocks"),
    ]
    var words = known.filter { reasons & $0.0 != 0 }.map(\.1)
    let unknown = reasons & ~0x1FF
    if unknown != 0 { words.append("reason 0x\(String(unknown, radix: 16))") }
    return words
  }
}
