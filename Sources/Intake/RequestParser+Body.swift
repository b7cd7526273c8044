// RequestParser+Body.swift: the line before each chunk of a chunked body.

extension RequestParser {
  /// Parses the collected line as `size [extensions]` and counts both against their limits.
  /// Source: RFC 9112, 7.1 and 7.1.1; extensions are checked, bounded and ignored.
  mutating func takeChunkSize() throws(RequestRefusal) -> Int {
    var size = 0
    var digits = 0
    for byte in line {
      guard let value = hexValue(byte) else { break }
      digits += 1
      // Far above any limit, and far below overflow.
      guard size <= 1 << 48 else { throw .bodyTooLarge(limits.bodyBytes) }
      size = size << 4 | Int(value)
    }
    guard digits > 0 else { throw .chunk("a size that is no hexadecimal number") }
    chunkExtensionBytes += max(line.count - digits, digits - 16)
    guard chunkExtensionBytes <= limits.chunkExtensionBytes else {
      throw .chunkExtensionsTooLarge(limits.chunkExtensionBytes)
    }
    try checkExtensions(line[digits...])
    guard size <= limits.bodyBytes - bodyBytes else { throw .bodyTooLarge(limits.bodyBytes) }
    bodyBytes += size
    return size
  }

  private func checkExtensions(_ bytes: ArraySlice<UInt8>) throws(RequestRefusal) {
    var rest = bytes
    while !rest.isEmpty {
      rest = skipSpace(rest)
      guard rest.first == UInt8(ascii: ";") else { throw .chunk("what follows a size is no extension") }
      rest = skipSpace(rest.dropFirst())
      let name = rest.prefix(while: ByteSet.token.contains)
      guard !name.isEmpty else { throw .chunk("an extension without a name") }
      rest = rest.dropFirst(name.count)
      let afterSpace = skipSpace(rest)
      guard afterSpace.first == UInt8(ascii: "=") else { continue }
      rest = skipSpace(afterSpace.dropFirst())
      if rest.first == UInt8(ascii: "\"") {
        rest = try skipQuoted(rest.dropFirst())
      } else {
        let value = rest.prefix(while: ByteSet.token.contains)
        guard !value.isEmpty else { throw .chunk("an extension without the value that '=' announces") }
        rest = rest.dropFirst(value.count)
      }
    }
  }

  private func skipSpace(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
    bytes.drop { $0 == 0x20 || $0 == 0x09 }
  }

  private func skipQuoted(_ bytes: ArraySlice<UInt8>) throws(RequestRefusal) -> ArraySlice<UInt8> {
    var rest = bytes
    while let byte = rest.popFirst() {
      if byte == UInt8(ascii: "\"") { return rest }
      if byte == UInt8(ascii: "\\"), rest.popFirst() == nil { break }
    }
    throw .chunk("an extension whose quotation mark is not closed")
  }
}
