// GGUFTests.swift: what good files say is read, and every way to lie that we know of is refused by name.

import Foundation
import Fuzzing
import Inference
import TestSettings
import Testing

/// A file that lies, and a part of the sentence that must refuse it.
struct HostileFile: Sendable, CustomTestStringConvertible {
  let name: String
  let refusal: String
  let bytes: [UInt8]
  var testDescription: String { name }

  init(_ name: String, _ refusal: String, _ bytes: [UInt8]) {
    self.name = name
    self.refusal = refusal
    self.bytes = bytes
  }

  /// A good file with one thing changed.
  init(_ name: String, _ refusal: String, change: (inout GGUFWriter) -> Void) {
    var writer = Self.good
    change(&writer)
    self.init(name, refusal, writer.bytes())
  }

  /// A good file with its bytes changed.
  init(_ name: String, _ refusal: String, bytes change: (inout [UInt8]) -> Void) {
    var bytes = Self.good.bytes()
    change(&bytes)
    self.init(name, refusal, bytes)
  }

  static let good: GGUFWriter = {
    var writer = GGUFWriter()
    writer.set("general.architecture", .string("llama"))
    writer.set("llama.block_count", .uint32(1))
    writer.add("a", [4, 2], [1, 2, 3, 4, 5, 6, 7, 8])
    writer.add("b", [32], .q80, data: [UInt8](repeating: 1, count: 34))
    return writer
  }()

  private static func le<T: FixedWidthInteger>(_ value: T) -> [UInt8] { GGUFWriter.littleEndian(value) }

