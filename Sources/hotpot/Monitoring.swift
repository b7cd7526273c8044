// Monitoring.swift: a board for Grafana and rules for Prometheus over the figures of `/metrics`, for
// `hotpot unit --grafana` and `--alerts`. A test holds every name here against what the page has;
// the page is in Node (Metrics.swift). Start at GrafanaBoard.text and AlertRules.text.

import JSON

/// A figure with its labels, as PromQL selects it.
private func figure(_ name: String, _ labels: String...) -> String {
  "hotpot:\(name){\((labels + ["instance=~\"$instance\""]).joined(separator: ","))}"
}

private func rate(_ name: String, _ labels: String...) -> String {
  "rate(hotpot:\(name){\((labels + ["instance=~\"$instance\""]).joined(separator: ","))}[$__rate_interval])"
}

private func quantile(_ share: String, _ name: String) -> String {
  "histogram_quantile(\(share), sum by (le) (\(rate(name + "_bucket"))))"
}

enum GrafanaBoard {
  private struct Panel {
    let title: String
    /// Grafana's name of the unit.
    let unit: String
    /// In 24ths of the board's width.
    var width = 8
    let queries: [(expression: String, legend: String)]
  }

  private static let panels = [
    Panel(
      title: "Jobs", unit: "short", width: 12,
      queries: [
        (figure("num_requests_running"), "running"), (figure("num_requests_waiting"), "queued"),
        (figure("num_requests_pending"), "wait for the operator"), (figure("num_requests_held"), "held"),
      ]),
    Panel(
      title: "Tokens a second", unit: "short", width: 12,
      queries: [
        (rate("generation_tokens_total"), "generated"), (rate("prompt_tokens_total"), "prompts"),
      ]),
    Panel(
      title: "First token, from admission", unit: "s",
      queries: [
        (quantile("0.5", "time_to_first_token_seconds"), "half within"),
        (quantile("0.95", "time_to_first_token_seconds"), "95 % within"),
      ]),
    Panel(
      title: "Between two tokens", unit: "s",
      queries: [
        (quantile("0.5", "inter_token_latency_seconds"), "half within"),
        (quantile("0.95", "inter_token_latency_seconds"), "95 % within"),
      ]),
    Panel(
      title: "Waiting", unit: "s",
      queries: [
        (quantile("0.95", "request_queue_time_seconds"), "in the queue, 95 % within"),
        (quantile("0.95", "request_approval_time_seconds"), "for the operator, 95 % within"),
        (quantile("0.95", "e2e_request_latency_seconds"), "for the whole answer, 95 % within"),
      ]),
    Panel(
      title: "How jobs ended, a minute", unit: "short",
      queries: [("60 * sum by (outcome) (\(rate("jobs_total")))", "{{outcome}}")]),
    Panel(
      title: "Engine busy, KV blocks, prefix cache", unit: "percentunit",
      queries: [
        (rate("engine_busy_seconds_total"), "busy"), (figure("kv_cache_usage_perc"), "KV blocks in use"),
        ("\(rate("prefix_cache_hits_total")) / \(rate("prefix_cache_queries_total"))", "prefix cache hits"),
      ]),
    Panel(
      title: "Steps and preemptions a second", unit: "short",
      queries: [(rate("engine_steps_total"), "steps"), (rate("num_preemptions_total"), "preemptions")]),
    Panel(
      title: "Receipts", unit: "short",
      queries: [
        (figure("receipts_logged"), "in the log"), (figure("receipts_signed"), "signed"),
        (figure("receipts_audited"), "audited"), (figure("receipts_audit_failures"), "audits that failed"),
        (figure("receipts_audits_not_run"), "audits that did not run"),
      ]),
    Panel(
      title: "Processors", unit: "percentunit",
      queries: [
        (figure("cpu_utilization"), "use"), (figure("process_cpu_share"), "use by this process"),
        (figure("cpu_wait"), "wait for the disk"),
        (figure("cpu_steal"), "stolen"), (figure("pressure"), "pressure: {{resource}}"),
      ]),
    Panel(
      title: "Power", unit: "watt",
      queries: [
        (figure("cpu_power_watts"), "processors"), (figure("gpu_power_watts"), "GPU {{gpu}}"),
        (rate("energy_joules_total"), "{{use}}, metered"),
      ]),
    Panel(
      title: "Temperature", unit: "celsius",
      queries: [
        (figure("cpu_temperature_celsius"), "processors"),
        (figure("gpu_temperature_celsius"), "GPU {{gpu}}"),
      ]),
    Panel(
      title: "Memory and disk", unit: "bytes",
      queries: [
        (figure("memory_used_bytes"), "in use on the machine"),
        (figure("resident_memory_bytes"), "this process"), (figure("disk_free_bytes"), "free on the disk"),
        (figure("gpu_memory_used_bytes"), "GPU {{gpu}}"),
      ]),
    Panel(
      title: "GPUs", unit: "percentunit", queries: [(figure("gpu_utilization"), "GPU {{gpu}}")]),
  ]

