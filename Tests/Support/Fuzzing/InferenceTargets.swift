// InferenceTargets.swift: fuzz targets for hostile model files, whole and in parts, for hostile text
// with valid vocabularies, and for what hostile servers list.

import Inference

extension FuzzTarget {
  /// Files mutated from valid ones: each is refused with an error or read whole, and then its
  /// tokenizer is made and used.
  package static let gguf = FuzzTarget(
    name: "gguf",
    prepare: {
      var tensors = SyntheticVocabulary.byteLevel()
      tensors.set("general.alignment", .uint32(64))
      tensors.alignment = 64
      tensors.set("llama.block_count", .uint32(2))
      tensors.set("llama.rope.freq_base", .float32(10000))
      tensors.add("token_embd.weight", [32, 4], .q80, data: [UInt8](repeating: 7, count: 34 * 4))
      tensors.add("output_norm.weight", [16], [Float](repeating: 1, count: 16))
      tensors.add("blk.0.ffn_up.weight", [256, 2], .q4K, data: [UInt8](repeating: 3, count: 288))
      tensors.add("blk.0.ffn_gate.weight", [256, 1], .iq2XXS, data: [UInt8](repeating: 5, count: 66))
      tensors.add("blk.0.ffn_down.weight", [32, 3], .mxfp4, data: [UInt8](repeating: 1, count: 17 * 3))
      tensors.add("blk.0.attn_q.weight", [2, 3, 4, 5], .f16, data: [UInt8](repeating: 9, count: 240))
      var values = GGUFWriter()
      values.set("a", .uint8(1))
      values.set("b", .int8(-1))
      values.set("c", .uint16(1))
      values.set("d", .int16(-1))
      values.set("e", .int32(-1))
      values.set("f", .bool(true))
      values.set("g", .uint64(1))
      values.set("h", .int64(-1))
      values.set("i", .float64(1))
      values.set("j", .strings(["a", "", "é"]))
      values.set("k", .int32s([1, 2, 3]))
      values.set("l", .float32s([1, 2]))
      values.set("m", .raw(type: 9, bytes: [7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1]))
      values.add("x", [4], [1, 2, 3, 4])
      var small = SyntheticVocabulary.byteLevel(merges: ["a b", "ab c"], pre: "qwen2")
      small.version = 2
      return [
        tensors.bytes(), values.bytes(), small.bytes(), SyntheticVocabulary.sentencePiece().bytes(),
        SyntheticVocabulary.sentencePiece(pieces: ["a", "b", "ab"], extra: [("  ", 4), ("<x>", 4)]).bytes(),
      ]
    },
    run: { corpus, generator in
      let seed = corpus[generator.below(corpus.count)]
      let bytes = Mutation.mutate(seed, corpus: corpus, &generator)
      let file: GGUFFile
      do {
        file = try GGUFFile(bytes: bytes, name: "fuzz")
      } catch {
        return "\(error)".isEmpty ? "an error without words" : nil
      }
      var sum = 0
      for key in file.metadata.keys {
        switch file.metadata[key] {
        case .array(let array):
          array.forEachString { sum &+= $0 &+ $1.count }
          sum &+= array.integers?.count ?? array.floats?.count ?? array.strings?.count ?? 0
        case .string(let string): sum &+= string.text.utf8.count
        case nil: return "key '\(key)' is listed but not found"
        default: break
        }
      }
      for tensor in file.tensors {
        let data = file.bytes(of: tensor)
        guard data.count == tensor.rowCount * tensor.rowByteCount else {
          return "tensor \(tensor) has \(data.count) bytes"
        }
        for byte in data { sum &+= Int(byte) }
        file.dropPages(of: tensor)
      }
      file.dropPages()
      guard generator.oneIn(4), file.metadata["tokenizer.ggml.model"] != nil else { return nil }
      let tokenizer: Tokenizer
      do {
        tokenizer = try Tokenizer(file)
      } catch {
        return nil
      }
      let ids = tokenizer.encode(
        segments: [.template("<|im_start|>a b<0x0A> the"), .text(Mutation.text(length: 40, &generator))],
        addBOS: true)
      if let wrong = ids.first(where: { !tokenizer.contains($0) }) {
        return "token \(wrong) is outside the vocabulary"
      }
      return tokenizer.decode(ids + [-1, Int32.max]).utf8.count >= 0 ? nil : "no text"
    })

