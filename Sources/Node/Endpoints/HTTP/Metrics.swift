// Metrics.swift: the node's figures for Prometheus, with vLLM's names where vLLM has one, under
// `hotpot:`.
// Source: Prometheus text exposition format 0.0.4; vLLM, "Production Metrics". Start at metrics.
import Accounting
import Intake
import Scheduling

extension HTTPEndpoint {
  /// The page at `/metrics`.
  func metrics() -> Response {
    let page = runtime.state.withLock { $0.metrics(at: NodeClock.now()) }
    return Response(
      status: 200, contentType: "text/plain; version=0.0.4; charset=utf-8", body: Array(page.utf8))
  }
}

extension NodeState {
  package mutating func metrics(at now: Moment) -> String {
    var page = MetricsPage(label: "model_name", value: facts?.model ?? "")
    let load = scheduler?.load
    let counters = scheduler?.counters
    page.gauge("num_requests_running", "Jobs in the batch.", load.map { Double($0.running) })
    page.gauge("num_requests_waiting", "Jobs queued.", load.map { Double($0.queued) })
    page.gauge("num_requests_pending", "Jobs that wait for the operator.", load.map { Double($0.pending) })
    page.gauge("num_requests_held", "Jobs held by the operator.", load.map { Double($0.held) })
    page.gauge(
      "kv_cache_usage_perc", "Share of KV blocks that jobs use, 0 to 1.",
      load.map { $0.blocks > 0 ? Double($0.usedBlocks) / Double($0.blocks) : 0 })
    page.counter("prompt_tokens_total", "Prompt tokens computed.", Double(counts.prefilled))
    page.counter("generation_tokens_total", "Tokens generated.", Double(counts.generated))
    page.counter(
      "prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.", Double(counts.prompts))
    page.counter("prefix_cache_hits_total", "Of those, found.", Double(counts.cached))
    page.counter("engine_steps_total", "Steps of the engine.", counters.map { Double($0.steps) })
    if let facts {
      page.gauge(
        "engine_device_info", "1 for what the model runs on.", 1, extra: ("device", facts.isa))
    }
    page.counter(
      "engine_busy_seconds_total", "Time that the engine spent in its steps.",
      Double(counts.engineTime) / 1_000_000)
    page.counter("num_preemptions_total", "Preemptions.", Double(counts.preemptions))
    for (name, value) in [
      ("done", counters?.done), ("rejected", counters?.rejected), ("cancelled", counters?.cancelled),
      ("expired", counters?.expired), ("failed", counters?.failed), ("refused", counters?.refused),
    ] {
      page.counter(
        "jobs_total", "Jobs by how they ended.", value.map { Double($0) }, extra: ("outcome", name))
    }
    for (reason, value) in [
      ("stop", counters.map { _ in Double(counts.done - counts.atLimit) }),
      ("length", counters.map { _ in Double(counts.atLimit) }),
      ("abort", counters.map { Double($0.cancelled) }),
    ] {
      page.counter(
        "request_success_total", "Jobs that ended with an answer, whole or not.", value,
        extra: ("finished_reason", reason))
    }
    page.histogram("request_queue_time_seconds", "From admission to the start.", queueSeconds)
    page.histogram(
      "request_approval_time_seconds", "From submission to the operator's word, of jobs that were approved.",
      approvalSeconds)
    page.histogram("time_to_first_token_seconds", "From admission to the first token.", firstTokenSeconds)
    page.histogram("inter_token_latency_seconds", "Between two tokens of a stream.", tokenSeconds)
    page.histogram("e2e_request_latency_seconds", "From admission to the end.", jobSeconds)
    let receipts = receipts.snapshot(at: now.monotonic)
    page.gauge("receipts_logged", "Receipts in the log.", receipts.logged.current.map { Double($0) })
    page.gauge("receipts_signed", "Receipts under a signed checkpoint.", Double(receipts.signed))
    page.gauge(
      "receipts_audited", "Own receipts whose re-execution gave the same bits.", Double(receipts.audited))
    page.gauge(
      "receipts_audit_failures", "Own receipts whose re-execution differed.", Double(receipts.failed))
    page.gauge(
      "receipts_audits_not_run", "Own receipts whose audit failed to run.", Double(receipts.auditsNotRun))
    page.gauge("cpu_utilization", "Use of all processors, 0 to 1.", compute?.cpu.current)
    page.gauge("cpu_temperature_celsius", "Package temperature.", compute?.cpuTemperature.current)
    page.gauge("cpu_power_watts", "Package power.", compute?.cpuPower.current)
    for (use, share) in [("jobs", energySplit.jobs), ("idle", energySplit.idle)] {
      let isMetered = energySplit.jobs.energy + energySplit.idle.energy > .zero
      page.counter(
        "energy_joules_total", "Electricity of processor and GPUs.",
        isMetered ? share.energy.joules : nil, extra: ("use", use))
    }
    page.gauge("cpu_clock_hertz", "Mean clock of the cores.", compute?.cpuClock.current.map { $0 * 1e6 })
    page.gauge("cpu_steal", "Time taken by the hypervisor, 0 to 1.", compute?.cpuSteal.current)
    page.gauge("cpu_wait", "Time spent waiting for the disk, 0 to 1.", compute?.cpuWait.current)
    for (name, pressure) in [
      ("cpu", compute?.cpuPressure), ("memory", compute?.memoryPressure), ("io", compute?.ioPressure),
    ] {
      page.gauge(
        "pressure", "Time in which some task waited, 0 to 1 (PSI, 10 s).", pressure?.current,
        extra: ("resource", name))
    }
    page.gauge(
      "memory_used_bytes", "Memory in use on the machine.", compute?.memoryUsed.current.map { Double($0) })
    page.gauge("disk_read_bytes_per_second", "Under the state.", compute?.diskRead.current)
    page.gauge("disk_written_bytes_per_second", "Under the state.", compute?.diskWritten.current)
    page.gauge("process_cpu_share", "Of all processors' time, by this process.", compute?.ownCPU?.current)
    page.gauge(
      "resident_memory_bytes", "Memory of this process.", compute?.residentMemory.current.map { Double($0) })
    page.gauge("disk_free_bytes", "Free where the state lives.", compute?.diskFree.current.map { Double($0) })
    for (index, gpu) in (compute?.gpus.current ?? []).enumerated() {
      let label = ("gpu", String(index))
      page.gauge("gpu_utilization", "Use of a GPU, 0 to 1.", gpu.utilization.current, extra: label)
      page.gauge(
        "gpu_memory_used_bytes", "Memory in use on a GPU.", gpu.memoryUsed.current.map { Double($0) },
        extra: label)
      page.gauge("gpu_temperature_celsius", "Temperature of a GPU.", gpu.temperature.current, extra: label)
      page.gauge("gpu_power_watts", "Power of a GPU.", gpu.power.current, extra: label)
      page.gauge(
        "gpu_clock_hertz", "Clock of a GPU's cores.", gpu.clock.current.map { $0 * 1e6 }, extra: label)
      page.gauge(
        "gpu_errors_corrected", "Memory errors that were corrected.",
        gpu.correctedErrors.current.map { Double($0) }, extra: label)
      page.gauge(
        "gpu_errors_uncorrected", "Memory errors that were not.",
        gpu.uncorrectedErrors.current.map { Double($0) }, extra: label)
      page.gauge(
        "gpu_pcie_received_bytes_per_second", "Over PCIe, by the GPU.", gpu.received.current, extra: label)
      page.gauge("gpu_pcie_sent_bytes_per_second", "Over PCIe, by the GPU.", gpu.sent.current, extra: label)
    }
    return page.text
  }
}

