// Tree.swift: a directory of files as /proc and /sys have them, made for one test and removed after it.
import Foundation

final class Tree {
  let root: String

  init() throws {
    root = NSTemporaryDirectory() + "telemetry-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
  }

  deinit {
    do {
      try FileManager.default.removeItem(atPath: root)
    } catch {
      print("cannot remove \(root): \(error)")
    }
  }

  /// Overwrites in place, as a driver changes what an open file says.
  func write(_ path: String, _ text: String) throws {
    let full = root + path
    try FileManager.default.createDirectory(
      atPath: (full as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    let file = Glibc.open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard file >= 0 else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    defer { close(file) }
    let bytes = Array((text + "\n").utf8)
    guard Glibc.write(file, bytes, bytes.count) == bytes.count else { throw POSIXError(.EIO) }
  }

  func write(_ files: [String: String], under directory: String) throws {
    for (name, text) in files { try write("\(directory)/\(name)", text) }
  }

  /// A process with an open device, and the kernel's account of it.
  func open(_ device: String, pid: Int, descriptor: Int, _ account: String) throws {
    let process = "/proc/\(pid)"
    try FileManager.default.createDirectory(
      atPath: root + process + "/fd", withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: "\(root)\(process)/fd/\(descriptor)", withDestinationPath: device)
    try write("\(process)/fdinfo/\(descriptor)", account)
  }

  func remove(_ path: String) throws { try FileManager.default.removeItem(atPath: root + path) }

  /// A card of amdgpu, as a Radeon RX 7900 XTX shows it under Linux 6.8.
  func addRadeon(_ card: Int) throws {
    let device = "/sys/class/drm/card\(card)/device"
    try write(
      [
        "uevent":
          "DRIVER=amdgpu\nPCI_CLASS=30000\nPCI_ID=1002:744C\nPCI_SUBSYS_ID=1DA2:E471\nPCI_SLOT_NAME=0000:0\(card):00.0",
        "gpu_busy_percent": "37",
        "mem_info_vram_total": "25753026560",
        "mem_info_vram_used": "1234567168",
        "ras/umc_err_count": "ue: 2\nce: 41",
        "hwmon/hwmon4/name": "amdgpu",
        "hwmon/hwmon4/temp1_input": "61000",
        "hwmon/hwmon4/temp1_crit": "100000",
        "hwmon/hwmon4/power1_average": "212000000",
        "hwmon/hwmon4/power1_cap": "339000000",
        "hwmon/hwmon4/freq1_input": "2371000000",
        "hwmon/hwmon4/freq2_input": "1249000000",
      ], under: device)
    try write("/sys/class/drm/card\(card)-DP-1/status", "connected")
  }

  /// `/proc/stat` whose processors have been busy and idle for so many ticks each.
  func writeProcessors(_ count: Int, user: Int, idle: Int) throws {
    var text = "cpu  \(count * user) 0 0 \(count * idle) 0 0 0 0 0 0\n"
    for core in 0..<count { text += "cpu\(core) \(user) 0 0 \(idle) 0 0 0 0 0 0\n" }
    try write("/proc/stat", text + "intr 1234 5 6\nctxt 99\nbtime 1700000000")
  }
}
