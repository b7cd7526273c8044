// QueueRuns.swift: what a requester makes of the answers that come for one job, from one node or,
// after a node's death, from several: one text without a gap, and proof if two nodes differ. A value.
// Start at take.
import Foundation
import JSON
import Receipts
import Scheduling

/// Two nodes that gave different answers to one job, where the arithmetic leaves no room for that.
package struct QueueDisagreement: Sendable, Equatable {
  package struct Side: Sendable, Equatable {
    package let node: String
    package let delivery: Int
    package let tokens: [Int32]
    package let text: String
  }

  package let job: JobID
  /// The first token that differs; nil if the tokens are equal and the texts are not.
  package let token: Int?
  package let first: Side
  package let second: Side
}

extension QueueDisagreement {
  /// Keeps both answers in a file of the state directory.
  /// - Returns: what happened, in words
  package func kept(in directory: String) -> String {
    func side(_ side: Side) -> JSONValue {
      [
        "node": .string(side.node), "delivery": JSONValue(side.delivery),
        "tokens": .array(side.tokens.map { JSONValue($0) }), "text": .string(side.text),
      ]
    }
    let evidence: JSONValue = [
      "job": .string(job.hex), "token": token.map { JSONValue($0) } ?? .null, "first": side(first),
      "second": side(second),
    ]
    let path = "\(directory)/disagreement-\(job.hex).json"
    let words =
      "nodes disagree about job \(job.short): \(first.node) and \(second.node) differ at \(token.map { "token \($0)" } ?? "the text")"
    do {
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      try POSIXFileSystem().replaceFile(path, with: JSONWriter.bytes(evidence) + [0x0A], in: directory)
      return "\(words); both are kept in '\(path)'"
    } catch {
      return "\(words); that could not be kept: \(error)"
    }
  }
}

package struct QueueRuns: Sendable {
  package enum Event: Sendable, Equatable {
    case state(QueueWord.State, node: String)
    /// Said once, by the first node that has read the prompt.
    case opening(QueueOpening)
    /// More of the text.
    case text(String)
    /// The job goes on at another node, from its beginning; what comes again is compared.
    case again(node: String)
    case done(QueueWord.End, node: String)
    case rejected(String, node: String, isRequest: Bool = false)
    /// The nodes disagree: nothing of the second is believed, and both are kept.
    case disagreement(QueueDisagreement)
  }

  private struct Run: Sendable, Equatable {
    let node: String
    let delivery: Int
    var tokens: [Int32] = []
    var text = ""
    /// A chunk was missed: only the end, which has all, is believed.
    var isBroken = false
    var isRefused = false
  }

  package let job: JobID
  private var runs: [Run] = []
  /// What the reader has: the longest run that agreed.
  private(set) package var tokens: [Int32] = []
  private(set) package var text = ""
  private var model: (digest: String, numerics: String)?
  private var isOpen = false
  private(set) package var hasEnded = false

  package init(job: JobID) { self.job = job }

  package mutating func take(_ word: QueueWord) -> [Event] {
    guard word.job == job, !hasEnded else { return [] }
    var events: [Event] = []
    let place = run(of: word, &events)
    guard !runs[place].isRefused else { return events }
    switch word.body {
    case .state(let state, let digest, let numerics):
      if state == .running {
        // Another model's bits, or another profile's, continue nothing.
        if let model, model != (digest, numerics) { runs[place].isRefused = true; return events }
        if model == nil { model = (digest, numerics) }
      }
      events.append(.state(state, node: word.node))
    case .chunk(let from, let tokens, let text):
      guard from == runs[place].tokens.count, !runs[place].isBroken else {
        runs[place].isBroken = true
        return events
      }
      runs[place].tokens += tokens
      runs[place].text += text
      compare(place, isWhole: false, &events)
    case .done(let end, let tokens, let text):
      if tokens.count >= end.completion, end.completion > 0 || !text.isEmpty {
        runs[place].tokens = tokens
        runs[place].text = text
        compare(place, isWhole: true, &events)
      }
      // A disagreement is shown; the end is still what was charged.
      hasEnded = true
      events.append(.done(end, node: word.node))
    case .rejected(let words, let isRequest):
      hasEnded = true
      events.append(.rejected(words, node: word.node, isRequest: isRequest))
    case .opening(let opening):
      guard !isOpen else { break }
      isOpen = true
      events.append(.opening(opening))
    }
    return events
  }

  private mutating func run(of word: QueueWord, _ events: inout [Event]) -> Int {
    if let place = runs.firstIndex(where: { $0.node == word.node && $0.delivery == word.delivery }) {
      return place
    }
    // More deliveries than any server makes are no runs of their own.
    if runs.count >= 64 { return runs.count - 1 }
    runs.append(Run(node: word.node, delivery: word.delivery))
    if runs.count > 1, !tokens.isEmpty, case .state(.running, _, _) = word.body {
      events.append(.again(node: word.node))
    }
    return runs.count - 1
  }

  /// Compares a run with what the reader has, and gives the reader what is new.
  private mutating func compare(_ place: Int, isWhole: Bool, _ events: inout [Event]) {
    let run = runs[place]
    let common = min(run.tokens.count, tokens.count)
    let differs = (0..<common).first { run.tokens[$0] != tokens[$0] }
    let (mine, other) = (Array(run.text.utf8), Array(text.utf8))
    let textAgrees = mine.starts(with: other) || other.starts(with: mine)
    guard differs == nil, textAgrees, !isWhole || run.tokens.count >= tokens.count else {
      runs[place].isRefused = true
      let known = runs.first { $0.tokens == tokens && $0 != run } ?? runs[0]
      events.append(
        .disagreement(
          QueueDisagreement(
            job: job, token: differs ?? (run.tokens.count < tokens.count ? run.tokens.count : nil),
            first: .init(node: known.node, delivery: known.delivery, tokens: tokens, text: text),
            second: .init(node: run.node, delivery: run.delivery, tokens: run.tokens, text: run.text))))
      return
    }
    if run.tokens.count > tokens.count { tokens = run.tokens }
    guard mine.count > other.count else { return }
    text = run.text
    events.append(.text(String(decoding: mine[other.count...], as: UTF8.self)))
  }
}
