// TokenizerDifferentialTests.swift: our ids against those of Hugging Face's tokenizers, over random texts.
// Skips, saying so, without Python's package `tokenizers` or the reference vocabularies. Start at
// idsAreThoseOfHuggingFace.

import Foundation
import Fuzzing
import Inference
import TestSettings
import Testing

/// Python's package `tokenizers` over one vocabulary.
private enum HuggingFace {
  static let script = repository.appending(path: "Tests/Acceptance/Tokenizers/reference.py")

  static let isThere: Bool = {
    (try? run(["-c", "import tokenizers"], input: Data()))?.status == 0
  }()

  static func ids(of texts: [String], vocabulary: String, name: String) throws -> [[Int32]] {
    try answer([vocabulary, name], texts)
  }

  /// Where a pre-tokenizer's patterns cut.
  static func words(of texts: [String], name: String) throws -> [[String]] {
    try answer(["--words", name], texts)
  }

  private static func answer<T: Decodable>(_ arguments: [String], _ texts: [String]) throws -> [[T]] {
    let result = try run([script.path] + arguments, input: JSONEncoder().encode(texts))
    try #require(result.status == 0, "reference.py ended with \(result.status)")
    return try JSONDecoder().decode([[T]].self, from: result.output)
  }

  private static func run(_ arguments: [String], input: Data) throws -> (status: Int32, output: Data) {
    let folder = FileManager.default.temporaryDirectory.appending(path: "hotpot-hf-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let source = folder.appending(path: "in")
    let target = folder.appending(path: "out")
    try input.write(to: source)
    try Data().write(to: target)
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3"] + arguments
    process.standardInput = try FileHandle(forReadingFrom: source)
    process.standardOutput = try FileHandle(forWritingTo: target)
    process.standardError = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return (process.terminationStatus, try Data(contentsOf: target))
  }
}

/// Texts of what people write and of what breaks tokenizers: composed and decomposed letters, marks in any order,
/// Chinese, Japanese, Korean in syllables and parts, Arabic, Hindi, emoji with joiners, white space, digits.
private func text(_ generator: inout SeededGenerator) -> String {
  let ranges: [ClosedRange<UInt32>] = [
    0x20...0x7E, 0x61...0x7A, 0x61...0x7A, 0xA1...0xFF, 0x100...0x17F, 0x300...0x345, 0x300...0x33F,
    0x370...0x3FF, 0x400...0x45F, 0x5D0...0x5EA, 0x5B0...0x5BD, 0x620...0x652, 0x660...0x669,
    0x904...0x94D, 0xE01...0xE3A, 0x1100...0x11FF, 0xAC00...0xD7A3, 0x1E00...0x1EFF, 0x1F00...0x1FFF,
    0x2000...0x206F, 0x2070...0x209C, 0x20A0...0x20BF, 0x2100...0x21FF, 0x2460...0x24FF, 0x2600...0x26FF,
    0x3041...0x30FF, 0x4E00...0x9FA5, 0x4E00...0x9FA5, 0xF900...0xFA6D, 0xFB1D...0xFB4F, 0xFF01...0xFFEE,
    0x2E80...0x2FD5, 0x3001...0x303F, 0x10A0...0x10FF, 0x2C60...0x2CFF, 0xA640...0xA7AD, 0x1D15E...0x1D1C0,
    0x1F300...0x1F64F, 0x1F900...0x1F9FF, 0x20000...0x2A6D6, 0x2F800...0x2FA1D,
  ]
  let pieces = [
    " ", " ", " ", "  ", "\n", "\r\n", "\t", "\n\n", " \n", "   ", "'s", "'LL", "don't", " the", "ing", "123",
    "4567",
    "\u{A0}", "\u{3000}", "\u{200D}", "\u{FE0F}", "👩‍👩‍👧", "e\u{301}", "n\u{303}", "A\u{30A}", "\u{212B}",
    "が", "か\u{3099}", "한국", "한", "=>", "...", "\u{2581}", "XMLHttp", "ABC", "iPhone", "ǅ", "//", "./\n", "_x",
    "1,234", "'RE", "〇", "々",
  ]
  var scalars = String.UnicodeScalarView()
  for _ in 0...generator.below(30) {
    if generator.oneIn(3) {
      scalars.append(contentsOf: pieces[generator.below(pieces.count)].unicodeScalars)
      continue
    }
    let range = ranges[generator.below(ranges.count)]
    for _ in 0...generator.below(3) {
      let value = range.lowerBound + UInt32(generator.below(Int(range.upperBound - range.lowerBound) + 1))
      // Unassigned places differ from one Unicode version to the next.
      if let scalar = Unicode.Scalar(value), let age = scalar.properties.age, age.major <= 9 {
        scalars.append(scalar)
      }
    }
  }
  return String(scalars)
}

@Suite(.enabled(if: HuggingFace.isThere, "Python has no package 'tokenizers'"))
struct TokenizerDifferentialTests {
  private func texts(_ count: Int) -> (seed: UInt64, texts: [String]) {
    let seed = UInt64.random(in: 0...UInt64(UInt32.max))
    let texts = (0..<count).map { index in
      var generator = SeededGenerator(seed: seed &+ UInt64(index))
      return text(&generator)
    }
    return (seed, texts)
  }

