// HTTPDownload.swift: downloads one file over HTTPS into a partial file that a later attempt can
// resume.
//
// A resumed request names the validator of the first answer (If-Range), so that two versions of a
// file never mix; without a validator the download starts again. Redirects must stay encrypted. An
// answer that is not a GGUF file is abandoned after its first bytes, and one that would fill the
// disk before it does so. python3, which also unpacks models, implements the protocol, so the
// program needs no TLS library and stays a single file that runs anywhere. Start at run.

import Foundation

/// What the server's answer said about the file.
struct DownloadedFile: Sendable {
  var byteCount: Int
  /// The SHA-256 that a model hub states for large files (X-Linked-ETag), if it does.
  var statedDigest: String?
}

struct HTTPDownload: Sendable {
  let address: URL
  /// Grows as bytes arrive; the validator is in a file of the same name plus `.tag`.
  let partialPath: String
  let environment: [String: String]
  let progress: @Sendable (PullProgress) -> Void

  private static let mostAttempts = 5

  /// Hosts for which plain HTTP is allowed: this machine.
  static func isLoopback(_ host: String?) -> Bool {
    ["127.0.0.1", "localhost", "::1", "[::1]"].contains(host ?? "")
  }

  static func isAllowed(_ url: URL) -> Bool {
    url.scheme == "https" || (url.scheme == "http" && isLoopback(url.host))
  }

  /// Fetches the file, resuming after interruptions as long as each attempt makes progress.
  func run() async throws(PullError) -> DownloadedFile {
    var attempt = 1
    while true {
      let before = FileTree.size(partialPath) ?? 0
      do throws(PullError) {
        return try await fetchOnce()
      } catch {
        let after = FileTree.size(partialPath) ?? 0
        // Keep nothing that no later attempt could resume, nor a download without an end.
        var isWorthless = after == 0 || FileTree.size(partialPath + ".tag") == nil
        switch error {
        case .noSpace(_, nil, _), .notAModel: isWorthless = true
        default: break
        }
        if isWorthless { removePartial() }
        switch error {
        case .network, .endedEarly:
          guard after > before || (isWorthless && after > 0), attempt < Self.mostAttempts else { throw error }
          attempt += 1
        default: throw error
        }
      }
    }
  }

  private func removePartial() {
    unlink(partialPath)
    unlink(partialPath + ".tag")
  }

  /// A message of the script, one JSON object per line: `begin` once, and the outcome at the end.
  private struct Word: Decodable {
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

  private func fetchOnce() async throws(PullError) -> DownloadedFile {
    if Task.isCancelled { throw .cancelled }
    let tagPath = partialPath + ".tag"
    let tag = FileTree.text(tagPath, limit: 1024) ?? ""
    let offset = tag.isEmpty ? 0 : FileTree.size(partialPath) ?? 0
    let logPath = partialPath + ".log"
    defer { unlink(logPath) }
    let step = PythonStep(
      name: "fetching", script: Self.script,
      arguments: [address.absoluteString, partialPath, tagPath, String(offset), tag],
      environment: environment, logPath: logPath)
    var total: Int?
    let status = try await step.run {
      total = total ?? Self.words(step.log).first { $0.kind == .begin }?.total
      let bytes = FileTree.size(partialPath) ?? 0
      if bytes > 0 { progress(PullProgress(state: .downloading, bytes: bytes, total: total)) }
      return true
    }
    guard let last = Self.words(step.log).last, last.kind != .begin else {
      throw .pythonFailed(step: step.name, status: status ?? 128 + SIGTERM, lastLine: step.lastLine())
    }
    let text = address.absoluteString
    switch last.kind {
    case .begin, .done: break
    case .insecure: throw .insecureRedirect(from: text, to: last.to ?? "nowhere")
    case .status: throw .status(address: text, last.code ?? 0)
    case .space: throw .noSpace(path: partialPath, wanted: last.total, free: last.free)
    case .write:
      let code = Int32(clamping: last.code ?? 0)
      throw code == ENOSPC || code == EFBIG || code == EDQUOT
        ? .noSpace(path: partialPath, wanted: nil, free: code == ENOSPC ? freeBytes(of: partialPath) : nil)
        : .system("write", partialPath, code)
    case .network: throw .network(address: text, last.words ?? "no answer")
    case .alien: throw .notAModel("it starts with \(last.words ?? "nothing"), a GGUF file starts with 'GGUF'")
    }
    let received = last.received ?? 0
    progress(PullProgress(state: .downloading, bytes: received, total: last.total))
    if let wanted = last.total, wanted != received {
      throw .endedEarly(address: text, received: received, wanted: wanted)
    }
    return DownloadedFile(
      byteCount: received, statedDigest: last.stated.flatMap { ModelName.isDigest($0) ? $0 : nil })
  }

