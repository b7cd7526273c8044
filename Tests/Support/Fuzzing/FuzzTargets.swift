// FuzzTargets.swift: every fuzz target by name. To add targets for a part of the program, put a
// file beside this one and a line here; the command (`swift run -c release fuzz NAME`) and the test
// suite then run them.

package enum FuzzTargets {
  package static let all: [FuzzTarget] = [
    .gguf, .parts, .tokenizer, .listing, .template, .http, .nats, .json, .tools, .schema, .shape, .gbnf,
    .expression, .tiles, .published, .answers,
  ]

  package static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}
