// HTTPDownload.swift: downloads one file over HTTPS into a partial file that a later attempt can
// resume.
//
// A resumed request names the validator of the first answer (If-Range), so that two versions of a
// file never mix; without a validator the download starts again. Redirects must stay encrypted. A
// large file comes over several connections, a piece on each; pieces are written in their order, so
// that the partial file is always a beginning of the file. An answer that is not a GGUF file is
// abandoned after its first bytes, and one that would fill the disk before it does so. What this
// shares with other requests is in HTTPScript.swift. Start at run.

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
  var token: HTTPToken?
  let environment: [String: String]
  let progress: @Sendable (PullProgress) -> Void

  private static let mostAttempts = 5
  private static let connections = 4
  /// Bytes of a piece. A file of fewer than two comes over one connection.
  private static let pieceByteCount = 8 << 20

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

  private func fetchOnce() async throws(PullError) -> DownloadedFile {
    let tagPath = partialPath + ".tag"
    let tag = FileTree.text(tagPath, limit: 1024) ?? ""
    let offset = tag.isEmpty ? 0 : FileTree.size(partialPath) ?? 0
    var total: Int?
    let last = try await HTTPScript.run(
      "fetching", Self.script, address: address, path: partialPath, token: token,
      [tagPath, String(offset), tag, String(Self.connections), String(Self.pieceByteCount)], environment
    ) { words in
      total = total ?? words.first { $0.kind == .begin }?.total
      let bytes = FileTree.size(partialPath) ?? 0
      if bytes > 0 { progress(PullProgress(state: .downloading, bytes: bytes, total: total)) }
    }
    let received = last.received ?? 0
    progress(PullProgress(state: .downloading, bytes: received, total: last.total))
    if let wanted = last.total, wanted != received {
      throw .endedEarly(address: address.absoluteString, received: received, wanted: wanted)
    }
    return DownloadedFile(
      byteCount: received, statedDigest: last.stated.flatMap { ModelName.isDigest($0) ? $0 : nil })
  }

  /// Arguments after the shared ones: file of the validator, bytes already present, validator,
  /// connections, bytes of a piece.
  private static let script = #"""
    import threading
    tag_path, offset, tag, connections, piece_size = sys.argv[4], int(sys.argv[5]), sys.argv[6], int(sys.argv[7]), int(sys.argv[8])

    def left():
        """Bytes that may still be written: the disk is never filled, which would stop all else on it."""
        info = os.statvfs(os.path.dirname(path))
        return info.f_bavail * info.f_frsize - min(64 << 20, info.f_blocks * info.f_frsize // 20)

    def span(answer):
        """Start and total of "bytes START-END/TOTAL"; -1 where there is none."""
        where = answer.headers.get("Content-Range") or ""
        try:
            start, _, total = where.removeprefix("bytes ").replace("/", "-").split("-")
            return int(start), int(total)
        except ValueError:
            return -1, -1

    headers = {"Accept-Encoding": "identity"}
    if offset > 0:
        headers["Range"] = "bytes=%d-" % offset
        headers["If-Range"] = tag
    try:
        answer = fetch(address, headers)
    except Insecure as error:
        end(kind="insecure", to=str(error))
    except urllib.error.HTTPError as error:
        if error.code == 416:
            if (error.headers.get("Content-Range") or "").strip() == "bytes */%d" % offset:
                # All of it is here.
                note(error.headers)
                end(kind="done", received=offset, total=offset, stated=stated)
            # The partial file is longer than the file: the next attempt starts again.
            for old in (path, tag_path):
                if os.path.exists(old):
                    os.unlink(old)
        end(kind="status", code=error.code)
    except FAILURES as error:
        end(kind="network", words=str(getattr(error, "reason", error)))
    if answer.status == 206:
        start, total = span(answer)
        if start != offset:
            end(kind="network", words="the answer resumes elsewhere: '%s'" % (answer.headers.get("Content-Range") or "")[:80])
    elif answer.status == 200:
        offset = 0
        length = answer.headers.get("Content-Length")
        total = int(length) if length and length.isdigit() else None
    else:
        end(kind="status", code=answer.status)
    note(answer.headers)
    free = max(left(), 0)
    if total is not None and total - offset > free:
        end(kind="space", total=total - offset, free=free)
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        os.ftruncate(file, offset)
        os.lseek(file, offset, os.SEEK_SET)
        if offset == 0:
            # A weak tag does not promise the same bytes.
            tag = ""
            if os.path.lexists(tag_path):
                os.unlink(tag_path)
            tags = [t for t in (answer.headers.get("ETag"), answer.headers.get("Last-Modified")) if t]
            tags = [t for t in tags if not t.startswith("W/") and len(t) < 1024]
            if tags:
                tag = tags[0]
                with open(tag_path, "x") as sink:
                    sink.write(tag)
    except OSError as error:
        end(kind="write", code=error.errno or 5)
    say(kind="begin", total=total)

    class Pieces:
        """Fetches what follows the first piece, ahead of the writer, a piece per request."""

        def __init__(self, start, url):
            self.next, self.written, self.url = start, start, url
            self.ready, self.failure = {}, None
            self.changed = threading.Condition()
            for _ in range(connections):
                threading.Thread(target=self.work, daemon=True).start()

        def work(self):
            while True:
                with self.changed:
                    start = self.next
                    if start >= total or self.failure:
                        return
                    self.next += piece_size
                    # What waits to be written is bounded.
                    while start - self.written >= 2 * connections * piece_size and not self.failure:
                        self.changed.wait()
                try:
                    data = self.fetch(start, min(start + piece_size, total))
                except Exception as error:
                    with self.changed:
                        self.failure = self.failure or str(getattr(error, "reason", error)) or "no answer"
                        self.changed.notify_all()
                    return
                with self.changed:
                    self.ready[start] = data
                    self.changed.notify_all()

        def fetch(self, start, stop):
            for attempt in range(3):
                # Where the redirects led may have been for a time only.
                url = self.url if attempt == 0 else address
                try:
                    with fetch(url, {"Accept-Encoding": "identity", "Range": "bytes=%d-%d" % (start, stop - 1),
                                     "If-Range": tag}) as part:
                        if part.status != 206 or span(part) != (start, total):
                            raise ValueError("the file changed meanwhile")
                        data = part.read(stop - start)
                        if len(data) == stop - start:
                            return data
                        raise OSError("the connection ended early")
                except FAILURES as error:
                    if attempt == 2:
                        raise

        def take(self, start):
            with self.changed:
                while start not in self.ready:
                    if self.failure:
                        end(kind="network", words=self.failure)
                    self.changed.wait()
                self.written = start + piece_size
                self.changed.notify_all()
                return self.ready.pop(start)

    pieces, border = None, total
    may_split = answer.status == 206 or answer.headers.get("Accept-Ranges") == "bytes"
    if total is not None and tag and may_split and connections > 1 and total - offset >= 2 * piece_size:
        border = offset + piece_size
        pieces = Pieces(border, answer.geturl())
    first = b""
    unchecked = 0
    while True:
        if pieces and offset == total:
            break
        if pieces and offset == border:
            answer.close()
            piece = pieces.take(offset)
            border += len(piece)
        else:
            try:
                piece = answer.read(min(1 << 18, border - offset) if pieces else 1 << 18)
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
    end(kind="done", received=offset, total=total, stated=stated)
    """#
}
