// OperatorWordsTests.swift: what people read of a node: money as money, jobs by their ids, each alarm once, and what is left
// of the day. Numbers of other rooms are never shown raw.
import Accounting
import Control
import Receipts
import Scheduling
import Telemetry
import Testing

@testable import Node

@Suite struct OperatorWordsTests {
  private func sample(celsius: Double? = nil, available: Int64? = nil) -> ComputeSnapshot {
    let total: Int64 = 64 << 30
    return ComputeSnapshot(
      cpu: .warmingUp, cores: .warmingUp, cpuTemperature: celsius.map { .value($0) } ?? .warmingUp,
      cpuPower: .warmingUp, load: .warmingUp, memoryUsed: available.map { .value(total - $0) } ?? .warmingUp,
      memoryTotal: .value(total), swapUsed: .warmingUp, residentMemory: .warmingUp, cpuPressure: .warmingUp,
      memoryPressure: .warmingUp, ioPressure: .warmingUp, diskFree: .warmingUp, networkIn: .warmingUp,
      networkOut: .warmingUp, gpus: .unavailable("none"), container: nil)
  }

  private func lines(_ node: ScriptedNode) -> [String] {
    node.snapshot().log.map(\.text).filter {
      $0.hasPrefix("nothing is admitted") || $0.hasPrefix("admitting")
    }
  }

  // MARK: alarms

