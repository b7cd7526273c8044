// StopMatcher.swift: finds stop strings in streamed text, across token borders. Works on UTF-8
// bytes, so that no Unicode equivalence can make two different texts match. Start at append(_:).

/// Finds the first stop string in a stream of text and withholds what might be the beginning of
/// one.
///
/// The stream ends at the first byte at which some stop string is complete; if several end there,
/// the longest wins. The result is therefore the same however the text was split into pieces. The
/// stop string itself is never output.
public struct StopMatcher: Sendable {
  private let stops: [[UInt8]]
  private var held: [UInt8] = []
  /// The stop string that ended the stream.
  public private(set) var matched: String?

  public static let maximumStops = 16
  public static let maximumStopBytes = 1_024

  /// Finds nothing.
  public static let none = StopMatcher()

  private init() { stops = [] }

  /// Refuses empty stop strings, more than 16 of them, and any of more than 1,024 bytes.
  public init(_ stops: [String]) throws(SamplingError) {
    guard stops.count <= StopMatcher.maximumStops else {
      throw SamplingError(
        field: "stop", found: "\(stops.count) strings", wanted: "at most \(StopMatcher.maximumStops)")
    }
    for stop in stops {
      guard !stop.isEmpty, stop.utf8.count <= StopMatcher.maximumStopBytes else {
        throw SamplingError(
          field: "stop", found: "a string of \(stop.utf8.count) bytes",
          wanted: "1 to \(StopMatcher.maximumStopBytes) bytes")
      }
    }
    // Longest first: the first one that matches at a byte is the one that began earliest.
    self.stops = stops.map { Array($0.utf8) }.sorted { $0.count > $1.count }
  }

  /// Takes the next piece of text and returns the text that can no longer belong to a stop string;
  /// after a match, nothing.
  public mutating func append(_ text: String) -> String {
    guard matched == nil else { return "" }
    if stops.isEmpty { return text }
    for byte in text.utf8 {
      held.append(byte)
      for stop in stops where held.count >= stop.count && held.suffix(stop.count).elementsEqual(stop) {
        matched = String(decoding: stop, as: UTF8.self)
        let out = String(decoding: held.dropLast(stop.count), as: UTF8.self)
        held.removeAll()
        return out
      }
    }
    let keep = heldBack()
    let out = String(decoding: held.dropLast(keep), as: UTF8.self)
    held.removeFirst(held.count - keep)
    return out
  }

  /// The text still withheld, when the stream ends without a stop string.
  public mutating func finish() -> String {
    defer { held.removeAll() }
    return matched == nil ? String(decoding: held, as: UTF8.self) : ""
  }

  /// How many of the last bytes form the beginning of some stop string.
  private func heldBack() -> Int {
    var longest = 0
    for stop in stops {
      var length = min(stop.count - 1, held.count)
      while length > longest {
        if held.suffix(length).elementsEqual(stop.prefix(length)) {
          longest = length
          break
        }
        length -= 1
      }
    }
    return longest
  }
}
