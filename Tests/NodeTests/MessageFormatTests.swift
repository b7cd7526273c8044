// MessageFormatTests.swift: how a model's answers are read, by its template, and which of its special
// tokens leave text for that.
import Foundation
import Fuzzing
import Inference
import Testing
import Tools

@testable import Node

@Suite struct MessageFormatTests {
  private static let template =
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ m.content or '' }}"
    + "{% for c in m.tool_calls or [] %}[TOOL_CALLS]{{ c.function.name }}[ARGS]{{ c.function.arguments | tojson }}"
    + "{% endfor %}{% endfor %}"

  private func tokenizer() throws -> Tokenizer {
    let scratch = try ScratchDirectory()
    let path = scratch.path + "/vocabulary.gguf"
    let writer = SyntheticVocabulary.byteLevel(
      extra: ["[TOOL_CALLS]", "[ARGS]", "<|other|>"].map { (text: $0, type: 3) })
    try Data(writer.bytes()).write(to: URL(fileURLWithPath: path))
    return try Tokenizer(GGUFFile(path: path))
  }

  private func format(_ template: String, _ tokenizer: Tokenizer, named: String? = nil) throws
    -> MessageFormat
  {
    MessageFormat(.success(try ChatFormat(template, tokenizer: tokenizer)), tokenizer, named: named)
  }

  @Test func theFormatsMarksLeaveTextAndOtherSpecialTokensNone() throws {
    let tokenizer = try tokenizer()
    let format = try format(Self.template, tokenizer)
    #expect(format.name == "mistral-args")
    func text(shown: Set<Int32>) throws -> String {
      var answer = AnswerText(
        tokenizer: tokenizer, stops: try StopMatcher([]), ignoresEnd: false, limit: 99, shown: shown)
      let tokens = tokenizer.encode(
        segments: [PromptSegment(text: "a[TOOL_CALLS]f[ARGS]{}<|other|>b<|im_end|>", isTrusted: true)],
        addBOS: false)
      return tokens.map { answer.append($0) }.joined()
    }
    #expect(try text(shown: format.marks) == "a[TOOL_CALLS]f[ARGS]{}b")
    #expect(try text(shown: []) == "af{}b")
  }

  @Test func anAnswerIsReadOnlyWhereThereIsSomethingToRead() throws {
    let tokenizer = try tokenizer()
    let plain = try format("{% for m in messages %}{{ m.content }}{% endfor %}", tokenizer)
    #expect(plain.parser([], prompt: "") == nil)
    #expect(!plain.reasons)
    // Tools are offered as texts, and called in the same form.
    #expect(plain.name == "hermes-json")
    #expect(plain.parser([ToolDefinition(name: "f")], prompt: "") != nil)
    let thinking = try format("{% for m in messages %}{{ m.content }}{% endfor %}<think>", tokenizer)
    #expect(thinking.reasons)
    var parser = try #require(thinking.parser([], prompt: "<think>"))
    #expect(parser.feed("so</think>yes") == [.reasoning("so"), .content("yes")])
    #expect(try format(Self.template, tokenizer, named: "kimi").name == "kimi")
  }
}
