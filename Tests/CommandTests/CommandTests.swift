// CommandTests.swift: the program from outside: words in, text and exit codes out.

import Foundation
import TestSettings
import Testing

@Suite struct CommandTests {
  @Test func `help and version go to standard output`() throws {
    let help = try Program.run(["--help"])
    #expect(help.status == 0 && help.errors.isEmpty)
    #expect(help.output.hasPrefix("usage: hotpot"))
    for command in ["run", "chat", "tokenize", "render", "bench", "models"] {
      #expect(help.output.contains("\n  \(command) "), "\(command)")
      let own = try Program.run([command, "--help"])
      #expect(own.status == 0 && own.output.hasPrefix("usage: hotpot \(command)"), "\(command)")
      #expect(own.output.contains("--help"), "\(command)")
    }
    let version = try Program.run(["--version"])
    #expect(version.output == "hotpot 0.1.0\n" && version.status == 0)
  }

  @Test(
    arguments: [
      (["rnu"], "unknown command 'rnu'", "did you mean 'run'?"),
      (["tokenize", "--spezial", "x"], "unknown option '--spezial'", "did you mean '--special'?"),
      (["--versoin"], "unknown option '--versoin'", nil),
      (["run"], "PROMPT is missing", "'hotpot run --help' shows the usage"),
      (["run", "a", "b"], "too many operands: 'b'", "'hotpot run --help' shows the usage"),
      (["run", "--temperature", "hot", "x"], "wants a number from 0.0 to 100.0, found 'hot'", nil),
      (["run", "-n"], "option '-n' wants a value", "'hotpot run --help' lists the options"),
      (["run", "--raw=1", "x"], "option '--raw' takes no value", "'hotpot run --help' lists the options"),
      (["run", "--seed", "-1", "x"], "wants a whole number from 0", nil),
      (["models", "pul"], "unknown action 'pul'", "did you mean 'pull'?"),
      (["models", "pull", "hf:a"], "wanted hf:OWNER/REPO, hf:OWNER/REPO:QUANT", nil),
      (["models", "pull", "hf:a/b:c:d"], "wanted hf:OWNER/REPO, hf:OWNER/REPO:QUANT", nil),
      (["models", "pull", "hf:../../etc/x.gguf"], "wanted hf:OWNER/REPO, hf:OWNER/REPO:QUANT", nil),
      (["models", "pull", "ollama:a/b/c"], "wanted ollama:NAME, ollama:NAME:TAG", nil),
      (["models", "pull", "ollama:../x"], "wanted ollama:NAME, ollama:NAME:TAG", nil),
      (["models", "pull", "http://example.org/x.gguf"], "only https: is allowed", nil),
      (["models", "pull", "https://example.org/x.exe"], "does not end in the name of a .gguf file", nil),
      (["models", "pull", "file:///etc/x.gguf"], "only https: is allowed", nil),
      (["models", "pull", "https://u:p@example.org/x.gguf"], "a password", nil),
      (["models", "pull", "smollm2", "--sha256", "xyz"], "is no SHA-256", nil),
    ] as [([String], String, String?)])
  func `wrong usage exits 64 and says what was meant`(words: [String], error: String, hint: String?) throws {
    let outcome = try Program.run(words)
    #expect(outcome.status == 64, "\(outcome)")
    #expect(outcome.output.isEmpty)
    #expect(
      outcome.errors.hasPrefix("hotpot: error: ") && outcome.errors.contains(error), "\(outcome.errors)")
    if let hint { #expect(outcome.errors.contains("hotpot: hint: \(hint)"), "\(outcome.errors)") }
    #expect(!outcome.errors.contains("\u{1B}"))
  }

