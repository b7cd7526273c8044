// Wire.swift: HTTP as bytes on a loopback socket, for tests that use a node as its clients do. It
// shares no code with the node's own server, and checks nothing. Start at WireAnswer.get;
// WireStream reads an answer as it arrives.

import Foundation
import Glibc

/// What went wrong on this side of the wire.
package struct WireError: Error, CustomStringConvertible {
  package let description: String
}

/// One answer, read to the end of its connection.
package struct WireAnswer {
  package var status = 0
  /// By their names in lower case.
  package var fields: [String: String] = [:]
  package var body = ""

  /// The body's JSON object; nil where it is none.
  package var object: [String: Any]? {
    (try? JSONSerialization.jsonObject(with: Data(body.utf8))) as? [String: Any]
  }

  /// OpenAI's error object, where the body is one.
  package var error: [String: Any]? { object?["error"] as? [String: Any] }

  /// One request on a connection of its own.
  package static func get(
    _ port: UInt16, _ method: String, _ path: String, token: String? = nil, body: String? = nil,
    fields: [String] = []
  ) throws -> WireAnswer {
    try exchange(
      port, request(method, path, token: token, body: body, fields: fields + ["Connection: close"]))
  }

  package static func request(
    _ method: String, _ path: String, token: String? = nil, body: String? = nil, fields: [String] = []
  ) -> String {
    var lines = ["\(method) \(path) HTTP/1.1", "Host: localhost"] + fields
    if let token { lines.append("Authorization: Bearer \(token)") }
    if let body { lines += ["Content-Type: application/json", "Content-Length: \(body.utf8.count)"] }
    return lines.joined(separator: "\r\n") + "\r\n\r\n" + (body ?? "")
  }

  /// Sends these bytes and reads until the peer closes.
  package static func exchange(_ port: UInt16, _ request: String) throws -> WireAnswer {
    let stream = try WireStream(port, request)
    while stream.read() {}
    return try stream.answer()
  }
}

/// An open request whose answer is read piece by piece.
package final class WireStream {
  private let descriptor: Int32
  private var isOpen = true
  private var bytes: [UInt8] = []

  package init(_ port: UInt16, _ request: String) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let connected = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard connected == 0 else { throw WireError(description: "connect: \(String(cString: strerror(errno)))") }
    let out = Array(request.utf8)
    guard Glibc.send(descriptor, out, out.count, Int32(MSG_NOSIGNAL)) == out.count else {
      throw WireError(description: "send: \(String(cString: strerror(errno)))")
    }
  }

  deinit { end() }

  /// Waits for the next piece; false at the end.
  package func read() -> Bool {
    guard isOpen else { return false }
    var part = [UInt8](repeating: 0, count: 16_384)
    let count = recv(descriptor, &part, part.count, 0)
    guard count > 0 else { return false }
    bytes += part.prefix(count)
    return true
  }

  /// Waits until the answer so far contains this; false when it ends before.
  package func read(until wanted: String) -> Bool {
    while place(of: wanted) == nil { if !read() { return false } }
    return true
  }

  /// Where this first stands among the bytes from `start` on.
  private func place(of wanted: String, from start: Int = 0) -> Int? {
    let pattern = Array(wanted.utf8)
    return (start..<max(start, bytes.count - pattern.count + 1)).first {
      bytes[$0...].starts(with: pattern)
    }
  }

  /// What has been read, taken apart.
  package func answer() throws -> WireAnswer {
    guard let end = place(of: "\r\n\r\n") else {
      throw WireError(description: "no head in '\(text)'")
    }
    var answer = WireAnswer()
    // A carriage return and a line feed are one character.
    let head = String(decoding: bytes[..<end], as: UTF8.self).split(separator: "\r\n")
    answer.status = head.first.flatMap { Int($0.split(separator: " ").dropFirst().first ?? "") } ?? 0
    for line in head.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      answer.fields[line[..<colon].lowercased()] = line[line.index(after: colon)...]
        .trimmingCharacters(in: .whitespaces)
    }
    answer.body = String(decoding: bytes[(end + 4)...], as: UTF8.self)
    return answer
  }

  package var text: String { String(decoding: bytes, as: UTF8.self) }

  /// Server-sent events with data so far.
  package var events: Int {
    var count = 0
    var start = 0
    while let place = place(of: "data: {", from: start) {
      count += 1
      start = place + 1
    }
    return count
  }

  /// Ends like a program that was killed: the connection is reset.
  package func abort() {
    var now = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
    end()
  }

  private func end() {
    if isOpen { close(descriptor) }
    isOpen = false
  }
}
