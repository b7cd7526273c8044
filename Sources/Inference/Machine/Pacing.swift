// Pacing.swift: how many workers a small step is given, beside neighbours that take processors
// away. A value: no clock and no thread; it is told what steps took. Changes speed, never a bit.
// Start at workers(tokens:).

/// Workers wait for each other some 150 times a token, so one that has to share its processor holds
/// up all. Then fewer workers are faster: the system gives the neighbour that processor and leaves
/// the others alone.
///
/// Signs of trouble are steps in which a worker waited so long that it went to sleep. After some of
/// them one worker fewer is tried for a few steps and kept where that is faster; later one more is
/// tried in the same way, first soon and then ever more rarely. A neighbour slows steps of all
/// sizes, so sizes share what was found; times are compared with those of steps of the same size.
package struct Pacing {
  /// Steps of a trial, and over which the mean of a size's times runs.
  package static let trial = 8
  package static let patience = 64...1_024
  /// Steps with more tokens compute for long between two meetings: a worker that sleeps there is no
  /// sign of anything.
  static let mostTokens = 32
  private static let tooManyStrikes = 8

  let most: Int
  private var current: Int
  private var candidate: Int?
  private var trialSteps = 0
  private var trialTime = 0.0
  /// What the trial's steps would have taken with `current` workers.
  private var trialExpected = 0.0
  /// Mean time of a step with `current` workers by size, weighted towards the last ones; 0: none
  /// was seen.
  private var means = [Double](repeating: 0, count: mostTokens + 1)
  private var size = 0
  private var strikes = 0
  /// Steps until another number is tried, and how many it will be after the next trial in vain.
  private var rest = 0
  private var patience = Pacing.patience.lowerBound

  package init(workers: Int) {
    most = workers
    current = workers
  }

  /// How many are to take the next step.
  package mutating func workers(tokens: Int) -> Int {
    size = min(max(tokens, 0), Pacing.mostTokens)
    // A size that nothing can be compared with is no trial.
    return means[size] > 0 ? candidate ?? current : current
  }

  /// Tells how long that step took, in any unit, and whether a worker went to sleep while it
  /// waited.
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
