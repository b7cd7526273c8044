// GGUFFile.swift: a GGUF file, versions 2 and 3, little-endian, memory-mapped and checked
// completely before any of it is used. Not here: what the tensors and keys mean to a model
// (Program/). Start at init(path:).
//
// Layout, all numbers little-endian:
//   "GGUF", version u32, tensor count u64, key count u64
//   key count times: key string, value type u32, value
//   tensor count times: name string, dimension count u32, extents u64 (row length
//     first), type u32, offset u64
//   padding to `general.alignment` (32 where absent), then the data that offsets count from
// A string is a u64 length and its bytes; an array is an element type u32, a u64 count and the
// elements. Source: ggml's docs/gguf.md. Stricter than that source where files may lie: names are
// bounded, nothing overlaps, arrays of arrays (which no known model has) are refused.

/// One tensor of a file: the location and shape of its data.
public struct GGUFTensor: Sendable, Equatable {
  public let name: String
  public let type: GGUFTensorType
  /// Extents, the row length first (ggml's `ne`), 1 to 4 of them, each at least 1.
  public let dimensions: [Int]
  /// Offset of the first byte from the start of the file; from the start of the data it is a
  /// multiple of the file's alignment.
  public let byteOffset: Int
  /// Bytes of all rows, without padding.
  public let byteCount: Int

  /// Extents without trailing 1s, which mean nothing, but at least `count` of them; missing ones
  /// are 1.
  public func extents(atLeast count: Int) -> [Int] {
    var extents = dimensions
    while extents.count > count, extents.last == 1 { extents.removeLast() }
    while extents.count < count { extents.append(1) }
    return extents
  }

  /// Elements of one row.
  public var rowLength: Int { dimensions[0] }
  /// Bytes of one row; rows follow each other without gaps.
  public var rowByteCount: Int { rowLength / type.blockSize * type.blockByteCount }
  /// The number of rows: the product of the extents after the first.
  public var rowCount: Int { byteCount / rowByteCount }
}

/// A GGUF file: metadata and tensors, every name, length, offset and extent checked.
///
/// No allocation trusts a size that the file declares: lists grow as entries are actually read, and
/// at most 65,536 keys and 65,536 tensors are accepted. Big values stay in the mapping.
public final class GGUFFile: Sendable {
  /// The path as the caller gave it.
  public let path: String
  public let version: UInt32
  public let byteCount: Int
  public let alignment: Int
  public let metadata: GGUFMetadata
  /// In file order.
  public let tensors: [GGUFTensor]
  private let indices: [String: Int]
  private let mapping: GGUFMapping

  public static let maximumKeyCount = 65_536
  public static let maximumTensorCount = 65_536
  public static let maximumKeyByteCount = 1_024
  public static let maximumTensorNameByteCount = 64
  public static let maximumAlignment = 1 << 20

  /// Maps and checks a file.
  public convenience init(path: String) throws(GGUFError) {
    try self.init(mapping: GGUFMapping(path: path), path: path)
  }

  /// Checks a file that is in memory; the bytes are copied. `name` replaces the path in messages.
  public convenience init(bytes: [UInt8], name: String) throws(GGUFError) {
    try self.init(mapping: bytes.withUnsafeBytes { GGUFMapping(copying: $0) }, path: name)
  }

  private init(mapping: GGUFMapping, path: String) throws(GGUFError) {
    var cursor = GGUFCursor(mapping: mapping, file: path)
    let version = try Self.readMagicAndVersion(&cursor)
    // Each tensor takes at least 33 bytes and each key 14, so a lying count is refused before the
    // loop.
    let tensorCount = try Self.readCount(
      &cursor, item: "tensors", limit: Self.maximumTensorCount, smallest: 33)
    let keyCount = try Self.readCount(
      &cursor, item: "metadata keys", limit: Self.maximumKeyCount, smallest: 14)

    var metadata = GGUFMetadata(file: path)
    for index in 0..<keyCount {
      let key = try cursor.readName("metadata key \(index)", limit: Self.maximumKeyByteCount)
      let value = try Self.readValue(&cursor, key: key)
      guard metadata.insert(value, for: key) else { throw cursor.failure(.duplicateKey(key)) }
    }
    if let part = try Self.part(metadata) {
      throw cursor.failure(.partOfSplit(number: part.number, count: part.count))
    }
    let alignment = try Self.alignment(metadata, cursor)

    var entries: [TensorEntry] = []
    var indices: [String: Int] = [:]
    for index in 0..<tensorCount {
      let entry = try Self.readTensor(&cursor, index: index, alignment: alignment)
      guard indices.updateValue(index, forKey: entry.name) == nil else {
        throw cursor.failure(.duplicateTensor(entry.name))
      }
      entries.append(entry)
    }
    tensors = try Self.place(entries, dataFrom: cursor.position, alignment: alignment, cursor)
    self.path = path
    self.version = version
    self.byteCount = mapping.count
    self.alignment = alignment
    self.metadata = metadata
    self.indices = indices
    self.mapping = mapping
  }

