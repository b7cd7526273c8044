import Control
import Foundation
import Intake
import Testing

@testable import Node

/// Who may do what over the control socket: every request, asked by every role of a real node.
@Suite struct RoleTests {
  /// One row a request: may a client, a viewer, an operator, the owner, and an owner who asked to look only.
  static let table = """
    hello                yes yes yes yes yes
    hello-every          no  yes yes yes yes
    seen                 no  yes yes yes yes
    snapshot             no  yes yes yes yes
    submit               yes no  yes yes no
    clients              no  yes yes yes yes
    earnings             no  yes yes yes yes
    export-receipt       no  yes yes yes yes
    export-voucher       no  yes yes yes yes
    past                 no  yes yes yes yes
    cosign               no  no  yes yes no
    read-public          no  yes yes yes yes
    offer-sample         no  no  no  yes no
    add-client           no  no  no  yes no
    revoke-client        no  no  no  yes no
    limit-client         no  no  no  yes no
    settle               no  no  no  yes no
    deposit              no  no  no  yes no
    correct              no  no  no  yes no
    statement            no  no  no  yes no
    set-limits           no  no  no  yes no
    set-key              no  no  no  yes no
    voucher              no  no  no  yes no
    inspect              no  yes yes yes yes
    receipt              no  yes yes yes yes
    history              no  yes yes yes yes
    past-jobs            no  yes yes yes yes
    approve              no  no  yes yes no
    reject               no  no  yes yes no
    hold                 no  no  yes yes no
    release              no  no  yes yes no
    priority             no  no  yes yes no
    move                 no  no  yes yes no
    cancel               no  no  yes yes no
    pause                no  no  yes yes no
    resume               no  no  yes yes no
    drain                no  no  yes yes no
    undrain              no  no  yes yes no
    reveal               no  no  yes yes no
    conceal              no  no  yes yes no
    verify               no  no  yes yes no
    chat                 no  no  yes yes no
    stop-chat            no  no  yes yes no
    keep-chats           no  no  yes yes no
    pull                 no  no  no  yes no
    cancel-pull          no  no  no  yes no
    reload               no  no  no  yes no
    administer           no  no  no  yes no
    shutdown             no  no  no  yes no
    """

  /// A row's request as a line.
  static func line(_ name: String) -> [UInt8]? {
    if let verb = verb(name) { return ControlProtocol.line(VerbRequest(tag: 7, verb)) }
    return request(name).map { ControlProtocol.line($0) }
  }

  private static func verb(_ name: String) -> (any Verb)? {
    switch name {
    case "clients": ListClients()
    case "earnings": ShowEarnings()
    case "export-receipt": ExportReceipt(id: "0123456789abcdef")
    case "export-voucher": ExportVoucher(client: "bob")
    case "read-public": ReadPublic(path: "checkpoint")
    case "offer-sample": OfferSample(bundle: "")
    case "past": ListPast(query: PastQuery())
    case "cosign": Cosign(checkpoint: "", signature: "", witnesses: "")
    case "add-client": AddClient(name: "mallory")
    case "revoke-client": RevokeClient(name: "mallory")
    case "limit-client": LimitClient(name: "mallory", budget: "1")
    case "settle": Settle(client: "mallory", amount: "1", reference: "r")
    case "deposit": PayAhead(client: "mallory", amount: "1", reference: "r")
    case "correct": Correct(client: "mallory", amount: "1", reason: "r")
    case "statement": MakeStatement(client: "mallory", form: .csv)
    case "set-limits": SetLimits(name: "mallory", changes: LimitChanges(budget: "1"))
    case "set-key": SetKey(name: "mallory", key: "")
    case "voucher": GiveVoucher(client: "mallory", text: "", signature: "")
    default: nil
    }
  }