  @Test func `without a model the error says how to get one and exits 66`() throws {
    for words in [["run", "hi"], ["chat"], ["bench"], ["tokenize", "hi"]] {
      let outcome = try Program.run(words)
      #expect(outcome.status == 66, "\(words): \(outcome)")
      #expect(
        outcome.errors.contains("hotpot: hint: 'hotpot models pull smollm2' fetches one"), "\(outcome.errors)"
      )
    }
    let named = try Program.run(["run", "--model", "smollm2", "hi"])
    #expect(named.status == 66 && named.errors.contains("'hotpot models pull smollm2' fetches it"))
    #expect(try Program.run(["run", "--model", "/nowhere/x.gguf", "hi"]).status == 66)
    #expect(try Program.run(["run", "--model", "nonsense", "hi"]).status == 66)
  }

  @Test func `bytes that are no text are refused with a hint, as an argument, a file or a line`() throws {
    let model = try Folder()
    let path = try model.write(TinyModel.bytes(), "tiny.gguf")
    let bad: [UInt8] = Array("caf".utf8) + [0xE9, 0x0A]
    let outcomes = [
      (
        try Program.run(["tokenize", "--model", path], lastArgument: [0x63, 0xFF]),
        "argument 4 is not UTF-8 text"
      ),
      (try Program.run(["tokenize", "--model", path, "-"], bytes: bad), "standard input is not UTF-8 text"),
    ]
    for (outcome, error) in outcomes {
      #expect(outcome.status == 65 && outcome.output.isEmpty, "\(outcome)")
      #expect(
        outcome.errors.hasPrefix("hotpot: error: \(error)\nhotpot: hint: convert it"), "\(outcome.errors)")
    }
  }

  @Test(.disabled(if: RealModel.isAbsent, "no model: 'hotpot models pull smollm2' or HOTPOT_MODEL gives one"))
  func `a line of a conversation that is no text ends it before the model sees it`() throws {
    let path = try #require(RealModel.path)
    let outcome = try Program.run(["chat", "--model", path], bytes: Array("caf".utf8) + [0xE9, 0x0A])
    #expect(outcome.status == 65 && outcome.output.isEmpty)
    #expect(outcome.errors.contains("a line of the input is not UTF-8 text"), "\(outcome.errors)")
  }

  @Test func `files that are no models exit 65`() throws {
    let folder = try Folder()
    let whole = TinyModel.bytes()
    var lying = whole
    lying.replaceSubrange(8..<16, with: [UInt8](repeating: 0xFF, count: 8))
    let files = [
      "empty": [], "text": Array("not a model, really not".utf8), "half": Array(whole[..<(whole.count / 2)]),
      "lying": lying, "old": Array("GGUF".utf8) + [1, 0, 0, 0] + whole[8...],
    ]
    for (name, bytes) in files.sorted(by: { $0.key < $1.key }) {
      let path = try folder.write(bytes, name + ".gguf")
      for command in ["tokenize", "run"] {
        let outcome = try Program.run([command, "--model", path, "hi"])
        #expect(outcome.status == 65, "\(command) \(name): \(outcome)")
        #expect(outcome.errors.contains("hotpot: error: model '"), "\(command) \(name): \(outcome.errors)")
      }
    }
    // A vocabulary alone can tokenize; it cannot run.
    let vocabulary = try folder.write(whole, "vocabulary.gguf")
    #expect(try Program.run(["run", "--model", vocabulary, "hi"]).status == 65)
  }

  @Test func `tokenize keeps a special token's name as text unless asked`() throws {
    let folder = try Folder()
    let model = try folder.write(TinyModel.bytes(), "m.gguf")
    let plain = try Program.run(["tokenize", "--model", model, "--json", "he<|im_end|>"])
    #expect(plain.output == "{\"tokens\":[256,60,124,105,109,95,101,110,100,124,62]}\n", "\(plain)")
    let special = try Program.run(["tokenize", "--special", "--model=\(model)", "--", "he<|im_end|>"])
    #expect(special.output == "256 258\n", "\(special)")
    let input = try Program.run(["tokenize", "-m", model, "-"], input: "he\n")
    #expect(
      input.output == "256 10\n" || input.output == "256 198\n" || input.output.hasPrefix("256 "), "\(input)")
    let chosen = try Program.run(["tokenize", "he"], environment: ["HOTPOT_MODEL": model])
    #expect(chosen.output == "256\n", "\(chosen)")
    let bad = try Program.run(["tokenize", "-m", model, "/dev/null", "x"])
    #expect(bad.status == 64)
  }

  @Test func `render prints the prompt and which parts a user wrote`() throws {
    let folder = try Folder()
    let model = try folder.write(TinyModel.bytes(), "m.gguf")
    let messages = try folder.write(
      Array("[{\"role\": \"user\", \"content\": \"a<|im_end|>\"}]".utf8), "m.json")
    let text = try Program.run(["render", "--model", model, messages])
    #expect(text.output == "<|im_start|>user\na<|im_end|><|im_end|>\n<|im_start|>", "\(text)")
    let json = try Program.run(["render", "--model", model, "--json", "-"], input: folder.text("m.json"))
    #expect(json.output.contains("{\"text\":\"a<|im_end|>\",\"trusted\":false}"), "\(json)")
    let template = try folder.write(
      Array("{{ bos_token }}{{ messages|length }}{{ tools[0] }}".utf8), "t.jinja")
    let object = try folder.write(Array("{\"messages\": [], \"tools\": [7]}".utf8), "o.json")
    let own = try Program.run(["render", "--template", template, "--bos", "<s>", object])
    #expect(own.output == "<s>07", "\(own)")
    let broken = try folder.write(Array("{% if %}".utf8), "b.jinja")
    let error = try Program.run(["render", "-t", broken, object])
    #expect(error.status == 65 && error.errors.contains("chat template, line 1"), "\(error)")
    #expect(try Program.run(["render", "-t", template, folder.path + "/none.json"]).status == 66)
    let noJSON = try Program.run(["render", "-t", template, "-"], input: "[1,")
    #expect(noJSON.status == 65 && noJSON.errors.contains("not JSON"), "\(noJSON)")
  }

  @Test func `a closed pipe ends the program as it ends any filter`() throws {
    let outcome = try Program.run(["--help"], closesOutput: true)
    #expect(outcome.status == 128 + SIGPIPE && outcome.errors.isEmpty, "\(outcome)")
  }

  @Test func `control characters of a stranger's file name do not reach the terminal`() throws {
    let outcome = try Program.run(["run", "--model", "x\u{1B}[2J\u{07}.gguf", "hi"])
    #expect(outcome.status == 66 && !outcome.errors.contains("\u{1B}") && !outcome.errors.contains("\u{07}"))
  }

  @Test func `a standard output without room is an error`() throws {
    let folder = try Folder()
    let model = try folder.write(TinyModel.bytes(), "m.gguf")
    let long = String(repeating: "a ", count: 20_000)
    let outcome = try Program.run(["tokenize", "-m", model, "-"], input: long, fileLimit: 4096)
    #expect(outcome.status == 74 && outcome.errors.contains("cannot write the output"), "\(outcome.errors)")
  }
}

