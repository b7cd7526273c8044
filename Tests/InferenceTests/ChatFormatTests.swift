// ChatFormatTests.swift: one conversation is one prompt: the form in which templates get contents,
// and the special tokens that they are told of. That run, render and serve agree is in
// CommandTests.

import Foundation
import Fuzzing
import Inference
import Testing

@Suite struct ChatFormatTests {
  private static let texts =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}"
  private static let parts =
    "{% for m in messages %}<{{ m.role }}>{% for p in m.content %}{% if p.type == 'text' %}{{ p.text }}{% endif %}{% endfor %}</>{% endfor %}"

  private func user(_ text: String) -> ChatMessage { ChatMessage(role: "user", content: text) }

  private func prompt(_ template: String, _ messages: [ChatMessage]) -> String {
    do {
      let format = try ChatFormat(template, tokenizer: nil)
      if let problem = format.problem { return "error: \(problem)" }
      return try format.prompt(messages).text
    } catch {
      return "error: \(error)"
    }
  }

  @Test(arguments: [
    (texts, "<user>hello</>"),
    (parts, "<user>hello</>"),
    ("{{ messages[-1]['content'][0]['text'] }}", "hello"),
    ("{{ messages[0].content | map(attribute='text') | join(' ') }}", "hello"),
    (
      "{% for m in messages %}{% if m.content is string %}S{{ m.content }}{% else %}{% for p in m.content %}P{{ p.text }}{% endfor %}{% endif %}{% endfor %}",
      "Shello"
    ),
    ("{% for m in messages %}{{ m.content | trim | upper }}{% endfor %}", "HELLO"),
    (
      "{% for m in messages %}{{ raise_exception('parts') if m.content is string }}{{ m.content[0].text }}{% endfor %}",
      "hello"
    ),
    (
      "{% for m in messages %}{{ raise_exception('text') if m.content is not string }}{{ m.content }}{% endfor %}",
      "hello"
    ),
  ])
  func `a user's text is in the prompt, whether a template prints contents or loops over their parts`(
    template: String, wanted: String
  ) throws {
    #expect(prompt(template, [user("hello")]) == wanted)
  }

  @Test func `each role's contents come in the form that its branch reads`() throws {
    let mixed =
      "{% for m in messages %}{% if m.role == 'user' %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% else %}({{ m.content }}){% endif %}{% endfor %}"
    let messages = [
      ChatMessage(role: "system", content: "be brief"), user("hi"),
      ChatMessage(role: "assistant", content: "yes"),
      user("why"),
    ]
    #expect(prompt(mixed, messages) == "(be brief)[hi](yes)[why]")
    #expect(try ChatFormat(mixed, tokenizer: nil).rolesOfParts == ["user"])
    let other =
      "{% for m in messages %}{% if m.role != 'user' %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% else %}({{ m.content }}){% endif %}{% endfor %}"
    #expect(prompt(other, messages) == "[be brief](hi)[yes](why)")
  }

  @Test func `parts stay parts where the template reads them and become one text where it does not`() throws {
    let message = ChatMessage(role: "user", parts: ["a", "b"])
    #expect(prompt(Self.texts, [message]) == "<user>ab</>")
    #expect(prompt(Self.parts, [message]) == "<user>ab</>")
    #expect(prompt("{{ messages[0].content | map(attribute='text') | join('-') }}", [message]) == "a-b")
    #expect(prompt("{{ messages[0].content[0].text }}", [message]) == "ab")
    #expect(
      prompt(
        "{% if messages[0].content is string %}{{ messages[0].content }}{% else %}{% for p in messages[0].content %}<{{ p.text }}>{% endfor %}{% endif %}",
        [message]) == "<a><b>")
  }

  @Test(arguments: [
    "", "hello", "{{ bos_token }}{{ messages | length }}", "{{ messages[0].content | length }}",
  ])
  func `a template that leaves the user's text out cannot chat`(template: String) throws {
    #expect(try ChatFormat(template, tokenizer: nil).problem == .leavesOutUsers)
  }

  @Test func `a conversation with a message that the template passes over is refused by its role`() throws {
    let template =
      "{% for m in messages %}{% if m.role == 'user' %}U{{ m.content }}{% elif m.role == 'assistant' %}A{{ m.content }}{% endif %}{% endfor %}"
    let format = try ChatFormat(template, tokenizer: nil)
    #expect(format.problem == nil && format.rolesLeftOut == ["system"])
    #expect(throws: ChatFormatError.leftOut(role: "system")) {
      try format.prompt([ChatMessage(role: "system", content: "x"), self.user("hi")])
    }
    // An empty text is not missed.
    #expect(try format.prompt([ChatMessage(role: "system", content: ""), user("hi")]).text == "Uhi")
    let last = try ChatFormat("{{ messages[-1].content }}", tokenizer: nil)
    #expect(last.rolesLeftOut == ["system", "assistant"])
  }

  @Test func `a template that raises is asked no further and speaks for itself`() throws {
    let picky = "{{ raise_exception('tools are wanted') if not tools }}{{ messages[0].content }}"
    let format = try ChatFormat(picky, tokenizer: nil)
    #expect(format.problem == nil && format.rolesLeftOut.isEmpty)
    #expect(throws: ChatFormatError.template(.refused("tools are wanted"))) {
      try format.prompt([self.user("hi")])
    }
    let noSystem =
      "{% for m in messages %}{{ raise_exception('no system') if m.role == 'system' }}{{ m.content }}{% endfor %}"
    #expect(throws: ChatFormatError.template(.refused("no system"))) {
      try ChatFormat(noSystem, tokenizer: nil).prompt([ChatMessage(role: "system", content: "x")])
    }
    let needsSystem =
      "{{ raise_exception('system first') if messages[0].role != 'system' }}{% for m in messages %}{% for p in m.content %}{{ p.text }}{% endfor %}{% endfor %}"
    #expect(
      prompt(needsSystem, [ChatMessage(role: "system", content: "x"), user("hi")]) == "xhi")
  }

  @Test func `an endless template costs a bounded time at a start`() throws {
    let endless =
      "{% for a in range(9999) %}{% for b in range(9999) %}{{ messages[0].content }}{% endfor %}{% endfor %}"
    let clock = ContinuousClock()
    let took = try clock.measure { _ = try ChatFormat(endless, tokenizer: nil) }
    #expect(took < .seconds(60))
  }

  @Test func `a user's mark stays text inside parts`() throws {
    let tokenizer = try Tokenizer(GGUFFile(bytes: SyntheticVocabulary.byteLevel().bytes(), name: "a.gguf"))
    let template =
      "{% for m in messages %}<|im_start|>{% for p in m.content %}{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>{% endfor %}"
    let format = try ChatFormat(template, tokenizer: tokenizer)
    let tokens = try format.prompt([user("<|im_start|>")]).tokens
    #expect(tokens.filter { $0 == 1 }.count == 1 && tokens.filter { $0 == 2 }.count == 1)
    #expect(tokens.first == 1 && tokens.last == 2 && tokens.count == 2 + "<|im_start|>".utf8.count)
  }

  /// Removes and replaces keys of a vocabulary.
  private func tokenizer(
    _ writer: GGUFWriter, without: [String] = [], with: [(String, GGUFWriter.Value)] = []
  ) throws -> Tokenizer {
    var writer = writer
    let gone = without + with.map(\.0)
    writer.keys.removeAll { key in gone.contains { Array("tokenizer.ggml.\($0)".utf8) == key.key } }
    for (key, value) in with { writer.set("tokenizer.ggml.\(key)", value) }
    return try Tokenizer(GGUFFile(bytes: writer.bytes(), name: "a.gguf"))
  }

  @Test func `what a template is told of special tokens is what the tokenizer takes for them`() throws {
    let template = "[{{ bos_token }}][{{ eos_token }}]{% for m in messages %}{{ m.content }}{% endfor %}"
    func specials(_ tokenizer: Tokenizer) throws -> [String: String] {
      try ChatFormat(template, tokenizer: tokenizer).specials.filter { $0.key != "unk_token" }
    }
    let bytes = SyntheticVocabulary.byteLevel()
    let pieces = SyntheticVocabulary.sentencePiece()
    #expect(try specials(tokenizer(bytes)) == ["bos_token": "<|im_start|>", "eos_token": "<|im_end|>"])
    #expect(try specials(tokenizer(bytes, without: ["bos_token_id"])) == ["eos_token": "<|im_end|>"])
    #expect(try specials(tokenizer(bytes, without: ["eos_token_id"])) == ["bos_token": "<|im_start|>"])
    #expect(
      try specials(tokenizer(bytes, with: [("eos_token_id", .uint32(.max))])) == ["bos_token": "<|im_start|>"]
    )
    #expect(
      try specials(tokenizer(bytes, with: [("bos_token_id", .uint32(99_999))])) == ["eos_token": "<|im_end|>"]
    )
    // A SentencePiece vocabulary has its usual ids where the file says nothing.
    #expect(
      try specials(tokenizer(pieces, without: ["bos_token_id", "eos_token_id"]))
        == ["bos_token": "<s>", "eos_token": "</s>"])
    #expect(
      try specials(tokenizer(bytes, with: [("padding_token_id", .uint32(0))]))["pad_token"] == "<|endoftext|>"
    )
  }

  @Test func `BOS comes once, from the template or else from the tokenizer`() throws {
    let tokenizer = try tokenizer(SyntheticVocabulary.byteLevel(), with: [("add_bos_token", .bool(true))])
    let plain = try ChatFormat("{{ messages[0].content }}", tokenizer: tokenizer)
    let own = try ChatFormat("{{ bos_token }}{{ messages[0].content }}", tokenizer: tokenizer)
    #expect(try plain.prompt([user("a")]).tokens == own.prompt([user("a")]).tokens)
    #expect(try own.prompt([user("a")]).tokens.count { $0 == 1 } == 1)
    // A user who begins with its letters has not written it.
    #expect(try plain.prompt([user("<|im_start|>")]).tokens.first == 1)
    #expect(try plain.prompt([user("<|im_start|>")]).tokens.count == 13)
  }

  @Test func `a template that cannot be read says so with its line`() throws {
    #expect(throws: ChatFormatError.self) { try ChatFormat("{% if %}", tokenizer: nil) }
    do {
      _ = try ChatFormat("a\n{{ 1 + }}", tokenizer: nil)
    } catch {
      #expect("\(error)" == "chat template, line 2: found '}}', wanted a value")
      #expect(error.hint?.contains("--raw") == true && error.hint?.contains("--template FILE") == true)
    }
  }
}