  /// The tensor of that name.
  public func tensor(_ name: String) -> GGUFTensor? {
    indices[name].map { tensors[$0] }
  }

  /// The bytes of a tensor of this file, valid as long as the file object lives.
  public func bytes(of tensor: GGUFTensor) -> UnsafeRawBufferPointer {
    mapping.bytes(at: tensor.byteOffset, count: tensor.byteCount)
  }

  /// Any bytes of the file, valid as long as the file object lives.
  func bytes(at offset: Int, count: Int) -> UnsafeRawBufferPointer {
    mapping.bytes(at: offset, count: count)
  }

  /// Returns the whole pages of a range to the system.
  func dropPages(at offset: Int, count: Int) {
    mapping.dropPages(at: offset, count: count)
  }

  /// Returns the pages of one tensor to the system after its weights are repacked. They are read
  /// from the file again when touched.
  public func dropPages(of tensor: GGUFTensor) {
    mapping.dropPages(at: tensor.byteOffset, count: tensor.byteCount)
  }

  /// Returns all mapped pages to the system.
  public func dropPages() {
    mapping.dropPages(at: 0, count: mapping.count)
  }
}

// MARK: - Header

extension GGUFFile {
  private static func readMagicAndVersion(_ cursor: inout GGUFCursor) throws(GGUFError) -> UInt32 {
    guard cursor.remaining > 0 else { throw cursor.failure(.empty) }
    let start = cursor.mapping.bytes(at: 0, count: min(4, cursor.remaining))
    guard start.elementsEqual("GGUF".utf8) else {
      let hexadecimal = start.map { String($0, radix: 16) }.joined(separator: " ")
      throw cursor.failure(.notGGUF(magic: "bytes \(hexadecimal)"))
    }
    _ = try cursor.skip(4, "the magic")
    let version = try cursor.read(UInt32.self, "the version")
    if version == 2 || version == 3 { return version }
    throw cursor.failure(
      version.byteSwapped == 2 || version.byteSwapped == 3 ? .bigEndian : .unsupportedVersion(version))
  }

  private static func readCount(
    _ cursor: inout GGUFCursor, item: String, limit: Int, smallest: Int
  ) throws(GGUFError) -> Int {
    let found = try cursor.read(UInt64.self, "the count of \(item)")
    let possible = min(limit, cursor.remaining / smallest)
    guard let count = Int(exactly: found), count <= possible else {
      throw cursor.failure(.tooMany(item: item, found: found, limit: possible))
    }
    return count
  }

  private static func alignment(_ metadata: GGUFMetadata, _ cursor: GGUFCursor) throws(GGUFError) -> Int {
    guard let value = metadata["general.alignment"] else { return 32 }
    guard case .uint32(let stored) = value else {
      throw cursor.failure(.badAlignment("of type \(value.type.name)"))
    }
    guard stored >= 8, stored <= maximumAlignment, stored & (stored - 1) == 0 else {
      throw cursor.failure(.badAlignment("\(stored)"))
    }
    return Int(stored)
  }
}

// MARK: - Metadata

extension GGUFFile {
  /// Which part the file is, from 1, and of how many; nil if it is a whole model. Source:
  /// llama.cpp, tools/gguf-split: `split.no` counts from 0, `split.count` is 0 or missing in whole
  /// files.
  private static func part(_ metadata: GGUFMetadata) throws(GGUFError) -> (number: Int, count: Int)? {
    guard let count = try metadata.integer("split.count", in: 0...Int(Int32.max)), count > 1 else {
      return nil
    }
    let number = try metadata.integer("split.no", in: 0...Int(Int32.max)) ?? 0
    return (number + 1, count)
  }

