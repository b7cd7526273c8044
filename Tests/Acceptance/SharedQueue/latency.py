#!/usr/bin/env python3
"""The first token through the shared queue beside the one through the node's own door, and what a full queue costs a node.

    HOTPOT_EXECUTABLE=.build/release/hotpot Tests/Acceptance/SharedQueue/latency.py --model smollm2

Needs nats-server and a model. The two ways alternate, job by job; a ratio of their medians is printed.
"""
import argparse
import http.client
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="smollm2")
parser.add_argument("--rounds", type=int, default=40)
parser.add_argument("--words", type=int, default=150, help="words of a prompt")
parser.add_argument("--waiting", type=int, default=10_000, help="jobs in the queue of a node that takes none")
parser.add_argument("--seconds", type=int, default=30, help="for which that node's processor time is counted")
parser.add_argument("--server", default="/usr/sbin/nats-server")
options = parser.parse_args()
hotpot = os.path.abspath(os.environ.get("HOTPOT_EXECUTABLE", ".build/release/hotpot"))
folder = tempfile.mkdtemp(prefix="hotpot-queue-")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


port, door = free_port(), free_port()
with open(f"{folder}/server.conf", "w") as file:
    file.write(f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder}/store" }}\n')
with open(f"{folder}/node.json5", "w") as file:
    file.write(
        f'{{ queue: {{ servers: ["127.0.0.1:{port}"] }}, http: {{ listen: "127.0.0.1:{door}" }}, audits: {{ share: 0 }},'
        ' policy: [{ action: "admit" }], strangers: { jobs: 64 } }\n')


class Client:
    """One connection: publishes a job, and waits for the first text of its answer, or its end."""

    def __init__(self):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")
        self.stream.readline()
        hello = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "python", "version": "0"}
        self.socket.sendall(b"CONNECT " + json.dumps(hello).encode() + b"\r\nSUB _INBOX.alice.> 1\r\nPING\r\n")

    def publish(self, job, body):
        block = f"NATS/1.0\r\nNats-Msg-Id: {job}\r\nHotpot-Reply: _INBOX.alice.a{job}\r\nHotpot-Version: 1\r\n\r\n".encode()
        name = "".join(c if c.isalnum() or c in "-_" else "_" for c in options.model)
        head = f"HPUB hotpot.job.{name}.std.alice _INBOX.alice.p{job} {len(block)} {len(block) + len(body)}\r\n".encode()
        self.socket.sendall(head + block + body + b"\r\n")

    def next(self):
        while True:
            line = self.stream.readline().split()
            if not line:
                raise OSError("closed")
            if line[0] == b"PING":
                self.socket.sendall(b"PONG\r\n")
            elif line[0] == b"MSG":
                payload = self.stream.read(int(line[-1]) + 2)[:-2]
                if len(line) == 5:
                    self.socket.sendall(b"PUB " + line[3] + b" 0\r\n\r\n")
                return line[1].decode(), payload


number = 0


def request(**more):
    """Another prompt each time, so that no prefix is known."""
    global number
    number += 1
    words = " ".join(f"word{(number * 7919 + i * 31) % 9973}" for i in range(options.words))
    return {"model": options.model, "prompt": words, "max_tokens": 4, "seed": number, "ignore_eos": True, **more}


def direct(connection):
    body = json.dumps(request(stream=True)).encode()
    began = time.perf_counter()
    connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json", "Authorization": "Bearer sk-alice"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    first = None
    while line := answer.readline():
        if first is None and line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["text"]:
            first = time.perf_counter() - began
    return first


def queued(client):
    body = json.dumps(request()).encode()
    job = f"{number:016x}"
    began = time.perf_counter()
    client.publish(job, body)
    first = None
    while True:
        subject, payload = client.next()
        word = json.loads(payload)
        if subject.endswith(f"a{job}"):
            if first is None and word.get("text"):
                first = time.perf_counter() - began
            if "done" in word:
                return first
            assert "rejected" not in word, word


def processor_seconds(process):
    with open(f"/proc/{process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cost(process):
    began = processor_seconds(process)
    time.sleep(options.seconds)
    return (processor_seconds(process) - began) / options.seconds


server = node = None
failed = False
try:
    server = subprocess.Popen([options.server, "-c", f"{folder}/server.conf", "-l", f"{folder}/server.log"])
    for _ in range(100):
        try:
            client = Client()
            break
        except OSError:
            time.sleep(0.05)
    done = subprocess.run([hotpot, "queue", "init", "--config", f"{folder}/node.json5", "--model", options.model,
                           "--jobs", str(options.waiting + 100)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    log = open(f"{folder}/node.log", "w")
    node = subprocess.Popen([hotpot, "serve", "--config", f"{folder}/node.json5", "--state", f"{folder}/node", "--model", options.model],
                            stdout=log, stderr=log)
    connection = http.client.HTTPConnection("127.0.0.1", door)
    for _ in range(600):
        try:
            connection.request("GET", "/health")
            if b"serving" in connection.getresponse().read():
                break
        except OSError:
            connection.close()
        time.sleep(0.1)
    for _ in range(3):
        direct(connection), queued(client)
    ways = {"direct": [], "queued": []}
    for _ in range(options.rounds):
        ways["direct"].append(direct(connection))
        ways["queued"].append(queued(client))
    medians = {way: statistics.median(times) for way, times in ways.items()}
    ratio = medians["queued"] / medians["direct"]
    failed = failed or ratio > 1.05
    print(f"first token, median of {options.rounds}: direct {medians['direct'] * 1e3:.1f} ms, "
          f"queued {medians['queued'] * 1e3:.1f} ms: {ratio:.3f} times")
    state = ["--state", f"{folder}/node"]
    assert subprocess.run([hotpot, "pause"] + state, capture_output=True).returncode == 0
    idle = cost(node)
    body = json.dumps(request()).encode()
    for job in range(options.waiting):
        client.publish(f"{1 << 32 | job:016x}", body)
    for _ in range(options.waiting):
        client.next()
    full = cost(node)
    failed = failed or full - idle > 0.01
    print(f"a paused node: {idle * 100:.2f} % of a core beside an empty queue, {full * 100:.2f} % beside {options.waiting} jobs")
finally:
    for process in (node, server):
        if process:
            process.terminate()
            process.wait(30)
    shutil.rmtree(folder, ignore_errors=True)
sys.exit(failed)
