// HostileNode.swift: a control socket behind which every word is a stranger's attempt to speak with the terminal.
// Start at HostileNode.init.

import Control
import Foundation
import Node
import ScriptedNode
import Synchronization
import Testing

/// What would clear, retitle, colour, reorder and break lines, in one word.
let hostileWord =
  "x\u{1B}[2J\u{1B}]0;o\u{07}\u{9B}31m\u{202E}\r\n\u{85}\u{7F}\u{0}\u{8}\u{2028}\u{2066}y"

final class HostileNode: Sendable {
  let state: String
  private let folder: Folder
  private let listener: Int32
  private let snapshot: String
  /// As dashboards get it, without asking again.
  private let pushed: String
  /// The commands that came.
  let asked = Mutex<[ControlRequest]>([])

  /// - isBlind: no figure can be read, and the reasons are hostile
  init(isBlind: Bool = false) throws {
    folder = try Folder()
    state = folder.path
    var node = ScriptedNode.busy()
    node.advance()
    node.alarms = ["alarm"]
    snapshot = try Self.hostile(.snapshot(tag: 0, node.snapshot()), isBlind: isBlind)
    pushed = try Self.hostile(.message(.snapshot(node.snapshot())), isBlind: isBlind)
    listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let path = Array((state + "/control.sock").utf8)
    try #require(path.count < 108)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path) }
    let listener = self.listener
    let bound = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0 && listen(listener, 16) == 0
      }
    }
    try #require(bound, "no socket can be had")
    Thread.detachNewThread { [self] in
      while true {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { return }
        Thread.detachNewThread { self.serve(connection) }
      }
    }
  }

  func stop() {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  /// A reply in which every text that may be any text is hostile.
  private static func hostile(_ reply: ControlReply, isBlind: Bool = false) throws -> String {
    var line = String(decoding: ControlProtocol.line(reply), as: UTF8.self)
    let word = String(decoding: try JSONEncoder().encode([hostileWord]), as: UTF8.self).dropFirst().dropLast()
    if isBlind { line.replace(/\{"value":[-0-9.e+]+\}/, with: "{\"unavailable\":\(word)}") }
    let texts = line.matches(of: /[:\[,]("(?:[^"\\]|\\.)*")(?=[,\]}])/).map(\.output.1)
    var changed = 0
    for range in texts.map({ $0.startIndex..<$0.endIndex }).reversed() {
      var tried = line
      tried.replaceSubrange(range, with: word)
      guard ControlProtocol.parse(ControlReply.self, Array(tried.utf8)) != nil else { continue }
      line = tried
      changed += 1
    }
    try #require(texts.isEmpty || changed > 0)
    return line
  }

  private func serve(_ connection: Int32) {
    var held: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = recv(connection, &chunk, chunk.count, 0)
      guard count > 0 else { break }
      held += chunk[..<count]
      while let end = held.firstIndex(of: 0x0A) {
        let line = Array(held[..<end])
        held.removeSubrange(...end)
        for reply in answer(line) {
          let bytes = Array((reply + "\n").utf8)
          var sent = 0
          while sent < bytes.count {
            let more = bytes.withUnsafeBytes {
              send(connection, $0.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if more <= 0 { break }
            sent += more
          }
        }
      }
    }
    close(connection)
  }

  private func text(_ reply: ControlReply) -> String {
    String(decoding: ControlProtocol.line(reply), as: UTF8.self)
  }

  private func answer(_ line: [UInt8]) -> [String] {
    if let request = ControlProtocol.parse(ControlRequest.self, line) {
      asked.withLock { $0.append(request) }
      return answer(request)
    }
    return ControlProtocol.parse(VerbRequest.self, line).map { answer($0.verb, tag: $0.tag) } ?? []
  }

  private func answer(_ request: ControlRequest) -> [String] {
    let word = hostileWord
    func refused(_ tag: UInt64) -> [String] { [text(.refused(tag: tag, reason: word))] }
    switch request {
    case .hello(_, let every, _):
      let greeting = text(.hello(version: ControlProtocol.version, node: word, software: word))
      return every > 0 ? [greeting, pushed] : [greeting]
    case .restrict, .seen: return []
    case .snapshot(let tag):
      return [snapshot.replacing("\"tag\":0", with: "\"tag\":\(tag)")]
    case .command(let tag, .receipt):
      return [text(.message(.reply(tag: tag, .refused(word))))]
    case .command(let tag, .cancel), .command(let tag, .reject):
      return [text(.message(.reply(tag: tag, .refused(word))))]
    case .command(let tag, _): return [text(.message(.reply(tag: tag, .done(word))))]
    case .submit(let tag, _, let body):
      if body.contains("refuse") { return refused(tag) }
      let chunk: [String: Any] = ["choices": [["delta": ["content": word]]]]
      let problem: [String: Any] = ["error": ["message": word, "code": word, "status": 500]]
      let events = [chunk, chunk] + (body.contains("fail") ? [problem] : [])
      let lines = events.compactMap { event in
        (try? JSONSerialization.data(withJSONObject: event)).map {
          text(.chunk(tag: tag, data: String(decoding: $0, as: UTF8.self)))
        }
      }
      return lines + [text(.ended(tag: tag, status: 200))]
    }
  }

  private func answer(_ verb: any Verb, tag: UInt64) -> [String] {
    let word = hostileWord
    func refused() -> [String] { [text(.refused(tag: tag, reason: word))] }
    switch verb {
    case is ListClients:
      let row: [String: Any] = [
        "name": word, "added": 1, "posted": 1, "reserved": 1, "settled": 1, "jobs": 1, "tokens": 1,
        "models": [word, word],
        "key": word,
      ]
      guard let data = try? JSONSerialization.data(withJSONObject: [row]) else { return refused() }
      return ["{\"clients\":{\"tag\":\(tag),\"_1\":\(String(decoding: data, as: UTF8.self))}}"]
    case is AddClient: return [text(.token(tag: tag, name: word, token: word))]
    case is ExportReceipt: return [text(.bundle(tag: tag, text: word))]
    case is ReadPublic:
      return [text(.file(tag: tag, base64: Data(word.utf8).base64EncodedString()))]
    case is ShowEarnings:
      let data = try? JSONSerialization.data(withJSONObject: [
        "currency": word, "is_demo": false, "days": [Any](),
        "rows": [
          [
            "date": word, "client": word, "model": word, "jobs": 1, "prompt_tokens": 1, "cached_tokens": 1,
            "completion_tokens": 1, "amount": 1,
          ] as [String: Any]
        ],
      ])
      return ["{\"earnings\":{\"tag\":\(tag),\"table\":\(String(decoding: data ?? Data(), as: UTF8.self))}}"]
    case is MakeStatement: return [text(.statement(tag: tag, text: word, signature: word))]
    case is ExportVoucher: return [text(.voucher(tag: tag, text: word, signature: word, key: word))]
    case is RevokeClient, is Settle, is SetKey: return [text(.done(tag: tag, words: word))]
    default: return refused()
    }
  }
}
