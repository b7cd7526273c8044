// HeaderFields.swift: the fields of one message, in order, in one allocation. Names are kept in
// lower case; values are kept as bytes, because RFC 9110 allows bytes that are not UTF-8.

/// Header fields in the order received. Names are compared case-insensitively.
public struct HeaderFields: Sendable, Equatable {
  struct Entry: Sendable, Equatable {
    var nameStart: UInt32
    var valueStart: UInt32
    var valueEnd: UInt32
  }

  var bytes: [UInt8] = []
  var entries: [Entry] = []

  public init() {}

  public var count: Int { entries.count }
  public var isEmpty: Bool { entries.isEmpty }

  /// Appends a field whose name is a token already in lower case, and whose value is trimmed.
  mutating func append(name: some Collection<UInt8>, value: some Collection<UInt8>) {
    let nameStart = UInt32(clamping: bytes.count)
    bytes.append(contentsOf: name)
    let valueStart = UInt32(clamping: bytes.count)
    bytes.append(contentsOf: value)
    entries.append(
      Entry(nameStart: nameStart, valueStart: valueStart, valueEnd: UInt32(clamping: bytes.count)))
  }

  /// The field at `index`, which must be in `0..<count`. A value that is not UTF-8 is read as
  /// Latin-1.
  public subscript(index: Int) -> (name: String, value: String) {
    let entry = entries[index]
    let name = bytes[Int(entry.nameStart)..<Int(entry.valueStart)]
    return (String(decoding: name, as: UTF8.self), text(valueBytes(entry)))
  }

  /// The value of the first field of that name, or nil. A value that is not UTF-8 is read as
  /// Latin-1.
  public func first(_ name: String) -> String? {
    for entry in entries where matches(entry, name) { return text(valueBytes(entry)) }
    return nil
  }

  /// The bytes of the first field of that name.
  public func firstBytes(_ name: String) -> [UInt8]? {
    for entry in entries where matches(entry, name) { return Array(valueBytes(entry)) }
    return nil
  }

  /// The values of all fields of that name, in order.
  public func all(_ name: String) -> [String] {
    entries.filter { matches($0, name) }.map { text(valueBytes($0)) }
  }

  /// How many fields have that name.
  public func count(of name: String) -> Int {
    entries.reduce(0) { $0 + (matches($1, name) ? 1 : 0) }
  }

  /// Whether a comma-separated list field holds `token`, compared without regard to ASCII case.
  public func has(token: String, in name: String) -> Bool {
    let wanted = Array(token.utf8)
    for entry in entries where matches(entry, name) {
      for element in valueBytes(entry).split(separator: UInt8(ascii: ","))
      where equalIgnoringCase(trimmed(element), wanted) {
        return true
      }
    }
    return false
  }

  func valueBytes(_ entry: Entry) -> ArraySlice<UInt8> {
    bytes[Int(entry.valueStart)..<Int(entry.valueEnd)]
  }

  func matches(_ entry: Entry, _ name: String) -> Bool {
    equalIgnoringCase(bytes[Int(entry.nameStart)..<Int(entry.valueStart)], name.utf8)
  }

  private func text(_ slice: ArraySlice<UInt8>) -> String {
    if let valid = String(validating: slice, as: UTF8.self) { return valid }
    return String(String.UnicodeScalarView(slice.map { Unicode.Scalar($0) }))
  }
}

/// Whether two ASCII strings are equal, ignoring case.
func equalIgnoringCase(_ one: some Collection<UInt8>, _ other: some Collection<UInt8>) -> Bool {
  guard one.count == other.count else { return false }
  return zip(one, other).allSatisfy { lowered($0) == lowered($1) }
}

func lowered(_ byte: UInt8) -> UInt8 {
  byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte
}

/// The slice without spaces and tabs at its ends (RFC 9110's OWS).
func trimmed(_ slice: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
  var rest = slice
  while let first = rest.first, first == 0x20 || first == 0x09 { rest = rest.dropFirst() }
  while let last = rest.last, last == 0x20 || last == 0x09 { rest = rest.dropLast() }
  return rest
}
