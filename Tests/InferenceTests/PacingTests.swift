// PacingTests.swift: how many workers take a step, on machines that are tables of times.

import Inference
import Testing

@Suite struct PacingTests {
  /// Runs steps on a machine where `workers` of them take `times[workers]`, and sleep if so said; returns the workers of each step.
  func steps(
    _ pacing: inout Pacing, _ count: Int, tokens: Int = 1, times: [Int: Double], sleepy: Set<Int>
  ) -> [Int] {
    (0..<count).map { _ in
      let workers = pacing.workers(tokens: tokens)
      pacing.stepped(time: times[workers] ?? 0, slept: sleepy.contains(workers))
      return workers
    }
  }

  @Test func aQuietMachineKeepsAllWorkers() {
    var pacing = Pacing(workers: 4)
    let taken = steps(&pacing, 5_000, times: [4: 1, 3: 0.1], sleepy: [])
    #expect(taken.allSatisfy { $0 == 4 })
  }

  @Test func aRareSleepIsNoReasonToTry() {
    var pacing = Pacing(workers: 2)
    for i in 0..<3_000 {
      #expect(pacing.workers(tokens: 1) == 2)
      pacing.stepped(time: 1, slept: i % 4 == 0)
    }
  }

  @Test func aNeighbourMakesFewerWorkersAndAllComeBackWhenItLeaves() {
    var pacing = Pacing(workers: 2)
    let busy = steps(&pacing, 2_000, times: [2: 10, 1: 4], sleepy: [2])
    #expect(busy.first == 2)
    #expect(busy.dropFirst(100).count { $0 == 1 } > 1_800)
    let quiet = steps(&pacing, 2_000, times: [2: 2, 1: 4], sleepy: [])
    #expect(quiet.last == 2)
    // At worst as long as patience lasts.
    #expect(quiet.dropFirst(Pacing.patience.upperBound + Pacing.trial).allSatisfy { $0 == 2 })
  }

  @Test func fewerWorkersThatAreNoFasterAreLeftSoonAndTriedRarely() {
    var pacing = Pacing(workers: 2)
    let taken = steps(&pacing, 10_000, times: [2: 3, 1: 4], sleepy: [2])
    #expect(taken.count { $0 == 1 } <= 16 * Pacing.trial)
    #expect(taken.contains(1))
  }

  @Test func severalNeighboursAreMadeRoomForOneByOne() {
    var pacing = Pacing(workers: 8)
    let times = [8: 9.0, 7: 8, 6: 6, 5: 4, 4: 4.5, 3: 6, 2: 9, 1: 18]
    let taken = steps(&pacing, 4_000, times: times, sleepy: [8, 7, 6])
    #expect(taken.suffix(1_000).count { $0 == 5 } > 950)
  }

  /// A decode of 4 beside a prompt's tokens, 5 to 8 in turn.
  @Test func sizesShareWhatWasFoundAndTimesAreComparedWithTheirOwn() {
    func run(_ pacing: inout Pacing, fewer: Double) -> [Int] {
      (0..<2_000).map { i in
        let tokens = 5 + i % 4
        let workers = pacing.workers(tokens: tokens)
        pacing.stepped(time: Double(tokens) * (workers == 2 ? 1 : fewer), slept: workers == 2)
        return workers
      }
    }
    var faster = Pacing(workers: 2)
    #expect(run(&faster, fewer: 0.8).suffix(1_500).count { $0 == 1 } > 1_400)
    // A size that was never seen before has the number too.
    #expect(faster.workers(tokens: 2) == 1)
    var slower = Pacing(workers: 2)
    #expect(run(&slower, fewer: 1.1).count { $0 == 1 } <= 8 * Pacing.trial)
  }

  @Test func aSizeWithoutComparisonIsNoTrial() {
    var pacing = Pacing(workers: 2)
    for i in 0..<32 {
      _ = pacing.workers(tokens: 1)
      pacing.stepped(time: 10, slept: true)
      let workers = pacing.workers(tokens: 2 + i)
      if 2 + i < 32 { #expect(workers == 2) }
      pacing.stepped(time: 1, slept: false)
    }
  }
}
