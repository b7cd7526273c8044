#!/usr/bin/env python3
"""durability.py: nothing that a node acknowledged is lost or charged twice: kills, a full disk, a signer that hangs.

usage: durability.py HOTPOT [--model FILE] [--only STAGE,...] [--kills N] [--seed N]

Stages, each on a node and a state directory of its own, with its negative control:

kills    SIGKILL N times (300), also in the first moments of a start, under 8 streams, 100 asynchronous jobs a minute and
         jobs that an operator approves. Then: every job that was answered 202 has one receipt and its answer, no job has
         two ends, no approved job waited again, every finished answer was there after every start.
         Control: a request deleted by hand while the node is down is reported as lost, and so is a deleted answer.
disk     a tmpfs that is filled and freed (root; skipped otherwise): refused while it is full, admitted within 5 s after
         nothing but the room came back.
         Control: while it stays full nothing is admitted.
signer   an ssh-keygen that never ends: jobs are served, SIGTERM is obeyed within 10 s, a second one at once.
         Control: with the real one everything is signed.

Python 3 with nothing but its standard library. Traffic goes to 127.0.0.1 only. Ends with 1 on any fault. Start at main.
"""
import argparse, collections, hashlib, json, os, random, shutil, signal, socket, subprocess, sys, tempfile, threading, time
import urllib.error, urllib.request

failures = []


