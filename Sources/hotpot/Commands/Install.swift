// Install.swift: `hotpot install --prefix P`: installs this program, its manuals, themes,
// completions and units where a system looks for them. The program's one file contains all of them.
// Start at Installation.files.

import CManuals
import Foundation
import Inference
import Terminal

extension Command {
  static let install = Command(
    name: "install", summary: "put the program, manuals, themes, completions and units where they belong",
    details: """
      hotpot install --prefix /usr/local     for all users (as root)
      hotpot install --prefix ~/.local       for yourself

      Files are replaced whole, so that a running node keeps its own. --list prints what would be written, --remove takes it
      away again. With --root DIR all of it goes below DIR, for packages.
      """,
    options: [
      Option("prefix", value: "DIR", "below which directory; default /usr/local"),
      Option("root", value: "DIR", "put DIR before every path; the files still name the prefix"),
      Option("list", "print the paths and write nothing"),
      Option("remove", "remove what an installation there has put"),
      .json,
    ]
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    let prefix = try Installation.absolute(arguments.string("prefix") ?? "/usr/local", "prefix")
    let root = try arguments.string("root").map { try Installation.absolute($0, "root") } ?? ""
    let installation = Installation(prefix: prefix == "/" ? "" : prefix, root: root == "/" ? "" : root)
    let files = try installation.files()
    let isListed = arguments.has("list")
    if !isListed {
      if arguments.has("remove") { try installation.remove(files) } else { try installation.write(files) }
    }
    let paths = files.map { installation.root + $0.path }
    if arguments.has("json") {
      try Console.print(json: paths)
    } else {
      let verb = isListed ? "" : arguments.has("remove") ? "removed " : "wrote "
      for path in paths { Console.print(verb + Console.oneLine(path)) }
    }
    return .ok
  }
}

struct Installation {
  struct File {
    let path: String
    let mode: mode_t
    let bytes: [UInt8]
  }

  let prefix: String
  let root: String
  /// The file of the program.
  var program = "/proc/self/exe"

  static func absolute(_ path: String, _ option: String) throws -> String {
    let path = try UserFile.absolute(path)
    guard
      !path.unicodeScalars.contains(where: {
        $0.value <= 0x20 || $0.value == 0x7F || "%\"'\\".unicodeScalars.contains($0)
      })
    else {
      throw Failure(
        .usage,
        "option '--\(option)' wants a path without blanks, quotes and '%', found '\(Console.oneLine(path))'")
    }
    return path
  }

  /// All files of an installation.
  func files() throws -> [File] {
    let installed = prefix + "/bin/hotpot"
    var files = [File(path: installed, mode: 0o755, bytes: try programBytes())]
    func add(_ path: String, _ text: String) {
      files.append(File(path: prefix + "/" + path, mode: 0o644, bytes: Array(text.utf8)))
    }
    for index in 0..<manuals_count() {
      let page = manuals_page(index)
      guard let name = page.name.map({ String(cString: $0) }), let section = name.last else { continue }
      files.append(
        File(
          path: prefix + "/share/man/man\(section)/\(name)", mode: 0o644,
          bytes: Array(UnsafeBufferPointer(start: page.text, count: page.size))))
    }
    for theme in Theme.shipped { add("share/hotpot/themes/\(theme.name).theme", theme.file) }
    add("share/bash-completion/completions/hotpot", CompletionScript.bash(Commands.all))
    add("share/zsh/site-functions/_hotpot", CompletionScript.zsh(Commands.all))
    add("share/fish/vendor_completions.d/hotpot.fish", CompletionScript.fish(Commands.all))
    // systemd looks for system units only in lib of /usr and /usr/local, for user units also in
    // share.
    add("lib/systemd/system/hotpot.service", SystemdUnit.system(installed))
    add("lib/sysusers.d/hotpot.conf", SystemdUnit.account)
    add("share/systemd/user/hotpot.service", SystemdUnit.user(installed))
    return files
  }

  private func programBytes() throws -> [UInt8] {
    guard let data = FileManager.default.contents(atPath: program) else {
      throw Failure(
        .inputOutput, "the program's file '\(program)' cannot be read: \(String(cString: strerror(errno)))")
    }
    return Array(data)
  }

  func write(_ files: [File]) throws {
    for file in files {
      let path = root + file.path
      do {
        try UserFile.makeDirectory((path as NSString).deletingLastPathComponent, mode: 0o755)
      } catch let failure as Failure {
        throw Failure(
          failure.code, "cannot make the directory of '\(Console.oneLine(path))': \(failure.message)",
          hint: failure.code == .noPermission ? Self.permissionHint(path) : nil)
      }
      // Written beside the old file and then renamed over it: a process that runs or reads the old
      // file keeps it.
      let new = path + ".new"
      let descriptor = open(new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, file.mode)
      guard descriptor >= 0 else { throw Self.failure("write", new) }
      var sent = 0
      while sent < file.bytes.count {
        let count = file.bytes.withUnsafeBytes {
          Foundation.write(descriptor, $0.baseAddress.map { $0 + sent }, $0.count - sent)
        }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { break }
        sent += count
      }
      let isWhole = sent == file.bytes.count && fchmod(descriptor, file.mode) == 0 && fsync(descriptor) == 0
      close(descriptor)
      guard isWhole, rename(new, path) == 0 else {
        let failure = Self.failure("write", path)
        unlink(new)
        throw failure
      }
    }
  }

  /// Files that are missing are ignored.
  func remove(_ files: [File]) throws {
    for file in files where unlink(root + file.path) != 0 && errno != ENOENT && errno != ENOTDIR {
      throw Self.failure("remove", root + file.path)
    }
    // Only hotpot's own directories; one that holds other files stays.
    rmdir(root + prefix + "/share/hotpot/themes")
    rmdir(root + prefix + "/share/hotpot")
  }

  private static func failure(_ verb: String, _ path: String) -> Failure {
    let code = errno
    return Failure(
      code == EACCES || code == EPERM || code == EROFS ? .noPermission : .inputOutput,
      "cannot \(verb) '\(Console.oneLine(path))': \(String(cString: strerror(code)))",
      hint: code == EACCES ? permissionHint(path) : nil)
  }

  private static func permissionHint(_ path: String) -> String? {
    let home = UserDirectories.home(ProcessInfo.processInfo.environment)
    return home.map { path.hasPrefix($0 + "/") } ?? true
      ? nil : "'--prefix ~/.local' installs for yourself alone"
  }
}
