#!/usr/bin/env python3
"""Many jobs over three nodes that share a queue, with random kills and stops: none lost, none billed twice.

    HOTPOT_EXECUTABLE=.build/release/hotpot Tests/Acceptance/SharedQueue/failover.py --model smollm2 --jobs 1000

Needs nats-server and a model. Speaks NATS itself, in thirty lines, so that nothing of the program is trusted.
"""
import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="smollm2")
parser.add_argument("--jobs", type=int, default=1000)
parser.add_argument("--tokens", type=int, default=12)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--trouble", type=float, default=8, help="seconds between kills and stops, about")
parser.add_argument("--limit", type=int, default=3600, help="seconds until what is not answered counts as lost")
parser.add_argument("--server", default="/usr/sbin/nats-server")
options = parser.parse_args()
dice = random.Random(options.seed)
hotpot = os.path.abspath(os.environ.get("HOTPOT_EXECUTABLE", ".build/release/hotpot"))
folder = tempfile.mkdtemp(prefix="hotpot-queue-")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


port = free_port()
with open(f"{folder}/server.conf", "w") as file:
    file.write(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/store" }}\n')
with open(f"{folder}/queue.json5", "w") as file:
    file.write(
        f'{{ queue: {{ servers: ["127.0.0.1:{port}"], running: 4 }}, http: {{ listen: "none" }}, threads: 1,'
        ' audits: { share: 0 }, policy: [{ action: "admit" }], prices: [{ prompt: "1", completion: "2" }] }\n'
    )


def start_server():
    return subprocess.Popen([options.server, "-c", f"{folder}/server.conf", "-l", f"{folder}/server.log"])


def start_node(number):
    log = open(f"{folder}/node{number}.log", "a")
    return subprocess.Popen(
        [hotpot, "serve", "--config", f"{folder}/queue.json5", "--state", f"{folder}/node{number}",
         "--name", f"node{number}", "--model", options.model], stdout=log, stderr=log)


class Client:
    """A requester: publishes jobs, and keeps all that it hears."""

    def __init__(self):
        self.answers, self.stored, self.lock = {}, {}, threading.Lock()
        self.connect()
        threading.Thread(target=self.listen, daemon=True).start()

    def connect(self):
        hello = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "python",
                 "version": "0", "protocol": 1}
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port))
                self.stream = self.socket.makefile("rb")
                self.stream.readline()
                self.socket.sendall(b"CONNECT " + json.dumps(hello).encode() + b"\r\nSUB _INBOX.alice.> 1\r\nPING\r\n")
                return
            except OSError:
                time.sleep(0.05)

    def publish(self, job, body):
        block = (f"NATS/1.0\r\nNats-Msg-Id: {job}\r\nHotpot-Reply: _INBOX.alice.a{job}\r\nHotpot-Version: 1\r\n\r\n").encode()
        subject = "hotpot.job." + "".join(c if c.isalnum() or c in "-_" else "_" for c in options.model) + ".std.alice"
        head = f"HPUB {subject} _INBOX.alice.p{job} {len(block)} {len(block) + len(body)}\r\n".encode()
        self.socket.sendall(head + block + body + b"\r\n")

    def listen(self):
        while True:
            try:
                line = self.stream.readline().split()
                if not line:
                    raise OSError("closed")
                if line[0] == b"PING":
                    self.socket.sendall(b"PONG\r\n")
                elif line[0] in (b"MSG", b"HMSG"):
                    payload = self.stream.read(int(line[-1]) + 2)[:-2]
                    if line[0] == b"MSG":
                        self.take(line[1].decode(), payload)
                        # A node wants to hear that its end was heard.
                        if len(line) == 5:
                            self.socket.sendall(b"PUB " + line[3] + b" 0\r\n\r\n")
            except (OSError, ValueError):
                self.connect()

    def take(self, subject, payload):
        kind, job = subject.split(".")[2][0], subject.split(".")[2][1:]
        with self.lock:
            if kind == "p":
                self.stored[job] = json.loads(payload)
            else:
                self.answers.setdefault(job, []).append(json.loads(payload))