  @Test(arguments: [
    "gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35", "gpt-4o", "tekken", "kimi-k2", "falcon", "deepseek-v3",
    "deepseek-llm", "deepseek-coder",
  ])
  func wordsAreThoseOfTheModelsPatterns(_ name: String) throws {
    let preTokenizer = try #require(PreTokenizer.named(name))
    let (seed, texts) = texts(isHeavy ? 200_000 : 4_000)
    let expected = try HuggingFace.words(of: texts, name: name)
    try #require(expected.count == texts.count)
    var differing = 0
    for (text, words) in zip(texts, expected) {
      let ours = preTokenizer.words(of: text)
      let isSame = ours.elementsEqual(words) { $0.utf8.elementsEqual($1.utf8) }
      guard !isSame else { continue }
      differing += 1
      if differing <= 3 {
        Issue.record("\(name), seed \(seed): \(text.debugDescription): \(ours), theirs \(words)")
      }
    }
    #expect(differing == 0)
  }

  @Test(
    .enabled(if: ReferenceFolder.url != nil, "no reference folder"),
    arguments: ["gpt-2", "llama-bpe", "llama-spm", "qwen2"])
  func idsAreThoseOfHuggingFace(_ name: String) throws {
    let folder = try #require(ReferenceFolder.url)
    try compare(folder.appending(path: "vectors/vocab/ggml-vocab-\(name).gguf").path, name)
  }

  @Test(.enabled(if: RealModel.gemma3 != nil, "no model: 'hotpot models pull gemma3' fetches it"))
  func idsOfGemmaAreThoseOfHuggingFace() throws {
    // A U+2581 beside a space is a run of two spaces here, as in SentencePiece itself.
    try compare(try #require(RealModel.gemma3), "gemma3") { !$0.unicodeScalars.contains("\u{2581}") }
  }

  private func compare(
    _ path: String, _ name: String, where isWanted: (String) -> Bool = { _ in true }
  ) throws {
    let tokenizer = try Tokenizer(GGUFFile(path: path))
    let (seed, all) = texts(25_000)
    let texts = all.filter(isWanted)
    let expected = try HuggingFace.ids(of: texts, vocabulary: path, name: name)
    try #require(expected.count == texts.count)
    var differing = 0
    for (text, ids) in zip(texts, expected) {
      let ours = tokenizer.encode(text)
      guard ours != ids else { continue }
      differing += 1
      if differing <= 5 {
        let scalars = text.unicodeScalars.map { String($0.value, radix: 16) }.joined(separator: " ")
        Issue.record("\(name), seed \(seed): \(scalars): ours \(ours), theirs \(ids)")
      }
    }
    #expect(differing == 0)
    print("Hugging Face \(name): \(texts.count) texts, \(differing) differ, seed \(seed)")
  }
}
