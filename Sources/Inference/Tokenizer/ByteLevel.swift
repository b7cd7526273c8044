// ByteLevel.swift: the alphabet of byte-level vocabularies, in which each byte is written as one
// printable character ("Ġ" is a space). Source: bytes_to_unicode in GPT-2's encoder.py.

enum ByteLevel {
  /// Bytes that are written as themselves: printable, and neither space nor soft hyphen.
  private static func isPlain(_ byte: UInt32) -> Bool {
    (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
  }

  /// The bytes written as U+0100, U+0101 ...
  private static let shifted: [UInt8] = (0..<256).filter { !isPlain($0) }.map { UInt8($0) }

  /// Appends the bytes that `text` (UTF-8) stands for. If it holds a character outside the
  /// alphabet, appends nothing and returns false.
  static func decode(_ text: UnsafeRawBufferPointer, into output: inout [UInt8]) -> Bool {
    let start = output.count
    var index = 0
    while index < text.count {
      let byte = text[index]
      if byte > 0x20 && byte < 0x7F {
        output.append(byte)
        index += 1
      } else if byte >= 0xC2, byte <= 0xC5, index + 1 < text.count, text[index + 1] & 0xC0 == 0x80 {
        let scalar = UInt32(byte & 0x1F) << 6 | UInt32(text[index + 1] & 0x3F)
        if scalar < 0x100, isPlain(scalar) {
          output.append(UInt8(scalar))
        } else if scalar >= 0x100, Int(scalar) - 0x100 < shifted.count {
          output.append(shifted[Int(scalar) - 0x100])
        } else {
          output.removeSubrange(start...)
          return false
        }
        index += 2
      } else {
        output.removeSubrange(start...)
        return false
      }
    }
    return true
  }
}
