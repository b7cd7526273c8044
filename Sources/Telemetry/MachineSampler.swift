// MachineSampler.swift: one sample of the machine, all sources together. Never on the engine's or a
// screen's thread.
// Leaves out when it is taken (Node) and what is done about it. Start at MachineSampler.sample.

/// What the machine does, at one moment.
package struct MachineSample: Sendable, Equatable {
  /// Microseconds of a monotonic clock.
  package let time: Int64
  package let processor: ProcessorReading
  package let memory: MemoryReading
  package let pressure: PressureReading
  package let disk: DiskReading
  package let container: ContainerLimits
}

/// Reads all sources. One owner at a time; a source that fails makes its own reading unavailable
/// and nothing else.
package struct MachineSampler: ~Copyable {
  private var processor: ProcessorSource
  private var memory: MemorySource
  private var pressure: PressureSource
  private var disk: DiskSource
  private let container: ContainerLimits
  private var last: Int64?
  /// `/proc/stat` of 256 cores fits.
  private var buffer = [UInt8](repeating: 0, count: 64 << 10)

  /// - root: "" for this machine; tests give a tree of fixtures.
  /// - stateDirectory: whose disk is looked at.
  package init(root: String = "", stateDirectory: String) {
    processor = ProcessorSource(root: root)
    memory = MemorySource(root: root)
    pressure = PressureSource(root: root)
    disk = DiskSource(root: root, directory: stateDirectory)
    container = ContainerLimits(root: root)
  }

  /// - time: microseconds of a monotonic clock; rates are over the time since the last sample.
  package mutating func sample(at time: Int64) -> MachineSample {
    let seconds = last.map { Double(time - $0) / 1_000_000 }
    last = time
    return MachineSample(
      time: time, processor: processor.read(&buffer, seconds: seconds), memory: memory.read(&buffer),
      pressure: pressure.read(&buffer), disk: disk.read(&buffer, seconds: seconds), container: container)
  }
}
