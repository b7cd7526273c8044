// ConfigurationNotice.swift: what a configuration that can be read says in vain: rules that no job
// reaches, signs that stand for nothing, users and models that are not there. A node starts with
// them, and says so. Faults are ConfigurationReader's. Start at notices.
import Accounting
import Control
import Foundation
import JSON
import Scheduling

/// Something in a configuration that has no effect.
package struct ConfigurationNotice: Sendable, Equatable, CustomStringConvertible {
  package let file: String
  /// Counted from 1; nil if the position is unknown.
  package let line: Int?
  package let column: Int?
  package let words: String

  package init(file: String, line: Int?, column: Int?, words: String) {
    (self.file, self.line, self.column, self.words) = (file, line, column, words)
  }

  package var description: String {
    "\(file)\(line.map { ":\($0)" } ?? "")\(column.map { ":\($0)" } ?? ""): \(words)"
  }
}

/// What a machine has of that which a configuration names.
package struct NamedThings: Sendable {
  package var hasUser: @Sendable (String) -> Bool
  package var hasGroup: @Sendable (String) -> Bool
  package var isProgram: @Sendable (String) -> Bool
  /// Why a model is not there, in words; nil if it is.
  package var missingModel: @Sendable (String) -> String?

  package init(
    hasUser: @escaping @Sendable (String) -> Bool, hasGroup: @escaping @Sendable (String) -> Bool,
    isProgram: @escaping @Sendable (String) -> Bool,
    missingModel: @escaping @Sendable (String) -> String?
  ) {
    (self.hasUser, self.hasGroup, self.isProgram) = (hasUser, hasGroup, isProgram)
    self.missingModel = missingModel
  }
}

extension NodeConfiguration {
  /// In the order of the manual.
  package func notices(file: String, _ things: NamedThings) -> [ConfigurationNotice] {
    guard let source, let document = try? JSON5(source) else { return [] }  // It was read from this text.
    var found: [ConfigurationNotice] = []
    func note(_ path: [String], _ words: String) {
      let place = document.place(of: path)
      found.append(
        ConfigurationNotice(
          file: file, line: place?.line, column: place?.column,
          words: "'\(path.joined(separator: "."))' \(words)"))
    }
    if let model, let why = things.missingModel(model) { note(["model"], why) }
    for (number, name) in http.modelNames.enumerated() where Self.hasStray(name) {
      note(["http", "model_names", "\(number + 1)"], Self.strayWords(name))
    }
    for (rule, behind) in policy.unreachable {
      note(["policy", "\(rule)"], "is never reached: rule \(behind) takes all jobs that it would match")
    }
    for (index, rule) in prices.rules.enumerated() {
      let number = "\(index + 1)"
      for (key, pattern) in [("model", rule.model), ("client", rule.client)] {
        if let pattern, Self.hasStray(pattern) { note(["prices", number, key], Self.strayWords(pattern)) }
      }
      if let behind = prices.rules[..<index].firstIndex(where: { $0.covers(rule) }) {
        note(["prices", number], "is never reached: rule \(behind + 1) takes all jobs that it would match")
      }
    }
    if let program = notify.first, !things.isProgram(program) {
      note(["notify", "1"], "is no program of this machine: '\(program)'")
    }
    for (key, entries) in [("operators", control.operators), ("viewers", control.viewers)] {
      for (index, entry) in entries.enumerated() {
        let path = ["control", key, "\(index + 1)"]
        switch entry {
        case .user(let name) where !things.hasUser(name): note(path, "is no user of this machine: '\(name)'")
        case .group(let name) where !things.hasGroup(name):
          note(path, "is no group of this machine: '\(name)'")
        case .user, .group, .uid, .key: break
        }
      }
    }
    return found
  }

  /// In these lists a `*` stands for any rest, and only at the end.
  private static func hasStray(_ pattern: String) -> Bool { pattern.dropLast().contains("*") }

  private static func strayWords(_ pattern: String) -> String {
    "is '\(pattern.prefix(60))', where a '*' in the middle stands for itself: only one at the end stands for any rest"
  }
}

extension PriceList.Rule {
  /// Whether it applies to every job that the other applies to.
  fileprivate func covers(_ other: PriceList.Rule) -> Bool {
    func covers(_ one: String?, _ two: String?) -> Bool {
      guard let one, one != "*" else { return true }
      guard let two else { return false }
      if one == two { return true }
      let isOpen = two.hasSuffix("*")
      return isOpen
        ? one.hasSuffix("*") && two.dropLast().hasPrefix(one.dropLast()) : PriceList.matches(one, two)
    }
    return covers(model, other.model) && covers(client, other.client)
      && (0..<24).allSatisfy { (hours?.contains($0) ?? true) || !(other.hours?.contains($0) ?? true) }
  }
}

extension NamedThings {
  /// Users and groups of this machine, through the C library's name service.
  package static func system(
    missingModel: @escaping @Sendable (String) -> String?
  ) -> NamedThings {
    NamedThings(
      hasUser: ControlAccess.Directory.hasUser, hasGroup: ControlAccess.Directory.hasGroup,
      isProgram: { FileManager.default.isExecutableFile(atPath: $0) }, missingModel: missingModel)
  }
}
