#!/usr/bin/env python3
"""Vectors of texts from a served node beside those of llama.cpp, over the same files.

Makes two small models with random weights (gguf and numpy): one as EmbeddingGemma is, one as
Qwen3-Embedding is; serves each with `hotpot serve`, asks `POST /v1/embeddings` for some texts through
the unmodified openai package, and runs `llama-embedding` on the same texts. Prints the cosine of each
pair of vectors; one below 0.9999 fails. Also checks `dimensions`, base64 and Ollama's client.

    python3 Tests/Acceptance/embeddings.py HOTPOT LLAMA_EMBEDDING

needs the packages gguf, numpy, openai and ollama.
"""
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

import gguf
import numpy as np

TEXTS = [
    "The kitchen is warm.", "Where is the nearest station?", "def add(a, b): return a + b",
    "Zwei Kilo Kartoffeln und ein Bund Petersilie, bitte.", "a",
    "A longer text that goes on for a while, so that more positions have a part in it: " * 4,
]


def write(path, architecture, seed):
    rng = np.random.default_rng(seed)
    gemma = architecture == "gemma-embedding"
    layers, e, f, heads, kv, size = 7 if gemma else 3, 128, 256, 4, 2, 32
    out = gguf.GGUFWriter(path, architecture)
    out.add_block_count(layers)
    out.add_context_length(1024)
    out.add_embedding_length(e)
    out.add_feed_forward_length(f)
    out.add_head_count(heads)
    out.add_head_count_kv(kv)
    out.add_key_length(size)
    out.add_value_length(size)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_rope_freq_base(1e6)
    if gemma:
        out.add_sliding_window(16)
        out.add_pooling_type(gguf.PoolingType.MEAN)
        out.add_uint32("gemma-embedding.dense_2_feat_in", e)
        out.add_uint32("gemma-embedding.dense_2_feat_out", 2 * e)
        out.add_uint32("gemma-embedding.dense_3_feat_in", 2 * e)
        out.add_uint32("gemma-embedding.dense_3_feat_out", e)
    else:
        out.add_pooling_type(gguf.PoolingType.LAST)
    # Byte-level pairs with one merge: a token for each byte, then the end tokens.
    plain = [b for b in range(256) if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or 0xAE <= b <= 0xFF]
    names, moved = [], 256
    for byte in range(256):
        names.append(chr(byte) if byte in plain else chr(moved))
        moved += byte not in plain
    names += ["<|start|>", "<|end|>"] + ["th"] + [f"<|unused{i}|>" for i in range(29)]
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(names)
    out.add_token_types([1] * 256 + [3, 3, 1] + [3] * 29)
    out.add_token_merges(["t h"])
    out.add_bos_token_id(256)
    out.add_eos_token_id(257)
    out.add_add_bos_token(gemma)
    out.add_add_eos_token(True)

    def matrix(name, columns, rows):
        out.add_tensor(name + ".weight", rng.normal(0, columns**-0.5, (rows, columns)).astype(np.float32))

    def norm(name, n):
        out.add_tensor(name + ".weight", rng.uniform(0.8, 1.2, n).astype(np.float32))

    matrix("token_embd", e, len(names))
    norm("output_norm", e)
    for i in range(layers):
        b = f"blk.{i}."
        norm(b + "attn_norm", e)
        matrix(b + "attn_q", e, heads * size)
        matrix(b + "attn_k", e, kv * size)
        matrix(b + "attn_v", e, kv * size)
        norm(b + "attn_q_norm", size)
        norm(b + "attn_k_norm", size)
        matrix(b + "attn_output", heads * size, e)
        norm(b + "ffn_norm", e)
        if gemma:
            norm(b + "post_attention_norm", e)
            norm(b + "post_ffw_norm", e)
        matrix(b + "ffn_gate", e, f)
        matrix(b + "ffn_up", e, f)
        matrix(b + "ffn_down", f, e)
    if gemma:
        matrix("dense_2", e, 2 * e)
        matrix("dense_3", 2 * e, e)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def peer(program, model, text):
    done = subprocess.run(
        [program, "-m", model, "-p", text, "--embd-separator", "<#sep#>", "--embd-output-format", "json",
         "-b", "1024", "-ub", "1024", "-t", "2"], capture_output=True, text=True, timeout=300)
    return json.loads(done.stdout[done.stdout.index("{"):])["data"][0]["embedding"]


def cosine(a, b):
    return float(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b))


def main(hotpot, llama):
    import ollama
    import openai

    failed = 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % free.getsockname()[1]
    for architecture in ["gemma-embedding", "qwen3"]:
        with tempfile.TemporaryDirectory() as folder:
            model = os.path.join(folder, "m.gguf")
            write(model, architecture, 7)
            config = os.path.join(folder, "config.json5")
            with open(config, "w") as file:
                file.write("{ threads: 2, http: { listen: '%s' }, model: '%s' }" % (address, model))
            environment = dict(os.environ, XDG_STATE_HOME=folder, HOME=folder)
            node = subprocess.Popen(
                [hotpot, "serve", "--config", config, "--state", folder + "/state"],
                env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                token = ""
                for _ in range(200):
                    time.sleep(0.1)
                    made = subprocess.run(
                        [hotpot, "clients", "add", "tester", "--state", folder + "/state"],
                        env=environment, capture_output=True, text=True)
                    if made.returncode == 0:
                        token = made.stdout.split()[-1]
                        break
                client = openai.OpenAI(base_url=f"http://{address}/v1", api_key=token, max_retries=20)
                for _ in range(100):
                    try:
                        client.models.list()
                        answer = client.embeddings.create(model="m", input=TEXTS)
                        break
                    except openai.APIError:
                        time.sleep(0.2)
                for text, entry in zip(TEXTS, answer.data):
                    same = cosine(entry.embedding, peer(llama, model, text))
                    failed += same < 0.9999
                    print(f"{architecture:16} {len(text):4} characters  cosine {same:.7f}")
                floats = client.embeddings.create(model="m", input=TEXTS[0], encoding_format="float")
                failed += not np.array_equal(
                    np.float32(floats.data[0].embedding), np.float32(answer.data[0].embedding))
                short = client.embeddings.create(model="m", input=TEXTS[0], dimensions=32).data[0].embedding
                failed += len(short) != 32 or cosine(short, floats.data[0].embedding[:32]) < 0.999999
                other = ollama.Client(
                    host=f"http://{address}", headers={"Authorization": f"Bearer {token}"})
                both = other.embed(model="m", input=TEXTS[:2])
                failed += len(both.embeddings) != 2 or cosine(
                    both.embeddings[0], floats.data[0].embedding) < 0.999999
            finally:
                node.terminate()
                node.wait(20)
    print("failed:", failed)
    return failed


if __name__ == "__main__":
    sys.exit(min(1, main(*sys.argv[1:3])))
