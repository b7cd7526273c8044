// RequestParser+Head.swift: the grammar of request lines, targets, hosts and framing fields.

/// `METHOD target HTTP/1.x`, checked.
struct RequestLine: Sendable {
  let method: Method
  let path: String
  let query: String?
  /// The host of an absolute-form target; it replaces the Host field (RFC 9112, 3.2.2).
  let authority: String?
  let minorVersion: Int

  init(parsing line: [UInt8]) throws(RequestRefusal) {
    let parts = line.split(separator: 0x20, omittingEmptySubsequences: false)
    guard parts.count == 3 else { throw .requestLine("\(parts.count) words") }
    let (methodBytes, target, versionBytes) = (parts[0], parts[1], parts[2])
    guard !methodBytes.isEmpty, methodBytes.allSatisfy(ByteSet.token.contains) else {
      throw .requestLine("a method that is no token")
    }
    minorVersion = try Self.minorVersion(versionBytes)
    guard let method = Method(rawValue: String(decoding: methodBytes, as: UTF8.self)) else {
      throw .method(String(decoding: methodBytes.prefix(32), as: UTF8.self))
    }
    self.method = method
    guard let first = target.first else { throw .target("it is empty") }
    if first == UInt8(ascii: "/") {
      authority = nil
      (path, query) = try Self.pathAndQuery(target)
    } else if target.elementsEqual([UInt8(ascii: "*")]) {
      guard method == .options else { throw .target("'*' is for OPTIONS only") }
      (authority, path, query) = (nil, "*", nil)
    } else {
      let scheme = "http://".utf8
      guard equalIgnoringCase(target.prefix(scheme.count), scheme) else {
        throw .target("it is neither a path nor an http:// address")
      }
      let rest = target.dropFirst(scheme.count)
      let end = rest.firstIndex { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") } ?? rest.endIndex
      let host = rest[..<end]
      guard !host.isEmpty, host.first != UInt8(ascii: ":") else { throw .target("its host is empty") }
      guard isAuthority(host) else { throw .target("its host is not a name with an optional port") }
      authority = String(decoding: host, as: UTF8.self)
      let tail = rest[end...]
      if tail.first == UInt8(ascii: "/") {
        (path, query) = try Self.pathAndQuery(tail)
      } else {
        path = "/"
        query = try tail.isEmpty ? nil : Self.pathAndQuery(tail).1
      }
    }
  }

  private static func minorVersion(_ bytes: ArraySlice<UInt8>) throws(RequestRefusal) -> Int {
    let version = Array(bytes)
    guard version.count == 8, version.starts(with: "HTTP/".utf8), version[6] == UInt8(ascii: "."),
      isDigit(version[5]), isDigit(version[7])
    else { throw .requestLine("a version that is not HTTP/1.0 or HTTP/1.1") }
    guard version[5] == UInt8(ascii: "1") else {
      throw .version(String(decoding: version.dropFirst(5), as: UTF8.self))
    }
    // RFC 9110, 2.5: a higher minor version is treated as the highest that we know.
    return version[7] == UInt8(ascii: "0") ? 0 : 1
  }

  private static func pathAndQuery(
    _ bytes: ArraySlice<UInt8>
  ) throws(RequestRefusal) -> (String, String?) {
    guard bytes.allSatisfy(ByteSet.pathAndQuery.contains) else {
      throw .target("a byte that must be percent-encoded")
    }
    guard percentsAreWhole(bytes) else { throw .target("a '%' without two hexadecimal digits") }
    guard let mark = bytes.firstIndex(of: UInt8(ascii: "?")) else {
      return (String(decoding: bytes, as: UTF8.self), nil)
    }
    let query = bytes[bytes.index(after: mark)...]
    return (String(decoding: bytes[..<mark], as: UTF8.self), String(decoding: query, as: UTF8.self))
  }
}

/// RFC 9110, 7.2: uri-host with an optional port. An empty name is allowed, as RFC 3986 does.
func isAuthority(_ bytes: ArraySlice<UInt8>) -> Bool {
  let host: ArraySlice<UInt8>
  let port: ArraySlice<UInt8>
  if bytes.first == UInt8(ascii: "[") {
    guard let close = bytes.firstIndex(of: UInt8(ascii: "]")) else { return false }
    host = bytes[bytes.index(after: bytes.startIndex)..<close]
    let rest = bytes[bytes.index(after: close)...]
    guard rest.isEmpty || rest.first == UInt8(ascii: ":") else { return false }
    port = rest.dropFirst()
    guard !host.isEmpty, host.allSatisfy(ByteSet.addressLiteral.contains) else { return false }
  } else {
    let colon = bytes.firstIndex(of: UInt8(ascii: ":")) ?? bytes.endIndex
    host = bytes[..<colon]
    port = bytes[colon...].dropFirst()
    guard host.allSatisfy(ByteSet.registeredName.contains), percentsAreWhole(host) else { return false }
  }
  guard port.allSatisfy(isDigit), port.count <= 5 else { return false }
  return (decimal(port) ?? 0) <= 65535
}

/// The value of a string of decimal digits; nil if it is empty, has another byte, or exceeds Int.
func decimal(_ bytes: ArraySlice<UInt8>) -> Int? {
  guard !bytes.isEmpty else { return nil }
  var value = 0
  for byte in bytes {
    guard isDigit(byte) else { return nil }
    let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
    let (sum, carry) = tens.addingReportingOverflow(Int(byte - 0x30))
    guard !overflow, !carry else { return nil }
    value = sum
  }
  return value
}

extension RequestParser {
  /// The ranges of a field line's name and trimmed value.
  func parseField(_ line: [UInt8]) throws(RequestRefusal) -> (name: Range<Int>, value: Range<Int>) {
    guard let first = line.first, first != 0x20, first != 0x09 else { throw .foldedField }
    guard let colon = line.firstIndex(of: UInt8(ascii: ":")) else { throw .fieldWithoutColon }
    let name = line[..<colon]
    // RFC 9112, 5.1: whitespace here MUST be refused; it is a way to smuggle fields past other
    // servers.
    guard name.last != 0x20, name.last != 0x09 else { throw .spaceBeforeColon }
    guard !name.isEmpty, name.allSatisfy(ByteSet.token.contains) else { throw .fieldName }
    let value = trimmed(line[line.index(after: colon)...])
    return (name.startIndex..<name.endIndex, value.startIndex..<value.endIndex)
  }

