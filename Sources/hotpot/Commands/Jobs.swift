// Jobs.swift: `hotpot jobs`: the jobs of a running node, those that ended before, from its journal,
// and one job in full. Acts on jobs are in Queue.swift. Start at jobs.

import Accounting
import Control
import Foundation
import Node
import Scheduling

extension Command {
  static let jobs = Command(
    name: "jobs", summary: "list a running node's jobs, and those that ended", operands: "[show ID]",
    details: """
      Without options: the jobs that have not ended. --all adds those that ended, the newest first, from the journal: also
      those of earlier runs of the node, and also where none runs. --client, --outcome, --since and --until choose among
      those that ended, and mean --all. show prints all that is known of one job but its prompt and answer.
      """,
    options: NodeSetup.commonOptions + [
      .json, Option("all", "ended jobs too"), Option("watch", "print it again every second"),
      Option("client", value: "NAME", "ended jobs of this client"),
      Option(
        "outcome", value: "WORD",
        "ended jobs that are done, rejected, cancelled, expired, failed or interrupted"),
      Option("since", value: "DATE", "ended on this day or later, such as 2026-11-01"),
      Option("until", value: "DATE", "ended on this day or earlier"),
      Option("limit", value: "N", "at most so many that ended; default 200"),
    ]
  ) { arguments in
    let words = try arguments.operands(0...2, "")
    if words.first == "show" {
      guard words.count == 2 else { throw Failure(.usage, "a job's id is missing after 'show'") }
      try show(words[1], arguments)
      return .ok
    }
    guard words.isEmpty else {
      throw Failure(
        .usage, "'\(words.joined(separator: " "))' is not understood", hint: "'hotpot jobs show ID' shows one"
      )
    }
    let query = try pastQuery(arguments)
    repeat {
      let lines = try query.map { try JobLine.all(arguments, $0) } ?? JobLine.live(arguments)
      if arguments.has("watch"), !arguments.has("json") {
        Console.control("\u{1B}[H\u{1B}[2J", to: STDOUT_FILENO)
      }
      if arguments.has("json") {
        try Console.print(json: lines)
      } else {
        Console.write(StatusPage.jobs(lines, at: Date()))
      }
      if arguments.has("watch") { try await Task.sleep(for: .seconds(1)) }
    } while arguments.has("watch")
    return .ok
  }

  /// Which ended jobs are asked for; nil for none.
  private static func pastQuery(_ arguments: Arguments) throws -> PastQuery? {
    var query = PastQuery()
    query.client = arguments.string("client")
    query.since = arguments.string("since")
    query.until = arguments.string("until")
    for day in [query.since, query.until].compactMap({ $0 }) where CalendarDay.parse(day) == nil {
      throw Failure(.usage, "'\(day)' is no day, wanted one such as 2026-11-23")
    }
    if let word = arguments.string("outcome") {
      guard let outcome = JobState(rawValue: word), outcome.hasEnded else {
        let known = JobState.allCases.filter(\.hasEnded).map(\.rawValue).joined(separator: ", ")
        throw Failure(.usage, "option '--outcome' wants \(known), found '\(word)'")
      }
      query.outcome = outcome
    }
    query.limit = try arguments.int("limit", in: 1...PastQuery.mostRows) ?? query.limit
    let isAsked = ["all", "client", "outcome", "since", "until", "limit"].contains { arguments.has($0) }
    return isAsked ? query : nil
  }

  private static func show(_ id: String, _ arguments: Arguments) throws {
    let detail = try ControlClient(arguments).job(id)
    if arguments.has("json") {
      try Console.print(json: detail)
    } else {
      Console.write(StatusPage.job(detail))
    }
  }
}
