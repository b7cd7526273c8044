#!/usr/bin/env python3
"""load.py: what many, frozen and far-away dashboards cost a node. Prints figures and compares them with what is promised.

usage: load.py HOTPOT [--model FILE] [--only STAGE,...] [--port PORT] [--seconds S]

Stages: many (32 screens' worth of snapshots at 4 Hz: processor time of the node, under 5 % of a core; and 32 real
dashboards), frozen (8 dashboards that take nothing: token rate, under 2 % less), slow (a terminal and an ssh line of 2,400
bytes a second: help within a second, how old the figures get). Needs pyte; ssh stages need sshd. Start at main.
"""
import argparse, json, os, select, signal, socket, statistics, subprocess, sys, threading, time

import operators
from operators import Place, Terminal, check

# The upper edge of the palette.
HELP = "╭help "
TICK = os.sysconf("SC_CLK_TCK")


def processor_time(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


class Watcher:
    """A screen's side of the control socket: takes snapshots and says that it has seen them."""

    def __init__(self, state, every):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(state + "/control.sock")
        self.socket.sendall(
            (json.dumps({"hello": {"version": 2, "every": every, "readOnly": True}}) + "\n").encode())
        self.rest = b""
        self.snapshots = self.bytes = 0

    def fileno(self):
        return self.socket.fileno()

    def take(self):
        data = self.socket.recv(1 << 18)
        self.bytes += len(data)
        self.rest += data
        *lines, self.rest = self.rest.split(b"\n")
        for line in lines:
            if b'"snapshot"' in line[:40]:
                self.snapshots += 1
                self.socket.sendall(b'{"seen":{"sequence":1}}\n')


def watch(watchers, seconds):
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        for watcher in select.select(watchers, [], [], left)[0]:
            watcher.take()


def load_of_jobs(place, state, stop, tokens=200):
    """Keeps one job of the operator's own running."""
    body = json.dumps({"model": "smollm2", "max_tokens": tokens, "stream": True, "messages": [{"role": "user", "content": "Tell a long story."}]})
    while not stop.is_set():
        subprocess.run(
            [place.hotpot, "submit", "--json", "--state", state], input=body, text=True, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=place.env)


def many(place, args):
    state, process = place.serve("many", args.port + 1)
    # Rows as a busy node has them.
    body = json.dumps({"model": "smollm2", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]})
    for _ in range(60):
        place.run("submit", state=state, data=body)
    before = processor_time(process.pid)
    time.sleep(args.seconds)
    idle = (processor_time(process.pid) - before) / args.seconds
    watchers = [Watcher(state, 250) for _ in range(32)]
    watch(watchers, 3)
    counted = sum(w.snapshots for w in watchers)
    sent = sum(w.bytes for w in watchers)
    before = processor_time(process.pid)
    watch(watchers, args.seconds)
    busy = (processor_time(process.pid) - before) / args.seconds
    rate = (sum(w.snapshots for w in watchers) - counted) / args.seconds / 32
    size = (sum(w.bytes for w in watchers) - sent) / max(1, sum(w.snapshots for w in watchers) - counted)
    for watcher in watchers:
        watcher.socket.close()
    check(
        busy - idle < 0.05 and rate > 3.5,
        f"many: 32 screens at {rate:.1f} Hz, {size / 1024:.0f} KiB each, cost the node {100 * (busy - idle):.1f} % of a core (idle {100 * idle:.1f} %), goal 5 %")
    screens = [Terminal([place.hotpot, "attach", "--state", state], place.env, (80, 24)) for _ in range(32)]
    stop = threading.Event()

    def drain():
        while not stop.is_set():
            for ready in select.select([s.fd for s in screens], [], [], 0.2)[0]:
                try:
                    os.read(ready, 65536)
                except OSError:
                    pass

    thread = threading.Thread(target=drain)
    thread.start()
    time.sleep(8)
    children = [p for s in screens for p, name in operators.descendants(s.pid) if name == "hotpot"] + [s.pid for s in screens]
    before, own = processor_time(process.pid), sum(processor_time(p) for p in children)
    time.sleep(args.seconds)
    node = (processor_time(process.pid) - before) / args.seconds
    dashboards = (sum(processor_time(p) for p in children) - own) / args.seconds
    print(f"      many: 32 real dashboards (1 Hz): node {100 * (node - idle):.1f} % of a core, the dashboards themselves {100 * dashboards:.1f} %", flush=True)
    stop.set()
    thread.join()
    for screen in screens:
        screen.close()
    place.run("drain", "--stop", state=state)


