#!/usr/bin/env python3
"""Time to the first token of a chat with 50 tools, against the same prompt as plain text.

usage: first_token.py HOTPOT MODEL [ROUNDS]
HOTPOT is the program, MODEL a file whose chat template reads tools, or any other. Chats and completions take turns, each
with a prompt that no cache holds. Prints the medians and their ratio.
"""
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

hotpot, model = sys.argv[1:3]
rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 9
folder = tempfile.mkdtemp()
config = pathlib.Path(folder, "config.json5")
config.write_text("{ audits: { share: 0 } }")
node = subprocess.Popen([hotpot, "serve", "--model", model, "--listen", "127.0.0.1:0", "--state", folder + "/node", "--config",
                         str(config)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
port = None
for line in node.stderr:
    found = re.search(r"serving http on port (\d+)", line)
    port = int(found[1]) if found else port
    if "info: serving " in line:
        break
token = subprocess.run([hotpot, "clients", "add", "tester", "--state", folder + "/node"], capture_output=True, text=True,
                       check=True).stdout.strip()
name = pathlib.Path(model).stem


def post(path, body):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {
        "Content-Type": "application/json", "Authorization": f"Bearer {token}"})
    return urllib.request.urlopen(request, timeout=600)


def tools(mark):
    return [{"type": "function", "function": {
        "name": f"tool_{index}", "description": f"{mark} does the thing of number {index}", "parameters": {
            "type": "object", "properties": {"path": {"type": "string", "description": "where"}, "count": {"type": "integer"}},
            "required": ["path"]}}} for index in range(50)]


def chat(mark):
    return {"model": name, "messages": [{"role": "user", "content": f"{mark}: hello"}], "tools": tools(mark), "max_tokens": 2,
            "temperature": 0}


def first(path, body):
    """Seconds until the first event of a stream that has text or the end."""
    start = time.monotonic()
    with post(path, dict(body, stream=True, ignore_eos=True)) as answer:
        for line in answer:
            if line.startswith(b"data: {"):
                choice = (json.loads(line[6:])["choices"] or [{}])[0]
                if choice.get("text") or (choice.get("delta") or {}).get("content") or choice.get("finish_reason"):
                    return time.monotonic() - start
    raise SystemExit("a stream without a token")


try:
    times = {"chat": [], "text": []}
    count = 0
    for turn in range(rounds + 1):
        rendered = json.load(post("/v1/chat/completions", dict(chat(f"a{turn}"), return_token_ids=True)))["hotpot"]["prompt_token_ids"]
        count = len(rendered)
        text = json.load(post("/detokenize", {"model": name, "tokens": rendered}))
        text = text.get("content", text.get("text", text.get("prompt")))
        took = {"chat": first("/v1/chat/completions", chat(f"b{turn}")),
                "text": first("/v1/completions", {"model": name, "prompt": f"c{turn} " + text.replace(f"a{turn}", f"c{turn}"),
                                                  "max_tokens": 2, "temperature": 0})}
        # The first round warms up.
        for kind in times if turn else []:
            times[kind].append(took[kind])
    chats, texts = (statistics.median(times[kind]) for kind in ("chat", "text"))
    print(f"50 tools, {count} tokens: first token after {chats * 1e3:.0f} ms; as plain text {texts * 1e3:.0f} ms; ratio {chats / texts:.3f}")
finally:
    node.terminate()
    node.wait(30)
