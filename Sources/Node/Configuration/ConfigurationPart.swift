// ConfigurationPart.swift: the keys of the configuration as a table: whether a running node takes a
// changed one at once, and how it is shown. What keys mean is in Configuration.swift. A new key is a
// row here. Start at ConfigurationPart.all.
import Accounting
import JSON
import Scheduling

/// One key of the configuration, or a list of rules.
package struct ConfigurationPart: Sendable {
  /// As errors and manuals name it: `queue.jobs`.
  package let name: String
  /// Whether a running node applies it when the file is read again; otherwise it waits for the next
  /// start.
  package let isLive: Bool
  let differs: @Sendable (NodeConfiguration, NodeConfiguration) -> Bool
  /// Takes the other's value.
  let take: @Sendable (inout NodeConfiguration, NodeConfiguration) -> Void
  /// The value as one word; nil for a list, which only the file shows.
  package let word: @Sendable (NodeConfiguration) -> String?

  private init<Value: Equatable & Sendable>(
    _ name: String, _ path: WritableKeyPath<NodeConfiguration, Value> & Sendable, isLive: Bool,
    _ word: @escaping @Sendable (Value) -> String? = { _ in nil }
  ) {
    (self.name, self.isLive) = (name, isLive)
    differs = { $0[keyPath: path] != $1[keyPath: path] }
    take = { $0[keyPath: path] = $1[keyPath: path] }
    self.word = { word($0[keyPath: path]) }
  }

  private static func live<Value: Equatable & Sendable>(
    _ name: String, _ path: WritableKeyPath<NodeConfiguration, Value> & Sendable,
    _ word: @escaping @Sendable (Value) -> String? = { "\($0)" }
  ) -> ConfigurationPart { ConfigurationPart(name, path, isLive: true, word) }

  private static func restart<Value: Equatable & Sendable>(
    _ name: String, _ path: WritableKeyPath<NodeConfiguration, Value> & Sendable,
    _ word: @escaping @Sendable (Value) -> String? = { "\($0)" }
  ) -> ConfigurationPart { ConfigurationPart(name, path, isLive: false, word) }

  private static func orNone<Value>(_ value: Value?) -> String? { value.map { "\($0)" } ?? "none" }

  /// In the order of the manual.
  package static let all: [ConfigurationPart] =
    [
      restart("name", \.name), restart("model", \.model, orNone), restart("threads", \.threads, orNone),
      restart("device", \.device), restart("device_checks", \.deviceChecks), restart("mapped", \.isMapped),
      restart("profile", \.profile) { $0.rawValue },
      restart("kv_tokens", \.kvTokens, orNone), live("token_target_ms", \.tokenTarget),
      restart("tool_format", \.toolFormat, orNone), restart("pooling", \.pooling) { $0?.rawValue ?? "none" },
      restart("currency", \.currency),
      live("vouchers", \.vouchers) { $0.rawValue },
    ] + http + queues + rules + machine

  private static let http: [ConfigurationPart] = [
    restart("http.listen", \.http.listen, orNone), restart("http.socket", \.http.socket, orNone),
    // Its files are read again with the configuration.
    restart("http.tls", \.http.tls) { $0.map { "\($0.certificate), \($0.key)" } ?? "none" },
    restart("http.hosts", \.http.hosts), restart("http.connections", \.http.connections),
    live("http.model_names", \.http.modelNames), restart("http.body_limit", \.http.bodyLimit),
  ]

  private static let queues: [ConfigurationPart] =
    [
      live("queue.jobs", \.queue.jobs), live("queue.approvals", \.queue.approvals),
      live("queue.prompt_tokens", \.queue.promptTokens), live("queue.decide_within_s", \.queue.decideWithin),
      restart("queue.running", \.queue.running), live("queue.priority", \.queue.priority),
      live("strangers.jobs", \.strangers.jobs), live("strangers.jobs_each", \.strangers.jobsEach),
      live("strangers.prompt_tokens", \.strangers.promptTokens),
      live("strangers.running", \.strangers.running, orNone),
      live("strangers.priority", \.strangers.priority),
      restart("strangers.requests", \.strangers.requests),
      restart("strangers.request_bytes", \.strangers.requestBytes),
      restart("strangers.uploads", \.strangers.uploads),
      restart("strangers.upload_rate", \.strangers.uploadRate),
      restart("strangers.spool_bytes", \.strangers.spoolBytes),
    ]
    + [
      "servers", "stream", "domain", "login", "tls", "models", "classes", "ssh", "entrance", "entrances",
    ].map { key in
      // The shared queue is one value: a change of any of them is one of all.
      restart("queue.\(key)", \.queue.shared) { _ in nil }
    }

  private static let rules: [ConfigurationPart] = [
    live("policy", \.policy) { _ in nil }, live("prices", \.prices) { _ in nil },
    live("energy", \.tariff) { _ in nil },
    live("limits.temperature_c", \.limits.temperature, orNone),
    live("limits.memory_available", \.limits.memoryAvailable, orNone),
    live("limits.disk_free", \.limits.diskFree, orNone),
    live("audits.share", \.audits.share), live("audits.keep_transcripts_s", \.audits.keepTranscripts),
    live("audits.stop_on_failure", \.audits.stopOnFailure),
  ]

  private static let machine: [ConfigurationPart] = [
    restart("answers.keep_s", \.answers.keepFor), restart("answers.grace_s", \.answers.graceFor),
    restart("answers.per_client", \.answers.perClient),
    restart("answers.client_bytes", \.answers.clientBytes),
    restart("answers.strangers", \.answers.strangers),
    restart("answers.strangers_bytes", \.answers.strangersBytes),
    restart("control.socket", \.control.socket, orNone),
    live("control.operators", \.control.operators) { _ in nil },
    live("control.viewers", \.control.viewers) { _ in nil },
    restart("witnesses", \.witnesses) { _ in nil }, restart("cosigns", \.cosigns) { _ in nil },
    live("publish.door", \.publish.isOpen), live("publish.urls", \.publish.urls),
    live("publish.contact", \.publish.contact, orNone), live("fleet", \.fleet), live("notify", \.notify),
    live("quiet_hours", \.quietHours) { $0.map { "\($0.from)-\($0.to)" } ?? "none" },
    live("screen.theme", \.screen.theme, orNone),
    live("screen.mouse", \.screen.mouse, orNone), live("screen.bell", \.screen.bell, orNone),
    live("screen.graphs", \.screen.graphs) { $0?.rawValue ?? "none" },
  ]
}

