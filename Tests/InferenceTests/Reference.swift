// Reference.swift: where tests find what they compare with; nil where it is absent.
import Foundation

/// The reference folder: `HOTPOT_REFERENCE`, or `shared` beside the package.
enum ReferenceFolder {
  static var url: URL? {
    if let path = ProcessInfo.processInfo.environment["HOTPOT_REFERENCE"] {
      return existing(URL(filePath: path))
    }
    return existing(URL(filePath: #filePath).appending(path: "../../../../shared").standardized)
  }

  private static func existing(_ url: URL) -> URL? {
    FileManager.default.fileExists(atPath: url.appending(path: "golden").path) ? url : nil
  }

  static var isAbsent: Bool { url == nil }
}

/// SmolLM2-135M-Instruct Q4_1: `HOTPOT_MODEL`, or the data directory's copy.
enum RealModel {
  static var path: String? {
    let environment = ProcessInfo.processInfo.environment
    if let path = environment["HOTPOT_MODEL"], !path.isEmpty { return path }
    let home = environment["HOME"] ?? "/"
    let data = environment["XDG_DATA_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? "\(home)/.local/share"
    let folder = "\(data)/hotpot/models"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.sorted().first { $0.lowercased().hasPrefix("smollm2") && $0.hasSuffix(".gguf") }
      .map { "\(folder)/\($0)" }
  }

  static var isAbsent: Bool { path == nil }
}
