// UserFile.swift: the one place that opens files which a user names, to read or to write. Regular
// files, /dev/null, pipes and a shell's `<(...)` are read up to a limit; anything else is refused
// with what it is. The files' contents are parsed by their callers, and the node opens its own
// files. Start at read and write.

import Foundation
import Inference

enum UserFile {
  /// Bytes that are read of a whole file, unless the caller sets another limit.
  static let most = 64 << 20

  /// Expands a path: `~` and `~/...` are the home, also where the shell did not expand them
  /// (`--state=~/x`).
  /// - Throws: exit 64 for an empty path; no empty path means the working directory.
  static func path(_ text: String) throws -> String {
    guard !text.isEmpty else {
      throw Failure(.usage, "the name of a file is empty", hint: "a variable of the shell may not be set")
    }
    guard !text.utf8.contains(0) else { throw Failure(.usage, "the name of a file has a NUL in it") }
    guard text == "~" || text.hasPrefix("~/") else { return text }
    guard let home = UserDirectories.home(ProcessInfo.processInfo.environment) else { throw Failure.noHome }
    return home + text.dropFirst()
  }

  /// The same as an absolute path, without slashes at its end.
  static func absolute(_ text: String) throws -> String {
    var path = try path(text)
    if !path.hasPrefix("/") { path = FileManager.default.currentDirectoryPath + "/" + path }
    while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
    return path
  }

  // MARK: Reading

  /// All bytes, up to `limit`; `-` is standard input.
  static func read(_ text: String, limit: Int = most) throws -> [UInt8] {
    if text == "-" { return try read(STDIN_FILENO, "standard input", limit) }
    let path = try path(text)
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
    guard descriptor >= 0 else { throw unreadable(path, errno) }
    defer { Glibc.close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw unreadable(path, errno) }
    guard status.st_mode & S_IFMT != S_IFDIR else { throw unreadable(path, EISDIR) }
    return try read(descriptor, "'\(path)'", limit)
  }