/// What came of reading the configuration again.
package struct ConfigurationChange: Codable, Sendable, Equatable {
  /// Keys that hold from now on.
  package var applied: [String] = []
  /// Keys that changed in the file and wait for a restart.
  package var waiting: [String] = []

  /// - old: what the node runs with
  package init(from old: NodeConfiguration, to new: NodeConfiguration) {
    for part in ConfigurationPart.all where part.differs(old, new) {
      if part.isLive { applied.append(part.name) } else { waiting.append(part.name) }
    }
  }

  package var words: String {
    if applied.isEmpty && waiting.isEmpty { return "the configuration is as it was" }
    let now = applied.isEmpty ? nil : "applied: \(applied.joined(separator: ", "))"
    let later = waiting.isEmpty ? nil : "waits for a restart: \(waiting.joined(separator: ", "))"
    return [now, later].compactMap { $0 }.joined(separator: "; ")
  }
}

extension NodeConfiguration {
  /// The line of the file that sets a key, such as `queue.jobs`; nil for a default.
  package func line(of key: String) -> Int? {
    guard let source, let document = try? JSON5(source) else { return nil }  // It was read from this text.
    var value: JSONValue? = document.value
    let path = key.split(separator: ".").map(String.init)
    for part in path { value = value?.members?.last { $0.key == part }?.value }
    return value == nil ? nil : document.place(of: path)?.line
  }

  /// Takes from another what may change while a node runs.
  package mutating func takeLive(from new: NodeConfiguration) {
    for part in ConfigurationPart.all where part.isLive { part.take(&self, new) }
    source = new.source
  }
}
