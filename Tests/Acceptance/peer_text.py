#!/usr/bin/env python3
"""The text of `hotpot run --raw --temperature 0` beside llama.cpp's, for ten prompts of 64 tokens each.

usage: peer_text.py PROGRAM MODEL.gguf FOLDER        FOLDER holds llama-completion and llama-quantize

Where the two texts differ, llama.cpp runs once more over the same weights written as F32, where it rounds activations to no fewer
bits: the difference counts as the peer's rounding if that text agrees with ours beyond the place where its own first one left us.
Exit status 1 if any difference is not explained that way.
"""
import os, subprocess, sys, tempfile

program, model, folder = (os.path.abspath(path) for path in sys.argv[1:4])
PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea,",
    "Water boils at 100 degrees Celsius because",
    "def fibonacci(n):\n",
    "The three laws of thermodynamics are",
    "Dear Sir or Madam,\n\nI am writing to",
    "Die Hauptstadt von Deutschland ist",
    "1, 1, 2, 3, 5, 8, 13,",
    "To make a good tomato soup, you need",
    "In 1969, Neil Armstrong",
]


def ours(prompt):
    run = subprocess.run([program, "run", "--raw", "--temperature", "0", "-n", "64", "-m", model, prompt], capture_output=True,
                         text=True)
    if run.returncode != 0: sys.exit(f"peer_text: hotpot ended with {run.returncode}: {run.stderr.strip()}")
    return run.stdout.strip()


def peer(path, prompt):
    run = subprocess.run([folder + "/llama-completion", "-m", path, "-p", prompt, "-n", "64", "--temp", "0", "-no-cnv",
                          "--no-display-prompt", "--no-warmup", "-t", "2"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if run.returncode != 0: sys.exit(f"peer_text: the peer ended with {run.returncode}: {run.stderr.strip()[-300:]}")
    return run.stdout.removesuffix("\n").removesuffix(" [end of text]").strip()


def common(one, other):
    return len(os.path.commonprefix([one, other]))


with tempfile.TemporaryDirectory() as top:
    exact, equal, explained, faults = None, 0, 0, 0
    for prompt in PROMPTS:
        a, b = ours(prompt), peer(model, prompt)
        if a == b:
            equal += 1
            print(f"same          {prompt!r}: {len(a)} characters")
            continue
        if exact is None:
            exact = top + "/exact.gguf"
            subprocess.run([folder + "/llama-quantize", "--allow-requantize", model, exact, "F32"], check=True, capture_output=True)
        c = peer(exact, prompt)
        place = common(a, b)
        if common(a, c) > place:
            explained += 1
            print(f"peer rounds   {prompt!r}: from character {place} the peer differs, its F32 agrees to {common(a, c)} of {len(a)}")
        else:
            faults += 1
            print(f"DIFFERS       {prompt!r} at {place}: ours {a[place:place + 30]!r}, peer {b[place:place + 30]!r}, "
                  f"F32 {c[place:place + 30]!r}")
    print(f"{equal} the same, {explained} where the peer rounds, {faults} unexplained")
    sys.exit(1 if faults else 0)