  @Test func aLimitIsLoggedWhenItIsPassedAndWhenItNoLongerIs() throws {
    let node = try ScriptedNode("{ limits: { memory_available: 1073741824 } }")
    for mebibytes in [900, 870, 912, 640] as [Int64] {
      node.send(.telemetry(sample(available: mebibytes << 20), joules: 0))
      node.pass(seconds: 1)
    }
    #expect(lines(node) == ["nothing is admitted: out of memory, 900 MiB available of 1024 wanted"])
    // Screens show the figure of now.
    #expect(node.snapshot().node.alarms == ["out of memory, 640 MiB available of 1024 wanted"])
    node.send(.telemetry(sample(available: 2 << 30), joules: 0))
    #expect(
      lines(node) == [
        "nothing is admitted: out of memory, 900 MiB available of 1024 wanted",
        "admitting again: under the limits",
      ])
  }

  @Test func aFigureThatPlaysAboutItsLimitIsOneAlarmAMinute() throws {
    let node = try ScriptedNode("{ limits: { temperature_c: 80 } }")
    for second in 0..<180 {
      node.send(.telemetry(sample(celsius: second % 2 == 0 ? 81 : 79), joules: 0))
      node.pass(seconds: 1)
    }
    #expect(lines(node).count == 6, "\(lines(node))")
    // One that stays is told, also when it came back soon after its last end.
    let other = try ScriptedNode("{ limits: { temperature_c: 80 } }")
    for celsius in [85, 70] + Array(repeating: 90.0, count: 100) {
      other.send(.telemetry(sample(celsius: celsius), joules: 0))
      other.pass(seconds: 1)
    }
    #expect(
      lines(other) == [
        "nothing is admitted: over temperature, 85 °C of 80", "admitting again: under the limits",
        "nothing is admitted: over temperature, 90 °C of 80",
      ])
  }

  @Test func oneLimitAfterAnotherIsSaidOfEach() throws {
    let node = try ScriptedNode("{ limits: { temperature_c: 80, memory_available: 1073741824 } }")
    node.send(.telemetry(sample(available: 1 << 20), joules: 0))
    node.send(.telemetry(sample(celsius: 99, available: 1 << 20), joules: 0))
    node.send(.telemetry(sample(celsius: 60, available: 8 << 30), joules: 0))
    #expect(
      lines(node) == [
        "nothing is admitted: out of memory, 1 MiB available of 1024 wanted",
        "nothing is admitted: over temperature, 99 °C of 80", "admitting again: under the limits",
      ])
  }

  @Test func anAlarmWhoseFigureMovesIsOneToSomebodyWhoComesBack() {
    var history = AlarmHistory()
    for figure in 1...50 { history.see(["out of memory, \(figure) MiB available of 1024 wanted"]) }
    #expect(history.count == 1)
    #expect(history.since(0) == ["out of memory, 1 MiB available of 1024 wanted"])
    history.see([])
    history.see(["out of memory, 7 MiB available of 1024 wanted"])
    #expect(history.count == 2)
  }

  @Test func signingIsSaidToFailOnceAndToWorkAgain() throws {
    let node = try ScriptedNode()
    for seconds in 2...9 { node.send(.signingFailed("ssh-keygen did not answer within \(seconds).0 s")) }
    node.send(.checkpointSigned(size: 1, time: 1))
    node.send(.checkpointSigned(size: 2, time: 2))
    let found = node.snapshot().log.map(\.text).filter { $0.contains("signed") }
    #expect(
      found == [
        "receipts stay unsigned: ssh-keygen did not answer within 2.0 s", "receipts are signed again",
      ])
  }

  @Test func auditsThatDoNotRunAreOneLineOfTheLog() throws {
    let node = try ScriptedNode()
    for job in UInt64(1)...5 {
      _ = node.submit(job)
      while node.step() {}
      node.startAudit(of: "r\(job - 1)", job: 100 + job)
      _ = node.step(failing: "item 0 of the step: \(job) of 9 blocks")
    }
    #expect(node.snapshot().receipts.auditsNotRun == 5)
    #expect(node.snapshot().log.filter { $0.text.contains("failed to run") }.count == 1)
  }

  // MARK: money and ids

  @Test func aPolicySpeaksOfMoneyAsTheConfigurationDoes() throws {
    let node = try ScriptedNode(
      "{ currency: 'EUR', policy: [{ price_below: '0.05', action: 'ask' }, { action: 'admit' }] }")
    let none = node.submit(1)
    let words = "rule 1 asks you: no price is offered, and 0.05 EUR a million wanted"
    #expect(node.snapshot().approvals.map(\.policy) == [words])
    #expect(node.snapshot().log.last?.text == "job 00000000 of aria waits for approval (\(words))")
    #expect(
      node.state.detail(none, prompt: nil, answer: nil, at: node.now)?.settings.contains(["policy", words])
        == true)
    node.send(
      .submitted(
        JobRequest(
          id: JobID(2), identity: .known("aria"), origin: .client, model: "m", promptTokens: 20,
          outputLimit: 8, offered: Amount(micro: 40_000))))
    #expect(
      node.snapshot().approvals.map(\.policy).contains(
        "rule 1 asks you: the 0.04 EUR a million offered are less than 0.05 EUR a million"))
  }

  @Test func anActThatIsNotDoneSaysWhyAndNamesTheJob() throws {
    let node = try ScriptedNode()
    let number: UInt64 = 0x2690_D2F1_0000_0001
    let id = node.submit(number)
    #expect(node.act(.hold(jobs: [id.hex])) == .done("held 1 job"))
    #expect(
      node.act(.reject(jobs: [id.hex], reason: ""))
        == .refused("cannot reject job 2690d2f1: it is held, not pending"))
    #expect(
      node.act(.approve(jobs: [id.hex])) == .refused("cannot approve job 2690d2f1: it is held, not pending"))
    _ = node.act(.release(jobs: [id.hex]))
    while node.step() {}
    for command in [
      NodeCommand.cancel(jobs: [id.hex]), .hold(jobs: [id.hex]), .setPriority(jobs: [id.hex], priority: 3),
      .reject(jobs: [id.hex], reason: ""), .move(job: id.hex, by: 1),
    ] {
      #expect(node.act(command) == .refused("job 2690d2f1 has ended: done"))
    }
    let gone = node.submit(0xABCD_0000_0000_0000)
    _ = node.act(.cancel(jobs: [gone.hex]))
    #expect(
      node.act(.cancel(jobs: [gone.hex])) == .refused("job abcd0000 has ended: cancelled, by the operator"))
    // The bookkeeping's words too.
    #expect("\(AccountingError.reservedTwice(number))" == "job 2690d2f1 has a reservation already")
  }

  @Test func whoCancelledItIsNotReadFromWords() throws {
    for (byOperator, code) in [(true, "cut 403 cancelled r0"), (false, "cut 409 cancelled r0")] {
      let node = try ScriptedNode()
      node.length = 100
      let id = node.submit(1)
      for _ in 0..<3 { _ = node.step() }
      if byOperator {
        _ = node.act(.cancel(jobs: [id.hex]))
      } else {
        node.send(.cancelledByClient(id))
      }
      #expect(node.answers[id]?.last == code)
    }
  }

  @Test func amountsAreWrittenAsMoney() {
    for (micro, wanted) in [
      (2_606, "0.002606"), (0, "0.00"), (1_284_000, "1.284"), (3_000_000, "3.00"), (-50, "-0.00005"),
    ] as [(Int64, String)] {
      #expect(Verification.decimal(micro: micro) == wanted)
      #expect(Amount(micro: micro).description == wanted)
    }
  }

  @Test func whatNoReceiptCanSayIsNotSold() throws {
    let node = try ScriptedNode(
      "{ currency: 'EUR', prices: [{ completion: '9007199254.740991', minimum: '9007199254.740991' }] }")
    #expect(node.answers[node.submit(1, limit: 100)]?.first == "admitted")
    let much = try ScriptedNode("{ prices: [{ prompt: '9007199254.740991' }] }")
    much.send(
      .submitted(
        JobRequest(
          id: JobID(7), identity: .known("aria"), origin: .client, model: "m", promptTokens: 1_000_001,
          outputLimit: 1)))
    #expect(much.answers[JobID(7)] == ["refused 400 invalid_value"])
  }

  // MARK: the day

  @Test func theDayAtThisRateEndsAtMidnight() throws {
    // 2025-11-24 15:38 UTC: 8 h 22 min are left.
    let afternoon: Int64 = 1_763_998_680_000_000
    func left(_ wall: Int64, offset: Int = 0) -> Int {
      Moment(wall: wall, monotonic: 0, utcOffset: offset).secondsLeft
    }
    #expect(left(afternoon) == (8 * 60 + 22) * 60)
    #expect(left(afternoon, offset: 3_600) == (7 * 60 + 22) * 60)
    #expect(left(0) == 86_400)
    #expect(left(-1_000_000) == 1)
    #expect(left(86_399_000_000) == 1)
    #expect(left(86_340_000_000) == 60)

    let node = try ScriptedNode("{ prices: [{ completion: '1' }] }")
    node.time = afternoon
    node.send(.tick)
    _ = node.submit(1)
    while node.step() {}
    node.pass(seconds: 60)
    let earnings = node.snapshot().earnings
    let today = try #require(earnings.today.current)
    let perHour = try #require(earnings.perHour.current)
    let projected = try #require(earnings.projectedDay.current)
    let hours = Double(left(node.time)) / 3_600
    #expect(hours < 8.36 && hours > 8.3)
    #expect(abs(Double(projected - today) - Double(perHour) * hours) <= 1)
  }
}
