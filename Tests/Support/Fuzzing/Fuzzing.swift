// Fuzzing.swift: a seeded generator, mutations of bytes and text, and the loop that runs a target.
// A target reports a finding by stopping the process (a trap) or by returning a sentence; either
// way the seed printed with the run's number reproduces it. To add a target, see FuzzTargets.swift.

import Foundation

/// SplitMix64 (Steele et al. 2014): small, fast, and the same everywhere.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = state
    mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
    return mixed ^ mixed >> 31
  }

  /// 0 up to `bound`, exclusive; 0 if the bound is 0.
  package mutating func below(_ bound: Int) -> Int {
    bound > 0 ? Int(next() % UInt64(bound)) : 0
  }

  /// True once in `n` times.
  package mutating func oneIn(_ n: Int) -> Bool { below(n) == 0 }
}

/// One thing to fuzz.
package struct FuzzTarget: Sendable {
  package let name: String
  /// Runs one case made from the generator. Returns what is wrong, or nil. `corpus` is what `prepare` made.
  package let run: @Sendable (_ corpus: [[UInt8]], _ generator: inout SeededGenerator) -> String?
  /// Makes the seeds that cases are mutated from, once.
  package let prepare: @Sendable () -> [[UInt8]]

  package init(
    name: String, prepare: @escaping @Sendable () -> [[UInt8]] = { [] },
    run: @escaping @Sendable (_ corpus: [[UInt8]], _ generator: inout SeededGenerator) -> String?
  ) {
    self.name = name
    self.prepare = prepare
    self.run = run
  }
}

package struct FuzzReport: Sendable {
  package let runs: Int
  package let seed: UInt64
  package let seconds: Double
  /// The first finding: the run's number and what is wrong.
  package let finding: String?
}

extension FuzzTarget {
  /// Runs cases 0 to `runs`; case i depends on the seed and i alone, so `first` reproduces one quickly.
  package func fuzz(runs: Int, seed: UInt64, first: Int = 0) -> FuzzReport {
    let corpus = prepare()
    let clock = ContinuousClock()
    let start = clock.now
    var finding: String?
    var done = 0
    for index in first..<(first + runs) {
      var generator = SeededGenerator(seed: seed &+ UInt64(index) &* 0xD134_2543_DE82_EF95)
      done += 1
      if let wrong = run(corpus, &generator) {
        finding = "\(name): run \(index) of seed \(seed): \(wrong)"
        break
      }
    }
    let elapsed = start.duration(to: clock.now) / .seconds(1)
    return FuzzReport(runs: done, seed: seed, seconds: elapsed, finding: finding)
  }
}

/// Mutations that keep most of an input as it is.
package enum Mutation {
  static let interesting: [UInt64] = [
    0, 1, 2, 7, 8, 31, 32, 33, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000,
    0xFFFF_FFFF, 0x1_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF,
    0xFFFF_FFFF_FFFF_FFE0,
  ]

  /// Applies one to six of: flips, edge values over 1 to 8 bytes, truncation, removal, repetition, insertion, and
  /// splices from other inputs.
  package static func mutate(
    _ input: [UInt8], corpus: [[UInt8]], limit: Int = 1 << 16, _ generator: inout SeededGenerator
  ) -> [UInt8] {
    var bytes = input
    for _ in 0...generator.below(6) {
      if bytes.isEmpty { bytes = [0] }
      let position = generator.below(bytes.count)
      switch generator.below(10) {
      case 0: bytes[position] ^= 1 << UInt8(generator.below(8))
      case 1: bytes[position] = UInt8(truncatingIfNeeded: generator.next())
      case 2, 3, 4:
        let size = [1, 2, 4, 8, 8][generator.below(5)]
        var value = interesting[generator.below(interesting.count)]
        if generator.oneIn(4) { value = value &+ UInt64(generator.below(5)) &- 2 }
        for offset in 0..<size where position + offset < bytes.count {
          bytes[position + offset] = UInt8(truncatingIfNeeded: value >> UInt64(8 * offset))
        }
      case 5: bytes.removeLast(generator.oneIn(3) ? bytes.count - position : min(8, bytes.count))
      case 6: bytes.removeSubrange(position..<min(bytes.count, position + 1 + generator.below(24)))
      case 7:
        let end = min(bytes.count, position + 1 + generator.below(64))
        bytes.insert(contentsOf: bytes[position..<end], at: position)
      case 8:
        bytes.insert(
          contentsOf: (0...generator.below(8)).map { _ in UInt8(truncatingIfNeeded: generator.next()) },
          at: position)
      default:
        guard !corpus.isEmpty else { continue }
        let other = corpus[generator.below(corpus.count)]
        guard !other.isEmpty else { continue }
        let from = generator.below(other.count)
        let part = other[from..<min(other.count, from + 1 + generator.below(128))]
        bytes.replaceSubrange(position..<min(bytes.count, position + generator.below(64)), with: part)
      }
      if bytes.count > limit { bytes.removeLast(bytes.count - limit) }
    }
    return bytes
  }

  /// Text of up to about `length` characters: words, digits, spaces of all kinds, scripts, marks, emoji, and the
  /// given fragments.
  package static func text(
    length: Int, fragments: [String] = [], _ generator: inout SeededGenerator
  ) -> String {
    var text = String.UnicodeScalarView()
    for _ in 0..<generator.below(length + 1) {
      switch generator.below(fragments.isEmpty ? 11 : 12) {
      case 0, 1, 2: text.append(scalar(0x61, 26, &generator))
      case 3: text.append(scalar(0x20, 0x5F, &generator))
      case 4:
        text.append(
          contentsOf: [" ", "  ", "\n", "\r\n", "\t", "\u{A0}", "\u{3000}", "\u{2028}", "\n\n"][
            generator.below(9)
          ].unicodeScalars)
      case 5:
        text.append(
          contentsOf: ["'s", "'RE", " the", "ing", "'ll", "123", "''", "'", "don't"][
            generator.below(9)
          ].unicodeScalars)
      case 6: text.append(scalar(0x30, 10, &generator))
      case 7: text.append(scalar(0xA0, 0x560, &generator))
      case 8: text.append(scalar(0x900, 0x2700, &generator))
      case 9: text.append(scalar(0x4E00, 0x5000, &generator))
      case 10:
        text.append(
          scalar(generator.oneIn(2) ? 0x1F300 : 0, generator.oneIn(2) ? 0x700 : 0x11_0000, &generator))
      default: text.append(contentsOf: fragments[generator.below(fragments.count)].unicodeScalars)
      }
    }
    return String(text)
  }

  private static func scalar(_ start: UInt32, _ count: Int, _ generator: inout SeededGenerator)
    -> Unicode.Scalar
  {
    Unicode.Scalar(start + UInt32(generator.below(count))) ?? "\u{FFFD}"
  }
}
