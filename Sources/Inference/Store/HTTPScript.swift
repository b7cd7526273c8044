// HTTPScript.swift: what the two python scripts that speak HTTP share: which addresses are allowed,
// redirects, who gets the token, and how they report. python3, which also unpacks models,
// implements the protocol, so the program needs no TLS library and stays a single file that runs
// anywhere. The scripts are in HTTPDownload.swift and HTTPText.swift. Start at HTTPScript.run.

import Foundation

/// Whom a request tells who asks.
struct HTTPToken: Sendable, Equatable {
  /// The address up to the port: only requests to it carry the token, and no redirect out of it
  /// does.
  let origin: String

  /// The variable that holds it; the child reads it there, because others can see the words of a
  /// command.
  static let variable = "HF_TOKEN"

  init(for address: URL) {
    let port = address.port.map { ":\($0)" } ?? ""
    origin = "\(address.scheme ?? "https")://\(address.host ?? "")\(port)"
  }
}

enum HTTPScript {
  /// Hosts for which plain HTTP is allowed: this machine.
  static func isLoopback(_ host: String?) -> Bool {
    ["127.0.0.1", "localhost", "::1", "[::1]"].contains(host ?? "")
  }

  static func isAllowed(_ url: URL) -> Bool {
    url.scheme == "https" || (url.scheme == "http" && isLoopback(url.host))
  }

  /// A message of a script, one JSON object per line: `begin` once, and the outcome at the end.
  struct Word: Decodable {
    enum Kind: String, Decodable { case begin, done, insecure, status, space, write, network, alien }
    let kind: Kind
    var total: Int?
    var received: Int?
    var stated: String?
    var to: String?
    var code: Int?
    var free: Int?
    var words: String?
  }

  /// Runs a script to its end.
  /// - path: the file that it writes; errors name it
  /// - tick: called now and then with the words so far
  /// - Returns: its last word, of kind `done`.
  static func run(
    _ name: String, _ script: String, address: URL, path: String, token: HTTPToken?, _ arguments: [String],
    _ environment: [String: String], tick: ([Word]) -> Void
  ) async throws(PullError) -> Word {
    if Task.isCancelled { throw .cancelled }
    let logPath = path + ".log"
    defer { unlink(logPath) }
    let step = PythonStep(
      name: name, script: prelude + script,
      arguments: [address.absoluteString, path, token?.origin ?? ""] + arguments, environment: environment,
      logPath: logPath)
    let status = try await step.run {
      tick(words(step.log))
      return true
    }
    guard let last = words(step.log).last, last.kind != .begin else {
      throw .pythonFailed(step: step.name, status: status ?? 128 + SIGTERM, lastLine: step.lastLine())
    }
    let text = address.absoluteString
    switch last.kind {
    case .begin, .done: return last
    case .insecure: throw .insecureRedirect(from: text, to: last.to ?? "nowhere")
    case .status: throw .status(address: text, last.code ?? 0)
    case .space: throw .noSpace(path: path, wanted: last.total, free: last.free)
    case .write:
      let code = Int32(clamping: last.code ?? 0)
      throw code == ENOSPC || code == EFBIG || code == EDQUOT
        ? .noSpace(path: path, wanted: nil, free: code == ENOSPC ? freeBytes(of: path) : nil)
        : .system("write", path, code)
    case .network: throw .network(address: text, last.words ?? "no answer")
    case .alien: throw .notAModel("it starts with \(last.words ?? "nothing"), a GGUF file starts with 'GGUF'")
    }
  }

  /// The script's messages in python's output, which may contain other lines.
  private static func words(_ log: String) -> [Word] {
    log.split(separator: "\n").compactMap { line in
      // A line that is not JSON is python's own.
      line.hasPrefix("{") ? try? JSONDecoder().decode(Word.self, from: Data(line.utf8)) : nil
    }
  }

  /// Arguments: address, file, the origin that gets the token or nothing.
  private static let prelude = #"""
    import http.client, json, os, sys, urllib.error, urllib.parse, urllib.request
    address, path, token_origin = sys.argv[1:4]
    stated = None

    def say(**fields):
        print(json.dumps(fields), flush=True)

    def end(**fields):
        say(**fields)
        sys.stdout.flush()
        os._exit(0 if fields["kind"] == "done" else 2)

    def allowed(url):
        parts = urllib.parse.urlsplit(url)
        here = parts.hostname in ("127.0.0.1", "localhost", "::1")
        return parts.scheme == "https" or (parts.scheme == "http" and here)

    def note(headers):
        global stated
        stated = (headers.get("X-Linked-ETag") or "").strip().strip('"') or stated

    def request(url, headers):
        made = urllib.request.Request(url, headers={"User-Agent": "hotpot", **headers})
        parts = urllib.parse.urlsplit(url)
        if token_origin and "%s://%s" % (parts.scheme, parts.netloc) == token_origin:
            token = os.environ.get("HF_TOKEN", "").strip()
            if not (token.isascii() and token.isprintable()):
                # The library's own words would show it.
                end(kind="network", words="HF_TOKEN holds characters that no token has")
            if token:
                # Not handed on by redirects.
                made.add_unredirected_header("Authorization", "Bearer " + token)
        return made

    class Redirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, old, answer, code, message, headers, url):
            note(headers)
            if not allowed(url):
                raise Insecure(url)
            if super().redirect_request(old, answer, code, message, headers, url) is None:
                return None
            return request(url, {k: v for k, v in old.headers.items() if k != "User-agent"})

    class Insecure(Exception):
        pass

    opener = urllib.request.build_opener(Redirects)

    def fetch(url, headers):
        return opener.open(request(url, headers), timeout=60)

    FAILURES = (OSError, http.client.HTTPException, ValueError)

    """#
}

/// The bytes that this user may still write beside `path`; nil if the system does not say.
func freeBytes(of path: String) -> Int? {
  var status = statvfs()
  let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
  guard statvfs(folder, &status) == 0 else { return nil }
  let (bytes, overflow) = Int(status.f_bavail).multipliedReportingOverflow(by: Int(status.f_frsize))
  return overflow ? nil : bytes
}
