// TLSNodeTests.swift: a node whose HTTP door is in TLS: what it serves, its certificate read again,
// and what it refuses to start with.

import Certificates
import Foundation
import Intake
import Node
import TLS
import Testing

@Suite(.disabled(if: Certificates.areAbsent, "there is no openssl, which makes certificates"))
struct TLSNodeTests {
  private func node(_ state: String, certificate: String, key: String) throws -> NodeService {
    try NodeService(
      NodeOptions(
        configuration: NodeConfiguration(
          file: "test",
          text: """
            { http: { listen: '127.0.0.1:0', socket: '\(state).http',
                      tls: { certificate: '\(certificate)', key: '\(key)' } } }
            """),
        stateDirectory: state, version: "0"
      ) { (_) throws(ServingError) in throw ServingError("no model here", hint: nil) })
  }

  @Test func `a node in TLS serves its certificate, and another after it was read again`() throws {
    let scratch = try ScratchDirectory()
    func place(_ name: String) throws {
      for end in ["pem", "key"] {
        let bytes = try Data(contentsOf: URL(filePath: Certificates.path("\(name).\(end)")))
        try bytes.write(to: URL(filePath: "\(scratch.path)/it.\(end)"))
      }
    }
    try place("good")
    let node = try node(
      scratch.path + "/state", certificate: scratch.path + "/it.pem", key: scratch.path + "/it.key")
    try node.start()
    defer {
      node.stop(drain: false, by: "test")
      node.waitUntilStopped()
    }
    let port = try #require(node.ports.first)
    let trust = TLSTrust(authorities: try Certificates.path("ca.pem"))
    let card = try HTTPCall("https://localhost:\(port)/v1/node", trust: trust).send("GET")
    #expect(card.status == 200)
    #expect(node.snapshot().node.address == "https://127.0.0.1:0")
    #expect(throws: HTTPCallError.self) { try HTTPCall("http://localhost:\(port)/v1/node").send("GET") }
    // A renewal with a wrong pair is said, and changes nothing.
    try place("other")
    try FileManager.default.removeItem(atPath: scratch.path + "/it.key")
    node.reloadCertificate()
    #expect(
      node.snapshot().log.last?.text
        == "the certificate stays as it was: '\(scratch.path)/it.key': No such file or directory")
    #expect(try HTTPCall("https://localhost:\(port)/v1/node", trust: trust).send("GET").status == 200)
    try place("other")
    node.reloadCertificate()
    #expect(node.snapshot().log.last?.text == "the certificate '\(scratch.path)/it.pem' was read again")
    #expect(throws: HTTPCallError("TLS: its certificate is refused: hostname mismatch")) {
      try HTTPCall("https://localhost:\(port)/v1/node", trust: trust).send("GET")
    }
  }

  @Test func `a node does not start without the certificate that it is to have`() throws {
    let scratch = try ScratchDirectory()
    let key = try Certificates.path("good.key")
    let node = try node(scratch.path + "/state", certificate: "/absent.pem", key: key)
    let error = #expect(throws: NodeStartError.self) { try node.start() }
    #expect(error?.description == "TLS: '/absent.pem': No such file or directory")
    #expect(error?.hint == "'http.tls' in the config names the files; 'hotpot doctor' reads them")
  }
}
