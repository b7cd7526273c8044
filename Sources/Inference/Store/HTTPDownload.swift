// HTTPDownload.swift: one file over HTTPS into a partial file that a later attempt goes on from.
//
// A resumed request names the validator of the first answer (If-Range), so that two versions of a file never mix;
// without one it starts again. Redirects may not leave encryption. Foundation's URLSession does the protocol.

import Foundation
import Synchronization

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

/// What an answer said about the file.
struct DownloadedFile: Sendable {
  var byteCount: Int
  /// The SHA-256 that a model hub states for large files (X-Linked-ETag), when it does.
  var statedDigest: String?
}

struct HTTPDownload: Sendable {
  let address: URL
  /// Grows as bytes arrive; beside it stands the validator in a file of the same name plus `.tag`.
  let partialPath: String
  let progress: @Sendable (PullProgress) -> Void

  private static let mostAttempts = 5

  /// Hosts to which plain HTTP is allowed: this machine.
  static func isLoopback(_ host: String?) -> Bool {
    ["127.0.0.1", "localhost", "::1", "[::1]"].contains(host ?? "")
  }

  static func isAllowed(_ url: URL) -> Bool {
    url.scheme == "https" || (url.scheme == "http" && isLoopback(url.host))
  }

  /// Fetches the file, resuming after breaks as long as each attempt brings bytes.
  func run() async throws(PullError) -> DownloadedFile {
    var attempt = 1
    while true {
      let before = FileTree.size(partialPath) ?? 0
      do throws(PullError) {
        return try await fetchOnce()
      } catch {
        let after = FileTree.size(partialPath) ?? 0
        if after == 0 {
          unlink(partialPath)
          unlink(partialPath + ".tag")
        }
        switch error {
        case .network, .endedEarly:
          guard after > before, attempt < Self.mostAttempts else { throw error }
          attempt += 1
        default: throw error
        }
      }
    }
  }

  private func fetchOnce() async throws(PullError) -> DownloadedFile {
    if Task.isCancelled { throw .cancelled }
    let descriptor = open(partialPath, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw .system("open", partialPath, errno) }
    defer { close(descriptor) }
    var offset = Int(lseek(descriptor, 0, SEEK_END))
    let tagPath = partialPath + ".tag"
    var request = URLRequest(url: address)
    request.setValue("identity", forHTTPHeaderField: "Accept-Encoding")
    if offset > 0, let tag = FileTree.text(tagPath, limit: 1024), !tag.isEmpty {
      request.setValue("bytes=\(offset)-", forHTTPHeaderField: "Range")
      request.setValue(tag, forHTTPHeaderField: "If-Range")
    } else {
      offset = 0
      guard ftruncate(descriptor, 0) == 0 else { throw .system("truncate", partialPath, errno) }
    }
    let receiver = DownloadReceiver(
      descriptor: descriptor, offset: offset, path: partialPath, tagPath: tagPath, address: address,
      progress: progress)
    let configuration = URLSessionConfiguration.ephemeral
    configuration.timeoutIntervalForRequest = 60
    configuration.httpShouldSetCookies = false
    configuration.urlCache = nil
    let session = URLSession(configuration: configuration, delegate: receiver, delegateQueue: nil)
    defer { session.invalidateAndCancel() }
    let task = session.dataTask(with: request)
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        receiver.start(continuation)
        task.resume()
      }
    } onCancel: {
      task.cancel()
    }
    if Task.isCancelled { throw .cancelled }
    return try result.get()
  }
}

/// Receives the answer of one request. All state behind one lock; URLSession calls from its own queue.
private final class DownloadReceiver: NSObject, URLSessionDataDelegate, Sendable {
  private struct State {
    var offset: Int
    var total: Int?
    var accepted = false
    var failure: PullError?
    var statedDigest: String?
    var continuation: CheckedContinuation<Result<DownloadedFile, PullError>, Never>?
  }

  private let state: Mutex<State>
  private let descriptor: Int32
  private let path: String
  private let tagPath: String
  private let address: URL
  private let resumedAt: Int
  private let progress: @Sendable (PullProgress) -> Void

  init(
    descriptor: Int32, offset: Int, path: String, tagPath: String, address: URL,
    progress: @escaping @Sendable (PullProgress) -> Void
  ) {
    self.descriptor = descriptor
    self.path = path
    self.tagPath = tagPath
    self.address = address
    self.progress = progress
    resumedAt = offset
    state = Mutex(State(offset: offset))
  }

  func start(_ continuation: CheckedContinuation<Result<DownloadedFile, PullError>, Never>) {
    state.withLock { $0.continuation = continuation }
  }

  private func fail(_ error: PullError) {
    state.withLock { if $0.failure == nil { $0.failure = error } }
  }

  private func header(_ name: String, _ response: HTTPURLResponse) -> String? {
    response.value(forHTTPHeaderField: name)
  }

