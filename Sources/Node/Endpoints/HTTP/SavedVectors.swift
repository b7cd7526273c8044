// SavedVectors.swift: one vector of a saved answer to `POST /v1/embeddings` or `/api/embed`, as the answer
// of its job alone: its numbers' bits stand where other answers have token ids. The counterpart of
// EmbeddingDialect's writers. Start at SavedVectors.init.
import JSON
import Receipts

struct SavedVectors {
  /// The answer of one job.
  let answer: JSONValue
  /// Which text of the request it is of.
  let index: Int

  /// nil: the answer holds no vectors.
  /// - receipt: the id of the receipt that is asked about; nil: the first one's
  init?(_ object: JSONValue, receipt: String?) throws(SavedAnswerError) {
    var entries: [(own: JSONValue, numbers: JSONValue)] = []
    if object["object"] == "list", let data = object["data"]?.array {
      entries = data.map { ($0["hotpot"] ?? .null, $0["embedding"] ?? .null) }
    } else if let vectors = object["embeddings"]?.array ?? object["embedding"].map({ [$0] }) {
      let owns = object["hotpot"]?["jobs"]?.array ?? []
      entries = vectors.enumerated().map { (owns.indices.contains($0) ? owns[$0] : .null, $1) }
    }
    guard !entries.isEmpty else { return nil }
    let found = entries.indices.first { receipt == nil || entries[$0].own["receipt"]?.string == receipt }
    guard let found, case .object(var own) = entries[found].own else {
      throw SavedAnswerError(
        "none of the answer's \(entries.count) vectors names the receipt \(receipt ?? "")",
        hint: "each vector has a receipt of its own, in its member 'hotpot'")
    }
    let words = try Self.words(entries[found].numbers)
    if own.contains(where: { $0.key == "prompt_token_ids" }) {
      own.append((key: "token_ids", value: .array(words.map { JSONValue(Int($0)) })))
    }
    index = found
    answer = .object([
      (key: "model", value: object["model"] ?? .null), (key: "hotpot", value: .object(own)),
    ])
  }

  /// The bits of the numbers.
  private static func words(_ numbers: JSONValue) throws(SavedAnswerError) -> [UInt32] {
    if let text = numbers.string {
      guard let bytes = Base64.parse(text), bytes.count % 4 == 0 else {
        throw SavedAnswerError("the answer's vector is neither numbers nor 32-bit floats in base64")
      }
      return stride(from: 0, to: bytes.count, by: 4).map { at in
        (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[at + $1]) << (8 * UInt32($1)) }
      }
    }
    var words: [UInt32] = []
    for item in numbers.array ?? [] {
      guard let number = item.number else {
        throw SavedAnswerError("the answer's vector holds \(JSONFields.show(item)), which is no number")
      }
      words.append(Float(number).bitPattern)
    }
    return words
  }
}
