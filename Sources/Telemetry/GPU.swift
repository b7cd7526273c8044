// GPU.swift: what a GPU does, whoever made it. Leaves out how it is asked: NVIDIALibrary (NVML) and
// DeviceFiles (amdgpu, i915 and xe in /sys). Start at GPUReading.

/// One GPU. Each figure has its own status: one that a driver does not tell is unavailable, the
/// others stay.
package struct GPUReading: Sendable, Equatable, Codable {
  package var name: String
  /// Share of the time since the last sample (NVIDIA: of the driver's own period) in which it
  /// computed, 0 to 1.
  /// Intel's drivers tell how long it was awake, which is more than that.
  package var utilization: Reading<Double>
  /// Bytes.
  package var memoryUsed: Reading<Int64>
  package var memoryTotal: Reading<Int64>
  /// Celsius, and where the driver begins to slow it down.
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
  /// What holds its clock back, in words; empty when nothing does.
  package var throttle: Reading<[String]>
  /// Memory errors since the driver was loaded.
  package var correctedErrors: Reading<Int64>
  package var uncorrectedErrors: Reading<Int64>
  /// Bytes/s over PCIe, from the GPU's side.
  package var received: Reading<Double>
  package var sent: Reading<Double>
  package var processes: Reading<[GPUProcess]>
  /// The parts (MIG) it is divided into; empty when it is whole.
  package var parts: Reading<[GPUPart]>

  /// A GPU of which nothing is known, and why.
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
  /// Bytes of the GPU's memory; nil where the driver does not tell.
  package let memory: Int64?
  /// Of the time since the last sample in which its busiest engine worked for it, 0 to 1; nil where
  /// the driver does not tell (NVIDIA's), and in the first sample.
  package let share: Double?

  package init(pid: Int32, memory: Int64?, share: Double? = nil) {
    self.pid = pid
    self.memory = memory
    self.share = share
  }
}

/// A part of a divided GPU. Bytes.
package struct GPUPart: Sendable, Equatable, Codable {
  package let name: String
  package let memoryUsed: Int64?
  package let memoryTotal: Int64?
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
