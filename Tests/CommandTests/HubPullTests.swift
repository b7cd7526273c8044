// HubPullTests.swift: models from a hub's repository and from a registry, in one file and in several,
// over several connections, with a token: a server of this machine plays both.

import Foundation
import Fuzzing
import Inference
import Synchronization
import TestSettings
import Testing

/// The SHA-256 of bytes.
private func digest(of bytes: [UInt8]) throws -> String {
  let folder = try Folder()
  let path = try folder.write(bytes, "x")
  return try withExtendedLifetime(folder) { try FileDigest.sha256(ofFile: path) }
}

/// A model hub on this machine: lists its files, redirects to their bytes, and answers ranges.
private final class Hub: Sendable {
  let server: LocalServer
  private let cuts: Mutex<Int>

  /// - files: by path in the repository owner/repo
  /// - token: what a request must carry
  /// - cuts: how many answers with bytes end early
  init(
    _ files: [String: [UInt8]], pageSize: Int = 1000, token: String? = nil, cuts: Int = 0, lies: Bool = false
  ) throws {
    let left = Mutex(cuts)
    self.cuts = Mutex(cuts)
    let digests = try files.mapValues { bytes in
      let digest = try digest(of: bytes)
      return lies ? String(digest.reversed()) : digest
    }
    let names = files.keys.sorted()
    server = try LocalServer { head, _ in
      let path = String(head.split(separator: " ").dropFirst().first ?? "")
      if let token, !path.hasPrefix("/cdn/"), !head.contains("Authorization: Bearer \(token)\r\n") {
        return LocalServer.Answer(status: "401 Unauthorized")
      }
      if path.hasPrefix("/api/models/owner/repo/tree/main?recursive=true") {
        let page = Int(path.split(separator: "=").last ?? "") ?? 0
        let shown = names.dropFirst(page * pageSize).prefix(pageSize)
        let entries = shown.map { name in
          """
          {"type":"file","path":"\(name)","oid":"1","size":130,
           "lfs":{"oid":"\(digests[name] ?? "")","size":\(files[name]?.count ?? 0),"pointerSize":130}}
          """
        }
        let isLast = (page + 1) * pageSize >= names.count
        let next = "Link: </api/models/owner/repo/tree/main?recursive=true&cursor=\(page + 1)>; rel=\"next\""
        let list = "[{\"type\":\"directory\",\"path\":\"x\"}," + entries.joined(separator: ",") + "]"
        return LocalServer.Answer(headers: isLast ? [] : [next], body: Array(list.utf8))
      }
      if path.hasPrefix("/owner/repo/resolve/main/") {
        let name = String(path.dropFirst("/owner/repo/resolve/main/".count)).removingPercentEncoding ?? ""
        guard let digest = digests[name] else { return LocalServer.Answer(status: "404 Not Found") }
        return LocalServer.Answer(
          status: "302 Found", headers: ["Location: /cdn/\(name)", "X-Linked-ETag: \"\(digest)\""])
      }
      if path.hasPrefix("/v2/library/tiny/manifests/") || path.hasPrefix("/v2/lab/tiny/manifests/") {
        guard head.contains("Accept: application/vnd.docker.distribution.manifest.v2+json"),
          let digest = digests["tiny"]
        else { return LocalServer.Answer(status: "404 Not Found") }
        let layers = """
          {"schemaVersion":2,"layers":[
          {"mediaType":"application/vnd.ollama.image.license","digest":"sha256:\(String(repeating: "0", count: 64))","size":1},
          {"mediaType":"application/vnd.ollama.image.model","digest":"sha256:\(digest)","size":\(files["tiny"]?.count ?? 0)}]}
          """
        return LocalServer.Answer(body: Array(layers.utf8))
      }
      if path.contains("/blobs/sha256:"), let digest = path.split(separator: ":").last.map(String.init),
        let name = digests.first(where: { $0.value == digest })?.key
      {
        return LocalServer.Answer(status: "307 Temporary Redirect", headers: ["Location: /cdn/\(name)"])
      }
      guard path.hasPrefix("/cdn/"),
        let bytes = files[String(path.dropFirst(5)).removingPercentEncoding ?? ""]
      else { return LocalServer.Answer(status: "404 Not Found") }
      return Self.range(
        head, bytes,
        cut: left.withLock { left in
          left -= 1
          return left >= 0
        })
    }
  }