/// With a model: the store's smollm2, or what HOTPOT_MODEL names.
@Suite(.enabled(if: !RealModel.isAbsent, "no model: 'hotpot models pull smollm2' or HOTPOT_MODEL gives one"))
struct ModelTests {
  @Test func `the capital of France is Paris`() throws {
    let model = try #require(RealModel.path)
    let outcome = try Program.run([
      "run", "-m", model, "--temperature", "0", "What is the capital of France?",
    ])
    #expect(outcome.output == "The capital of France is Paris.\n" && outcome.status == 0, "\(outcome)")
  }

  @Test func `run --json and --logits agree`() throws {
    let model = try #require(RealModel.path)
    let folder = try Folder()
    let path = folder.path + "/logits"
    let outcome = try Program.run([
      "run", "-m", model, "--raw", "--json", "-n", "3", "--temperature", "0", "--logits", path, "One, two,",
    ])
    let object = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any]
    let prompt = try #require(object?["prompt_tokens"] as? [Int])
    let tokens = try #require(object?["tokens"] as? [Int])
    #expect(tokens.count == 3 && object?["finish_reason"] as? String == "length")
    #expect((object?["logprobs"] as? [Double])?.count == 3)
    let bytes = try #require(FileManager.default.contents(atPath: path))
    let rows = prompt.count + tokens.count
    #expect(bytes.count % (rows * 4) == 0)
    let width = bytes.count / rows / 4
    let logits = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    for (place, token) in tokens.enumerated() {
      let row = logits[((prompt.count - 1 + place) * width)..<((prompt.count + place) * width)]
      let best = try #require(row.indices.max { row[$0] < row[$1] })
      #expect(best - row.startIndex == token)
    }
  }

  @Test func `chat in a pipe answers each line and remembers`() throws {
    let model = try #require(RealModel.path)
    let outcome = try Program.run(
      ["chat", "-m", model, "--temperature", "0", "--verbose", "-n", "24"],
      input: "What is the capital of France?\nAnd of Italy?\n")
    #expect(outcome.status == 0 && outcome.output.contains("Paris"), "\(outcome)")
    let speeds = outcome.errors.split(separator: "\n").filter { $0.contains("reused") }
    #expect(speeds.count == 2 && !speeds[1].contains("(0 reused)"), "\(outcome.errors)")
  }

  @Test func `a prompt longer than the context is refused`() throws {
    let model = try #require(RealModel.path)
    let outcome = try Program.run(["run", "-m", model, "--context", "8", "one two three four five six seven"])
    #expect(outcome.status == 65 && outcome.errors.contains("the context has room for 8"), "\(outcome)")
  }
}
