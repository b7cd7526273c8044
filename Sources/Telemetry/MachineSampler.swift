// MachineSampler.swift: one sample of the machine, all sources together. It never runs on the
// engine's or a screen's thread. Node decides when to sample and how to react. Start at
// MachineSampler.sample.

/// The state of the machine at one moment.
package struct MachineSample: Sendable, Equatable {
  /// Microseconds of a monotonic clock.
  package let time: Int64
  package let processor: ProcessorReading
  package let memory: MemoryReading
  package let pressure: PressureReading
  package let disk: DiskReading
  package let container: ContainerLimits
}

/// Reads all sources. It has one owner at a time; a source that fails makes only its own reading
/// unavailable.
package struct MachineSampler: ~Copyable {
  private var processor: ProcessorSource
  private var memory: MemorySource
  private var pressure: PressureSource
  private var disk: DiskSource
  private let container: ContainerLimits
  private var last: Int64?
  /// Large enough for `/proc/stat` of 256 cores.
  private var buffer = [UInt8](repeating: 0, count: 64 << 10)

  /// - root: "" for this machine; tests pass a directory of fixtures.
  /// - stateDirectory: the directory whose disk is read.
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