  /// Checks the head as a whole, decides how its body ends, and sets the state for it.
  mutating func finishHead() throws(RequestRefusal) -> RequestHead {
    guard let requestLine else { throw .requestLine("no request line") }
    let isOld = requestLine.minorVersion == 0
    let authority = try authority(requestLine, isOld: isOld)
    let framing = try framing(isOld: isOld)
    var expectsContinue = false
    if !isOld, fields.count(of: "expect") > 0 {
      guard fields.all("expect").allSatisfy({ equalIgnoringCase($0.utf8, "100-continue".utf8) }) else {
        throw .expectation
      }
      expectsContinue = framing != .none
    }
    let asksToClose = fields.has(token: "close", in: "connection")
    let asksToKeep = fields.has(token: "keep-alive", in: "connection")
    let head = RequestHead(
      method: requestLine.method, path: requestLine.path, query: requestLine.query, authority: authority,
      minorVersion: requestLine.minorVersion, fields: fields, framing: framing,
      keepsAlive: !asksToClose && (!isOld || asksToKeep), expectsContinue: expectsContinue)
    switch framing {
    case .none: state = .end
    case .length(let count): state = .lengthBody(remaining: count)
    case .chunked: state = .chunkSize
    }
    line = []
    fields = HeaderFields()
    return head
  }

  private func authority(_ requestLine: RequestLine, isOld: Bool) throws(RequestRefusal) -> String? {
    let hosts = fields.count(of: "host")
    guard hosts <= 1 else { throw .hostRepeated }
    guard let host = fields.firstBytes("host") else {
      guard isOld else { throw .hostMissing }
      return requestLine.authority
    }
    guard isAuthority(host[...]) else { throw .hostInvalid }
    return requestLine.authority ?? String(decoding: host, as: UTF8.self)
  }

  /// RFC 9112, 6.1 to 6.3, always in the stricter reading.
  private func framing(isOld: Bool) throws(RequestRefusal) -> BodyFraming {
    let lengths = fields.count(of: "content-length")
    let encodings = fields.count(of: "transfer-encoding")
    if encodings > 0 {
      guard lengths == 0 else { throw .lengthAndEncoding }
      guard !isOld else { throw .encodingInOldVersion }
      var codings: [ArraySlice<UInt8>] = []
      for entry in fields.entries where fields.matches(entry, "transfer-encoding") {
        codings += fields.valueBytes(entry).split(separator: UInt8(ascii: ",")).map { trimmed($0) }
      }
      codings.removeAll { $0.isEmpty }
      let isChunked = codings.map { equalIgnoringCase($0, "chunked".utf8) }
      guard isChunked.last == true, isChunked.filter({ $0 }).count == 1 else { throw .encodingInvalid }
      guard codings.count == 1 else { throw .encodingUnknown }
      return .chunked
    }
    guard lengths > 0 else { return .none }
    guard lengths == 1, let value = fields.firstBytes("content-length") else { throw .lengthRepeated }
    guard !value.isEmpty, value.allSatisfy(isDigit) else { throw .lengthInvalid }
    // A number too large for Int is refused: RFC 9110, 8.6 warns of the overflow.
    guard let length = decimal(value[...]), length <= limits.bodyBytes else {
      throw .bodyTooLarge(limits.bodyBytes)
    }
    return length == 0 ? .none : .length(length)
  }
}
