// Pacing.swift: how many workers a small step is given, beside neighbours that take processors away.
// A value: no clock and no thread; it is told what steps took. Changes speed, never a bit. Start at workers(tokens:).

/// Workers wait for each other some 150 times a token, so one that has to share its processor holds up all. Then fewer workers are
/// faster: the system gives the neighbour that processor and leaves the others alone.
///
/// Signs of trouble are steps in which a worker waited so long that it went to sleep. After some of them one worker fewer is tried for a
/// few steps and kept where that is faster; later one more is tried in the same way, first soon and then ever more rarely.
package struct Pacing {
  /// Steps of a trial, and steps whose mean counts as the present speed.
  package static let trial = 8
  package static let patience = 64...1_024
  private static let tooManyStrikes = 8

  let most: Int
  private var current: Int
  private var candidate: Int?
  private var trialSteps = 0
  private var trialTime = 0.0
  /// Mean time of a step, weighted towards the last ones; nil before the first.
  private var mean: Double?
  private var lastTokens = 0
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
    if tokens != lastTokens {
      // Times of other steps do not compare.
      lastTokens = tokens
      candidate = nil
      mean = nil
    }
    return candidate ?? current
  }

  /// Tells how long that step took, in any unit, and whether a worker went to sleep while it waited.
  package mutating func stepped(time: Double, slept: Bool) {
    if let tried = candidate {
      trialSteps += 1
      trialTime += time
      if trialSteps < Pacing.trial { return }
      let found = trialTime / Double(trialSteps)
      candidate = nil
      strikes = 0
      if let mean, found < 0.95 * mean {
        patience = Pacing.patience.lowerBound
        current = tried
        self.mean = found
      } else {
        patience = min(2 * patience, Pacing.patience.upperBound)
      }
      rest = patience
      return
    }
    mean = mean.map { $0 + (time - $0) / Double(Pacing.trial) } ?? time
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
  }
}
