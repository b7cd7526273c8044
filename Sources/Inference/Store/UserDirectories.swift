// UserDirectories.swift: where a user's files are: HOME, otherwise the user database, and the XDG
// base directories. It does not create them. Start at home.

import Foundation

public enum UserDirectories {
  /// A variable that names a directory by its full path. Empty and relative values count as unset.
  /// Source: XDG Base Directory Specification 0.8: "If an implementation encounters a relative path
  /// ... it should consider the path invalid and ignore it."
  public static func absolute(_ name: String, _ environment: [String: String]) -> String? {
    guard var path = environment[name], path.hasPrefix("/") else { return nil }
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    return path
  }

  /// The user's home: HOME, or, if that is unset, empty or relative, the one in the user database,
  /// as for a login shell. Nil if neither gives one; never the root directory by default.
  public static func home(_ environment: [String: String]) -> String? {
    if let path = absolute("HOME", environment) { return path == "/" ? "" : path }
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    var buffer = [CChar](repeating: 0, count: 16_384)
    guard getpwuid_r(getuid(), &entry, &buffer, buffer.count, &found) == 0, found != nil,
      let directory = entry.pw_dir
    else { return nil }
    var path = String(cString: directory)
    guard path.hasPrefix("/") else { return nil }
    while path.hasSuffix("/") { path.removeLast() }
    return path
  }

  /// `$VARIABLE`, otherwise `fallback` in the home; nil if there is no home.
  public static func base(
    _ variable: String, _ fallback: String, _ environment: [String: String]
  ) -> String? {
    absolute(variable, environment) ?? home(environment).map { $0 + "/" + fallback }
  }
}
