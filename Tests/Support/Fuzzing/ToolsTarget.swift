// ToolsTarget.swift: a fuzz target of answers with spoiled tool calls, in every format.

import Tools

extension FuzzTarget {
  /// An answer says the same whole and in pieces, and calls nothing that it has no tools for.
  package static let tools = FuzzTarget(
    name: "tools",
    prepare: {
      [
        "A.\n<tool_call>\n<function=f>\n<parameter=a>\n3\n</parameter>\n</function>\n</tool_call>\nB",
        #"<think>x</think><tool_call>{"name": "f", "arguments": {"a": [1, {"b": "}"}]}}</tool_call>"#,
        #"<|channel|>analysis<|message|>x<|end|><|start|>assistant to=functions.f<|message|>{"a": 1}<|call|>"#,
        "<|channel>thought\nx<channel|><|tool_call>call:f{a:<|\"|>x<|\"|>,b:[1,{c:true}]}<tool_call|>",
        " to=f<|message|><atem:function_calls><atem:invoke name=\"f\"><atem:parameter name=\"a\">1"
          + "</atem:parameter></atem:invoke></atem:function_calls><|eom|><|start|>assistant to=user<|message|>x",
        #"[TOOL_CALLS][{"name": "f", "arguments": {}}, {"name": "g", "arguments": {"a": "]"}}] x"#,
        #"[THINK]x[/THINK][TOOL_CALLS]f[CALL_ID]abc[ARGS]{"a": 1}[TOOL_CALLS]g[ARGS]{}"#,
        "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>1</arg_value>\n</tool_call>",
        "<minimax:tool_call><invoke name=\"f\"><parameter name=\"a\">1</parameter></invoke></minimax:tool_call>",
        "<｜DSML｜tool_calls><｜DSML｜invoke name=\"f\"><｜DSML｜parameter name=\"a\" string=\"false\">1"
          + "</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>",
        #"<|tool_call_start|>[f(a='it\'s', b=[1, None], c={'d': True}), g()]<|tool_call_end|>"#,
        #"{"name": "f", "parameters": {"a": 1}}; {"name": "g", "parameters": {}}"#,
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{}\n```<｜tool▁call▁end｜>"
          + "<｜tool▁calls▁end｜>",
        "Action:\n```json\n[{\"tool_name\": \"f\", \"parameters\": {}}]```<|START_RESPONSE|>x<|END_RESPONSE|>",
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{}"
          + "<|tool_call_end|><|tool_calls_section_end|>",
      ].map { Array($0.utf8) }
    },
    run: { corpus, generator in
      let seed = corpus[generator.below(corpus.count)]
      let text = String(decoding: Mutation.mutate(seed, corpus: corpus, &generator), as: UTF8.self)
      let format = ToolFormat.all[generator.below(ToolFormat.all.count)]
      let tools = generator.oneIn(4) ? [] : [ToolDefinition(name: "f"), ToolDefinition(name: "g")]
      let prompt = generator.oneIn(4) ? "<think>\n" : ""
      let isCut = generator.oneIn(4)
      func read(_ pieces: [Substring]) -> String {
        var parser = MessageParser(format: format, reasoning: format.reasoning, tools: tools, prompt: prompt)
        var events: [MessageEvent] = []
        for piece in pieces { events += parser.feed(String(piece)) }
        events += parser.finish(isCut: isCut)
        var (content, reasoning, calls) = ("", "", "")
        for event in events {
          switch event {
          case .content(let text): content += text
          case .reasoning(let text): reasoning += text
          case .call(let index, _, let name): calls += "\n\(index) \(name)"
          case .arguments(_, let text): calls += text
          case .finished(let ending): calls += "\n\(ending)"
          }
        }
        if tools.isEmpty, parser.callCount > 0 { return "a call without tools" }
        return "\(content)\n--\n\(reasoning)\n--\(calls)"
      }
      let whole = read([text[...]])
      if whole == "a call without tools" { return whole }
      var pieces: [Substring] = []
      var rest = text[...]
      while !rest.isEmpty {
        let count = 1 + generator.below(4)
        pieces.append(rest.prefix(count))
        rest = rest.dropFirst(count)
      }
      let parted = read(pieces)
      return parted == whole
        ? nil : "\(format.name), \(text.debugDescription): whole \(whole), in pieces \(parted)"
    })
}
