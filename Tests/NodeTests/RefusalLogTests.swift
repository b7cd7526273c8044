// RefusalLogTests.swift: jobs that were turned away, in the log: one line at once, and then sums.
import Accounting
import Synchronization
import Testing

@testable import Node

@Suite struct RefusalLogTests {
  @Test func `the first is said at once, the others once a minute with their number`() {
    let lines = Mutex<[String]>([])
    let log = RefusalLog { line in lines.withLock { $0.append(line) } }
    func said() -> [String] {
      lines.withLock { lines in
        defer { lines = [] }
        return lines
      }
    }
    log.see("bob", .clientLimit(.jobsAtOnce(limit: 2)), at: 0)
    #expect(said() == ["turned a job of bob away: this client runs 2 jobs already, which is its limit"])
    for second in 1...40 {
      log.see("bob", .clientLimit(.jobsAtOnce(limit: 2)), at: Int64(second) * 1_000_000)
    }
    log.see("aria", .undecided(seconds: 600), at: 1_000_000)
    #expect(said().count == 1)
    log.tell(at: 59_000_000)
    #expect(said() == [])
    log.tell(at: 60_000_000)
    #expect(
      said() == [
        "turned 40 more of bob away in a minute: this client runs 2 jobs already, which is its limit"
      ])
    log.tell(at: 70_000_000)
    // Alone it was said whole.
    #expect(said() == [])
    log.see("bob", .clientLimit(.jobsAtOnce(limit: 2)), at: 71_000_000)
    #expect(said().count == 1)
    // An operator's act has its own line.
    log.see("bob", .rejected("no"), at: 72_000_000)
    log.see("bob", .cancelled(by: .operator), at: 72_000_000)
    #expect(said() == [])
    // Names are free to make up.
    for number in 0..<1_000 { log.see("s\(number)", .diskFull, at: 73_000_000) }
    #expect(said().count == 255)
  }
}
