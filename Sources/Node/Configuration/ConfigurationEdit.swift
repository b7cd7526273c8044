// ConfigurationEdit.swift: puts a rule at the head of a list in the text of a configuration, and
// leaves all else as the operator wrote it, comments too. Start at inserting.
import JSON

enum ConfigurationEdit {
  /// The text with the rule in front of the others; nil if there is no place where that gives just
  /// this.
  /// - source: nil for a file that is not there
  /// - rule: members of the object, such as `client: "bob", action: "admit"`
  /// - usual: rules that hold where the list is not there, and that must not be lost
  static func inserting(_ rule: String, into list: String, of source: String?, usual: [String] = [])
    -> String?
  {
    let text = Array((source ?? "{\n}\n").unicodeScalars)
    guard let old = try? JSON5(String(String.UnicodeScalarView(text))),  // It is what the node runs with.
      let members = old.value.members, let added = try? JSON5("{ \(rule) }")
    else { return nil }
    let place = members.firstIndex { $0.key == list }
    var wanted = members
    var piece: String
    if let place {
      guard case .array(let rules) = members[place].value else { return nil }
      wanted[place].value = .array([added.value] + rules)
      piece = "\n    { \(rule) },"
    } else {
      let rest = usual.compactMap { try? JSON5("{ \($0) }").value }
      wanted.insert((key: list, value: .array([added.value] + rest)), at: 0)
      piece = "\n  \(list): [" + ([rule] + usual).map { "\n    { \($0) }," }.joined() + "\n  ],"
    }
    // Where it belongs is told by what comes out: brackets may stand in comments and texts too.
    let bracket: Unicode.Scalar = place == nil ? "{" : "["
    for index in text.indices where text[index] == bracket {
      var edited = text[...index]
      edited.append(contentsOf: piece.unicodeScalars)
      edited.append(contentsOf: text[(index + 1)...])
      let result = String(String.UnicodeScalarView(edited))
      if let new = try? JSON5(result), new.value == .object(wanted) { return result }
    }
    return nil
  }
}
