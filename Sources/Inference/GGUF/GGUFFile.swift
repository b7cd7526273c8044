// GGUFFile.swift: a GGUF file, versions 2 and 3, little-endian, memory-mapped and checked
// completely before any of it is used; or the several files that a model was split into, read as
// one. Not here: what the tensors and keys mean to a model (Program/). Start at init(path:).
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

import Foundation

/// One tensor of a file: the location and shape of its data.
public struct GGUFTensor: Sendable, Equatable {
  public let name: String
  public let type: GGUFTensorType
  /// Extents, the row length first (ggml's `ne`), 1 to 4 of them, each at least 1.
  public let dimensions: [Int]
  /// Offset of the first byte from the start of the file; from the start of the data it is a
  /// multiple of the file's alignment. In a model of several parts, the bytes of the parts before
  /// it count too.
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
  /// Bytes of the file, or of all parts.
  public let byteCount: Int
  public let alignment: Int
  /// Of several parts, the first one's.
  public let metadata: GGUFMetadata
  /// In file order.
  public let tensors: [GGUFTensor]
  /// The file itself, or the parts that the model was split into, in order.
  public let parts: [Part]
  private let indices: [String: Int]

  /// One of the files.
  public struct Part: Sendable {
    public let path: String
    /// Bytes of the parts before it.
    public let start: Int
    public var byteCount: Int { mapping.count }
    let mapping: GGUFMapping
  }

  public static let maximumKeyCount = 65_536
  /// Over all parts.
  public static let maximumTensorCount = 65_536
  public static let maximumKeyByteCount = 1_024
  public static let maximumTensorNameByteCount = 64
  public static let maximumAlignment = 1 << 20
  public static let maximumPartCount = 1_000

  /// Maps and checks a file. If it is one part of a split model, the others are found beside it by
  /// their names, and all are checked.
  public convenience init(path: String) throws(GGUFError) {
    let first = try Header(mapping: GGUFMapping(path: path), path: path)
    guard let split = first.split else {
      try self.init([first], path: path)
      return
    }
    guard let name = ModelName.splitPart(path), name.count == split.count, name.number == split.number else {
      throw GGUFError(file: path, problem: .unnamedPart(number: split.number, count: split.count))
    }
    var headers: [Header] = []
    for (index, other) in ModelName.parts(of: path).enumerated() {
      guard index + 1 != split.number else {
        headers.append(first)
        continue
      }
      do throws(GGUFError) {
        headers.append(try Header(mapping: GGUFMapping(path: other), path: other))
      } catch {
        guard case .system("open", ENOENT, _) = error.problem else { throw error }
        throw GGUFError(file: other, problem: .missingPart(number: index + 1, count: split.count))
      }
    }
    try self.init(headers, path: path)
  }

  /// Maps and checks a file, or the parts of a model in their order, under any names.
  convenience init(paths: [String]) throws(GGUFError) {
    var headers: [Header] = []
    for path in paths { headers.append(try Header(mapping: GGUFMapping(path: path), path: path)) }
    try self.init(headers, name: paths.first ?? "")
  }

  /// Checks a file that is in memory; the bytes are copied. `name` replaces the path in messages.
  public convenience init(bytes: [UInt8], name: String) throws(GGUFError) {
    try self.init(parts: [bytes], name: name)
  }

  /// Checks the parts of a model that are in memory.
  package convenience init(parts: [[UInt8]], name: String) throws(GGUFError) {
    var headers: [Header] = []
    for bytes in parts {
      headers.append(try Header(mapping: bytes.withUnsafeBytes { GGUFMapping(copying: $0) }, path: name))
    }
    try self.init(headers, name: name)
  }

  /// - headers: of all parts that there are
  private convenience init(_ headers: [Header], name: String) throws(GGUFError) {
    if let split = headers.first?.split, split.count != headers.count {
      throw GGUFError(file: name, problem: .partOfSplit(number: split.number, count: split.count))
    }
    try self.init(headers, path: name)
  }

