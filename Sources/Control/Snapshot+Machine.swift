// Snapshot+Machine.swift: what the machine and the engine do. Start at ComputeSnapshot.
import Telemetry

/// What the machine does. Shares are 0 to 1, sizes bytes, temperatures Celsius, power watts, rates
/// bytes/s.
package struct ComputeSnapshot: Codable, Sendable, Equatable {
  package let cpu: Reading<Double>
  /// One share per core, in the order of their numbers.
  package let cores: Reading<[Double]>
  package let cpuTemperature: Reading<Double>
  package let cpuPower: Reading<Double>
  package let load: Reading<[Double]>
  package let memoryUsed: Reading<Int64>
  package let memoryTotal: Reading<Int64>
  package let swapUsed: Reading<Int64>
  /// This process: resident bytes.
  package let residentMemory: Reading<Int64>
  /// Share of the last 10 s in which some task waited for the resource (PSI `some avg10`).
  package let cpuPressure: Reading<Double>
  package let memoryPressure: Reading<Double>
  package let ioPressure: Reading<Double>
  /// Free bytes where the state lives.
  package let diskFree: Reading<Int64>
  package let networkIn: Reading<Double>
  package let networkOut: Reading<Double>
  /// One entry per GPU; unavailable says why there are none.
  package let gpus: Reading<[GPUSnapshot]>
  /// Limits of the container, in words, for example `2 of 64 cores, 8 GiB`; nil if there are none.
  package let container: String?
  /// Mean clock of the cores in MHz.
  package let cpuClock: Reading<Double>
  /// Shares of all processors' time: waiting for the disk, and taken by the hypervisor for others.
  package let cpuWait: Reading<Double>
  package let cpuSteal: Reading<Double>
  /// The part of `residentMemory` in pages of mapped files: the model.
  package let mappedMemory: Reading<Int64>
  /// This process: share of all processors' time; nil from a node of an earlier release.
  package var ownCPU: Reading<Double>?
  /// Of the device that holds the state directory.
  package let diskRead: Reading<Double>
  package let diskWritten: Reading<Double>

  package init(
    cpu: Reading<Double>, cores: Reading<[Double]>, cpuTemperature: Reading<Double>,
    cpuPower: Reading<Double>,
    load: Reading<[Double]>, memoryUsed: Reading<Int64>, memoryTotal: Reading<Int64>,
    swapUsed: Reading<Int64>, residentMemory: Reading<Int64>, cpuPressure: Reading<Double>,
    memoryPressure: Reading<Double>, ioPressure: Reading<Double>, diskFree: Reading<Int64>,
    networkIn: Reading<Double>, networkOut: Reading<Double>, gpus: Reading<[GPUSnapshot]>, container: String?,
    cpuClock: Reading<Double> = .unavailable("not measured"),
    cpuWait: Reading<Double> = .unavailable("not measured"),
    cpuSteal: Reading<Double> = .unavailable("not measured"),
    mappedMemory: Reading<Int64> = .unavailable("not measured"),
    diskRead: Reading<Double> = .unavailable("not measured"),
    diskWritten: Reading<Double> = .unavailable("not measured")
  ) {
    self.cpuClock = cpuClock
    self.cpuWait = cpuWait
    self.cpuSteal = cpuSteal
    self.mappedMemory = mappedMemory
    self.diskRead = diskRead
    self.diskWritten = diskWritten
    self.cpu = cpu
    self.cores = cores
    self.cpuTemperature = cpuTemperature
    self.cpuPower = cpuPower
    self.load = load
    self.memoryUsed = memoryUsed
    self.memoryTotal = memoryTotal
    self.swapUsed = swapUsed
    self.residentMemory = residentMemory
    self.cpuPressure = cpuPressure
    self.memoryPressure = memoryPressure
    self.ioPressure = ioPressure
    self.diskFree = diskFree
    self.networkIn = networkIn
    self.networkOut = networkOut
    self.gpus = gpus
    self.container = container
  }
}

