#!/usr/bin/env python3
"""reference.py: the ids that Hugging Face's tokenizers give, from the vocabulary of a GGUF file.

usage: reference.py VOCABULARY.gguf NAME < TEXTS > IDS
       reference.py --words NAME < TEXTS > WORDS

NAME is gpt-2, llama-bpe, llama-spm, gemma3 or qwen2 and says how that family's tokenizer.json is set up; with --words it
is a pre-tokenizer, and the answer is where it cuts. TEXTS, IDS and WORDS are JSON: a list of texts, a list of lists of
ids, a list of lists of words. Needs the Python package tokenizers; exits with 3 where it is absent.
"""
import json
import struct
import sys

try:
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
except ImportError:
    sys.exit(3)

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
UPPER = r"\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"
LOWER = r"\p{Ll}\p{Lm}\p{Lo}\p{M}"


def cased(digits, suffix, slash, without=""):
    return (rf"[^\r\n\p{{L}}\p{{N}}]?[{UPPER}{without}]*[{LOWER}{without}]+{suffix}|"
            rf"[^\r\n\p{{L}}\p{{N}}]?[{UPPER}{without}]+[{LOWER}{without}]*{suffix}|"
            rf"\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n{slash}]*|\s*[\r\n]+|\s+(?!\S)|\s+")


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN35 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK_V3 = (r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"
               r" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CASED_LETTERS = (
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ"
    "\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎ"
    "ꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃")

# The patterns of each pre-tokenizer, as the models' tokenizer.json files (or, for kimi-k2, its tokenization script)
# have them; each cuts what the one before it has cut.
WORDS = {
    "gpt-2": [GPT2],
    "smollm": [r"\p{N}", GPT2],
    "llama-bpe": [CONTRACTIONS + r"\p{N}{1,3}" + REST],
    "qwen2": [CONTRACTIONS + r"\p{N}" + REST],
    "qwen35": [QWEN35],
    "gpt-4o": [cased("{1,3}", SUFFIX, "/")],
    "tekken": [cased("", "", "/")],
    "kimi-k2": [r"[\p{Han}]+|" + cased("{1,3}", SUFFIX, "", r"&&[^\p{Han}]")],
    "falcon": [r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]"],
    "deepseek-v3": [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+", DEEPSEEK_V3],
    "deepseek-llm": [
        r"[\r\n]", rf"\s?[{CASED_LETTERS}]+", "\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", r"\s+$",
        "[一-龥\u0800-一가-\ud7ff]+", r"\p{N}+"],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥\u0800-一가-\ud7ff]+", r"\p{N}"],
}


def words(name):
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in WORDS[name]]
    return pre_tokenizers.Sequence(splits)


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
    if name in ("llama-spm", "gemma3"):
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
        steps = [normalizers.Replace(" ", "\u2581")]
        if name == "llama-spm":
            steps.insert(0, normalizers.Prepend("\u2581"))
        result.normalizer = normalizers.Sequence(steps)
        # Runs of spaces and newlines, which the model's tokenizer.json adds to the pieces.
        runs = [token for token, kind in zip(tokens, kinds) if kind == 4 and not token.strip()]
        result.add_tokens([AddedToken(token, normalized=False) for token in runs])
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
    if path == "--words":
        cutter = words(name)
        json.dump([[word for word, _ in cutter.pre_tokenize_str(text)] for text in texts], sys.stdout)
        return
    encoder = tokenizer(path, name)
    json.dump([encoding.ids for encoding in encoder.encode_batch(texts, add_special_tokens=False)], sys.stdout)


main()
