// Witnessing.swift: asks the witnesses of the configuration to cosign each new checkpoint, and
// cosigns those of the logs that it names. On a queue of its own: a witness that hangs delays no
// job. Not here: what a witness checks (Receipts' NoteWitness.swift), over files (`hotpot
// witness`). Start at Witnessing.ask.
import Control
import Dispatch
import Intake
import Receipts
import Scheduling
import Synchronization

final class Witnessing: Sendable {
  /// What is known of one witness.
  private struct Standing: Sendable {
    /// The size of the checkpoint that it cosigned last in this run of the node.
    var cosigned = 0
    /// The size of the log that it has seen, as far as it said.
    var seen = 0
    /// Nothing is asked before this time of the monotonic clock.
    var notBefore = Microseconds.min
    /// What is wrong was said.
    var said: String?
  }

  /// Between two requests to one witness: the most that a checkpoint waits to be cosigned.
  static let pause: Microseconds = 5_000_000
  /// The same after a refusal or while it cannot be reached.
  static let longPause: Microseconds = 20_000_000

  private let runtime: Runtime
  private let signing: Signing
  private let witnesses: [NodeConfiguration.Witness]
  private let logs: [NoteKey]
  private let memory: WitnessMemory
  private let queue = DispatchQueue(label: "hotpot.witnesses", qos: .utility)
  private let serving = DispatchQueue(label: "hotpot.cosign", qos: .utility)
  private let standings: Mutex<[String: Standing]>
  private let isAsking = Atomic<Bool>(false)

  init(_ runtime: Runtime, signing: Signing, configuration: NodeConfiguration, stateDirectory: String) {
    self.runtime = runtime
    self.signing = signing
    witnesses = configuration.witnesses
    logs = configuration.cosigns
    memory = WitnessMemory(directory: stateDirectory + "/witness")
    standings = Mutex([:])
  }

  // MARK: this node's log

  /// Once a second: asks every witness that is due, unless the last round is still under way.
  func ask(at now: Microseconds) {
    guard !witnesses.isEmpty, let size = signing.notary?.current?.checkpoint.size, size > 0 else { return }
    let due = standings.withLock { standings in
      witnesses.filter { witness in
        let standing = standings[witness.key.name] ?? Standing()
        return standing.cosigned < size && standing.notBefore <= now
      }
    }
    guard !due.isEmpty, !isAsking.exchange(true, ordering: .acquiring) else { return }
    queue.async { [self] in
      for witness in due { ask(witness) }
      isAsking.store(false, ordering: .releasing)
    }
  }

  private func ask(_ witness: NodeConfiguration.Witness) {
    var standing = standings.withLock { $0[witness.key.name] } ?? Standing()
    let trouble = cosigned(by: witness, &standing)
    standing.notBefore = NodeClock.now().monotonic + (trouble == nil ? Self.pause : Self.longPause)
    switch trouble {
    case nil: break
    case .refused(let words): runtime.send(.witnessRefuses(name: witness.key.name, words))
    case .failed(let words):
      if standing.said != words {
        runtime.note(.warning, "the witness \(witness.key.name) has not cosigned: \(words)")
      }
    }
    if case .failed(let words)? = trouble { standing.said = words } else { standing.said = nil }
    standings.withLock { $0[witness.key.name] = standing }
  }

  private enum Trouble {
    /// It says that this log is not the one that it has seen.
    case refused(String)
    case failed(String)
  }

  private func cosigned(by witness: NodeConfiguration.Witness, _ standing: inout Standing) -> Trouble? {
    do {
      guard let notary = signing.notary, let note = try notary.note() else {
        return .failed("there is no checkpoint, or the node's key is not Ed25519, which notes want")
      }
      let head = try LogHead(parsing: note.text)
      // It may be ahead of what this run knows: it says so, and the proof begins there.
      for _ in 0..<2 {
        guard let proof = runtime.journal.consistency(from: standing.seen, to: head.size) else {
          return .refused("it has seen \(counted(standing.seen, "receipt")), this log has \(head.size)")
        }
        let body = AddCheckpoint(old: standing.seen, path: proof.path, note: note).text
        let answer = try HTTPCall(witness.url + "add-checkpoint").post(
          Array(body.utf8), contentType: "text/plain; charset=utf-8")
        let words = String(decoding: answer.body.prefix(65_536), as: UTF8.self)
        switch answer.status {
        case 200:
          try notary.accept(Self.lines(words), of: note, by: witness.key)
          (standing.cosigned, standing.seen) = (head.size, head.size)
          runtime.send(.witnessed(size: UInt64(clamping: head.size)))
          runtime.send(.witnessRefuses(name: witness.key.name, nil))
          return nil
        case 409:
          guard let size = Int(words.trimmed), size >= 0, size != standing.seen else {
            return .refused("it has seen another log of \(counted(head.size, "receipt"))")
          }
          standing.seen = size
        case 403, 404: return .failed("it answered \(answer.status): \(words.firstLine)")
        case 422: return .refused(words.firstLine)
        default: return .failed("it answered \(answer.status): \(words.firstLine)")
        }
      }
      return .failed("its size changes while it is asked")
    } catch { return .failed("\(error)") }
  }

  private static func lines(_ text: String) -> [SignedNote.Line] {
    // Lines that are none are passed over: a witness may send more than its cosignature.
    text.split(separator: "\n").prefix(SignedNote.maximumLines).compactMap { SignedNote.Line(parsing: $0) }
  }

  // MARK: others' logs

  /// Whether there is a log that this node cosigns.
  var isWitness: Bool { !logs.isEmpty }

  /// Cosigns a posted checkpoint, on another thread.
  func add(_ body: [UInt8], _ respond: @escaping @Sendable (Response) -> Void) {
    serving.async { [memory, logs] in
      respond(Self.response(to: body, memory, logs: logs, at: NodeClock.now().wall))
    }
  }

  /// The answer of a witness, as C2SP's tlog-witness has it.
  package static func response(
    to body: [UInt8], _ memory: WitnessMemory, logs: [NoteKey], at now: Microseconds
  ) -> Response {
    do throws(WitnessRefusal) {
      let line = try memory.add(body, logs: logs, time: UInt64(clamping: now / 1_000_000))
      return .text(line)
    } catch {
      return Response(
        status: error.status, contentType: error.contentType, body: Array("\(error)\n".utf8))
    }
  }
}

extension String {
  fileprivate var firstLine: String {
    let line = split(separator: "\n").first ?? "nothing"
    return String(
      String.UnicodeScalarView(
        line.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7F }.prefix(160)))
  }

  fileprivate var trimmed: Substring { self[...].drop { $0.isWhitespace }.prefix { !$0.isWhitespace } }
}
