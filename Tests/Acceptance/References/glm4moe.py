#!/usr/bin/env python3
"""Logits of a glm4moe file, in float64, written from the paper and from Hugging Face's definition alone:
the reference that GLM-4.5's architecture is tested against, which no other reference has.

    glm4moe.py MODEL.gguf LOGITS TOKEN...

writes int32 count, int32 vocabulary, the tokens, and count x vocabulary float32 logits. Weights are
dequantised by the `gguf` package. The model of the test is written by
`UPDATE_REFERENCES=/tmp/x swift test --filter "GLM-4.5"`, with the tokens in /tmp/x/tokens.
"""

import struct
import sys

import gguf
import numpy as np


class Model:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.keys = {name: field.contents() for name, field in reader.fields.items()}
        self.tensors = {
            t.name: gguf.quants.dequantize(t.data, t.tensor_type).reshape(t.shape[::-1]).astype(np.float64)
            for t in reader.tensors
        }

    def key(self, name, default=None):
        return self.keys.get("glm4moe." + name, default)

    def __getitem__(self, name):
        return self.tensors[name]

    def get(self, name):
        return self.tensors.get(name)


def norm(x, weight, epsilon):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight


def silu(x):
    return x / (1 + np.exp(-x))


def swiglu(x, gate, up, down):
    return (silu(x @ gate.T) * (x @ up.T)) @ down.T


def rotate(x, count, base):
    """x: (positions, heads, size); the first `count` numbers of a head turn, halves as pairs."""
    half = count // 2
    frequencies = base ** (-np.arange(half) / half)
    angles = np.arange(x.shape[0])[:, None, None] * frequencies
    a, b = x[..., :half], x[..., half:count]
    turned = [a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)]
    return np.concatenate(turned + [x[..., count:]], axis=-1)


def attention(m, layer, h):
    heads, kv_heads = m.key("attention.head_count"), m.key("attention.head_count_kv")
    size = m.key("attention.key_length")

    def product(name, count):
        y = h @ m[f"blk.{layer}.{name}.weight"].T
        bias = m.get(f"blk.{layer}.{name}.bias")
        return (y if bias is None else y + bias).reshape(len(h), count, size)

    q, k, v = product("attn_q", heads), product("attn_k", kv_heads), product("attn_v", kv_heads)
    epsilon = m.key("attention.layer_norm_rms_epsilon")
    if m.get(f"blk.{layer}.attn_q_norm.weight") is not None:
        q = norm(q, m[f"blk.{layer}.attn_q_norm.weight"], epsilon)
        k = norm(k, m[f"blk.{layer}.attn_k_norm.weight"], epsilon)
    turns, base = m.key("rope.dimension_count"), m.key("rope.freq_base")
    q, k = rotate(q, turns, base), rotate(k, turns, base)
    k, v = (np.repeat(x, heads // kv_heads, axis=1) for x in (k, v))
    scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(size)
    scores[:, np.triu(np.ones(scores.shape[1:], dtype=bool), 1)] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    out = np.einsum("hqk,khd->qhd", weights, v).reshape(len(h), heads * size)
    return out @ m[f"blk.{layer}.attn_output.weight"].T


def experts(m, layer, h):
    """Sigmoid scores; a bias for the choice alone; weights of the chosen divided by their sum."""
    b = f"blk.{layer}."
    scores = 1 / (1 + np.exp(-(h @ m[b + "ffn_gate_inp.weight"].T)))
    bias = m.get(b + "exp_probs_b.bias")
    compared = scores if bias is None else scores + bias
    out = np.zeros_like(h)
    for t, row in enumerate(compared):
        chosen = sorted(range(len(row)), key=lambda e: (-row[e], e))[: m.key("expert_used_count")]
        weights = scores[t, chosen]
        if m.key("expert_weights_norm"):
            weights = weights / weights.sum()
        for e, weight in zip(chosen, weights * m.key("expert_weights_scale", 1.0)):
            parts = (m[f"{b}ffn_{name}_exps.weight"][e] for name in ("gate", "up", "down"))
            out[t] += weight * swiglu(h[t], *parts)
    shared = (m[f"{b}ffn_{name}_shexp.weight"] for name in ("gate", "up", "down"))
    return out + swiglu(h, *shared)


def logits(m, tokens):
    epsilon = m.key("attention.layer_norm_rms_epsilon")
    x = m["token_embd.weight"][tokens]
    for layer in range(m.key("block_count") - m.key("nextn_predict_layers", 0)):
        b = f"blk.{layer}."
        x = x + attention(m, layer, norm(x, m[b + "attn_norm.weight"], epsilon))
        h = norm(x, m[b + "post_attention_norm.weight"], epsilon)
        if layer < m.key("leading_dense_block_count", 0):
            x = x + swiglu(h, *(m[f"{b}ffn_{name}.weight"] for name in ("gate", "up", "down")))
        else:
            x = x + experts(m, layer, h)
    head = m.get("output.weight")
    return norm(x, m["output_norm.weight"], epsilon) @ (m["token_embd.weight"] if head is None else head).T


def main():
    path, target, *words = sys.argv[1:]
    tokens = [int(word) for word in words]
    found = logits(Model(path), tokens).astype("<f4")
    with open(target, "wb") as out:
        out.write(struct.pack("<ii", *found.shape))
        out.write(np.array(tokens, dtype="<i4").tobytes())
        out.write(found.tobytes())


if __name__ == "__main__":
    main()
