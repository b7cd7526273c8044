// Peer.swift: llama.cpp's programs, found beside the llama-bench that HOTPOT_PEER names.

import Foundation

struct Peer: Sendable {
  /// Path of llama-bench.
  let path: String
  let threads: Int

  private func sibling(_ name: String) -> String {
    URL(filePath: path).deletingLastPathComponent().appending(path: name).path
  }

  /// Average tokens a second of llama-bench's only test, flash attention off and on.
  func bench(_ model: String, _ more: [String]) -> [@Sendable () throws -> Double] {
    ["0", "1"].map { flash in
      {
        let child = try Child.run(
          [path, "-m", model, "-t", "\(threads)", "-r", "1", "-o", "json", "-fa", flash] + more)
        guard let list = try JSONSerialization.jsonObject(with: Data(child.output.utf8)) as? [[String: Any]],
          let rate = list.first?["avg_ts"] as? Double
        else { throw BenchmarkError(description: "the peer printed \(child.output.prefix(200))") }
        return rate
      }
    }
  }

  /// Tokens a second of `batch` sequences decoded together, flash attention off and on.
  func batched(_ model: String, _ batch: Int) -> [@Sendable () throws -> Double] {
    ["off", "on"].map { flash in
      {
        let child = try Child.run([
          sibling("llama-batched-bench"), "-m", model, "-t", "\(threads)", "-c", "4096", "-npp", "16",
          "-ntg", "32", "-npl", "\(batch)", "-fa", flash, "--output-format", "jsonl",
        ])
        for line in child.output.split(separator: "\n") where line.hasPrefix("{") {
          if let row = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any],
            let rate = row["speed_tg"] as? Double
          {
            return rate
          }
        }
        throw BenchmarkError(description: "the peer printed \(child.output.prefix(200))")
      }
    }
  }

  /// From the start of the program to one token behind four.
  func firstToken(_ model: String, _ value: @escaping @Sendable (Child) -> Double)
    -> [@Sendable () throws -> Double]
  {
    [
      {
        value(
          try Child.run([
            sibling("llama-completion"), "-m", model, "-t", "\(threads)", "-n", "1", "-p",
            "one two three four", "-no-cnv", "-c", "1024", "--no-warmup",
          ]))
      }
    ]
  }
}
