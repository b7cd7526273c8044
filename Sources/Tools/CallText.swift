// CallText.swift: the part of an answer that is not decided yet, as bytes, with the element readers
// that calls are made of. A reader that needs more text says so, and goes on later where it was:
// each byte is looked at a bounded number of times.

/// A fixed text that formats mark things with.
package struct Marker: Sendable, Equatable, ExpressibleByStringLiteral {
  let bytes: [UInt8]

  package init(_ text: String) { bytes = Array(text.utf8) }
  package init(stringLiteral text: String) { self.init(text) }

  package var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// Whether something stands at a place of a text that may still grow.
enum Match: Equatable {
  case yes, no
  /// All that is there fits; the rest has not arrived.
  case more
}

struct CallText: Sendable {
  private(set) var bytes: [UInt8] = []
  /// All before this place is decided.
  private(set) var at = 0
  /// How far the element that begins at `at` has been searched.
  var searched = 0

  mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }

  var isAtEnd: Bool { at >= bytes.count }

  var next: UInt8? { at < bytes.count ? bytes[at] : nil }

  /// Decides the text up to `place`.
  mutating func advance(to place: Int) {
    at = min(max(place, at), bytes.count)
    searched = at
  }

  /// Undecides the text from `place` on.
  mutating func rewind(to place: Int) {
    at = max(0, min(place, bytes.count))
    searched = at
  }

  /// Forgets what lies before `at`, if that is most of the text. Returns by how much places moved.
  mutating func compact(from start: Int) -> Int {
    let cut = min(start, at)
    guard cut >= 4_096, cut * 2 >= bytes.count else { return 0 }
    bytes.removeFirst(cut)
    at -= cut
    searched -= cut
    return cut
  }

  func match(_ marker: Marker, at place: Int) -> Match {
    let wanted = marker.bytes
    let found = min(wanted.count, bytes.count - place)
    guard found >= 0 else { return .no }
    for index in 0..<found where bytes[place + index] != wanted[index] { return .no }
    return found == wanted.count ? .yes : .more
  }

  /// Advances over the marker if it is there.
  mutating func take(_ marker: Marker) -> Match {
    let match = match(marker, at: at)
    if match == .yes { advance(to: at + marker.bytes.count) }
    return match
  }

  mutating func skipSpace() {
    var place = at
    while place < bytes.count, isSpace(bytes[place]) { place += 1 }
    advance(to: place)
  }

  func text(_ range: Range<Int>) -> String {
    String(decoding: bytes[range.clamped(to: bytes.indices)], as: UTF8.self)
  }

  func bytes(_ range: Range<Int>) -> [UInt8] { Array(bytes[range.clamped(to: bytes.indices)]) }

  /// The last place at or before `place` where no character is cut.
  func boundary(_ place: Int) -> Int {
    var place = min(place, bytes.count)
    while place > at, place < bytes.count, bytes[place] & 0xC0 == 0x80 { place -= 1 }
    return place
  }
}

func isSpace(_ byte: UInt8) -> Bool {
  byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
}

/// Whether the byte may stand in a tool's name: formats end names with the others.
func isNameByte(_ byte: UInt8) -> Bool {
  switch byte {
  case 0...0x20, 0x7F: false
  case UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "["), UInt8(ascii: "]"), UInt8(ascii: "("),
    UInt8(ascii: ")"), UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: "\""), UInt8(ascii: "'"),
    UInt8(ascii: "`"), UInt8(ascii: ","), UInt8(ascii: "="), UInt8(ascii: "|"), UInt8(ascii: "\\"):
    false
  default: true
  }
}
