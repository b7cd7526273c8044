// NodeState+Reload.swift: another configuration while jobs run: what is admitted keeps its terms,
// what comes is judged by the new rules. Start at reconfigure.
import Control
import Receipts
import Scheduling

extension NodeState {
  /// Takes what may change while the node runs.
  /// - change: what differs, as the node compared it with all that its command line says
  mutating func reconfigure(
    _ new: NodeConfiguration, _ change: ConfigurationChange, by who: Operator, at now: Moment,
    _ effects: inout [NodeEffect]
  ) {
    configuration.takeLive(from: new)
    if let facts {
      let limits = schedulingLimits(facts)
      do throws(LimitsError) { try scheduler?.setLimits(limits) } catch {
        note(.error, "the scheduler keeps its limits: \(error)", at: now, &effects)
      }
    }
    note(.act, who: who.name, "read the configuration again: \(change.words)", at: now, &effects)
    if !change.applied.isEmpty {
      effects.append(
        .record(
          .policyChanged(
            PolicyChanged(
              who: String(who.name.prefix(64)), sha256: SHA256.hash(Array((new.source ?? "").utf8)),
              summary: String(change.words.prefix(1_000))))))
    }
    if let compute { follow(exceeded(compute), at: now, &effects) }
    effects.append(.wakeEngine)
  }

  /// The same from a trace, which has the file's text.
  mutating func reconfigure(
    source: String?, _ change: ConfigurationChange, by who: Operator, at now: Moment,
    _ effects: inout [NodeEffect]
  ) {
    // Only a text that could be read was recorded.
    guard let new = try? NodeConfiguration(file: "the trace's configuration", text: source) else { return }
    reconfigure(new, change, by: who, at: now, &effects)
  }

  /// What the scheduler holds to with this configuration.
  func schedulingLimits(_ facts: EngineFacts) -> Scheduling.Limits {
    var limits = Scheduling.Limits(blocks: facts.kvBlocks, contextLength: facts.contextLength)
    limits.wholePrompts = facts.wholePrompts
    // Half as much host memory again, for sequences that are swapped out of the device.
    limits.hostBlocks = facts.kvBlocks / 2
    limits.windows = (facts.windows ?? []).map { window in
      var window = window
      window.hostBlocks = window.blocks / 2
      return window
    }
    limits.states = facts.states.map { states in
      var states = states
      states.hostSlots = max(1, configuration.queue.running / 2)
      return states
    }
    limits.maxRunning = configuration.queue.running
    limits.maxWaitingJobs = configuration.queue.jobs
    limits.maxWaitingTokens = configuration.queue.promptTokens
    limits.maxWaitingJobsPerClient = max(1, configuration.queue.jobs / 2)
    limits.maxPendingJobs = configuration.queue.approvals
    let strangers = configuration.strangers
    limits.maxStrangerJobs = strangers.jobs
    limits.maxStrangerTokens = strangers.promptTokens
    limits.maxJobsPerStranger = strangers.jobsEach
    limits.maxRunningStrangers = min(
      strangers.running ?? max(1, configuration.queue.running / 2), configuration.queue.running)
    limits.approvalTime = Microseconds(configuration.queue.decideWithin) * 1_000_000
    limits.tokenInterval = Microseconds(configuration.tokenTarget) * 1_000
    return limits
  }
}