  private static func request(_ name: String) -> ControlRequest? {
    let command: NodeCommand
    let job = "0123456789abcdef"
    switch name {
    case "hello": return .hello(version: ControlProtocol.version, every: 0, readOnly: false)
    case "hello-every": return .hello(version: ControlProtocol.version, every: 3_600_000, readOnly: false)
    case "seen": return .seen(sequence: 1)
    case "snapshot": return .snapshot(tag: 7)
    case "submit": return .submit(tag: 7, chat: true, body: "{}")
    case "inspect": command = .inspect(job: job)
    case "receipt": command = .receipt(id: job)
    case "history": command = .history
    case "past-jobs": command = .past(PastQuery())
    case "approve": command = .approve(jobs: [job])
    case "reject": command = .reject(jobs: [job], reason: "no")
    case "hold": command = .hold(jobs: [job])
    case "release": command = .release(jobs: [job])
    case "priority": command = .setPriority(jobs: [job], priority: 3)
    case "move": command = .move(job: job, by: 1)
    case "cancel": command = .cancel(jobs: [job])
    case "pause": command = .pause
    case "resume": command = .resume
    case "drain": command = .drain
    case "undrain": command = .undrain
    case "reveal": command = .reveal(job: job)
    case "conceal": command = .conceal(job: job)
    case "verify": command = .verify(receipt: job)
    case "chat":
      command = .chat(ChatRequest(messages: [], temperature: 0, maxTokens: 1, seed: 1))
    case "stop-chat": command = .stopChat
    case "keep-chats": command = .keepChats(ChatBook(conversations: [], current: 0))
    case "pull": command = .pull(model: "no such model")
    case "cancel-pull": command = .cancelPull
    case "reload": command = .reload
    case "administer": command = .administer(.add(name: "mallory2"))
    case "shutdown": command = .shutdown(drain: false)
    default: return nil
    }
    return .command(tag: 7, command: command)
  }

  static let columns = ["client", "viewer", "operator", "owner", "read-only"]

  static func connect(_ state: String, _ requests: [ControlRequest]) throws -> LineClient {
    try connect(state, lines: requests.map { ControlProtocol.line($0) })
  }

  static func connect(_ state: String, lines: [[UInt8]]) throws -> LineClient {
    let client = try LineClient(path: state + "/control.sock")
    do throws(ServerError) {
      for line in lines { try client.send(line) }
    } catch .connectionClosed {
      // Turned away before all was said; why stands in what is read next.
    }
    return client
  }

  /// Whether what was asked got past the table, whatever became of it then.
  static func isAllowed(_ state: String, _ column: String, _ name: String) throws -> Bool {
    let line = try #require(Self.line(name), "\(name)")
    let first: ControlRequest =
      switch column {
      case "client": .restrict(role: .client, name: nil, key: "SHA256:" + String(repeating: "A", count: 43))
      case "viewer": .restrict(role: .viewer, name: "tom", key: nil)
      case "operator": .restrict(role: .operator, name: "anna", key: nil)
      case "owner": .restrict(role: .owner, name: nil, key: nil)
      default: .hello(version: ControlProtocol.version, every: 0, readOnly: true)
      }
    // A greeting at the end: what is asked in between is answered before it, also where nothing is said.
    let last = ControlRequest.hello(version: ControlProtocol.version, every: 0, readOnly: false)
    let client = try connect(state, lines: [ControlProtocol.line(first), line, ControlProtocol.line(last)])
    let isHello = name.hasPrefix("hello")
    var greetings = 1 + (isHello ? 1 : 0)
    if case .hello = first { greetings += 1 }
    var isDenied = false
    while greetings > 0, let answer = try client.receive() {
      let reply = try #require(ControlProtocol.parse(ControlReply.self, answer))
      switch reply {
      case .denied:
        isDenied = true
        if isHello { greetings -= 1 }
      case .hello: greetings -= 1
      case .message, .snapshot, .chunk, .ended, .clients, .token, .bundle, .file, .earnings, .past,
        .statement, .voucher, .refused, .done:
        break
      }
    }
    return !isDenied
  }

  @Test func everyRequestOfEveryRoleIsAnsweredAsTheTableSays() throws {
    let scratch = try ScratchDirectory()
    var state = scratch.path + "/state"
    var node = try AccountsTests().start(state)
    var cells = 0
    for row in Self.table.split(separator: "\n") {
      let words = row.split(separator: " ").map(String.init)
      if words[0] == "shutdown" {
        // What was denied left no act behind.
        let acts = node.snapshot().log.filter { $0.level == .act }.compactMap(\.who)
        #expect(!acts.contains("tom") && !acts.contains("mallory"))
      }
      for (column, wanted) in zip(Self.columns, words.dropFirst()) {
        let isAllowed = try Self.isAllowed(state, column, words[0])
        #expect(isAllowed == (wanted == "yes"), "\(words[0]) by \(column)")
        cells += 1
        if words[0] == "shutdown", isAllowed {
          node.waitUntilStopped()
          // The node that stopped keeps its directory as long as it is there.
          state += "-again"
          node = try AccountsTests().start(state)
        }
      }
    }
    #expect(cells == 245)
    AccountsTests().end(node)
  }

