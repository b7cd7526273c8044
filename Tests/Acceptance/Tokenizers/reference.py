#!/usr/bin/env python3
"""reference.py: the ids that Hugging Face's tokenizers give, from the vocabulary of a GGUF file.

usage: reference.py VOCABULARY.gguf NAME < TEXTS > IDS

NAME is gpt-2, llama-bpe, llama-spm or qwen2 and says how that family's tokenizer.json is set up. TEXTS and IDS are JSON:
a list of texts, a list of lists of ids. Needs the Python package tokenizers; exits with 3 where it is absent.
"""
import json
import struct
import sys

try:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
except ImportError:
    sys.exit(3)

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def metadata(path):
    data = open(path, "rb").read()
    position = 4

    def number(form):
        nonlocal position
        value = struct.unpack_from("<" + form, data, position)[0]
        position += struct.calcsize("<" + form)
        return value

    def value(kind):
        nonlocal position
        if kind == 8:
            length = number("Q")
            position += length
            return data[position - length:position].decode("utf-8", "replace")
        if kind == 9:
            element, count = number("I"), number("Q")
            return [value(element) for _ in range(count)]
        return number(SCALARS[kind])

    assert data[:4] == b"GGUF" and number("I") in (2, 3)
    number("Q")
    keys = number("Q")
    result = {}
    for _ in range(keys):
        key = value(8)
        result[key] = value(number("I"))
    return result


def split(pattern):
    return pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])


def tokenizer(path, name):
    keys = metadata(path)
    tokens = keys["tokenizer.ggml.tokens"]
    kinds = keys["tokenizer.ggml.token_type"]
    # Users' text never becomes a control token: those take no part here.
    vocabulary = {token: i for i, token in enumerate(tokens) if kinds[i] in (1, 5, 6)}
    if name == "llama-spm":
        vocabulary = {token: i for i, token in enumerate(tokens)}
        scores = keys["tokenizer.ggml.scores"]
        merges = []
        for token, i in vocabulary.items():
            if kinds[i] != 1:
                continue
            local = [(token[:k], token[k:]) for k in range(1, len(token))]
            local = [pair for pair in local if pair[0] in vocabulary and pair[1] in vocabulary]
            local.sort(key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
            merges += [(scores[i], i, pair) for pair in local]
        merges.sort(key=lambda merge: -merge[0])
        result = Tokenizer(models.BPE(
            vocabulary, [pair for _, _, pair in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
        result.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        return result
    merges = [tuple(merge.split(" ", 1)) for merge in keys["tokenizer.ggml.merges"]]
    result = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=name == "llama-bpe"))
    if name == "gpt-2":
        result.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    elif name == "llama-bpe":
        result.pre_tokenizer = split(CONTRACTIONS + r"\p{N}{1,3}" + REST)
    elif name == "qwen2":
        result.normalizer = normalizers.NFC()
        result.pre_tokenizer = split(CONTRACTIONS + r"\p{N}" + REST)
    else:
        sys.exit(f"reference.py: unknown name {name}")
    return result


def main():
    path, name = sys.argv[1:]
    texts = json.load(sys.stdin)
    encoder = tokenizer(path, name)
    json.dump([encoding.ids for encoding in encoder.encode_batch(texts, add_special_tokens=False)], sys.stdout)


main()