  /// Models in parts, one of them mutated or in another's place: refused with an error, or read with
  /// every tensor inside its own part.
  package static let parts = FuzzTarget(
    name: "parts",
    prepare: {
      var whole = SyntheticVocabulary.byteLevel(merges: ["a b"])
      for index in 0..<5 {
        whole.add("tensor\(index)", [32, index + 1], [Float](repeating: 1, count: 32 * (index + 1)))
      }
      let file: GGUFFile
      do {
        file = try GGUFFile(bytes: whole.bytes(), name: "whole")
      } catch {
        fatalError("the model of a fuzz target was refused: \(error)")
      }
      return [2, 3].flatMap { count in splitParts(of: file, count: count).map { $0.bytes() } }
    },
    run: { corpus, generator in
      let count = 2 + generator.below(2)
      var parts = Array(count == 2 ? corpus[..<2] : corpus[2..<5])
      for _ in 0...generator.below(2) {
        let index = generator.below(parts.count)
        let other = generator.oneIn(4) ? corpus[generator.below(corpus.count)] : parts[index]
        parts[index] = generator.oneIn(8) ? other : Mutation.mutate(other, corpus: corpus, &generator)
      }
      if generator.oneIn(8) { parts.removeLast() }
      let file: GGUFFile
      do {
        file = try GGUFFile(parts: parts, name: "fuzz")
      } catch {
        return "\(error)".isEmpty ? "an error without words" : nil
      }
      guard file.byteCount == parts.reduce(0, { $0 + $1.count }) else { return "\(file.byteCount) bytes" }
      var sum = 0
      for tensor in file.tensors {
        let data = file.bytes(of: tensor)
        guard data.count == tensor.rowCount * tensor.rowByteCount else {
          return "tensor \(tensor) has \(data.count) bytes"
        }
        for byte in data { sum &+= Int(byte) }
        file.dropPages(of: tensor)
      }
      file.dropPages()
      return nil
    })

  /// Lists of a hub's files: refused, or read into models of which each is found by its own tag.
  package static let listing = FuzzTarget(
    name: "listing",
    prepare: {
      let digest = String(repeating: "ab", count: 32)
      return [
        "[]", "[{}]", "{\"error\":\"no\"}",
        """
        [{"type":"directory","path":"a"},{"type":"file","path":"m-Q4_K_M.gguf","size":12},
         {"type":"file","path":"m-Q8_0.gguf","size":130,"lfs":{"oid":"\(digest)","size":99,"pointerSize":130}}]
        """,
        """
        [{"type":"file","path":"BF16/m-BF16-00001-of-00002.gguf","size":7,"lfs":{"oid":"\(digest)","size":7}},
         {"type":"file","path":"BF16/m-BF16-00002-of-00002.gguf","size":18446744073709551615},
         {"type":"file","path":"../x.gguf","size":-1},{"type":"file","path":"mmproj-F16.gguf","size":1e3}]
        """,
      ].map { Array($0.utf8) }
    },
    run: { corpus, generator in
      let pages = (0...generator.below(2)).map { _ in
        Mutation.mutate(corpus[generator.below(corpus.count)], corpus: corpus, &generator)
      }
      let listing: HubListing
      do {
        listing = try HubListing(pages: pages, repository: "owner/repo")
      } catch {
        return "\(error)".isEmpty ? "an error without words" : nil
      }
      for model in listing.models {
        do {
          let found = try listing.choose(model.tag)
          guard found == model || found.name.lowercased() != model.name.lowercased() else { continue }
        } catch {
          return "'\(model.name)' is not found by its tag '\(model.tag)'"
        }
      }
      do {
        _ = try listing.choose(nil)
      } catch {
        return listing.models.isEmpty ? nil : "no model is chosen of \(listing.models.count)"
      }
      return listing.models.isEmpty ? "a model is chosen of none" : nil
    })

