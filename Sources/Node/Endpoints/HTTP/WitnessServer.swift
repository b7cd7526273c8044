// WitnessServer.swift: a witness over HTTP without a node: POST /add-checkpoint of C2SP's
// tlog-witness. A node answers the same path itself (ReceiptRoutes.swift). Start at
// WitnessServer.init.
import Dispatch
import Intake
import Receipts

package final class WitnessServer: Sendable {
  private let server: Server

  /// - listen: an address and a port
  /// - logs: the keys of those that it cosigns
  package init(listen: String, _ memory: WitnessMemory, logs: [NoteKey]) throws(ServerError) {
    let address: (host: String, port: UInt16)
    do throws(ListenProblem) { address = try NodeConfiguration.HTTP.address(listen) } catch {
      throw .addressInvalid(listen)
    }
    var settings = Server.Configuration()
    settings.addresses = [.tcp(host: address.host, port: address.port)]
    settings.hosts.append(address.host.contains(":") ? "[\(address.host)]" : address.host)
    settings.limits.bodyBytes = AddCheckpoint.maximumBytes
    let queue = DispatchQueue(label: "hotpot.cosign")
    server = try Server(settings) { request, exchange in
      guard request.head.path == "/add-checkpoint" else {
        exchange.respond(.text("not found\n", status: 404))
        return
      }
      guard request.head.method == .post else {
        exchange.respond(Response.text("wanted POST\n", status: 405).with("Allow", "POST"))
        return
      }
      queue.async {
        exchange.respond(
          Witnessing.response(to: request.body, memory, logs: logs, at: NodeClock.now().wall))
      }
    }
  }

  package var ports: [UInt16] { server.ports }

  package func stop() { server.stop(grace: .seconds(2)) }

  package func waitUntilStopped() { server.waitUntilStopped() }
}
