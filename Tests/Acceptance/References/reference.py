#!/usr/bin/env python3
"""Logits in float64 of architectures that no other reference has, written from their papers and
published definitions alone.

    reference.py MODEL.gguf LOGITS TOKEN...

writes int32 count, int32 vocabulary, the tokens, and count x vocabulary float32 logits. Weights are
dequantised by the `gguf` package. The models of the tests are written by
`UPDATE_REFERENCES=/tmp/x swift test --no-parallel --filter "references of their own"`.
"""

import struct
import sys

import gguf
import numpy as np


class Model:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.keys = {name: field.contents() for name, field in reader.fields.items()}
        self.architecture = self.keys["general.architecture"]
        self.tensors = {
            t.name: gguf.quants.dequantize(t.data, t.tensor_type).reshape(t.shape[::-1]).astype(np.float64)
            for t in reader.tensors
        }
        self.epsilon = self.key("attention.layer_norm_rms_epsilon")
        self.layers = self.key("block_count") - self.key("nextn_predict_layers", 0)

    def key(self, name, default=None):
        return self.keys.get(f"{self.architecture}.{name}", default)

    def __getitem__(self, name):
        return self.tensors[name]

    def get(self, name):
        return self.tensors.get(name)


def norm(x, weight, epsilon):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def swiglu(x, gate, up, down):
    return (silu(x @ gate.T) * (x @ up.T)) @ down.T


def squared_relu(x, up, down):
    return np.maximum(x @ up.T, 0) ** 2 @ down.T


def rotate(x, count, base, neighbours):
    """x: (positions, heads, size); the first `count` numbers of a head turn, as pairs of neighbours
    or of halves."""
    half = count // 2
    frequencies = base ** (-np.arange(half) / half)
    angles = np.arange(x.shape[0])[:, None, None] * frequencies
    a, b = (x[..., 0:count:2], x[..., 1:count:2]) if neighbours else (x[..., :half], x[..., half:count])
    a, b = a * np.cos(angles) - b * np.sin(angles), b * np.cos(angles) + a * np.sin(angles)
    turned = np.stack([a, b], axis=-1).reshape(*x.shape[:-1], count) if neighbours else np.concatenate([a, b], -1)
    return np.concatenate([turned, x[..., count:]], axis=-1)


def heads_of(m, layer, h, kv_heads=None):
    """Queries, keys and values, (positions, heads, size) each."""
    size = m.key("attention.key_length")

    def product(name, count):
        y = h @ m[f"blk.{layer}.{name}.weight"].T
        bias = m.get(f"blk.{layer}.{name}.bias")
        return (y if bias is None else y + bias).reshape(len(h), count, size)

    kv_heads = kv_heads or m.key("attention.head_count_kv")
    q, k, v = product("attn_q", m.key("attention.head_count")), product("attn_k", kv_heads), product("attn_v", kv_heads)
    if m.get(f"blk.{layer}.attn_q_norm.weight") is not None:
        q = norm(q, m[f"blk.{layer}.attn_q_norm.weight"], m.epsilon)
        k = norm(k, m[f"blk.{layer}.attn_k_norm.weight"], m.epsilon)
    return q, k, v


