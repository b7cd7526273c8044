// Tokenize.swift: `hotpot tokenize`: turns a text into token ids. A vocabulary-only GGUF is enough.

import Foundation
import Inference

extension Command {
  static let tokenize = Command(
    name: "tokenize",
    summary: "print the token ids of a text",
    operands: "[OPTION]... TEXT | -",
    details: """
      No BOS is put in front, and the names of special tokens are plain text unless --special is given.
      """,
    options: [
      .model,
      Option("special", "names of special tokens in the text become these tokens"),
      .json,
    ],
    run: { arguments in
      let operand = try arguments.operands(1...1, "TEXT")[0]
      let text = operand == "-" ? try Console.readText("-", limit: 1 << 26) : operand
      let tokenizer = try Tokenizer(try GGUFFile(path: try ModelChoice.path(arguments)))
      for warning in tokenizer.warnings { Console.warn(warning) }
      let tokens = tokenizer.encode(text, parseSpecial: arguments.has("special"))
      if arguments.has("json") {
        try Console.print(json: ["tokens": tokens])
      } else {
        Console.print(tokens.map(String.init).joined(separator: " "))
      }
      return .ok
    })
}
