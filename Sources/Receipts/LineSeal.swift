// LineSeal.swift: how a journal line ends: with a digest of itself.
// Line.swift writes and scans this end. Start at check.

/// How a journal line ends.
struct LineSeal {
  /// How many bytes precede it.
  let body: Int
  /// What `h` says: the first 16 digits of the SHA-256 of the body.
  let claimed: UInt64

  /// Checks `h`.
  /// - Returns: the SHA-256 of the whole line, newline included.
  func check(_ line: UnsafeRawBufferPointer) throws(LineError) -> SHA256Digest {
    var hash = SHA256()
    hash.update(UnsafeRawBufferPointer(rebasing: line[..<body]))
    guard claimed == hash.finish().w0 else {
      throw LineError(offset: body, wanted: "'h' to be the digest of the line before it")
    }
    hash.update(UnsafeRawBufferPointer(rebasing: line[body...]))
    return hash.finish()
  }
}
