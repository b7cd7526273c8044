// Configuration.swift: the keys of config.json5, with their defaults. All of them are optional.
// Reading and errors are ConfigurationReader's. Start at NodeConfiguration.
import Accounting
import Foundation
import Inference
import Intake
import Receipts
import Scheduling
import Tools

/// The settings of a node. `man hotpot-config` lists them; each key has the same name there.
package struct NodeConfiguration: Sendable, Equatable {
  /// Shown to operators and clients; the host's name by default.
  package var name: String
  /// A file, or a name from `hotpot models list`; nil selects the default model.
  package var model: String?
  package var threads: Int?
  /// What the model runs on.
  package var device = ComputeDevice.processors
  /// The share of a graphics processor's steps of which one row is compared with the processors'.
  package var deviceChecks = 0.001
  /// Whether the weights are in a file on the disk instead of memory.
  package var isMapped = false
  /// `a15`, `a12` or `a8`: bits of the activations, part of the numerics profile.
  package var profile = Profile.a15
  /// Positions of the KV cache, for all jobs together.
  package var kvTokens: Int?
  package var http = HTTP()
  package var queue = Queue()
  package var strangers = Strangers()
  /// Which jobs are admitted, rejected or left to the operator; the first matching rule decides.
  package var policy = Policy.standard
  /// The form in which the model writes tool calls, where its template doesn't say it.
  package var toolFormat: String?
  /// How texts become vectors, where the model's file doesn't say it.
  package var pooling: Pooling?
  /// The longest time between tokens, in milliseconds, that the prefill of other jobs may cause for
  /// running streams.
  package var tokenTarget = 100
  package var currency = "EUR"
  package var prices = PriceList(rules: [])
  package var tariff: Tariff?
  /// Whether paid work needs a client's signed promise to pay.
  package var vouchers = Vouchers.optional
  package var limits = Limits()
  package var audits = Audits()
  package var answers = Answers()
  /// Who besides the owner may watch the node and act on it.
  package var control = ControlAccess()
  /// Whom this node asks to cosign its log.
  package var witnesses: [Witness] = []
  /// The keys of the logs that this node cosigns, each named after its log's origin.
  package var cosigns: [NoteKey] = []
  /// What everybody may read of this node.
  package var publish = Publish()
  /// The text that it was parsed from; nil for the defaults.
  package internal(set) var source: String?
  /// Hosts that `hotpot fleet` shows, by their ssh names.
  package var fleet: [String] = []

  /// A program and its arguments, run with one more when something needs the operator.
  package var notify: [String] = []
  /// Hours in which it is not run.
  package var quietHours: Accounting.Hours?
  /// How screens begin; what an operator chose there before goes before it.
  package var screen = Screen()

  package struct Screen: Sendable, Equatable {
    /// A theme's name.
    package var theme: String?
    package var mouse: Bool?
    /// Ring when a job waits for approval.
    package var bell: Bool?
    package var graphs: Graphs?

    package enum Graphs: String, Sendable, Equatable, CaseIterable { case scroll, sweep }
  }

  /// Somebody else who cosigns this node's checkpoints over HTTP.
  package struct Witness: Sendable, Equatable {
    /// Up to its last slash; `add-checkpoint` follows.
    package var url: String
    package var key: NoteKey
  }

  package struct Publish: Sendable, Equatable {
    /// Whether the HTTP door serves what `hotpot publish` writes.
    package var isOpen = false
    /// Where clients reach the node.
    package var urls: [String] = []
    /// How people reach its operator.
    package var contact: String?
  }

  package enum Profile: String, Sendable, Equatable, CaseIterable { case a15, a12, a8 }

  package enum Vouchers: String, Sendable, Equatable, CaseIterable { case optional, required }

  package struct HTTP: Sendable, Equatable {
    /// Address and port; with nil it listens on no TCP port.
    package var listen: String? = "127.0.0.1:8114"
    /// With it, TCP is served in TLS only.
    package var tls: Certificate?
    /// An additional Unix socket.
    package var socket: String?
    /// Host headers that are accepted, besides the address itself and loopback names.
    package var hosts: [String] = []
    package var connections = 4096
    /// Largest body in bytes.
    package var bodyLimit = 8 << 20
    /// Names that clients may call the served model by, besides its own.
    /// A trailing `*` stands for any rest.
    package var modelNames: [String] = []

    /// The files of a server's certificate and key, in PEM.
    package struct Certificate: Sendable, Equatable {
      package let certificate: String
      package let key: String
    }

    /// Where clients connect; nil without a TCP port.
    package var address: String? { listen.map { (tls == nil ? "http://" : "https://") + $0 } }
  }

  package struct Queue: Sendable, Equatable {
    /// How many jobs of known clients may be queued; the node's own jobs have the same limit
    /// separately.
    package var jobs = 256
    /// How many jobs of known clients may wait for the operator.
    package var approvals = 64
    package var promptTokens = 1_000_000
    /// Seconds until a job that waits for the operator expires.
    package var decideWithin = 600
    /// How many jobs run at once.
    package var running = 32
    /// The highest priority that a known client may request.
    package var priority = 5
    /// A queue of other machines that jobs are taken from; nil for none.
    package var shared: SharedQueue?
  }

  /// Limits for clients without a token of this node. Their names are free to make up, so all
  /// limits except `jobsEach` are for all of them together.
  package struct Strangers: Sendable, Equatable {
    /// How many jobs may wait, for the operator or in the queue.
    package var jobs = 64
    /// The same for one of them.
    package var jobsEach = 16
    package var promptTokens = 250_000
    /// How many jobs run at once; nil means half of `queue.running`.
    package var running: Int?
    /// The highest priority that they may request.
    package var priority = 4
    /// How many requests may wait to be read and tokenised.
    package var requests = 64
    /// Bytes of requests being received; requests that wait to be read have the same limit
    /// separately.
    package var requestBytes = 64 << 20
    /// How many connections may be sending a body.
    package var uploads = 256
    /// How many bytes per second such a connection must send, after its first ten seconds.
    package var uploadRate = 1_024
    /// Bytes on disk of requests whose answers will be fetched later.
    package var spoolBytes = 64 << 20
  }

  /// Limits with an effect: while one is exceeded, the node admits nothing.
  package struct Limits: Sendable, Equatable {
    /// Celsius.
    package var temperature: Double?
    /// Bytes of memory that must stay available.
    package var memoryAvailable: Int64?
    /// Bytes of disk that must stay free on the file system of the state directory.
    package var diskFree: Int64? = 256 << 20
  }

  package struct Audits: Sendable, Equatable {
    /// Share of the node's own receipts that are re-executed when the engine is idle, 0 to 1.
    package var share = 0.02
    /// How many seconds transcripts stay in memory, so that they can be audited.
    package var keepTranscripts = 900
    /// A failed audit stops admission.
    package var stopOnFailure = true
  }

  /// How long answers of asynchronous jobs are kept, and how many of each client.
  package struct Answers: Sendable, Equatable {
    /// Seconds after which an unfetched answer is deleted.
    package var keepFor = 604_800
    /// Seconds during which a fetched answer can be fetched again.
    package var graceFor = 3_600
    /// Asynchronous jobs of one client that have not ended, or whose answers have not been fetched.
    package var perClient = 1_000
    /// Bytes of their requests and answers.
    package var clientBytes = 128 << 20
    /// The same for all clients together that are not in the node's list.
    package var strangers = 64
    package var strangersBytes = 64 << 20

    var keep: Microseconds { Microseconds(keepFor) * 1_000_000 }
    var grace: Microseconds { Microseconds(graceFor) * 1_000_000 }
  }

  package init(name: String) { self.name = name }

  /// The host's name, for nodes without a configured name.
  package static var hostName: String {
    let name = ProcessInfo.processInfo.hostName
    return String(name.prefix { $0 != "." }.prefix(32))
  }

  /// Reads a file's text; nil means that there is no file.
  package init(file: String, text: String?) throws(ConfigurationError) {
    self.init(name: Self.hostName)
    guard let text else { return }
    source = text
    var root = try ConfigurationReader(file: file, text: text)
    if let name = try root.string("name") {
      guard (1...32).contains(name.count),
        name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) })
      else {
        throw root.problem("name", "is '\(name.prefix(40))', wanted 1 to 32 letters, digits, '-', '_' or '.'")
      }
      self.name = name
    }
    model = try root.string("model")
    if model?.isEmpty == true { throw root.problem("model", "is empty, wanted a file or a model's name") }
    threads = try root.integer("threads", 1...1024)
    if let text = try root.string("device") {
      guard let device = ComputeDevice(text) else {
        throw root.problem("device", "is '\(text.prefix(40))', wanted processors, vulkan:N or auto")
      }
      self.device = device
    }
    deviceChecks = try root.number("device_checks", 0...1) ?? deviceChecks
    isMapped = try root.bool("mapped") ?? isMapped
    if let profile = try root.choice("profile", Profile.self) { self.profile = profile }
    if let name = try root.string("tool_format") {
      guard ToolFormat.named(name) != nil else {
        throw root.problem(
          "tool_format",
          "is '\(name.prefix(40))', wanted one of \(ToolFormat.all.map(\.name).joined(separator: ", "))")
      }
      toolFormat = name
    }
    pooling = try root.choice("pooling", Pooling.self)
    kvTokens = try root.integer("kv_tokens", 256...(1 << 24))
    tokenTarget = try root.integer("token_target_ms", 5...10_000) ?? tokenTarget
    if var section = try root.object("http") { try readHTTP(&section) }
    if var section = try root.object("queue") { try readQueue(&section) }
    if var section = try root.object("strangers") { try readStrangers(&section) }
    if let rules = try root.objects("policy") {
      policy = Policy(rules: try rules.map { (rule) throws(ConfigurationError) in try Self.rule(rule) })
    }
    if let currency = try root.string("currency") {
      guard (1...8).contains(currency.count), currency.allSatisfy({ $0.isASCII && $0.isLetter }) else {
        throw root.problem("currency", "is '\(currency.prefix(40))', wanted 1 to 8 letters such as \"EUR\"")
      }
      self.currency = currency
    }
    if let rules = try root.objects("prices") {
      prices = PriceList(rules: try rules.map { (rule) throws(ConfigurationError) in try Self.price(rule) })
    }
    if let vouchers = try root.choice("vouchers", Vouchers.self) { self.vouchers = vouchers }
    if var section = try root.object("energy") { tariff = try Self.tariff(&section) }
    if var section = try root.object("limits") { try readLimits(&section) }
    if var section = try root.object("audits") { try readAudits(&section) }
    if var section = try root.object("answers") { try readAnswers(&section) }
    if var section = try root.object("control") { try readControl(&section) }
    try readWitnesses(&root)
    if var section = try root.object("publish") { try readPublish(&section) }
    fleet = try root.strings("fleet") ?? []
    notify = try root.strings("notify") ?? []
    if notify.first.map({ !$0.hasPrefix("/") }) ?? false {
      throw root.problem(
        "notify",
        "begins with '\(notify[0].prefix(60))', wanted a program's path from '/' on, and then its arguments")
    }
    quietHours = try Self.hours(&root, "quiet_hours")
    if var section = try root.object("screen") { try readScreen(&section) }
    try root.finish()
  }

  private mutating func readWitnesses(_ root: inout ConfigurationReader) throws(ConfigurationError) {
    func key(_ text: String, _ kind: NoteKey.Kind) -> NoteKey? {
      NoteKey(parsing: text).flatMap { $0.kind == kind ? $0 : nil }
    }
    witnesses = try (try root.objects("witnesses") ?? []).map { (given) throws(ConfigurationError) in
      var section = given
      let url = try section.string("url") ?? ""
      do throws(HTTPCallError) { _ = try HTTPCall(url) } catch {
        throw section.problem("url", "is refused: \(error)", hint: error.hint)
      }
      guard let found = key(try section.string("key") ?? "", .witness) else {
        throw section.problem(
          "key", "is no witness key, wanted NAME+ID+KEY", hint: "'hotpot witness key' prints a node's")
      }
      try section.finish()
      return Witness(url: url.hasSuffix("/") ? url : url + "/", key: found)
    }
    cosigns = try (try root.strings("cosigns") ?? []).map { (text) throws(ConfigurationError) in
      guard let found = key(text, .log) else {
        throw root.problem(
          "cosigns", "has '\(text.prefix(80))', wanted a log's key, NAME+ID+KEY",
          hint: "'hotpot witness key' prints a node's")
      }
      return found
    }
  }

  private mutating func readScreen(_ section: inout ConfigurationReader) throws(ConfigurationError) {
    screen.theme = try section.string("theme")
    screen.mouse = try section.bool("mouse")
    screen.bell = try section.bool("bell")
    screen.graphs = try section.choice("graphs", Screen.Graphs.self)
    try section.finish()
  }

  private mutating func readControl(_ section: inout ConfigurationReader) throws(ConfigurationError) {
    control.socket = try Self.path(&section, "socket")
    control.operators = try Self.entries(&section, "operators")
    control.viewers = try Self.entries(&section, "viewers")
    try section.finish()
  }

  private static func entries(
    _ section: inout ConfigurationReader, _ key: String
  ) throws(ConfigurationError) -> [ControlAccess.Entry] {
    var entries: [ControlAccess.Entry] = []
    for text in try section.strings(key) ?? [] {
      guard let entry = ControlAccess.Entry(text) else {
        throw section.problem(
          key,
          "has '\(text.prefix(80))', wanted a user's name or number, 'group:NAME', or 'SHA256:...' and perhaps a name",
          hint: "'ssh-keygen -l -f KEY.pub' prints a key's fingerprint")
      }
      entries.append(entry)
    }
    return entries
  }

  /// The path of a socket that the node makes. It must be absolute, because a node's working
  /// directory is not defined.
  private static func path(
    _ section: inout ConfigurationReader, _ key: String
  ) throws(ConfigurationError) -> String? {
    guard let path = try file(&section, key, such: "/run/hotpot/control.sock") else { return nil }
    guard path.utf8.count <= longestSocketPath else {
      throw section.problem(
        key, "has \(path.utf8.count) bytes, at most \(longestSocketPath) fit into a socket's path",
        hint: "name a shorter one")
    }
    return path
  }

  /// The path of a file, which must be absolute.
  private static func file(
    _ section: inout ConfigurationReader, _ key: String, such example: String
  ) throws(ConfigurationError) -> String? {
    guard let path = try section.string(key) else { return nil }
    guard path.hasPrefix("/"), !path.hasSuffix("/"), !path.utf8.contains(0) else {
      throw section.problem(
        key, "is '\(path.prefix(80))', wanted a file's path from '/' on, such as \"\(example)\"")
    }
    return path
  }

  private static func certificate(
    _ given: ConfigurationReader
  ) throws(ConfigurationError) -> HTTP.Certificate {
    var section = given
    let certificate = try file(&section, "certificate", such: "/etc/hotpot/certificate.pem")
    let key = try file(&section, "key", such: "/etc/hotpot/key.pem")
    guard let certificate else { throw section.problem("certificate", "is missing, wanted a PEM file") }
    guard let key else { throw section.problem("key", "is missing, wanted a PEM file") }
    try section.finish()
    return HTTP.Certificate(certificate: certificate, key: key)
  }

  /// Longest path of a Unix socket in bytes. Source: unix(7), sun_path without its NUL.
  package static let longestSocketPath = 107

  private mutating func readPublish(_ section: inout ConfigurationReader) throws(ConfigurationError) {
    publish.isOpen = try section.bool("door") ?? publish.isOpen
    publish.urls = try section.strings("urls") ?? []
    for url in publish.urls {
      let parts = URLComponents(string: url)
      guard parts?.scheme == "http" || parts?.scheme == "https", parts?.host?.isEmpty == false,
        url.utf8.count <= 300
      else {
        throw section.problem(
          "urls", "has '\(url.prefix(80))', wanted addresses such as \"https://node.example\"")
      }
    }
    publish.contact = try section.string("contact")
    if let contact = publish.contact,
      contact.utf8.count > 300 || contact.unicodeScalars.contains(where: { $0.value < 0x20 })
    {
      throw section.problem("contact", "is no line of at most 300 bytes")
    }
    try section.finish()
  }

  private mutating func readHTTP(_ section: inout ConfigurationReader) throws(ConfigurationError) {
    if let listen = try section.string("listen") {
      http.listen = listen == "none" ? nil : listen
      if listen != "none" {
        do throws(ListenProblem) { _ = try HTTP.address(listen) } catch {
          throw section.problem(
            "listen", "is refused: \(error)", hint: "write an address and a port, such as \"127.0.0.1:8114\"")
        }
      }
    }
    if let tls = try section.object("tls") { http.tls = try Self.certificate(tls) }
    http.socket = try Self.path(&section, "socket")
    http.hosts = try section.strings("hosts") ?? []
    http.connections = try section.integer("connections", 8...100_000) ?? http.connections
    http.modelNames = try section.strings("model_names") ?? []
    http.bodyLimit = try section.integer("body_limit", 1024...(64 << 20)) ?? http.bodyLimit
    try section.finish()
  }

  private mutating func readQueue(_ section: inout ConfigurationReader) throws(ConfigurationError) {
    queue.jobs = try section.integer("jobs", 1...100_000) ?? queue.jobs
    queue.approvals = try section.integer("approvals", 1...100_000) ?? queue.approvals
    queue.promptTokens = try section.integer("prompt_tokens", 1...(1 << 30)) ?? queue.promptTokens
    queue.decideWithin = try section.integer("decide_within_s", 1...86_400) ?? queue.decideWithin
    queue.running = try section.integer("running", 1...1024) ?? queue.running
    queue.priority = try section.integer("priority", 0...9) ?? queue.priority
    queue.shared = try SharedQueue.read(&section)
    try section.finish()
  }

  private mutating func readStrangers(_ section: inout ConfigurationReader) throws(ConfigurationError) {
    var found = strangers
    found.jobs = try section.integer("jobs", 1...100_000) ?? found.jobs
    found.jobsEach = try section.integer("jobs_each", 1...100_000) ?? found.jobsEach
    found.promptTokens = try section.integer("prompt_tokens", 1...(1 << 30)) ?? found.promptTokens
    found.running = try section.integer("running", 1...1024)
    found.priority = try section.integer("priority", 0...9) ?? found.priority
    found.requests = try section.integer("requests", 1...100_000) ?? found.requests
    found.requestBytes = try section.integer("request_bytes", 1024...(1 << 40)) ?? found.requestBytes
    found.uploads = try section.integer("uploads", 1...100_000) ?? found.uploads
    found.uploadRate = try section.integer("upload_rate", 0...(1 << 30)) ?? found.uploadRate
    found.spoolBytes = try section.integer("spool_bytes", 0...(1 << 50)) ?? found.spoolBytes
    strangers = found
    try section.finish()
  }

  private mutating func readLimits(_ section: inout ConfigurationReader) throws(ConfigurationError) {
    limits.temperature = try section.number("temperature_c", 20...150)
    limits.memoryAvailable = try section.integer("memory_available", 0...Int.max / 2).map(Int64.init)
    if let free = try section.integer("disk_free", 0...Int.max / 2) { limits.diskFree = Int64(free) }
    try section.finish()
  }

  private mutating func readAudits(_ section: inout ConfigurationReader) throws(ConfigurationError) {
    audits.share = try section.number("share", 0...1) ?? audits.share
    audits.keepTranscripts = try section.integer("keep_transcripts_s", 0...86_400) ?? audits.keepTranscripts
    audits.stopOnFailure = try section.bool("stop_on_failure") ?? audits.stopOnFailure
    try section.finish()
  }

  private mutating func readAnswers(_ section: inout ConfigurationReader) throws(ConfigurationError) {
    answers.keepFor = try section.integer("keep_s", 1...31_536_000) ?? answers.keepFor
    answers.graceFor = try section.integer("grace_s", 0...31_536_000) ?? answers.graceFor
    answers.perClient = try section.integer("per_client", 1...100_000) ?? answers.perClient
    answers.clientBytes = try section.integer("client_bytes", 1...(1 << 40)) ?? answers.clientBytes
    answers.strangers = try section.integer("strangers", 1...100_000) ?? answers.strangers
    answers.strangersBytes = try section.integer("strangers_bytes", 1...(1 << 40)) ?? answers.strangersBytes
    try section.finish()
  }

  /// The largest amount that a line of the journal represents, and so the largest price.
  static let largestAmount = Amount(micro: Receipts.Receipt.largestAmount)

  /// A text such as "0.25" or a number: money is parsed as text so that 0.1 is exactly 0.1.
  private static func amount(
    _ reader: inout ConfigurationReader, _ key: String
  ) throws(ConfigurationError) -> Amount? {
    guard let text = try reader.string(key) else { return nil }
    let amount: Amount
    do throws(AccountingError) {
      amount = try Amount(parsing: text)
      guard amount >= .zero else { throw .negative("the amount") }
    } catch {
      throw reader.problem(key, "is refused: \(error)", hint: "write amounts as texts, for example \"0.25\"")
    }
    // A job for which no receipt can be written would be done for free.
    guard amount <= Self.largestAmount else {
      throw reader.problem(
        key,
        "is \"\(text.prefix(40))\", wanted at most \(Self.largestAmount), the most that a receipt can say")
    }
    return amount
  }

  private static func hours(
    _ reader: inout ConfigurationReader, _ key: String = "hours"
  ) throws(ConfigurationError) -> Accounting.Hours? {
    guard let text = try reader.string(key) else { return nil }
    let parts = text.split(separator: "-").compactMap { Int($0) }
    guard parts.count == 2, let hours = Accounting.Hours(from: parts[0], to: parts[1]) else {
      throw reader.problem(key, "is \"\(text.prefix(20))\", wanted hours of the day such as \"22-6\"")
    }
    return hours
  }

  private static func rule(_ reader: ConfigurationReader) throws(ConfigurationError) -> Policy.Rule {
    enum Action: String, CaseIterable { case admit, reject, ask }
    var reader = reader
    let client = try reader.string("client").map { name -> Policy.ClientPattern in
      switch name {
      case "known": .known
      case "unknown": .unknown
      default: .named(name)
      }
    }
    let model = try reader.string("model")
    let tokens = try reader.integer("tokens_above", 0...(1 << 40))
    let price = try amount(&reader, "price_below")
    let queue = try reader.integer("queue_above", 0...(1 << 30))
    let hours = try hours(&reader).map { Policy.Hours(from: $0.from, to: $0.to) }
    let reason = try reader.string("reason")
    guard let action = try reader.choice("action", Action.self) else {
      throw reader.problem("action", "is missing, wanted \"admit\", \"reject\" or \"ask\"")
    }
    try reader.finish()
    let decided: Policy.Action =
      switch action {
      case .admit: .admit
      case .ask: .ask
      case .reject: .reject(reason: reason ?? "")
      }
    let rule = Policy.Rule(
      client: client, model: model, tokensAbove: tokens, priceBelow: price?.micro, queueAbove: queue,
      hours: hours,
      action: decided)
    do throws(PolicyError) {
      try Policy(rules: [rule]).check()
    } catch {
      throw reader.problem(error.field, error.problem)
    }
    return rule
  }

  private static func price(_ rule: ConfigurationReader) throws(ConfigurationError) -> PriceList.Rule {
    var rule = rule
    let prompt = try amount(&rule, "prompt") ?? .zero
    let completion = try amount(&rule, "completion") ?? .zero
    let cached = try amount(&rule, "cached") ?? prompt
    let minimum = try amount(&rule, "minimum") ?? .zero
    let model = try rule.string("model")
    let client = try rule.string("client")
    let hours = try hours(&rule)
    try rule.finish()
    do throws(AccountingError) {
      let price = try Price(
        promptPerMillion: prompt, cachedPerMillion: cached, completionPerMillion: completion, minimum: minimum
      )
      return PriceList.Rule(model: model, client: client, hours: hours, price: price)
    } catch {
      throw rule.problem("prompt", "is refused: \(error)")
    }
  }

  private static func tariff(_ section: inout ConfigurationReader) throws(ConfigurationError) -> Tariff? {
    guard let base = try amount(&section, "per_kwh") else {
      throw section.problem("per_kwh", "is missing, wanted the price of a kilowatt-hour such as \"0.30\"")
    }
    var periods: [Tariff.Period] = []
    for reader in try section.objects("periods") ?? [] {
      var reader = reader
      guard let hours = try hours(&reader), let price = try amount(&reader, "per_kwh") else {
        throw reader.problem("hours", "or 'per_kwh' is missing")
      }
      try reader.finish()
      periods.append(Tariff.Period(hours: hours, perKilowattHour: price))
    }
    try section.finish()
    do throws(AccountingError) {
      return try Tariff(perKilowattHour: base, periods: periods)
    } catch {
      throw section.problem("per_kwh", "is refused: \(error)")
    }
  }
}