  static let all: [HostileFile] = [
    // The first bytes.
    HostileFile("an empty file", "the file is empty", []),
    HostileFile("half a magic", "a GGUF file starts with 'GGUF'", Array("GG".utf8)),
    HostileFile("another format", "a GGUF file starts with 'GGUF'", Array("ggml\u{3}\u{0}\u{0}\u{0}".utf8)),
    HostileFile("nothing after the magic", "the version at byte 4 needs 4 bytes", Array("GGUF".utf8)),
    HostileFile("version 0", "is GGUF version 0, supported are 2 and 3") { $0.version = 0 },
    HostileFile("version 1, which had 32-bit counts", "is GGUF version 1") { $0.version = 1 },
    HostileFile("version 4", "is GGUF version 4") { $0.version = 4 },
    HostileFile("big-endian version 3", "big-endian") { $0.version = UInt32(3).byteSwapped },
    HostileFile(
      "a header without counts", "the count of tensors at byte 8", Array("GGUF".utf8) + le(UInt32(3))),
    HostileFile(
      "a header with one count", "the count of metadata keys",
      Array("GGUF".utf8) + le(UInt32(3)) + le(UInt64(0))),
    // Counts.
    HostileFile("2^64-1 tensors", "18446744073709551615 tensors, at most") {
      $0.claimedTensorCount = UInt64.max
    },
    HostileFile("2^63 keys", "9223372036854775808 metadata keys, at most") { $0.claimedKeyCount = 1 << 63 },
    HostileFile("more tensors than the file can hold", "1000 tensors, at most") {
      $0.claimedTensorCount = 1000
    },
    HostileFile("one key more than there is", "tensor 0 has a name of") { $0.claimedKeyCount = 3 },
    HostileFile("one tensor more than there is", "tensor") { $0.claimedTensorCount = 3 },
    HostileFile("more keys than are accepted", "70000 metadata keys, at most 65536") { writer in
      for index in 2..<70_000 { writer.set("k\(index)", .uint8(0)) }
    },
    // Keys.
    HostileFile("a key of 2^64-1 bytes", "has a name of 18446744073709551615 bytes") { bytes in
      bytes.replaceSubrange(24..<32, with: le(UInt64.max))
    },
    HostileFile("a key longer than the file", "has a name of 4096 bytes, at most 1024") { bytes in
      bytes.replaceSubrange(24..<32, with: le(UInt64(4096)))
    },
    HostileFile("a key that ends after the file", "metadata key 0 at byte 32 needs 1000 bytes") { bytes in
      bytes.replaceSubrange(24..<32, with: le(UInt64(1000)))
    },
    HostileFile("an empty key", "has an empty name") { $0.set("", .uint8(0)) },
    HostileFile("a key that is not UTF-8", "the name of metadata key 2 is not valid UTF-8") {
      $0.keys.append(([0x61, 0xFF], .uint8(0)))
    },
    HostileFile("a key with an overlong form", "is not valid UTF-8") {
      $0.keys.append(([0xC0, 0x80], .uint8(0)))
    },
    HostileFile("a key with a NUL", "has a NUL in its name") { $0.set("a\u{0}b", .uint8(0)) },
    HostileFile("a key twice", "metadata key 'llama.block_count' appears twice") {
      $0.set("llama.block_count", .uint32(9))
    },
    // Values.
    HostileFile("value type 13", "has value type 13, known are 0 to 12") {
      $0.set("x", .raw(type: 13, bytes: []))
    },
    HostileFile("value type 2^32-1", "has value type 4294967295") {
      $0.set("x", .raw(type: .max, bytes: []))
    },
    HostileFile("a boolean of 2", "has a boolean of value 2") { $0.set("x", .raw(type: 7, bytes: [2])) },
    HostileFile("a file that ends in a number", "the value of metadata key 'x' at byte") { writer in
      writer.tensors = []
      writer.claimedTensorCount = 0
      writer.set("x", .raw(type: 10, bytes: [1, 2, 3]))
    },
    HostileFile("a string of 2^64-1 bytes", "needs 18446744073709551615 bytes") {
      $0.set("x", .raw(type: 8, bytes: le(UInt64.max)))
    },
    HostileFile("a string one byte longer than the file", "the value of metadata key 'x'") { writer in
      writer.tensors = []
      writer.set("x", .raw(type: 8, bytes: le(UInt64(3)) + [0x61, 0x62]))
    },
    HostileFile("a string that is not UTF-8", "the value of metadata key 'x' is not valid UTF-8") {
      $0.set("x", .raw(type: 8, bytes: GGUFWriter.string([0xED, 0xA0, 0x80])))
    },
    // Arrays.
    HostileFile("an array of an unknown type", "has value type 99") {
      $0.set("x", GGUFWriter.array(type: 99, count: 0, []))
    },
    HostileFile("an array of arrays", "metadata key 'x' is an array of arrays") {
      $0.set("x", GGUFWriter.array(type: 9, count: 1, le(UInt32(4)) + le(UInt64(0))))
    },
    HostileFile("arrays nested a thousand deep", "is an array of arrays") { writer in
      let level = le(UInt32(9)) + le(UInt64(1))
      writer.set("x", .raw(type: 9, bytes: (0..<1000).flatMap { _ in level }))
    },
    HostileFile(
      "an array of 2^64-1 numbers", "18446744073709551615 elements in the array of metadata key 'x'"
    ) {
      $0.set("x", GGUFWriter.array(type: 5, count: UInt64.max, []))
    },
    HostileFile("an array whose byte count wraps to 0", "9223372036854775808 elements") {
      $0.set("x", GGUFWriter.array(type: 2, count: 1 << 63, []))
    },
    HostileFile("an array of 2^61 strings", "2305843009213693952 strings in the array") {
      $0.set("x", GGUFWriter.array(type: 8, count: 1 << 61, []))
    },
    HostileFile("an array with a string past the end", "the array of metadata key 'x' at byte") {
      $0.set("x", GGUFWriter.array(type: 8, count: 1, le(UInt64(1) << 40)))
    },
    HostileFile("an array of booleans with a 3", "has a boolean of value 3") {
      $0.set("x", GGUFWriter.array(type: 7, count: 2, [1, 3]))
    },
    // Alignment.
    HostileFile("alignment 0", "general.alignment is 0, wanted a power of two") {
      $0.set("general.alignment", .uint32(0))
    },
    HostileFile("alignment 48", "general.alignment is 48") { $0.set("general.alignment", .uint32(48)) },
    HostileFile("alignment 1", "general.alignment is 1,") { $0.set("general.alignment", .uint32(1)) },
    HostileFile("alignment 2^31", "general.alignment is 2147483648") {
      $0.set("general.alignment", .uint32(1 << 31))
    },
    HostileFile("alignment as a string", "general.alignment is of type string") {
      $0.set("general.alignment", .string("32"))
    },
    // Tensors.
    HostileFile("an empty tensor name", "tensor 2 has an empty name") { $0.add("", [1], [0]) },
    HostileFile("a tensor name of 65 bytes", "has a name of 65 bytes, at most 64") {
      $0.add(String(repeating: "n", count: 65), [1], [0])
    },
    HostileFile("a tensor name that is not UTF-8", "the name of tensor 0 is not valid UTF-8") {
      $0.tensors[0].name = [0x80]
    },
    HostileFile("a tensor twice", "tensor 'a' appears twice") { $0.add("a", [1], [0]) },
    HostileFile("no dimensions", "tensor 'a' has 0 dimensions, wanted 1 to 4") {
      $0.tensors[0].dimensions = []
    },
    HostileFile("five dimensions", "tensor 'a' has 5 dimensions") {
      $0.tensors[0].dimensions = [1, 1, 1, 1, 8]
    },
    HostileFile("2^32-1 dimensions", "tensor 'a' has 4294967295 dimensions") { bytes in
      let name = GGUFWriter.string(Array("a".utf8)) + le(UInt32(2))
      if let at = bytes.indices.first(where: { bytes[$0...].starts(with: name) }) {
        bytes.replaceSubrange((at + 9)..<(at + 13), with: le(UInt32.max))
      }
    },
    HostileFile("an extent of 0", "tensor 'a' has extent 0 in dimension 1") {
      $0.tensors[0].dimensions = [4, 0]
    },
    HostileFile("an extent of 2^64-1", "tensor 'a' has extent 18446744073709551615") {
      $0.tensors[0].dimensions = [4, UInt64.max]
    },
    HostileFile("extents whose product wraps to 0", "has more bytes than 64 bits can count") {
      $0.tensors[0].dimensions = [1 << 32, 1 << 32]
    },
    HostileFile("extents whose byte count wraps", "has more bytes than 64 bits can count") {
      $0.tensors[0].dimensions = [1 << 31, 1 << 31, 1]
      $0.tensors[0].dimensions[2] = 2
    },
    HostileFile("more elements than 64 bits count, in fewer bytes", "has more bytes than 64 bits can count") {
      $0.tensors[1].type = GGUFTensorType.q2K.rawValue
      $0.tensors[1].dimensions = [256, 1 << 56]
    },
    HostileFile("a type that is not computed with", "stored as NVFP4 (type 40), supported are F32") {
      $0.tensors[0].type = 40
    },
    HostileFile("a type that was withdrawn", "stored as Q4_2 (type 4)") { $0.tensors[0].type = 4 },
    HostileFile("a type that does not exist", "stored as type 4000000000") {
      $0.tensors[0].type = 4_000_000_000
    },
    HostileFile("half a block in a row", "rows of 16 elements, Q8_0 needs a multiple of 32") {
      $0.tensors[1].dimensions = [16, 2]
    },
    HostileFile("an offset between two alignments", "starts at data offset 1, wanted a multiple of 32") {
      $0.tensors[0].claimedOffset = 1
    },
    HostileFile("an offset past the file", "tensor 'b' ends at byte") {
      $0.tensors[1].claimedOffset = 1 << 20
    },
    HostileFile("an offset that wraps around", "tensor 'b' ends at byte past 2^64") {
      $0.tensors[1].claimedOffset = UInt64.max - 31
    },
    HostileFile("two tensors at one place", "tensors 'a' and 'b' overlap") {
      $0.tensors[1].claimedOffset = 0
    },
    HostileFile("a tensor that reaches into the next", "tensors 'a' and 'b' overlap") {
      $0.tensors[0].dimensions = [4, 3]
    },
    HostileFile("data cut short by a byte", "tensor 'b' ends at byte") { bytes in
      bytes.removeLast(31)
    },
    HostileFile("no data at all", "tensor 'a' ends at byte", good.header()),
    HostileFile("a header cut in a tensor's entry", "tensor 'b' at byte", Array(good.header().dropLast(3))),
    HostileFile("a larger alignment than the data was laid out with", "tensor 'b'") {
      $0.set("general.alignment", .uint32(1024))
    },
  ]
}

