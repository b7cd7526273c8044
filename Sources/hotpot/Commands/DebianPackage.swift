// DebianPackage.swift: `hotpot package`: a Debian package of this program: what `hotpot install` would put
// below /usr, without debug information, and that in a file beside the package. dpkg-deb builds it.
// Start at DebianPackage.build.

import Foundation

extension Command {
  static let package = Command(
    name: "package", summary: "make a Debian package of this program",
    details: """
      hotpot package --maintainer "Anna Berg <anna@example.org>"

      writes hotpot_VERSION_ARCH.deb, with the program, its manuals, themes, completions, units and account, and
      hotpot_VERSION_ARCH.debug with the debug information, which is most of a program's size: gdb finds it as
      /usr/lib/debug/usr/bin/hotpot.debug. The program, this one or that of --exec, has to be built with
      --static-swift-stdlib. dpkg-deb, strip and
      objcopy (binutils) and gzip do the work. Nothing is enabled at installation: 'systemctl enable --now hotpot' is.
      """,
    options: [
      Option("output", letter: "o", value: "DIR", "where to write it; default the working directory"),
      Option("maintainer", value: "NAME", "'Name <mail>'; default $DEBFULLNAME and $DEBEMAIL"),
      Option("exec", value: "FILE", "the program; default this one"),
      Option("unstripped", "keep the debug information in the program"),
      .json,
    ]
  ) { arguments in
    _ = try arguments.operands(0...0, "")
    let package = try DebianPackage(
      maintainer: arguments.string("maintainer"), isStripped: !arguments.has("unstripped"),
      program: try arguments.string("exec").map(UserFile.absolute) ?? "/proc/self/exe")
    let files = try package.build(in: try UserFile.absolute(arguments.string("output") ?? "."))
    if arguments.has("json") {
      try Console.print(json: files)
    } else {
      for file in files { Console.print("wrote " + Console.oneLine(file)) }
    }
    return .ok
  }
}

struct DebianPackage {
  let maintainer: String
  let isStripped: Bool
  let program: String
  let architecture: String
  /// The version of the C library that the program was made with, this machine's.
  let libc: String

