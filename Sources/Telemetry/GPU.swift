// GPU.swift: a GPU's figures, for every vendor. They are read by NVIDIALibrary (NVML) and
// DeviceFiles (amdgpu, i915 and xe in /sys). Start at GPUReading.

/// One GPU. Each figure has its own status: one that the driver does not report is unavailable, and
/// the others remain.
package struct GPUReading: Sendable, Equatable, Codable {
  package var name: String
  /// The share of the time since the last sample (NVIDIA: of the driver's own period) in which the
  /// GPU computed, 0 to 1. Intel's drivers report how long it was awake, which is longer.
  package var utilization: Reading<Double>
  /// Bytes.
  package var memoryUsed: Reading<Int64>
  package var memoryTotal: Reading<Int64>
  /// Celsius, and the temperature at which the driver begins to slow the GPU down.
  package var temperature: Reading<Double>
  package var slowdownTemperature: Reading<Double>
  /// Watts.
  package var power: Reading<Double>
  package var powerLimit: Reading<Double>
  /// Joules since the last sample.
  package var joules: Reading<Double>
  /// MHz, of the cores and of the memory.
  package var clock: Reading<Double>
  package var memoryClock: Reading<Double>
  /// What slows the clock down, in words; empty if nothing does.
  package var throttle: Reading<[String]>
  /// Memory errors since the driver was loaded.
  package var correctedErrors: Reading<Int64>
  package var uncorrectedErrors: Reading<Int64>
  /// Bytes/s over PCIe, from the GPU's side.
  package var received: Reading<Double>
  package var sent: Reading<Double>
  package var processes: Reading<[GPUProcess]>
  /// The parts (MIG) that the GPU is divided into; empty if it is whole.
  package var parts: Reading<[GPUPart]>

  /// A GPU without any figures, and the reason.
  package init(name: String, unavailable reason: String) {
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
package struct GPUProcess: Sendable, Equatable, Codable {
  package let pid: Int32
  /// Bytes of the GPU's memory; nil if the driver does not report it.
  package let memory: Int64?
  /// The share of the time since the last sample in which its busiest engine worked for it, 0 to 1.
  /// Nil in the first sample, and if the driver does not report it (NVIDIA's).
  package let share: Double?

  package init(pid: Int32, memory: Int64?, share: Double? = nil) {
    self.pid = pid
    self.memory = memory
    self.share = share
  }
}

/// A part of a divided GPU. Memory is in bytes.
package struct GPUPart: Sendable, Equatable, Codable {
  package let name: String
  package let memoryUsed: Int64?
  package let memoryTotal: Int64?
}

/// A driver's answer.
package enum DriverAnswer: Sendable, Equatable {
  /// This machine has none of the driver's GPUs: `no NVIDIA library`.
  case absent(String)
  /// The driver exists but does not work.
  case failed(String)
  case gpus([GPUReading])
}

/// A source of readings for GPUs of one kind. `NVIDIALibrary` and `DeviceFiles` implement it.
package protocol GPUSource {
  /// May block for as long as the driver does.
  /// - time: microseconds of a monotonic clock
  mutating func read(at time: Int64) -> DriverAnswer
}