  private static func range(_ head: String, _ bytes: [UInt8], cut: Bool) -> LocalServer.Answer {
    let tag = ["ETag: \"v1\"", "Accept-Ranges: bytes"]
    let line = head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("range: bytes=") }
    guard let line else {
      return LocalServer.Answer(headers: tag, body: bytes, sent: cut ? bytes.count / 2 : nil)
    }
    let ends = line.dropFirst(13).split(separator: "-", omittingEmptySubsequences: false).map { Int($0) }
    guard let start = ends.first ?? nil, start < bytes.count else {
      return LocalServer.Answer(
        status: "416 Range Not Satisfiable", headers: ["Content-Range: bytes */\(bytes.count)"])
    }
    let stop = min((ends.last ?? nil) ?? bytes.count - 1, bytes.count - 1)
    let part = Array(bytes[start...stop])
    return LocalServer.Answer(
      status: "206 Partial Content",
      headers: tag + ["Content-Range: bytes \(start)-\(stop)/\(bytes.count)"], body: part,
      sent: cut ? part.count / 2 : nil)
  }

  var environment: [String: String] {
    let base = "http://127.0.0.1:\(server.port)"
    return ["HF_ENDPOINT": base, "HOTPOT_REGISTRY": base]
  }

  /// The requests so far, each by its first line's path.
  var paths: [String] {
    server.heads.compactMap { $0.split(separator: " ").dropFirst().first.map(String.init) }
  }
}

@Suite struct HubPullTests {
  private let folder: Folder
  private let model = TinyModel.bytes(padding: 20_000)
  private let other = TinyModel.bytes(padding: 40_000)

  init() throws { folder = try Folder() }

  private func run(_ hub: Hub, _ words: [String], _ more: [String: String] = [:]) throws -> Outcome {
    let environment = ["XDG_DATA_HOME": folder.path].merging(hub.environment) { $1 }.merging(more) { $1 }
    return try Program.run(["models"] + words, environment: environment)
  }

  private var names: [String] { folder.names("hotpot/models").filter { !$0.hasPrefix(".") } }

  private func stored(_ name: String) -> [UInt8]? {
    FileManager.default.contents(atPath: folder.path + "/hotpot/models/" + name).map(Array.init)
  }

  private var repository: [String: [UInt8]] {
    [
      "tiny-Q4_K_M.gguf": model, "tiny-Q8_0.gguf": other, "tiny-UD-Q4_K_M.gguf": other,
      "mmproj-F16.gguf": model,
      "tiny.imatrix.gguf": model, "README.md": [1], "BF16/tiny-BF16-00001-of-00002.gguf": model,
      "BF16/tiny-BF16-00002-of-00002.gguf": other, "half-00001-of-00002.gguf": model,
    ]
  }

  @Test(arguments: [
    ("hf:owner/repo", "tiny-Q4_K_M.gguf"), ("hf:owner/repo:latest", "tiny-Q4_K_M.gguf"),
    ("hf:owner/repo:q8_0", "tiny-Q8_0.gguf"), ("hf.co/owner/repo:Q8_0", "tiny-Q8_0.gguf"),
    ("hf:owner/repo:Q4_K_M", "tiny-Q4_K_M.gguf"), ("hf:owner/repo:UD-Q4_K_M", "tiny-UD-Q4_K_M.gguf"),
    ("hf:owner/repo:tiny-Q8_0.gguf", "tiny-Q8_0.gguf"), ("hf:owner/repo/tiny-Q8_0.gguf", "tiny-Q8_0.gguf"),
  ])
  func `a repository's model is found by its quantisation`(_ name: String, _ file: String) throws {
    let hub = try Hub(repository, pageSize: 2)
    defer { hub.server.stop() }
    let outcome = try run(hub, ["pull", name])
    #expect(outcome.status == 0, "\(outcome)")
    #expect(outcome.output == folder.path + "/hotpot/models/\(file)\n")
    let isSame = stored(file) == repository[file]
    #expect(isSame)
    // What is fetched and cannot be run is said with the reason and what would run.
    #expect(outcome.errors.contains("hotpot: warning: it is here, and it cannot be run: "), "\(outcome)")
    #expect(outcome.errors.contains("hotpot: hint: "), "\(outcome)")
    let again = try run(hub, ["pull", name])
    #expect(again.status == 0 && again.output == outcome.output, "\(again)")
    #expect(hub.paths.filter { $0.hasPrefix("/cdn/") }.count == 1, "the file is fetched once")
  }

