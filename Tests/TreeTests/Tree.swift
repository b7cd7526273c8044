// Tree.swift: the files of the repository as the tests of this target read them. Start at Tree.files.

import Foundation
import TestSettings

enum Tree {
  /// The files below a folder whose names end so, by their paths from the root, in order.
  static func files(_ folder: String, _ endings: [String]) throws -> [String] {
    try FileManager.default.subpathsOfDirectory(atPath: repository.appending(path: folder).path)
      .filter { path in endings.contains(where: path.hasSuffix) && !path.contains(".build/") }
      .map { folder + "/" + $0 }.sorted()
  }

  static func text(_ path: String) throws -> String {
    try String(contentsOf: repository.appending(path: path), encoding: .utf8)
  }
}
