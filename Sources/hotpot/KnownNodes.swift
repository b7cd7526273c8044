// KnownNodes.swift: what is remembered of nodes that were visited, as ssh remembers hosts, and how a
// visit is shown. Not here: the visits (Check.swift, Inspect.swift). Start at KnownNodes.

import Foundation
import Node
import Receipts

/// Nodes that were visited, one a line: the address, the key, the size and the root of the log.
struct KnownNodes {
  private let path: String
  private var nodes: [String: KnownNode] = [:]

  init(_ path: String) throws {
    self.path = path
    guard FileManager.default.fileExists(atPath: path) else { return }
    for (number, line) in String(decoding: try UserFile.read(path), as: UTF8.self).split(
      separator: "\n"
    )
    .enumerated() {
      let words = line.split(separator: " ")
      guard words.count == 5, let key = SSHPublicKey(parsing: "\(words[1]) \(words[2])"),
        let head = try? LogHead(parsing: "\(key.origin)\n\(words[3])\n\(words[4])\n")
      else {
        // A memory that is lost would call every node new.
        throw Failure(
          .badData, "'\(path)' has no node in line \(number + 1)",
          hint: "mend the line, or move the file away")
      }
      nodes[String(words[0])] = KnownNode(key: key, head: head)
    }
  }

  subscript(url: String) -> KnownNode? {
    get { nodes[url] }
    set { nodes[url] = newValue ?? nodes[url] }
  }

  /// Those at other addresses with this key.
  func elsewhere(_ key: SSHPublicKey, than url: String) -> [(place: String, node: KnownNode)] {
    nodes.filter { $0.key != url && $0.value.key == key }.sorted { $0.key < $1.key }.map {
      ($0.key, $0.value)
    }
  }

  func write() throws {
    let lines = nodes.sorted { $0.key < $1.key }.map { url, known in
      "\(url) \(known.key.text) \(known.head.size) \(Base64.format(known.head.root.bytes))\n"
    }
    try UserFile.write(Array(lines.joined().utf8), to: path)
  }
}

extension Command {
  /// Prints a report and its verdict.
  /// - good: what is said where nothing is wrong
  static func show(_ report: VisitReport, of place: String, good: String, json: Bool) throws
    -> ExitCode
  {
    let verdict = report.passes ? good : "DO NOT TRUST THIS NODE"
    if json {
      try Console.print(json: VisitPage(node: place, report, verdict: verdict))
    } else {
      Console.write(
        StatusPage.table(
          report.findings.map {
            [$0.name, $0.result == .failed ? "FAILED" : $0.result.word, $0.detail]
          }))
      Console.print(verdict)
    }
    return report.passes ? .ok : .failed
  }
}

/// What `hotpot check --json` and `hotpot inspect --json` print.
private struct VisitPage: Encodable {
  struct Row: Encodable {
    let name: String
    let result: String
    let detail: String
  }

  let node: String
  let ok: Bool
  let verdict: String
  let checks: [Row]

  init(node: String, _ report: VisitReport, verdict: String) {
    self.node = node
    self.verdict = verdict
    ok = report.passes
    checks = report.findings.map { Row(name: $0.name, result: $0.result.word, detail: $0.detail) }
  }
}
