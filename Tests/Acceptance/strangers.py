#!/usr/bin/env python3
"""strangers.py: what clients with made-up names can take from those whom the operator knows: nothing.

usage: strangers.py HOTPOT [--model FILE] [--only STAGE,...] [--connections N]

Drives a real node on 127.0.0.1, in a state directory of its own that goes at the end. Stages:

  waiting  two strangers with 128 asynchronous jobs each that wait for approval, some with megabytes of white space, and
           eight connections that send prompts of 8 MB over and over: a known client's first token comes at most 1.5 times
           as late as without them; the node's memory and its spool stay within their bounds
  crowd    500 strangers at once, each with a name and a connection of his own: a known client's first token, the answer to
           `hotpot submit`, and the operator's chat each begin within a second, first where strangers are asked about, then
           where a policy admits them
  bodies   5,000 connections (or as many as the limit of open files allows) with bodies that hardly go on, opened again
           whenever one is closed: a known client is served 20 times of 20

Each stage ends with a negative control: the same is done in the known client's own name, which is not held back like that,
and must be noticed. Prints figures; ends with 1 if anything was not as it should be. Python 3 alone. Start at main.
"""
import argparse, http.client, json, multiprocessing, os, resource, selectors, shutil, signal, socket, statistics
import subprocess, sys, tempfile, time

failures = []


def check(ok, what):
    print(("ok    " if ok else "FAIL  ") + what, flush=True)
    if not ok:
        failures.append(what)


class Node:
    def __init__(self, hotpot, model, config=""):
        self.hotpot = hotpot
        self.root = tempfile.mkdtemp(prefix="strangers-")
        self.state = self.root + "/state"
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("SSH_", "SUDO_"))}
        self.env["HOME"] = self.root
        with open(self.root + "/config.json5", "w") as file:
            file.write("{ http: { listen: '127.0.0.1:0' }, audits: { share: 0 }, %s }" % config)
        self.log = open(self.root + "/log", "w+")
        self.process = subprocess.Popen(
            [hotpot, "serve", "-m", model, "--state", self.state, "--config", self.root + "/config.json5"],
            env=self.env, stdout=self.log, stderr=subprocess.STDOUT)
        end = time.monotonic() + 120
        while True:
            text = open(self.root + "/log").read()
            if "on port " in text:
                self.port = int(text.split("on port ")[1].split()[0])
                if self.get("/health")[0] == 200:
                    break
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit("the node did not start:\n" + text)
            time.sleep(0.05)
        self.model = json.loads(self.get("/v1/node")[1])["model"]
        token = subprocess.run(
            [hotpot, "clients", "add", "aria", "--state", self.state], env=self.env, capture_output=True, text=True)
        self.token = next(word for word in token.stdout.split() if word.startswith("hotpot_"))

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def get(self, path):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except OSError:
            return 0, ""

    def body(self, text="Say a word.", tokens=4, stream=True, filler=""):
        return (json.dumps({"model": self.model, "max_tokens": tokens, "stream": stream, "temperature": 0,
                            "messages": [{"role": "user", "content": text}]})[:-1] + filler + "}").encode()

    def head(self, token, length, more=""):
        return (f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
                f"Content-Type: application/json\r\n{more}Content-Length: {length}\r\n\r\n").encode()

    def ask(self, token, body, timeout=30):
        """The status, and the seconds to the first event with text; for an answer in one piece, to its end."""
        began = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as wire:
                wire.sendall(self.head(token, len(body), "Connection: close\r\n") + body)
                got = b""
                while True:
                    part = wire.recv(65536)
                    if part:
                        got += part
                    if b'"content":"' in got.replace(b'"content":""', b"") or not part:
                        break
                status = int(got.split()[1]) if got.startswith(b"HTTP/1.1 ") else 0
        except (OSError, IndexError, ValueError):
            status = 0
        return status, time.monotonic() - began

    def snapshot(self):
        out = subprocess.run(
            [self.hotpot, "status", "--json", "--state", self.state], env=self.env, capture_output=True, text=True)
        return json.loads(out.stdout)

    def memory(self):
        """MiB of the process now, and at most so far."""
        found = {}
        for line in open(f"/proc/{self.process.pid}/status"):
            name, _, value = line.partition(":")
            if name in ("VmRSS", "VmHWM"):
                found[name] = int(value.split()[0]) / 1024
        return found["VmRSS"], found["VmHWM"]

    def spool(self):
        total = 0
        for folder, _, names in os.walk(self.state + "/spool"):
            for name in names:
                try:
                    total += os.path.getsize(os.path.join(folder, name))
                except OSError:
                    pass
        return total / (1 << 20)


