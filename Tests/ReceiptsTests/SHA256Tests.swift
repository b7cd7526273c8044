// SHA256Tests.swift: SHA-256 against published vectors, against its portable twin and against coreutils.
import CDigest
import Foundation
import Receipts
import Testing

private func hex(_ text: String) -> [UInt8] {
  var bytes: [UInt8] = []
  var rest = Substring(text)
  while rest.count >= 2 {
    bytes.append(UInt8(rest.prefix(2), radix: 16) ?? 0)
    rest = rest.dropFirst(2)
  }
  return bytes
}

@Suite struct SHA256Tests {
  /// FIPS 180-4 examples and NIST CAVP SHA256ShortMsg / LongMsg vectors.
  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("d3", "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"),
    ("11af", "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98"),
    ("b4190e", "dff2e73091f6c05e528896c4c831b9448653dc2ff043528f6769437bc7b975c2"),
    ("74ba2521", "b16aa56be3880d18cd41e68384cf1ec8c17680c45a02b1575dc1518923ae8b0e"),
    ("616263", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "6162636462636465636465666465666765666768666768696768696a68696a6b696a6b6c6a6b6c6d6b6c6d6e6c6d6e6f6d6e6f706e6f7071",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ])
  func publishedVectors(message: String, digest: String) {
    #expect(SHA256.hash(hex(message)).hex == digest)
    var portable = [UInt8](repeating: 0, count: 32)
    hex(message).withUnsafeBytes { hp_sha256_portable($0.baseAddress, $0.count, &portable) }
    #expect(portable == hex(digest))
  }

  @Test func aMillionLettersA() {
    let digest = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    #expect(SHA256.hash([UInt8](repeating: 0x61, count: 1_000_000)).hex == digest)
    var running = SHA256()
    for _ in 0..<10_000 { running.update([UInt8](repeating: 0x61, count: 100)) }
    #expect(running.finish().hex == digest)
  }

  /// The procedure of NIST's SHA256Monte.rsp with its seed, one round of 1,000 chained hashes.
  @Test func monteCarlo() {
    let seed = hex("6d1e72ad03ddeb5de891e572e2396f8da015d899ef0e79503152d6010a3fe691")
    var (a, b, c) = (seed, seed, seed)
    for _ in 0..<1000 { (a, b, c) = (b, c, SHA256.hash(a + b + c).bytes) }
    #expect(c == hex("e93c330ae5447738c8aa85d71a6c80f2a58381d05872d26bdd39f1fcd4f2b788"))
  }

  /// Lines side by side have the digests that the portable code gives each: of any number of lines, sizes and seals.
  @Test func linesSideBySideAreLikeOneByOne() {
    var random = SystemRandomNumberGenerator()
    let bytes = (0..<65_536).map { _ in UInt8.random(in: 0...255, using: &random) }
    bytes.withUnsafeBufferPointer { bytes in
      for round in 0..<200 {
        var lines: [hp_sha256_line] = []
        for _ in 0..<Int.random(in: 0...40, using: &random) {
          var line = hp_sha256_line()
          // Mostly as receipts are, which are hashed side by side; also what is too short or has too long a seal for that.
          line.size = Int.random(in: round % 3 == 0 ? 0...1_300 : 1_100...1_300, using: &random)
          line.body =
            line.size - min(line.size, Int.random(in: round % 5 == 0 ? 0...80 : 0...64, using: &random))
          line.bytes = bytes.baseAddress.map { $0 + Int.random(in: 0...60_000, using: &random) }
          lines.append(line)
        }
        hp_sha256_lines(&lines, lines.count)
        for line in lines {
          var (body, whole) = ([UInt8](repeating: 0, count: 32), [UInt8](repeating: 0, count: 32))
          hp_sha256_portable(line.bytes, line.body, &body)
          hp_sha256_portable(line.bytes, line.size, &whole)
          #expect(withUnsafeBytes(of: line.body_digest) { Array($0) } == body)
          #expect(withUnsafeBytes(of: line.digest) { Array($0) } == whole)
          let leaf = SHA256.hash([0] + UnsafeBufferPointer(start: line.bytes, count: line.size))
          #expect(withUnsafeBytes(of: line.leaf) { Array($0) } == leaf.bytes)
        }
      }
    }
  }

  @Test func everySplitGivesTheSameDigest() {
    let message = (0..<300).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ $0 >> 3) }
    for size in 0...300 {
      let whole = SHA256.hash(message[..<size])
      var portable = [UInt8](repeating: 0, count: 32)
      message.withUnsafeBytes { hp_sha256_portable($0.baseAddress, size, &portable) }
      #expect(whole.bytes == portable)
      for split in stride(from: 0, through: size, by: 13) {
        var running = SHA256()
        running.update(message[..<split])
        running.update(message[split..<size])
        #expect(running.finish() == whole, "size \(size), split \(split)")
      }
    }
  }

  @Test func helpersAgreeWithPlainHashing() {
    let message = (0..<500).map { UInt8(truncatingIfNeeded: $0 &* 31) }
    #expect(SHA256.leaf(message) == SHA256.hash([0] + message))
    let (l, r) = (SHA256.hash([1]), SHA256.hash([2]))
    #expect(SHA256.node(l, r) == SHA256.hash([1] + l.bytes + r.bytes))
    var many = [UInt8](repeating: 0, count: 32 * 5)
    message.withUnsafeBytes { hp_sha256_many($0.baseAddress, 100, 90, 5, &many) }
    for i in 0..<5 {
      #expect(Array(many[32 * i..<32 * i + 32]) == SHA256.hash(message[100 * i..<100 * i + 90]).bytes)
    }
    var chained = [UInt8](repeating: 0, count: 32)
    many.withUnsafeBufferPointer { p in
      if let base = p.baseAddress { hp_sha256_digests(base, 5, &chained) }
    }
    #expect(chained == SHA256.hash(many).bytes)
  }

  @Test func agreesWithCoreutils() throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
      "hotpot-sha-\(UUID().uuidString)")
    defer { _ = unlink(path.path) }
    let message = (0..<100_003).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 5) }
    try Data(message).write(to: path)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/sha256sum")
    process.arguments = [path.path]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(output.prefix(64) == SHA256.hash(message).hex)
  }

  @Test func hexIsStrict() {
    #expect(SHA256Digest(hex: String(repeating: "A", count: 64)) == nil)
    #expect(SHA256Digest(hex: String(repeating: "a", count: 63)) == nil)
    #expect(SHA256Digest(hex: String(repeating: "g", count: 64)) == nil)
    let digest = SHA256.hash([])
    #expect(SHA256Digest(hex: digest.hex) == digest)
    #expect(SHA256Digest(bytes: digest.bytes) == digest)
    #expect(SHA256Digest(bytes: [1, 2]) == nil)
  }
}
