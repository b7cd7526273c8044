// ManualPages.swift: the commands of a manual page, and a shell that runs them with a stock
// system's programs. Start at ManualPage.commands.
import Foundation
import TestSettings

/// A page of man/.
package struct ManualPage {
  package struct NoBlock: Error { let name: String }

  package let text: String

  /// - name: such as `hotpot-receipt.5`
  package init(_ name: String) throws {
    text = try String(contentsOf: repository.appending(path: "man/" + name), encoding: .utf8)
  }

  /// The lines between `.\" test: block` and `.\" test: end`, with mdoc's escapes undone.
  package func commands(_ block: String) throws -> String {
    let parts = text.components(separatedBy: ".\\\" test: \(block)\n")
    guard parts.count == 2, let inside = parts[1].components(separatedBy: ".\\\" test: end").first else {
      throw NoBlock(name: block)
    }
    return inside.components(separatedBy: "\n").filter { !$0.hasPrefix(".Bd") && !$0.hasPrefix(".Ed") }
      .joined(separator: "\n")
      .replacingOccurrences(of: "\\(aq", with: "'").replacingOccurrences(of: "\\&", with: "")
      .replacingOccurrences(of: "\\e", with: "\\")
  }
}

/// The shells of this machine in which somebody may paste a manual's commands.
package let shells: [[String]] = [
  ["/bin/sh"], ["/bin/dash"], ["/bin/bash"], ["/bin/bash", "--posix"], ["/bin/busybox", "sh"],
  ["/bin/zsh", "-f"],
].filter { FileManager.default.isExecutableFile(atPath: $0[0]) }

/// Runs a script to its end, with nothing of this process' environment; standard error is part of the output.
/// - program: the shell with its options
package func shell(
  _ script: String, in directory: String, with program: [String] = ["/bin/sh"]
) throws -> (status: Int32, output: String) {
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
  process.arguments = ["-i", "PATH=/usr/bin:/bin"] + program + ["-c", script]
  process.currentDirectoryURL = URL(fileURLWithPath: directory)
  let pipe = Pipe()
  process.standardOutput = pipe
  process.standardError = pipe
  try process.run()
  let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  process.waitUntilExit()
  return (process.terminationStatus, output)
}
