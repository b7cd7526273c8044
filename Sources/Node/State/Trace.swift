// Trace.swift: everything that happened to a node's state machine, line by line, so that it can be
// replayed: `--trace FILE` writes it, `hotpot replay FILE` applies it. JSON lines: a head, then one
// step each with its moment and a digest of the effects that the node requested. It contains no
// prompt and no answer, because the state machine has none. Start at TraceReplay.
import Accounting
import Control
import Foundation
import Receipts
import Synchronization

/// The first line: the inputs from which the state machine was made.
package struct TraceHead: Codable, Sendable {
  /// Version of this format.
  package var trace = 1
  package let software: String
  package let name: String
  /// The configuration as read; nil: the defaults.
  package let configuration: String?
  package let isDemo: Bool
  package let address: String?
  package let wall: Microseconds
  package let monotonic: Microseconds
  package let utcOffset: Int
  /// Number of receipts in the journal before: their amounts are not in the trace.
  package let receipts: Int
}

package enum TraceStep: Codable, Sendable {
  case event(NodeEvent)
  case act(NodeCommand, by: Operator)
  /// A step was planned for the engine.
  case plan
}

package struct TraceLine: Codable, Sendable {
  package let wall: Microseconds
  package let monotonic: Microseconds
  package let utcOffset: Int
  package let step: TraceStep
  /// FNV-1a over the effects in words, 16 hexadecimal digits.
  package let effects: String

  var moment: Moment { Moment(wall: wall, monotonic: monotonic, utcOffset: utcOffset) }
}

enum Trace {
  /// Source: Fowler, Noll and Vo, FNV-1a with 64 bits.
  static func digest(_ effects: [NodeEffect]) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in "\(effects)".utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }
}

/// Writes a trace. Called under the state's lock, so it only enqueues: its queue encodes and
/// writes.
package final class TraceRecorder: Sendable {
  private let queue = DispatchQueue(label: "hotpot-trace")
  private let write: @Sendable (Data) -> Void

  /// - write: receives whole lines, on the recorder's own queue
  package init(write: @escaping @Sendable (Data) -> Void) { self.write = write }

  func begin(_ head: TraceHead) { put(head) }

  func record(_ step: TraceStep, at now: Moment, _ effects: [NodeEffect]) {
    queue.async { [self] in
      put(
        TraceLine(
          wall: now.wall, monotonic: now.monotonic, utcOffset: now.utcOffset, step: step,
          effects: Trace.digest(effects)))
    }
  }

  private func put(_ value: some Encodable) {
    let encoder = JSONEncoder()
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    // Values of these types always encode.
    guard var data = try? encoder.encode(value) else { return }
    data.append(0x0A)
    write(data)
  }

  /// Returns when all that was recorded is written.
  package func finish() { queue.sync {} }
}

/// Why a trace cannot be applied.
package struct TraceError: Error, Sendable, CustomStringConvertible {
  package let line: Int
  package let problem: String
  package var description: String { "line \(line): \(problem)" }
}

/// A trace applied to a new state machine.
package struct TraceReplay: Sendable {
  package private(set) var steps = 0
  package private(set) var effects = 0
  /// The first few lines whose effects differed from those recorded.
  package private(set) var differences: [Int] = []
  /// The first few violations of the state's invariants after a line.
  package private(set) var violations: [String] = []
  package let head: TraceHead
  private var state: NodeState
  private var line = 1

  /// - first: the trace's first line
  package init(first: Data) throws(TraceError) {
    guard let head = Self.decode(TraceHead.self, first), head.trace == 1 else {
      throw TraceError(line: 1, problem: "found no head of a trace, wanted {\"trace\":1,...}")
    }
    self.head = head
    var configuration: NodeConfiguration
    do throws(ConfigurationError) {
      configuration = try NodeConfiguration(file: "the trace's configuration", text: head.configuration)
    } catch {
      throw TraceError(line: 1, problem: "\(error)")
    }
    configuration.name = head.name
    state = NodeState(
      configuration: configuration, policy: configuration.policy, version: head.software, isDemo: head.isDemo,
      address: head.address,
      now: Moment(wall: head.wall, monotonic: head.monotonic, utcOffset: head.utcOffset))
  }

  private static func decode<Value: Decodable>(_ type: Value.Type, _ data: Data) -> Value? {
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    // An unreadable line is reported by its number.
    return try? decoder.decode(type, from: data)
  }

  /// Applies one more line.
  package mutating func apply(_ data: Data) throws(TraceError) {
    line += 1
    guard let next = Self.decode(TraceLine.self, data) else {
      throw TraceError(line: line, problem: "found no step of a trace")
    }
    var wanted: [NodeEffect] = []
    switch next.step {
    case .event(let event): wanted = state.apply(event, at: next.moment)
    case .act(let command, let who): _ = state.act(command, by: who, at: next.moment, &wanted)
    case .plan: wanted = state.nextStep(at: next.moment)?.effects ?? []
    }
    steps += 1
    effects += wanted.count
    if Trace.digest(wanted) != next.effects, differences.count < 10 { differences.append(line) }
    if violations.count < 10 {
      violations += (state.scheduler?.checkInvariants() ?? []).map { "line \(line): \($0)" }
    }
  }

  /// The node as it would be displayed now.
  package mutating func snapshot() -> NodeSnapshot {
    state.snapshot(at: Moment(wall: head.wall, monotonic: head.monotonic, utcOffset: head.utcOffset))
  }
}