  @Test func rightsAreOnlyEverTakenAway() throws {
    let scratch = try ScratchDirectory()
    let node = try AccountsTests().start(scratch.path)
    let hello = ControlRequest.hello(version: ControlProtocol.version, every: 0, readOnly: false)
    func replies(_ requests: [ControlRequest]) throws -> [String] {
      let client = try Self.connect(scratch.path, requests)
      var found: [String] = []
      // The last request is a snapshot's: its answer, a refusal of it or the end of the connection ends the reading.
      while let line = try client.receive() {
        switch ControlProtocol.parse(ControlReply.self, line) {
        case .hello: found.append("hello")
        case .denied(let tag, let reason):
          found.append("denied: \(reason)")
          if tag == 9 { return found }
        case .snapshot:
          found.append("snapshot")
          return found
        default: found.append(String(decoding: line.prefix(60), as: UTF8.self))
        }
      }
      return found + ["closed"]
    }
    let pause = ControlRequest.command(tag: 8, command: .pause)
    let end = ControlRequest.snapshot(tag: 9)
    let viewer = ControlRequest.restrict(role: .viewer, name: "tom", key: nil)
    // Greeting again without `readOnly` gives nothing back.
    let readOnly = ControlRequest.hello(version: ControlProtocol.version, every: 0, readOnly: true)
    #expect(
      try replies([readOnly, hello, pause, end]) == [
        "hello", "hello", "denied: you are a viewer here, and this is for an operator", "snapshot",
      ])
    #expect(
      try replies([viewer, hello, pause, end]) == [
        "hello", "denied: you are a viewer here, and this is for an operator", "snapshot",
      ])
    // Who it is for is said once.
    for second in [Role.owner, .client] {
      #expect(
        try replies([viewer, .restrict(role: second, name: "tom", key: nil), hello, end]) == [
          "denied: who a connection is for must be said first", "closed",
        ])
    }
    #expect(
      try replies([hello, viewer, end]) == [
        "hello", "denied: who a connection is for must be said first", "closed",
      ])
    #expect(
      try replies([.restrict(role: .client, name: "bob", key: nil), end]) == [
        "denied: there is no active client 'bob'; 'hotpot clients add bob' makes one", "closed",
      ])
    #expect(
      try replies([.restrict(role: .viewer, name: "a\u{1B}[2J", key: nil), end]).first?.hasPrefix(
        "denied: 'a") == true)
    let stranger = "SHA256:" + String(repeating: "B", count: 43)
    #expect(
      try replies([.restrict(role: nil, name: nil, key: stranger), end]) == [
        "denied: no key \(stranger) stands under 'control' in this node's configuration", "closed",
      ])
    AccountsTests().end(node)
  }

  /// First lines that were to take rights away and cannot be read, or not all of them.
  static let unreadable = [
    #"{"restrict":{"role":"auditor","name":"tom"}}"#, #"{"restrict":{"role":7}}"#, #"{"restrict":"viewer"}"#,
    #"{"restrict":{"role":"viewer","name":["tom"]}}"#, #"{"restrict":{}}"#, #"{"restrict":{"name":"tom"}}"#,
    #"{"restrict":{"rolle":"viewer"}}"#, #"{"restrict":{"role":"owner","read_only":true}}"#,
    #"{"restrict":{"role":"owner","role":"viewer"}}"#, #"{"restrict":{"role":"viewer"},"hello":{}}"#,
    #"{"restrict":{"role":"viewer""#, #"{"RESTRICT":{"role":"viewer"}}"#, #"{"confine":{"role":"viewer"}}"#,
    "",
    #"{"restrict":{"role":"viewer","name":"no name"}}"#, #"{"restrict":{"role":"client","name":"nobody"}}"#,
    #"{"hello":{"version":2,"every":0,"read_only":"yes"}}"#, #"{"hello":{"version":2,"every":0}}"#,
    #"{"hello":{"version":2,"every":0,"read_only":false,"only":"jobs"}}"#,
  ]

  /// What follows comes in one piece with them, as ssh may deliver it.
  @Test func whatCannotBeReadOfTakingRightsAwayEndsTheConnection() throws {
    let scratch = try ScratchDirectory()
    let node = try AccountsTests().start(scratch.path)
    defer { AccountsTests().end(node) }
    let rest = [
      String(
        decoding: ControlProtocol.line(VerbRequest(tag: 5, AddClient(name: "mallory"))), as: UTF8.self),
      String(decoding: ControlProtocol.line(ControlRequest.snapshot(tag: 9)), as: UTF8.self),
    ]
    func replies(_ first: [String]) throws -> [String] {
      let client = try LineClient(path: scratch.path + "/control.sock")
      do throws(ServerError) {
        try client.send(Array((first + rest).joined(separator: "\n").utf8))
      } catch .connectionClosed {
        // Turned away before all was said.
      }
      var found: [String] = []
      while let line = try client.receive() {
        switch ControlProtocol.parse(ControlReply.self, line) {
        case .refused: found.append("refused")
        case .denied: found.append("denied")
        case .token: found.append("token")
        case .snapshot: return found + ["snapshot"]
        case .hello: found.append("hello")
        default: found.append("something")
        }
      }
      return found + ["closed"]
    }
    for line in Self.unreadable {
      let found = try replies([line])
      #expect(found == ["refused", "closed"] || found == ["denied", "closed"], "\(line): \(found)")
    }
    // Also when it comes late, where it would have been refused.
    let hello = #"{"hello":{"version":2,"every":0,"read_only":false}}"#
    #expect(try replies([hello, #"{"restrict":{"role":"auditor"}}"#]) == ["hello", "refused", "closed"])
    #expect(node.accounts.clientRows().isEmpty)
    // Another line that cannot be read is only refused, and one that can be is done.
    #expect(try replies([hello, #"{"sing":{"tag":4}}"#]) == ["hello", "refused", "token", "snapshot"])
  }

  @Test func aLimitThatIsNotKnownIsNotPassedOver() throws {
    let scratch = try ScratchDirectory()
    let node = try AccountsTests().start(scratch.path)
    defer { AccountsTests().end(node) }
    _ = node.accounts.addClient("aria", by: Operator("test"))
    let client = try LineClient(path: scratch.path + "/control.sock")
    for (line, wanted) in [
      (#"{"set_limits":{"tag":1,"name":"aria","changes":{"tokens_a_day":"5"}}}"#, "refused"),
      (#"{"limit_client":{"tag":2,"name":"aria","budget":"1","period":"day"}}"#, "refused"),
      (#"{"set_limits":{"tag":3,"name":"aria","changes":{"tokens_per_day":"5"}}}"#, "done"),
    ] {
      try client.send(Array(line.utf8))
      let reply = try #require(try client.receive())
      let found =
        switch ControlProtocol.parse(ControlReply.self, reply) {
        case .refused: "refused"
        case .done: "done"
        default: String(decoding: reply, as: UTF8.self)
        }
      #expect(found == wanted, "\(line)")
    }
    #expect(node.accounts.clientRows().map(\.tokensPerDay) == [5])
  }

  @Test func aKeyHasTheRoleThatTheConfigurationGivesIt() throws {
    let scratch = try ScratchDirectory()
    let (anna, tom) = (String(repeating: "a", count: 43), String(repeating: "t", count: 43))
    let node = try AccountsTests().start(
      scratch.path,
      "{ http: { listen: 'none' }, control: { operators: ['SHA256:\(anna) anna'], viewers: ['SHA256:\(tom)'] } }"
    )
    func welcome(_ requests: [ControlRequest]) throws -> Welcome? {
      let client = try Self.connect(
        scratch.path, requests + [.hello(version: ControlProtocol.version, every: 1_000, readOnly: false)])
      while let line = try client.receive() {
        if case .message(.welcome(let welcome)) = ControlProtocol.parse(ControlReply.self, line) {
          return welcome
        }
      }
      return nil
    }
    func key(_ digest: String, _ role: Role? = nil) -> ControlRequest {
      .restrict(role: role, name: nil, key: "SHA256:\(digest)")
    }
    #expect(try welcome([key(anna)]) == Welcome(name: "anna", role: .operator, absence: nil))
    #expect(try welcome([key(tom)]) == Welcome(name: "SHA256:tttttttttttt", role: .viewer, absence: nil))
    // The forced command may give less than the configuration.
    #expect(try welcome([key(anna, .viewer)]) == Welcome(name: "anna", role: .viewer, absence: nil))
    #expect(try welcome([])?.role == .owner)
    // Conversations wait for their operator, and for nobody else.
    let book = ChatBook(
      conversations: [.init(messages: [.init(role: .user, content: "salt?")])], current: 0)
    let screen = try Self.connect(
      scratch.path,
      [
        key(anna), .hello(version: ControlProtocol.version, every: 0, readOnly: false),
        .command(tag: 7, command: .keepChats(book)),
      ])
    var isKept = false
    while !isKept, let line = try screen.receive() {
      isKept = ControlProtocol.parse(ControlReply.self, line) == .message(.reply(tag: 7, .done("")))
    }
    #expect(isKept)
    #expect(try welcome([key(anna)])?.chats == book)
    #expect(try welcome([key(anna, .viewer)])?.chats == nil)
    #expect(try welcome([])?.chats == nil)
    AccountsTests().end(node)
  }

  @Test func aPeerOfAnotherVersionIsToldSo() throws {
    let scratch = try ScratchDirectory()
    let node = try AccountsTests().start(scratch.path)
    for version in [1, ControlProtocol.version + 1] {
      let client = try Self.connect(scratch.path, [.hello(version: version, every: 1_000, readOnly: false)])
      // It reads the greeting of every version, then why it is turned away, then the end.
      guard
        case .hello(let mine, _, _) = try client.receive().flatMap({
          ControlProtocol.parse(ControlReply.self, $0)
        })
      else {
        Issue.record("no greeting for version \(version)")
        return
      }
      #expect(mine == ControlProtocol.version)
      guard
        case .refused(0, let reason) = try client.receive().flatMap({
          ControlProtocol.parse(ControlReply.self, $0)
        })
      else {
        Issue.record("no reason for version \(version)")
        return
      }
      #expect(
        reason.hasPrefix("you speak control protocol \(version), this node \(ControlProtocol.version) "))
      #expect(try client.receive() == nil)
    }
    AccountsTests().end(node)
  }

  /// A screen that reads nothing gets two snapshots and then no more, until it says that it has seen one: then the newest.
  @Test func aSlowScreenIsShownThePresent() throws {
    let scratch = try ScratchDirectory()
    let node = try AccountsTests().start(scratch.path)
    let client = try Self.connect(
      scratch.path, [.hello(version: ControlProtocol.version, every: 100, readOnly: false)])
    func nextSnapshot() throws -> UInt64 {
      while let line = try client.receive() {
        if case .message(.snapshot(let snapshot)) = ControlProtocol.parse(ControlReply.self, line) {
          return snapshot.sequence
        }
      }
      return 0
    }
    _ = try nextSnapshot()
    _ = try nextSnapshot()
    // The node's own count goes on; nothing of it comes here.
    for _ in 0..<50 { _ = node.snapshot() }
    let before = node.snapshot().sequence
    node.screens.publishNow()
    node.screens.publishNow()
    try client.send(ControlProtocol.line(ControlRequest.seen(sequence: 1)))
    #expect(try nextSnapshot() > before + 1)
    AccountsTests().end(node)
  }
}

/// Names in `control.operators` and `control.viewers`, and who they are.
@Suite struct ControlAccessTests {
  static let digest = String(repeating: "x", count: 43)

  @Test(arguments: [
    ("anna", ControlAccess.Entry.user("anna")), ("1001", .uid(1001)), ("group:staff", .group("staff")),
    ("SHA256:\(digest)", .key("SHA256:\(digest)", name: nil)),
    ("SHA256:\(digest) ben", .key("SHA256:\(digest)", name: "ben")),
  ])
  func anEntryIsRead(_ text: String, _ wanted: ControlAccess.Entry) {
    #expect(ControlAccess.Entry(text) == wanted)
  }

  @Test(arguments: [
    "", " ", "anna ben", "group:", "group:a b", "SHA256:short", "SHA256:\(digest)x",
    "SHA256:\(digest) a\u{1B}",
    "-1", "an\u{0}na", String(repeating: "a", count: 65),
  ])
  func whatIsNoEntryIsRefused(_ text: String) {
    #expect(ControlAccess.Entry(text) == nil)
  }

  @Test func usersAreKnownByUidNameAndGroup() {
    var access = ControlAccess()
    access.operators = [.uid(1001), .group("kitchen")]
    access.viewers = [.user("tom"), .user("anna")]
    let directory = ControlAccess.Directory(
      userName: { [1001: "anna", 1002: "ben", 1003: "tom", 1004: "eve", 0: "root", 7: "node"][$0] },
      groups: { $0 == 1002 ? ["users", "kitchen"] : ["users"] })
    func who(_ uid: UInt32) -> String {
      access.identify(uid: uid, owner: 7, directory).map { "\($0.name) \($0.role)" } ?? "nobody"
    }
    #expect(who(7) == "node owner")
    #expect(who(0) == "root owner")
    // The higher of two roles counts.
    #expect(who(1001) == "anna operator")
    #expect(who(1002) == "ben operator")
    #expect(who(1003) == "tom viewer")
    #expect(who(1004) == "nobody")
    #expect(who(4242) == "nobody")
  }

  @Test func theMachinesOwnDirectoryKnowsThisUser() {
    let directory = ControlAccess.Directory.system
    #expect(directory.userName(0) == "root")
    #expect(directory.groups(0).contains("root"))
    #expect(directory.userName(4_000_000_000) == nil)
    #expect(directory.groups(4_000_000_000) == [])
  }
}

/// What somebody is told who comes back.
@Suite struct AbsenceTests {
  @Test func absencesAreDifferences() {
    let absences = Absences()
    let minute: Microseconds = 60_000_000
    func counts(_ time: Microseconds, done: Int) -> LifeCounts {
      var counts = LifeCounts()
      counts.time = time
      counts.done = done
      return counts
    }
    #expect(absences.arrive("anna", at: minute) == nil)
    // A second screen of hers: while one is open she is here.
    #expect(absences.arrive("anna", at: 2 * minute) == nil)
    absences.leave("anna", counts(3 * minute, done: 4))
    #expect(absences.arrive("anna", at: 90 * minute) == nil)
    absences.leave("anna", counts(91 * minute, done: 5))
    absences.leave("anna", counts(92 * minute, done: 6))
    #expect(absences.arrive("anna", at: 92 * minute + 19_000_000) == nil)
    absences.leave("anna", counts(93 * minute, done: 7))
    #expect(absences.arrive("ben", at: 200 * minute) == nil)
    #expect(absences.arrive("anna", at: 200 * minute)?.done == 7)
  }

  @Test func theSummaryIsOneLine() {
    func words(_ minutes: Int64, _ alarms: [String] = [], failed: Int = 0, done: Int = 14) -> String {
      AbsenceSummary(
        since: 1_000_000, now: 1_000_000 + minutes * 60_000_000, done: done, refused: 2, failed: failed,
        earned: 23_100, currency: "EUR", tokens: 9, alarms: alarms
      ).words
    }
    #expect(words(125) == "away 2h 5m: 14 jobs done, 0.0231 EUR earned, 2 refused, no alarm")
    #expect(words(3, done: 1) == "away 3m: 1 job done, 0.0231 EUR earned, 2 refused, no alarm")
    #expect(
      words(3_000, ["disk nearly full"], failed: 1)
        == "away 2d 2h: 14 jobs done, 1 failed, 0.0231 EUR earned, 2 refused, ALARM: disk nearly full")
  }

  @Test func alarmsAreRememberedAfterTheyAreOver() {
    var history = AlarmHistory()
    history.see(["a"])
    let before = history.count
    history.see([])
    history.see(["b"])
    history.see(["b", "c"])
    history.see(["c"])
    #expect(history.since(before) == ["b", "c"])
    #expect(history.since(0) == ["a", "b", "c"])
    // Still wrong, and known before: he is told again.
    #expect(history.since(history.count) == ["c"])
  }
}
