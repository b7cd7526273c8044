// ListenAddress.swift: parses `http.listen` and `--listen`: an address and a port. Binding is
// Intake's (Server). Start at HTTP.address.
import Glibc

/// What is wrong with an address to listen on, in words.
package struct ListenProblem: Error, Sendable, Equatable, CustomStringConvertible {
  package let description: String
  package let hint = "such as --listen 127.0.0.1:8114"
}

extension NodeConfiguration.HTTP {
  /// `127.0.0.1:8114`, `[::1]:8114`, `8114` (this machine only), `*:8114` (all addresses),
  /// `localhost:8114`. Port 0 picks a free port. Names of other machines and interfaces are
  /// refused: an address says where a node really listens.
  package static func address(_ text: String) throws(ListenProblem) -> (host: String, port: UInt16) {
    let shown = "'\(text.prefix(80))'"
    func isNumeric(_ family: Int32, _ host: String) -> Bool {
      var bytes = in6_addr()
      return inet_pton(family, host, &bytes) == 1
    }
    var host = ""
    var digits = text
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]"), text[text.index(after: end)...].hasPrefix(":") else {
        throw ListenProblem(
          description: "\(shown) is no address and port: an IPv6 address stands in brackets before ':PORT'")
      }
      host = String(text[text.index(after: text.startIndex)..<end])
      digits = String(text[text.index(end, offsetBy: 2)...])
      guard isNumeric(AF_INET6, host) else {
        throw ListenProblem(description: "\(shown): '\(host.prefix(64))' is no IPv6 address")
      }
    } else if isNumeric(AF_INET6, text) {
      throw ListenProblem(
        description: "\(shown) has no port; an IPv6 address and its port are written as [\(text)]:8114")
    } else if let colon = text.lastIndex(of: ":") {
      host = String(text[..<colon])
      digits = String(text[text.index(after: colon)...])
    } else if isNumeric(AF_INET, text) {
      throw ListenProblem(description: "\(shown) has no port")
    }
    guard !digits.isEmpty, digits.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
      throw ListenProblem(description: "\(shown) is no address and port")
    }
    guard let port = UInt16(digits) else {
      throw ListenProblem(description: "\(shown): there is no port \(digits.prefix(20)), wanted 0 to 65535")
    }
    switch host {
    case "", "localhost": return ("127.0.0.1", port)
    case "*": return ("0.0.0.0", port)
    default: break
    }
    guard isNumeric(AF_INET, host) || isNumeric(AF_INET6, host) else {
      throw ListenProblem(
        description:
          "\(shown): '\(host.prefix(64))' is no numeric address; wanted one of this machine, or '*' for all")
    }
    return (host, port)
  }
}
