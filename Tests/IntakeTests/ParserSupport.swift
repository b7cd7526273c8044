// ParserSupport.swift: the reference vectors for requests, read from llhttp's markdown.

import Foundation

/// One request of the reference vectors.
struct HTTPVector {
  let name: String
  let title: String
  let input: [UInt8]
}

/// The vectors of a folder of llhttp's markdown tests, in the order of file and position.
func httpVectors(_ folder: URL) throws -> [HTTPVector] {
  let requests = folder.appendingPathComponent("vectors/http/test/request")
  let files = try FileManager.default.contentsOfDirectory(atPath: requests.path).sorted()
  var vectors: [HTTPVector] = []
  for file in files where file.hasSuffix(".md") {
    let text = try String(contentsOf: requests.appendingPathComponent(file), encoding: .utf8)
    var title = ""
    var block: [Substring]?
    var number = 0
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line == "```http" {
        block = []
      } else if line == "```", let lines = block {
        number += 1
        vectors.append(
          HTTPVector(
            name: "\(file.dropLast(3)) \(number)", title: title,
            input: unescape(lines.joined(separator: "\n"))))
        block = nil
      } else if block != nil {
        block?.append(line)
      } else if line.hasPrefix("#") {
        title = line.drop { $0 == "#" || $0 == " " }.description
      }
    }
  }
  return vectors
}

/// llhttp's notation: newlines are CRLF, a backslash at the end of a line joins it with the next, and \r, \n,
/// \t, \f and \xHH are bytes.
private func unescape(_ text: String) -> [UInt8] {
  let joined = text.replacingOccurrences(of: "\\\n", with: "")
  let bytes = Array(joined.utf8)
  var out: [UInt8] = []
  var index = 0
  while index < bytes.count {
    let byte = bytes[index]
    let next = index + 1 < bytes.count ? bytes[index + 1] : 0
    index += 1
    if byte == 0x0A {
      out += [0x0D, 0x0A]
    } else if byte == UInt8(ascii: "\\"), let plain = ["r": 0x0D, "n": 0x0A, "t": 0x09, "f": 0x0C][next] {
      out.append(plain)
      index += 1
    } else if byte == UInt8(ascii: "\\"), next == UInt8(ascii: "x"), index + 2 < bytes.count,
      let value = UInt8(String(decoding: bytes[(index + 1)...(index + 2)], as: UTF8.self), radix: 16)
    {
      out.append(value)
      index += 3
    } else {
      out.append(byte)
    }
  }
  return out
}

extension Dictionary where Key == Character, Value == UInt8 {
  fileprivate subscript(byte: UInt8) -> UInt8? { self[Character(Unicode.Scalar(byte))] }
}

/// The input with the faults taken off that it isn't about: the missing Host, which most vectors have, and the
/// fragment in the targets of those about Transfer-Encoding. Either is a 400 that would hide the rest.
func isolated(_ input: [UInt8]) -> [UInt8] {
  var rest = withHost(input)
  let fragment = Array("#hey HTTP/1.1".utf8)
  if let start = rest.indices.first(where: { rest[$0...].starts(with: fragment) }) {
    rest.removeSubrange(start..<(start + 4))
  }
  return rest
}

/// The input with a Host field after each HTTP/1.1 request line, when it has none at all.
func withHost(_ input: [UInt8]) -> [UInt8] {
  let lowered = String(decoding: input.map { $0 < 0x80 ? $0 : 0x3F }, as: UTF8.self).lowercased()
  if lowered.contains("\nhost:") || lowered.contains("\nhost ") { return input }
  var out: [UInt8] = []
  let ending = Array(" HTTP/1.1\r\n".utf8)
  for byte in input {
    out.append(byte)
    if byte == 0x0A, out.count > ending.count, Array(out.suffix(ending.count)) == ending {
      out += Array("Host: h\r\n".utf8)
    }
  }
  return out
}
