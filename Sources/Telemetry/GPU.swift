// GPU.swift: what a GPU does, whoever made it. Leaves out how it is asked: NVIDIALibrary (NVML) and DeviceFiles
// (amdgpu, i915 and xe in /sys). Start at GPUReading.

/// One GPU. Each figure has its own status: one that a driver does not tell is unavailable, the others stay.
public struct GPUReading: Sendable, Equatable, Codable {
  public var name: String
  /// Share of the time since the last sample (NVIDIA: of the driver's own period) in which it computed, 0 to 1.
  /// Intel's drivers tell how long it was awake, which is more than that.
  public var utilization: Reading<Double>
  /// Bytes.
  public var memoryUsed: Reading<Int64>
  public var memoryTotal: Reading<Int64>
  /// Celsius, and where the driver begins to slow it down.
  public var temperature: Reading<Double>
  public var slowdownTemperature: Reading<Double>
  /// Watts.
  public var power: Reading<Double>
  public var powerLimit: Reading<Double>
  /// Joules since the last sample.
  public var joules: Reading<Double>
  /// MHz, of the cores and of the memory.
  public var clock: Reading<Double>
  public var memoryClock: Reading<Double>
  /// What holds its clock back, in words; empty when nothing does.
  public var throttle: Reading<[String]>
  /// Memory errors since the driver was loaded.
  public var correctedErrors: Reading<Int64>
  public var uncorrectedErrors: Reading<Int64>
  /// Bytes/s over PCIe, from the GPU's side.
  public var received: Reading<Double>
  public var sent: Reading<Double>
  public var processes: Reading<[GPUProcess]>
  /// The parts (MIG) it is divided into; empty when it is whole.
  public var parts: Reading<[GPUPart]>

  /// A GPU of which nothing is known, and why.
  public init(name: String, unavailable reason: String) {
    self.name = name
    utilization = .unavailable(reason)
    memoryUsed = .unavailable(reason)
    memoryTotal = .unavailable(reason)
    temperature = .unavailable(reason)
    slowdownTemperature = .unavailable(reason)
    power = .unavailable(reason)
    powerLimit = .unavailable(reason)
    joules = .unavailable(reason)
    clock = .unavailable(reason)
    memoryClock = .unavailable(reason)
    throttle = .unavailable(reason)
    correctedErrors = .unavailable(reason)
    uncorrectedErrors = .unavailable(reason)
    received = .unavailable(reason)
    sent = .unavailable(reason)
    processes = .unavailable(reason)
    parts = .unavailable(reason)
  }
}

/// A process that uses a GPU.
public struct GPUProcess: Sendable, Equatable, Codable {
  public let pid: Int32
  /// Bytes of the GPU's memory; nil where the driver does not tell.
  public let memory: Int64?
  /// Of the time since the last sample in which its busiest engine worked for it, 0 to 1; nil where the driver does not
  /// tell (NVIDIA's), and in the first sample.
  public let share: Double?

  public init(pid: Int32, memory: Int64?, share: Double? = nil) {
    self.pid = pid
    self.memory = memory
    self.share = share
  }
}

/// A part of a divided GPU. Bytes.
public struct GPUPart: Sendable, Equatable, Codable {
  public let name: String
  public let memoryUsed: Int64?
  public let memoryTotal: Int64?
}

/// What one driver says.
package enum DriverAnswer: Sendable, Equatable {
  /// This machine has none of its GPUs: `no NVIDIA library`.
  case absent(String)
  /// There is a driver, and it does not work.
  case failed(String)
  case gpus([GPUReading])
}

/// A way to ask GPUs of one kind. `NVIDIALibrary` and `DeviceFiles`.
package protocol GPUSource {
  /// May block for as long as the driver does.
  /// - time: microseconds of a monotonic clock
  mutating func read(at time: Int64) -> DriverAnswer
}
