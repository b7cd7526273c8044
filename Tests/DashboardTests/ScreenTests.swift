// ScreenTests.swift: golden screens: a grid printed as text, one file each in Screens/.
// `UPDATE_SCREENS=1` rewrites them; read the difference before you commit it. Start at cases.
import Control
import Dashboard
import Foundation
import ScriptedNode
import Terminal
import Testing

/// One golden screen. Styled ones show what each cell looks like too.
struct ScreenCase: Sendable, CustomTestStringConvertible {
  let name: String
  let capabilities: Capabilities
  let isStyled: Bool
  let make: @Sendable () -> Stage

  var testDescription: String { name }
}

private let full = Capabilities(colors: .truecolor, glyphs: .unicode)

private func plain(_ name: String, _ make: @escaping @Sendable () -> Stage) -> ScreenCase {
  ScreenCase(name: name, capabilities: full, isStyled: false, make: make)
}

private func busy(_ size: Size, _ keys: [String] = [], glyphs: GlyphLevel = .unicode) -> Stage {
  var stage = Stage(.busy(), size: size, glyphs: glyphs)
  stage.take(.node(.history(stage.node.history(seconds: 900))))
  stage.second(4)
  for key in keys { stage.press(key) }
  stage.refresh()
  stage.wait(milliseconds: 9000)
  stage.take(.node(.snapshot(stage.node.snapshot())))
  return stage
}

/// A node that shares its queue with others.
private func sharing(_ size: Size, unreachedSince: Microseconds? = nil) -> Stage {
  var node = ScriptedNode.busy()
  let jobs = node.jobs.filter { $0.state == .running }
  node.sharedQueue = SharedQueueSnapshot(
    stream: "HOTPOT", server: "127.0.0.1:4222", version: "2.14.0", unreachedSince: unreachedSince,
    trouble: unreachedSince == nil ? nil : "connection refused",
    depths: [
      .init(name: "hi", waiting: 0, leased: 1, redelivered: 0, pulls: 2),
      .init(name: "std", waiting: 1_204, leased: 7, redelivered: 1, pulls: 2),
      .init(name: "lo", waiting: 87, leased: 0, redelivered: 0, pulls: 2),
    ],
    leases: jobs.enumerated().map {
      .init(job: $0.element.id, client: $0.element.client, delivery: $0.offset == 1 ? 2 : 1)
    }, passedOn: 3, passedOnInAll: 418)
  var stage = Stage(node, size: size)
  stage.second(4)
  stage.press("Q")
  stage.refresh()
  return stage
}

/// Forty jobs have ended when twelve new ones come.
private func ended(_ size: Size, _ keys: [String] = []) -> Stage {
  var node = ScriptedNode.busy(queued: 0)
  for index in 0..<40 {
    var job = ScriptedNode.Job(
      id: "e" + String(100 + index) + "000000000000", state: .done, client: "garden-bot", prompt: 40,
      promptDone: 40, output: 20, limit: 20, rate: 40, submitted: node.time - Int64(100 - index) * 1_000_000)
    job.ended = node.time - Int64(60 - index) * 1_000_000
    node.add(job)
  }
  var stage = Stage(node, size: size)
  stage.second(4)
  for index in 0..<9 {
    stage.node.add(
      ScriptedNode.Job(
        id: "f" + String(100 + index) + "000000000000", state: .queued, client: "tomas-lab", prompt: 40,
        limit: 400, rate: 40, submitted: stage.node.time))
  }
  for key in keys { stage.press(key) }
  stage.second(2)
  stage.wait(milliseconds: 9000)
  stage.refresh()
  return stage
}