def frozen(place, args):
    state, process = place.serve("frozen", args.port + 2)
    body = json.dumps({"model": "smollm2", "max_tokens": 300, "temperature": 0, "messages": [{"role": "user", "content": "Write a long story about a lighthouse."}]})

    def rate():
        began, before = time.monotonic(), processor_time(process.pid)
        answer = place.run("submit", "--json", state=state, data=body)
        took, used = time.monotonic() - began, processor_time(process.pid) - before
        tokens = json.loads(answer.stdout)["usage"]["completion_tokens"]
        return tokens / took, 1000 * used / tokens

    rate()
    without, with_them = [], []
    for _ in range(args.rounds):
        without.append(rate())
        screens = [Terminal([place.hotpot, "attach", "--state", state], place.env, (200, 50)) for _ in range(8)]
        for screen in screens:
            screen.wait("frozen", 20)
        # Four of them are stopped, four have a terminal that takes nothing any more.
        for screen in screens[:4]:
            for pid, _ in operators.descendants(screen.pid):
                os.kill(pid, signal.SIGSTOP)
        time.sleep(1)
        with_them.append(rate())
        with_them.append(rate())
        for screen in screens[:4]:
            for pid, _ in operators.descendants(screen.pid):
                os.kill(pid, signal.SIGCONT)
        for screen in screens:
            screen.close()
        without.append(rate())
    a, b = (statistics.median(r[0] for r in rates) for rates in (without, with_them))
    c, d = (statistics.median(r[1] for r in rates) for rates in (without, with_them))
    # On a machine that does other things too the processor time is the steadier figure.
    check(
        b > 0.98 * a or d < 1.02 * c,
        f"frozen: {a:.1f} tok/s alone, {b:.1f} beside 8 frozen dashboards: {100 * (1 - b / a):+.1f} %; processor time of a token {c:.2f} and {d:.2f} ms: {100 * (d / c - 1):+.1f} % ({args.rounds} alternating rounds), goal 2 %")
    place.run("drain", "--stop", state=state)


class Throttle:
    """Copies what a terminal shows at a limited rate: a pty behind a slow line."""

    def __init__(self, terminal, rate):
        self.terminal, self.rate = terminal, rate

    def pump_until(self, wanted, seconds):
        """Reads at the rate until the screen shows the text; how long it took, or None."""
        began = time.monotonic()
        credit, last = 0.0, began
        while time.monotonic() - began < seconds:
            now = time.monotonic()
            credit = min(256.0, credit + (now - last) * self.rate)
            last = now
            if credit >= 16 and select.select([self.terminal.fd], [], [], 0)[0]:
                data = os.read(self.terminal.fd, int(credit))
                credit -= len(data)
                self.terminal.raw += data
                self.terminal.stream.feed(data)
            else:
                time.sleep(0.004)
            if wanted and wanted in self.terminal.text():
                return time.monotonic() - began
        return None


PROXY = '''
import os, select, socket, sys, time
rate = float(sys.argv[2])
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
# Small buffers: what is under way is what a slow line would hold.
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
ways = {0: (0, s.fileno()), s.fileno(): (s.fileno(), 1)}
free = {0: 0.0, s.fileno(): 0.0}
while True:
    now = time.monotonic()
    ready = [f for f in ways if free[f] <= now]
    wait = min([max(0, t - now) for t in free.values()] + [1])
    for f in select.select(ready, [], [], 0.02 if len(ready) < 2 else 1)[0]:
        data = os.read(f, 240)
        if not data:
            sys.exit()
        os.write(ways[f][1], data)
        free[f] = time.monotonic() + len(data) / rate
'''