  /// Whether the file is one part of several. A file that cannot be read counts as whole: opening
  /// it reports what is wrong.
  static func isPart(path: String) -> Bool {
    do throws(GGUFError) {
      var cursor = GGUFCursor(mapping: try GGUFMapping(path: path), file: path)
      _ = try readMagicAndVersion(&cursor)
      _ = try readCount(&cursor, item: "tensors", limit: maximumTensorCount, smallest: 33)
      let keyCount = try readCount(&cursor, item: "metadata keys", limit: maximumKeyCount, smallest: 14)
      var metadata = GGUFMetadata(file: path)
      for index in 0..<keyCount {
        let key = try cursor.readName("metadata key \(index)", limit: maximumKeyByteCount)
        let value = try readValue(&cursor, key: key)
        if key.hasPrefix("split.") { _ = metadata.insert(value, for: key) }
      }
      return try part(metadata) != nil
    } catch {
      return false
    }
  }

  private static func readValueType(_ cursor: inout GGUFCursor, key: String) throws(GGUFError)
    -> GGUFValueType
  {
    let raw = try cursor.read(UInt32.self, "the type of metadata key '\(key)'")
    guard let type = GGUFValueType(rawValue: raw) else {
      throw cursor.failure(.unknownValueType(key: key, type: raw))
    }
    return type
  }

  private static func readValue(_ cursor: inout GGUFCursor, key: String) throws(GGUFError) -> GGUFValue {
    let type = try readValueType(&cursor, key: key)
    func item() -> String { "the value of metadata key '\(key)'" }
    switch type {
    case .uint8: return .uint8(try cursor.read(UInt8.self, item()))
    case .int8: return .int8(try cursor.read(Int8.self, item()))
    case .uint16: return .uint16(try cursor.read(UInt16.self, item()))
    case .int16: return .int16(try cursor.read(Int16.self, item()))
    case .uint32: return .uint32(try cursor.read(UInt32.self, item()))
    case .int32: return .int32(try cursor.read(Int32.self, item()))
    case .float32: return .float32(try cursor.read(Float.self, item()))
    case .uint64: return .uint64(try cursor.read(UInt64.self, item()))
    case .int64: return .int64(try cursor.read(Int64.self, item()))
    case .float64: return .float64(try cursor.read(Double.self, item()))
    case .bool:
      let byte = try cursor.read(UInt8.self, item())
      guard byte <= 1 else { throw cursor.failure(.badBool(key: key, value: byte)) }
      return .bool(byte == 1)
    case .string:
      let range = try cursor.readString(item())
      let bytes = cursor.mapping.bytes(at: range.lowerBound, count: range.count)
      guard isValidUTF8(bytes) else { throw cursor.failure(.invalidUTF8(item: item())) }
      return .string(GGUFString(mapping: cursor.mapping, range: range))
    case .array:
      return .array(try readArray(&cursor, key: key))
    }
  }

  private static func readArray(_ cursor: inout GGUFCursor, key: String) throws(GGUFError) -> GGUFArray {
    let elementType = try readValueType(&cursor, key: key)
    func item() -> String { "the array of metadata key '\(key)'" }
    let declared = try cursor.read(UInt64.self, item())
    switch elementType {
    case .array:
      throw cursor.failure(.nestedArray(key: key))
    case .string:
      // Each string takes at least the 8 bytes of its length.
      guard let count = Int(exactly: declared), count <= cursor.remaining / 8 else {
        throw cursor.failure(
          .tooMany(item: "strings in \(item())", found: declared, limit: cursor.remaining / 8))
      }
      let start = cursor.position
      for _ in 0..<count { _ = try cursor.readString(item()) }
      return GGUFArray(
        elementType: elementType, count: count, mapping: cursor.mapping, range: start..<cursor.position)
    case .uint8, .int8, .uint16, .int16, .uint32, .int32, .float32, .bool, .uint64, .int64, .float64:
      let size = elementType.byteCount ?? 1
      guard let count = Int(exactly: declared), count <= cursor.remaining / size else {
        throw cursor.failure(
          .tooMany(item: "elements in \(item())", found: declared, limit: cursor.remaining / size))
      }
      let range = try cursor.skip(UInt64(count * size), item())
      if elementType == .bool,
        let wrong = cursor.mapping.bytes(at: range.lowerBound, count: range.count).first(where: { $0 > 1 })
      {
        throw cursor.failure(.badBool(key: key, value: wrong))
      }
      return GGUFArray(elementType: elementType, count: count, mapping: cursor.mapping, range: range)
    }
  }

