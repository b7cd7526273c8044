// main.swift: the command `fuzz`: runs a target and prints runs, seed and rate. Exits 1 on a finding.
//   swift run -c release fuzz gguf|tokenizer|http|json|all [--runs N] [--seed S] [--first N]
// `--first N` begins with case N, to see one finding again. With `--make-scripted FILE [FORMAT]` it
// writes a model that always says the same, for scripts that want exact answers, and nothing else.

import Foundation
import Fuzzing

func usage() -> Never {
  let names = FuzzTargets.all.map(\.name).joined(separator: "|")
  print("usage: fuzz \(names)|all [--runs N] [--seed S] [--first N]")
  exit(64)
}

var runs = 1_000_000
var seed = UInt64.random(in: 0...UInt64(UInt32.max))
var first = 0
var targets: [FuzzTarget] = []
var arguments = CommandLine.arguments.dropFirst()
if arguments.first == "--make-scripted" {
  let words = Array(arguments.dropFirst())
  guard let path = words.first, let model = ScriptedModel.named(words.dropFirst().first ?? "hermes-json")
  else {
    print("usage: fuzz --make-scripted FILE [\(ScriptedModel.families.map(\.format).joined(separator: "|"))]")
    exit(64)
  }
  try model.write(to: path)
  exit(0)
}
while let argument = arguments.popFirst() {
  switch argument {
  case "--runs", "--seed", "--first":
    guard let value = arguments.popFirst(), let number = UInt64(value), let count = Int(exactly: number)
    else {
      usage()
    }
    if argument == "--runs" {
      runs = count
    } else if argument == "--seed" {
      seed = number
    } else {
      first = count
    }
  case "all": targets = FuzzTargets.all
  default:
    guard let target = FuzzTargets.named(argument) else { usage() }
    targets.append(target)
  }
}
if targets.isEmpty { usage() }

var found = false
for target in targets {
  // Printed first, so that a trap can be traced to its seed.
  print("\(target.name): \(runs) runs from \(first), seed \(seed)")
  let report = target.fuzz(runs: runs, seed: seed, first: first)
  let rate = Int(Double(report.runs) / max(report.seconds, 1e-9))
  print("\(target.name): \(report.runs) runs, \(rate) a second, \(report.finding ?? "no finding")")
  if report.finding != nil { found = true }
}
exit(found ? 1 : 0)
