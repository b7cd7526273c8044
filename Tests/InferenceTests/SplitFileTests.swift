// SplitFileTests.swift: models in several files: read as one model with the same bits, found by any
// part's name, refused by name where a part is missing or foreign, and digested as the manual says.

import Foundation
import Fuzzing
import Inference
import ManualPages
import TestSettings
import Testing

@Suite struct SplitFileTests {
  private let whole: GGUFFile
  private let folder = FileManager.default.temporaryDirectory.appending(
    path: "hotpot-split-\(UUID().uuidString)")

  init() throws {
    whole = try GGUFFile(bytes: SyntheticModel(layers: 2).bytes(), name: "whole.gguf")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  private func path(_ number: Int, of count: Int = 3, _ name: String = "big") -> String {
    folder.path + "/\(name)-0000\(number)-of-0000\(count).gguf"
  }

  /// Three parts on the disk; a test changes one.
  private func write(_ change: (inout [GGUFWriter]) -> Void = { _ in }) throws {
    var parts = splitParts(of: whole, count: 3)
    change(&parts)
    for (index, part) in parts.enumerated() {
      try Data(part.bytes()).write(to: URL(filePath: path(index + 1)))
    }
  }

  private func clean() { try? FileManager.default.removeItem(at: folder) }

  private func refusal(_ path: String) -> String {
    do throws(GGUFError) {
      _ = try GGUFFile(path: path)
      return "nothing"
    } catch { return "\(error)" }
  }

  @Test func `parts are read as one model, with the bits of the whole one`() throws {
    defer { clean() }
    try write()
    for number in 1...3 {
      let file = try GGUFFile(path: path(number))
      #expect(file.parts.map(\.path) == (1...3).map { path($0) })
      #expect(file.tensors.map(\.name) == whole.tensors.map(\.name))
      #expect(file.byteCount == file.parts.reduce(0) { $0 + $1.byteCount })
      for tensor in whole.tensors {
        let other = try #require(file.tensor(tensor.name))
        let isSame = file.bytes(of: other).elementsEqual(whole.bytes(of: tensor))
        #expect(isSame, "\(tensor.name)")
      }
    }
    let file = try GGUFFile(path: path(1))
    let (split, one) = (try Model(file: file, threads: 2), try Model(file: whole, threads: 1))
    let tokens: [Int32] = [1, 5, 9, 200, 3]
    func logits(_ model: Model) throws -> [Float] {
      try Engine(model: model, configuration: .init(threads: 1, kvBlocks: 4)).allLogits(tokens)
    }
    let isSame = try logits(split) == logits(one)
    #expect(isSame)
    // Pages that were given back are read again.
    file.dropPages()
    let last = try #require(file.tensors.last)
    #expect(file.bytes(of: last).elementsEqual(whole.bytes(of: try #require(whole.tensors.last))))
  }

  @Test func `the digest of parts is the manual's`() throws {
    defer { clean() }
    try write()
    let model = try Model(path: path(2), threads: 1)
    let digest = FileDigestText.hexadecimal(model.fileDigest())
    #expect(try FileDigest.sha256(ofModel: (1...3).map { path($0) }) == digest)
    let each = try (1...3).map { try FileDigest.sha256(ofFile: path($0)) }
    #expect(FileDigest.ofParts(each) == digest && FileDigest.ofParts([each[0]]) == each[0])
    let script = try ManualPage("hotpot-receipt.5").commands("parts")
    for program in shells {
      let outcome = try shell(script, in: folder.path, with: program)
      #expect(outcome.output.hasPrefix(digest), "\(program): \(outcome)")
    }
    // Another order is another model.
    #expect(FileDigest.ofParts(each.reversed()) != digest)
  }

  @Test func `a missing part is named`() throws {
    defer { clean() }
    try write()
    try FileManager.default.removeItem(atPath: path(2))
    for number in [1, 3] {
      #expect(refusal(path(number)) == "model '\(path(2))': part 2 of 3 of the model is missing")
    }
    let hint = GGUFError(file: path(2), problem: .missingPart(number: 2, count: 3)).hint ?? ""
    #expect(hint.contains("'hotpot models pull'"))
  }

  @Test func `a part under another name, or in memory alone, is refused`() throws {
    defer { clean() }
    try write()
    let renamed = folder.path + "/renamed.gguf"
    try FileManager.default.copyItem(atPath: path(2), toPath: renamed)
    #expect(
      refusal(renamed)
        == "model '\(renamed)': is part 2 of 3 of a model that was split, and its name does not end in -00002-of-00003.gguf, so the other parts cannot be found"
    )
    let swapped = path(1, of: 3, "swapped")
    try FileManager.default.copyItem(atPath: path(2), toPath: swapped)
    #expect(refusal(swapped).contains("its name does not end in -00002-of-00003.gguf"))
    let bytes = splitParts(of: whole, count: 3)[1].bytes()
    #expect(throws: GGUFError(file: "m", problem: .partOfSplit(number: 2, count: 3))) {
      try GGUFFile(bytes: bytes, name: "m")
    }
  }

  @Test(
    arguments: [
      ("a part twice", "stands for part 3 of 3 of the model, and is part 2 of 3"),
      ("a whole model", "stands for part 3 of 3 of the model, and is a whole model"),
      ("another count", "stands for part 3 of 3 of the model, and is part 3 of 4"),
      (
        "another model",
        "stands for part 3 of 3 of the model, and is of a model with 7 tensors, the first part of one with TENSORS"
      ),
      (
        "another architecture",
        "stands for part 3 of 3 of the model, and has general.architecture 'qwen3', the first part 'llama'"
      ),
      ("a tensor twice", "tensor 'token_embd.weight' appears twice"),
      ("a tensor less", "the parts of the model have FEWER tensors, wanted TENSORS (split.tensors.count)"),
      ("no model", "starts with bytes 47 47 55 0, a GGUF file starts with 'GGUF'"),
    ])
  func `a foreign part is refused by name`(_ kind: String, _ words: String) throws {
    defer { clean() }
    func replace(_ writer: inout GGUFWriter, _ key: String, _ value: GGUFWriter.Value) {
      writer.keys.removeAll { $0.key == Array(key.utf8) }
      writer.set(key, value)
    }
    let count = whole.tensors.count
    try write { parts in
      switch kind {
      case "a part twice": parts[2] = parts[1]
      case "a whole model": parts[2].keys.removeAll()
      case "another count": replace(&parts[2], "split.count", .uint16(4))
      case "another model": replace(&parts[2], "split.tensors.count", .int32(7))
      case "another architecture": parts[2].set("general.architecture", .string("qwen3"))
      case "a tensor twice": parts[2].tensors.append(parts[0].tensors[0])
      case "a tensor less": parts[2].tensors.removeLast()
      default: parts[2].magic = [0x47, 0x47, 0x55, 0]
      }
    }
    let file = kind == "a tensor less" ? path(1) : path(3)
    let wanted = words.replacing("TENSORS", with: "\(count)").replacing("FEWER", with: "\(count - 1)")
    #expect(refusal(path(1)) == "model '\(file)': \(wanted)")
  }

  @Test(
    arguments: [
      ("x-00001-of-00001.gguf", nil, ["x-00001-of-00001.gguf"], "x-00001-of-00001"),
      (
        "x-00002-of-00003.gguf", 2,
        ["x-00001-of-00003.gguf", "x-00002-of-00003.gguf", "x-00003-of-00003.gguf"], "x"
      ),
      ("a/x-00001-of-00002.GGUF", 1, ["a/x-00001-of-00002.GGUF", "a/x-00002-of-00002.GGUF"], "a/x"),
      ("x-00000-of-00002.gguf", nil, ["x-00000-of-00002.gguf"], "x-00000-of-00002"),
      ("x-00003-of-00002.gguf", nil, ["x-00003-of-00002.gguf"], "x-00003-of-00002"),
      ("x-0001-of-0002.gguf", nil, ["x-0001-of-0002.gguf"], "x-0001-of-0002"),
      ("x-00001-of-99999.gguf", nil, ["x-00001-of-99999.gguf"], "x-00001-of-99999"),
    ] as [(String, Int?, [String], String)])
  func `names of parts are read and made`(_ file: String, _ number: Int?, _ parts: [String], _ name: String) {
    #expect(ModelName.splitPart(file)?.number == number)
    #expect(ModelName.parts(of: file) == parts)
    #expect(ModelName.ofFile(file) == name)
  }
}

private enum FileDigestText {
  static func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { String(format: "%02x", $0) }.joined()
  }
}
