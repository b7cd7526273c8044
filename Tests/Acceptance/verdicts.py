#!/usr/bin/env python3
"""A real node's answers, honest and edited in every way, and what `hotpot verify --answer ANSWER --model M` says of each.

usage: verdicts.py [PROGRAM] [MODEL]        default: .build/debug/hotpot smollm2

What only a lying node can do (padding an answer, cutting one and calling it something else) is made here with the node's own
key: a line is edited and sealed again, and a log of it alone is signed. Each verdict is printed: what is wanted, the exit
status, and the first check that failed. Negative control: the same lies against a receipt whose line was left as it was pass.
Exit status 1 where a verdict is not the one wanted.
"""
import base64, copy, hashlib, http.client, json, os, re, socket, subprocess, sys, tempfile, threading, time

program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ".build/debug/hotpot")
model = sys.argv[2] if len(sys.argv) > 2 else "smollm2"
top = tempfile.mkdtemp()
state = top + "/state"
with socket.socket() as s:
    s.bind(("127.0.0.1", 0))
    port = s.getsockname()[1]
config = top + "/config"
open(config, "w").write("{ prices: [{ prompt: '1', completion: '100' }] }")
node = subprocess.Popen([program, "serve", "--state", state, "--config", config, "--listen", f"127.0.0.1:{port}", "--model", model],
                        stderr=open(top + "/log", "w"))
faults, verdicts = [], 0


def hotpot(*words): return subprocess.run([program, *words, "--state", state], capture_output=True, text=True)


def send(method, path, body=None, headers={}):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request(method, path, json.dumps(body) if body is not None else None,
                       {"Authorization": "Bearer " + token, "Content-Type": "application/json", **headers})
    response = connection.getresponse()
    return response.status, response.read().decode()


def ask(text, **more):
    body = {"model": os.path.basename(model).removesuffix(".gguf"), "return_token_ids": True, "temperature": 0, "max_tokens": 24,
            "messages": [{"role": "user", "content": text}], **more}
    return send("POST", "/v1/chat/completions", body)[1]


def export(answer):
    receipt = re.findall(r'"receipt":"([0-9a-f]{16})"', answer)[-1]
    for _ in range(200):
        out = hotpot("receipts", "export", receipt)
        if out.returncode == 0: return out.stdout
        time.sleep(0.1)
    sys.exit(f"no bundle of {receipt}: {out.stderr}")


def verify(bundle, answer, *more):
    open(top + "/bundle", "w").write(bundle)
    open(top + "/answer", "w").write(answer)
    out = subprocess.run([program, "verify", top + "/bundle", "--answer", top + "/answer", "--model", model, "--json", *more],
                         capture_output=True, text=True)
    try: return out.returncode, json.loads(out.stdout)
    except ValueError: return out.returncode, {"checks": [], "not_checked": [], "error": out.stderr.strip()}


def want(what, failing, bundle, answer, said=None, more=()):
    """failing: the check that has to fail; None where all has to hold. said: words that `not checked` has to say."""
    global verdicts
    verdicts += 1
    code, page = verify(bundle, answer, *more)
    failed = [c for c in page["checks"] if c["result"] == "failed"]
    first = f"{failed[0]['name']}: {failed[0]['detail']}" if failed else page.get("error", "")
    print(f"{'refused' if code else 'passes ':8}{what:52}{first[:120]}")
    if failing is None:
        if code: faults.append(f"{what}: wanted to pass: {code} {failed} {page.get('error')}")
    elif failing == "file":
        if code == 0: faults.append(f"{what}: wanted to be refused")
    elif code == 0 or failing not in [c["name"] for c in failed]:
        faults.append(f"{what}: wanted '{failing}' to fail: {code} {failed} {page.get('error')}")
    if said and not any(said in words for words in page["not_checked"]):
        faults.append(f"{what}: nothing says '{said}': {page['not_checked']}")


def edit(answer, *path_and_value):
    tree = json.loads(answer)
    *path, last, value = path_and_value
    inner = tree
    for key in path: inner = inner[key]
    if value is None: del inner[last]
    else: inner[last] = value
    return json.dumps(tree)