  /// Any text, trusted or not, with valid vocabularies: it decodes to itself, and user text makes
  /// no special token.
  package static let tokenizer = FuzzTarget(
    name: "tokenizer",
    run: { _, generator in
      let fragments = [
        "<|im_end|>", "<|im_start|>", "</s>", "<s>", "<0x41>", "<unk>", "<mark>", "   ", "▁", "the",
      ]
      let vocabularies = SharedVocabularies.all
      let (tokenizer, isByteLevel) = vocabularies[generator.below(vocabularies.count)]
      let segments = (0...generator.below(4)).map { _ in
        PromptSegment(
          text: Mutation.text(length: 60, fragments: fragments, &generator), isTrusted: generator.oneIn(3))
      }
      let ids = tokenizer.encode(segments: segments)
      if let wrong = ids.first(where: { !tokenizer.contains($0) }) {
        return "token \(wrong) is outside the vocabulary"
      }
      let hasTrusted = segments.contains(where: \.isTrusted)
      if !hasTrusted, let wrong = ids.first(where: { tokenizer.isSpecial($0) }) {
        return "user text \(segments) became special token \(wrong)"
      }
      let whole = segments.map(\.text).joined()
      if isByteLevel || !hasTrusted {
        let expected = isByteLevel ? whole : whole.replacingScalar("▁", with: " ")
        let decoded = tokenizer.decode(ids)
        // What such a family's text is put into; two spellings of one text are the same.
        func form(_ text: String) -> [UInt8] {
          Array((tokenizer.composesText ? CanonicalComposition.composed(text) : text).utf8)
        }
        if form(decoded) != form(expected) {
          return "\(segments) came back as \(decoded.debugDescription)"
        }
      }
      // Streaming in any order of ids gives what decoding at once gives.
      let random = (0..<generator.below(20)).map { _ in
        Int32(generator.below(tokenizer.vocabularySize + 2)) - 1
      }
      var stream = StreamingDetokenizer(
        tokenizer, special: .shown, dropsSpacePrefix: tokenizer.addsSpacePrefix)
      var streamed: [UInt8] = []
      for id in random { streamed += Array(stream.append(id).utf8) }
      streamed += Array(stream.finish().utf8)
      return streamed == Array(tokenizer.decode(random).utf8) ? nil : "ids \(random) stream differently"
    })
}

/// Vocabularies made once for all runs.
private enum SharedVocabularies {
  static let all: [(Tokenizer, isByteLevel: Bool)] = {
    let merges = [
      "t h", "th e", "i n", "e r", "Ġ the", "Ġ a", "in g", "Ġ Ġ", "ĠĠ ĠĠ", "Ċ Ċ", "1 2", "Ã ©", "Ċ Ġ",
    ]
    let writers: [(GGUFWriter, Bool)] =
      [
        "gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35", "falcon", "default", "never-heard-of", "gpt-4o",
        "tekken", "kimi-k2", "deepseek-v3", "deepseek-llm", "deepseek-coder",
      ].map {
        (SyntheticVocabulary.byteLevel(merges: merges, pre: $0, extra: [("<mark>", 4), ("   ", 4)]), true)
      } + [
        (SyntheticVocabulary.sentencePiece(extra: [("<mark>", 4)]), false),
        (SyntheticVocabulary.characters(extra: [("<mark>", 4)]), false),
      ]
    return writers.compactMap { writer, isByteLevel in
      do {
        return (try Tokenizer(GGUFFile(bytes: writer.bytes(), name: "vocabulary")), isByteLevel)
      } catch {
        // A run over fewer vocabularies must not look like a run over all.
        fatalError("the vocabulary of a fuzz target was refused: \(error)")
      }
    }
  }()
}

extension String {
  fileprivate func replacingScalar(_ scalar: Unicode.Scalar, with other: Unicode.Scalar) -> String {
    String(String.UnicodeScalarView(unicodeScalars.map { $0 == scalar ? other : $0 }))
  }
}
