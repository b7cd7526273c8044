// NotaryTests.swift: keys, checkpoints, sealed segments and witnesses, signed by the stock ssh-keygen.
import Dispatch
import Foundation
import Receipts
import Synchronization
import Testing

private final class Notices: Sendable {
  private let all = Mutex<[NotaryNotice]>([])
  func add(_ notice: NotaryNotice) { all.withLock { $0.append(notice) } }
  var signed: [Int] { all.withLock { $0.compactMap { if case .signed(let c) = $0 { c.size } else { nil } } } }
  var sealed: [Int] { all.withLock { $0.compactMap { if case .sealed(let n) = $0 { n } else { nil } } } }
  var failures: [NotaryError] {
    all.withLock { $0.compactMap { if case .failed(let e) = $0 { e } else { nil } } }
  }
}

/// An executable file, written by another process: what was open for writing in this one is so too in a child that
/// another test forks at that moment, and cannot be executed (`Text file busy`) before that child has become its program.
private func script(_ scratch: Scratch, _ name: String, _ text: String) throws -> String {
  let path = scratch.path + "/" + name
  let process = Process()
  process.executableURL = URL(fileURLWithPath: "/bin/sh")
  process.arguments = ["-c", #"printf '#!/bin/sh\n%s\n' "$1" > "$0" && chmod 700 "$0""#, path, text]
  try process.run()
  process.waitUntilExit()
  try #require(process.terminationStatus == 0)
  return path
}

@Suite struct NotaryTests {
  let keygen = SSHKeygen(deadline: 20)

  private func notary(
    _ scratch: Scratch, _ journal: Journal, _ key: SSHPublicKey, keygen: SSHKeygen? = nil, notices: Notices
  ) -> Notary {
    Notary(
      journal: journal, state: scratch.path, key: key, keyPath: scratch.path + "/key",
      keygen: keygen ?? self.keygen,
      clock: { testTime }, notice: { notices.add($0) })
  }

  @Test func theKeyIsMadeOnceAndPrivate() throws {
    let scratch = try Scratch()
    let key = try keygen.makeKey(at: scratch.path + "/key")
    #expect(try mode(scratch.path + "/key") == 0o600)
    #expect(try keygen.makeKey(at: scratch.path + "/key") == key)
    try FileManager.default.removeItem(atPath: scratch.path + "/key.pub")
    #expect(try keygen.makeKey(at: scratch.path + "/key") == key)
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/ssh-keygen")
    process.arguments = ["-l", "-f", scratch.path + "/key.pub"]
    let pipe = Pipe()
    process.standardOutput = pipe
    try process.run()
    let listed = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(listed.contains(" \(key.fingerprint) "))
  }

  @Test func checkpointsAreSignedAndFormAChain() throws {
    let scratch = try Scratch()
    let key = try keygen.makeKey(at: scratch.path + "/key")
    let notices = Notices()
    var last: Checkpoint?
    for round in 1...3 {
      let (journal, opening) = try openJournal(scratch.path)
      #expect(opening.damage == nil)
      let notary = notary(scratch, journal, key, notices: notices)
      notary.start()
      for i in 0..<10 {
        try journal.append([.receipt(sampleReceipt(job: UInt64(round * 100 + i)))], at: testTime)
      }
      #expect(journal.read { $0.status(of: round * 10 - 1)?.seal } == .logged)
      notary.committed()
      notary.stop()
      let signed = try #require(notary.current)
      #expect(signed.checkpoint.size == round * 10)
      #expect(journal.read { $0.status(of: round * 10 - 1)?.seal } == .signed)
      #expect(journal.read { $0.counts.signed } == round * 10)
      try keygen.verify(
        Array(signed.checkpoint.text.utf8), signature: signed.signature, namespace: Checkpoint.namespace,
        allowedSigners: ReceiptBundle.allowedSigners(key), time: signed.checkpoint.time)
      if round > 1 { #expect(signed.checkpoint.previous != .zero) }
      if let last { #expect(journal.read { $0.tree.root(at: last.size) } == last.root) }
      last = signed.checkpoint
      let onDisk = try #require(FileManager.default.contents(atPath: scratch.path + "/checkpoint"))
      #expect(String(decoding: onDisk, as: UTF8.self) == signed.checkpoint.text)
      journal.close()
    }
    #expect(notices.failures.isEmpty, "\(notices.failures)")
    #expect(Set(notices.signed).isSuperset(of: [10, 20, 30]))
  }

  @Test func theScheduleSignsAt256ReceiptsOrAfterASecond() {
    var schedule = CheckpointSchedule(signed: 0)
    #expect(schedule.due(receipts: 0, at: 0) == .nothing)
    #expect(schedule.due(receipts: 1, at: 100) == .later(1_000_000))
    #expect(schedule.due(receipts: 2, at: 600_100) == .later(400_000))
    #expect(schedule.due(receipts: 255, at: 1_000_099) == .later(1))
    #expect(schedule.due(receipts: 255, at: 1_000_100) == .now)
    #expect(schedule.due(receipts: 256, at: 101) == .now)
    schedule.failed(at: 2_000_000)
    #expect(schedule.due(receipts: 300, at: 2_000_001) == .later(999_999))
    #expect(schedule.due(receipts: 300, at: 3_000_000) == .now)
    schedule.signed(300)
    #expect(schedule.due(receipts: 300, at: 9_000_000) == .nothing)
    // A clock that jumps back makes nothing wait for ever.
    #expect(schedule.due(receipts: 301, at: 9_000_000) == .later(1_000_000))
    #expect(schedule.due(receipts: 301, at: 5_000_000) == .later(1_000_000))
    #expect(schedule.due(receipts: 301, at: 6_000_000) == .now)
  }

  @Test func sealedSegmentsAreSignedAsAWhole() throws {
    let scratch = try Scratch()
    let key = try keygen.makeKey(at: scratch.path + "/key")
    let notices = Notices()
    let (journal, _) = try openJournal(scratch.path, segmentBytes: 6_000)
    for i in 0..<12 { try journal.append([.receipt(sampleReceipt(job: UInt64(i)))], at: testTime) }
    let notary = notary(scratch, journal, key, notices: notices)
    notary.start()
    notary.stop()
    journal.close()
    #expect(notices.sealed.count >= 2 && notices.sealed.first == 1)
    let path = scratch.path + "/journal/00000001.jsonl"
    let signature = String(
      decoding: try #require(FileManager.default.contents(atPath: path + ".sig")), as: UTF8.self)
    let signers = ReceiptBundle.allowedSigners(key)
    try keygen.verify(
      file: path, signature: signature, namespace: Notary.segmentNamespace, allowedSigners: signers,
      time: testTime)
    try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: path)
    var bytes = try #require(FileManager.default.contents(atPath: path))
    bytes[100] ^= 1
    try bytes.write(to: URL(fileURLWithPath: path))
    #expect(throws: SignatureError.self) {
      try keygen.verify(
        file: path, signature: signature, namespace: Notary.segmentNamespace, allowedSigners: signers,
        time: testTime)
    }
  }

  @Test func aMissingHangingOrFailingProgramLeavesReceiptsLogged() throws {
    let scratch = try Scratch()
    let key = try keygen.makeKey(at: scratch.path + "/key")
    let hanging = try script(scratch, "hangs", "sleep 600 & echo hello; exec sleep 600")
    let failing = try script(scratch, "fails", "cat > /dev/null; echo 'agent refused operation' >&2; exit 3")
    let silent = try script(scratch, "silent", "exit 0")
    let cases: [(SSHKeygen, String)] = [
      (SSHKeygen(program: "/nonexistent/ssh-keygen"), "signing: '/nonexistent/ssh-keygen' is not installed"),
      (
        SSHKeygen(program: hanging, deadline: 0.1),
        "signing: '\(hanging)' did not answer within 0.1 s and was killed"
      ),
      (SSHKeygen(program: failing), "signing: '\(failing)' failed (3): agent refused operation"),
      (SSHKeygen(program: silent), "signing: '\(silent)' failed (0): no message"),
    ]
    let (journal, _) = try openJournal(scratch.path)
    for (keygen, message) in cases {
      try journal.append([.receipt(sampleReceipt(job: 1))], at: testTime)
      let notices = Notices()
      let notary = notary(scratch, journal, key, keygen: keygen, notices: notices)
      notary.start()
      notary.stop()
      #expect(notices.failures.first?.description == message)
      #expect(notary.current == nil)
      #expect(journal.read { $0.counts.signed } == 0)
    }
    // Once it works again, everything is signed.
    let notices = Notices()
    let notary = notary(scratch, journal, key, notices: notices)
    notary.start()
    notary.stop()
    #expect(journal.read { $0.counts.signed } == 4)
    journal.close()
  }

  @Test func aHungChildDiesWithItsChildren() throws {
    let scratch = try Scratch()
    let marker = scratch.path + "/pids"
    let hanging = try script(scratch, "hangs", "sleep 600 & echo $$ $! > '\(marker)'; cat; exec sleep 600")
    var pids: [Int32] = []
    // On a busy machine the program may not have come far enough to have a child when its time is over.
    for seconds in [0.5, 2, 8, 32] where pids.count < 2 {
      #expect(throws: SignatureError.hung(program: hanging, seconds: seconds)) {
        try SSHKeygen(program: hanging, deadline: seconds).sign([1], key: "x", namespace: "y")
      }
      pids = String(decoding: FileManager.default.contents(atPath: marker) ?? Data(), as: UTF8.self)
        .split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
    }
    #expect(pids.count == 2)
    for pid in pids {
      // Killed: gone, or waiting for its reaper as a zombie. The kernel delivers the signal in its own time.
      var stat: String? = ""
      for _ in 0..<500 {
        stat = FileManager.default.contents(atPath: "/proc/\(pid)/stat").map {
          String(decoding: $0, as: UTF8.self)
        }
        guard let alive = stat, !alive.contains(") Z "), kill(pid, 0) == 0 else {
          stat = nil
          break
        }
        usleep(10_000)
      }
      #expect(stat == nil)
    }
  }

  @Test func aLogThatLostWhatWasSignedIsNotSignedAgain() throws {
    let scratch = try Scratch()
    let key = try keygen.makeKey(at: scratch.path + "/key")
    let (journal, _) = try openJournal(scratch.path)
    try journal.append([.receipt(sampleReceipt(job: 1))], at: testTime)
    let ahead = Checkpoint(origin: key.origin, size: 5, root: .zero, time: testTime, previous: .zero)
    try Data(ahead.text.utf8).write(to: URL(fileURLWithPath: scratch.path + "/checkpoint"))
    try Data("x".utf8).write(to: URL(fileURLWithPath: scratch.path + "/checkpoint.sig"))
    let notices = Notices()
    let notary = notary(scratch, journal, key, notices: notices)
    notary.start()
    notary.stop()
    #expect(notices.failures.first == .shrunk(signed: 5, found: 1))
    #expect(notices.signed.isEmpty)
    journal.close()
  }

  @Test func anAgentSignsForAPublicKey() throws {
    let scratch = try Scratch()
    _ = try keygen.makeKey(at: scratch.path + "/key")
    let socket = scratch.path + "/agent"
    // It goes to the background once its socket listens, and says under which process id. Foundation's Process
    // would wait for that one too, as it inherits what Process watches.
    let output = scratch.path + "/agent.out"
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT, 0o600)
    let words: [String] = ["ssh-agent", "-s", "-a", socket]
    var argv: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for word in argv { free(word) } }
    var parent: pid_t = 0
    #expect(posix_spawn(&parent, "/usr/bin/ssh-agent", &actions, nil, &argv, environ) == 0)
    var status: Int32 = 0
    #expect(waitpid(parent, &status, 0) == parent && status == 0)
    let said = String(decoding: try #require(FileManager.default.contents(atPath: output)), as: UTF8.self)
    let pid = try #require(
      said.components(separatedBy: "SSH_AGENT_PID=").last.flatMap { Int32($0.prefix { $0.isNumber }) })
    defer { _ = kill(pid, SIGKILL) }
    let add = Process()
    add.executableURL = URL(fileURLWithPath: "/usr/bin/ssh-add")
    add.arguments = ["-q", scratch.path + "/key"]
    add.environment = ["SSH_AUTH_SOCK": socket]
    try add.run()
    add.waitUntilExit()
    #expect(add.terminationStatus == 0)
    try FileManager.default.removeItem(atPath: scratch.path + "/key")
    let withAgent = SSHKeygen(deadline: 20, agent: socket)
    let key = try withAgent.publicKey(at: scratch.path + "/key.pub")
    let signature = try withAgent.sign(
      [1, 2], key: scratch.path + "/key.pub", namespace: Checkpoint.namespace)
    #expect(
      try keygen.verify(
        [1, 2], signature: signature, namespace: Checkpoint.namespace,
        allowedSigners: ReceiptBundle.allowedSigners(key),
        time: testTime) == key)
  }

  @Test func aWitnessCosignsOnlyWhatContinuesTheLogItKnows() throws {
    let f = try Fixture.shared.get()
    let scratch = try Scratch()
    var count = 0
    /// In a memory of its own, or in the last one.
    func cosign(_ signed: SignedCheckpoint, isNew: Bool = false, _ proof: ConsistencyProof? = nil) throws
      -> String
    {
      if isNew { count += 1 }
      return try WitnessMemory(directory: scratch.path + "/\(count)").cosign(
        text: signed.checkpoint.text, signature: signed.signature, proof: proof,
        allowedSigners: ReceiptBundle.allowedSigners(f.nodeKey), key: f.path("witness"), keygen: f.keygen
      ).cosignature
    }
    let proof = f.journal.consistency(from: 3, to: 9)
    _ = try cosign(f.earlier, isNew: true)
    #expect(throws: WitnessError.noProof(from: 3, to: 9)) { try cosign(f.signed) }
    #expect(throws: WitnessError.inconsistent(from: 3, to: 9)) {
      try cosign(f.signed, ConsistencyProof(from: 3, to: 9, path: [.zero, .zero, .zero]))
    }
    _ = try cosign(f.signed, proof)
    _ = try cosign(f.signed)
    #expect(throws: WitnessError.older(seen: 9, found: 3)) { try cosign(f.earlier) }
    let forked = Checkpoint(origin: f.nodeKey.origin, size: 9, root: .zero, time: testTime, previous: .zero)
    let fork = SignedCheckpoint(checkpoint: forked, signature: try f.sign(forked.text))
    #expect(throws: WitnessError.fork(size: 9)) { try cosign(fork) }
    #expect(throws: WitnessError.self, "a signature of another text") {
      try cosign(SignedCheckpoint(checkpoint: forked, signature: f.signed.signature), isNew: true)
    }
    // What was not signed by the log's key leaves no trace in the memory.
    _ = try cosign(f.earlier)
    #expect(throws: WitnessError.older(seen: 3, found: 0)) {
      let empty = Checkpoint(
        origin: f.nodeKey.origin, size: 0, root: SHA256.hash([]), time: testTime, previous: .zero)
      return try cosign(SignedCheckpoint(checkpoint: empty, signature: try f.sign(empty.text)))
    }
  }

  @Test func whatIsCosignedIsRememberedEvenWhereSigningFails() throws {
    let f = try Fixture.shared.get()
    let scratch = try Scratch()
    func cosign(_ signed: SignedCheckpoint, key: String) throws -> String {
      try WitnessMemory(directory: scratch.path + "/w").cosign(
        text: signed.checkpoint.text, signature: signed.signature, proof: nil,
        allowedSigners: ReceiptBundle.allowedSigners(f.nodeKey), key: key, keygen: f.keygen
      ).cosignature
    }
    #expect(throws: WitnessError.self) { try cosign(f.signed, key: scratch.path + "/none") }
    let forked = Checkpoint(origin: f.nodeKey.origin, size: 9, root: .zero, time: testTime, previous: .zero)
    let fork = SignedCheckpoint(checkpoint: forked, signature: try f.sign(forked.text))
    #expect(throws: WitnessError.fork(size: 9)) { try cosign(fork, key: f.path("witness")) }
    _ = try cosign(f.signed, key: f.path("witness"))
    // A memory that cannot be read is no empty one.
    let memory = scratch.path + "/w/" + SHA256.hash(Array(f.nodeKey.origin.utf8)).hex
    try Data("hotpot/".utf8).write(to: URL(fileURLWithPath: memory))
    #expect(throws: WitnessError.self) { try cosign(f.signed, key: f.path("witness")) }
  }

  @Test func ofTwoForksAtOnceAWitnessCosignsOne() throws {
    let f = try Fixture.shared.get()
    let forked = Checkpoint(origin: f.nodeKey.origin, size: 9, root: .zero, time: testTime, previous: .zero)
    let faces = [f.signed, SignedCheckpoint(checkpoint: forked, signature: try f.sign(forked.text))]
    for _ in 0..<4 {
      let scratch = try Scratch()
      let path = scratch.path + "/w"
      let cosigned = Mutex(0)
      let refused = Mutex<[WitnessError]>([])
      // Each with a lock of its own, as processes have.
      DispatchQueue.concurrentPerform(iterations: 4) { i in
        let face = faces[i % 2]
        do throws(WitnessError) {
          _ = try WitnessMemory(directory: path).cosign(
            text: face.checkpoint.text, signature: face.signature, proof: nil,
            allowedSigners: ReceiptBundle.allowedSigners(f.nodeKey), key: nil, keygen: f.keygen)
          cosigned.withLock { $0 += 1 }
        } catch { refused.withLock { $0.append(error) } }
      }
      // Both processes that hold the face that came first.
      #expect(cosigned.withLock { $0 } == 2)
      #expect(refused.withLock { $0 } == [.fork(size: 9), .fork(size: 9)])
    }
  }

  @Test func aWitnessThatIsHeldUpSaysByWhat() throws {
    let f = try Fixture.shared.get()
    let scratch = try Scratch()
    let descriptor = open(scratch.path + "/lock", O_RDWR | O_CREAT, 0o600)
    defer { close(descriptor) }
    #expect(flock(descriptor, LOCK_EX) == 0)
    #expect(throws: WitnessError.busy(path: scratch.path + "/lock")) {
      try WitnessMemory(directory: scratch.path, patience: 0.1).cosign(
        text: f.signed.checkpoint.text, signature: f.signed.signature, proof: nil,
        allowedSigners: ReceiptBundle.allowedSigners(f.nodeKey), key: nil, keygen: f.keygen)
    }
  }

  @Test func aCosignatureMakesReceiptsWitnessed() throws {
    let f = try Fixture.shared.get()
    let scratch = try Scratch()
    let key = try keygen.makeKey(at: scratch.path + "/key")
    let (journal, _) = try openJournal(scratch.path)
    for i in 0..<3 { try journal.append([.receipt(sampleReceipt(job: UInt64(i)))], at: testTime) }
    let notary = notary(scratch, journal, key, notices: Notices())
    notary.start()
    notary.stop()
    let text = try #require(notary.current).checkpoint.text
    let cosignature = try f.sign(text, key: "witness", namespace: Witness.namespace)
    #expect(throws: NotaryError.self, "an unknown witness") {
      try notary.accept(cosignature: cosignature, over: text, ownersWitnesses: "x \(f.otherKey.text)\n")
    }
    #expect(throws: NotaryError.self, "another log's checkpoint") {
      try notary.accept(
        cosignature: try f.sign(f.signed.checkpoint.text, key: "witness", namespace: Witness.namespace),
        over: f.signed.checkpoint.text, ownersWitnesses: f.witnesses)
    }
    #expect(journal.read { $0.counts.witnessed } == 0)
    try notary.accept(cosignature: cosignature, over: text, ownersWitnesses: f.witnesses)
    #expect(journal.read { $0.counts.witnessed } == 3)
    #expect(journal.read { $0.status(of: 2)?.seal } == .witnessed)
    #expect(notary.cosignatures.map(\.witness) == [f.witnessKey.fingerprint])
    // A key that the owner has not named takes nobody's place; one that the owner named counts from then on.
    let others = try f.sign(text, key: "other", namespace: Witness.namespace)
    #expect(throws: NotaryError.signature(.unknownSigner(fingerprint: f.otherKey.fingerprint))) {
      try notary.accept(cosignature: others, over: text, ownersWitnesses: nil)
    }
    #expect(notary.cosignatures.map(\.witness) == [f.witnessKey.fingerprint])
    try notary.accept(cosignature: cosignature, over: text, ownersWitnesses: nil)
    try notary.accept(
      cosignature: others, over: text, ownersWitnesses: "x namespaces=\"witness@hotpot\" \(f.otherKey.text)\n"
    )
    #expect(Set(notary.cosignatures.map(\.witness)) == [f.witnessKey.fingerprint, f.otherKey.fingerprint])
    // Both are there after a restart.
    let again = self.notary(scratch, journal, key, notices: Notices())
    again.start()
    again.stop()
    #expect(again.cosignatures == notary.cosignatures)
    let check = try SignatureCheck(
      state: scratch.path, keys: [], check: try Journal.check(state: scratch.path), at: testTime,
      keygen: keygen)
    #expect(check.faults == [] && check.checkpointSize == 3 && check.cosignatures == 2, "\(check)")
    journal.close()
    #expect(try openJournal(scratch.path).journal.read { $0.counts.witnessed } == 3)
  }
}
