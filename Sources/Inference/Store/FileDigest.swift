// FileDigest.swift: the SHA-256 of a file, read in pieces, with progress and cancellation, and the
// digest of a model in several files.

import CDigest
import Foundation

public enum FileDigest {
  /// 64 hexadecimal digits.
  /// - Parameter progress: Called with the bytes read so far, every few megabytes.
  /// - Throws: `PullError.system` if the file cannot be read, or `.cancelled`.
  public static func sha256(
    ofFile path: String, progress: (Int) -> Void = { _ in }
  ) throws(PullError) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system("open", path, errno) }
    defer { close(descriptor) }
    var context = hp_sha256_ctx()
    hp_sha256_init(&context)
    var chunk = [UInt8](repeating: 0, count: 1 << 22)
    var total = 0
    while true {
      if Task.isCancelled { throw .cancelled }
      let count = chunk.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw .system("read", path, errno) }
      if count == 0 { break }
      chunk.withUnsafeBytes { hp_sha256_update(&context, $0.baseAddress, count) }
      total += count
      progress(total)
    }
    var digest = [UInt8](repeating: 0, count: 32)
    hp_sha256_final(&context, &digest)
    return hexadecimal(digest)
  }

  /// The digest of a model: its file's, or, of several parts, the SHA-256 of a first line and a line
  /// with the digest of each part in order. No GGUF file begins like the first line, so that no
  /// file has the digest of parts. hotpot-receipt(5) has it for stock tools.
  public static func ofParts(_ digests: [String]) -> String {
    if digests.count < 2, let digest = digests.first { return digest }
    return sha256(of: (["hotpot:model-parts:1"] + digests).map { $0 + "\n" }.joined())
  }

  /// The digest of a model in these files.
  public static func sha256(
    ofModel paths: [String], progress: (Int) -> Void = { _ in }
  ) throws(PullError) -> String {
    var digests: [String] = []
    var before = 0
    for path in paths {
      var read = 0
      digests.append(
        try sha256(ofFile: path) { count in
          read = count
          progress(before + count)
        })
      before += read
    }
    return ofParts(digests)
  }

  /// The digest of a text's bytes.
  static func sha256(of text: String) -> String { hexadecimal(bytes(of: text)) }

  static func bytes(of text: String) -> [UInt8] {
    var context = hp_sha256_ctx()
    hp_sha256_init(&context)
    let bytes = Array(text.utf8)
    bytes.withUnsafeBytes { hp_sha256_update(&context, $0.baseAddress, bytes.count) }
    var digest = [UInt8](repeating: 0, count: 32)
    hp_sha256_final(&context, &digest)
    return digest
  }

  /// The bytes that 64 hexadecimal digits stand for; other characters count as 0.
  static func bytes(hexadecimal text: String) -> [UInt8] {
    let digits = text.utf8.map { UInt8(Character(Unicode.Scalar($0)).hexDigitValue ?? 0) }
    return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
  }

  static func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