private let screenCases: [ScreenCase] = {
  var cases: [ScreenCase] = []
  for (width, height) in [
    (40, 10), (60, 20), (80, 24), (100, 30), (80, 50), (120, 40), (200, 50), (132, 43), (400, 120),
  ] {
    cases.append(plain("overview-\(width)x\(height)") { busy(Size(width, height)) })
  }
  for pane in Pane.all where pane != .chat {
    for (width, height) in [(40, 10), (80, 24), (120, 40)] {
      cases.append(
        plain("zoom-\(pane.name)-\(width)x\(height)") {
          busy(Size(width, height), [pane.key ?? "", "+"])
        })
    }
  }
  cases.append(plain("zoom-chat-80x24") { busy(Size(80, 24), ["7", "Esc", "+"]) })
  for glyphs in [GlyphLevel.block, .console, .ascii] {
    for (width, height) in [(80, 24), (200, 50)] {
      cases.append(
        ScreenCase(
          name: "glyphs-\(glyphs.rawValue)-\(width)x\(height)",
          capabilities: Capabilities(colors: .sixteen, glyphs: glyphs), isStyled: false
        ) { busy(Size(width, height), glyphs: glyphs) })
    }
  }
  for colors in ColorLevel.allCases {
    for theme in ["terminal", "hotpot", "mono"] {
      cases.append(
        ScreenCase(
          name: "colors-\(colors.rawValue)-\(theme)",
          capabilities: Capabilities(colors: colors, glyphs: .unicode),
          isStyled: true
        ) {
          var options = DashboardOptions()
          options.theme = (Theme.shipped(theme) ?? options.theme).adapted(to: colors)
          var stage = Stage(.busy(), size: Size(80, 24), options: options)
          stage.second(6)
          stage.press("2")
          return stage
        })
    }
  }
  for theme in ["deutan", "tritan", "high-contrast", "light"] {
    cases.append(
      ScreenCase(name: "theme-\(theme)", capabilities: full, isStyled: true) {
        var options = DashboardOptions()
        options.theme = Theme.shipped(theme) ?? options.theme
        var stage = Stage(.busy(), size: Size(80, 24), options: options)
        stage.second(6)
        return stage
      })
  }
  cases += [
    plain("ended-80x24") { ended(Size(80, 24)) },
    plain("ended-zoomed-80x24") { ended(Size(80, 24), ["+"]) },
    plain("ended-zoomed-40x10") { ended(Size(40, 10), ["G", "k"]) },
    plain("ended-120x30") { ended(Size(120, 30)) },
    plain("ended-resized-80x24") {
      var stage = ended(Size(120, 30))
      stage.take(.resized(Size(80, 20)))
      stage.take(.resized(Size(80, 24)))
      return stage
    },
    plain("client-detail-80x24") { busy(Size(80, 24), ["0", "Enter"]) },
    plain("log-line-80x24") { busy(Size(80, 24), ["8", "k", "Enter"]) },
    plain("client-token") {
      var stage = busy(Size(80, 24), ["0"])
      stage.press(":")
      stage.type("add-client greta")
      stage.press("Enter")
      return stage
    },
    plain("shutdown-how") {
      var stage = Stage(.busy())
      stage.press(":")
      stage.type("shutdown")
      stage.press("Enter")
      return stage
    },
    plain("an-operator-120x30") {
      var stage = Stage(.busy(), size: Size(120, 30))
      stage.take(.node(.welcome(Welcome(name: "anna", role: .operator, absence: nil))))
      return stage
    },
    plain("a-viewer-120x30") {
      var stage = Stage(.busy(), size: Size(120, 30))
      stage.take(.node(.welcome(Welcome(name: "anna", role: .viewer, absence: nil))))
      stage.press("2")
      return stage
    },
    plain("idle") { Stage(ScriptedNode()) },
    plain("idle-200x50") { Stage(ScriptedNode(), size: Size(200, 50)) },
    plain("paused") {
      var node = ScriptedNode.busy()
      node.state = .paused
      return Stage(node)
    },
    plain("draining") {
      var node = ScriptedNode.busy()
      node.state = .draining
      return Stage(node)
    },
    plain("loading") {
      var node = ScriptedNode()
      node.state = .loading
      return Stage(node)
    },
    plain("read-only-journal") {
      var node = ScriptedNode.busy()
      node.state = .readOnly
      node.alarms = ["journal: no space left on device; free some and restart"]
      return Stage(node)
    },
    plain("alarm") {
      var node = ScriptedNode.busy()
      node.alarms = ["cpu at 96 degrees: slowed down"]
      return Stage(node)
    },
    plain("no-sensors-200x50") {
      var node = ScriptedNode.busy()
      node.hasGPU = false
      node.hasSensors = false
      return Stage(node, size: Size(200, 50))
    },
    plain("first-run") {
      var node = ScriptedNode()
      node.state = .noModel
      return Stage(node)
    },
    plain("first-run-40x10") {
      var node = ScriptedNode()
      node.state = .noModel
      return Stage(node, size: Size(40, 10))
    },
    plain("first-run-fetching") {
      var node = ScriptedNode()
      node.state = .noModel
      var stage = Stage(node)
      stage.press("y")
      stage.wait(milliseconds: 9000)
      stage.refresh()
      return stage
    },
    plain("first-run-failed") {
      var node = ScriptedNode()
      node.state = .noModel
      var stage = Stage(node)
      stage.take(
        .node(
          .pull(
            PullProgress(
              model: "smollm2", phase: .failed, bytes: 100, total: nil, detail: "the digest differs"))))
      stage.wait(milliseconds: 9000)
      stage.refresh()
      return stage
    },
    plain("connecting") {
      var stage = Stage()
      stage.model = DashboardModel(size: Size(80, 24), glyphs: .unicode, options: DashboardOptions())
      return stage
    },
    plain("link-lost") {
      var stage = Stage()
      stage.wait(milliseconds: 12_000)
      stage.take(.node(.link(.lost(since: 0, reason: "connection reset"))))
      stage.take(.tick)
      return stage
    },
    plain("node-silent") {
      var stage = Stage()
      stage.wait(milliseconds: 12_000)
      stage.take(.tick)
      return stage
    },
    plain("help") { busy(Size(80, 24), ["?"]) },
    plain("help-search") {
      var stage = busy(Size(80, 24), ["?"])
      stage.type("priority")
      return stage
    },
    plain("help-40x10") { busy(Size(40, 10), ["?"]) },
    plain("confirm-cancel") {
      var stage = busy(Size(80, 24))
      stage.press("Space", "Space", "D")
      return stage
    },
    plain("reject-reasons") {
      var stage = busy(Size(80, 24))
      stage.press("2", "x", "Down")
      return stage
    },
    plain("shutdown-name") {
      var stage = busy(Size(80, 24))
      stage.press(":")
      stage.type("shutdown")
      stage.press("Enter", "d")
      stage.type("kitch")
      return stage
    },
    plain("filter-typing") {
      var stage = busy(Size(80, 24))
      stage.press("/")
      stage.type("garden")
      return stage
    },
    plain("filter-none") {
      var stage = busy(Size(80, 24))
      stage.press("/")
      stage.type("nobody")
      stage.press("Enter")
      return stage
    },
    plain("tags-and-sort") {
      var stage = busy(Size(80, 24))
      stage.press("Space", "Space", ">", ">")
      return stage
    },
    plain("frozen") {
      var stage = busy(Size(80, 24))
      stage.press("Z")
      stage.second(5)
      return stage
    },
    plain("read-only") {
      var options = DashboardOptions()
      options.isReadOnly = true
      return Stage(.busy(), options: options)
    },
    plain("job-detail-80x24") {
      var stage = busy(Size(80, 24))
      stage.press("Enter")
      return stage
    },
    plain("job-detail-no-meter-80x24") {
      var node = ScriptedNode.busy()
      node.hasSensors = false
      var stage = Stage(node, size: Size(80, 24))
      stage.press("Enter")
      return stage
    },
    plain("job-detail-40x10") {
      var stage = busy(Size(40, 10))
      stage.press("Enter")
      return stage
    },
    plain("job-detail-revealed-120x40") {
      var stage = busy(Size(120, 40))
      stage.press("Enter", "r")
      stage.take(.node(.text(job: stage.model.selected ?? "", " More of the answer comes as it is written.")))
      return stage
    },
    plain("approval-detail") {
      var stage = busy(Size(80, 24))
      stage.press("2", "Enter")
      return stage
    },
    plain("receipt-detail") {
      var stage = busy(Size(80, 24))
      stage.press("5", "Enter", "j", "Enter")
      return stage
    },
    plain("chat-typing") {
      var stage = busy(Size(80, 24), ["7"])
      stage.type("What is a checkpoint? 漢字 é")
      return stage
    },
    plain("chat-answering-200x50") {
      var stage = busy(Size(200, 50), ["i"])
      stage.type("What is a checkpoint?")
      stage.press("Enter")
      stage.take(
        .node(
          .chat(
            .text("A checkpoint is a signed statement of the log's size and of its root hash.\n\nIt lets "))))
      stage.take(
        .node(
          .chat(.text("anyone prove that a receipt is in the log, and that nothing was taken out of it."))))
      return stage
    },
    plain("hostile-names") {
      var node = ScriptedNode()
      for (index, name) in [
        "\u{1B}[2J\u{1B}]0;owned\u{07}", "a\u{202E}gpj.exe", "👩‍👩‍👧 family 🇩🇪", "漢字漢字漢字漢字漢字",
        "e\u{301}\u{302}\u{303} zalgo",
      ].enumerated() {
        node.add(
          ScriptedNode.Job(
            id: "\(index)000000000000000", state: .running, client: name, prompt: 10, promptDone: 10,
            output: index * 100, limit: 500,
            rate: 10, submitted: ScriptedNode.start))
      }
      return Stage(node)
    },
    plain("queue-80x24") { sharing(Size(80, 24)) },
    plain("queue-200x50") { sharing(Size(200, 50)) },
    plain("queue-40x10") { sharing(Size(40, 10)) },
    plain("queue-lost-120x30") {
      sharing(Size(120, 30), unreachedSince: ScriptedNode.start - 90_000_000)
    },
    plain("debug") {
      var stage = busy(Size(80, 24))
      stage.press(":")
      stage.type("debug")
      stage.press("Enter")
      return stage
    },
    plain("sweep-200x50") {
      var options = DashboardOptions()
      options.graphs = .sweep
      var stage = Stage(.busy(), size: Size(200, 50), options: options)
      stage.take(.node(.history(stage.node.history(seconds: 900))))
      stage.second(6)
      return stage
    },
  ]
  return cases
}()

