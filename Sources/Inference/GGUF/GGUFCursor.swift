// GGUFCursor.swift: reads a GGUF header from front to back, checking every length against the
// remaining bytes. The meaning of what is read is in GGUFFile.swift.

/// A position in a mapping. Every read either advances inside the bytes or throws.
struct GGUFCursor {
  let mapping: GGUFMapping
  let file: String
  private(set) var position = 0

  init(mapping: GGUFMapping, file: String) {
    self.mapping = mapping
    self.file = file
  }

  var remaining: Int { mapping.count - position }

  func failure(_ problem: GGUFError.Problem) -> GGUFError { GGUFError(file: file, problem: problem) }

  /// One little-endian number. The machine is little-endian too (x86-64, ARM64).
  mutating func read<T: BitwiseCopyable>(_ type: T.Type, _ item: @autoclosure () -> String) throws(GGUFError)
    -> T
  {
    let size = MemoryLayout<T>.size
    guard remaining >= size else {
      throw failure(
        .truncated(item: item(), offset: position, wanted: UInt64(size), available: remaining))
    }
    let value = (mapping.base + position).loadUnaligned(as: T.self)
    position += size
    return value
  }

  /// Skips the next `count` bytes and returns their range.
  mutating func skip(_ count: UInt64, _ item: @autoclosure () -> String) throws(GGUFError) -> Range<Int> {
    guard let length = Int(exactly: count), length <= remaining else {
      throw failure(.truncated(item: item(), offset: position, wanted: count, available: remaining))
    }
    let range = position..<(position + length)
    position += length
    return range
  }

  /// A string's bytes: a 64-bit length, then that many bytes.
  mutating func readString(_ item: @autoclosure () -> String) throws(GGUFError) -> Range<Int> {
    let length = try read(UInt64.self, item())
    return try skip(length, item())
  }

  /// The name of a key or tensor: 1 to `limit` bytes of UTF-8.
  mutating func readName(_ item: @autoclosure () -> String, limit: Int) throws(GGUFError) -> String {
    let length = try read(UInt64.self, item())
    guard length > 0 else { throw failure(.badName(item: item(), reason: "has an empty name")) }
    guard length <= UInt64(limit) else {
      throw failure(
        .badName(item: item(), reason: "has a name of \(length) bytes, at most \(limit) are accepted"))
    }
    let range = try skip(length, item())
    guard
      let name = String(validating: mapping.bytes(at: range.lowerBound, count: range.count), as: UTF8.self)
    else { throw failure(.invalidUTF8(item: "the name of \(item())")) }
    // A NUL would end the name early in C functions.
    guard !name.utf8.contains(0) else {
      throw failure(.badName(item: item(), reason: "has a NUL in its name"))
    }
    return name
  }
}
