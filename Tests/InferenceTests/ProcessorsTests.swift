// ProcessorsTests.swift: how many threads the system allows, on trees of fixtures in the form of /proc and /sys.

import Foundation
import Testing

@testable import Inference

@Suite struct ProcessorsTests {
  /// The processors that a machine of 64 with these files allows.
  private func allowed(_ files: [String: String]) throws -> Int {
    let root = NSTemporaryDirectory() + "processors-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: root) }  // what stays in /tmp does no harm
    let mask = ["/proc/self/status": "Name:\tx\nCpus_allowed:\tffffffff,ffffffff\nCpus_allowed_list:\t0-63\n"]
    for (path, text) in mask.merging(files, uniquingKeysWith: { $1 }) {
      let file = URL(fileURLWithPath: root + path)
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: file)
    }
    return Processors.allowed(root: root)
  }

  @Test func `the affinity mask counts, and no control group is no quota`() throws {
    #expect(try allowed([:]) == 64)
    #expect(try allowed(["/proc/self/status": "Cpus_allowed:\t0000000f\n"]) == 4)
    #expect(try allowed(["/proc/self/cgroup": "0::/a/b\n"]) == 64)
  }

  @Test func `the lowest quota around a group of version 2 counts`() throws {
    let group = "/sys/fs/cgroup/pods/one"
    let own = ["/proc/self/cgroup": "0::/pods/one/main\n", group + "/main/cpu.max": "max 100000\n"]
    #expect(try allowed(own) == 64)
    #expect(try allowed(own.merging([group + "/cpu.max": "250000 100000\n"]) { $1 }) == 2)
    #expect(try allowed(own.merging([group + "/cpu.max": "50000 100000\n"]) { $1 }) == 1)
    #expect(
      try allowed(
        own.merging([group + "/cpu.max": "800000 100000\n", "/sys/fs/cgroup/pods/cpu.max": "300000 100000\n"])
        {
          $1
        }) == 3)
  }

  @Test func `the lowest quota around a group of version 1 counts`() throws {
    let period = "100000\n"
    // The folder has the controllers' names, or the link `cpu` leads there.
    for (controllers, folder) in [("cpu", "cpu"), ("cpu,cpuacct", "cpu,cpuacct"), ("cpuacct,cpu", "cpu")] {
      let cpu = "/sys/fs/cgroup/\(folder)"
      let own = [
        "/proc/self/cgroup":
          "4:memory:/docker/abc\n3:cpuset:/docker/abc\n1:\(controllers):/docker/abc\n0::/\n",
        cpu + "/docker/abc/cpu.cfs_quota_us": "-1\n", cpu + "/docker/abc/cpu.cfs_period_us": period,
      ]
      #expect(try allowed(own) == 64)
      #expect(
        try allowed(
          own.merging([
            cpu + "/docker/cpu.cfs_quota_us": "350000\n", cpu + "/docker/cpu.cfs_period_us": period,
          ]) { $1 }) == 3)
    }
    let cpu = "/sys/fs/cgroup/cpu"
    // In a container the host's path is not there; its own group is the root.
    #expect(
      try allowed([
        "/proc/self/cgroup": "1:cpu,cpuacct:/docker/abc\n", cpu + "/cpu.cfs_quota_us": "200000\n",
        cpu + "/cpu.cfs_period_us": period,
      ]) == 2)
    // Both versions at once: the lower one. A quota of another controller's tree is none.
    #expect(
      try allowed([
        "/proc/self/cgroup": "2:cpuacct:/\n1:cpu:/\n0::/a\n", cpu + "/cpu.cfs_quota_us": "600000\n",
        cpu + "/cpu.cfs_period_us": period, "/sys/fs/cgroup/a/cpu.max": "500000 100000\n",
        "/sys/fs/cgroup/cpuacct/cpu.cfs_quota_us": "100000\n",
        "/sys/fs/cgroup/cpuacct/cpu.cfs_period_us": period,
      ]) == 5)
  }

  @Test func `a quota that is no number or more than there are processors changes nothing`() throws {
    for text in ["", "100000", "x 100000", "100000 0", "-1 100000", "nan 1", "1e300 1"] {
      #expect(try allowed(["/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": text]) == 64, "\(text)")
    }
  }
}
