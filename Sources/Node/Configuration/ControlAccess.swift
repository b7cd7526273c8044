// ControlAccess.swift: identifies a peer on the control socket: users of this machine by their uid
// from the kernel, and by an SSH key's fingerprint those whom sshd let in under the owner's account
// with a forced command. A value; the databases of users and groups are queried through
// `Directory`. Start at ControlAccess.identify.
import Control
import Foundation

/// Who besides the owner may use the control socket: `control` in the configuration.
package struct ControlAccess: Sendable, Equatable {
  /// One name in `operators` or `viewers`.
  package enum Entry: Sendable, Equatable {
    case user(String)
    case uid(UInt32)
    case group(String)
    /// `SHA256:...` as `ssh-keygen -l` prints it, and its holder's name in the log.
    case key(String, name: String?)

    /// `anna`, `1001`, `group:staff`, or `SHA256:...` with a name after a blank.
    package init?(_ text: String) {
      let words = text.split(separator: " ", maxSplits: 1).map(String.init)
      guard let first = words.first else { return nil }
      if first.hasPrefix("SHA256:") {
        let name = words.count > 1 ? words[1] : nil
        guard Self.isFingerprint(first), name.map(Self.isName) ?? true else { return nil }
        self = .key(first, name: name)
        return
      }
      guard words.count == 1 else { return nil }
      if first.hasPrefix("group:") {
        let name = String(first.dropFirst(6))
        guard Self.isName(name) else { return nil }
        self = .group(name)
      } else if let uid = UInt32(first) {
        self = .uid(uid)
      } else {
        guard Self.isName(first) else { return nil }
        self = .user(first)
      }
    }

    static func isFingerprint(_ text: String) -> Bool {
      let digest = text.dropFirst(7)
      return text.hasPrefix("SHA256:") && digest.utf8.count == 43
        && digest.utf8.allSatisfy { byte in
          (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
            || byte == 0x2B || byte == 0x2F
        }
    }

    /// 1 to 64 letters, digits, `.`, `_`, `-`, `@`, `+`: a name that fits a line of the log and the
    /// journal.
    static func isName(_ text: String) -> Bool {
      (1...64).contains(text.utf8.count) && !text.hasPrefix("-")
        && text.unicodeScalars.allSatisfy { scalar in
          scalar.isASCII
            && (scalar.properties.isAlphabetic || (0x30...0x39).contains(scalar.value)
              || "._-@+".unicodeScalars.contains(scalar))
        }
    }
  }

  package var operators: [Entry] = []
  package var viewers: [Entry] = []
  /// A second socket that other users of this machine can reach; the one in the state directory is
  /// the owner's alone.
  package var socket: String?

  package init() {}

  /// What the machine knows of its users.
  struct Directory: Sendable {
    var userName: @Sendable (UInt32) -> String?
    /// Names of all groups that a user is in.
    var groups: @Sendable (UInt32) -> [String]
  }

  struct Person: Sendable, Equatable {
    var role: Role
    /// The name in the log.
    var name: String
  }

  /// Identifies a process of this machine by its uid from the kernel; nil means that it has no
  /// access.
  func identify(uid: UInt32, owner: UInt32, _ directory: Directory) -> Person? {
    let name = directory.userName(uid) ?? "uid \(uid)"
    if uid == owner || uid == 0 { return Person(role: .owner, name: name) }
    var groups: [String]?
    func matches(_ entry: Entry) -> Bool {
      switch entry {
      case .user(let wanted): return wanted == name
      case .uid(let wanted): return wanted == uid
      case .group(let wanted):
        let known = groups ?? directory.groups(uid)
        groups = known
        return known.contains(wanted)
      case .key: return false
      }
    }
    if operators.contains(where: matches) { return Person(role: .operator, name: name) }
    if viewers.contains(where: matches) { return Person(role: .viewer, name: name) }
    return nil
  }

  /// Identifies the holder of an SSH key by its fingerprint; nil if the configuration does not list
  /// it.
  func identify(key fingerprint: String) -> Person? {
    func find(_ entries: [Entry], _ role: Role) -> Person? {
      for case .key(let key, let name) in entries where key == fingerprint {
        return Person(role: role, name: name ?? String(fingerprint.prefix(19)))
      }
      return nil
    }
    return find(operators, .operator) ?? find(viewers, .viewer)
  }
}

extension ControlAccess.Directory {
  /// The machine's own, through the C library's name service.
  static let system = ControlAccess.Directory(
    userName: { uid in entry(uid)?.name },
    groups: { uid in
      guard let entry = entry(uid) else { return [] }
      var ids = [gid_t](repeating: 0, count: 256)
      var count = Int32(ids.count)
      // With more than 256 groups, the first 256 count.
      _ = getgrouplist(entry.name, entry.gid, &ids, &count)
      return ids.prefix(Int(max(0, min(count, 256)))).compactMap { groupName($0) }
    })

  static func hasUser(_ name: String) -> Bool {
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    var buffer = [CChar](repeating: 0, count: 16_384)
    return getpwnam_r(name, &entry, &buffer, buffer.count, &found) == 0 && found != nil
  }

  static func hasGroup(_ name: String) -> Bool {
    var entry = group()
    var found: UnsafeMutablePointer<group>?
    var buffer = [CChar](repeating: 0, count: 65_536)
    return getgrnam_r(name, &entry, &buffer, buffer.count, &found) == 0 && found != nil
  }

  private static func entry(_ uid: UInt32) -> (name: String, gid: gid_t)? {
    var entry = passwd()
    var found: UnsafeMutablePointer<passwd>?
    var buffer = [CChar](repeating: 0, count: 16_384)
    guard getpwuid_r(uid, &entry, &buffer, buffer.count, &found) == 0, found != nil, let name = entry.pw_name
    else { return nil }
    return (String(cString: name), entry.pw_gid)
  }

  private static func groupName(_ gid: gid_t) -> String? {
    var entry = group()
    var found: UnsafeMutablePointer<group>?
    var buffer = [CChar](repeating: 0, count: 65_536)
    guard getgrgid_r(gid, &entry, &buffer, buffer.count, &found) == 0, found != nil, let name = entry.gr_name
    else { return nil }
    return String(cString: name)
  }
}
