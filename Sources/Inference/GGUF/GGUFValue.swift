// GGUFValue.swift: metadata values. Strings and arrays are views over the file, converted to Swift
// values on demand, so that a vocabulary of 150,000 tokens costs nothing until it is read.

/// The type number of a metadata value. Source: `gguf_type` in ggml's gguf.h.
public enum GGUFValueType: UInt32, Sendable, Hashable, CaseIterable {
  case uint8 = 0
  case int8 = 1
  case uint16 = 2
  case int16 = 3
  case uint32 = 4
  case int32 = 5
  case float32 = 6
  case bool = 7
  case string = 8
  case array = 9
  case uint64 = 10
  case int64 = 11
  case float64 = 12

  public var name: String { "\(self)" }

  /// Bytes of one value; nil for strings and arrays, whose length varies.
  public var byteCount: Int? {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64: 8
    case .string, .array: nil
    }
  }
}

/// One metadata value.
public enum GGUFValue: Sendable {
  case uint8(UInt8)
  case int8(Int8)
  case uint16(UInt16)
  case int16(Int16)
  case uint32(UInt32)
  case int32(Int32)
  case float32(Float)
  case bool(Bool)
  case string(GGUFString)
  case array(GGUFArray)
  case uint64(UInt64)
  case int64(Int64)
  case float64(Double)

  public var type: GGUFValueType {
    switch self {
    case .uint8: .uint8
    case .int8: .int8
    case .uint16: .uint16
    case .int16: .int16
    case .uint32: .uint32
    case .int32: .int32
    case .float32: .float32
    case .bool: .bool
    case .string: .string
    case .array: .array
    case .uint64: .uint64
    case .int64: .int64
    case .float64: .float64
    }
  }

  /// The value of any integer type, if it fits `Int`; nil for other types and for larger values.
  public var integer: Int? {
    switch self {
    case .uint8(let value): Int(value)
    case .int8(let value): Int(value)
    case .uint16(let value): Int(value)
    case .int16(let value): Int(value)
    case .uint32(let value): Int(value)
    case .int32(let value): Int(value)
    case .uint64(let value): Int(exactly: value)
    case .int64(let value): Int(exactly: value)
    case .float32, .bool, .string, .array, .float64: nil
    }
  }

  /// True for -1 and for the largest value of an unsigned type, which is how converters write
  /// "none".
  public var isAllOnes: Bool {
    switch self {
    case .uint8(let value): value == .max
    case .int8(let value): value == -1
    case .uint16(let value): value == .max
    case .int16(let value): value == -1
    case .uint32(let value): value == .max
    case .int32(let value): value == -1
    case .uint64(let value): value == .max
    case .int64(let value): value == -1
    case .float32, .bool, .string, .array, .float64: false
    }
  }
}

/// A string of the file, checked to be UTF-8 when the file was opened. A view: `text` makes the
/// copy.
public struct GGUFString: Sendable {
  let mapping: GGUFMapping
  let range: Range<Int>

  public var utf8Count: Int { range.count }
  public var text: String {
    String(decoding: mapping.bytes(at: range.lowerBound, count: range.count), as: UTF8.self)
  }
}

/// An array of the file: of numbers, booleans or strings, never of arrays. A view over the bytes,
/// which keeps the mapping alive. Its extent (for strings: the extent of each) was checked when the
/// file was opened; its strings were not checked to be UTF-8.
public struct GGUFArray: Sendable {
  public let elementType: GGUFValueType
  public let count: Int
  let mapping: GGUFMapping
  let range: Range<Int>

  /// Calls `body` with the index and bytes of each string; the bytes are valid during the call.
  /// Does nothing if the elements are not strings.
  public func forEachString(_ body: (Int, UnsafeRawBufferPointer) -> Void) {
    guard elementType == .string else { return }
    var offset = range.lowerBound
    for index in 0..<count {
      let length = Int(mapping.bytes(at: offset, count: 8).loadUnaligned(as: UInt64.self))
      offset += 8
      body(index, mapping.bytes(at: offset, count: length))
      offset += length
    }
  }

  /// The strings, with invalid bytes replaced by U+FFFD; nil if the elements are not strings.
  public var strings: [String]? {
    guard elementType == .string else { return nil }
    var result: [String] = []
    result.reserveCapacity(count)
    forEachString { _, bytes in result.append(String(decoding: bytes, as: UTF8.self)) }
    return result
  }

  /// The elements of an integer or boolean array if all fit `Int`; nil otherwise.
  public var integers: [Int]? {
    func load<T: FixedWidthInteger & BitwiseCopyable>(_: T.Type) -> [Int]? {
      var result: [Int] = []
      result.reserveCapacity(count)
      let bytes = mapping.bytes(at: range.lowerBound, count: range.count)
      for index in 0..<count {
        let stored = bytes.loadUnaligned(fromByteOffset: index * MemoryLayout<T>.size, as: T.self)
        guard let value = Int(exactly: stored) else { return nil }
        result.append(value)
      }
      return result
    }
    return switch elementType {
    case .uint8, .bool: load(UInt8.self)
    case .int8: load(Int8.self)
    case .uint16: load(UInt16.self)
    case .int16: load(Int16.self)
    case .uint32: load(UInt32.self)
    case .int32: load(Int32.self)
    case .uint64: load(UInt64.self)
    case .int64: load(Int64.self)
    case .float32, .float64, .string, .array: nil
    }
  }

  /// The elements of a float32 array; nil for other types.
  public var floats: [Float]? {
    guard elementType == .float32 else { return nil }
    let bytes = mapping.bytes(at: range.lowerBound, count: range.count)
    return (0..<count).map { bytes.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
  }
}