def first_tokens(node, count, pause=0.1):
    """Of one request after the other: how many were answered, and the seconds to their first tokens."""
    times, statuses = [], []
    for number in range(count):
        # No two alike: nothing is found in the cache.
        status, seconds = node.ask(node.token, node.body(f"{number} {time.monotonic()} Say a word."))
        statuses.append(status)
        if status == 200:
            times.append(seconds)
        time.sleep(pause)
    return statuses, times or [float("inf")]


class Attack:
    """Processes of their own, so that measuring does not wait for them."""

    def __init__(self, *works):
        self.stop = multiprocessing.Event()
        self.processes = [multiprocessing.Process(target=self.run, args=work, daemon=True) for work in works]

    def run(self, work, *arguments):
        os.nice(5)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        work(self.stop, *arguments)

    def __enter__(self):
        for process in self.processes:
            process.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for process in self.processes:
            process.join(15)
            if process.is_alive():
                process.kill()


def send_prompts(stop, node, token, text):
    body = node.body(text, stream=False)
    while not stop.is_set():
        node.ask(token, body, timeout=60)


def send_asynchronous(node, token, count, filler=""):
    """How many were accepted."""
    accepted = 0
    for _ in range(count):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=60)
            connection.request("POST", "/v1/chat/completions", node.body(stream=False, tokens=512, filler=filler), {
                "Authorization": "Bearer " + token, "Content-Type": "application/json", "Prefer": "respond-async"})
            accepted += connection.getresponse().status == 202
            connection.close()
        except OSError:
            pass
    return accepted


def waiting(arguments):
    node = Node(arguments.hotpot, arguments.model)
    try:
        first_tokens(node, 3)
        statuses, alone = first_tokens(node, 15)
        before = node.memory()[0]
        accepted = [send_asynchronous(node, name, 128) for name in ("made-up-1", "made-up-2")]
        large = send_asynchronous(node, "made-up-3", 24, " " * (7 << 20))
        print(f"      accepted of strangers: {accepted} small, {large} of 24 with 7 MiB of white space")
        with Attack(*[(send_prompts, node, f"made-up-{number % 2 + 1}", "a" * 8_300_000)
                      for number in range(8)]):
            time.sleep(3)
            others, during = first_tokens(node, 15)
            after, most = node.memory()
        _, again = first_tokens(node, 15)
        alone = alone + again
        ratio = statistics.median(during) / statistics.median(alone)
        print(f"      first token: alone median {statistics.median(alone):.3f} s, most {max(alone):.3f} s; beside strangers "
              f"median {statistics.median(during):.3f} s, most {max(during):.3f} s")
        check(statuses == [200] * 15 and others == [200] * 15, f"waiting: answered {others.count(200)} of 15")
        check(ratio <= 1.5, f"waiting: the first token comes {ratio:.2f} times as late, wanted at most 1.5")
        check(most - before <= 640, f"waiting: memory {before:.0f} MiB before, at most {most:.0f} MiB, wanted 640 MiB more")
        check(node.spool() <= 65, f"waiting: {node.spool():.1f} MiB in the spool, wanted at most 64 and a little")
        control = send_asynchronous(node, node.token, 400)
        # Its own jobs run, so that some places come free again.
        refused = sum(first_tokens(node, 5, 0)[0].count(status) for status in (429,))
        late = statistics.median(first_tokens(node, 3)[1])
        check(refused > 0 or late > 1.5 * statistics.median(alone),
              f"waiting, control: after {control} jobs of its own the client is refused {refused} times of 5, or waits "
              f"{late:.1f} s")
    finally:
        node.end()


