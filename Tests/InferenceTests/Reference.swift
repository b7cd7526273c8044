// Reference.swift: where tests find the reference folder and the real model; tests skip, saying so, without them.

import Foundation

enum Reference {
  /// The folder `shared` beside the repository, or `HOTPOT_REFERENCE`.
  static let directory: URL? = {
    let environment = ProcessInfo.processInfo.environment
    let url =
      environment["HOTPOT_REFERENCE"].map { URL(filePath: $0) }
      ?? URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent().appending(path: "shared")
    return FileManager.default.fileExists(atPath: url.appending(path: "golden").path) ? url : nil
  }()

  /// SmolLM2-135M-Instruct: `HOTPOT_MODEL`, or where `hotpot models pull smollm2` puts it.
  static let smollm2: String? = {
    let environment = ProcessInfo.processInfo.environment
    let name = "SmolLM2-135M-Instruct.Q4_1.gguf"
    let data = environment["XDG_DATA_HOME"] ?? environment["HOME"].map { $0 + "/.local/share" }
    let candidates = [environment["HOTPOT_MODEL"], data.map { "\($0)/hotpot/models/\(name)" }]
    return candidates.compactMap(\.self).first { FileManager.default.fileExists(atPath: $0) }
  }()
}
