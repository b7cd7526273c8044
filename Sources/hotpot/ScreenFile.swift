// ScreenFile.swift: where a user's choices on the screen are kept: screen.json in the user's own
// state directory, whichever node was looked at. Start at read and write.

import Dashboard
import Foundation
import Inference

enum ScreenFile {
  private static let queue = DispatchQueue(label: "hotpot.screen")

  private static var path: String? {
    UserDirectories.base("XDG_STATE_HOME", ".local/state", ProcessInfo.processInfo.environment).map {
      $0 + "/hotpot/screen.json"
    }
  }

  /// A file that cannot be read is as none: choices are no reason not to start.
  static func read() -> ScreenSettings {
    guard let path, let bytes = try? UserFile.read(path, limit: 1 << 20),
      let settings = try? JSONDecoder().decode(ScreenSettings.self, from: Data(bytes))
    else { return ScreenSettings() }
    return settings
  }

  /// Returns at once; what cannot be written is chosen again the next time.
  static func write(_ settings: ScreenSettings) {
    guard let path else { return }
    queue.async {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      guard let data = try? encoder.encode(settings) else { return }
      try? UserFile.makeDirectory((path as NSString).deletingLastPathComponent)
      try? UserFile.write(Array(data) + [0x0A], to: path)
    }
  }

  /// Waits for what was to be written.
  static func finish() { queue.sync {} }
}
