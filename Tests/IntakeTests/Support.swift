// Support.swift: what the tests of this room share: a client's end of a connection, a recorder, seeds.

import CSystem
import Foundation
import Glibc
import Intake
import Synchronization

/// A non-blocking client end of a socket, closed when dropped.
final class ClientEnd {
  private(set) var descriptor: Int32

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  deinit { close() }

  func close() {
    if descriptor >= 0 { _ = csystem_close(descriptor) }
    descriptor = -1
  }

  /// Sends what fits and answers how much that was.
  @discardableResult
  func send(_ bytes: [UInt8]) -> Int {
    bytes.withUnsafeBytes { Int(csystem_send(descriptor, $0.baseAddress, $0.count)) }
  }

  @discardableResult
  func send(_ text: String) -> Int { send(Array(text.utf8)) }

  /// Everything that has arrived; `ended` tells whether the other side closed.
  func receive() -> (text: String, ended: Bool) {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = buffer.withUnsafeMutableBytes { csystem_receive(descriptor, $0.baseAddress, $0.count) }
      if count <= 0 { return (String(decoding: all, as: UTF8.self), count != -Int(EAGAIN)) }
      all.append(contentsOf: buffer[..<count])
    }
  }

  /// Reads and drops what has arrived, and answers how many bytes that was.
  func drain() -> Int {
    var total = 0
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
      let count = buffer.withUnsafeMutableBytes { csystem_receive(descriptor, $0.baseAddress, $0.count) }
      if count <= 0 { return total }
      total += count
    }
  }

  func shutdownWriting() { _ = csystem_shutdown_writing(descriptor) }
}

/// A list that handlers on any thread append to.
final class Recorder<Element: Sendable>: Sendable {
  private let elements = Mutex<[Element]>([])

  func append(_ element: Element) { elements.withLock { $0.append(element) } }

  var all: [Element] { elements.withLock { $0 } }

  func removeAll() { elements.withLock { $0 = [] } }
}

func headerValue(_ response: String, _ name: String) -> String? {
  for line in response.components(separatedBy: "\r\n\r\n")[0].components(separatedBy: "\r\n").dropFirst() {
    let parts = line.split(separator: ":", maxSplits: 1)
    if parts.count == 2, parts[0].lowercased() == name.lowercased() {
      return parts[1].trimmingCharacters(in: .whitespaces)
    }
  }
  return nil
}

func status(_ response: String) -> Int? {
  guard response.hasPrefix("HTTP/1.1 ") else { return nil }
  return Int(response.dropFirst(9).prefix(3))
}
