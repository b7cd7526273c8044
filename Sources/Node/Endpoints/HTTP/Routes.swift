// Routes.swift: the table of the HTTP interface: path, method, right, handler, one row each. Names
// are OpenAI's where OpenAI has one. Rows of dialects are made from theirs (Dialect.all). What
// handlers do is in the files beside it. Start at Route.all.
import Intake
import Receipts

/// One request on its way to its handler.
struct Call: Sendable {
  let request: Request
  let exchange: Exchange
  /// The parts of the path that matched its placeholders.
  let names: [String]

  var name: String { names.first ?? "" }
  func respond(_ response: Response) { exchange.respond(response) }
}

struct Route: Sendable {
  enum Part: Sendable {
    case word(String)
    case name
    /// A name that may contain slashes; decoded.
    case rest
  }

  /// Who may use it, and what is done then.
  enum Handler: Sendable {
    /// Everyone: the answer names no client and no content.
    case anyone(@Sendable (HTTPEndpoint, Call) -> Void)
    case client(@Sendable (HTTPEndpoint, Call, Identity) -> Void)
  }

  let path: [Part]
  let methods: [Intake.Method]
  let handler: Handler

  /// - path: words, `{}` for a name and `{...}` for one that may contain slashes
  init(_ method: Intake.Method, _ path: String, _ handler: Handler) {
    self.path = path.split(separator: "/").map { part in
      switch part {
      case "{}": .name
      case "{...}": .rest
      default: .word(String(part))
      }
    }
    // Whatever supports GET supports HEAD.
    methods = method == .get ? [.get, .head] : [method]
    self.handler = handler
  }

  static let all: [Route] =
    Dialect.all.map { dialect in
      Route(.post, dialect.path, .client { $0.generate($1, dialect, $0.caller($2)) })
    }
    + EmbeddingDialect.all.map { dialect in
      Route(.post, dialect.path, .client { $0.embed($1, dialect, $0.caller($2)) })
    } + [
      Route(.get, "/v1/models", .client { $1.respond($0.models($2)) }),
      Route(.get, "/v1/models/{...}", .client { $1.respond($0.model($1.name, $2)) }),
      Route(
        .post, "/v1/messages/count_tokens",
        .client { $0.countTokens($1, $0.caller($2), .anthropicMessages) }),
      Route(
        .post, "/v1/responses/input_tokens",
        .client { $0.countTokens($1, $0.caller($2), .openAIResponses) }),
      Route(.post, "/tokenize", .client { $0.tokenize($1, $0.caller($2)) }),
      Route(.post, "/detokenize", .client { $0.detokenize($1, $0.caller($2)) }),
      Route(.get, "/api/tags", .client { endpoint, call, _ in call.respond(endpoint.ollamaTags()) }),
      Route(.get, "/api/ps", .client { endpoint, call, _ in call.respond(endpoint.ollamaRunning()) }),
      Route(.post, "/api/show", .client { endpoint, call, _ in call.respond(endpoint.ollamaShow(call)) }),
      Route(.get, "/api/version", .anyone { $1.respond($0.ollamaVersion()) }),
      Route(.get, "/v1/jobs/{}", .client { $0.job($1, $2) }),
      Route(.delete, "/v1/jobs/{}", .client { $0.cancelJob($1.name, $2, $1.exchange) }),
      Route(.get, "/v1/receipts/{}", .client { $1.respond($0.receipt($1.name, $2)) }),
      Route(.get, "/v1/receipts/{}/proof", .client { $1.respond($0.proof($1.name, $2)) }),
      Route(.get, "/v1/receipts/{}/bundle", .client { $1.respond($0.bundle($1.name, $2)) }),
      Route(.get, "/v1/checkpoint", .anyone { $1.respond($0.checkpoint($1.request.head.query)) }),
      Route(.get, "/v1/checkpoint/note", .anyone { $0.note($1) }),
      Route(.post, "/add-checkpoint", .anyone { $0.addCheckpoint($1) }),
      Route(.get, "/.well-known/{}", .anyone { $0.published($1) }),
      Route(.get, "/checkpoint", .anyone { $0.published($1) }),
      Route(.get, "/checkpoint.ssh", .anyone { $0.published($1) }),
      Route(.get, "/tile/{...}", .anyone { $0.published($1) }),
      Route(.get, "/receipts/{}", .anyone { $0.published($1) }),
      Route(.get, "/v1/vouchers", .client { $1.respond($0.account(of: $2)) }),
      Route(.post, "/v1/vouchers", .client { $0.takeVoucher($1, $2) }),
      Route(.get, "/v1/node", .anyone { $1.respond($0.nodeCard()) }),
      Route(.get, "/health", .anyone { $1.respond($0.health()) }),
      Route(.get, "/metrics", .anyone { $1.respond($0.metrics()) }),
    ]

  /// The rows of a path, one for each method or pair of methods, and the names in it.
  static func at(_ path: String) -> [(route: Route, names: [String])] {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map(String.init)
    return all.compactMap { route in route.names(in: parts).map { (route, $0) } }
  }

  /// nil for another path.
  private func names(in parts: [String]) -> [String]? {
    var names: [String] = []
    for (index, part) in path.enumerated() {
      guard parts.indices.contains(index) else { return nil }
      switch part {
      case .word(let word): if parts[index] != word { return nil }
      case .name:
        if parts[index].isEmpty { return nil }
        names.append(parts[index])
      case .rest:
        let rest = parts[index...].joined(separator: "/")
        return rest.isEmpty ? nil : names + [rest.removingPercentEncoding ?? rest]
      }
    }
    return parts.count == path.count ? names : nil
  }
}