package struct GPUSnapshot: Codable, Sendable, Equatable {
  package let name: String
  package let utilization: Reading<Double>
  package let memoryUsed: Reading<Int64>
  package let memoryTotal: Reading<Int64>
  package let temperature: Reading<Double>
  package let power: Reading<Double>
  package let powerLimit: Reading<Double>
  /// Core clock in MHz.
  package let clock: Reading<Double>
  /// Why it runs below its possible speed, in words; nil if nothing limits it.
  package let throttle: String?
  package let processes: Reading<[String]>
  /// The temperature at which the driver begins to slow it down.
  package let slowdownTemperature: Reading<Double>
  /// MHz.
  package let memoryClock: Reading<Double>
  /// Memory errors (ECC) since the driver was loaded.
  package let correctedErrors: Reading<Int64>
  package let uncorrectedErrors: Reading<Int64>
  /// Bytes/s over PCIe, from the GPU's side.
  package let received: Reading<Double>
  package let sent: Reading<Double>

  package init(
    name: String, utilization: Reading<Double>, memoryUsed: Reading<Int64>, memoryTotal: Reading<Int64>,
    temperature: Reading<Double>, power: Reading<Double>, powerLimit: Reading<Double>, clock: Reading<Double>,
    throttle: String?, processes: Reading<[String]>,
    slowdownTemperature: Reading<Double> = .unavailable("not measured"),
    memoryClock: Reading<Double> = .unavailable("not measured"),
    correctedErrors: Reading<Int64> = .unavailable("not measured"),
    uncorrectedErrors: Reading<Int64> = .unavailable("not measured"),
    received: Reading<Double> = .unavailable("not measured"),
    sent: Reading<Double> = .unavailable("not measured")
  ) {
    self.slowdownTemperature = slowdownTemperature
    self.memoryClock = memoryClock
    self.correctedErrors = correctedErrors
    self.uncorrectedErrors = uncorrectedErrors
    self.received = received
    self.sent = sent
    self.name = name
    self.utilization = utilization
    self.memoryUsed = memoryUsed
    self.memoryTotal = memoryTotal
    self.temperature = temperature
    self.power = power
    self.powerLimit = powerLimit
    self.clock = clock
    self.throttle = throttle
    self.processes = processes
  }
}

/// How fast the engine is. Rates are tokens/s over the last second, latencies milliseconds over the
/// last 5 minutes.
package struct ThroughputSnapshot: Codable, Sendable, Equatable {
  package let decode: Reading<Double>
  package let prefill: Reading<Double>
  package let firstTokenP50: Reading<Double>
  package let firstTokenP99: Reading<Double>
  package let betweenTokensP50: Reading<Double>
  package let betweenTokensP99: Reading<Double>
  /// Share of KV blocks in use by jobs, 0 to 1.
  package let kvInUse: Reading<Double>
  /// Share of KV blocks that hold reusable prefixes used by no running job, 0 to 1.
  package let kvCached: Reading<Double>
  /// Positions that there is room for, as planned at the start; nil: no model is loaded.
  package let kvPositions: Int?
  package let batchSize: Int
  /// Share of prompt tokens found in the prefix cache since the start, 0 to 1.
  package let cacheHits: Reading<Double>
  package let tokensGenerated: Int
  package let tokensPrefilled: Int
  package let jobsDone: Int
  package let preemptions: Int

  package init(
    decode: Reading<Double>, prefill: Reading<Double>, firstTokenP50: Reading<Double>,
    firstTokenP99: Reading<Double>, betweenTokensP50: Reading<Double>, betweenTokensP99: Reading<Double>,
    kvInUse: Reading<Double>, kvCached: Reading<Double>, kvPositions: Int? = nil, batchSize: Int,
    cacheHits: Reading<Double>,
    tokensGenerated: Int, tokensPrefilled: Int, jobsDone: Int, preemptions: Int
  ) {
    self.decode = decode
    self.prefill = prefill
    self.firstTokenP50 = firstTokenP50
    self.firstTokenP99 = firstTokenP99
    self.betweenTokensP50 = betweenTokensP50
    self.betweenTokensP99 = betweenTokensP99
    self.kvInUse = kvInUse
    self.kvCached = kvCached
    self.kvPositions = kvPositions
    self.batchSize = batchSize
    self.cacheHits = cacheHits
    self.tokensGenerated = tokensGenerated
    self.tokensPrefilled = tokensPrefilled
    self.jobsDone = jobsDone
    self.preemptions = preemptions
  }
}
