// MemoryTests.swift: how much memory a model may take, on trees of fixtures in the form of /proc and /sys, and that
// one which is larger is refused with the figures.

import Foundation
import Testing

@testable import Inference

@Suite struct MemoryTests {
  private func available(_ files: [String: String]) throws -> Int? {
    let root = NSTemporaryDirectory() + "memory-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: root) }  // what stays in /tmp does no harm
    for (path, text) in files {
      let file = URL(fileURLWithPath: root + path)
      try FileManager.default.createDirectory(
        at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(text.utf8).write(to: file)
    }
    return Memory.available(root: root)
  }

  private let meminfo = "MemTotal: 8000 kB\nMemFree: 100 kB\nMemAvailable:    4000 kB\nBuffers: 1 kB\n"

  @Test func `what the kernel calls available counts, and no file is unknown`() throws {
    #expect(try available(["/proc/meminfo": meminfo]) == 4_096_000)
    #expect(try available([:]) == nil)
    #expect(try available(["/proc/meminfo": "MemAvailable: x kB\n"]) == nil)
  }

  @Test func `a control group leaves its limit less what is used and not only cached`() throws {
    let group = "/sys/fs/cgroup/pods/one"
    var files = [
      "/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/pods/one\n", group + "/memory.max": "max\n",
      group + "/memory.current": "900\n",
    ]
    #expect(try available(files) == 4_096_000)
    files[group + "/memory.max"] = "1000\n"
    #expect(try available(files) == 100)
    files[group + "/memory.stat"] = "anon 500\nfile 400\ninactive_file 300\nactive_file 100\n"
    #expect(try available(files) == 400)
    files["/sys/fs/cgroup/pods/memory.max"] = "700\n"
    files["/sys/fs/cgroup/pods/memory.current"] = "690\n"
    #expect(try available(files) == 10)
    // More is used than the limit was lowered to.
    files["/sys/fs/cgroup/pods/memory.max"] = "600\n"
    #expect(try available(files) == 0)
  }

  @Test func `a control group of version 1 is read too`() throws {
    let group = "/sys/fs/cgroup/memory/docker/abc"
    var files = [
      "/proc/self/cgroup": "4:memory:/docker/abc\n1:cpu:/docker/abc\n0::/\n",
      group + "/memory.limit_in_bytes": "9223372036854771712\n", group + "/memory.usage_in_bytes": "70\n",
    ]
    #expect(try available(files) == nil)
    files[group + "/memory.limit_in_bytes"] = "100\n"
    files[group + "/memory.stat"] = "inactive_file 1\ntotal_inactive_file 20\n"
    #expect(try available(files) == 50)
  }

  @Test func `a model larger than memory is refused with the figures`() throws {
    let file = try GGUFFile(bytes: SyntheticModel().bytes(), name: "synthetic.gguf")
    let size = try Model(file: file).program.packedByteCount
    do {
      _ = try Model(file: file, among: Architecture.all, available: size - 1)
      Issue.record("accepted")
    } catch {
      #expect(
        error.description
          == "model 'synthetic.gguf': its weights take \(size) bytes, and \(size - 1) bytes of memory are available"
      )
      #expect(
        error.hint
          == "close other programs, take a smaller model, or let it run from the disk with --mapped, slowly")
    }
    #expect(try Model(file: file, among: Architecture.all, available: size).windows.isEmpty)
  }

  @Test func `weights in a file on the disk give the same logits, and the file has no name`() throws {
    let folder = NSTemporaryDirectory() + "mapped-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }  // what stays in /tmp does no harm
    let file = try GGUFFile(
      bytes: SyntheticModel(layers: 1, types: [.q41, .q80]).bytes(), name: "synthetic.gguf")
    let models = [
      try Model(file: file, among: Architecture.all),
      try Model(file: file, among: Architecture.all, available: 0, folders: ["/nowhere/at/all", folder]),
    ]
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    let logits = try models.map {
      try Engine(model: $0, configuration: .init(kvBlocks: 2)).logits([1, 2, 3, 4, 5], chunk: 5)
    }
    #expect(logits[0] == logits[1])
  }

  @Test func `a disk without the folder or the room is named`() throws {
    let file = try GGUFFile(bytes: SyntheticModel().bytes(), name: "synthetic.gguf")
    let size = try Model(file: file).program.packedByteCount
    do {
      _ = try Model(file: file, among: Architecture.all, folders: ["/nowhere/at/all"])
      Issue.record("accepted")
    } catch {
      #expect(
        error.description
          == "model 'synthetic.gguf': no \(size) bytes for a copy of its weights in '/nowhere/at/all': "
          + "No such file or directory")
    }
    // More than any disk has.
    #expect(throws: Region.FileProblem.self) {
      try Region(byteCount: Int.max / 2, folder: NSTemporaryDirectory())
    }
  }
}