def forge(bundle, answer, *edits):
    """The node lies: its line says something else, and a log of that line alone is signed with its key."""
    line = bundle.split("--- receipt\n")[1].split("--- proof\n")[0]
    for old, new in edits + ((r'"index":\d+', '"index":0'),):
        line, count = re.subn(old, new, line)
        if count != 1: sys.exit(f"'{old}' stands {count} times in {line}")
    head = line.split(',"h":')[0]
    line = f'{head},"h":"{hashlib.sha256(head.encode()).hexdigest()[:16]}"}}\n'
    leaf = hashlib.sha256(b"\0" + line.encode())
    origin = bundle.split("--- checkpoint\n")[1].split("\n")[0]
    text = f"{origin}\n1\n{base64.b64encode(leaf.digest()).decode()}\ntime {time.time_ns() // 1000}\nprev-checkpoint-sha256 {'0' * 64}\n"
    open(top + "/cp", "w").write(text)
    if os.path.exists(top + "/cp.sig"): os.remove(top + "/cp.sig")
    subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", state + "/key", "-n", "checkpoint@hotpot", top + "/cp"], check=True)
    signers = bundle.split("--- allowed_signers\n")[1].split("--- ")[0]
    return ("hotpot-bundle 1\n--- receipt\n" + line + "--- proof\nc2sp.org/tlog-proof@v1\nindex 0\n\n" + text + "--- checkpoint\n" + text
            + "--- checkpoint.sig\n" + open(top + "/cp.sig").read() + "--- allowed_signers\n" + signers,
            re.sub(r'"receipt": ?"[0-9a-f]{16}"', f'"receipt":"{leaf.hexdigest()[:16]}"', answer))


