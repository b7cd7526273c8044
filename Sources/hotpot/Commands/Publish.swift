// Publish.swift: `hotpot publish`: writes what everybody may know of a node into a directory, for any
// web server. What that is is decided in Node (Publication), and read by `hotpot inspect`. Start at
// Command.publish.

import Control
import Foundation
import JSON
import Node
import Receipts
import Scheduling

extension Command {
  static let publish = Command(
    name: "publish", summary: "write what everybody may know of the node into a directory",
    operands: "DIRECTORY",
    details: """
      Writes the node's key, models, prices, doors and witnesses (.well-known/hotpot.json, .well-known/ai-catalog.json), the head
      of its log as a note and with its SSH signature (checkpoint, checkpoint.ssh), the log's tree as tiles of C2SP's tlog-tiles,
      and sample receipts of the node's own jobs. No client's name and no client's prompt is in it. Run again, it adds what is
      new: a web server, or rsync, does the rest, and 'hotpot inspect' reads it. With 'publish: { door: true }' in the
      configuration the HTTP endpoint serves the same.
      """,
    options: NodeSetup.commonOptions + [
      Option(
        "samples", letter: "n", value: "N",
        "first run N jobs of the node's own, whose receipts everybody may run again; default 0"),
      .json,
    ]
  ) { arguments in
    let directory = try UserFile.absolute(try arguments.operands(1...1, "a directory")[0])
    let samples = try arguments.int("samples", in: 0...64) ?? 0
    try UserFile.makeDirectory(directory, mode: 0o755)
    let control = try ControlClient(arguments)
    for number in 0..<samples {
      Console.progress("sample \(number + 1) of \(samples)")
      try addSample(number, control)
    }
    Console.progress(nil)
    var publication = PublishedDirectory(directory, control)
    let written = try publication.write()
    let size = try SignedCheckpoint(parsing: String(decoding: written.checkpoint, as: UTF8.self))
      .checkpoint.size
    if arguments.has("json") {
      try Console.print(
        json: Published(
          directory: directory, receipts: size, samples: written.samples, files: written.files))
    } else {
      Console.print(
        "\(directory): a log of \(counted(size, "receipt")), \(counted(written.samples, "sample")); \(counted(written.files, "file")) written"
      )
    }
    return .ok
  }

  private static let topics = [
    "a river", "a lighthouse", "salt", "a clock", "an old map", "rain", "a violin",
    "the number seven",
  ]

  /// Runs a job of the node's own and offers its receipt to everybody.
  private static func addSample(_ number: Int, _ control: ControlClient) throws {
    let text = "A story about \(topics[number % topics.count]):"
    let body: JSONValue = [
      "model": "", "prompt": .string(text), "max_tokens": 48, "return_token_ids": true,
      "temperature": number % 2 == 0 ? 0 : 0.8,
    ]
    try control.send(
      .submit(tag: 1, chat: false, body: String(decoding: JSONWriter.bytes(body), as: UTF8.self)))
    var answer: [UInt8] = []
    loop: while let reply = try control.receive() {
      switch reply {
      case .chunk(_, let data): answer += Array(data.utf8)
      case .ended: break loop
      case .refused(_, let reason), .denied(_, let reason): throw Failure(.noPermission, reason)
      case .hello, .message, .snapshot, .clients, .token, .bundle, .file, .earnings, .past, .statement,
        .voucher,
        .done:
        continue
      }
    }
    let saved: SavedAnswer
    let transcript: Receipts.Transcript
    do throws(SavedAnswerError) {
      saved = try SavedAnswer(answer)
      transcript = try saved.opening.get()
    } catch { throw Failure(.failed, "the sample was not answered: \(error)", hint: error.hint) }
    guard let id = saved.answer.receipt else { throw Failure(.failed, "the sample has no receipt") }
    var bundle = try export(id, control)
    bundle.transcript = transcript.text
    guard case .done = try control.ask(OfferSample(bundle: bundle.text)) else {
      throw control.unexpected
    }
  }

  /// A bundle of a receipt that was made just now, whose checkpoint is signed within a second.
  private static func export(_ id: String, _ control: ControlClient) throws -> ReceiptBundle {
    var last = Failure(.tryAgain, "receipt \(id) is under no checkpoint yet")
    for _ in 0..<100 {
      do {
        guard case .bundle(_, let text) = try control.ask(ExportReceipt(id: id)) else {
          throw control.unexpected
        }
        return try ReceiptBundle(parsing: text)
      } catch let failure as Failure where failure.code == .failed {
        last = failure
        usleep(100_000)
      }
    }
    throw last
  }
}

