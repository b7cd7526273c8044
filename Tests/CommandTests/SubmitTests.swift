// SubmitTests.swift: whose job `hotpot submit` sends where ssh led to it.

import Foundation
import Testing

@Suite struct SubmitTests {
  /// What sshd says of a session: with a command and without, with a terminal and without.
  static let sessions: [[String: String]] = [
    ["SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"],
    ["SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22", "SSH_TTY": "/dev/pts/1"],
    ["SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22", "SSH_ORIGINAL_COMMAND": "submit"],
    ["SSH_CLIENT": "192.0.2.1 50000 22"],
    ["SSH_USER_AUTH": "/nowhere"],
  ]

  @Test(arguments: sessions) func aForcedCommandThatNamesNoClientSendsNoJobOfTheOperators(
    session: [String: String]
  ) throws {
    let folder = try Folder()
    let refused = try Program.run(["submit", "--state", folder.path], input: "{}", environment: session)
    #expect(refused.status == 64)
    #expect(refused.errors.contains("this came over ssh and names no client"), "\(refused.errors)")
    #expect(refused.errors.contains("--as-operator"))
    // Whoever says so may: then there is no node.
    let meant = try Program.run(
      ["submit", "--as-operator", "--state", folder.path], input: "{}", environment: session)
    #expect(meant.status == 69, "\(meant.errors)")
  }

  @Test func atTheMachineItselfAJobIsTheOperators() throws {
    let folder = try Folder()
    #expect(try Program.run(["submit", "--state", folder.path], input: "{}").status == 69)
  }

  @Test func twoWordsOnWhoseJobItIsAreOneTooMany() throws {
    let outcome = try Program.run(["submit", "--as-operator", "--client", "bob"], input: "{}")
    #expect(outcome.status == 64 && outcome.errors.contains("wanted one of them"))
  }
}