def attend(q, k, v, window=None):
    """Causal attention; each position sees the last `window` ones, its own included."""
    positions, heads, size = q.shape
    k, v = (np.repeat(x, heads // k.shape[1], axis=1) for x in (k, v))
    scores = np.einsum("qhd,khd->hqk", q, k) / np.sqrt(size)
    distance = np.arange(positions)[:, None] - np.arange(positions)[None, :]
    scores[:, (distance < 0) | (distance >= (window or positions))] = -np.inf
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.einsum("hqk,khd->qhd", weights, v).reshape(positions, heads * size)


def experts(m, layer, h, network, names):
    """Sigmoid scores; a bias for the choice alone; weights of the chosen divided by their sum. The
    chosen experts may work on a narrower row."""
    b = f"blk.{layer}."
    scores = sigmoid(h @ m[b + "ffn_gate_inp.weight"].T)
    bias = m.get(b + "exp_probs_b.bias")
    compared = scores if bias is None else scores + bias
    down, up = m.get(b + "ffn_latent_down.weight"), m.get(b + "ffn_latent_up.weight")
    x = h if down is None else h @ down.T
    out = np.zeros_like(x)
    for t, row in enumerate(compared):
        chosen = sorted(range(len(row)), key=lambda e: (-row[e], e))[: m.key("expert_used_count")]
        weights = scores[t, chosen]
        if m.key("expert_weights_norm"):
            weights = weights / weights.sum()
        for e, weight in zip(chosen, weights * m.key("expert_weights_scale", 1.0)):
            out[t] += weight * network(x[t], *(m[f"{b}ffn_{name}_exps.weight"][e] for name in names))
    if up is not None:
        out = out @ up.T
    return out + network(h, *(m[f"{b}ffn_{name}_shexp.weight"] for name in names))


def mamba2(m, layer, h):
    """The recurrence position by position, as in section 2 of Dao and Gu 2024."""
    b = f"blk.{layer}.ssm_"
    inner, size, heads, groups, taps = (
        m.key("ssm." + name)
        for name in ("inner_size", "state_size", "time_step_rank", "group_count", "conv_kernel")
    )
    convolved = inner + 2 * groups * size
    z, x, dt = np.split(h @ m[b + "in.weight"].T, [inner, inner + convolved], axis=1)
    padded = np.concatenate([np.zeros((taps - 1, convolved)), x])
    x = silu(
        sum(padded[i : i + len(x)] * m[b + "conv1d.weight"][:, i] for i in range(taps)) + m[b + "conv1d.bias"]
    )
    dt = np.log1p(np.exp(dt + m[b + "dt.bias"]))
    rates, skip = m[b + "a"].reshape(heads), m[b + "d"].reshape(heads)
    values, writes, reads = np.split(x, [inner, inner + groups * size], axis=1)
    values = values.reshape(-1, heads, inner // heads)
    writes, reads = (np.repeat(y.reshape(-1, groups, size), heads // groups, axis=1) for y in (writes, reads))
    state = np.zeros((heads, inner // heads, size))
    out = np.zeros_like(values)
    for t in range(len(h)):
        state = state * np.exp(dt[t] * rates)[:, None, None]
        state = state + (dt[t][:, None] * values[t])[:, :, None] * writes[t][:, None, :]
        out[t] = np.einsum("hpn,hn->hp", state, reads[t]) + skip[:, None] * values[t]
    y = (out.reshape(len(h), inner) * silu(z)).reshape(len(h), groups, inner // groups)
    y = norm(y, m[b + "norm.weight"].reshape(groups, -1), m.epsilon)
    return y.reshape(len(h), inner) @ m[b + "out.weight"].T


def glm4moe(m, x):
    for layer in range(m.layers):
        b = f"blk.{layer}."
        h = norm(x, m[b + "attn_norm.weight"], m.epsilon)
        q, k, v = heads_of(m, layer, h)
        q, k = (rotate(y, m.key("rope.dimension_count"), m.key("rope.freq_base"), False) for y in (q, k))
        x = x + attend(q, k, v) @ m[b + "attn_output.weight"].T
        h = norm(x, m[b + "post_attention_norm.weight"], m.epsilon)
        names = ("gate", "up", "down")
        if layer < m.key("leading_dense_block_count", 0):
            x = x + swiglu(h, *(m[f"{b}ffn_{name}.weight"] for name in names))
        else:
            x = x + experts(m, layer, h, swiglu, names)
    return head(m, x)


def muse_glimmer(m, x):
    x = norm(x, 1, m.epsilon)
    for layer in range(m.layers):
        b = f"blk.{layer}."
        h = norm(x, m[b + "attn_norm.weight"], m.epsilon)
        q, k, v = heads_of(m, layer, h)
        window = None
        if layer % 4 < 3:
            window = m.key("attention.sliding_window")
            base = m.key("rope.freq_base_swa", m.key("rope.freq_base"))
            q, k = (rotate(y, q.shape[-1], base, True) for y in (q, k))
        attended = attend(q, k, v, window) * sigmoid(h @ m[b + "attn_gate.weight"].T)
        x = x + norm(attended @ m[b + "attn_output.weight"].T, m[b + "post_attention_norm.weight"], 1e-8)
        h = norm(x, m[b + "ffn_norm.weight"], m.epsilon)
        y = swiglu(h, *(m[f"{b}ffn_{name}.weight"] for name in ("gate", "up", "down")))
        x = x + norm(y, m[b + "post_ffw_norm.weight"], 1e-8)
    bound = m.key("final_logit_softcapping")
    return bound * np.tanh(head(m, x) * m.key("logit_scale") / bound)


def nemotron_h(m, x):
    for layer in range(m.layers):
        b = f"blk.{layer}."
        h = norm(x, m[b + "attn_norm.weight"], m.epsilon)
        kv_heads = m.key("attention.head_count_kv")[layer]
        if m.key("feed_forward_length")[layer] > 0:
            if m.get(b + "ffn_gate_inp.weight") is None:
                x = x + squared_relu(h, m[b + "ffn_up.weight"], m[b + "ffn_down.weight"])
            else:
                x = x + experts(m, layer, h, squared_relu, ("up", "down"))
        elif kv_heads > 0:
            x = x + attend(*heads_of(m, layer, h, kv_heads)) @ m[b + "attn_output.weight"].T
        else:
            x = x + mamba2(m, layer, h)
    return head(m, x)


def head(m, x):
    matrix = m.get("output.weight")
    return norm(x, m["output_norm.weight"], m.epsilon) @ (m["token_embd.weight"] if matrix is None else matrix).T


ARCHITECTURES = {
    "glm4moe": glm4moe,
    "muse-glimmer": muse_glimmer,
    "nemotron_h": nemotron_h,
    "nemotron_h_moe": nemotron_h,
}


def main():
    path, target, *words = sys.argv[1:]
    tokens = [int(word) for word in words]
    m = Model(path)
    found = ARCHITECTURES[m.architecture](m, m["token_embd.weight"][tokens]).astype("<f4")
    with open(target, "wb") as out:
        out.write(struct.pack("<ii", *found.shape))
        out.write(np.array(tokens, dtype="<i4").tobytes())
        out.write(found.tobytes())


if __name__ == "__main__":
    main()
