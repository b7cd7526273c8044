// HTTPText.swift: fetches a short text over HTTPS: a list of a repository's files, or a manifest.
// Answers of several pages are put together, one a line.

import Foundation

struct HTTPText: Sendable {
  let address: URL
  /// Written, read and removed.
  let path: String
  /// The media type that is asked for.
  let accept: String
  var token: HTTPToken?
  let environment: [String: String]

  static let mostBytes = 16 << 20

  /// The pages of the answer.
  func run() async throws(PullError) -> [[UInt8]] {
    defer { unlink(path) }
    _ = try await HTTPScript.run(
      "fetching", Self.script, address: address, path: path, token: token, [accept, String(Self.mostBytes)],
      environment, tick: { _ in })
    guard let text = FileManager.default.contents(atPath: path) else { throw .system("open", path, errno) }
    return text.split(separator: UInt8(ascii: "\n")).map(Array.init)
  }

  /// Arguments after the shared ones: media type, most bytes.
  private static let script = #"""
    import re
    accept, most = sys.argv[4], int(sys.argv[5])
    url, left = address, most
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "wb") as sink:
            for page in range(100):
                try:
                    answer = fetch(url, {"Accept": accept})
                    text = answer.read(left + 1)
                except Insecure as error:
                    end(kind="insecure", to=str(error))
                except urllib.error.HTTPError as error:
                    end(kind="status", code=error.code)
                except FAILURES as error:
                    end(kind="network", words=str(getattr(error, "reason", error)))
                left -= len(text)
                if left < 0:
                    end(kind="network", words="the answer has more than %d bytes" % most)
                # Line breaks have no meaning in JSON outside of strings, and none inside.
                sink.write(text.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n")
                link = re.search(r'<([^<>]*)>\s*;\s*rel="?next"?', answer.headers.get("Link") or "")
                if not link:
                    break
                url = urllib.parse.urljoin(url, link.group(1))
                if not allowed(url):
                    end(kind="insecure", to=url)
    except OSError as error:
        end(kind="write", code=error.errno or 5)
    end(kind="done")
    """#
}
