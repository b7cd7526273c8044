// NodeOptions.swift: the options a node is started with, and why a start can fail. Start at
// NodeOptions.
import Control
import Glibc
import Intake
import Receipts
import TLS

/// What a node is started with.
package struct NodeOptions: Sendable {
  package var configuration: NodeConfiguration
  /// Made (0700) if it does not exist.
  package var stateDirectory: String
  package var version: String
  package var isDemo = false
  /// Reads the configuration again, with what the command line has changed in it. Refuses in words
  /// for the operator.
  package var readConfiguration: @Sendable () -> Result<NodeConfiguration, AdministrationError> = {
    .failure(AdministrationError("this node was started without a file that could be read again"))
  }
  /// The configuration's file, whether or not it is there: rules that an owner makes on a screen are
  /// written into it.
  package var configurationFile: String?
  /// What the configuration says in vain; the log says it at the start.
  package var notices: [ConfigurationNotice] = []
  /// Finds the file of a model by name or path; nil means the configured one or the only one.
  /// Throws words for the operator.
  package var findModel: @Sendable (String?) throws(ServingError) -> ModelFile
  /// Receives everything that happens to the state machine.
  package var trace: TraceRecorder?
  /// Receives lines of the log. Must not block.
  package var log: @Sendable (LogLine) -> Void = { _ in }

  package init(
    configuration: NodeConfiguration, stateDirectory: String, version: String,
    findModel: @escaping @Sendable (String?) throws(ServingError) -> ModelFile
  ) {
    self.configuration = configuration
    self.stateDirectory = stateDirectory
    self.version = version
    self.findModel = findModel
  }
}

/// Why a node did not start.
package enum NodeStartError: Error, Sendable, CustomStringConvertible {
  /// Another node holds the state directory.
  case inUse(String, hint: String?)
  case journal(JournalError)
  case listen(ServerError)
  /// `key` and `key.pub` do not belong together: receipts would name a node that does not exist.
  case key(SignatureError)
  /// The configured currency differs from that of the journal's receipts.
  case currency(found: String, books: String)
  case tunnel(SSHTunnel.Failure)

  package var description: String {
    switch self {
    case .inUse(let words, _): words
    case .journal(let error): "\(error)"
    case .listen(let error): "\(error)"
    case .key(let error): "the node's key: \(error)"
    case .tunnel(let error): "the way to the shared queue: \(error)"
    case .currency(let found, let books):
      "the currency is '\(found)' in the configuration, the books in this state directory are kept in '\(books)'"
    }
  }

  package var hint: String? {
    switch self {
    case .inUse(_, let hint): hint
    case .journal(let error): error.hint
    case .key(let error): error.hint
    case .currency(let found, let books):
      "set 'currency' to '\(books)', or keep books in '\(found)' in another '--state'"
    case .listen(let error): Self.hint(error)
    case .tunnel: nil
    }
  }

  private static func hint(_ error: ServerError) -> String? {
    switch error {
    case .addressInUse(let address) where address.hasPrefix("/"):
      "another program serves that socket; 'hotpot attach' shows a node that does"
    case .addressInUse:
      "another program may use the address: 'ss -ltnp' shows which; 'http.listen' in the config or --listen chooses another"
    case .addressInvalid:
      "'ip address' shows the addresses of this machine; 127.0.0.1 is always one, 0.0.0.0 stands for all"
    case .pathTooLong(let path, _) where path.hasSuffix("/control.sock"):
      "name a shorter directory: with --state DIR, or with TMPDIR for a demo"
    case .pathTooLong: "name a shorter path in the config"
    case .notASocket: "move it away, or name another path in the config"
    case .tls(let error): error.hint ?? "'http.tls' in the config names the files; 'hotpot doctor' reads them"
    case .system(let call, EACCES) where call.hasSuffix("'"):
      "its directory must be one that this user may write"
    case .system(_, EACCES): "ports below 1024 are root's: choose a higher one with --listen or 'http.listen'"
    case .system(_, EMFILE), .system(_, ENFILE):
      "'ulimit -n' is too low, or the machine has no descriptors left"
    case .system(let call, ENOENT) where call.hasSuffix("'"): "make its directory first"
    case .system, .noServer, .connectionClosed, .timedOut, .lineTooLong: nil
    }
  }
}
