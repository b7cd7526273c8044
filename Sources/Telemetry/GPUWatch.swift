// GPUWatch.swift: all GPUs of the machine, each driver queried on a separate thread. A call into a
// driver may never return. Then that driver's thread waits, its GPUs become unavailable with the
// reason, and everything else continues; when the call returns, they are available again. Nothing
// else here waits for a driver. The queries are in NVIDIALibrary.swift and DeviceFiles.swift. Start
// at GPUWatch.sample.
import Dispatch
import Foundation
import Synchronization

/// The readings of all GPUs at one moment.
package struct GPUSample: Sendable, Equatable {
  /// Unavailable, with the reason, if there is no GPU, or while no driver works.
  package let gpus: Reading<[GPUReading]>
  /// Drivers that exist but do not work, in words; the GPUs of the others are in `gpus`.
  package let problems: [String]
  /// Joules that all GPUs used since the last sample, as far as they report them.
  package let joules: Double
}

package final class GPUWatch: Sendable {
  private let drivers: [DriverThread]
  /// Microseconds that an answer may take. NVML's slowest calls take milliseconds.
  package static let patience: Int64 = 3_000_000

  /// - root: "" for this machine; tests pass a directory of fixtures
  /// - library: the file name of NVIDIA's library
  package init(root: String = "", library: String = "libnvidia-ml.so.1") {
    drivers =
      [DriverThread(name: "NVIDIA's driver") { NVIDIALibrary(path: library) }]
      + DeviceFiles.Driver.allCases.map { driver in
        DriverThread(name: driver.rawValue) { DeviceFiles(root: root, driver: driver) }
      }
  }

  deinit { for driver in drivers { driver.stop() } }

  /// Returns the newest answers and starts the next queries, without waiting.
  /// - time: microseconds of a monotonic clock, never decreasing
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

  /// Waits until every driver has answered, for at most so many seconds: for a command that shows
  /// one sample.
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

/// One driver and the thread that queries it. Rule: the source is used on that thread alone, all
/// shared state is under the lock, and the lock is never held during a call into the driver.
/// Otherwise a hung driver would hang its readers.
final class DriverThread: Sendable {
  private struct State {
    var answer: DriverAnswer?
    /// Joules that no caller has collected yet.
    var joules = 0.0
    /// The pending query: when it was made, and how often a caller has looked since.
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

  /// Stops the thread. A thread that hangs in its driver ends when the call returns.
  func stop() {
    state.withLock { $0.isStopped = true }
    work.signal()
  }

  /// Returns the newest answer, nil before the first, and the joules since the last call; starts
  /// the next query.
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
      // After a sleep of the machine or a stop of this process, the first look proves nothing.
      guard time - asked > GPUWatch.patience, state.looks > 1 else { return (state.answer, joules, false) }
      let reason = "\(name) does not answer for \((time - asked) / 1_000_000) s"
      guard case .gpus(let gpus)? = state.answer else { return (.failed(reason), joules, false) }
      return (.gpus(gpus.map { GPUReading(name: $0.name, unavailable: reason) }), joules, false)
    }
    if isNew { work.signal() }
    return (answer, joules)
  }

  /// - Returns: false if the time ran out first
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