def check(ok, what):
    print(("ok    " if ok else "FAIL  ") + what, flush=True)
    if not ok:
        failures.append(what)
    return ok


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Node:
    """A served node that can be killed and started again on the same state."""

    def __init__(self, hotpot, model, folder, config, env=None):
        self.hotpot, self.model, self.folder = hotpot, model, folder
        self.state = os.path.join(folder, "node")
        self.config = os.path.join(folder, "config.json5")
        with open(self.config, "w") as file:
            file.write(config)
        self.port = free_port()
        self.env = dict(os.environ, **(env or {}))
        self.process = None
        self.log = os.path.join(folder, "log")

    def start(self, wait=True, env=None):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.hotpot, "serve", "--model", self.model, "--listen", f"127.0.0.1:{self.port}", "--state", self.state,
                 "--config", self.config], stderr=log, stdout=subprocess.DEVNULL, env=dict(self.env, **(env or {})))
        if wait:
            self.wait_ready()

    def wait_ready(self, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise SystemExit(f"the node ended with {self.process.returncode}: {self.said()[-600:]}")
            status, _ = self.get("/health", None)
            if status == 200:
                return
            time.sleep(0.02)
        raise SystemExit(f"the node was not ready within {seconds} s: {self.said()[-600:]}")

    def said(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds=60):
        """SIGTERM; the seconds it took, or None where it did not end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        return time.monotonic() - began

    def command(self, *words, timeout=30):
        return subprocess.run([self.hotpot, *words, "--state", self.state], capture_output=True, text=True, timeout=timeout,
                              env=self.env)

    def add(self, client):
        made = self.command("clients", "add", client)
        if made.returncode != 0:
            raise SystemExit(f"no client could be added: {made.stderr}")
        return made.stdout.strip()

    def ask(self, method, path, token, body=None, headers=None, timeout=60):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method,
                                         data=None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            try:
                return error.code, error.read()
            except OSError:
                return 0, b""
        except (OSError, ValueError, Exception) as error:
            return 0, str(error).encode()

    def get(self, path, token):
        status, body = self.ask("GET", path, token, timeout=10)
        try:
            return status, json.loads(body)
        except ValueError:
            return status, None

    def job(self, model, words, tokens, asynchronous=False, seed=1, token=None, timeout=60):
        headers = {"Prefer": "respond-async"} if asynchronous else {}
        return self.ask("POST", "/v1/chat/completions", token,
                        {"model": model, "max_tokens": tokens, "seed": seed,
                         "messages": [{"role": "user", "content": words}]}, headers, timeout)


def journal(state):
    """Every record of the journal, in order."""
    folder = os.path.join(state, "journal")
    for name in sorted(os.listdir(folder)):
        if name.endswith(".jsonl"):
            with open(os.path.join(folder, name), "rb") as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        return
                    yield json.loads(line)


def replay(state):
    """What the journal says of each job: the kinds of its records, in order, and its receipts' amounts."""
    kinds, amounts = collections.defaultdict(list), collections.defaultdict(list)
    for record in journal(state):
        kind = record["type"]
        if kind in ("job_accepted", "job_ended", "receipt"):
            kinds[record["job"]].append(kind if kind != "job_ended" else record["outcome"])
        if kind == "receipt":
            amounts[record["job"]].append(int(record["amount"]))
    return kinds, amounts


def judge(node, tokens, acknowledged, streamed=()):
    """Compares what was acknowledged with the journal and with what can be fetched. Returns faults in words."""
    kinds, amounts = replay(node.state)
    faults = []
    for job, client in acknowledged.items():
        of = kinds.get(job, [])
        if of.count("receipt") == 0:
            faults.append(f"lost: job {job} was answered 202 and has no receipt, only {of}")
        status, answer = node.get(f"/v1/jobs/{job}", tokens[client])
        if status != 200 or not answer or "choices" not in answer:
            faults.append(f"answer lost: job {job} gives {status} {json.dumps(answer)[:160]}")
        elif not answer.get("hotpot", {}).get("receipt"):
            faults.append(f"no receipt in the answer of job {job}")
    for job, of in kinds.items():
        ends = [kind for kind in of if kind != "job_accepted"]
        if len(amounts[job]) > 1:
            faults.append(f"charged twice: job {job}: {amounts[job]}")
        if len(ends) > 1:
            faults.append(f"two ends: job {job}: {of}")
        if of[0] != "job_accepted":
            faults.append(f"out of order: job {job}: {of}")
    for job in streamed:
        if kinds.get(job, []).count("receipt") != 1:
            faults.append(f"a streamed answer ended with a receipt that is not there: job {job}: {kinds.get(job)}")
    return faults


CONFIG = """{
  queue: { running: 16, jobs: 4000 },
  policy: [ { client: "bob", action: "ask" }, { client: "known", action: "admit" } ],
  prices: [ { prompt: "10", completion: "100" } ],
  answers: { per_client: 100000, client_bytes: 1073741824 },
  limits: { disk_free: 0 },
  audits: { share: 0 },
}"""


class Load:
    """8 streams, asynchronous jobs, and an operator who approves; survives a node that is down."""

    def __init__(self, node, model, tokens, per_minute=150):
        self.node, self.model, self.tokens = node, model, tokens
        self.acknowledged, self.approved, self.streamed = {}, {}, set()
        self.answered = set()
        self.lock = threading.Lock()
        self.is_over = threading.Event()
        self.is_paused = threading.Event()
        self.number = 0
        self.refused = collections.Counter()
        jobs = [threading.Thread(target=self.stream, args=(n,), daemon=True) for n in range(8)]
        jobs += [threading.Thread(target=self.submit, args=(60 / per_minute,), daemon=True),
                 threading.Thread(target=self.ask_and_approve, daemon=True)]
        self.threads = jobs

    def start(self):
        for thread in self.threads:
            thread.start()

    def end(self):
        self.is_over.set()
        for thread in self.threads:
            thread.join(90)

    def next(self):
        with self.lock:
            self.number += 1
            return self.number

    def stream(self, n):
        while not self.is_over.is_set():
            body = {"model": self.model, "stream": True, "max_tokens": 24, "seed": self.next(),
                    "messages": [{"role": "user", "content": f"Tell me about the number {n}."}]}
            request = urllib.request.Request(f"http://127.0.0.1:{self.node.port}/v1/chat/completions",
                                             data=json.dumps(body).encode(), method="POST")
            request.add_header("Content-Type", "application/json")
            request.add_header("Authorization", f"Bearer {self.tokens['aria']}")
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    for line in answer:
                        if line.startswith(b"data: {") and b'"hotpot"' in line:
                            own = json.loads(line[6:]).get("hotpot", {})
                            if own.get("receipt"):
                                with self.lock:
                                    self.streamed.add(own["job"])
            except Exception:  # the node is down: that is the test
                time.sleep(0.1)

    def take(self, client, tokens):
        status, body = self.node.job(self.model, f"Say the number {self.next()}.", tokens, True, self.number,
                                     self.tokens[client], timeout=10)
        if status != 202:
            self.refused[status] += 1
            return None
        job = json.loads(body)["id"]
        with self.lock:
            self.acknowledged[job] = client
        return job

    def submit(self, pause):
        while not self.is_over.is_set():
            taken = self.take("aria", random.choice([1, 4, 12, 40]))
            # A node that is down or loads its model has taken none: the load is what it does take.
            self.is_over.wait(pause * random.uniform(0.2, 1.8) if taken else 0.1)

    def ask_and_approve(self):
        waiting = []
        while not self.is_over.is_set():
            job = self.take("bob", 60)
            if job:
                waiting.append(job)
            # Some wait over a start before they are approved.
            for job in [job for job in waiting if random.random() < 0.6]:
                try:
                    done = self.node.command("approve", job, timeout=20)
                except subprocess.TimeoutExpired:
                    continue
                if done.returncode == 0:
                    with self.lock:
                        self.approved[job] = time.monotonic()
                    waiting.remove(job)
                elif "pending" in done.stderr and "not" in done.stderr:
                    # Approved by a command that was killed before it could say so.
                    waiting.remove(job)
            self.is_over.wait(1.5)
        for _ in range(200):
            if not waiting:
                return
            for job in list(waiting):
                done = self.node.command("approve", job, timeout=20)
                if done.returncode == 0 or "not pending" in done.stderr:
                    waiting.remove(job)
                    with self.lock:
                        self.approved[job] = time.monotonic()
            time.sleep(0.1)


def after_start(node, load):
    """What must hold as soon as the node is back. Returns faults in words."""
    faults = []
    with load.lock:
        approved, answered, owner = dict(load.approved), set(load.answered), dict(load.acknowledged)
    for job in random.sample(sorted(approved), min(30, len(approved))):
        status, answer = node.get(f"/v1/jobs/{job}", load.tokens["bob"])
        if status == 202 and answer and answer.get("status") == "pending":
            faults.append(f"approved job {job} waits for approval again")
    for job in random.sample(sorted(answered), min(30, len(answered))):
        status, answer = node.get(f"/v1/jobs/{job}", load.tokens[owner[job]])
        if status != 200:
            faults.append(f"finished answer of job {job} gives {status} after a start: {json.dumps(answer)[:160]}")
    return faults


def finished(node, load):
    """Jobs whose receipt is in the journal by now: their answers must be there from now on."""
    kinds, _ = replay(node.state)
    with load.lock:
        load.answered |= {job for job in load.acknowledged if "receipt" in kinds.get(job, [])}


def kills(options, folder):
    node = Node(options.hotpot, options.model, folder, CONFIG)
    node.start()
    tokens = {name: node.add(name) for name in ("aria", "bob")}
    load = Load(node, options.name, tokens)
    load.start()
    began = time.monotonic()
    faults, starts = [], []
    for number in range(options.kills):
        # A third of the kills meets a node that has only just begun.
        time.sleep(random.uniform(0, 0.25) if random.random() < 0.33 else random.uniform(0.5, 3))
        node.kill()
        finished(node, load)
        since = time.monotonic()
        node.start()
        starts.append(time.monotonic() - since)
        faults += after_start(node, load)
        if (number + 1) % 20 == 0:
            print(f"      {number + 1} kills, {len(load.acknowledged)} jobs acknowledged, {len(faults)} faults", flush=True)
    minutes = (time.monotonic() - began) / 60
    load.end()
    end = time.monotonic() + 240
    while time.monotonic() < end:
        kinds, _ = replay(node.state)
        if all("receipt" in kinds.get(job, []) for job in load.acknowledged):
            break
        time.sleep(0.5)
    orderly = node.stop(60)
    node.start()
    faults += judge(node, tokens, load.acknowledged, load.streamed)
    kinds, amounts = replay(node.state)
    print(f"      {options.kills} kills in {time.monotonic() - began:.0f} s, starts {max(starts):.2f} s at most; "
          f"{len(load.acknowledged)} jobs answered 202 ({sum(1 for c in load.acknowledged.values() if c == 'bob')} to be approved, "
          f"{len(load.approved)} approvals), {len(load.streamed)} streams with a receipt, "
          f"{sum(len(a) for a in amounts.values())} receipts; refused {dict(load.refused)}")
    for fault in faults[:20]:
        print("      " + fault)
    for word in ("lost: ", "answer lost", "charged twice", "two ends", "out of order", "waits for approval", "finished answer",
                 "streamed answer", "no receipt"):
        print(f"      {sum(word in fault for fault in faults)} x {word.strip(': ')}")
    check(not faults, f"kills: {len(load.acknowledged)} acknowledged jobs, {len(faults)} faults")
    rate = len(load.acknowledged) / minutes
    check(rate >= 100 and load.approved, f"kills: {rate:.0f} jobs a minute were acknowledged meanwhile, wanted 100")
    check(orderly is not None and orderly < 10, "kills: SIGTERM afterwards is obeyed")
    checked = node.command("receipts", "check", timeout=120)
    left = os.listdir(os.path.join(node.state, "spool"))
    check(not left, f"kills: no request stays on the disk ({len(left)})")
    node.stop()
    checked = node.command("receipts", "check", timeout=120)
    check(checked.returncode == 0, f"kills: the journal is whole ({(checked.stdout + checked.stderr).strip()[:120]})")


def kills_control(options, folder):
    node = Node(options.hotpot, options.model, folder, CONFIG)
    node.start()
    tokens = {"aria": node.add("aria")}
    acknowledged = {}
    for number in range(6):
        status, body = node.job(options.name, f"Count from {number}.", 200, True, number, tokens["aria"])
        acknowledged[json.loads(body)["id"]] = "aria"
    node.kill()
    spooled = sorted(os.listdir(os.path.join(node.state, "spool")))
    check(set(spooled) <= set(acknowledged) and spooled, f"control: {len(spooled)} requests lie in the spool")
    lost = spooled[0]
    os.unlink(os.path.join(node.state, "spool", lost))
    node.start()
    end = time.monotonic() + 120
    while time.monotonic() < end:
        kinds, _ = replay(node.state)
        if all(len(kinds.get(job, [])) > 1 for job in acknowledged):
            break
        time.sleep(0.2)
    faults = judge(node, tokens, acknowledged)
    check(any(lost in fault and fault.startswith("lost") for fault in faults) and all(lost in fault for fault in faults),
          f"control: a request deleted by hand is reported, and no other ({len(faults)} faults)")
    status, answer = node.get(f"/v1/jobs/{lost}", tokens["aria"])
    check(status == 503 and answer["error"]["code"] == "interrupted", f"control: its client is told ({status})")
    node.kill()
    gone = next(job for job in sorted(acknowledged) if job != lost)
    os.unlink(os.path.join(node.state, "answers", gone))
    node.start()
    faults = judge(node, tokens, acknowledged)
    check(any(fault.startswith("answer lost") and gone in fault for fault in faults),
          "control: an answer deleted by hand is reported")
    node.kill()


def disk(options, folder):
    if os.geteuid() != 0:
        print("skip  disk: a tmpfs needs root")
        return
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=320m", "tmpfs", folder]).returncode != 0:
        print("skip  disk: no tmpfs can be mounted here")
        return
    node = None
    try:
        node = Node(options.hotpot, options.model, folder, "{ limits: { disk_free: 0 } }")
        node.start()
        token = node.add("aria")
        ask = lambda: node.job(options.name, "Hello", 2, token=token)
        check(ask()[0] == 200, "disk: admitted with room")
        room = os.statvfs(folder)
        filler = os.path.join(folder, "filler")
        with open(filler, "wb") as file:
            left = room.f_bavail * room.f_frsize - (40 << 20)
            while left > 0:
                file.write(bytes(min(left, 1 << 20)))
                left -= 1 << 20
        began = time.monotonic()
        while ask()[0] == 200 and time.monotonic() - began < 10:
            time.sleep(0.1)
        refused = time.monotonic() - began
        check(refused < 5, f"disk: refused {refused:.1f} s after 40 MiB were left")
        status, health = node.get("/health", None)
        check(status == 503 and health["admitting"] is False, f"disk: /health says so ({status} {health})")
        shown = node.command("status")
        check("disk" in shown.stdout, "disk: 'hotpot status' says so")
        until = time.monotonic() + 6
        seen = set()
        while time.monotonic() < until:
            seen.add(ask()[0])
            time.sleep(0.5)
        check(seen == {503}, f"disk: control: while it is full, every answer is 503 ({seen})")
        os.unlink(filler)
        began = time.monotonic()
        # Nothing is asked meanwhile but the state: no job and no act wakes the node.
        while node.get("/health", None)[0] != 200 and time.monotonic() - began < 20:
            time.sleep(0.05)
        freed = time.monotonic() - began
        check(freed < 5 and ask()[0] == 200, f"disk: admits again {freed:.1f} s after the room came back")
        node.stop()
    finally:
        if node and node.process and node.process.poll() is None:
            node.kill()
        subprocess.run(["umount", folder])


def signer(options, folder):
    programs = os.path.join(folder, "programs")
    os.mkdir(programs)
    fake = os.path.join(programs, "ssh-keygen")
    with open(fake, "w") as file:
        file.write("#!/bin/sh\nexec sleep 600\n")
    os.chmod(fake, 0o755)
    hung = {"PATH": programs + ":" + os.environ.get("PATH", "/usr/bin:/bin")}
    node = Node(options.hotpot, options.model, folder, "{}")
    node.start()
    token = node.add("aria")

    def run(count):
        times = []
        for number in range(count):
            began = time.monotonic()
            status, body = node.job(options.name, f"Hello {number}", 4, seed=number, token=token)
            if status != 200 or not json.loads(body)["hotpot"].get("receipt"):
                check(False, f"signer: a job gave {status}")
            times.append(time.monotonic() - began)
        return max(times)

    run(5)
    took = node.stop()
    with open(os.path.join(node.state, "checkpoint")) as file:
        signed = int(file.read().split("\n")[1])
    check(signed == 5 and took is not None and took < 5, f"signer: control: the real one signed {signed} of 5, stop in {took:.1f} s")
    for round in range(2):
        node.start(env=hung)
        worst = run(5)
        time.sleep(3)
        worst = max(worst, run(5))
        check(worst < 5, f"signer: hung: jobs are served, {1000 * worst:.0f} ms at most")
        check("did not answer within" in node.said(), "signer: hung: the log says so")
        if round == 0:
            took = node.stop(30)
            check(took is not None and took < 10, f"signer: hung: SIGTERM is obeyed ({took} s)")
        else:
            node.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            took = node.stop(30)
            check(took is not None and took < 2, f"signer: hung: a second SIGTERM is obeyed at once ({took} s)")
        if took is None:
            node.kill()
    node.start()
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with open(os.path.join(node.state, "checkpoint")) as file:
            signed = int(file.read().split("\n")[1])
        if signed == 25:
            break
        time.sleep(0.1)
    check(signed == 25, f"signer: with the real one again all are signed ({signed} of 25)")
    node.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("hotpot")
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    parser.add_argument("--model", default=data + "/hotpot/models/smollm2.gguf")
    parser.add_argument("--only", default="kills,controls,disk,signer")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    options.hotpot = os.path.abspath(options.hotpot)
    options.name = os.path.splitext(os.path.basename(options.model))[0]
    if not os.path.exists(options.model):
        print(f"skip  there is no model at {options.model}: 'hotpot models pull smollm2' brings one")
        return 0
    print(f"seed {options.seed}")
    random.seed(options.seed)
    stages = {"kills": kills, "controls": kills_control, "disk": disk, "signer": signer}
    for name in options.only.split(","):
        if name not in stages:
            parser.error(f"'{name}' is no stage, wanted some of {', '.join(stages)}")
        folder = tempfile.mkdtemp(prefix="hotpot-durability-")
        try:
            stages[name](options, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{len(failures)} faults")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
