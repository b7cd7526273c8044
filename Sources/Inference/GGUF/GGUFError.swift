// GGUFError.swift: what can be wrong with a GGUF file, each with its message.

/// Why a GGUF file was refused. The description reads `model 'NAME': what was found, what was
/// wanted`; lower case, no full stop, for a line `hotpot: error: ...`.
public struct GGUFError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file's path as the caller gave it.
  public let file: String
  public let problem: Problem

  public init(file: String, problem: Problem) {
    self.file = file
    self.problem = problem
  }

  public enum Problem: Sendable, Equatable {
    /// A system call failed: its name and the message of its errno.
    case system(call: String, errno: Int32, message: String)
    case isDirectory
    case notARegularFile
    case empty
    /// One of several files that a model was split into.
    case partOfSplit(number: Int, count: Int)
    /// A part whose name does not lead to the others.
    case unnamedPart(number: Int, count: Int)
    /// The part of that number is not there.
    case missingPart(number: Int, count: Int)
    /// A file that stands for a part and is another.
    case foreignPart(number: Int, count: Int, found: String)
    /// All parts together have another number of tensors than the first one says.
    case splitTensorCount(found: Int, wanted: Int)
    case notGGUF(magic: String)
    case bigEndian
    case unsupportedVersion(UInt32)
    /// The file ends inside `item`, which starts at byte `offset`.
    case truncated(item: String, offset: Int, wanted: UInt64, available: Int)
    /// A count that is larger than in any real file, or than the rest of the file can hold.
    case tooMany(item: String, found: UInt64, limit: Int)
    case badName(item: String, reason: String)
    case duplicateKey(String)
    case duplicateTensor(String)
    case unknownValueType(key: String, type: UInt32)
    case nestedArray(key: String)
    case badBool(key: String, value: UInt8)
    case invalidUTF8(item: String)
    case badAlignment(String)
    case badDimensionCount(tensor: String, found: UInt32)
    case badDimension(tensor: String, index: Int, found: UInt64)
    case tensorTooLarge(tensor: String)
    case unsupportedTensorType(tensor: String, found: String)
    case partialBlock(tensor: String, rowLength: Int, type: String, blockSize: Int)
    case misalignedTensor(tensor: String, offset: UInt64, alignment: Int)
    case tensorOutOfRange(tensor: String, end: String, fileSize: Int)
    case overlappingTensors(first: String, second: String)
    case wrongValueType(key: String, found: String, wanted: String)
    case valueOutOfRange(key: String, found: String, wanted: String)
  }

  public var description: String { "model '\(file)': \(problem)" }

  /// What the user can do about it, if anything.
  public var hint: String? {
    switch problem {
    case .truncated, .tensorOutOfRange, .empty:
      "the download may be incomplete; fetch the file again"
    case .notGGUF:
      "hotpot reads models in the GGUF format (file names that end in .gguf)"
    case .bigEndian:
      "convert the model for little-endian machines"
    case .unsupportedVersion:
      "convert the model again with current tools"
    case .unsupportedTensorType:
      "the same model is often published in a supported type, such as Q4_K_M or Q8_0"
    case .partOfSplit, .unnamedPart:
      "give the parts their names again, NAME-00001-of-0000N.gguf and so on, in one folder"
    case .missingPart, .foreignPart, .splitTensorCount:
      "all parts of one model must be in one folder: fetch them again; 'hotpot models pull' fetches all of them"
    case .isDirectory:
      "name the .gguf file in it, or a model that 'hotpot models list' shows"
    case .tooMany, .badName, .duplicateKey, .duplicateTensor, .unknownValueType, .nestedArray, .badBool,
      .invalidUTF8, .badAlignment, .badDimensionCount, .badDimension, .tensorTooLarge, .partialBlock,
      .misalignedTensor, .overlappingTensors, .wrongValueType, .valueOutOfRange:
      "the file is damaged, or a faulty converter made it: fetch it again, or take another conversion of the model"
    case .system, .notARegularFile:
      nil
    }
  }
}