  @Test func `what a repository does not have is said with what it has`() throws {
    let hub = try Hub(repository)
    defer { hub.server.stop() }
    let missing = try run(hub, ["pull", "hf:owner/repo:Q2_K"])
    #expect(missing.status == 66, "\(missing)")
    #expect(missing.errors.contains("the repository 'owner/repo' has no model 'Q2_K'"), "\(missing)")
    #expect(missing.errors.contains("it has BF16, Q4_K_M, Q8_0, UD-Q4_K_M;"), "\(missing)")
    let nothing = try Hub(["README.md": [1]])
    defer { nothing.server.stop() }
    let none = try run(nothing, ["pull", "hf:owner/repo"])
    #expect(none.status == 66 && none.errors.contains("has no model in the GGUF format"), "\(none)")
    let nobody = try run(hub, ["pull", "hf:other/repo"])
    #expect(nobody.status == 69 && nobody.errors.contains("answered 404"), "\(nobody)")
  }

  @Test func `a search lists a repository's models with sizes, and says which fit`() throws {
    let hub = try Hub(repository)
    defer { hub.server.stop() }
    let outcome = try run(hub, ["search", "hf:owner/repo"])
    #expect(outcome.status == 0, "\(outcome)")
    let lines = outcome.output.split(separator: "\n").map(String.init)
    #expect(
      lines.map { $0.split(separator: " ").first.map(String.init) } == [
        "hf:owner/repo:Q4_K_M", "hf:owner/repo:Q8_0", "hf:owner/repo:UD-Q4_K_M", "hf:owner/repo:BF16",
      ], "\(lines)")
    #expect(lines.allSatisfy { $0.contains(" MB  fits") }, "\(lines)")
    #expect(lines.last?.hasSuffix(", 2 files") == true)
    struct Row: Decodable {
      let name: String, file: String, bytes: Int, parts: Int, sha256: String?, memory: String
    }
    let json = try run(hub, ["search", "hf:owner/repo", "--json"])
    let rows = try JSONDecoder().decode([Row].self, from: Data(json.output.utf8))
    #expect(rows.map(\.bytes) == [model.count, other.count, other.count, model.count + other.count])
    #expect(rows.allSatisfy { $0.sha256?.count == 64 })
    let wrong = try run(hub, ["search", "smollm2"])
    #expect(wrong.status == 64 && wrong.errors.contains("wanted a repository, hf:OWNER/REPO"), "\(wrong)")
  }

  @Test func `a token goes to the hub and to nobody else`() throws {
    let hub = try Hub(["tiny.gguf": model], token: "secret")
    defer { hub.server.stop() }
    let without = try run(hub, ["pull", "hf:owner/repo"])
    #expect(without.status == 69 && without.errors.contains("answered 401"), "\(without)")
    #expect(without.errors.contains("set HF_TOKEN"), "\(without)")
    let with = try run(hub, ["pull", "hf:owner/repo"], ["HF_TOKEN": "secret\n"])
    #expect(with.status == 0, "\(with)")
    let broken = try run(hub, ["pull", "hf:owner/repo:tiny"], ["HF_TOKEN": "se\ncret"])
    #expect(broken.status == 69 && broken.errors.contains("HF_TOKEN holds characters"), "\(broken)")
    #expect(!broken.errors.contains("cret"), "\(broken)")
    // An address that is no name of the hub gets none, nor does another host behind a redirect.
    let elsewhere = try LocalServer { [model] _, _ in LocalServer.Answer(body: model) }
    defer { elsewhere.stop() }
    let redirecting = try LocalServer { head, _ in
      head.contains("/tree/")
        ? LocalServer.Answer(body: Array("[{\"type\":\"file\",\"path\":\"other.gguf\",\"size\":5}]".utf8))
        : LocalServer.Answer(
          status: "302 Found", headers: ["Location: http://localhost:\(elsewhere.port)/other.gguf"])
    }
    defer { redirecting.stop() }
    let base = "http://127.0.0.1:\(redirecting.port)"
    let moved = try run(hub, ["pull", "hf:owner/repo"], ["HF_TOKEN": "secret", "HF_ENDPOINT": base])
    #expect(moved.status == 0, "\(moved)")
    let plain = try run(
      hub, ["pull", "http://127.0.0.1:\(elsewhere.port)/plain.gguf"], ["HF_TOKEN": "secret"])
    #expect(plain.status == 0, "\(plain)")
    #expect(redirecting.heads.allSatisfy { $0.contains("Authorization: Bearer secret\r\n") })
    #expect(elsewhere.heads.count == 2 && !elsewhere.heads.contains { $0.contains("Authorization") })
  }

  @Test func `a large file comes over several connections, in order, and is resumed`() throws {
    // Five pieces and a bit.
    var large = TinyModel.bytes()
    large += (0..<(42 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 7) }
    let hub = try Hub(["big.gguf": large], cuts: 4)
    defer { hub.server.stop() }
    let outcome = try run(hub, ["pull", "hf:owner/repo"])
    #expect(outcome.status == 0, "\(outcome)")
    let isSame = stored("big.gguf") == large
    #expect(isSame)
    let ranges = hub.server.heads.filter { $0.lowercased().contains("range: bytes=") }
    let starts = Set(ranges.compactMap { PullTests.start(of: $0) })
    #expect(starts.count >= 5, "\(starts.sorted())")
    #expect(ranges.allSatisfy { $0.lowercased().contains("if-range: \"v1\"") })
  }

  @Test func `a digest that the list states is checked`() throws {
    let hub = try Hub(["tiny.gguf": model], lies: true)
    defer { hub.server.stop() }
    let outcome = try run(hub, ["pull", "hf:owner/repo"])
    #expect(outcome.status == 65 && outcome.errors.contains("the file's SHA-256 is "), "\(outcome)")
    #expect(names.isEmpty)
    let registry = try run(hub, ["pull", "ollama:tiny"])
    #expect(registry.status != 0 && names.isEmpty, "\(registry)")
  }

  @Test(arguments: [
    ("ollama:tiny", "tiny"), ("ollama:tiny:1b", "tiny-1b"), ("ollama:lab/tiny:1b-q4_K_M", "tiny-1b-q4_K_M"),
  ])
  func `a registry's model is found by its name and tag`(_ name: String, _ stem: String) throws {
    let hub = try Hub(["tiny": model])
    defer { hub.server.stop() }
    let outcome = try run(hub, ["pull", name])
    #expect(outcome.status == 0, "\(outcome)")
    let isSame = stored(stem + ".gguf") == model
    #expect(isSame && outcome.output.hasSuffix("/\(stem).gguf\n"), "\(outcome)")
    #expect(
      hub.paths.first
        == "/v2/\(name.contains("lab/") ? "lab" : "library")/tiny/manifests/\(name.split(separator: ":").count > 2 ? String(name.split(separator: ":")[2]) : "latest")"
    )
  }

  @Test func `a tag that has moved is fetched anew, and the old model is kept`() throws {
    let current = Mutex(model)
    let server = try LocalServer { head, _ in
      let bytes = current.withLock { $0 }
      guard head.contains("/manifests/") else { return LocalServer.Answer(body: bytes) }
      // Without a digest the pull fails, and so does the test.
      let digest = (try? digest(of: bytes)) ?? ""
      let layer = "{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:\(digest)\"}"
      return LocalServer.Answer(body: Array("{\"layers\":[\(layer)]}".utf8))
    }
    defer { server.stop() }
    func pull() throws -> Outcome {
      try Program.run(
        ["models", "pull", "ollama:tiny"],
        environment: [
          "XDG_DATA_HOME": folder.path, "HOTPOT_REGISTRY": "http://127.0.0.1:\(server.port)",
        ])
    }
    #expect(try pull().status == 0)
    #expect(try pull().status == 0)
    #expect(server.heads.filter { $0.contains("/blobs/") }.count == 1)
    current.withLock { $0 = other }
    let moved = try pull()
    #expect(
      moved.status == 0 && moved.errors.contains("it will be kept as tiny.gguf.old"), "\(moved)")
    let isNew = stored("tiny.gguf") == other
    let isKept = stored("tiny.gguf.old") == model
    #expect(isNew && isKept)
    // Another registry's model of that name gets a name of its own.
    let elsewhere = try Hub(["tiny": model])
    defer { elsewhere.server.stop() }
    let second = try run(elsewhere, ["pull", "ollama:tiny"])
    #expect(second.status == 0 && second.output.contains("/library--tiny-latest-"), "\(second)")
    #expect(names.contains("tiny.gguf"))
  }

  // MARK: Several files

  private func parts(_ count: Int = 3) throws -> [String: [UInt8]] {
    let whole = try GGUFFile(bytes: TinyModel.bytes(tensors: 6), name: "whole")
    let writers = splitParts(of: whole, count: count)
    return Dictionary(
      uniqueKeysWithValues: writers.enumerated().map {
        ("Q8_0/big-Q8_0-0000\($0 + 1)-of-0000\(count).gguf", $1.bytes())
      })
  }

  @Test(arguments: [
    "hf:owner/repo:Q8_0", "hf:owner/repo/Q8_0/big-Q8_0-00001-of-00003.gguf",
    "hf:owner/repo/Q8_0/big-Q8_0-00003-of-00003.gguf",
  ])
  func `a model in several files is fetched whole, listed once and checked`(_ name: String) throws {
    let files = try parts()
    let hub = try Hub(files)
    defer { hub.server.stop() }
    let outcome = try run(hub, ["pull", name])
    #expect(outcome.status == 0, "\(outcome)")
    #expect(outcome.output.hasSuffix("/hotpot/models/big-Q8_0-00001-of-00003.gguf\n"), "\(outcome)")
    for (path, bytes) in files {
      let isSame = stored(path.split(separator: "/").last.map(String.init) ?? "") == bytes
      #expect(isSame, "\(path)")
    }
    let list = try run(hub, ["list"])
    #expect(list.output.split(separator: "\n").count == 1 && list.output.hasPrefix("big-Q8_0  "), "\(list)")
    let check = try run(hub, ["verify"])
    #expect(check.status == 0 && check.output.hasPrefix("big-Q8_0: ok ("), "\(check)")
    let environment = ["XDG_DATA_HOME": folder.path]
    for choice in ["big-Q8_0", "big-Q8_0-00001-of-00003.gguf", "big-Q8_0-00001-of-00003"] {
      let ids = try Program.run(["tokenize", "-m", choice, "he"], environment: environment)
      #expect(ids.status == 0 && ids.output == "256\n", "\(choice): \(ids)")
    }
    // One flipped bit in one part is found, and all is fetched again.
    var damaged = try #require(stored("big-Q8_0-00002-of-00003.gguf"))
    damaged[damaged.count - 1] ^= 1
    _ = try folder.write(damaged, "hotpot/models/big-Q8_0-00002-of-00003.gguf")
    let bad = try run(hub, ["verify", "big-Q8_0"])
    #expect(bad.status == 65 && bad.output.hasPrefix("big-Q8_0: failed"), "\(bad)")
    let mended = try run(hub, ["pull", name])
    #expect(
      mended.status == 0
        && mended.errors.contains("the big-Q8_0-00001-of-00003.gguf that is here is damaged"),
      "\(mended)")
    #expect(try run(hub, ["verify"]).status == 0)
    // A part that is gone is named.
    let gone = folder.path + "/hotpot/models/big-Q8_0-00003-of-00003.gguf"
    try FileManager.default.removeItem(atPath: gone)
    #expect(try run(hub, ["list"]).output.isEmpty)
    let first = folder.path + "/hotpot/models/big-Q8_0-00001-of-00003.gguf"
    let missing = try Program.run(["tokenize", "-m", first, "he"], environment: environment)
    #expect(
      missing.status == 65 && missing.errors.contains("'\(gone)': part 3 of 3 of the model is missing"),
      "\(missing)")
    #expect(missing.errors.contains("'hotpot models pull' fetches all of them"))
    #expect(try run(hub, ["pull", name]).status == 0)
    #expect(try run(hub, ["verify"]).output.hasPrefix("big-Q8_0: ok ("))
  }

  @Test func `a pull of several files goes on after those that are here`() throws {
    let files = try parts()
    let server = try Hub(files)
    defer { server.server.stop() }
    // The first attempt finds two parts of three.
    let less = try Hub(files.filter { !$0.key.contains("-00003-") })
    let name = "hf:owner/repo/Q8_0/big-Q8_0-00001-of-00003.gguf"
    let failed = try run(less, ["pull", name])
    less.server.stop()
    #expect(failed.status == 69 && failed.errors.contains("answered 404"), "\(failed)")
    #expect(names.isEmpty)
    let partial = folder.names("hotpot/models").filter { $0.hasSuffix(".partial") }
    #expect(partial.count == 2, "\(partial)")
  }

  @Test func `a part that is of another model is refused, and nothing gets a name`() throws {
    var files = try parts()
    files["Q8_0/big-Q8_0-00002-of-00003.gguf"] = files["Q8_0/big-Q8_0-00003-of-00003.gguf"]
    let hub = try Hub(files)
    defer { hub.server.stop() }
    let outcome = try run(hub, ["pull", "hf:owner/repo"])
    #expect(
      outcome.status == 65
        && outcome.errors.contains("stands for part 2 of 3 of the model, and is part 3 of 3"), "\(outcome)")
    #expect(names.isEmpty && folder.names("hotpot/models").allSatisfy { $0.hasSuffix(".lock") })
  }
}
