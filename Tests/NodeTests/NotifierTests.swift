// NotifierTests.swift: when the owner's command is run, and with which words.
import Dispatch
import Synchronization
import Testing

@testable import Node

@Suite struct NotifierTests {
  private func sight(_ waiting: [String: String] = [:], failed: Int = 0, _ alarms: [String] = [])
    -> Notifier.Sight
  {
    Notifier.Sight(waiting: waiting, failedAudits: failed, alarms: alarms)
  }

  @Test func `news is what was not there a moment ago`() {
    #expect(Notifier.news(nil, sight(["a": "bob"], failed: 2, ["hot"])) == [])
    let before = sight(["a": "bob"], failed: 1, ["over temperature, 91 C of 90"])
    #expect(Notifier.news(before, before) == [])
    #expect(Notifier.news(before, sight(["a": "bob", "b": "aria"])) == ["a job of aria waits for approval"])
    #expect(Notifier.news(before, sight(["b": "x", "c": "y"])) == ["2 jobs wait for approval"])
    #expect(Notifier.news(before, sight(failed: 2)) == ["an audit failed"])
    // The same alarm with another figure is not new.
    #expect(
      Notifier.news(before, sight([:], ["over temperature, 95 C of 90", "disk nearly full"])) == [
        "disk nearly full"
      ])
  }

  @Test func `the command is run once with all that came, and not in quiet hours`() throws {
    let heard = Mutex<[String]>([])
    let done = DispatchSemaphore(value: 0)
    let notifier = Notifier { command, news in
      heard.withLock { $0.append("\(command.joined(separator: " ")) | \(news)") }
      done.signal()
    }
    var configuration = try NodeConfiguration(
      file: "c", text: "{ name: 'k', notify: ['/bin/tell', '-q'], quiet_hours: '22-7' }")
    notifier.see(sight(), configuration, hour: 12)
    notifier.see(sight(["a": "bob"]), configuration, hour: 23)
    notifier.see(sight(["a": "bob", "b": "aria"], failed: 1), configuration, hour: 12)
    done.wait()
    configuration.notify = []
    notifier.see(sight(failed: 2), configuration, hour: 12)
    #expect(
      heard.withLock { $0 } == ["/bin/tell -q | hotpot k: a job of aria waits for approval; an audit failed"])
  }

  @Test func `a command is a path and its arguments`() {
    #expect {
      _ = try NodeConfiguration(file: "c", text: "{ notify: ['tell'] }")
    } throws: {
      "\($0)"
        == "c:1:3: 'notify' begins with 'tell', wanted a program's path from '/' on, and then its arguments"
    }
  }
}
