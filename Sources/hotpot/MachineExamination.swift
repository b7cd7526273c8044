// MachineExamination.swift: what `hotpot doctor` reports about the machine: processors, memory,
// disk, pressure, temperature, power and GPUs. It changes nothing. Start at all.

import Foundation
import Inference
import Node
import Telemetry

/// One reading of the machine, and the findings about it.
struct MachineExamination {
  /// In the order in which they are printed.
  static let all: [@Sendable (MachineExamination) -> [Finding]] = [
    { [$0.processors()] }, { [$0.memory()] }, { [$0.disk()] }, { [$0.pressure()] }, { [$0.temperature()] },
    { [$0.power()] }, { $0.gpuProblems() }, { $0.gpusFound() },
  ]

  private let configuration: NodeConfiguration?
  /// The nearest existing directory at or above the state: its disk is the state's disk.
  private let directory: String
  private let sample: MachineSample
  private let gpus: GPUSample

  /// Takes up to three seconds if a GPU's driver does not answer.
  /// - state: empty if it is not known
  init(state: String, _ configuration: NodeConfiguration?) {
    self.configuration = configuration
    var directory = state.isEmpty ? "/" : state
    while access(directory, F_OK) != 0, directory != "/" {
      directory = (directory as NSString).deletingLastPathComponent
    }
    self.directory = directory
    var sampler = MachineSampler(stateDirectory: directory)
    let graphics = GPUWatch()
    _ = graphics.sample(at: 0)
    sample = sampler.sample(at: 0)
    graphics.settle(seconds: 3)
    gpus = graphics.sample(at: 4_000_000)
  }

  func findings() -> [Finding] { MachineExamination.all.flatMap { $0(self) } }

  private func processors() -> Finding {
    // Counted as the engine counts them: affinity and a control group's quota can leave fewer than
    // the machine has.
    let cores = Processors.allowed()
    let online = max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    let limits = sample.container.words(cores: online, memoryTotal: sample.memory.total.current)
    if let wanted = configuration?.threads, wanted > cores {
      return Finding(
        "processors", .warn, "\(cores), and \(wanted) threads are wanted",
        hint: "more threads than processors make all of them wait: --threads \(cores)")
    }
    return Finding("processors", .ok, "\(cores)" + (limits.map { "; this container may use \($0)" } ?? ""))
  }

  private func memory() -> Finding {
    let memory = sample.memory
    guard let available = memory.available.current, let total = memory.total.current else {
      return reading(
        memory.available, "memory",
        hint: "let this process read /proc/meminfo: a container or a mount covers it"
      ) { "\($0 >> 20) MiB available" }
    }
    let text = "\(available >> 20) MiB available of \(total >> 20)"
    if let wanted = configuration?.limits.memoryAvailable, available < wanted {
      return Finding(
        "memory", .warn, "\(text), and the node admits nothing below \(wanted >> 20)",
        hint: "end something, or lower 'limits.memory_available' in the configuration")
    }
    // Enough for the smallest model of the catalogue with a modest cache.
    guard available >= 512 << 20 else {
      return Finding(
        "memory", .warn, text, hint: "a small model wants 512 MiB: end something that uses memory")
    }
    return Finding("memory", .ok, text)
  }

  private func disk() -> Finding {
    let disk = sample.disk
    guard let free = disk.free.current else {
      return reading(disk.free, "disk", hint: "'--state DIR' names another place") { "\($0 >> 20) MiB free" }
    }
    let text = "\(free >> 20) MiB free at \(directory)"
    if let wanted = configuration?.limits.diskFree, free < wanted {
      return Finding(
        "disk", .warn, "\(text), and the node admits nothing below \(wanted >> 20)",
        hint: "remove something, or name another place with --state DIR")
    }
    return Finding("disk", .ok, text)
  }

  private func reading<Value>(
    _ reading: Reading<Value>, _ name: String, hint: String, _ words: (Value) -> String
  ) -> Finding {
    guard case .unavailable(let reason) = reading else {
      return Finding(name, .ok, StatusPage.reading(reading, words))
    }
    return Finding(name, .warn, reason, hint: hint)
  }

  private func pressure() -> Finding {
    reading(
      sample.pressure.cpu, "pressure", hint: "Linux 4.20 or later with psi=1 on its command line tells it"
    ) {
      "PSI: \(StatusPage.rounded($0 * 100)) % of the last 10 s somebody waited for a processor"
    }
  }

  private func temperature() -> Finding {
    reading(
      sample.processor.temperature, "temperature",
      hint: "as root 'modprobe coretemp' or 'modprobe k10temp'; guests have none"
    ) {
      "\(StatusPage.rounded($0)) C"
    }
  }

  private func power() -> Finding {
    guard case .unavailable(let reason) = sample.processor.joules else {
      return Finding("power", .ok, "RAPL counts the processors' energy")
    }
    return Finding(
      "power", .warn, reason + "; electricity is not counted",
      hint: reason.hasPrefix("no permission")
        ? "as root 'chmod o+r /sys/class/powercap/intel-rapl:*/energy_uj' until the next start"
        : "as root 'modprobe intel_rapl_msr'; guests have none")
  }

  private static let kernelHint =
    "models run on the processor meanwhile; 'dmesg' as root has what the kernel says of it"

  private func gpuProblems() -> [Finding] {
    gpus.problems.map { Finding("gpu", .warn, $0, hint: MachineExamination.kernelHint) }
  }

  private func gpusFound() -> [Finding] {
    switch gpus.gpus {
    case .value(let found), .stale(let found, _):
      return found.map { gpu in
        let memory = gpu.memoryTotal.current.map { ", \($0 >> 20) MiB" } ?? ""
        return Finding("gpu", .ok, gpu.name + memory + "; it is watched, models run on the processor")
      }
    case .unavailable(let reason):
      return gpus.problems.isEmpty ? [Finding("gpu", .ok, reason + "; models run on the processor")] : []
    case .warmingUp:
      return [
        Finding(
          "gpu", .warn, "a driver has not answered in 3 s", hint: MachineExamination.kernelHint)
      ]
    }
  }
}
