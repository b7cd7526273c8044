// GPUWatch.swift: all GPUs of the machine, each driver queried on a separate thread.
// A call of a driver may never return. Then its thread waits, its GPUs become unavailable with the
// reason, and everyone else goes on; when the call does return, they are back. Nothing here waits
// for a driver.
// Leaves out what is asked (NVIDIALibrary, DeviceFiles). Start at GPUWatch.sample.
import Dispatch
import Foundation
import Synchronization

/// What all GPUs did, at one moment.
package struct GPUSample: Sendable, Equatable {
  /// Unavailable, with the reason, where there is none, or while no driver works.
  package let gpus: Reading<[GPUReading]>
  /// Drivers that are there and do not work, in words; GPUs of others are in `gpus`.
  package let problems: [String]
  /// Joules that all GPUs used since the last sample, as far as they tell.
  package let joules: Double
}

package final class GPUWatch: Sendable {
  private let drivers: [DriverThread]
  /// Microseconds that an answer may take. NVML's slowest calls are counted in milliseconds.
  package static let patience: Int64 = 3_000_000

  /// - root: "" for this machine; tests give a tree of fixtures
  /// - library: NVIDIA's
  package init(root: String = "", library: String = "libnvidia-ml.so.1") {
    drivers =
      [DriverThread(name: "NVIDIA's driver") { NVIDIALibrary(path: library) }]
      + DeviceFiles.Driver.allCases.map { driver in
        DriverThread(name: driver.rawValue) { DeviceFiles(root: root, driver: driver) }
      }
  }

  deinit { for driver in drivers { driver.stop() } }

  /// The newest answers, and asks for the next ones. Returns at once.
  /// - time: microseconds of a monotonic clock, not going back
  package func sample(at time: Int64) -> GPUSample {
    var gpus: [GPUReading] = []
    var absent: [String] = []
    var problems: [String] = []
    var joules = 0.0
    var isWarmingUp = false
    for driver in drivers {
      let (answer, used) = driver.take(at: time)
      joules += used
      switch answer {
      case .gpus(let readings)?: gpus += readings
      case .failed(let reason)?: problems.append(reason)
      case .absent(let reason)?: absent.append(reason)
      case nil: isWarmingUp = true
      }
    }
    let reading: Reading<[GPUReading]>
    if !gpus.isEmpty {
      reading = .value(gpus)
    } else if !problems.isEmpty {
      reading = .unavailable(problems.joined(separator: "; "))
    } else if isWarmingUp {
      reading = .warmingUp
    } else {
      reading = .unavailable("no GPU found (\(absent.joined(separator: ", ")))")
    }
    return GPUSample(gpus: reading, problems: problems, joules: joules)
  }

  /// Waits until every driver has answered, or for so long: for a command that shows one sample.
  package func settle(seconds: Double) {
    let end = DispatchTime.now() + seconds
    for driver in drivers where !driver.waitUntilIdle(end) { return }
  }

  /// The same for one driver, while another hangs.
  package func settle(driver name: String, seconds: Double) {
    let end = DispatchTime.now() + seconds
    for driver in drivers where driver.name == name { _ = driver.waitUntilIdle(end) }
  }
}

/// One driver and the thread that asks it. The rule: the source lives on that thread alone,
/// everything shared is under the lock, and the lock is never held over a call of the driver. Else
/// a hung driver would hang those who look.
final class DriverThread: Sendable {
  private struct State {
    var answer: DriverAnswer?
    /// Not taken yet.
    var joules = 0.0
    /// The question that is being answered: when it was put, and how often someone looked since.
    var asked: Int64?
    var looks = 0
    var isStopped = false
    var waiting: [DispatchSemaphore] = []
  }

  let name: String
  private let state = Mutex(State())
  private let work = DispatchSemaphore(value: 0)

  /// - make: makes the source, on the thread
  init(name: String, make: @escaping @Sendable () -> any GPUSource) {
    self.name = name
    let thread = Thread { [self] in run(make()) }
    thread.name = "gpu"
    thread.stackSize = 512 << 10
    thread.start()
  }

  private func run(_ first: any GPUSource) {
    var source = first
    while true {
      work.wait()
      let (isStopped, asked) = state.withLock { ($0.isStopped, $0.asked) }
      if isStopped { return }
      guard let asked else { continue }
      let answer = source.read(at: asked)
      let waiting = state.withLock { state in
        state.answer = answer
        state.asked = nil
        if case .gpus(let gpus) = answer { state.joules += gpus.reduce(0) { $0 + ($1.joules.current ?? 0) } }
        defer { state.waiting = [] }
        return state.waiting
      }
      for waiter in waiting { waiter.signal() }
    }
  }

  /// A thread that hangs in its driver ends when the driver lets it.
  func stop() {
    state.withLock { $0.isStopped = true }
    work.signal()
  }

  /// The newest answer, nil before the first, and the joules since the last call; puts the next
  /// question.
  func take(at time: Int64) -> (DriverAnswer?, Double) {
    let (answer, joules, isNew) = state.withLock { state -> (DriverAnswer?, Double, Bool) in
      let joules = state.joules
      state.joules = 0
      guard let asked = state.asked else {
        state.asked = time
        state.looks = 0
        return (state.answer, joules, true)
      }
      state.looks += 1
      // After the machine slept, or this process was stopped, the first look is no sign of
      // anything.
      guard time - asked > GPUWatch.patience, state.looks > 1 else { return (state.answer, joules, false) }
      let reason = "\(name) does not answer for \((time - asked) / 1_000_000) s"
      guard case .gpus(let gpus)? = state.answer else { return (.failed(reason), joules, false) }
      return (.gpus(gpus.map { GPUReading(name: $0.name, unavailable: reason) }), joules, false)
    }
    if isNew { work.signal() }
    return (answer, joules)
  }

  /// - Returns: false if the time ended first
  func waitUntilIdle(_ end: DispatchTime) -> Bool {
    let waiter = state.withLock { state -> DispatchSemaphore? in
      guard state.asked != nil else { return nil }
      let waiter = DispatchSemaphore(value: 0)
      state.waiting.append(waiter)
      return waiter
    }
    return waiter.map { $0.wait(timeout: end) == .success } ?? true
  }
}