@Suite struct ScreenTests {
  @Test(arguments: screenCases) func screenIsAsItsFile(_ item: ScreenCase) throws {
    let grid = item.make().screen.degraded(to: item.capabilities)
    let text = item.isStyled ? grid.styledText : grid.text
    let file = testFolder.appendingPathComponent("Screens/\(item.name).txt")
    if ProcessInfo.processInfo.environment["UPDATE_SCREENS"] != nil {
      try text.write(to: file, atomically: true, encoding: .utf8)
      return
    }
    let wanted = try String(contentsOf: file, encoding: .utf8)
    let (shown, expected) = (text.split(separator: "\n"), wanted.split(separator: "\n"))
    for (index, (a, b)) in zip(shown, expected).enumerated() where a != b {
      Issue.record(
        "\(item.name) line \(index + 1) shows\n\(a)\nwanted\n\(b)\nUPDATE_SCREENS=1 takes the new one")
      break
    }
    #expect(shown.count == expected.count, "\(item.name)")
  }

  @Test func thereAreAtLeastSixtyAndNoFileWithoutACase() throws {
    let folder = testFolder.appendingPathComponent("Screens")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter {
      $0.hasSuffix(".txt")
    }
    #expect(screenCases.count >= 60)
    #expect(Set(files) == Set(screenCases.map { $0.name + ".txt" }))
  }

  @Test func everySizeIsDrawn() {
    var stage = busy(Size(80, 24))
    for width in stride(from: 1, through: 400, by: 13) {
      for height in stride(from: 1, through: 120, by: 7) {
        stage.take(.resized(Size(width, height)))
        let grid = stage.screen
        #expect(grid.size == Size(width, height))
      }
    }
  }

  @Test func theSameModelGivesTheSameGrid() {
    let (a, b) = (busy(Size(132, 43)), busy(Size(132, 43)))
    #expect(a.screen == b.screen)
  }

  /// 960 bytes go over a line of 9,600 bytes a second in 100 ms.
  @Test(arguments: [Size(80, 24), Size(200, 50)]) func helpIsSmallEnoughForASlowLine(size: Size) {
    var stage = busy(size)
    let before = stage.screen
    stage.press("?")
    let after = stage.screen
    var changed = 0
    for y in 0..<size.height {
      for x in 0..<size.width where before[x, y] != after[x, y] { changed += 1 }
    }
    #expect(changed > 100 && changed < 760, "\(changed) cells")
  }
}
