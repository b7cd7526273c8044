// Program+Text.swift: a program as text, for people and for golden tests: `hotpot doctor --model`
// prints it.

extension Program {
  /// One operation per line. Layers that differ only in their number share one paragraph.
  package var lines: [String] {
    var lines = [
      "architecture \(shape.architecture): \(shape.layerCount) layers, embedding \(shape.embeddingLength), "
        + "vocabulary \(shape.vocabularySize), context \(shape.contextLength)"
    ]
    func list(_ operations: [Operation], prefix: String = "") -> [String] {
      operations.map { operation in
        "  "
          + operation.contents.text { tensor in
            let name = tensors[tensor].tensor.name
            return String((name.hasPrefix(prefix) ? name.dropFirst(prefix.count) : name[...]).trimmingWeight)
          }
      }
    }
    lines += ["embedding"] + list(embedding)
    var first = 0
    while first < layers.count {
      let text = list(layers[first], prefix: "blk.\(first).")
      var end = first + 1
      while end < layers.count, list(layers[end], prefix: "blk.\(end).") == text { end += 1 }
      lines += [end == first + 1 ? "layer \(first)" : "layers \(first) to \(end - 1)"] + text
      first = end
    }
    lines += ["head"] + list(head)
    if !pooled.isEmpty { lines += ["vector of a text"] + list(pooled.map { .multiply($0) }) }
    lines.append(
      "a token reads \(bytesPerToken) bytes of weights, takes \(operationsPerToken) operations "
        + "and keeps \(states.reduce(0) { $0 + $1.bytesPerPosition }) bytes")
    let fixed = states.reduce(0) { $0 + $1.bytesPerSequence }
    if fixed > 0 { lines.append("a sequence keeps \(fixed) bytes, however long it is") }
    lines += notes
    return lines
  }
}

extension Substring {
  /// Without `.weight`, which is redundant in a list of weights.
  fileprivate var trimmingWeight: Substring { hasSuffix(".weight") ? dropLast(".weight".count) : self }
}
