// GGUFMetadata.swift: the key-value pairs of a file and typed access to them. A missing key is nil,
// since most have defaults; a key of the wrong type is an error that names it.

/// The metadata of a GGUF file, in file order.
public struct GGUFMetadata: Sendable {
  let file: String
  public private(set) var keys: [String] = []
  private var values: [String: GGUFValue] = [:]

  init(file: String) {
    self.file = file
  }

  public subscript(key: String) -> GGUFValue? { values[key] }

  /// Returns false, and changes nothing, if the key already exists.
  mutating func insert(_ value: GGUFValue, for key: String) -> Bool {
    guard values.updateValue(value, forKey: key) == nil else { return false }
    keys.append(key)
    return true
  }

  public func string(_ key: String) throws(GGUFError) -> String? {
    guard let value = values[key] else { return nil }
    guard case .string(let string) = value else { throw wrongType(key, value, wanted: "a string") }
    return string.text
  }

  /// A boolean, or an integer that is 0 or 1, as some converters write it.
  public func bool(_ key: String) throws(GGUFError) -> Bool? {
    guard let value = values[key] else { return nil }
    if case .bool(let flag) = value { return flag }
    switch value.integer {
    case 0: return false
    case 1: return true
    default: throw wrongType(key, value, wanted: "a boolean")
    }
  }

  /// An integer of any stored width, within `range`.
  public func integer(_ key: String, in range: ClosedRange<Int>) throws(GGUFError) -> Int? {
    guard let value = values[key] else { return nil }
    guard let integer = value.integer else {
      if case .uint64(let large) = value {
        throw outOfRange(key, "\(large)", range)
      }
      throw wrongType(key, value, wanted: "an integer")
    }
    guard range.contains(integer) else { throw outOfRange(key, "\(integer)", range) }
    return integer
  }

  /// A finite float32 or float64, or an integer of any stored width.
  public func double(_ key: String) throws(GGUFError) -> Double? {
    guard let value = values[key] else { return nil }
    let number: Double
    switch value {
    case .float32(let stored): number = Double(stored)
    case .float64(let stored): number = stored
    default:
      guard let integer = value.integer else {
        throw wrongType(key, value, wanted: "a floating-point number")
      }
      number = Double(integer)
    }
    guard number.isFinite else {
      throw GGUFError(
        file: file, problem: .valueOutOfRange(key: key, found: "\(number)", wanted: "a finite number"))
    }
    return number
  }

  /// An array of any element type.
  public func array(_ key: String) throws(GGUFError) -> GGUFArray? {
    guard let value = values[key] else { return nil }
    guard case .array(let array) = value else { throw wrongType(key, value, wanted: "an array") }
    return array
  }

  /// An array of one element type.
  public func array(_ key: String, of type: GGUFValueType) throws(GGUFError) -> GGUFArray? {
    guard let array = try array(key) else { return nil }
    guard array.elementType == type else {
      throw GGUFError(
        file: file,
        problem: .wrongValueType(
          key: key, found: "an array of \(array.elementType.name)", wanted: "an array of \(type.name)"))
    }
    return array
  }

  private func wrongType(_ key: String, _ value: GGUFValue, wanted: String) -> GGUFError {
    GGUFError(
      file: file, problem: .wrongValueType(key: key, found: "of type \(value.type.name)", wanted: wanted))
  }

  private func outOfRange(_ key: String, _ found: String, _ range: ClosedRange<Int>) -> GGUFError {
    GGUFError(
      file: file,
      problem: .valueOutOfRange(
        key: key, found: found, wanted: "\(range.lowerBound) to \(range.upperBound)"))
  }
}
