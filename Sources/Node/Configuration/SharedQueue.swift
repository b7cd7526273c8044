// SharedQueue.swift: the keys of `queue` that name a queue which this node shares with others: where
// it is, who this node is there, what it takes. Start at SharedQueue.read.
import Intake
import NATS
import TLS

/// A queue of other machines, from which this node takes jobs.
package struct SharedQueue: Sendable, Equatable {
  /// How long a job is leased before somebody else gets it.
  package static let lease = Duration.seconds(30)

  package enum Login: Sendable, Equatable {
    case none
    case token(String)
    case password(user: String, password: String)
    /// The path of an Ed25519 key of ssh, which is used for nothing else.
    case nkey(String)
  }

  /// Priorities as subjects have them, the most urgent first.
  package enum Class: String, Sendable, Equatable, CaseIterable {
    case hi, std, lo

    /// The class of a priority from 0 to 9.
    package init(priority: Int) { self = priority >= 7 ? .hi : priority >= 4 ? .std : .lo }

    /// The priority that a job of this class has where its request names none.
    var priority: Int {
      switch self {
      case .hi: 7
      case .std: 5
      case .lo: 2
      }
    }

    /// The priority of this class that is nearest to another.
    func nearest(to priority: Int) -> Int {
      switch self {
      case .hi: max(7, priority)
      case .std: min(6, max(4, priority))
      case .lo: min(3, priority)
      }
    }
  }

  package var servers: [NATSServer] = []
  /// The machine from which the servers are reached, through ssh; nil: from here.
  package var ssh: String?
  /// Where ssh carries the servers to, one for each, once it has been decided.
  package var carried: [NATSServer]?
  package var stream = "HOTPOT"
  /// The stream in which nodes claim a job's end.
  package var ends: String { stream + "_ENDS" }
  /// JetStream's domain behind a leaf node.
  package var domain: String?
  package var login = Login.none
  package var trust = TLSTrust()
  /// Names of models whose jobs are taken; empty means the served one, whichever it is.
  package var models: [String] = []
  package var classes = Class.allCases
  /// Clients of the queue that are entrances whose word this node takes for who asked there.
  package var entrances: [String] = []
  /// What this node's HTTP door passes on; nil: nothing.
  package var entrance: Entrance?

  /// Requests that the HTTP door gives to the shared queue where this node cannot take them now.
  package struct Entrance: Sendable, Equatable {
    /// Names of models, with `*` for any text: of the served one what finds the queue full, of others all.
    package var models: [String] = []
    /// The clients whose requests are passed on, in the same form; nil: those that this node knows.
    package var clients: [String]?
    /// The most at a time.
    package var jobs = 256
  }

  /// Whether a text is [USER@]HOST as ssh takes it: no option, and no two words.
  package static func isMachine(_ text: String) -> Bool {
    !text.isEmpty && !text.hasPrefix("-") && text.utf8.count <= 255
      && text.unicodeScalars.allSatisfy { $0.value > 0x20 && $0.value != 0x7F }
  }

  /// A server in words, as its operator knows it.
  package func words(_ server: NATSServer) -> String {
    guard let ssh, let place = carried?.firstIndex(of: server), servers.indices.contains(place) else {
      return "\(server)"
    }
    return "\(servers[place]) through ssh to '\(ssh)'"
  }

  /// The keys that belong to it, read from the section `queue`.
  /// - Returns: nil if no servers are named
  static func read(_ section: inout ConfigurationReader) throws(ConfigurationError) -> SharedQueue? {
    var found = SharedQueue()
    let servers = try section.strings("servers")
    let ssh = try section.string("ssh")
    let stream = try section.string("stream")
    let domain = try section.string("domain")
    let login = try section.object("login")
    let tls = try section.object("tls")
    let models = try section.strings("models")
    let classes = try section.strings("classes")
    let entrances = try section.strings("entrances")
    let entrance = try section.object("entrance")
    guard let servers else {
      let isNamed =
        ssh != nil || stream != nil || domain != nil || login != nil || tls != nil || models != nil
        || classes != nil
        || entrances != nil || entrance != nil
      if isNamed {
        throw section.problem(
          "servers", "is missing, wanted where the queue is", hint: "such as [\"127.0.0.1:4222\"]")
      }
      return nil
    }
    guard (1...16).contains(servers.count) else {
      throw section.problem("servers", "has \(servers.count) entries, wanted 1 to 16")
    }
    for text in servers {
      guard let server = NATSServer(text) else {
        throw section.problem(
          "servers", "has '\(text.prefix(80))', wanted HOST:PORT, or tls://HOST:PORT",
          hint: "such as \"127.0.0.1:4222\"")
      }
      found.servers.append(server)
    }
    if let ssh {
      guard Self.isMachine(ssh) else {
        throw section.problem("ssh", "is '\(ssh.prefix(80))', wanted [USER@]HOST as ssh knows it")
      }
      guard !found.servers.contains(where: \.isSecure) else {
        throw section.problem(
          "ssh", "is given beside a server with 'tls://'", hint: "one of them encrypts the way to it")
      }
      found.ssh = ssh
    }
    for (key, name) in [("stream", stream), ("domain", domain)] {
      guard let name, !NATSSubject.isToken(name) || name.utf8.count > 64 else { continue }
      throw section.problem(key, "is '\(name.prefix(80))', wanted a name without dots and spaces")
    }
    found.stream = stream ?? found.stream
    found.domain = domain
    if let login {
      guard let read = try read(login: login) else {
        throw section.problem(
          "login", "is no login",
          hint: "it has 'token', or 'user' and 'password', or 'nkey' with a key file's path")
      }
      found.login = read
    }
    if let tls { found.trust = try read(trust: tls) }
    found.models = models ?? []
    if let classes {
      found.classes = try classes.map { (name) throws(ConfigurationError) in
        guard let known = Class(rawValue: name) else {
          throw section.problem("classes", "has '\(name.prefix(40))', wanted \"hi\", \"std\" or \"lo\"")
        }
        return known
      }
    }
    found.entrances = try (entrances ?? []).map { (name) throws(ConfigurationError) in
      guard NATSSubject.isToken(name) else {
        throw section.problem("entrances", "has '\(name.prefix(40))', wanted a client's name at the queue")
      }
      return name
    }
    if let entrance { found.entrance = try read(entrance: entrance) }
    return found
  }

  private static func read(entrance given: ConfigurationReader) throws(ConfigurationError) -> Entrance {
    var section = given
    var entrance = Entrance()
    guard let models = try section.strings("models"), !models.isEmpty else {
      throw section.problem(
        "models", "is missing, wanted the models whose requests are passed on", hint: "such as ['*']")
    }
    entrance.models = models
    entrance.clients = try section.strings("clients")
    entrance.jobs = try section.integer("jobs", 1...65_536) ?? entrance.jobs
    try section.finish()
    return entrance
  }

  /// - Returns: nil if its keys are no login together
  private static func read(login given: ConfigurationReader) throws(ConfigurationError) -> Login? {
    var section = given
    let token = try section.string("token")
    let user = try section.string("user")
    let password = try section.string("password")
    let key = try section.string("nkey")
    try section.finish()
    switch (token, user, password, key) {
    case (let token?, nil, nil, nil): return .token(token)
    case (nil, let user?, let password?, nil): return .password(user: user, password: password)
    case (nil, nil, nil, let path?):
      guard path.hasPrefix("/") else {
        throw section.problem("nkey", "is '\(path.prefix(80))', wanted a key file's path from '/' on")
      }
      return .nkey(path)
    default: return nil
    }
  }

  private static func read(trust given: ConfigurationReader) throws(ConfigurationError) -> TLSTrust {
    var section = given
    var trust = TLSTrust()
    func path(_ key: String) throws(ConfigurationError) -> String? {
      guard let path = try section.string(key) else { return nil }
      guard path.hasPrefix("/"), !path.utf8.contains(0) else {
        throw section.problem(key, "is '\(path.prefix(80))', wanted a file's path from '/' on")
      }
      return path
    }
    trust.authorities = try path("authorities")
    trust.certificate = try path("certificate")
    trust.key = try path("key")
    try section.finish()
    return trust
  }
}
