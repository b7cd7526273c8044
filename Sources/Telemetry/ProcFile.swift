// ProcFile.swift: reads small files of /proc and /sys repeatedly without allocating, and scans the
// words in them. Their meaning is known to the sources that read them. Start at ProcFile.read.
import Glibc

/// Why a file could not be read, in words an operator can act on.
package struct SourceError: Error, Sendable, Equatable, CustomStringConvertible {
  package let description: String
  package init(_ description: String) { self.description = description }

  static func system(_ path: String, _ number: Int32) -> SourceError {
    switch number {
    case ENOENT, ENODEV, ENXIO: SourceError("no \(path) here")
    case EACCES, EPERM: SourceError("no permission to read \(path)")
    default: SourceError("\(path): \(String(cString: strerror(number)))")
    }
  }
}

/// A file that is read from its start at every sample. The descriptor stays open while reading
/// works. After a failure the file is opened again the next time, so that a source that vanished
/// can return.
struct ProcFile: ~Copyable {
  let path: String
  private var descriptor: Int32 = -1

  init(_ path: String) { self.path = path }

  deinit { if descriptor >= 0 { close(descriptor) } }

  /// Reads at most as many bytes as fit into the buffer.
  /// - Returns: the bytes, valid until the next use of the buffer.
  mutating func read(into buffer: inout [UInt8]) throws(SourceError) -> Int {
    if descriptor < 0 {
      descriptor = open(path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { throw .system(path, errno) }
    }
    var filled = 0
    while filled < buffer.count {
      let count = buffer.withUnsafeMutableBytes { bytes in
        pread(descriptor, bytes.baseAddress.map { $0 + filled }, bytes.count - filled, off_t(filled))
      }
      if count < 0 {
        if errno == EINTR { continue }
        let number = errno
        close(descriptor)
        descriptor = -1
        throw .system(path, number)
      }
      if count == 0 { break }
      filled += count
    }
    return filled
  }
}

/// Scans the words and numbers of a text without copies.
struct WordScanner {
  private let bytes: UnsafeBufferPointer<UInt8>
  private(set) var position = 0

  init(_ bytes: UnsafeBufferPointer<UInt8>) { self.bytes = bytes }

  var isAtEnd: Bool { position >= bytes.count }

  /// Skips blanks, but not the end of the line.
  private mutating func skipBlanks() {
    while position < bytes.count, bytes[position] == 0x20 || bytes[position] == 0x09 { position += 1 }
  }

  /// The next decimal number of this line; nil if something else comes. A number that is too large
  /// becomes the largest one.
  mutating func number() -> UInt64? {
    skipBlanks()
    var value: UInt64 = 0
    var digits = 0
    while position < bytes.count, (0x30...0x39).contains(bytes[position]) {
      let (product, over) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = product.addingReportingOverflow(UInt64(bytes[position] - 0x30))
      value = over || carry ? .max : sum
      digits += 1
      position += 1
    }
    return digits > 0 ? value : nil
  }

  /// A number that may have a decimal point: `12.50`.
  mutating func decimal() -> Double? {
    guard let whole = number() else { return nil }
    guard position < bytes.count, bytes[position] == 0x2E else { return Double(whole) }
    position += 1
    var fraction = 0.0
    var scale = 0.1
    while position < bytes.count, (0x30...0x39).contains(bytes[position]) {
      fraction += Double(bytes[position] - 0x30) * scale
      scale /= 10
      position += 1
    }
    return Double(whole) + fraction
  }

  /// Skips this text if it comes next.
  mutating func take(_ text: StaticString) -> Bool {
    let count = text.utf8CodeUnitCount
    guard position + count <= bytes.count else { return false }
    for offset in 0..<count where bytes[position + offset] != text.utf8Start[offset] { return false }
    position += count
    return true
  }

  mutating func nextLine() {
    while position < bytes.count, bytes[position] != 0x0A { position += 1 }
    position += 1
  }

  /// The next word of this line.
  mutating func word() -> String? {
    skipBlanks()
    let start = position
    while position < bytes.count, bytes[position] > 0x20 { position += 1 }
    return position > start ? String(decoding: bytes[start..<position], as: UTF8.self) : nil
  }

  mutating func skipWord() {
    skipBlanks()
    skipRestOfWord()
  }

  /// Skips to the next blank; does nothing at a blank.
  mutating func skipRestOfWord() {
    while position < bytes.count, bytes[position] > 0x20 { position += 1 }
  }
}

/// The whole of a small file as text without its last newline; for files that are read rarely.
func smallText(_ path: String) throws(SourceError) -> String {
  var file = ProcFile(path)
  var buffer = [UInt8](repeating: 0, count: 4_096)
  let count = try file.read(into: &buffer)
  var text = Substring(String(decoding: buffer[..<count], as: UTF8.self))
  while text.last?.isWhitespace ?? false { text.removeLast() }
  return String(text)
}

/// The names in a directory, with numbers sorted by value (`cpu2` before `cpu10`).
func entries(_ path: String) -> [String] {
  guard let directory = opendir(path) else { return [] }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
      String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names.sorted { ($0.utf8.count, $0) < ($1.utf8.count, $1) }
}
