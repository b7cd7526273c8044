#!/usr/bin/env python3
"""Two nodes and a witness of another make cosign each other's logs, and all of them refuse a forked one.

usage: cosign.py [PROGRAM] [MODEL] [AICS_WITNESS]        default: .build/debug/hotpot smollm2, without a third party

AICS_WITNESS is the program of the package aics-witness (PyPI). Each node names the other under `witnesses` and `cosigns`. One
job each: within a minute both notes have every witness' line. Then the first node is put back to the state before its last
job and answers another one in its place, which is a fork of its log: within a minute its alarms name every witness. Exit status 1
on any fault.
"""
import http.client, json, os, shutil, socket, subprocess, sys, tempfile, time

program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ".build/debug/hotpot")
model = sys.argv[2] if len(sys.argv) > 2 else "smollm2"
aics = sys.argv[3] if len(sys.argv) > 3 else None
top = tempfile.mkdtemp()
faults, children = [], []


def free():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def run(*words, **more): return subprocess.run([*words], capture_output=True, text=True, **more)


def request(port, method, path, body=None, token=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + token} if token else {})}
    connection.request(method, path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


class Node:
    def __init__(self, name):
        self.name, self.port, self.state = name, free(), f"{top}/{name}"
        os.mkdir(self.state, 0o700)
        keys = json.loads(run(program, "witness", "key", "--json", "--state", self.state).stdout)
        self.log, self.witness = keys["log"], keys["witness"]

    def start(self, witnesses, cosigns):
        config = {"http": {"listen": f"127.0.0.1:{self.port}"}, "witnesses": witnesses, "cosigns": cosigns, "audits": {"share": 0}}
        open(self.state + ".config", "w").write(json.dumps(config))
        self.again()

    def again(self):
        self.process = subprocess.Popen([program, "serve", "--state", self.state, "--config", self.state + ".config", "--model", model],
                                        stderr=open(f"{top}/{self.name}.log", "a"))
        children.append(self.process)
        for _ in range(1200):
            try:
                if request(self.port, "GET", "/health")[0] == 200: return
            except OSError: pass
            time.sleep(0.1)
        sys.exit(f"{self.name} does not serve: " + open(f"{top}/{self.name}.log").read())

    def stop(self):
        self.process.terminate()
        self.process.wait(60)

    def client(self): self.token = run(program, "clients", "add", "asker", "--state", self.state).stdout.strip()

    def ask(self, text):
        name = os.path.basename(model).removesuffix(".gguf")
        status, body = request(self.port, "POST", "/v1/completions", {"model": name, "prompt": text, "max_tokens": 3}, self.token)
        if status != 200: sys.exit(f"{self.name}: {status} {body}")

    def note(self): return request(self.port, "GET", "/v1/checkpoint/note")[1]

    def alarms(self): return json.loads(run(program, "status", "--json", "--state", self.state).stdout)["node"]["alarms"]


def within_a_minute(what, test):
    start = time.time()
    while time.time() - start < 60:
        if test():
            print(f"{what}: after {time.time() - start:.1f} s")
            return
        time.sleep(0.2)
    faults.append(f"{what}: not within a minute")


def main():
    one, two = Node("one"), Node("two")
    third = []
    if aics:
        port, config = free(), top + "/aics.json"
        key = run(aics, "init", "--config", config, "--name", "third.test/w", "--listen", f"127.0.0.1:{port}").stdout.strip()
        for node in (one, two):
            added = run(aics, "add-log", "--config", config, "--origin", node.log.split("+")[0], "--vkey", node.log)
            if added.returncode: sys.exit(added.stderr)
        children.append(subprocess.Popen([aics, "serve", "--config", config], stderr=open(top + "/aics.log", "w")))
        third = [{"url": f"http://127.0.0.1:{port}", "key": key}]
    one.start([{"url": f"http://127.0.0.1:{two.port}", "key": two.witness}] + third, [two.log])
    two.start([{"url": f"http://127.0.0.1:{one.port}", "key": one.witness}] + third, [one.log])
    names = {one: [two.witness], two: [one.witness]}
    for node in (one, two):
        node.client()
        node.ask("hello")
    for node in (one, two):
        wanted = [key.split("+")[0] for key in names[node] + [w["key"] for w in third]]
        within_a_minute(f"{node.name} is cosigned by {len(wanted)}",
                        lambda: all(f"\u2014 {name} " in node.note() for name in wanted) and "\n1\n" in node.note())
    # The state before the second job, kept aside.
    one.stop()
    shutil.copytree(one.state, one.state + ".before", symlinks=True, ignore=lambda _, names: [n for n in names if n.endswith(".sock")])
    one.again()
    one.ask("the second")
    within_a_minute("the log of two is cosigned", lambda: "\n2\n" in one.note()
                    and all(f"\u2014 {key.split('+')[0]} " in one.note() for key in names[one] + [w["key"] for w in third]))
    if one.alarms(): faults.append(f"an honest node has alarms: {one.alarms()}")
    one.stop()
    shutil.rmtree(one.state)
    os.rename(one.state + ".before", one.state)
    one.again()
    wanted = 1 + len(third)
    within_a_minute(f"the shorter log is refused by {wanted}, and shown",
                    lambda: len([a for a in one.alarms() if "this log has 1" in a]) == wanted)
    one.ask("another second")
    within_a_minute(f"the forked log is refused by {wanted}, and shown",
                    lambda: len([a for a in one.alarms() if "refuses" in a and "this log has 1" not in a]) == wanted)
    for alarm in one.alarms(): print("  alarm:", alarm)
    if "\n2\n" in one.note() and len(one.note().split("\u2014")) > 2: faults.append("the forked log was cosigned")


try: main()
finally:
    for child in children:
        child.terminate()
        try: child.wait(30)
        except subprocess.TimeoutExpired: child.kill()
print(f"{len(faults)} faults")
for fault in faults: print("FAULT:", fault)
sys.exit(1 if faults else 0)