  func urlSession(
    _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
    newRequest request: URLRequest, completionHandler: @escaping (URLRequest?) -> Void
  ) {
    if let digest = linkedDigest(response) { state.withLock { $0.statedDigest = digest } }
    guard let url = request.url, HTTPDownload.isAllowed(url) else {
      fail(.insecureRedirect(from: address.absoluteString, to: request.url?.absoluteString ?? "nowhere"))
      return completionHandler(nil)
    }
    var next = URLRequest(url: url)
    for (name, value) in task.originalRequest?.allHTTPHeaderFields ?? [:] {
      next.setValue(value, forHTTPHeaderField: name)
    }
    completionHandler(next)
  }

  private func linkedDigest(_ response: HTTPURLResponse) -> String? {
    guard
      let tag = header("X-Linked-ETag", response)?.trimmingCharacters(in: CharacterSet(charactersIn: "\"")),
      ModelName.isDigest(tag)
    else { return nil }
    return tag
  }

  func urlSession(
    _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
    completionHandler: @escaping (URLSession.ResponseDisposition) -> Void
  ) {
    completionHandler(accept(response) ? .allow : .cancel)
  }

  /// Whether the body is the file, from the start or from where we stopped.
  private func accept(_ response: URLResponse) -> Bool {
    guard let answer = response as? HTTPURLResponse else {
      fail(.network(address: address.absoluteString, "the answer is not HTTP"))
      return false
    }
    let length = answer.expectedContentLength
    switch answer.statusCode {
    case 200:
      guard ftruncate(descriptor, 0) == 0, lseek(descriptor, 0, SEEK_SET) == 0 else {
        fail(.system("truncate", path, errno))
        return false
      }
      state.withLock {
        $0.offset = 0
        $0.total = length >= 0 ? Int(length) : nil
        $0.statedDigest = linkedDigest(answer) ?? $0.statedDigest
        $0.accepted = true
      }
      noteTag(answer)
    case 206:
      // "bytes START-END/TOTAL"
      let range = header("Content-Range", answer) ?? ""
      let parts = range.dropFirst(6).split(whereSeparator: { $0 == "-" || $0 == "/" })
      guard range.hasPrefix("bytes "), parts.count == 3, Int(parts[0]) == resumedAt else {
        fail(.network(address: address.absoluteString, "the answer resumes elsewhere: '\(range.prefix(80))'"))
        return false
      }
      state.withLock {
        $0.total = Int(parts[2])
        $0.accepted = true
      }
    case 416:
      // The partial file is longer than the file: start again at the next attempt.
      unlink(path)
      unlink(tagPath)
      fail(.status(address: address.absoluteString, 416))
      return false
    default:
      fail(.status(address: address.absoluteString, answer.statusCode))
      return false
    }
    let (offset, total) = state.withLock { ($0.offset, $0.total) }
    return hasSpace(offset, total)
  }

  /// Refuses a file for which the disk has no room, before a byte is written.
  private func hasSpace(_ offset: Int, _ total: Int?) -> Bool {
    guard let total, let free = freeBytes(of: path), total - min(offset, total) > free else { return true }
    fail(.noSpace(path: path, wanted: total - offset, free: free))
    return false
  }

  private func noteTag(_ answer: HTTPURLResponse) {
    // A weak tag does not promise the same bytes.
    let tag = [header("ETag", answer), header("Last-Modified", answer)].compactMap { $0 }
      .first { !$0.hasPrefix("W/") && $0.utf8.count < 1024 }
    unlink(tagPath)
    guard let tag else { return }
    let file = open(tagPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard file >= 0 else { return }
    // Without the tag the next attempt starts again: slower, and as right.
    _ = Array(tag.utf8).withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
    close(file)
  }

  func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
    guard state.withLock({ $0.failure == nil && $0.accepted }) else { return }
    var rest = data[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else {
        let code = errno
        fail(
          code == ENOSPC || code == EFBIG || code == EDQUOT
            ? .noSpace(path: path, wanted: nil, free: code == ENOSPC ? freeBytes(of: path) : nil)
            : .system("write", path, code))
        return dataTask.cancel()
      }
      rest = rest.dropFirst(count)
    }
    let (offset, total) = state.withLock {
      $0.offset += data.count
      return ($0.offset, $0.total)
    }
    progress(PullProgress(state: .downloading, bytes: offset, total: total))
  }

  func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
    let (continuation, result) = state.withLock { state in
      let continuation = state.continuation
      state.continuation = nil
      return (continuation, outcome(of: state, error))
    }
    continuation?.resume(returning: result)
  }

  private func outcome(of state: State, _ error: (any Error)?) -> Result<DownloadedFile, PullError> {
    if let failure = state.failure { return .failure(failure) }
    if let error { return .failure(.network(address: address.absoluteString, error.localizedDescription)) }
    guard state.accepted else { return .failure(.network(address: address.absoluteString, "no answer")) }
    if let total = state.total, state.offset != total {
      return .failure(.endedEarly(address: address.absoluteString, received: state.offset, wanted: total))
    }
    return .success(DownloadedFile(byteCount: state.offset, statedDigest: state.statedDigest))
  }
}

/// The bytes that this user may still write beside `path`; nil when the system does not say.
func freeBytes(of path: String) -> Int? {
  var status = statvfs()
  let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
  guard statvfs(folder, &status) == 0 else { return nil }
  let (bytes, overflow) = Int(status.f_bavail).multipliedReportingOverflow(by: Int(status.f_frsize))
  return overflow ? nil : bytes
}
