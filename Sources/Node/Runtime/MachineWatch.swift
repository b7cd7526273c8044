// MachineWatch.swift: samples of the machine once a second, on a separate thread, in the snapshot's
// terms. A source that hangs stops only this thread: the last sample is then shown as stale. GPUs
// have threads of their own in Telemetry, so a hung driver does not even stop this one. What limits
// do with the samples is in NodeState. Start at start().
import Control
import Foundation
import Synchronization
import Telemetry

final class MachineWatch: Sendable {
  private let stateDirectory: String
  private let deliver: @Sendable (ComputeSnapshot, _ joules: Double) -> Void
  private let network: @Sendable () -> (received: UInt64, sent: UInt64)?
  private let isStopped = Atomic<Bool>(false)

  /// - network: bytes of the node's own sockets so far
  init(
    stateDirectory: String, network: @escaping @Sendable () -> (received: UInt64, sent: UInt64)?,
    deliver: @escaping @Sendable (ComputeSnapshot, _ joules: Double) -> Void
  ) {
    self.stateDirectory = stateDirectory
    self.network = network
    self.deliver = deliver
  }

  func start() {
    let thread = Thread { [self] in
      var sampler = MachineSampler(stateDirectory: stateDirectory)
      let graphics = GPUWatch()
      var before: (time: Microseconds, received: UInt64, sent: UInt64)?
      var own: (time: Microseconds, used: Microseconds)?
      while !isStopped.load(ordering: .relaxed) {
        let now = NodeClock.now().monotonic
        let sample = sampler.sample(at: now)
        var rates: (Reading<Double>, Reading<Double>) = (.warmingUp, .warmingUp)
        if let bytes = network() {
          if let old = before, now > old.time {
            let seconds = Double(now - old.time) / 1_000_000
            rates = (
              .value(Double(bytes.received &- old.received) / seconds),
              .value(Double(bytes.sent &- old.sent) / seconds)
            )
          }
          before = (now, bytes.received, bytes.sent)
        } else {
          rates = (.unavailable("no socket is open"), .unavailable("no socket is open"))
        }
        let gpus = graphics.sample(at: now)
        var snapshot = ComputeSnapshot(sample, gpus: gpus, network: rates)
        let used = Self.processTime()
        let cores = Double(
          max(1, sample.processor.cores.current?.count ?? ProcessInfo.processInfo.processorCount))
        snapshot.ownCPU =
          own.map { old in
            now > old.time
              ? .value(min(1, max(0, Double(used - old.used) / Double(now - old.time) / cores))) : .warmingUp
          } ?? .warmingUp
        own = (now, used)
        deliver(
          snapshot,
          (sample.processor.joules.current ?? 0) + gpus.joules)
        Thread.sleep(forTimeInterval: 1)
      }
    }
    thread.name = "telemetry"
    thread.stackSize = 512 << 10
    thread.start()
  }

  /// Processor time of all threads of this process.
  private static func processTime() -> Microseconds {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Microseconds(time.tv_sec) &* 1_000_000 &+ Microseconds(time.tv_nsec / 1_000)
  }

  func stop() { isStopped.store(true, ordering: .relaxed) }
}

extension ComputeSnapshot {
  init(_ sample: MachineSample, gpus: GPUSample, network: (Reading<Double>, Reading<Double>)) {
    let cores = sample.processor.cores.map { $0.map(\.busy) }
    self.init(
      cpu: sample.processor.total.map(\.busy), cores: cores, cpuTemperature: sample.processor.temperature,
      cpuPower: sample.processor.power, load: sample.processor.load, memoryUsed: sample.memory.used,
      memoryTotal: sample.memory.total, swapUsed: sample.memory.swapUsed,
      residentMemory: sample.memory.resident, cpuPressure: sample.pressure.cpu,
      memoryPressure: sample.pressure.memory, ioPressure: sample.pressure.io, diskFree: sample.disk.free,
      networkIn: network.0, networkOut: network.1, gpus: gpus.gpus.map { $0.map { GPUSnapshot($0) } },
      container: sample.container.words(
        cores: cores.current?.count ?? ProcessInfo.processInfo.processorCount,
        memoryTotal: sample.memory.total.current),
      cpuClock: sample.processor.frequency, cpuWait: sample.processor.total.map(\.iowait),
      cpuSteal: sample.processor.total.map(\.steal), mappedMemory: sample.memory.residentFile,
      diskRead: sample.disk.read, diskWritten: sample.disk.written)
  }
}

extension GPUSnapshot {
  init(_ gpu: GPUReading) {
    let reasons = gpu.throttle.current ?? []
    // A divided GPU is one entry; whatever uses its parts is listed among the processes.
    let parts = gpu.parts.current ?? []
    self.init(
      name: parts.isEmpty ? gpu.name : "\(gpu.name), \(parts.count) parts", utilization: gpu.utilization,
      memoryUsed: gpu.memoryUsed, memoryTotal: gpu.memoryTotal, temperature: gpu.temperature,
      power: gpu.power, powerLimit: gpu.powerLimit, clock: gpu.clock,
      throttle: reasons.isEmpty ? nil : reasons.joined(separator: ", "),
      processes: gpu.processes.map { processes in
        processes.map { process in
          "pid \(process.pid)" + (process.share.map { " \(Int(($0 * 100).rounded())) %" } ?? "")
            + (process.memory.map { " \($0 >> 20) MiB" } ?? "")
        }
      },
      slowdownTemperature: gpu.slowdownTemperature, memoryClock: gpu.memoryClock,
      correctedErrors: gpu.correctedErrors, uncorrectedErrors: gpu.uncorrectedErrors,
      received: gpu.received, sent: gpu.sent)
  }
}
