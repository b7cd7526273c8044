// SimulatedFileSystem.swift: a disk in memory that fails on demand and loses power. Every call can
// fail at a chosen moment, and after a power cut any subset of the unsynced data is on disk. Time
// and other processes are not simulated. Start at SimulatedFileSystem.Fault and afterPowerCut.
import Dice
import Glibc
import Receipts
import Synchronization

package final class SimulatedFileSystem: FileSystem {
  /// What goes wrong, counted over all calls from 0.
  package struct Fault: Sendable, Hashable {
    package enum Kind: Sendable, Hashable {
      case error(Int32)
      /// A write takes half of its bytes; other calls succeed.
      case short
      /// The process is killed before the call; nothing happens from then on.
      case kill
      /// The process is killed after half of a write; other calls as `kill`.
      case killHalfway
    }
    package var at: Int
    package var kind: Kind
    package var isForEver: Bool

    package init(at: Int, kind: Kind, isForEver: Bool) {
      self.at = at
      self.kind = kind
      self.isForEver = isForEver
    }
  }

  private struct Inode {
    var bytes: [UInt8] = []
    var synced: [UInt8] = []
    var isReadOnly = false
  }

  /// A change of names that is not synced yet.
  private struct NameChange {
    var path: String
    /// nil removes the name; -1 is a directory.
    var inode: Int?
  }

  private struct State {
    var inodes: [Int: Inode] = [:]
    /// Paths as the running system sees them; -1 is a directory.
    var names: [String: Int] = ["": -1]
    var syncedNames: [String: Int] = ["": -1]
    var pending: [NameChange] = []
    var open: [Int32: (inode: Int, isWritable: Bool)] = [:]
    var nextInode = 1
    var nextFile: Int32 = 3
    var calls = 0
    var fault: Fault?
    var isKilled = false
    var ignoresSync = false
    var capacity = 1 << 40
  }

  private let state = Mutex(State())

  package init() {}

  private init(inodes: [Int: Inode], names: [String: Int], nextInode: Int, capacity: Int) {
    state.withLock {
      $0.inodes = inodes
      $0.names = names
      $0.syncedNames = names
      $0.nextInode = nextInode
      $0.capacity = capacity
    }
  }

  /// Calls so far.
  package var calls: Int { state.withLock { $0.calls } }

  package func plan(_ fault: Fault?) {
    state.withLock {
      $0.fault = fault
      $0.calls = 0
    }
  }

  /// The negative control: syncs report success and do nothing.
  package func ignoreSyncs() { state.withLock { $0.ignoresSync = true } }

  /// Bytes that all files together may hold.
  package func limit(bytes: Int) { state.withLock { $0.capacity = bytes } }

  package var isKilled: Bool { state.withLock { $0.isKilled } }

  /// Changes a file's bytes without a call that the simulation counts.
  package func corrupt(_ path: String, _ change: (inout [UInt8]) -> Void) {
    state.withLock { state in
      guard let inode = state.names[path], inode >= 0 else { return }
      var bytes = state.inodes[inode]?.bytes ?? []
      change(&bytes)
      state.inodes[inode]?.bytes = bytes
      state.inodes[inode]?.synced = bytes
    }
  }

  package func bytes(of path: String) -> [UInt8]? {
    state.withLock { state in state.names[path].flatMap { state.inodes[$0]?.bytes } }
  }

  /// Paths of all files, sorted.
  package var paths: [String] { state.withLock { $0.names.filter { $0.value >= 0 }.keys.sorted() } }

  /// What a new process finds after this one was killed: everything that was written.
  package func afterKill() -> SimulatedFileSystem {
    state.withLock {
      SimulatedFileSystem(inodes: $0.inodes, names: $0.names, nextInode: $0.nextInode, capacity: $0.capacity)
    }
  }

  /// What a new process finds after a power cut: any of the unsynced sectors of 512 bytes (the
  /// others read as before, or as zeros), any size in between, and any prefix of the changes of
  /// names.
  package func afterPowerCut(using generator: inout SeededGenerator) -> SimulatedFileSystem {
    let (inodes, synced, pending, next, capacity) = state.withLock {
      ($0.inodes, $0.syncedNames, $0.pending, $0.nextInode, $0.capacity)
    }
    var names = synced
    for change in pending.prefix(Int.random(in: 0...pending.count, using: &generator)) {
      names[change.path] = change.inode
    }
    // A file whose directory was lost is lost.
    names = names.filter { path, _ in
      path.isEmpty || names[Self.parent(path)] == -1
    }
    var survived: [Int: Inode] = [:]
    for (number, inode) in inodes.sorted(by: { $0.key < $1.key }) {
      let (old, new) = (inode.synced, inode.bytes)
      if old == new {
        survived[number] = Inode(bytes: old, synced: old, isReadOnly: inode.isReadOnly)
        continue
      }
      let (least, most) = (min(old.count, new.count), max(old.count, new.count))
      let size: Int
      switch Int.random(in: 0..<4, using: &generator) {
      case 0: size = old.count
      case 1, 2: size = new.count
      default: size = Int.random(in: least...most, using: &generator)
      }
      var bytes = [UInt8](repeating: 0, count: size)
      for sector in stride(from: 0, to: size, by: 512) {
        let source = Bool.random(using: &generator) ? new : old
        let end = min(sector + 512, size, source.count)
        if sector < end { bytes.replaceSubrange(sector..<end, with: source[sector..<end]) }
      }
      survived[number] = Inode(bytes: bytes, synced: bytes, isReadOnly: inode.isReadOnly)
    }
    return SimulatedFileSystem(inodes: survived, names: names, nextInode: next, capacity: capacity)
  }

  private static func parent(_ path: String) -> String {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
  }

  /// Counts the call and lets the planned fault strike.
  private static func enter(_ state: inout State, _ call: String, _ path: String) throws(FileError) -> Bool {
    let number = state.calls
    state.calls += 1
    if state.isKilled { throw FileError(call: call, path: path, code: 5) }
    guard let fault = state.fault, number == fault.at || (fault.isForEver && number > fault.at) else {
      return false
    }
    switch fault.kind {
    case .error(let code): throw FileError(call: call, path: path, code: code)
    case .short: return true
    case .kill:
      state.isKilled = true
      throw FileError(call: call, path: path, code: 5)
    case .killHalfway:
      if call == "write" { return true }
      state.isKilled = true
      throw FileError(call: call, path: path, code: 5)
    }
  }

  private func call<T: Sendable>(
    _ name: String, _ path: String, _ body: (inout State, _ isShort: Bool) throws(FileError) -> T
  ) throws(FileError) -> T {
    let result = state.withLock { state -> Result<T, FileError> in
      do throws(FileError) {
        let isShort = try Self.enter(&state, name, path)
        return .success(try body(&state, isShort))
      } catch { return .failure(error) }
    }
    return try result.get()
  }

  private static func change(_ state: inout State, _ path: String, _ inode: Int?) {
    state.names[path] = inode
    state.pending.append(NameChange(path: path, inode: inode))
  }

  // MARK: FileSystem

  package func open(_ path: String, _ mode: OpenMode) throws(FileError) -> FileHandleNumber {
    try call("open", path) { (state, _) throws(FileError) in
      func fail(_ code: Int32) -> FileError { FileError(call: "open", path: path, code: code) }
      guard state.names[Self.parent(path)] == -1 else { throw fail(2) }
      var inode = state.names[path]
      if inode == -1 { throw fail(21) }
      switch mode {
      case .read, .append:
        guard let inode else { throw fail(2) }
        if case .append = mode, state.inodes[inode]?.isReadOnly == true { throw fail(13) }
      case .create:
        guard inode == nil else { throw fail(17) }
      case .replace:
        if let inode {
          if state.inodes[inode]?.isReadOnly == true { throw fail(13) }
          state.inodes[inode]?.bytes = []
        }
      }
      if inode == nil {
        inode = state.nextInode
        state.nextInode += 1
        state.inodes[inode ?? 0] = Inode()
        Self.change(&state, path, inode)
      }
      let file = state.nextFile
      state.nextFile += 1
      if case .read = mode {
        state.open[file] = (inode ?? 0, false)
      } else {
        state.open[file] = (inode ?? 0, true)
      }
      return FileHandleNumber(file)
    }
  }

  private static func inode(_ state: State, _ file: FileHandleNumber, _ call: String) throws(FileError) -> Int
  {
    guard let open = state.open[file.value] else {
      throw FileError(call: call, path: "descriptor \(file.value)", code: 9)
    }
    return open.inode
  }

  package func write(_ file: FileHandleNumber, _ bytes: UnsafeRawBufferPointer) throws(FileError) -> Int {
    let copy = Array(bytes)
    return try call("write", "descriptor \(file.value)") { (state, isShort) throws(FileError) in
      let inode = try Self.inode(state, file, "write")
      var taken = isShort ? copy.count / 2 : copy.count
      if isShort, copy.count == 1 { taken = 1 }
      let used = state.inodes.values.reduce(0) { $0 + $1.bytes.count }
      let room = max(0, state.capacity - used)
      if room == 0, taken > 0 { throw FileError(call: "write", path: "descriptor \(file.value)", code: 28) }
      taken = min(taken, room)
      state.inodes[inode]?.bytes.append(contentsOf: copy[..<taken])
      if isShort, case .killHalfway? = state.fault?.kind {
        state.isKilled = true
        throw FileError(call: "write", path: "descriptor \(file.value)", code: 5)
      }
      return taken
    }
  }

  package func read(_ file: FileHandleNumber, at offset: Int, into bytes: UnsafeMutableRawBufferPointer)
    throws(FileError) -> Int
  {
    let count = bytes.count
    let found: [UInt8] = try call("read", "descriptor \(file.value)") { (state, isShort) throws(FileError) in
      let inode = try Self.inode(state, file, "read")
      let all = state.inodes[inode]?.bytes ?? []
      guard offset < all.count else { return [] }
      let wanted = isShort ? max(1, count / 2) : count
      return Array(all[offset..<min(all.count, offset + wanted)])
    }
    for (i, byte) in found.enumerated() { bytes[i] = byte }
    return found.count
  }

  package func sync(_ file: FileHandleNumber) throws(FileError) {
    try call("fdatasync", "descriptor \(file.value)") { (state, _) throws(FileError) in
      let inode = try Self.inode(state, file, "fdatasync")
      let written = state.inodes[inode]?.bytes ?? []
      if !state.ignoresSync { state.inodes[inode]?.synced = written }
    }
  }

  package func truncate(_ file: FileHandleNumber, to size: Int) throws(FileError) {
    try call("ftruncate", "descriptor \(file.value)") { (state, _) throws(FileError) in
      let inode = try Self.inode(state, file, "ftruncate")
      let count = state.inodes[inode]?.bytes.count ?? 0
      if size < count { state.inodes[inode]?.bytes.removeLast(count - size) }
    }
  }

  package func close(_ file: FileHandleNumber) throws(FileError) {
    try call("close", "descriptor \(file.value)") { (state, _) throws(FileError) in
      guard state.open.removeValue(forKey: file.value) != nil else {
        throw FileError(call: "close", path: "descriptor \(file.value)", code: 9)
      }
    }
  }

  package func seal(_ path: String) throws(FileError) {
    try call("chmod", path) { (state, _) throws(FileError) in
      guard let inode = state.names[path], inode >= 0 else {
        throw FileError(call: "chmod", path: path, code: 2)
      }
      state.inodes[inode]?.isReadOnly = true
    }
  }

  package func rename(_ from: String, to: String) throws(FileError) {
    try call("rename", from) { (state, _) throws(FileError) in
      guard let inode = state.names[from], inode >= 0 else {
        throw FileError(call: "rename", path: from, code: 2)
      }
      // One change of both names: a journalling file system does not show half a rename.
      state.names[from] = nil
      state.names[to] = inode
      state.pending.append(NameChange(path: to, inode: inode))
      state.pending.append(NameChange(path: from, inode: nil))
    }
  }

  package func remove(_ path: String) throws(FileError) {
    try call("unlink", path) { (state, _) throws(FileError) in
      guard let inode = state.names[path], inode >= 0 else {
        throw FileError(call: "unlink", path: path, code: 2)
      }
      Self.change(&state, path, nil)
    }
  }

  package func makeDirectory(_ path: String) throws(FileError) {
    try call("mkdir", path) { (state, _) throws(FileError) in
      if state.names[path] == -1 { return }
      guard state.names[path] == nil, state.names[Self.parent(path)] == -1 else {
        throw FileError(call: "mkdir", path: path, code: state.names[path] == nil ? 2 : 17)
      }
      Self.change(&state, path, -1)
    }
  }

  package func syncDirectory(_ path: String) throws(FileError) {
    let path = path == "." || path == "/" ? "" : path
    try call("fsync", path) { (state, _) throws(FileError) in
      guard state.names[path] == -1 else { throw FileError(call: "fsync", path: path, code: 2) }
      var rest: [NameChange] = []
      for change in state.pending {
        if Self.parent(change.path) == path {
          state.syncedNames[change.path] = change.inode
        } else {
          rest.append(change)
        }
      }
      state.pending = rest
    }
  }

  package func list(_ directory: String) throws(FileError) -> [String] {
    try call("opendir", directory) { (state, _) throws(FileError) in
      guard state.names[directory] == -1 else { throw FileError(call: "opendir", path: directory, code: 2) }
      return state.names.keys.filter { !$0.isEmpty && Self.parent($0) == directory }
        .map { String($0.dropFirst(directory.isEmpty ? 0 : directory.count + 1)) }.sorted()
    }
  }

  package func status(_ path: String) throws(FileError) -> FileStatus? {
    try call("stat", path) { (state, _) throws(FileError) in
      guard let number = state.names[path], let inode = state.inodes[number] else { return nil }
      return FileStatus(size: inode.bytes.count, isReadOnly: inode.isReadOnly)
    }
  }

  package func freeSpace(_ path: String) throws(FileError) -> Int {
    try call("statvfs", path) { (state, _) throws(FileError) in
      max(0, state.capacity - state.inodes.values.reduce(0) { $0 + $1.bytes.count })
    }
  }
}
