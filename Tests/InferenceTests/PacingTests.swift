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

  @Test func timesOfOtherSizesAreNotCompared() {
    var pacing = Pacing(workers: 2)
    for i in 0..<400 {
      let tokens = 1 + i % 2
      let workers = pacing.workers(tokens: tokens)
      #expect(workers == 2 || i > 0)
      pacing.stepped(time: Double(tokens) * (workers == 2 ? 10 : 1), slept: workers == 2)
    }
    // Every step had another size than the one before, so no trial came to its end.
    let last = steps(&pacing, 1, tokens: 3, times: [2: 1], sleepy: [])
    #expect(last == [2])
  }
}