  private static func isValidUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
    do {
      _ = try UTF8Span(validating: bytes.bindMemory(to: UInt8.self).span)
      return true
    } catch {
      return false
    }
  }
}

// MARK: - Tensors

extension GGUFFile {
  private struct TensorEntry {
    let name: String
    let type: GGUFTensorType
    let dimensions: [Int]
    let byteCount: Int
    let offset: UInt64
  }

  private static func readTensor(
    _ cursor: inout GGUFCursor, index: Int, alignment: Int
  ) throws(GGUFError) -> TensorEntry {
    let name = try cursor.readName("tensor \(index)", limit: maximumTensorNameByteCount)
    func item() -> String { "the entry of tensor '\(name)'" }
    let dimensionCount = try cursor.read(UInt32.self, item())
    guard dimensionCount >= 1, dimensionCount <= 4 else {
      throw cursor.failure(.badDimensionCount(tensor: name, found: dimensionCount))
    }
    var dimensions: [Int] = []
    for dimension in 0..<Int(dimensionCount) {
      let stored = try cursor.read(UInt64.self, item())
      guard let extent = Int(exactly: stored), extent > 0 else {
        throw cursor.failure(.badDimension(tensor: name, index: dimension, found: stored))
      }
      dimensions.append(extent)
    }
    let rawType = try cursor.read(UInt32.self, item())
    let offset = try cursor.read(UInt64.self, item())
    guard let type = GGUFTensorType(rawValue: rawType) else {
      throw cursor.failure(
        .unsupportedTensorType(tensor: name, found: GGUFTensorType.describe(rawType)))
    }
    guard dimensions[0] % type.blockSize == 0 else {
      throw cursor.failure(
        .partialBlock(tensor: name, rowLength: dimensions[0], type: type.name, blockSize: type.blockSize))
    }
    var byteCount = dimensions[0] / type.blockSize
    for factor in [type.blockByteCount] + dimensions.dropFirst() {
      let (product, overflow) = byteCount.multipliedReportingOverflow(by: factor)
      guard !overflow else { throw cursor.failure(.tensorTooLarge(tensor: name)) }
      byteCount = product
    }
    // The element count must fit too; this matters only for blocks with less than a byte per
    // element.
    var elementCount = 1
    for extent in dimensions {
      let (product, overflow) = elementCount.multipliedReportingOverflow(by: extent)
      guard !overflow else { throw cursor.failure(.tensorTooLarge(tensor: name)) }
      elementCount = product
    }
    guard offset % UInt64(alignment) == 0 else {
      throw cursor.failure(.misalignedTensor(tensor: name, offset: offset, alignment: alignment))
    }
    return TensorEntry(name: name, type: type, dimensions: dimensions, byteCount: byteCount, offset: offset)
  }

  /// Turns data offsets into file offsets, refusing tensors that leave the file or overlap.
  private static func place(
    _ entries: [TensorEntry], dataFrom headerEnd: Int, alignment: Int, _ cursor: GGUFCursor
  ) throws(GGUFError) -> [GGUFTensor] {
    // The header end is inside the file and the alignment at most 2^20, so this cannot overflow.
    let dataStart = (headerEnd + alignment - 1) / alignment * alignment
    let fileSize = cursor.mapping.count
    var tensors: [GGUFTensor] = []
    tensors.reserveCapacity(entries.count)
    for entry in entries {
      let (start, overflow) = entry.offset.addingReportingOverflow(UInt64(dataStart))
      let (end, endOverflow) = start.addingReportingOverflow(UInt64(entry.byteCount))
      guard !overflow, !endOverflow, let byteOffset = Int(exactly: start), end <= UInt64(fileSize) else {
        let shown = overflow || endOverflow ? "past 2^64" : "\(end)"
        throw cursor.failure(.tensorOutOfRange(tensor: entry.name, end: shown, fileSize: fileSize))
      }
      tensors.append(
        GGUFTensor(
          name: entry.name, type: entry.type, dimensions: entry.dimensions, byteOffset: byteOffset,
          byteCount: entry.byteCount))
    }
    let byOffset = tensors.indices.sorted { tensors[$0].byteOffset < tensors[$1].byteOffset }
    for (first, second) in zip(byOffset, byOffset.dropFirst())
    where tensors[first].byteOffset + tensors[first].byteCount > tensors[second].byteOffset {
      throw cursor.failure(
        .overlappingTensors(first: tensors[first].name, second: tensors[second].name))
    }
    return tensors
  }
}
