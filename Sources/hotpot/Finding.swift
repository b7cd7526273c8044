// Finding.swift: one line of `hotpot doctor`. The checks are in Commands/Doctor.swift and
// MachineExamination.swift. Start at Finding.

import Foundation

struct Finding: Encodable {
  enum Status: String, Encodable {
    case ok, warn, missing, broken

    /// A colour of the terminal's palette.
    var colour: Int {
      switch self {
      case .ok: 32
      case .warn: 33
      case .missing, .broken: 31
      }
    }
  }

  let name: String
  let status: Status
  let found: String
  let hint: String?
  /// Longer explanations, below the line.
  var details: [String]?

  init(_ name: String, _ status: Status, _ found: String, hint: String? = nil) {
    self.name = name
    self.status = status
    self.found = found
    self.hint = hint
  }

  func say() {
    let word = status.rawValue + String(repeating: " ", count: 8 - status.rawValue.count)
    let rest = name + String(repeating: " ", count: max(1, 14 - name.count)) + Console.oneLine(found)
    Console.say([Console.Part(word, "\(status.colour)"), Console.Part(rest)], to: STDOUT_FILENO)
    let indent = String(repeating: " ", count: 22)
    if let hint { Console.print(indent + "hint: " + Console.oneLine(hint)) }
    for line in details ?? [] { Console.print(indent + Console.oneLine(line)) }
  }
}
