// FileDigest.swift: the SHA-256 of a file, read in pieces, with progress and cancellation.

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

  /// The digest of a text's bytes.
  static func sha256(of text: String) -> String {
    var context = hp_sha256_ctx()
    hp_sha256_init(&context)
    let bytes = Array(text.utf8)
    bytes.withUnsafeBytes { hp_sha256_update(&context, $0.baseAddress, bytes.count) }
    var digest = [UInt8](repeating: 0, count: 32)
    hp_sha256_final(&context, &digest)
    return hexadecimal(digest)
  }

  static func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
}
