// Snapshot+Machine.swift: what the machine and the engine do. Start at ComputeSnapshot.
import Telemetry

/// What the machine does. Shares are 0 to 1, sizes bytes, temperatures Celsius, power watts, rates bytes/s.
public struct ComputeSnapshot: Codable, Sendable, Equatable {
  public let cpu: Reading<Double>
  /// One share a core, in the order of their numbers.
  public let cores: Reading<[Double]>
  public let cpuTemperature: Reading<Double>
  public let cpuPower: Reading<Double>
  public let load: Reading<[Double]>
  public let memoryUsed: Reading<Int64>
  public let memoryTotal: Reading<Int64>
  public let swapUsed: Reading<Int64>
  /// This process: resident bytes.
  public let residentMemory: Reading<Int64>
  /// Share of the last 10 s in which some task waited for the resource (PSI `some avg10`).
  public let cpuPressure: Reading<Double>
  public let memoryPressure: Reading<Double>
  public let ioPressure: Reading<Double>
  /// Free bytes where the state lives.
  public let diskFree: Reading<Int64>
  public let networkIn: Reading<Double>
  public let networkOut: Reading<Double>
  /// One entry a GPU; unavailable says why there are none.
  public let gpus: Reading<[GPUSnapshot]>
  /// Limits of the container, in words, for example `2 of 64 cores, 8 GiB`; nil without any.
  public let container: String?
  /// Mean clock of the cores in MHz.
  public let cpuClock: Reading<Double>
  /// Of all processors' time: waiting for the disk, and taken by the hypervisor for others.
  public let cpuWait: Reading<Double>
  public let cpuSteal: Reading<Double>
  /// Of `residentMemory`, pages of mapped files: the model.
  public let mappedMemory: Reading<Int64>
  /// Of the device under the state.
  public let diskRead: Reading<Double>
  public let diskWritten: Reading<Double>

  public init(
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

public struct GPUSnapshot: Codable, Sendable, Equatable {
  public let name: String
  public let utilization: Reading<Double>
  public let memoryUsed: Reading<Int64>
  public let memoryTotal: Reading<Int64>
  public let temperature: Reading<Double>
  public let power: Reading<Double>
  public let powerLimit: Reading<Double>
  /// Core clock in MHz.
  public let clock: Reading<Double>
  /// Why it runs slower than it could, in words; nil when nothing holds it back.
  public let throttle: String?
  public let processes: Reading<[String]>
  /// Where the driver begins to slow it down.
  public let slowdownTemperature: Reading<Double>
  /// MHz.
  public let memoryClock: Reading<Double>
  /// Memory errors (ECC) since the driver was loaded.
  public let correctedErrors: Reading<Int64>
  public let uncorrectedErrors: Reading<Int64>
  /// Bytes/s over PCIe, from the GPU's side.
  public let received: Reading<Double>
  public let sent: Reading<Double>

  public init(
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

/// How fast the engine is. Rates are tokens/s over the last second, latencies milliseconds over the last 5 minutes.
public struct ThroughputSnapshot: Codable, Sendable, Equatable {
  public let decode: Reading<Double>
  public let prefill: Reading<Double>
  public let firstTokenP50: Reading<Double>
  public let firstTokenP99: Reading<Double>
  public let betweenTokensP50: Reading<Double>
  public let betweenTokensP99: Reading<Double>
  /// Share of KV blocks in use by jobs, 0 to 1.
  public let kvInUse: Reading<Double>
  /// Share of KV blocks that hold reusable prefixes of nobody's running job, 0 to 1.
  public let kvCached: Reading<Double>
  public let batchSize: Int
  /// Share of prompt tokens found in the prefix cache since the start, 0 to 1.
  public let cacheHits: Reading<Double>
  public let tokensGenerated: Int
  public let tokensPrefilled: Int
  public let jobsDone: Int
  public let preemptions: Int

  public init(
    decode: Reading<Double>, prefill: Reading<Double>, firstTokenP50: Reading<Double>,
    firstTokenP99: Reading<Double>, betweenTokensP50: Reading<Double>, betweenTokensP99: Reading<Double>,
    kvInUse: Reading<Double>, kvCached: Reading<Double>, batchSize: Int, cacheHits: Reading<Double>,
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
    self.batchSize = batchSize
    self.cacheHits = cacheHits
    self.tokensGenerated = tokensGenerated
    self.tokensPrefilled = tokensPrefilled
    self.jobsDone = jobsDone
    self.preemptions = preemptions
  }
}