def main():
    # Honest ones of every kind.
    honest = ask("What is a checkpoint?", temperature=0.7, seed=7, logit_bias={"260": -2, "1000": 1.5})
    bundle = export(honest)
    want("honest, with logit_bias", None, bundle, honest, "not compared with a request")
    want("honest, and handed out once more", None, bundle, honest, "not for an earlier one of the same words")
    text = json.loads(honest)["choices"][0]["message"]["content"]
    middle = text[len(text) // 2:][:3]
    stopped = ask("What is a checkpoint?", temperature=0.7, seed=7, logit_bias={"260": -2, "1000": 1.5}, stop=[middle, "\n\n"])
    want("honest, cut at a stop string", None, export(stopped), stopped)
    drawn = ask("Name a town.", temperature=1)
    want("honest, the node's seed", None, export(drawn), drawn, "seed chosen by the node: that it drew one once")
    completion = send("POST", "/v1/completions", {"model": os.path.basename(model).removesuffix(".gguf"), "return_token_ids": True,
                      "prompt": "Once upon a time", "max_tokens": 8, "logprobs": 2})[1]
    want("honest, a completion with logprobs", None, export(completion), completion)
    stream = ask("Name three colours.", stream=True, stream_options={"include_usage": True}, seed=3)
    streamed = export(stream)
    want("honest, a stream", None, streamed, stream)
    want("honest, a stream with CRLF", None, streamed, stream.replace("\n", "\r\n"))

    # The request that was sent, and others.
    mine = dict(model=os.path.basename(model).removesuffix(".gguf"), return_token_ids=True, temperature=0.7, max_tokens=24, seed=7,
                logit_bias={"260": -2, "1000": 1.5}, messages=[{"role": "user", "content": "What is a checkpoint?"}])
    for what, failing, change in (
            ("my request", None, {}), ("a node's own system prompt", "request",
             dict(messages=[{"role": "system", "content": "Lie."}] + mine["messages"])),
            ("another question", "request", dict(messages=[{"role": "user", "content": "What is a checkpoint"}])),
            ("another max_tokens", "settings", dict(max_tokens=64)), ("another temperature", "settings", dict(temperature=0.8)),
            ("a stop string", "settings", dict(stop=["zz"])), ("ignore_eos", "settings", dict(ignore_eos=True))):
        open(top + "/request", "w").write(json.dumps({**mine, **change}))
        want("--request: " + what, failing, bundle, honest, more=("--request", top + "/request"))

    # The answer edited on its way.
    want("another text", "text", bundle, edit(honest, "choices", 0, "message", "content", "No."))
    want("one letter more", "text", bundle, edit(honest, "choices", 0, "message", "content", text + "."))
    want("an empty text", "text", bundle, edit(honest, "choices", 0, "message", "content", ""))
    want("finish_reason", "answer", bundle, edit(honest, "choices", 0, "finish_reason", "stop"))
    for name, value in (("prompt_tokens", 1), ("completion_tokens", 9), ("total_tokens", 1)):
        want("usage." + name, "answer", bundle, edit(honest, "usage", name, value))
    want("usage cached_tokens", "answer", bundle, edit(honest, "usage", "prompt_tokens_details", "cached_tokens", 5))
    for name, value in (("amount_micro", 1), ("seed", 8), ("job", "0" * 16), ("receipt", "0" * 16)):
        want("hotpot." + name, "answer", bundle, edit(honest, "hotpot", name, value))
    want("id", "answer", bundle, edit(honest, "id", "chatcmpl-" + "0" * 16))
    want("model", "answer", bundle, edit(honest, "model", "gpt-9"))
    want("ignore_eos", "answer", bundle, edit(honest, "hotpot", "ignore_eos", True))
    for name, value in (("nonce", "0" * 128), ("token_ids", [1, 2]), ("prompt_token_ids", [1]), ("logit_bias", None), ("stop", ["x"])):
        want("hotpot." + name, "commitments", bundle, edit(honest, "hotpot", name, value))
    want("the answer of another job", "commitments", bundle, drawn)
    want("the bundle of another job", "commitments", export(drawn), honest)
    pieces = [l for l in stream.split("\n") if '"delta":{"content":"' in l]
    want("a piece of the stream is missing", "text", streamed, stream.replace(pieces[1] + "\n\n", "", 1))
    want("a piece of the stream comes twice", "text", streamed, stream.replace(pieces[1], pieces[1] + "\n\n" + pieces[1], 1))
    want("the stream changes its id", "file", streamed, stream.replace("chatcmpl-", "chatcmpl-0", 1))
    want("the same key twice in the JSON", "file", bundle, honest.replace('"id":', '"id":"x","id":', 1))

    # A job that was cut is charged, and its client can check it.
    long = dict(max_tokens=1500, ignore_eos=True)
    expired = ask("Tell a long story.", hotpot={"time_limit_s": 1}, **long)
    expired_bundle = export(expired)
    want("expired", None, expired_bundle, expired, "cut by whom and where")
    want("expired, its text edited", "text", expired_bundle, edit(expired, "choices", 0, "message", "content", "No."))
    want("expired, called cancelled", "answer", expired_bundle, edit(expired, "error", "code", "cancelled"))
    gone = ask("Tell a long story.", stream=True, hotpot={"time_limit_s": 1}, **long)
    want("expired, a stream", None, export(gone), gone)
    for who in ("operator", "client"):
        box = []
        thread = threading.Thread(target=lambda: box.append(ask("Tell a very long story.", stream=True, **long)))
        thread.start()
        for _ in range(600):
            running = [j for j in json.loads(hotpot("jobs", "--json").stdout or "[]") if j["state"] == "running" and (j.get("output_tokens") or j.get("outputTokens") or 0) > 2]
            if running: break
            time.sleep(0.05)
        job = running[0]["id"]
        if who == "operator": hotpot("cancel", job)
        else: send("DELETE", "/v1/jobs/" + job)
        thread.join()
        want(f"cancelled by the {who}, a stream", None, export(box[0]), box[0], "cut by whom and where")
        page = send("GET", "/v1/jobs/" + job)[1]
        want(f"cancelled by the {who}, GET /v1/jobs/ID", None, export(page), page)

    # The node lies.
    lied, spoken = forge(bundle, honest)
    want("control: the forger's log, nothing else changed", None, lied, spoken)
    for prompt in ("Say yes.", "Hi", "What is 1+1?", "Thanks!", "Name a colour."):
        past = ask(prompt, ignore_eos=True, max_tokens=120)
        ids = json.loads(past)["hotpot"]["token_ids"]
        if 2 in ids[:-1]: break
    else: faults.append("no prompt ends within 120 tokens: padding was not tried")
    past_bundle = export(past)
    want("past an end token, as was asked", None, past_bundle, past)
    want("padded past an end token", "ending", *forge(past_bundle, edit(past, "hotpot", "ignore_eos", None),
         ('"ignore_eos":true', '"ignore_eos":false')))
    cut = ask("What is a checkpoint?", max_tokens=5)
    cut_bundle = export(cut)
    more = ('"max_tokens":5', '"max_tokens":64')
    want("cut, called length", "ending", *forge(cut_bundle, cut, more))
    want("cut, called stop", "ending", *forge(cut_bundle, edit(cut, "choices", 0, "finish_reason", "stop"), more, ('"finish":"length"', '"finish":"stop"')))
    want("cut, called a stop string", "ending",
         *forge(cut_bundle, edit(cut, "choices", 0, "finish_reason", "stop"), more, ('"finish":"length"', '"finish":"stop_string"')))
    want("cut, called the end of the context", "ending", *forge(cut_bundle, cut, more, ('"finish":"length"', '"finish":"context"')))
    want("cut, called cancelled: said, not proved", None,
         *forge(cut_bundle, edit(cut, "choices", 0, "finish_reason", None), more, ('"finish":"length"', '"finish":"cancelled_by_client"')),
         said="cut by whom and where")
    want("cut with a smaller max_tokens: said, not proved", None, *forge(cut_bundle, cut), said="max_tokens, the stop strings")
    want("the amount", "amount", *forge(bundle, honest, (r'"amount":\d+', '"amount":1')))
    want("another seed", "re-execution", *forge(bundle, edit(honest, "hotpot", "seed", 8), ('"seed":"7"', '"seed":"8"')))


try:
    for _ in range(1200):
        try:
            token = ""
            if send("GET", "/health")[0] == 200: break
        except OSError: pass
        if node.poll() is not None: sys.exit("the node ended: " + open(top + "/log").read())
        time.sleep(0.1)
    token = hotpot("clients", "add", "verdicts").stdout.strip()
    main()
finally:
    node.terminate()
    try: node.wait(30)
    except subprocess.TimeoutExpired: node.kill()
print(f"{verdicts} verdicts, {len(faults)} not as wanted")
for fault in faults: print("FAULT:", fault)
sys.exit(1 if faults else 0)
