// JobEntry.swift: one job in the node's books, in addition to what the scheduler tracks. Its
// content is in Transcript. Start at JobEntry.
import Accounting
import Control
import Scheduling

struct JobEntry: Sendable {
  let request: JobRequest
  let submitted: Moment
  /// The policy's verdict, in words.
  let policy: String
  /// Fixed at admission: the node's price, or less if the client offered less.
  let price: Price
  /// The node's price for such a job.
  let asked: Price
  /// The most it can cost.
  let worst: Amount
  var state: JobState
  /// When it was admitted: by the policy at once, or by the operator.
  var admitted: Moment?
  var detail: String?
  /// Who ended it early.
  var canceller: Canceller?
  var priority: Int
  var started: Microseconds?
  var firstToken: Microseconds?
  var lastToken: Microseconds?
  var ended: Microseconds?
  var promptDone = 0
  var cached = 0
  var generated = 0
  var amount: Amount?
  var receipt: String?
  /// Its receipt is being written to the disk; the client is told of the end once it is there.
  var sealing: Receipt?
  /// How the answer ended, in the client's terms.
  var finishReason: String?
  var rate: RateMeter
  var timeline: [JobDetail.Moment]
  /// Its share of the electricity, over the measured intervals.
  var energy = EnergyShare()
  private(set) var metering = Metering.notYet

  /// Whether power was measured while it computed.
  enum Metering: Sendable {
    case notYet, always, partly
    case never(String)
  }

  /// What the receipt says; the books agree, even if it reaches the disk after midnight.
  struct Receipt: Sendable {
    let outcome: Outcome
    let usage: Usage
    let day: Day
  }

  var id: JobID { request.id }

  /// - submitted: earlier than `now` for a job that an earlier run accepted
  init(
    request: JobRequest, at now: Moment, submitted: Moment? = nil, policy: String, price: Price,
    asked: Price, worst: Amount, state: JobState
  ) {
    self.request = request
    self.submitted = submitted ?? now
    self.policy = policy
    self.price = price
    self.asked = asked
    self.worst = worst
    self.state = state
    priority = request.restored?.priority ?? request.priority
    rate = RateMeter(window: 2_000_000, slots: 8, now: now.monotonic)
    timeline = [.init(time: self.submitted.wall, what: "submitted")]
  }

  /// The time of day at which something happens to this job. All its times derive from one reading
  /// of the clock and the time elapsed since: a clock that is set back puts no end before its
  /// beginning.
  func wall(at now: Moment) -> Microseconds {
    submitted.wall + max(0, now.monotonic - submitted.monotonic)
  }

  enum Taken {
    /// The job had already ended.
    case ended
    /// Microseconds since its admission: waiting for the operator says nothing about the node's
    /// speed.
    case first(Microseconds)
    /// Microseconds since the previous token.
    case next(Microseconds)
  }

  /// One more token.
  mutating func takeToken(at now: Moment) -> Taken {
    if state.hasEnded { return .ended }
    generated += 1
    if detail != nil { detail = nil }
    rate.add(1, at: now.monotonic)
    defer { lastToken = now.monotonic }
    if let lastToken { return .next(now.monotonic - lastToken) }
    firstToken = wall(at: now)
    mark("first token", at: now)
    return .first(now.monotonic - (admitted ?? submitted).monotonic)
  }

  /// Adds an interval in which it computed, and what it used.
  mutating func take(_ part: Energy, perKilowattHour price: Amount?) {
    energy.add(part, perKilowattHour: price)
    metering =
      switch metering {
      case .notYet, .always: .always
      case .partly, .never: .partly
      }
  }

  /// Adds an interval in which it computed, and why its use is unknown.
  mutating func miss(_ reason: String) {
    metering =
      switch metering {
      case .notYet, .never: .never(reason)
      case .always, .partly: .partly
      }
  }

  mutating func mark(_ what: String, at now: Moment) {
    // A job that is held and released all day must not grow without bound.
    if timeline.count < 64 { timeline.append(.init(time: wall(at: now), what: what)) }
  }
}

extension JobID {
  /// 16 lower-case hexadecimal digits.
  package var hex: String {
    let digits = String(rawValue, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }

  /// The first 8 of them, as logs and screens show it.
  var short: String { String(hex.prefix(8)) }

  /// From exactly 16 lower-case hexadecimal digits.
  package init?(hex: String) {
    guard hex.utf8.count == 16,
      hex.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }),
      let value = UInt64(hex, radix: 16)
    else { return nil }
    self.init(value)
  }
}
