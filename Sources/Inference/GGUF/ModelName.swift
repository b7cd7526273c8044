// ModelName.swift: the names of models and of their files: what may become part of a path, which
// files are models by their names, and which files are the parts of one. Start at parts(of:).

/// The names of models and of their files.
public enum ModelName {
  /// One part of a path: letters, digits, `.`, `_`, `-`, without a leading dot or dash; 1 to 128
  /// bytes.
  public static func isPart(_ text: String) -> Bool {
    guard (1...128).contains(text.utf8.count), let first = text.utf8.first, first != 0x2E, first != 0x2D
    else {
      return false
    }
    return text.utf8.allSatisfy { byte in
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2E, 0x5F, 0x2D: true
      default: false
      }
    }
  }

  /// Whether a file name is a model's: it ends in `.gguf` in any case, and does not name a part of
  /// a split model other than the first.
  public static func isFile(_ name: String) -> Bool {
    name.utf8.count > 5 && hasSuffix(name) && splitPart(name).map { $0.number == 1 } != false
  }

  /// `.gguf`, in any case: files come from systems with case-insensitive names.
  static func hasSuffix(_ name: String) -> Bool { name.suffix(5).lowercased() == ".gguf" }

  /// The name of a file without its `.gguf`, in any case.
  public static func withoutSuffix(_ name: String) -> String {
    hasSuffix(name) ? String(name.dropLast(5)) : name
  }

  /// The number and count in `NAME-00002-of-00005.gguf`; nil for any other name, for part 1 of 1,
  /// and for numbers that no model has. Source: llama.cpp, `llama_split_path`: numbers count from 1 and have five digits.
  public static func splitPart(_ name: String) -> (number: Int, count: Int)? {
    let text = Array(withoutSuffix(name).utf8.suffix(15))
    // -00002-of-00005
    guard text.count == 15, text[0] == 0x2D, text[6..<10].elementsEqual("-of-".utf8) else { return nil }
    func number(_ digits: ArraySlice<UInt8>) -> Int? {
      guard digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
      return digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
    }
    guard let part = number(text[1..<6]), let count = number(text[10..<15]), count > 1,
      count <= GGUFFile.maximumPartCount, (1...count).contains(part)
    else { return nil }
    return (part, count)
  }

  /// `-00002-of-00005.gguf`
  static func ending(ofPart number: Int, of count: Int) -> String {
    func digits(_ value: Int) -> String {
      let text = String(value)
      return String(repeating: "0", count: max(5 - text.utf8.count, 0)) + text
    }
    return "-\(digits(number))-of-\(digits(count)).gguf"
  }

  /// The name of a model in this file: without `.gguf` and without the number of a part.
  public static func ofFile(_ file: String) -> String {
    let name = withoutSuffix(file)
    // -00002-of-00005
    return splitPart(file) == nil ? name : String(name.dropLast(15))
  }

  /// The names or paths of all parts of the model that `file` is a part of; itself if it is whole.
  /// The suffix stays as it is written.
  public static func parts(of file: String) -> [String] {
    guard let part = splitPart(file) else { return [file] }
    let suffix = file.dropFirst(withoutSuffix(file).count)
    let name = ofFile(file)
    return (1...part.count).map { name + withoutSuffix(ending(ofPart: $0, of: part.count)) + suffix }
  }

  /// A SHA-256 in 64 lower-case hexadecimal digits.
  public static func isDigest(_ text: String) -> Bool {
    text.utf8.count == 64 && text.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
  }
}