/// Lines of the exposition format; an unknown figure has no line.
private struct MetricsPage {
  private(set) var text = ""
  private var described: Set<String> = []
  private let label: String

  init(label: String, value: String) {
    let escaped = value.map { character -> String in
      switch character {
      case "\\": "\\\\"
      case "\"": "\\\""
      case "\n": "\\n"
      default: String(character)
      }
    }.joined()
    self.label = "\(label)=\"\(escaped)\""
  }

  mutating func gauge(_ name: String, _ help: String, _ value: Double?, extra: (String, String)? = nil) {
    line(name, "gauge", help, value, extra)
  }

  mutating func counter(_ name: String, _ help: String, _ value: Double?, extra: (String, String)? = nil) {
    line(name, "counter", help, value, extra)
  }

  mutating func histogram(_ name: String, _ help: String, _ histogram: Histogram) {
    describe(name, "histogram", help)
    for (bound, count) in zip(histogram.bounds, histogram.counts) {
      text += "hotpot:\(name)_bucket{\(label),le=\"\(bound)\"} \(count)\n"
    }
    text += "hotpot:\(name)_bucket{\(label),le=\"+Inf\"} \(histogram.total)\n"
    text += "hotpot:\(name)_sum{\(label)} \(histogram.sum)\n"
    text += "hotpot:\(name)_count{\(label)} \(histogram.total)\n"
  }

  private mutating func line(
    _ name: String, _ type: String, _ help: String, _ value: Double?, _ extra: (String, String)?
  ) {
    guard let value, value.isFinite else { return }
    describe(name, type, help)
    let more = extra.map { ",\($0.0)=\"\($0.1)\"" } ?? ""
    text += "hotpot:\(name){\(label)\(more)} \(number(value))\n"
  }

  private mutating func describe(_ name: String, _ type: String, _ help: String) {
    guard described.insert(name).inserted else { return }
    text += "# HELP hotpot:\(name) \(help)\n# TYPE hotpot:\(name) \(type)\n"
  }

  private func number(_ value: Double) -> String {
    value == value.rounded() && value.magnitude < 1e15 ? String(Int64(value)) : "\(value)"
  }
}
