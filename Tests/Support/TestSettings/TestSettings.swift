// TestSettings.swift: what the environment sets for tests: how long they may run, and where the
// inputs are that are not part of the repository. Sources/CONTRIBUTING.md lists every variable.

import Foundation

/// Whether tests run their long counts (fuzzing, crash points, seeds): `HOTPOT_HEAVY=1`.
package let isHeavy = ProcessInfo.processInfo.environment["HOTPOT_HEAVY"] == "1"

/// The directory of Package.swift.
package let repository = URL(filePath: #filePath).appending(path: "../../../..").standardized

/// Inputs from outside the repository: `HOTPOT_REFERENCE`, or the folder `shared` beside the package.
package enum ReferenceFolder {
  /// Nil if the folder is absent: tests that read it are skipped.
  package static let url: URL? = {
    if let path = ProcessInfo.processInfo.environment["HOTPOT_REFERENCE"] {
      return existing(URL(filePath: path))
    }
    return existing(repository.appending(path: "../shared").standardized)
  }()

  private static func existing(_ url: URL) -> URL? {
    FileManager.default.fileExists(atPath: url.appending(path: "vectors").path) ? url : nil
  }

  package static var isAbsent: Bool { url == nil }

  /// The path of a file or folder in it, such as `cases/x.gguf`; nil if it is absent.
  package static func path(_ name: String) -> String? {
    guard let path = url?.appending(path: name).path, FileManager.default.fileExists(atPath: path) else {
      return nil
    }
    return path
  }
}

/// The real models that tests run, where they are: SmolLM2-135M-Instruct Q4_1 (`HOTPOT_MODEL`, or the
/// data directory's copy), and Gemma 3 270M Q4_K_M (the data directory's copy).
package enum RealModel {
  package static let path: String? = {
    if let path = ProcessInfo.processInfo.environment["HOTPOT_MODEL"], !path.isEmpty { return path }
    return stored("smollm2")
  }()

  package static let gemma3: String? = stored("gemma3.gguf")

  package static var isAbsent: Bool { path == nil }

  /// The pulled model whose name begins so.
  private static func stored(_ prefix: String) -> String? {
    let environment = ProcessInfo.processInfo.environment
    let home = environment["HOME"] ?? "/"
    let data = environment["XDG_DATA_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? "\(home)/.local/share"
    let folder = "\(data)/hotpot/models"
    // Where the folder is absent, so is the model.
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.sorted().first { $0.lowercased().hasPrefix(prefix) && $0.hasSuffix(".gguf") }
      .map { "\(folder)/\($0)" }
  }
}