def slow(place, args):
    state, process = place.serve("slow", args.port + 3)
    stop = threading.Event()
    thread = threading.Thread(target=load_of_jobs, args=(place, state, stop))
    thread.start()
    try:
        # A terminal behind a slow line: the dashboard runs beside the node.
        screen = Terminal([place.hotpot, "attach", "--state", state], place.env, (80, 24))
        line = Throttle(screen, 2400)
        first = line.pump_until("slow", 30)
        line.pump_until(None, 10)
        times = []
        for _ in range(5):
            screen.type("?")
            times.append(line.pump_until(HELP, 10) or 99)
            line.pump_until(None, 1)
            screen.type("\x1b")
            line.pump_until(None, 3)
        check(max(times) < 1, f"slow: terminal at 2,400 B/s, one job running: first screen {first or 99:.1f} s, help within {max(times):.2f} s (5 times), goal 1 s")
        screen.close()
        # An ssh line of 2,400 bytes a second: the dashboard runs here.
        place.allow(state)
        with open(place.path("proxy.py"), "w") as file:
            file.write(PROXY)
        config = open(place.path("ssh_config")).read()
        with open(place.path("ssh_slow"), "w") as file:
            file.write(
                f"Host *\n  ProxyCommand {sys.executable} {place.path('proxy.py')} {place.port} 2400\n" + config)
        env = dict(place.env, HOTPOT_SSH=f"ssh -F {place.path('ssh_slow')}")
        began = time.monotonic()
        screen = Terminal([place.hotpot, "attach", "anna"], env, (100, 30))
        shown = screen.wait("serving", 90)
        first = time.monotonic() - began
        check(shown, f"slow: ssh at 2,400 B/s: the first figures are there after {first:.1f} s (its handshake included)")
        screen.pump(15)
        times = []
        for _ in range(5):
            began = time.monotonic()
            screen.type("?")
            check(screen.wait(HELP, 5), "slow: help opens")
            times.append(time.monotonic() - began)
            screen.type("\x1b")
            screen.pump(1)
        check(max(times) < 1, f"slow: ssh at 2,400 B/s: help within {max(times):.2f} s")
        # How long until an act of another shows here: the age of the figures.
        ages = []
        for word in ["paused", "serving", "paused", "serving"]:
            began = time.monotonic()
            place.run("pause" if word == "paused" else "resume", state=state)
            ages.append(time.monotonic() - began if screen.wait(word, 60) else 99)
            screen.pump(3)
        check(max(ages) < 10, f"slow: ssh at 2,400 B/s: another's act shows after {min(ages):.1f} to {max(ages):.1f} s")
        began = time.monotonic()
        screen.type("P")
        screen.pump(0.3)
        screen.type("y")
        acted = screen.wait("paused", 30)
        check(acted, f"slow: ssh at 2,400 B/s: P pauses the node, seen after {time.monotonic() - began:.1f} s")
        place.run("resume", state=state)
        screen.close()
    finally:
        stop.set()
        place.run("resume", state=state)
        place.run("drain", "--stop", state=state)
        thread.join(60)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("hotpot")
    parser.add_argument("--model", default=os.path.expanduser("~/.local/share/hotpot/models/smollm2.gguf"))
    parser.add_argument("--only", default="many,frozen,slow")
    parser.add_argument("--port", type=int, default=8370)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=4)
    args = parser.parse_args()
    place = Place(args.hotpot, args.model, args.port)
    try:
        place.allow("/nowhere")
        place.start_sshd()
        for stage in args.only.split(","):
            globals()[stage](place, args)
    finally:
        place.close()
    sys.exit(1 if operators.failures else 0)


if __name__ == "__main__":
    main()