  /// - headers: of all parts in order; not empty
  private init(_ headers: [Header], path: String) throws(GGUFError) {
    var parts: [Part] = []
    var tensors: [GGUFTensor] = []
    var indices: [String: Int] = [:]
    var start = 0
    for (index, header) in headers.enumerated() {
      try header.check(isPart: index + 1, of: headers)
      for tensor in header.tensors {
        guard indices.updateValue(tensors.count, forKey: tensor.name) == nil else {
          throw GGUFError(file: header.path, problem: .duplicateTensor(tensor.name))
        }
        tensors.append(tensor.moved(by: start))
      }
      parts.append(Part(path: header.path, start: start, mapping: header.mapping))
      // Sizes of files that exist are far from overflowing.
      start += header.mapping.count
    }
    guard tensors.count <= Self.maximumTensorCount else {
      throw GGUFError(
        file: path,
        problem: .tooMany(item: "tensors", found: UInt64(tensors.count), limit: Self.maximumTensorCount))
    }
    guard let first = headers.first else { throw GGUFError(file: path, problem: .empty) }
    if let wanted = first.split?.tensorCount, wanted != tensors.count {
      throw GGUFError(file: path, problem: .splitTensorCount(found: tensors.count, wanted: wanted))
    }
    self.path = path
    version = first.version
    alignment = first.alignment
    metadata = first.metadata
    byteCount = start
    self.tensors = tensors
    self.parts = parts
    self.indices = indices
  }

  /// The tensor of that name.
  public func tensor(_ name: String) -> GGUFTensor? {
    indices[name].map { tensors[$0] }
  }

  /// The bytes of a tensor of this file, valid as long as the file object lives.
  public func bytes(of tensor: GGUFTensor) -> UnsafeRawBufferPointer {
    bytes(at: tensor.byteOffset, count: tensor.byteCount)
  }

  /// Any bytes of one part, valid as long as the file object lives.
  func bytes(at offset: Int, count: Int) -> UnsafeRawBufferPointer {
    let part = part(at: offset)
    return part.mapping.bytes(at: offset - part.start, count: count)
  }

  /// The part that holds the byte at `offset`.
  private func part(at offset: Int) -> Part {
    var low = 0
    var high = parts.count - 1
    while low < high {
      let middle = (low + high + 1) / 2
      if parts[middle].start <= offset { low = middle } else { high = middle - 1 }
    }
    return parts[low]
  }

  /// Returns the whole pages of a range of one part to the system.
  func dropPages(at offset: Int, count: Int) {
    let part = part(at: offset)
    part.mapping.dropPages(at: offset - part.start, count: count)
  }

  /// Returns the pages of one tensor to the system after its weights are repacked. They are read
  /// from the file again when touched.
  public func dropPages(of tensor: GGUFTensor) {
    dropPages(at: tensor.byteOffset, count: tensor.byteCount)
  }

  /// Returns all mapped pages to the system.
  public func dropPages() {
    for part in parts { part.mapping.dropPages(at: 0, count: part.byteCount) }
  }
}

extension GGUFTensor {
  /// The tensor in a model of parts, `start` bytes of which stand before its own.
  fileprivate func moved(by start: Int) -> GGUFTensor {
    start == 0
      ? self
      : GGUFTensor(
        name: name, type: type, dimensions: dimensions, byteOffset: byteOffset + start, byteCount: byteCount)
  }
}

// MARK: - Parts

/// Which of how many parts a file is. Source: llama.cpp, tools/gguf-split: `split.no` counts from 0,
/// `split.count` is 0 or missing in whole files, `split.tensors.count` counts those of all parts.
private struct SplitNumbers {
  /// From 1.
  let number: Int
  let count: Int
  let tensorCount: Int?

  init?(_ metadata: GGUFMetadata) throws(GGUFError) {
    let limit = GGUFFile.maximumPartCount
    guard let count = try metadata.integer("split.count", in: 0...limit), count > 1 else { return nil }
    self.count = count
    number = (try metadata.integer("split.no", in: 0...(count - 1)) ?? 0) + 1
    tensorCount = try metadata.integer("split.tensors.count", in: 0...GGUFFile.maximumTensorCount)
  }
}