  /// The board as Grafana imports it.
  static var text: String {
    let source = JSONValue.object([
      ("type", .string("prometheus")), ("uid", .string("${datasource}")),
    ])
    var (x, y) = (0, 0)
    var drawn: [JSONValue] = []
    for (index, panel) in panels.enumerated() {
      if x + panel.width > 24 { (x, y) = (0, y + height) }
      drawn.append(json(panel, id: index + 1, x: x, y: y, source))
      x += panel.width
    }
    let board = JSONValue.object([
      ("title", .string("Hotpot")), ("uid", .string("hotpot")), ("tags", .array([.string("hotpot")])),
      ("schemaVersion", .int(39)), ("editable", .bool(true)), ("refresh", .string("10s")),
      ("time", .object([("from", .string("now-6h")), ("to", .string("now"))])),
      (
        "templating",
        .object([
          (
            "list",
            .array([
              .object([
                ("name", .string("datasource")), ("type", .string("datasource")),
                ("query", .string("prometheus")),
              ]),
              .object([
                ("name", .string("instance")), ("label", .string("node")), ("type", .string("query")),
                ("datasource", source), ("includeAll", .bool(true)), ("multi", .bool(true)),
                ("refresh", .int(2)),
                ("query", .string("label_values(hotpot:receipts_signed, instance)")),
              ]),
            ])
          )
        ])
      ), ("panels", .array(drawn)),
    ])
    return String(decoding: JSONWriter.bytes(board), as: UTF8.self)
  }

  /// Of a panel, in Grafana's rows.
  private static let height = 8

  private static func json(_ panel: Panel, id: Int, x: Int, y: Int, _ source: JSONValue) -> JSONValue {
    .object([
      ("id", .int(Int64(id))), ("type", .string("timeseries")), ("title", .string(panel.title)),
      ("datasource", source),
      (
        "gridPos",
        .object([
          ("x", .int(Int64(x))), ("y", .int(Int64(y))), ("w", .int(Int64(panel.width))),
          ("h", .int(Int64(height))),
        ])
      ),
      (
        "fieldConfig",
        .object([
          ("defaults", .object([("unit", .string(panel.unit)), ("min", .int(0))])),
          ("overrides", .array([])),
        ])
      ),
      (
        "targets",
        .array(
          panel.queries.enumerated().map { place, query in
            .object([
              ("refId", .string(String(UnicodeScalar(UInt8(0x41 + place))))),
              ("expr", .string(query.expression)), ("legendFormat", .string(query.legend)),
              ("datasource", source),
            ])
          })
      ),
    ])
  }
}

enum AlertRules {
  private struct Rule {
    let name: String
    let expression: String
    /// How long it has to hold.
    var holds = "0m"
    let severity: String
    let words: String
  }

  private static let rules = [
    Rule(
      name: "HotpotDown", expression: "up{job=\"hotpot\"} == 0", holds: "2m", severity: "critical",
      words: "the node does not answer"),
    Rule(
      name: "HotpotDoesNotServe",
      expression: "hotpot:receipts_signed unless on (instance) hotpot:num_requests_running", holds: "5m",
      severity: "critical", words: "the node runs and has no model that serves: 'hotpot status' says why"),
    Rule(
      name: "HotpotAuditFailed", expression: "hotpot:receipts_audit_failures > 0", severity: "critical",
      words: "a receipt's job gave other bits when it was run again"),
    Rule(
      name: "HotpotAuditsDoNotRun", expression: "hotpot:receipts_audits_not_run > 0", holds: "15m",
      severity: "warning", words: "audits fail to run"),
    Rule(
      name: "HotpotSigningIsBehind",
      expression: "hotpot:receipts_logged - hotpot:receipts_signed > 0", holds: "10m", severity: "warning",
      words: "receipts are under no signed checkpoint for ten minutes"),
    Rule(
      name: "HotpotWaitsForYou", expression: "hotpot:num_requests_pending > 0", holds: "5m",
      severity: "info", words: "jobs wait for the operator: 'hotpot jobs --state pending' lists them"),
    Rule(
      name: "HotpotJobsFail", expression: "increase(hotpot:jobs_total{outcome=\"failed\"}[15m]) > 0",
      severity: "warning", words: "jobs failed: 'hotpot log' says why"),
    Rule(
      name: "HotpotFirstTokenIsSlow",
      expression:
        "histogram_quantile(0.95, sum by (instance, le) (rate(hotpot:time_to_first_token_seconds_bucket[10m]))) > 10",
      holds: "10m", severity: "warning", words: "one first token of twenty takes more than ten seconds"),
    Rule(
      name: "HotpotQueueIsLong", expression: "hotpot:num_requests_waiting > 20", holds: "15m",
      severity: "warning", words: "more than twenty jobs wait for their turn"),
    Rule(
      name: "HotpotDiskIsNearlyFull", expression: "hotpot:disk_free_bytes < 1073741824", holds: "5m",
      severity: "critical", words: "less than a gibibyte is free where the state lives"),
    Rule(
      name: "HotpotProcessorIsHot", expression: "hotpot:cpu_temperature_celsius > 95", holds: "5m",
      severity: "warning", words: "the processors are above 95 degrees"),
    Rule(
      name: "HotpotGPUIsHot", expression: "hotpot:gpu_temperature_celsius > 87", holds: "5m",
      severity: "warning", words: "a GPU is above 87 degrees"),
    Rule(
      name: "HotpotGPUMemoryErrs", expression: "delta(hotpot:gpu_errors_uncorrected[1h]) > 0",
      severity: "critical", words: "a GPU's memory has errors that were not corrected"),
  ]

  /// A rule file of Prometheus.
  static var text: String {
    var text = """
      # Alerts for nodes of Hotpot, which Prometheus scrapes at /metrics as the job "hotpot".
      groups:
        - name: hotpot
          rules:

      """
    for rule in rules {
      text += """
              - alert: \(rule.name)
                expr: '\(rule.expression)'
                for: \(rule.holds)
                labels:
                  severity: \(rule.severity)
                annotations:
                  summary: "{{ $labels.instance }}: \(rule.words)"

        """
    }
    return text
  }
}
