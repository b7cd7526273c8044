// Pacing.swift: how many workers a small step gets if other programs compete for processors. A
// value: no clock and no thread; the caller reports how long steps took. It changes speed, never a
// bit. Start at workers(tokens:).

/// Workers wait for each other some 150 times a token, so one worker that has to share its
/// processor delays all. Then fewer workers are faster: the system gives that processor to the
/// other program and leaves the rest alone.
///
/// The sign of such competition is a step in which a worker waited so long that it went to sleep.
/// After some of them one worker fewer is tried for a few steps, and kept if that is faster. Later
/// one more is tried in the same way, at growing intervals. Competition slows steps of all sizes,
/// so all sizes use the same number of workers; times are compared only between steps of the same
/// size.
package struct Pacing {
  /// Steps of a trial, and the number of steps over which a size's mean time is taken.
  package static let trial = 8
  package static let patience = 64...1_024
  /// Steps with more tokens compute for long between two barriers: a worker that sleeps there
  /// indicates nothing.
  static let mostTokens = 32
  private static let tooManyStrikes = 8

  let most: Int
  private var current: Int
  private var candidate: Int?
  private var trialSteps = 0
  private var trialTime = 0.0
  /// The time that the trial's steps would have taken with `current` workers.
  private var trialExpected = 0.0
  /// Mean time of a step with `current` workers by size, weighted towards recent ones; 0: none was
  /// seen.
  private var means = [Double](repeating: 0, count: mostTokens + 1)
  private var size = 0
  private var strikes = 0
  /// Steps until another number is tried, and that interval after the next unsuccessful trial.
  private var rest = 0
  private var patience = Pacing.patience.lowerBound

  package init(workers: Int) {
    most = workers
    current = workers
  }

  /// The number of workers for the next step.
  package mutating func workers(tokens: Int) -> Int {
    size = min(max(tokens, 0), Pacing.mostTokens)
    // A step of a size without a measured mean can't be part of a trial.
    return means[size] > 0 ? candidate ?? current : current
  }

  /// Reports how long that step took, in any unit, and whether a worker went to sleep while
  /// waiting.
  package mutating func stepped(time: Double, slept: Bool) {
    let mean = means[size]
    if let tried = candidate, mean > 0 {
      trialSteps += 1
      trialTime += time
      trialExpected += mean
      if trialSteps < Pacing.trial { return }
      candidate = nil
      strikes = 0
      if trialTime < 0.95 * trialExpected {
        patience = Pacing.patience.lowerBound
        current = tried
        for size in means.indices { means[size] *= trialTime / trialExpected }
      } else {
        patience = min(2 * patience, Pacing.patience.upperBound)
      }
      rest = patience
      return
    }
    means[size] = mean > 0 ? mean + (time - mean) / Double(Pacing.trial) : time
    if candidate != nil { return }
    strikes = max(0, strikes + (slept ? 2 : -1))
    rest = max(0, rest - 1)
    if rest > 0 { return }
    if strikes >= Pacing.tooManyStrikes && current > 1 {
      attempt(current - 1)
    } else if current < most {
      attempt(current + 1)
    }
  }

  private mutating func attempt(_ workers: Int) {
    candidate = workers
    trialSteps = 0
    trialTime = 0
    trialExpected = 0
  }
}
