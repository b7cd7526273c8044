// WalkTests.swift: texts sampled at random under schemas, valid by Python's jsonschema with formats
// asserted. Skipped where Python or the package is missing.

import Dice
import Foundation
import Grammar
import JSON
import TestSettings
import Testing

private let python = ProcessInfo.processInfo.environment["HOTPOT_PYTHON"] ?? "python3"

/// Runs Python; nil if it cannot be run or fails.
private func run(_ script: String, input: Data = Data()) -> String? {
  let process = Process()
  process.executableURL = URL(filePath: "/usr/bin/env")
  process.arguments = [python, "-W", "ignore", "-c", script]
  let pipes = (input: Pipe(), output: Pipe())
  process.standardInput = pipes.input
  process.standardOutput = pipes.output
  do { try process.run() } catch { return nil }
  // A child that has ended already leaves no reader.
  try? pipes.input.fileHandleForWriting.write(contentsOf: input)
  try? pipes.input.fileHandleForWriting.close()
  let output = pipes.output.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  return process.terminationStatus == 0 ? String(decoding: output, as: UTF8.self) : nil
}

private let hasValidator = run("import jsonschema") != nil

@Suite struct WalkTests {
  @Test(
    .enabled(if: hasValidator, "no Python with jsonschema"),
    .enabled(if: ReferenceFolder.url != nil, "the reference folder with vectors/agents is absent"))
  func aThousandSampledTextsAreValid() throws {
    var schemas: [JSONValue] = []
    var limits = ConstraintSource.limits
    limits.values = 2_000_000
    for name in ["pydantic-v2", "openai-strict", "zod-like", "hand"] {
      let url = try #require(ReferenceFolder.url).appending(path: "vectors/agents/schemas/\(name).json")
      let entries = try JSONText.parse(Array(try Data(contentsOf: url)), limits: limits).array ?? []
      schemas += entries.compactMap { $0["schema"] }.filter { refusal(.jsonSchema($0)) == nil }
    }
    let trie = TokenTrie(smallVocabulary)
    var dice = SeededGenerator(seed: 18)
    var cases: [JSONValue] = []
    var round = 0
    while cases.count < 1_000 {
      let constraint = try Constraint(.jsonSchema(schemas[round % schemas.count]))
      let text = sample(constraint, ConstraintMasks(constraint, trie), &dice)
      cases.append(["schema": schemas[round % schemas.count], "text": .string(text)])
      round += 1
    }
    let script = """
      import json, sys
      from jsonschema import Draft202012Validator as V
      wrong = 0
      for case in json.load(sys.stdin):
          try:
              value = json.loads(case['text'])
              good = V(case['schema'], format_checker=V.FORMAT_CHECKER).is_valid(value)
          except Exception as error:
              good = False
          if not good:
              wrong += 1
              print(json.dumps(case)[:600])
      print('wrong', wrong)
      """
    let output = try #require(run(script, input: Data(JSONWriter.bytes(.array(cases)))))
    let isRight = output.hasSuffix("wrong 0\n")
    #expect(isRight, "\(output.suffix(3_000))")
  }

  /// A text whose tokens are chosen at random, and from some length on so that it ends.
  private func sample(
    _ constraint: Constraint, _ masks: ConstraintMasks, _ dice: inout SeededGenerator
  ) -> String {
    var state = ConstraintState(constraint)
    var mask = TokenMask(size: smallVocabulary.count)
    var text: [UInt8] = []
    while true {
      if state.isComplete, text.count > 40 || Int.random(in: 0..<3, using: &dice) == 0 {
        return String(decoding: text, as: UTF8.self)
      }
      state.allowed(masks, into: &mask)
      let allowed = smallVocabulary.indices.filter(mask.contains)
      if allowed.isEmpty { return String(decoding: text, as: UTF8.self) }
      var choices = allowed
      if text.count > 150, Bool.random(using: &dice) {
        // What closes: quotes and brackets, then what begins with a digit or letter of `null`.
        for wanted in ["\"]}", ",:", "0n", ""] {
          let closing = allowed.filter { id in
            smallVocabulary[id].map { $0.count == 1 && (wanted.isEmpty || wanted.utf8.contains($0[0])) }
              ?? false
          }
          if !closing.isEmpty {
            choices = closing
            break
          }
        }
      }
      guard let id = choices.randomElement(using: &dice), let token = smallVocabulary[id] else { break }
      state.advance(token)
      text += token
      if text.count > 20_000 { break }
    }
    return String(decoding: text, as: UTF8.self)
  }
}