  init(maintainer: String?, isStripped: Bool, program: String) throws {
    let environment = ProcessInfo.processInfo.environment
    let mail = environment["DEBEMAIL"] ?? ""
    let person =
      maintainer ?? (mail.contains("<") ? mail : environment["DEBFULLNAME"].map { "\($0) <\(mail)>" } ?? mail)
    let isPlain = person.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F }
    guard isPlain, person.utf8.count <= 200, person.wholeMatch(of: /[^<>]+ <[^<>@ ]+@[^<>@ ]+>/) != nil else {
      throw Failure(
        .usage,
        "a package wants a maintainer such as 'Anna Berg <anna@example.org>', found '\(person.prefix(60))'",
        hint: "name one with '--maintainer', or set DEBFULLNAME and DEBEMAIL")
    }
    self.maintainer = person
    self.isStripped = isStripped
    self.program = program
    try Self.mustBeStatic(program)
    architecture = try Self.run("dpkg", ["--print-architecture"]).trimmingCharacters(
      in: .whitespacesAndNewlines)
    libc =
      try Self.run("getconf", ["GNU_LIBC_VERSION"]).split(whereSeparator: \.isWhitespace).last.map(
        String.init)
      ?? "2.36"
  }

  /// Swift's own libraries are in no package of Debian.
  private static func mustBeStatic(_ program: String) throws {
    let bytes = Data(try UserFile.read(program, limit: 1 << 30))
    guard bytes.starts(with: [0x7F, 0x45, 0x4C, 0x46]) else {
      throw Failure(.badData, "'\(Console.oneLine(program))' is no program for Linux")
    }
    // The name of a library that the program asks the system for ends with a zero.
    if bytes.range(of: Data("\0libswiftCore.so\0".utf8)) != nil {
      throw Failure(
        .unavailable, "this program needs Swift's libraries, which a machine without the toolchain lacks",
        hint: "build it with 'swift build -c release --static-swift-stdlib', and package that one")
    }
  }

  /// - Returns: the files that were written
  func build(in folder: String) throws -> [String] {
    let base = FileManager.default.temporaryDirectory.path
    var template = Array("\(base)/hotpot-package-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw Failure(
        .inputOutput, "no directory can be made in '\(base)': \(String(cString: strerror(errno)))")
    }
    let work = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    // A folder of this command's own; what is left of it harms nobody.
    defer { try? FileManager.default.removeItem(atPath: work) }
    let root = work + "/root"
    let installation = Installation(prefix: "/usr", root: root, program: program)
    let files = try installation.files().map(placed)
    try installation.write(files)
    for file in files where file.path.hasPrefix("/usr/share/man/") {
      _ = try Self.run("gzip", ["-9n", root + file.path])
    }
    let stem = "hotpot_\(Self.version)_\(architecture)"
    var written = ["\(folder)/\(stem).deb"]
    if isStripped {
      let program = root + "/usr/bin/hotpot"
      let debug = work + "/hotpot.debug"
      _ = try Self.run("objcopy", ["--only-keep-debug", "--compress-debug-sections", program, debug])
      _ = try Self.run("strip", ["--strip-unneeded", "--remove-section=.comment", program])
      _ = try Self.run("objcopy", ["--add-gnu-debuglink=\(debug)", program])
      try UserFile.write(try UserFile.read(debug), to: "\(folder)/\(stem).debug")
      written.append("\(folder)/\(stem).debug")
    }
    try installation.write(try papers(of: root))
    _ = try Self.run("dpkg-deb", ["--root-owner-group", "--build", root, written[0]])
    return written
  }

  private static let version = Commands.version + "-1"

  /// Where Debian has another place for a file than `hotpot install`.
  private func placed(_ file: Installation.File) -> Installation.File {
    let path = file.path.replacingOccurrences(
      of: "/usr/share/zsh/site-functions/", with: "/usr/share/zsh/vendor-completions/"
    ).replacingOccurrences(of: "/usr/share/systemd/user/", with: "/usr/lib/systemd/user/")
    return Installation.File(path: path, mode: file.mode, bytes: file.bytes)
  }

  /// What a package has beside its files.
  private func papers(of root: String) throws -> [Installation.File] {
    let day = Date.now.formatted(
      .verbatim(
        "\(weekday: .abbreviated), \(day: .twoDigits) \(month: .abbreviated) \(year: .defaultDigits) \(hour: .twoDigits(clock: .twentyFourHour, hourCycle: .zeroBased)):\(minute: .twoDigits):\(second: .twoDigits) +0000",
        locale: Locale(identifier: "en_US_POSIX"), timeZone: .gmt, calendar: Calendar(identifier: .gregorian))
    )
    let changes = """
      hotpot (\(Self.version)) unstable; urgency=medium

        * Made from the program itself by 'hotpot package'.

       -- \(maintainer)  \(day)

      """
    let plain = root + "/changelog.Debian"
    try UserFile.write(Array(changes.utf8), to: plain)
    _ = try Self.run("gzip", ["-9n", plain])
    let changelog = try UserFile.read(plain + ".gz")
    unlink(plain + ".gz")
    func file(_ path: String, _ text: String, mode: mode_t = 0o644) -> Installation.File {
      Installation.File(path: path, mode: mode, bytes: Array(text.utf8))
    }
    return [
      Installation.File(path: "/usr/share/doc/hotpot/changelog.Debian.gz", mode: 0o644, bytes: changelog),
      file("/usr/share/doc/hotpot/copyright", Self.copyright),
      file("/DEBIAN/control", control(size: try size(of: root))),
      file("/DEBIAN/postinst", Self.afterInstallation, mode: 0o755),
      file("/DEBIAN/prerm", Self.beforeRemoval, mode: 0o755),
    ]
  }

  /// In kibibytes, as dpkg counts.
  private func size(of root: String) throws -> Int {
    var total = 0
    for name in try FileManager.default.subpathsOfDirectory(atPath: root + "/usr") {
      let attributes = try FileManager.default.attributesOfItem(atPath: root + "/usr/" + name)
      total += max(1, ((attributes[.size] as? Int ?? 0) + 1023) / 1024)
    }
    return total
  }

  private func control(size: Int) -> String {
    """
    Package: hotpot
    Version: \(Self.version)
    Architecture: \(architecture)
    Maintainer: \(maintainer)
    Installed-Size: \(size)
    Depends: libc6 (>= \(libc)), libgcc-s1, libncursesw6, libstdc++6, libtinfo6
    Recommends: libssl3, openssh-client
    Suggests: python3, python3-pip
    Section: net
    Priority: optional
    Description: node for decentralized AI inference
     Runs language models on this machine, with the same answer everywhere, and
     serves them over HTTP: an inference engine, a scheduler, a log of receipts
     and a dashboard for the terminal in one program.

    """
  }

  private static let copyright = """
    Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
    Upstream-Name: hotpot

    Files: *
    Copyright: the authors of Hotpot
    License: none-yet
     The owner has yet to choose a licence; until then nobody is granted more than
     reading.

    """

  /// The account is made where systemd can; the service waits for its operator.
  private static let afterInstallation = """
    #!/bin/sh
    set -e
    if [ "$1" = configure ]; then
      if command -v systemd-sysusers >/dev/null; then systemd-sysusers hotpot.conf; fi
      if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
    fi

    """

  /// A removed node finishes what it admitted; an upgraded one goes on with its old program.
  private static let beforeRemoval = """
    #!/bin/sh
    set -e
    if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
      systemctl --no-reload disable --now hotpot.service || true
    fi

    """

  /// Runs a tool and returns what it prints.
  private static func run(_ tool: String, _ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [tool] + arguments
    let (output, errors) = (Pipe(), Pipe())
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = output
    process.standardError = errors
    do { try process.run() } catch { throw Failure(.unavailable, "'\(tool)' cannot be started: \(error)") }
    // A tool that says more than a pipe holds on its errors would wait; these say a line.
    let text = output.fileHandleForReading.readDataToEndOfFile()
    let words = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else {
      let reason =
        words.split(separator: "\n").last.map(String.init) ?? "it ended with \(process.terminationStatus)"
      throw Failure(
        process.terminationStatus == 127 ? .unavailable : .failed, "\(tool): \(Console.oneLine(reason))",
        hint: process.terminationStatus == 127
          ? "'apt install dpkg binutils gzip' brings what is needed" : nil)
    }
    return String(decoding: text, as: UTF8.self)
  }
}
