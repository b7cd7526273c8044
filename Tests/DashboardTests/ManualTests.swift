// ManualTests.swift: the manual's tables are the program's.
import Dashboard
import Foundation
import Terminal
import Testing

@Suite struct ManualTests {
  private struct Entry: Equatable {
    let head: String
    let words: String
  }

  /// The items of the list after a heading.
  private func items(after heading: String) throws -> [Entry] {
    let root = testFolder.deletingLastPathComponent().deletingLastPathComponent()
    let text = try String(contentsOf: root.appendingPathComponent("man/hotpot-keys.7"), encoding: .utf8)
      .replacingOccurrences(of: "\\-", with: "-").replacingOccurrences(of: "\\&", with: "")
    let lines = text.split(separator: "\n").map(String.init)
    let start = try #require(lines.firstIndex(of: heading))
    let open = try #require(lines[start...].firstIndex { $0.hasPrefix(".Bl") })
    let close = try #require(lines[open...].firstIndex(of: ".El"))
    var result: [Entry] = []
    for line in lines[(open + 1)..<close] {
      if line.hasPrefix(".It ") {
        result.append(Entry(head: String(line.dropFirst(4)), words: ""))
      } else if let last = result.popLast() {
        result.append(Entry(head: last.head, words: last.words.isEmpty ? line : last.words + " " + line))
      }
    }
    return result
  }

  @Test func theKeyTableIsTheProgramsTable() throws {
    let expected = Action.table.map {
      Entry(head: $0.keys.joined(separator: " "), words: ".Pq \($0.target.name) \($0.words)")
    }
    #expect(try items(after: ".Ss Keys") == expected)
  }

  @Test func theCommandsAreTheProgramsCommands() throws {
    let expected = LineCommand.all.map { Entry(head: ":" + $0.name, words: $0.usage) }
    #expect(try Array(items(after: ".Ss Commands").prefix(expected.count)) == expected)
  }

  @Test func everyActionIsInTheTableOnceAndEveryKeyIsBoundOnce() {
    let targets = Action.allCases.map { KeyTarget.action($0) } + Pane.all.map { KeyTarget.pane($0) }
    #expect(Set(Action.table.map(\.target)) == Set(targets))
    #expect(Action.table.count == targets.count)
    #expect(Set(targets.map(\.name)).count == targets.count)
    let keys = Action.table.flatMap(\.keys)
    #expect(Set(keys).count == keys.count)
    for key in keys { #expect(Key(name: key)?.name == key) }
    for key in KeyMap.reserved { #expect(!keys.contains(key)) }
  }

  @Test func aKeymapFileRemaps() throws {
    let map = try KeyMap(file: "# mine\ncancel = C-x F9\nleave =\n\nhelp = F1 ?   # as everywhere\n")
    #expect(map.targets[Key(.character("x"), .control)] == .action(.cancel))
    #expect(map.targets[Key("D")] == nil)
    #expect(map.targets[Key("q")] == nil)
    #expect(map.targets[Key(.function(1))] == .action(.help))
    #expect(map.targets[Key("?")] == .action(.help))
    #expect(map.keys(of: .action(.cancel)).map(\.name) == ["C-x", "F9"])
  }

  @Test func `a keymap says whose key it takes, unless the file names that action too`() throws {
    let map = try KeyMap(file: "filter = j\ncancel = x\nreject = X\nreject-all = C-x\n")
    #expect(
      map.thefts.map(\.description) == ["keymap line 1: key 'j' for filter is taken from down"])
    let last = try KeyMap(file: "hold = A\n").thefts.map(\.description)
    #expect(last == ["keymap line 1: key 'A' for hold is taken from approve-all, which has no key left"])
    #expect(try KeyMap(file: "cancel = C-x\n").thefts.isEmpty)
  }

  @Test(arguments: [
    ("cancel D", "keymap line 1: 'cancel D', wanted ACTION = KEY ..."),
    ("\nfly = F5", "keymap line 2: action 'fly', wanted a name that ? lists"),
    ("cancel = Delte", "keymap line 1: key 'Delte', wanted a key like x, C-x, M-x, F9, PgUp"),
    ("cancel = C-s", "keymap line 1: key 'C-s', wanted a key that terminals leave to programs"),
    ("cancel = w\nhold = w", "keymap line 2: key 'w', bound in line 1 too, wanted one action for a key"),
  ]) func aBrokenKeymapIsNamed(file: String, message: String) {
    #expect {
      _ = try KeyMap(file: file)
    } throws: {
      "\($0)" == message
    }
  }
}
