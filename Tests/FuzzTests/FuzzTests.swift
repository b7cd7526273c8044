// FuzzTests.swift: every fuzz target, briefly; at length with HOTPOT_HEAVY=1. HOTPOT_SEED repeats a run.

import Foundation
import Fuzzing
import TestSettings
import Testing

extension FuzzTarget: CustomTestStringConvertible {
  public var testDescription: String { name }
}

@Suite struct FuzzTests {
  @Test(arguments: FuzzTargets.all)
  func everyTargetSurvives(_ target: FuzzTarget) throws {
    let environment = ProcessInfo.processInfo.environment
    let runs = isHeavy ? 1_000_000 : 20_000
    let seed = environment["HOTPOT_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64(UInt32.max))
    print("fuzz \(target.name): \(runs) runs, seed \(seed)")
    let report = target.fuzz(runs: runs, seed: seed)
    #expect(report.finding == nil)
    #expect(report.runs == runs)
  }

  @Test func aFindingIsReportedWithItsRun() {
    let target = FuzzTarget(name: "control") { _, generator in generator.oneIn(50) ? "planted" : nil }
    let report = target.fuzz(runs: 10_000, seed: 1)
    #expect(report.finding?.hasSuffix("planted") == true)
    #expect(report.runs < 10_000)
    let again = target.fuzz(runs: 1, seed: 1, first: report.runs - 1)
    #expect(again.finding == report.finding)
  }
}