  private static func read(_ descriptor: Int32, _ shown: String, _ limit: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        if errno == EISDIR { throw Failure(.noInput, "\(shown) is a directory") }
        throw Failure(.inputOutput, "cannot read \(shown): \(String(cString: strerror(errno)))")
      }
      if count == 0 { return bytes }
      bytes += chunk[..<count]
      guard bytes.count <= limit else {
        throw Failure(.badData, "\(shown) is larger than \(limit) bytes")
      }
    }
  }

  static func readText(_ text: String, limit: Int = most) throws -> String {
    guard let read = String(validating: try read(text, limit: limit), as: UTF8.self) else {
      throw Failure(
        .badData, "\(text == "-" ? "standard input" : "'\(text)'") is not UTF-8 text",
        hint: Console.encodingHint)
    }
    return read
  }

  /// The path of a file that another program will read, after checking that it is readable.
  static func readable(_ text: String) throws -> String {
    let path = try path(text)
    guard !isDirectory(path) else { throw unreadable(path, EISDIR) }
    guard access(path, R_OK) == 0 else { throw unreadable(path, errno) }
    return path
  }

  static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Something exists that is neither a regular file nor a directory, such as a device or a pipe.
  static func isSpecial(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFREG
      && status.st_mode & S_IFMT != S_IFDIR
  }

  static func unreadable(_ path: String, _ number: Int32) -> Failure {
    let words = String(cString: strerror(number))
    switch number {
    case EISDIR: return Failure(.noInput, "'\(path)' is a directory", hint: "a file is wanted here")
    case ENOENT:
      var status = stat()
      if lstat(path, &status) == 0 {
        return Failure(.noInput, "'\(path)' is a link that leads nowhere: \(words)")
      }
      return Failure(.noInput, "'\(path)' cannot be read: \(words)")
    case ENOTDIR, ELOOP, ENAMETOOLONG, ENXIO, ENODEV:
      return Failure(.noInput, "'\(path)' cannot be read: \(words)")
    default: return Failure(code(of: number), "'\(path)' cannot be read: \(words)")
    }
  }

  /// The exit code of a failed system call on a file.
  static func code(of number: Int32) -> ExitCode {
    switch number {
    case EACCES, EPERM, EROFS: .noPermission
    case ENOENT, ENOTDIR, ELOOP, EISDIR, ENAMETOOLONG: .noInput
    case EMFILE, ENFILE, ENOMEM: .unavailable
    default: .inputOutput
    }
  }

  // MARK: Writing

  /// Opens a file to be written from its start. A device or a pipe is written to as it is.
  /// - isNew: a regular file must not exist yet
  static func openToWrite(_ text: String, isNew: Bool = false) throws -> Int32 {
    let path = try path(text)
    let flags =
      isSpecial(path)
      ? O_WRONLY : isNew ? O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW : O_WRONLY | O_CREAT | O_TRUNC
    let descriptor = open(path, flags | O_CLOEXEC | O_NOCTTY, 0o600)
    guard descriptor >= 0 else {
      let number = errno
      throw unwritable(path, isDirectory(path) ? EISDIR : number)
    }
    return descriptor
  }

  /// Replaces a file atomically: a reader sees the old bytes or the new ones. A device or a pipe is
  /// written to directly.
  static func write(_ bytes: [UInt8], to text: String) throws {
    let path = try path(text)
    if isSpecial(path) {
      let descriptor = try openToWrite(path)
      defer { Glibc.close(descriptor) }
      return try write(bytes, descriptor, path)
    }
    guard !isDirectory(path), !path.hasSuffix("/") else { throw unwritable(path, EISDIR) }
    // A symbolic link is kept: the file that it names is replaced.
    let target = realpath(path, nil).map { pointer in
      defer { free(pointer) }
      return String(cString: pointer)
    }
    let final = target ?? path
    let new = final + ".new"
    let descriptor = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o666)
    guard descriptor >= 0 else { throw unwritable(path, errno) }
    do {
      defer { Glibc.close(descriptor) }
      try write(bytes, descriptor, path)
      guard fsync(descriptor) == 0 else { throw unwritable(path, errno) }
    } catch {
      unlink(new)
      throw error
    }
    guard rename(new, final) == 0 else {
      let number = errno
      unlink(new)
      throw unwritable(path, number)
    }
  }

  private static func write(_ bytes: [UInt8], _ descriptor: Int32, _ path: String) throws {
    var sent = 0
    while sent < bytes.count {
      let count = bytes.withUnsafeBytes {
        Glibc.write(descriptor, $0.baseAddress.map { $0 + sent }, $0.count - sent)
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw unwritable(path, count < 0 ? errno : EIO) }
      sent += count
    }
  }

  static func unwritable(_ path: String, _ number: Int32) -> Failure {
    let words = String(cString: strerror(number))
    switch number {
    case EISDIR: return Failure(.inputOutput, "'\(path)' is a directory", hint: "name a file in it")
    case ENOENT:
      let folder = (path as NSString).deletingLastPathComponent
      return Failure(
        .inputOutput, "'\(path)' cannot be written: \(words)",
        hint: "there is no directory '\(folder.isEmpty ? "." : folder)'")
    case EACCES, EPERM, EROFS: return Failure(.noPermission, "'\(path)' cannot be written: \(words)")
    default: return Failure(.inputOutput, "'\(path)' cannot be written: \(words)")
    }
  }

  // MARK: Directories

  /// Makes a directory and the missing ones above it, for this user alone.
  static func makeDirectory(_ path: String, mode: mode_t = 0o700) throws {
    var made = ""
    for part in path.split(separator: "/") {
      made += "/" + part
      if mkdir(made, mode) == 0 { continue }
      let number = errno
      if isDirectory(made) { continue }
      if number == EEXIST || number == ENOTDIR { throw Failure(.noInput, "'\(made)' is not a directory") }
      throw Failure(
        number == ENOENT ? .inputOutput : code(of: number),
        "the directory '\(path)' cannot be made: \(String(cString: strerror(number))) at '\(made)'")
    }
  }
}

extension Failure {
  static let noHome = Failure(
    .noInput, "this user has no home directory",
    hint:
      "set HOME to one, with its path from '/' on, or name what is wanted: --state DIR, --config FILE, --model FILE"
  )
}
