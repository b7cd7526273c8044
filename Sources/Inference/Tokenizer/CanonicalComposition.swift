// CanonicalComposition.swift: Unicode's Normalization Form C, to which Qwen's tokenizers convert
// text first. Not Foundation's, whose Hangul is wrong on Linux (U+1113 U+1161 becomes U+D7A4) and
// whose tables change with the system, while the ids of a text must not change. The mappings are in
// CanonicalMappings.swift. Start at compose(_:into:). Source: Unicode Standard Annex #15; Hangul by
// chapter 3.12 of the standard. Checked against Python's unicodedata and Hugging Face's tokenizers.

/// Normalization Form C.
package enum CanonicalComposition {
  /// Combining marks newer than this Unicode version (2016) are not reordered, as in Hugging Face's
  /// tokenizers, whose tables have that version: models were trained on such ids.
  private static let lastAge: Unicode.Version = (major: 9, minor: 0)

  private static let hangulFirst: UInt32 = 0xAC00
  private static let hangulCount: UInt32 = 11_172
  private static let leading: ClosedRange<UInt32> = 0x1100...0x1112
  private static let vowels: ClosedRange<UInt32> = 0x1161...0x1175
  private static let trailing: ClosedRange<UInt32> = 0x11A8...0x11C2

  private struct Mark {
    let scalar: UInt32
    let combiningClass: UInt8
  }

  /// Appends `text`, which must be valid UTF-8 as in Swift strings, in Normalization Form C. Each
  /// run of combining marks is sorted, so the time is n log n for any text.
  static func compose(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) {
    // Characters below U+0300 never change, and their lead bytes are below 0xCC.
    guard text.contains(where: { $0 >= 0xCC }) else {
      output.append(contentsOf: text)
      return
    }
    var run: [Mark] = []
    for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
      // Such a character never composes with what precedes it.
      if scalar.value < 0x300 { flush(&run, into: &output) }
      decompose(scalar.value, into: &run)
    }
    flush(&run, into: &output)
  }

  /// A text in Normalization Form C, for tests and tools.
  package static func composed(_ text: String) -> String {
    var text = text
    var output: [UInt8] = []
    text.withUTF8 { compose($0, into: &output) }
    return String(decoding: output, as: UTF8.self)
  }

  private static func decompose(_ scalar: UInt32, into run: inout [Mark]) {
    if scalar >= hangulFirst, scalar - hangulFirst < hangulCount {
      let index = scalar - hangulFirst
      let vowelAndTrailing = index % (21 * 28)
      run.append(Mark(scalar: leading.lowerBound + index / (21 * 28), combiningClass: 0))
      run.append(Mark(scalar: vowels.lowerBound + vowelAndTrailing / 28, combiningClass: 0))
      if vowelAndTrailing % 28 > 0 {
        run.append(Mark(scalar: trailing.lowerBound - 1 + vowelAndTrailing % 28, combiningClass: 0))
      }
    } else if scalar >= 0xC0, let mapping = CanonicalMappings.shared.decompositions[scalar] {
      decompose(mapping.first, into: &run)
      if let second = mapping.second { decompose(second, into: &run) }
    } else {
      run.append(Mark(scalar: scalar, combiningClass: combiningClass(of: scalar)))
    }
  }

  private static func combiningClass(of value: UInt32) -> UInt8 {
    guard value >= 0x300, let scalar = Unicode.Scalar(value) else { return 0 }
    let properties = scalar.properties
    let found = properties.canonicalCombiningClass.rawValue
    guard found != 0, let age = properties.age, age.major <= lastAge.major else { return 0 }
    return found
  }

  private static func flush(_ run: inout [Mark], into output: inout [UInt8]) {
    guard !run.isEmpty else { return }
    order(&run)
    var composed: [UInt32] = []
    composed.reserveCapacity(run.count)
    var starter: Int?
    var lastClass: UInt8 = 0
    for mark in run {
      // Blocked by a character in between, unless that has a lower class; the starter itself blocks
      // nothing.
      if let starter, lastClass < mark.combiningClass || starter == composed.count - 1,
        let joined = join(composed[starter], mark.scalar)
      {
        composed[starter] = joined
        continue
      }
      composed.append(mark.scalar)
      lastClass = mark.combiningClass
      if mark.combiningClass == 0 { starter = composed.count - 1 }
    }
    for value in composed {
      if let scalar = Unicode.Scalar(value) { output.append(contentsOf: UTF8.encode(scalar) ?? .init()) }
    }
    run.removeAll(keepingCapacity: true)
  }

  /// Sorts each run of marks by class; the sort is stable.
  private static func order(_ run: inout [Mark]) {
    var start = 0
    while start < run.count {
      guard run[start].combiningClass != 0 else {
        start += 1
        continue
      }
      var end = start + 1
      var isSorted = true
      while end < run.count, run[end].combiningClass != 0 {
        if run[end].combiningClass < run[end - 1].combiningClass { isSorted = false }
        end += 1
      }
      if !isSorted {
        let sorted = run[start..<end].enumerated().sorted {
          ($0.element.combiningClass, $0.offset) < ($1.element.combiningClass, $1.offset)
        }
        run.replaceSubrange(start..<end, with: sorted.map(\.element))
      }
      start = end
    }
  }

  /// The one character that two compose to.
  private static func join(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if leading.contains(first) {
      guard vowels.contains(second) else { return nil }
      return hangulFirst
        + ((first - leading.lowerBound) * 21 + (second - vowels.lowerBound)) * 28
    }
    if first >= hangulFirst, first - hangulFirst < hangulCount {
      guard (first - hangulFirst) % 28 == 0, trailing.contains(second) else { return nil }
      return first + (second - (trailing.lowerBound - 1))
    }
    return CanonicalMappings.shared.compositions[UInt64(first) << 32 | UInt64(second)]
  }
}