def open_crowd(stop, node, tokens, ready, tokens_out, counts):
    """One request on each connection, and whatever is answered is only counted."""
    crowd = selectors.DefaultSelector()
    for token in tokens:
        body = node.body(tokens=tokens_out)
        try:
            wire = socket.create_connection(("127.0.0.1", node.port), timeout=20)
            wire.sendall(node.head(token, len(body)) + body)
        except OSError:
            continue
        wire.setblocking(False)
        crowd.register(wire, selectors.EVENT_READ, [b""])
    ready.set()
    while not stop.is_set():
        for key, _ in crowd.select(0.2):
            try:
                part = key.fileobj.recv(65536)
            except OSError:
                part = b""
            if not key.data[0] and part:
                key.data[0] = part[9:12]
                with counts.get_lock():
                    if part[9:12] == b"429":
                        counts[0] += 1
                    elif part[9:12] == b"200":
                        counts[1] += 1
            if not part:
                crowd.unregister(key.fileobj)
                key.fileobj.close()


def submit_time(node):
    """Seconds until `hotpot submit` prints its first word, its own start included."""
    began = time.monotonic()
    process = subprocess.Popen(
        [node.hotpot, "submit", "--as-operator", "--state", node.state], env=node.env, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(node.body(f"{began} Say a word.", tokens=4))
    process.stdin.close()
    first = process.stdout.read(1)
    seconds = time.monotonic() - began
    process.stdout.read()
    process.wait()
    return seconds if first.strip() and process.returncode == 0 else float("inf")


def chat_time(node):
    """Seconds until the operator's chat, as the dashboard asks for it, has its first text."""
    wire = socket.socket(socket.AF_UNIX)
    wire.connect(node.state + "/control.sock")
    wire.settimeout(30)
    request = {"messages": [{"role": "user", "content": f"{time.monotonic()} Say a word."}], "temperature": 0,
               "max_tokens": 4}
    began = time.monotonic()
    for line in ({"hello": {"version": 2, "every": 0, "read_only": False}},
                 {"command": {"tag": 1, "command": {"chat": {"_0": request}}}}):
        wire.sendall(json.dumps(line).encode() + b"\n")
    got = b""
    try:
        while b'"text"' not in got:
            part = wire.recv(65536)
            if not part or b'"failed"' in got:
                return float("inf")
            got += part
    except OSError:
        return float("inf")
    finally:
        wire.close()
    return time.monotonic() - began


def crowd(arguments):
    for words, config in (("strangers are asked about", ""), ("strangers are admitted", "policy: [{ action: 'admit' }]")):
        node = Node(arguments.hotpot, arguments.model, config)
        try:
            first_tokens(node, 3)
            chat_time(node)
            ready, counts = multiprocessing.Event(), multiprocessing.Array("i", [0, 0])
            tokens = [f"made-up-{number}" for number in range(500)]
            with Attack((open_crowd, node, tokens, ready, 400, counts)):
                # While they come and when they are there.
                statuses, times = first_tokens(node, 5, 0.05)
                ready.wait(60)
                more = first_tokens(node, 5, 0.05)
                statuses, times = statuses + more[0], times + more[1]
                submits = [submit_time(node) for _ in range(3)]
                chats = [chat_time(node) for _ in range(3)]
                shown = node.snapshot()["node"]
            print(f"      {words}: waiting {shown['waiting_approval']}, queued {shown['queued']}, running {shown['running']}; "
                  f"refused {counts[0]}, answered or waiting on a stream {counts[1]}")
            print(f"      first token: client most {max(times):.3f} s, hotpot submit most {max(submits):.3f} s, "
                  f"chat most {max(chats):.3f} s")
            check(statuses == [200] * 10, f"crowd, {words}: a known client answered {statuses.count(200)} of 10")
            check(max(times) <= 1, f"crowd, {words}: a known client's first token within {max(times):.3f} s, wanted 1")
            check(max(submits) <= 1, f"crowd, {words}: hotpot submit within {max(submits):.3f} s, wanted 1")
            check(max(chats) <= 1, f"crowd, {words}: the operator's chat within {max(chats):.3f} s, wanted 1")
            if config:
                continue
            ready.clear()
            with Attack((open_crowd, node, [node.token] * 500, ready, 400, counts)):
                ready.wait(60)
                statuses, times = first_tokens(node, 3)
            check(statuses != [200] * 3 or max(times) > 1,
                  f"crowd, control: 500 requests of its own give it {statuses}, {max(times):.1f} s")
        finally:
            node.end()


def hold_bodies(stop, node, token, count, opened):
    """Connections that say that much is to come, and send a byte now and then; closed ones are opened again."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    wires, head = [], node.head(token, 100_000) + b"{"
    turn = 0
    while not stop.is_set():
        while len(wires) < count and not stop.is_set():
            try:
                wire = socket.socket()
                wire.settimeout(2)
                wire.connect(("127.0.0.1", node.port))
                wire.sendall(head)
                wire.setblocking(False)
            except OSError:
                wire.close()
                break
            wires.append(wire)
            with opened.get_lock():
                opened[0] = max(opened[0], len(wires))
                opened[1] += 1
        # A byte for some of them, and away with what was closed.
        kept = []
        for index, wire in enumerate(wires):
            if (index + turn) % 10 == 0:
                try:
                    wire.send(b" ")
                    if wire.recv(1, socket.MSG_PEEK) is not None:
                        wire.close()
                        continue
                except BlockingIOError:
                    pass
                except OSError:
                    wire.close()
                    continue
            kept.append(wire)
        wires = kept
        turn += 1
        time.sleep(0.1)
    for wire in wires:
        wire.close()


def bodies(arguments):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(arguments.connections, hard - 200)
    limit = min(4096, hard - 400)
    for words, mine in (("strangers", False), ("control", True)):
        node = Node(arguments.hotpot, arguments.model, "policy: [{ client: 'known', action: 'admit' }]")
        try:
            first_tokens(node, 2)
            opened = multiprocessing.Array("i", [0, 0])
            with Attack((hold_bodies, node, node.token if mine else "made-up", count, opened)):
                end = time.monotonic() + 30
                while opened[0] < min(count, limit) and opened[1] < 2 * count and time.monotonic() < end:
                    time.sleep(0.2)
                time.sleep(1)
                statuses, times = [], []
                for _ in range(20):
                    status, seconds = node.ask(node.token, node.body(tokens=1), timeout=10)
                    statuses.append(status)
                    times.append(seconds)
                    time.sleep(0.1)
            print(f"      {words}: {opened[0]} connections at once (wanted {arguments.connections}), {opened[1]} opened in all; "
                  f"answers {sorted(set(statuses))}, slowest {max(times):.2f} s")
            if mine:
                check(statuses.count(200) < 20, f"bodies, control: served {statuses.count(200)} of 20 beside its own bodies")
            else:
                check(statuses.count(200) == 20, f"bodies: a known client is served {statuses.count(200)} of 20")
        finally:
            node.end()


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("hotpot")
    parser.add_argument("--model", default=os.path.expanduser("~/.local/share/hotpot/models/smollm2.gguf"))
    parser.add_argument("--only", default="waiting,crowd,bodies")
    parser.add_argument("--connections", type=int, default=5_000)
    arguments = parser.parse_args()
    arguments.hotpot = os.path.abspath(arguments.hotpot)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for stage in arguments.only.split(","):
        {"waiting": waiting, "crowd": crowd, "bodies": bodies}[stage](arguments)
    print(f"{len(failures)} not as it should be" if failures else "all as it should be")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