extension GGUFError.Problem: CustomStringConvertible {
  public var description: String {
    switch self {
    case .system(let call, _, let message):
      "\(call) failed: \(message)"
    case .isDirectory:
      "is a directory"
    case .notARegularFile:
      "not a regular file"
    case .empty:
      "the file is empty"
    case .partOfSplit(let number, let count):
      "is part \(number) of \(count) of a model that was split, and no model by itself"
    case .unnamedPart(let number, let count):
      "is part \(number) of \(count) of a model that was split, and its name does not end in \(ModelName.ending(ofPart: number, of: count)), so the other parts cannot be found"
    case .missingPart(let number, let count):
      "part \(number) of \(count) of the model is missing"
    case .foreignPart(let number, let count, let found):
      "stands for part \(number) of \(count) of the model, and \(found)"
    case .splitTensorCount(let found, let wanted):
      "the parts of the model have \(found) tensors, wanted \(wanted) (split.tensors.count)"
    case .notGGUF(let magic):
      "starts with \(magic), a GGUF file starts with 'GGUF'"
    case .bigEndian:
      "is a big-endian GGUF file, only little-endian ones are supported"
    case .unsupportedVersion(let version):
      "is GGUF version \(version), supported are 2 and 3"
    case .truncated(let item, let offset, let wanted, let available):
      "\(item) at byte \(offset) needs \(wanted) bytes, the file has \(available) left"
    case .tooMany(let item, let found, let limit):
      "\(found) \(item), at most \(limit) are possible here"
    case .badName(let item, let reason):
      "\(item) \(reason)"
    case .duplicateKey(let key):
      "metadata key '\(key)' appears twice"
    case .duplicateTensor(let tensor):
      "tensor '\(tensor)' appears twice"
    case .unknownValueType(let key, let type):
      "metadata key '\(key)' has value type \(type), known are 0 to 12"
    case .nestedArray(let key):
      "metadata key '\(key)' is an array of arrays, which is not supported"
    case .badBool(let key, let value):
      "metadata key '\(key)' has a boolean of value \(value), wanted 0 or 1"
    case .invalidUTF8(let item):
      "\(item) is not valid UTF-8"
    case .badAlignment(let found):
      "general.alignment is \(found), wanted a power of two from 8 to \(GGUFFile.maximumAlignment) as uint32"
    case .badDimensionCount(let tensor, let found):
      "tensor '\(tensor)' has \(found) dimensions, wanted 1 to 4"
    case .badDimension(let tensor, let index, let found):
      "tensor '\(tensor)' has extent \(found) in dimension \(index), wanted 1 to \(Int64.max)"
    case .tensorTooLarge(let tensor):
      "tensor '\(tensor)' has more bytes than 64 bits can count"
    case .unsupportedTensorType(let tensor, let found):
      "tensor '\(tensor)' is stored as \(found), supported are \(GGUFTensorType.supportedNames)"
    case .partialBlock(let tensor, let rowLength, let type, let blockSize):
      "tensor '\(tensor)' has rows of \(rowLength) elements, \(type) needs a multiple of \(blockSize)"
    case .misalignedTensor(let tensor, let offset, let alignment):
      "tensor '\(tensor)' starts at data offset \(offset), wanted a multiple of \(alignment)"
    case .tensorOutOfRange(let tensor, let end, let fileSize):
      "tensor '\(tensor)' ends at byte \(end), file has \(fileSize)"
    case .overlappingTensors(let first, let second):
      "tensors '\(first)' and '\(second)' overlap"
    case .wrongValueType(let key, let found, let wanted):
      "metadata key '\(key)' is \(found), wanted \(wanted)"
    case .valueOutOfRange(let key, let found, let wanted):
      "metadata key '\(key)' is \(found), wanted \(wanted)"
    }
  }
}