def text_of(words):
    """The one text of all runs of a job, or what differs."""
    runs, ends = {}, []
    for word in words:
        run = runs.setdefault((word["node"], word["delivery"]), {"tokens": [], "text": "", "whole": True})
        if "i" in word and word["i"] == len(run["tokens"]) and run["whole"]:
            run["tokens"] += word["tokens"]
            run["text"] += word["text"]
        elif "i" in word:
            run["whole"] = False
        elif "done" in word:
            ends.append(word)
    longest = max((word["tokens"] for word in ends), key=len, default=[])
    for run in runs.values():
        if run["tokens"] != longest[: len(run["tokens"])]:
            return None, "overlapping chunks differ"
    return (ends[0]["text"] if ends else None), None


processes = {}
try:
    server = start_server()
    client = Client()
    done = subprocess.run([hotpot, "queue", "init", "--config", f"{folder}/queue.json5", "--model", options.model],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    processes = {number: start_node(number) for number in range(3)}
    jobs = [f"{number + 1:016x}" for number in range(options.jobs)]
    for number, job in enumerate(jobs):
        request = {"model": options.model, "prompt": f"Story {number % 50}:", "max_tokens": options.tokens, "seed": number % 50,
                   "temperature": 1, "ignore_eos": True}
        client.publish(job, json.dumps(request).encode())
    began, last, troubles = time.time(), time.time(), {"killed": 0, "stopped": 0, "server": 0}

    def ended():
        with client.lock:
            return sum(any("done" in word for word in client.answers.get(job, [])) for job in jobs)

    while ended() < len(jobs) and time.time() - began < options.limit:
        time.sleep(0.2)
        if time.time() - last < options.trouble * (0.5 + dice.random()):
            continue
        last, number, choice = time.time(), dice.randrange(3), dice.random()
        if choice < 0.5:
            processes[number].kill()
            processes[number].wait()
            processes[number] = start_node(number)
            troubles["killed"] += 1
        elif choice < 0.9:
            stopped = processes[number]
            stopped.send_signal(signal.SIGSTOP)
            threading.Timer(dice.uniform(1, 45), lambda: stopped.poll() is None and stopped.send_signal(signal.SIGCONT)).start()
            troubles["stopped"] += 1
        else:
            server.kill()
            server.wait()
            server = start_server()
            troubles["server"] += 1
    seconds = time.time() - began
    for process in processes.values():
        process.send_signal(signal.SIGCONT)
    time.sleep(3)
    for process in processes.values():
        process.terminate()
    for process in processes.values():
        process.wait(60)

    lost = [job for job in jobs if not any("done" in word for word in client.answers.get(job, []))]
    differing = [job for job in jobs if job not in lost and text_of(client.answers[job])[1]]
    texts = {}
    for number, job in enumerate(jobs):
        if job not in lost:
            texts.setdefault(number % 50, set()).add(text_of(client.answers[job])[0])
    billed = {}
    for number in range(3):
        files = os.listdir(f"{folder}/node{number}/journal")
        for name in sorted(name for name in files if name.endswith(".jsonl")):
            with open(f"{folder}/node{number}/journal/{name}", "rb") as file:
                for line in file:
                    if b'"type":"receipt"' in line:
                        billed.setdefault(json.loads(line)["job"], []).append(f"node{number}")
    twice = {job: nodes for job, nodes in billed.items() if len(nodes) > 1}
    again = sum(1 for job in jobs if len({(w["node"], w["delivery"]) for w in client.answers.get(job, []) if "i" in w}) > 1)
    print(f"{len(jobs)} jobs in {seconds:.0f} s; {troubles}; finished by a second node: {again}")
    print(f"lost {len(lost)}, differing {len(differing)}, prompts with two texts "
          f"{sum(len(found) > 1 for found in texts.values())}, receipts for {len(billed)} jobs, billed twice {len(twice)}")
    bad = lost or differing or twice or any(len(found) > 1 for found in texts.values()) or len(billed) < len(jobs)
    sys.exit(1 if bad else 0)
finally:
    for process in [*processes.values(), server]:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
    if not os.environ.get("KEEP"):
        shutil.rmtree(folder, ignore_errors=True)
    else:
        print(folder)