/// What `hotpot publish --json` prints.
private struct Published: Encodable {
  let directory: String
  let receipts: Int
  let samples: Int
  let files: Int
}

/// A directory as a web server shows it.
private struct PublishedDirectory {
  private let directory: String
  private let control: ControlClient
  private var files = 0

  init(_ directory: String, _ control: ControlClient) {
    self.directory = directory
    self.control = control
  }

  /// Writes what is new, both checkpoints last: what they cover is there before them.
  mutating func write() throws -> (checkpoint: [UInt8], samples: Int, files: Int) {
    guard let card = try fetch(PublishedFile.card),
      let checkpoint = try fetch(PublishedFile.signedCheckpoint)
    else {
      throw Failure(
        .tryAgain, "the node has signed no checkpoint yet",
        hint: "it signs one within a second of its first receipt")
    }
    let note = try fetch(PublishedFile.checkpoint)
    var sizes = [
      try SignedCheckpoint(parsing: String(decoding: checkpoint, as: UTF8.self)).checkpoint.size
    ]
    if let note {
      sizes.append(
        try LogHead(parsing: SignedNote(parsing: String(decoding: note, as: UTF8.self)).text).size)
    }
    for size in sizes {
      for tile in TilePath.all(ofLog: size) where !isThere(tile) {
        guard let bytes = try fetch(tile.text) else { throw control.unexpected }
        try put(bytes, at: tile.text)
      }
    }
    let samples = try (JSONText.parse(card)["samples"]?.array ?? []).compactMap(\.string)
    for sample in samples {
      guard let bytes = try fetch("receipts/\(sample)") else { continue }
      try put(bytes, at: "receipts/\(sample)")
    }
    try put(card, at: PublishedFile.card)
    if let catalog = try fetch(PublishedFile.catalog) {
      try put(catalog, at: PublishedFile.catalog)
    }
    if let note { try put(note, at: PublishedFile.checkpoint) }
    try put(checkpoint, at: PublishedFile.signedCheckpoint)
    let tiles = Set(sizes.flatMap { TilePath.all(ofLog: $0).map(\.text) })
    try put(index(tiles.sorted() + samples.map { "receipts/\($0)" }), at: "index.html")
    return (checkpoint, samples.count, files)
  }

  /// Links to every file, for programs that fetch a site whole. The paths are made of digits, letters,
  /// dots and slashes.
  private func index(_ more: [String]) -> [UInt8] {
    let own = [
      PublishedFile.card, PublishedFile.catalog, PublishedFile.checkpoint,
      PublishedFile.signedCheckpoint,
    ].filter { FileManager.default.fileExists(atPath: "\(directory)/\($0)") }
    let links = (own + more).map { "<li><a href=\"\($0)\">\($0)</a>\n" }.joined()
    let head = "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>hotpot</title>\n"
    return Array(
      (head
        + "<p>A node of Hotpot. 'hotpot inspect' reads and checks this.</p>\n<ul>\n\(links)</ul>\n")
        .utf8)
  }

  private func fetch(_ path: String) throws -> [UInt8]? {
    guard case .file(_, let coded) = try control.ask(ReadPublic(path: path)) else {
      throw control.unexpected
    }
    guard let coded else { return nil }
    guard let bytes = Base64.parse(coded) else { throw control.unexpected }
    return bytes
  }

  /// A tile never changes.
  private func isThere(_ tile: TilePath) -> Bool {
    var status = stat()
    return stat("\(directory)/\(tile.text)", &status) == 0 && status.st_size == 32 * tile.width
  }

  /// Readers see the old file or the new one.
  private mutating func put(_ bytes: [UInt8], at path: String) throws {
    let whole = "\(directory)/\(path)"
    try UserFile.makeDirectory(
      String(whole.prefix(upTo: whole.lastIndex(of: "/") ?? whole.endIndex)), mode: 0o755)
    try UserFile.write(bytes, to: whole + ".new")
    _ = chmod(whole + ".new", 0o644)
    guard rename(whole + ".new", whole) == 0 else { throw UserFile.unwritable(whole, errno) }
    files += 1
  }
}