@Suite struct GGUFTests {
  @Test func thereAreAtLeast45ClassesOfHostileFiles() {
    #expect(Set(HostileFile.all.map(\.name)).count >= 45)
    print("hostile GGUF: \(HostileFile.all.count) named classes")
  }

  @Test(arguments: HostileFile.all)
  func hostileFileIsRefusedByName(_ hostile: HostileFile) {
    do {
      _ = try GGUFFile(bytes: hostile.bytes, name: "bad.gguf")
      Issue.record("\(hostile.name) was accepted")
    } catch {
      #expect("\(error)".hasPrefix("model 'bad.gguf': "), "\(error)")
      #expect("\(error)".contains(hostile.refusal), "\(error)")
    }
  }

  @Test func everyPrefixOfAFileIsRefusedAndTheWholeIsNot() throws {
    let bytes = HostileFile.good.bytes()
    let end = try #require(try GGUFFile(bytes: bytes, name: "good").tensor("b")).byteOffset + 34
    for count in 0..<end {
      #expect(throws: GGUFError.self, "\(count) of \(bytes.count) bytes") {
        try GGUFFile(bytes: Array(bytes[..<count]), name: "cut")
      }
    }
    // What follows the last tensor is padding.
    _ = try GGUFFile(bytes: Array(bytes[..<end]), name: "good")
  }

  @Test(arguments: [UInt32(2), 3]) func goodFileIsReadWhole(version: UInt32) throws {
    var writer = HostileFile.good
    writer.version = version
    writer.alignment = 128
    writer.set("general.alignment", .uint32(128))
    writer.set("values.u8", .uint8(200))
    writer.set("values.i64", .int64(-5))
    writer.set("values.u64", .uint64(.max))
    writer.set("values.f64", .float64(0.5))
    writer.set("values.yes", .bool(true))
    writer.set("values.names", .strings(["a", "", "é"]))
    writer.set("values.types", .int32s([1, -2]))
    writer.set("values.scores", .float32s([1.5]))
    let file = try GGUFFile(bytes: writer.bytes(), name: "good.gguf")
    #expect(file.version == version)
    #expect(file.alignment == 128)
    #expect(file.metadata.keys.first == "general.architecture")
    #expect(try file.metadata.string("general.architecture") == "llama")
    #expect(try file.metadata.integer("values.u8", in: 0...255) == 200)
    #expect(try file.metadata.integer("values.i64", in: -10...10) == -5)
    #expect(try file.metadata.double("values.f64") == 0.5)
    #expect(try file.metadata.bool("values.yes") == true)
    #expect(try file.metadata.array("values.names", of: .string)?.strings == ["a", "", "é"])
    #expect(try file.metadata.array("values.types")?.integers == [1, -2])
    #expect(try file.metadata.array("values.scores")?.floats == [1.5])
    #expect(try file.metadata.string("not.there") == nil)

    let a = try #require(file.tensor("a"))
    #expect(a.dimensions == [4, 2])
    #expect(a.rowCount == 2)
    #expect(a.rowByteCount == 16)
    #expect(a.byteOffset % 128 == 0)
    #expect(file.bytes(of: a).loadUnaligned(fromByteOffset: 28, as: Float.self) == 8)
    let b = try #require(file.tensor("b"))
    #expect(b.byteCount == 34)
    #expect(file.bytes(of: b).allSatisfy { $0 == 1 })
    #expect(file.tensor("c") == nil)
  }

  @Test func aKeyOfTheWrongTypeOrRangeIsNamed() throws {
    var writer = GGUFWriter()
    writer.set("count", .uint64(.max))
    writer.set("name", .string("x"))
    writer.set("eps", .float32(.nan))
    writer.set("list", .int32s([1]))
    let metadata = try GGUFFile(bytes: writer.bytes(), name: "m.gguf").metadata
    func check(_ expected: String, _ body: () throws(GGUFError) -> Void) {
      do {
        try body()
        Issue.record("accepted, wanted: \(expected)")
      } catch {
        #expect("\(error)" == "model 'm.gguf': \(expected)")
      }
    }
    check("metadata key 'count' is 18446744073709551615, wanted 1 to 512") { () throws(GGUFError) in
      _ = try metadata.integer("count", in: 1...512)
    }
    check("metadata key 'name' is of type string, wanted an integer") { () throws(GGUFError) in
      _ = try metadata.integer("name", in: 1...512)
    }
    check("metadata key 'list' is of type array, wanted a string") { () throws(GGUFError) in
      _ = try metadata.string("list")
    }
    check("metadata key 'eps' is nan, wanted a finite number") { () throws(GGUFError) in
      _ = try metadata.double("eps")
    }
    check("metadata key 'list' is an array of int32, wanted an array of string") { () throws(GGUFError) in
      _ = try metadata.array("list", of: .string)
    }
  }

  @Test func aMappedFileReadsLikeOneInMemoryAndSurvivesDroppedPages() throws {
    var writer = HostileFile.good
    writer.add("c", [4096, 8], (0..<(4096 * 8)).map { Float($0) })
    let directory = FileManager.default.temporaryDirectory.appending(path: "hotpot-gguf-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: directory) }  // a leftover in /tmp harms no one
    let path = directory.appending(path: "m.gguf").path
    try Data(writer.bytes()).write(to: URL(filePath: path))
    let mapped = try GGUFFile(path: path)
    let copied = try GGUFFile(bytes: writer.bytes(), name: path)
    for tensor in copied.tensors {
      #expect(mapped.tensor(tensor.name) == tensor)
      #expect(mapped.bytes(of: tensor).elementsEqual(copied.bytes(of: tensor)))
      mapped.dropPages(of: tensor)
      #expect(mapped.bytes(of: tensor).elementsEqual(copied.bytes(of: tensor)))
    }
    mapped.dropPages()
    let a = try #require(mapped.tensor("a"))
    #expect(mapped.bytes(of: a).elementsEqual(copied.bytes(of: a)))

    #expect(throws: GGUFError(file: directory.path, problem: .isDirectory)) {
      try GGUFFile(path: directory.path)
    }
    do {
      _ = try GGUFFile(path: path + ".missing")
      Issue.record("a missing file was opened")
    } catch {
      #expect("\(error)" == "model '\(path).missing': open failed: No such file or directory")
    }
    try Data().write(to: URL(filePath: path + ".empty"))
    #expect(throws: GGUFError(file: path + ".empty", problem: .empty)) { try GGUFFile(path: path + ".empty") }
    #expect(mkfifo(path + ".fifo", 0o600) == 0)
    #expect(throws: GGUFError(file: path + ".fifo", problem: .notARegularFile)) {
      try GGUFFile(path: path + ".fifo")
    }
  }

  @Test(.enabled(if: ReferenceFolder.url != nil, "no reference folder"))
  func everyReferenceModelIsReadWhole() throws {
    let golden = try #require(ReferenceFolder.url).appending(path: "golden")
    let models = try FileManager.default.contentsOfDirectory(atPath: golden.path).filter {
      $0.hasSuffix(".gguf")
    }
    #expect(!models.isEmpty)
    var types: Set<GGUFTensorType> = []
    for model in models {
      let file = try GGUFFile(path: golden.appending(path: model).path)
      #expect(!file.tensors.isEmpty)
      types.formUnion(file.tensors.map(\.type))
      // The last tensor ends where the file does, but for padding: sizes of blocks are right.
      let end = file.tensors.map { $0.byteOffset + $0.byteCount }.max() ?? 0
      #expect((end + file.alignment - 1) / file.alignment * file.alignment >= file.byteCount, "\(model)")
      let sorted = file.tensors.sorted { $0.byteOffset < $1.byteOffset }
      for (first, second) in zip(sorted, sorted.dropFirst()) {
        #expect(
          second.byteOffset - first.byteOffset - first.byteCount < file.alignment, "\(model) \(first.name)")
      }
    }
    print("reference models: \(models.count) files with tensors of \(types.map(\.name).sorted())")
  }
}
