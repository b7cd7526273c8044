// NoteWitness.swift: a witness as C2SP's tlog-witness says it: a log posts its checkpoint with a
// proof from the last one that was cosigned here, and gets a cosignature. It shares its memory and
// its key with `hotpot witness` over files (Witness.swift), so neither way cosigns a fork of what
// the other saw. Not here: HTTP. Start at WitnessMemory.add.
// Source: c2sp.org/tlog-witness.
import Glibc

/// Why a posted checkpoint is not cosigned.
package enum WitnessRefusal: Error, Hashable, Sendable, CustomStringConvertible {
  case malformed(String)
  case unknownLog(String)
  case unsigned(String)
  /// The proof begins at another size than the last one that was cosigned.
  case conflict(size: Int)
  /// The log does not continue what was seen: it is forked, or the proof is wrong.
  case inconsistent(String)
  case unavailable(String)

  /// Of HTTP.
  package var status: Int {
    switch self {
    case .malformed: 400
    case .unsigned: 403
    case .unknownLog: 404
    case .conflict: 409
    case .inconsistent: 422
    case .unavailable: 503
    }
  }

  package var contentType: String {
    if case .conflict = self { "text/x.tlog.size" } else { "text/plain; charset=utf-8" }
  }

  package var description: String {
    switch self {
    case .malformed(let words), .unsigned(let words), .inconsistent(let words), .unavailable(let words): words
    case .unknownLog(let origin): "this witness does not know the log '\(origin)'"
    case .conflict(let size): "\(size)"
    }
  }
}

/// What a log posts to a witness: `old` and a size, up to 63 hashes in base64, an empty line, and
/// the checkpoint as a note.
package struct AddCheckpoint: Hashable, Sendable {
  package let old: Int
  package let path: [SHA256Digest]
  package let note: SignedNote

  package static let maximumBytes = 64 << 10

  package init(old: Int, path: [SHA256Digest], note: SignedNote) {
    self.old = old
    self.path = path
    self.note = note
  }

  package init(parsing text: String) throws(FormatError) {
    func refuse(_ line: Int, _ wanted: String) -> FormatError {
      FormatError(what: "request", line: line, wanted: wanted)
    }
    guard text.utf8.count <= Self.maximumBytes else { throw refuse(1, "at most \(Self.maximumBytes) bytes") }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard let gap = lines.firstIndex(where: \.isEmpty) else {
      throw refuse(lines.count, "an empty line and a note")
    }
    guard gap > 0, lines[0].hasPrefix("old "), let old = Decimal64.parse(lines[0].dropFirst(4)) else {
      throw refuse(1, "'old' and a size")
    }
    guard gap <= 64 else { throw refuse(65, "at most 63 hashes") }
    path = try lines[1..<gap].enumerated().map { (number, line) throws(FormatError) in
      guard let hash = Base64.parse(line).flatMap({ SHA256Digest(bytes: $0) }) else {
        throw refuse(number + 2, "a hash of 32 bytes in base64")
      }
      return hash
    }
    self.old = old
    note = try SignedNote(parsing: lines[(gap + 1)...].joined(separator: "\n"))
  }

  package var text: String {
    "old \(old)\n" + path.map { Base64.format($0.bytes) + "\n" }.joined() + "\n" + note.whole
  }
}

extension WitnessMemory {
  /// The witness' own key, made if there is none, as logs write it.
  package func noteKey(keygen: SSHKeygen = SSHKeygen()) throws(SignatureError) -> NoteKey {
    do throws(FileError) { try makeDirectory() } catch { throw .file(error) }
    let key = try keygen.makeKey(at: keyPath)
    guard let found = NoteKey(witness: key) else { throw .badKey(path: keyPath + ".pub") }
    return found
  }

  /// Cosigns a checkpoint of one of these logs.
  /// - logs: the keys of those that it witnesses, each named after its log's origin
  /// - time: seconds since 1970
  /// - Returns: the cosignature, a line.
  package func add(
    _ body: [UInt8], logs: [NoteKey], time: UInt64, keygen: SSHKeygen = SSHKeygen()
  ) throws(WitnessRefusal) -> String {
    let request: AddCheckpoint
    let head: LogHead
    do throws(FormatError) {
      request = try AddCheckpoint(parsing: String(decoding: body, as: UTF8.self))
      head = try LogHead(parsing: request.note.text)
    } catch { throw .malformed(error.description) }
    let keys = logs.filter { $0.name == head.origin }
    guard !keys.isEmpty else { throw .unknownLog(String(head.origin.prefix(100))) }
    try Self.checkSignature(of: request.note, by: keys)
    guard request.old <= head.size else {
      throw .malformed(
        "the proof begins at \(request.old), the checkpoint's log has \(receiptCount(head.size))")
    }
    let result: Result<String, WitnessRefusal>
    do throws(WitnessError) {
      result = try locked { () throws(WitnessError) -> Result<String, WitnessRefusal> in
        do throws(WitnessRefusal) {
          return .success(try cosign(request, head, time, keygen))
        } catch { return .failure(error) }
      }
    } catch { throw .unavailable("\(error)") }
    return try result.get()
  }

  private static func checkSignature(of note: SignedNote, by keys: [NoteKey]) throws(WitnessRefusal) {
    for key in keys {
      guard let signature = note.signature(of: key) else { continue }
      switch key.verify(signature, over: Array(note.text.utf8)) {
      case .holds: return
      case .wrong: throw .unsigned("the signature of \(key.name) does not hold")
      case .cannotTell: throw .unavailable("there is no libcrypto here, which checks signatures of notes")
      }
    }
    throw .unsigned("the note has no signature by a key of its log")
  }

  /// Under the lock: reading what was seen, checking, writing what is seen now and signing happen in
  /// this order.
  private func cosign(
    _ request: AddCheckpoint, _ head: LogHead, _ time: UInt64, _ keygen: SSHKeygen
  ) throws(WitnessRefusal) -> String {
    let path = memoryPath(origin: head.origin)
    let seen: Checkpoint?
    do throws(WitnessError) { seen = try read(path) } catch { throw .unavailable("\(error)") }
    let size = seen?.size ?? 0
    guard request.old == size else { throw .conflict(size: size) }
    guard
      MerkleTree.checkConsistency(
        old: size, oldRoot: seen?.root ?? SHA256.hash([]), new: head.size, newRoot: head.root,
        path: request.path)
    else {
      throw .inconsistent(
        size == head.size
          ? WitnessError.fork(size: size).description
          : WitnessError.inconsistent(from: size, to: head.size).description)
    }
    do throws(FileError) { try remember(path, request.note.text) } catch { throw .unavailable("\(error)") }
    do throws(SignatureError) {
      let key = try noteKey(keygen: keygen)
      let signature = try keygen.signRaw(
        NoteCosignature.message(time: time, request.note.text),
        key: try keygen.publicKey(at: keyPath + ".pub"),
        keyPath: keyPath)
      return NoteCosignature.line(key, time: time, signature: signature).text
    } catch { throw .unavailable("\(error)") }
  }
}
