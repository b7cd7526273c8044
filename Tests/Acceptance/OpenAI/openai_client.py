#!/usr/bin/env python3
"""Drives a running node with the unmodified openai package.

usage: openai_client.py BASE_URL TOKEN MODEL HOTPOT STATE
Prints one line a check, and 'ok' at the end; exits 1 at the first that fails, 77 where the package is absent.
HOTPOT is the program, STATE the node's state directory: the operator's decisions are made with them.
"""
import json
import subprocess
import sys
import threading
import time

try:
    import openai
except ImportError:
    print("the openai package is absent")
    sys.exit(77)

base, token, model, hotpot, state = sys.argv[1:6]
client = openai.OpenAI(base_url=base + "/v1", api_key=token, max_retries=0, timeout=60)
question = [{"role": "user", "content": "What is the capital of France?"}]


def check(name, holds, found=""):
    print(("ok   " if holds else "FAIL ") + name, found)
    if not holds:
        sys.exit(1)


def refused(name, kind, status, call, code=None):
    try:
        call()
    except kind as error:
        check(name, error.status_code == status and (code is None or error.code == code), f"{error.status_code} {error.code}: {error.message[:90]}")
        return error
    check(name, False, "it was not refused")


def operator(*words):
    return subprocess.run([hotpot, *words, "--state", state], capture_output=True, text=True, timeout=20)


def pending(client_prefix="unknown-"):
    for _ in range(200):
        jobs = json.loads(operator("jobs", "--json").stdout)
        found = [job for job in jobs if job["state"] == "pending" and job["client"].startswith(client_prefix)]
        if found:
            return found[0]["id"]
        time.sleep(0.05)
    check("a job waits", False)


models = client.models.list().data
check("models", [entry.id for entry in models] == [model], str([entry.id for entry in models]))
check("one model", client.models.retrieve(model).id == model)

whole = client.chat.completions.create(model=model, messages=question, temperature=0, max_tokens=20)
check("chat", whole.choices[0].message.content == "The capital of France is Paris.", whole.choices[0].message.content)
check("chat finish", whole.choices[0].finish_reason == "stop")
check("chat usage", whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0)
check("chat receipt", len(whole.model_extra["hotpot"]["receipt"]) == 16)

text, usage, extra = "", None, None
for chunk in client.chat.completions.create(
        model=model, messages=question, temperature=0, max_tokens=20, stream=True, stream_options={"include_usage": True}):
    if chunk.choices:
        text += chunk.choices[0].delta.content or ""
        extra = (chunk.model_extra or {}).get("hotpot") or extra
    usage = chunk.usage or usage
check("streamed chat", text == whole.choices[0].message.content, text)
check("streamed usage", usage.completion_tokens == whole.usage.completion_tokens)
check("streamed receipt", extra and len(extra["nonce"]) == 128)

parts = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]
check("text parts", client.chat.completions.create(model=model, messages=parts, max_tokens=8).choices[0].message.content != "")

plain = client.completions.create(model=model, prompt="One, two, three,", temperature=0, max_tokens=6)
check("completion", " four" in plain.choices[0].text, plain.choices[0].text)
pieces = [chunk.choices[0].text for chunk in client.completions.create(
    model=model, prompt="One, two, three,", temperature=0, max_tokens=6, stream=True) if chunk.choices]
check("streamed completion", "".join(pieces) == plain.choices[0].text)

probable = client.chat.completions.create(
    model=model, messages=question, temperature=0, max_tokens=4, logprobs=True, top_logprobs=3)
content = probable.choices[0].logprobs.content
check("logprobs", len(content) == 4 and all(len(token.top_logprobs) == 3 for token in content))
check("logprobs are of the likeliest", all(token.logprob == token.top_logprobs[0].logprob <= 0 for token in content))
old = client.completions.create(model=model, prompt="One, two,", temperature=0, max_tokens=3, logprobs=2)
check("completion logprobs", len(old.choices[0].logprobs.tokens) == 3 and len(old.choices[0].logprobs.top_logprobs[0]) == 2)

stopped = client.chat.completions.create(model=model, messages=question, temperature=0, max_tokens=20, stop=[" France"])
check("stop string", stopped.choices[0].message.content == "The capital of", repr(stopped.choices[0].message.content))
check("stop reason", stopped.choices[0].finish_reason == "stop")
short = client.chat.completions.create(model=model, messages=question, temperature=0, max_tokens=2)
check("length", short.choices[0].finish_reason == "length" and short.usage.completion_tokens == 2)

def seeded(seed):
    return client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "Write a line about rain."}], temperature=1, seed=seed,
        max_tokens=24).choices[0].message.content
check("a seed repeats", seeded(5) == seeded(5))
check("another seed differs", seeded(5) != seeded(6))

refused("wrong model", openai.NotFoundError, 404,
        lambda: client.chat.completions.create(model="gpt-4", messages=question), "model_not_found")
wrong = openai.OpenAI(base_url=base + "/v1", api_key="hotpot_" + "0" * 64, max_retries=0)
refused("wrong token", openai.AuthenticationError, 401, lambda: wrong.models.list(), "invalid_token")
refused("too long", openai.BadRequestError, 400,
        lambda: client.chat.completions.create(model=model, messages=[{"role": "user", "content": "soup " * 20000}]),
        "context_length_exceeded")
offered = client.chat.completions.create(model=model, messages=question, temperature=0, max_tokens=8, tools=[
    {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}])
check("tools are offered", offered.choices[0].finish_reason in ("stop", "length", "tool_calls"), offered.choices[0].finish_reason)
refused("unsupported", openai.BadRequestError, 400,
        lambda: client.chat.completions.create(model=model, messages=question, web_search_options={}),
        "unsupported_parameter")
refused("out of range", openai.BadRequestError, 400,
        lambda: client.chat.completions.create(model=model, messages=question, temperature=3))
refused("n above 1", openai.BadRequestError, 400,
        lambda: client.chat.completions.create(model=model, messages=question, n=2))

stranger = openai.OpenAI(base_url=base + "/v1", api_key="sk-a-stranger", max_retries=0, timeout=60)
answers = {}


def ask(key, **more):
    try:
        answers[key] = stranger.chat.completions.create(
            model=model, messages=question, temperature=0, max_tokens=20, **more)
        if more.get("stream"):
            answers[key] = "".join(chunk.choices[0].delta.content or "" for chunk in answers[key] if chunk.choices)
    except openai.OpenAIError as error:
        answers[key] = error


for key, words, more in [
        ("approved", lambda id: ("approve", id), {}), ("approved stream", lambda id: ("approve", id), {"stream": True}),
        ("rejected", lambda id: ("reject", id, "--reason", "no soup today"), {})]:
    thread = threading.Thread(target=ask, args=(key,), kwargs=more)
    thread.start()
    done = operator(*words(pending()))
    check(f"the operator's word ({key})", done.returncode == 0, done.stdout + done.stderr)
    thread.join()
check("approved job answers", answers["approved"].choices[0].message.content == "The capital of France is Paris.")
check("approved stream answers", answers["approved stream"] == "The capital of France is Paris.")
check("rejected job", isinstance(answers["rejected"], openai.PermissionDeniedError)
      and "no soup today" in answers["rejected"].message, str(answers["rejected"])[:120])
ask("expired")
check("expired job", isinstance(answers["expired"], openai.APIStatusError) and answers["expired"].status_code == 408
      and int(answers["expired"].response.headers["retry-after"]) > 0, str(answers["expired"])[:120])
print("ok")