extension TraceRecorder {
  /// Begins the trace: its head, and the clients restored from the journal.
  /// - receipts: number in the journal
  func begin(_ state: NodeState, receipts: Int, at now: Moment) {
    begin(
      TraceHead(
        software: state.version, name: state.configuration.name, configuration: state.configuration.source,
        isDemo: state.isDemo, address: state.address, wall: now.wall, monotonic: now.monotonic,
        utcOffset: now.utcOffset, receipts: receipts))
    for entry in state.clients.entries {
      record(.event(.clientAdded(name: entry.name, digest: entry.tokenDigest)), at: now, [])
      if entry.revoked != nil { record(.event(.clientRevoked(name: entry.name)), at: now, []) }
    }
    for (name, limits) in state.clientLimits.sorted(by: { $0.key < $1.key }) {
      record(.event(.limitsSet(client: name, limits)), at: now, [])
    }
    for (name, key) in state.clientKeys.sorted(by: { $0.key < $1.key }) {
      record(.event(.clientKeySet(client: name, key: key)), at: now, [])
    }
  }
}

// MARK: values of other targets, as a trace writes them

// Recorded digests are of effects in words, and these words name the target that the types were in
// at that time.
extension LogLine: CustomDebugStringConvertible {
  public var debugDescription: String {
    let who = who.map { "Optional(\($0.debugDescription))" } ?? "nil"
    return "Node.LogLine(sequence: \(sequence), time: \(time), level: Node.LogLevel.\(level.rawValue), "
      + "who: \(who), text: \(text.debugDescription))"
  }
}

// The state machine never sets what only an answer's writer adds, so these words leave it out.
extension AnswerEnd: CustomDebugStringConvertible {
  package var debugDescription: String {
    let fields: [(name: String, value: Any)] = [
      ("finishReason", finishReason as Any), ("usage", usage), ("receipt", receipt as Any),
      ("nonce", nonce as Any), ("amount", amount as Any), ("tokens", tokens as Any),
      ("unreceipted", unreceipted), ("biases", biases), ("stops", stops), ("ignoresEnd", ignoresEnd),
    ]
    let words = fields.map { "\($0.name): \(String(reflecting: $0.value))" }
    return "Node.AnswerEnd(\(words.joined(separator: ", ")))"
  }
}

extension Amount: Codable {
  public init(from decoder: any Decoder) throws {
    self.init(micro: try decoder.singleValueContainer().decode(Int64.self))
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(micro)
  }
}

extension SHA256Digest: Codable {
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    guard let digest = SHA256Digest(hex: try container.decode(String.self)) else {
      throw DecodingError.dataCorruptedError(in: container, debugDescription: "wanted 64 hexadecimal digits")
    }
    self = digest
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(hex)
  }
}

extension ClientLimits: Codable {
  private enum Key: CodingKey {
    case models, tokensPerJob, jobsAtOnce, tokensPerDay, priority, budget, budgetBase
  }

  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: Key.self)
    self.init()
    models = try container.decodeIfPresent([String].self, forKey: .models)
    tokensPerJob = try container.decodeIfPresent(Int.self, forKey: .tokensPerJob)
    jobsAtOnce = try container.decodeIfPresent(Int.self, forKey: .jobsAtOnce)
    tokensPerDay = try container.decodeIfPresent(Int.self, forKey: .tokensPerDay)
    priority = try container.decodeIfPresent(Int.self, forKey: .priority)
    budget = try container.decodeIfPresent(Amount.self, forKey: .budget)
    budgetBase = try container.decode(Amount.self, forKey: .budgetBase)
  }

  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: Key.self)
    try container.encodeIfPresent(models, forKey: .models)
    try container.encodeIfPresent(tokensPerJob, forKey: .tokensPerJob)
    try container.encodeIfPresent(jobsAtOnce, forKey: .jobsAtOnce)
    try container.encodeIfPresent(tokensPerDay, forKey: .tokensPerDay)
    try container.encodeIfPresent(priority, forKey: .priority)
    try container.encodeIfPresent(budget, forKey: .budget)
    try container.encode(budgetBase, forKey: .budgetBase)
  }
}
