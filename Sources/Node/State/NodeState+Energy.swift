// NodeState+Energy.swift: the electricity that the machine used: by hour for the journal, by job
// for screens, and its cost. Not here: where readings come from (MachineWatch), the sums
// (Accounting). Start at take.
import Accounting
import Control
import Receipts
import Scheduling

extension NodeState {
  /// Divides what processors and GPUs used since the last sample among the jobs that computed since
  /// then, by their tokens. A job that has ended gets its share of the last interval after its end.
  mutating func take(_ used: Energy, at now: Moment, _ effects: inout [NodeEffect]) {
    record(energy.add(used, day: now.day, hour: now.hour, tariff: configuration.tariff), &effects)
    // The current step computes in this interval too: a step that takes seconds must not look like
    // idling.
    for (job, tokens) in stepUnderWay { energySplit.computed(tokens, for: job.rawValue) }
    guard used > .zero || watts != nil else {
      let reason = noPower
      for job in energySplit.skip() { jobs[JobID(job)]?.miss(reason) }
      return
    }
    let price = configuration.tariff?.price(hour: now.hour)
    for (job, part) in energySplit.end(used, perKilowattHour: price) {
      jobs[JobID(job)]?.take(part, perKilowattHour: price)
    }
  }

  /// The engine has finished its step.
  mutating func endStep() {
    for (job, tokens) in stepUnderWay { energySplit.computed(tokens, for: job.rawValue) }
    stepUnderWay = []
  }

  /// Records an hour of electricity that is over.
  func record(_ hour: EnergyBook.Hour?, _ effects: inout [NodeEffect]) {
    guard let hour else { return }
    effects.append(
      .record(
        .energy(
          EnergyUsed(
            day: hour.day, hour: hour.hour, millijoules: Int(hour.millijoules), cost: hour.cost?.micro))))
  }

  /// Power of processor and GPUs together, as far as known.
  private var watts: Double? {
    let parts = [compute?.cpuPower.current] + (compute?.gpus.current ?? []).map(\.power.current)
    let known = parts.compactMap { $0 }
    return known.isEmpty ? nil : known.reduce(0, +)
  }

  /// Why power is unknown.
  private var noPower: String {
    if case .unavailable(let reason)? = compute?.cpuPower { return reason }
    return "no power reading"
  }

  // MARK: by job

  /// Joules; nil for a job that has not been in the batch.
  func energyUsed(_ entry: JobEntry) -> Reading<Double>? {
    switch entry.metering {
    case .notYet: entry.started == nil ? nil : .warmingUp
    case .always: .value(entry.energy.energy.joules)
    case .partly: .unavailable("power was not read all the time")
    case .never(let reason): .unavailable(reason)
    }
  }

  /// nil if the energy is unknown: one reason is enough.
  func energyCost(_ entry: JobEntry) -> Reading<MicroUnits>? {
    guard case .value = energyUsed(entry) else { return nil }
    return entry.energy.cost.map { .value($0.amount.micro) }
      ?? .unavailable("no price of electricity in the config")
  }

  // MARK: by time

  func wouldCost(_ view: JobView, at now: Moment) -> Reading<MicroUnits> {
    guard let tariff = configuration.tariff else {
      return .unavailable("no price of electricity in the config")
    }
    guard let time = view.finishesIn else { return .warmingUp }
    guard let watts = watts else { return .unavailable("no power reading") }
    return .value(tariff.cost(of: Energy(joules: watts * Double(time) / 1_000_000), hour: now.hour).micro)
  }

  /// The cost of a day's electricity so far.
  func energyCost(on day: Day) -> Reading<MicroUnits> {
    guard configuration.tariff != nil else { return .unavailable("no price of electricity in the config") }
    guard let used = energy.used(on: day) else { return .unavailable("no power reading") }
    return used.cost.map { .value($0.micro) } ?? .unavailable("a part of the day had no price of electricity")
  }

  /// The cost of an hour at the current power and price.
  func electricityPerHour(at now: Moment) -> Reading<MicroUnits> {
    guard let tariff = configuration.tariff else {
      return .unavailable("no price of electricity in the config")
    }
    guard let watts else { return .unavailable("no power reading") }
    return .value(tariff.cost(of: Energy(joules: watts * 3_600), hour: now.hour).micro)
  }
}