/// What one file says before its data.
private struct Header {
  let mapping: GGUFMapping
  let path: String
  let version: UInt32
  let metadata: GGUFMetadata
  let alignment: Int
  /// Their offsets count from the start of this file.
  let tensors: [GGUFTensor]
  let split: SplitNumbers?

  init(mapping: GGUFMapping, path: String) throws(GGUFError) {
    var cursor = GGUFCursor(mapping: mapping, file: path)
    version = try GGUFFile.readMagicAndVersion(&cursor)
    // Each tensor takes at least 33 bytes and each key 14, so a lying count is refused before the
    // loop.
    let tensorCount = try GGUFFile.readCount(
      &cursor, item: "tensors", limit: GGUFFile.maximumTensorCount, smallest: 33)
    let keyCount = try GGUFFile.readCount(
      &cursor, item: "metadata keys", limit: GGUFFile.maximumKeyCount, smallest: 14)

    var metadata = GGUFMetadata(file: path)
    for index in 0..<keyCount {
      let key = try cursor.readName("metadata key \(index)", limit: GGUFFile.maximumKeyByteCount)
      let value = try GGUFFile.readValue(&cursor, key: key)
      guard metadata.insert(value, for: key) else { throw cursor.failure(.duplicateKey(key)) }
    }
    split = try SplitNumbers(metadata)
    alignment = try GGUFFile.alignment(metadata, cursor)

    var entries: [GGUFFile.TensorEntry] = []
    var names: Set<String> = []
    for index in 0..<tensorCount {
      let entry = try GGUFFile.readTensor(&cursor, index: index, alignment: alignment)
      guard names.insert(entry.name).inserted else { throw cursor.failure(.duplicateTensor(entry.name)) }
      entries.append(entry)
    }
    tensors = try GGUFFile.place(entries, dataFrom: cursor.position, alignment: alignment, cursor)
    self.metadata = metadata
    self.mapping = mapping
    self.path = path
  }

  /// Refuses a file that is not the part that it stands for.
  func check(isPart number: Int, of headers: [Header]) throws(GGUFError) {
    guard headers.count > 1 else { return }
    func foreign(_ words: String) -> GGUFError {
      GGUFError(file: path, problem: .foreignPart(number: number, count: headers.count, found: words))
    }
    guard let split else { throw foreign("is a whole model") }
    guard split.number == number, split.count == headers.count else {
      throw foreign("is part \(split.number) of \(split.count)")
    }
    if let first = headers.first?.split?.tensorCount, let own = split.tensorCount, own != first {
      throw foreign("is of a model with \(own) tensors, the first part of one with \(first)")
    }
    for key in ["general.architecture", "general.name"] {
      if let own = try metadata.string(key), let first = try headers.first?.metadata.string(key), own != first
      {
        throw foreign("has \(key) '\(own)', the first part '\(first)'")
      }
    }
  }
}

// MARK: - Header

extension GGUFFile {
  fileprivate static func readMagicAndVersion(_ cursor: inout GGUFCursor) throws(GGUFError) -> UInt32 {
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

  fileprivate static func readCount(
    _ cursor: inout GGUFCursor, item: String, limit: Int, smallest: Int
  ) throws(GGUFError) -> Int {
    let found = try cursor.read(UInt64.self, "the count of \(item)")
    let possible = min(limit, cursor.remaining / smallest)
    guard let count = Int(exactly: found), count <= possible else {
      throw cursor.failure(.tooMany(item: item, found: found, limit: possible))
    }
    return count
  }

  fileprivate static func alignment(_ metadata: GGUFMetadata, _ cursor: GGUFCursor) throws(GGUFError) -> Int {
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
      return try SplitNumbers(metadata) != nil
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

  fileprivate static func readValue(_ cursor: inout GGUFCursor, key: String) throws(GGUFError) -> GGUFValue {
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
  fileprivate struct TensorEntry {
    let name: String
    let type: GGUFTensorType
    let dimensions: [Int]
    let byteCount: Int
    let offset: UInt64
  }

  fileprivate static func readTensor(
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
  fileprivate static func place(
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