  /// The script's messages in python's output, which may contain other lines.
  private static func words(_ log: String) -> [Word] {
    log.split(separator: "\n").compactMap { line in
      // A line that is not JSON is python's own.
      line.hasPrefix("{") ? try? JSONDecoder().decode(Word.self, from: Data(line.utf8)) : nil
    }
  }

  /// Arguments: address, partial file, file of the validator, bytes already present, validator.
  private static let script = #"""
    import http.client, json, os, sys, urllib.error, urllib.parse, urllib.request
    address, path, tag_path, offset, tag = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5]
    stated = None

    def say(**fields):
        print(json.dumps(fields), flush=True)

    def end(**fields):
        say(**fields)
        sys.exit(2)

    def allowed(url):
        parts = urllib.parse.urlsplit(url)
        here = parts.hostname in ("127.0.0.1", "localhost", "::1")
        return parts.scheme == "https" or (parts.scheme == "http" and here)

    def note(headers):
        global stated
        stated = (headers.get("X-Linked-ETag") or "").strip().strip('"') or stated

    class Redirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, request, answer, code, message, headers, url):
            note(headers)
            if not allowed(url):
                end(kind="insecure", to=url)
            return super().redirect_request(request, answer, code, message, headers, url)

    def left():
        """Bytes that may still be written: the disk is never filled, which would stop all else on it."""
        info = os.statvfs(os.path.dirname(path))
        return info.f_bavail * info.f_frsize - min(64 << 20, info.f_blocks * info.f_frsize // 20)

    headers = {"Accept-Encoding": "identity", "User-Agent": "hotpot"}
    if offset > 0:
        headers["Range"] = "bytes=%d-" % offset
        headers["If-Range"] = tag
    try:
        answer = urllib.request.build_opener(Redirects).open(urllib.request.Request(address, headers=headers), timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            # The partial file is longer than the file: the next attempt starts again.
            for old in (path, tag_path):
                if os.path.exists(old):
                    os.unlink(old)
        end(kind="status", code=error.code)
    except (OSError, http.client.HTTPException, ValueError) as error:
        end(kind="network", words=str(getattr(error, "reason", error)))
    if answer.status == 206:
        # "bytes START-END/TOTAL"
        where = answer.headers.get("Content-Range") or ""
        try:
            start, _, total = where.removeprefix("bytes ").replace("/", "-").split("-")
            start, total = int(start), int(total)
        except ValueError:
            start = -1
        if start != offset:
            end(kind="network", words="the answer resumes elsewhere: '%s'" % where[:80])
    elif answer.status == 200:
        offset = 0
        length = answer.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
        note(answer.headers)
    else:
        end(kind="status", code=answer.status)
    free = max(left(), 0)
    if total is not None and total - offset > free:
        end(kind="space", total=total - offset, free=free)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.ftruncate(file, offset)
        os.lseek(file, offset, os.SEEK_SET)
        if offset == 0:
            # A weak tag does not promise the same bytes.
            if os.path.lexists(tag_path):
                os.unlink(tag_path)
            tags = [t for t in (answer.headers.get("ETag"), answer.headers.get("Last-Modified")) if t]
            tags = [t for t in tags if not t.startswith("W/") and len(t) < 1024]
            if tags:
                with open(tag_path, "x") as sink:
                    sink.write(tags[0])
    except OSError as error:
        end(kind="write", code=error.errno or 5)
    say(kind="begin", total=total)
    first = b""
    unchecked = 0
    while True:
        try:
            piece = answer.read(1 << 18)
        except http.client.IncompleteRead as error:
            piece = error.partial
            if not piece:
                break
        except (OSError, http.client.HTTPException) as error:
            end(kind="network", words=str(error))
        if not piece:
            break
        if offset < 4 and len(first) < 4:
            first += piece[:4 - len(first)]
            if not b"GGUF".startswith(first[:4]):
                end(kind="alien", words="bytes " + first.hex(" "))
        unchecked += len(piece)
        if unchecked > 1 << 20 or total is None:
            unchecked = 0
            if left() < len(piece):
                end(kind="space", free=max(left(), 0), total=None if total is None else total - offset)
        while piece:
            try:
                count = os.write(file, piece)
            except OSError as error:
                end(kind="write", code=error.errno or 5)
            piece = piece[count:]
            offset += count
    say(kind="done", received=offset, total=total, stated=stated)
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
