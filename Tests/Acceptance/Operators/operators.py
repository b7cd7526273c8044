#!/usr/bin/env python3
"""operators.py: hotpot as its operators use it: terminals, ssh, keys, kills. Over a real sshd of its own on 127.0.0.1.

usage: operators.py HOTPOT [--model FILE] [--only STAGE,...] [--kills N] [--port PORT]

Stages, each printing what was seen: session (start, leave, log out, log in, attach, approve, leave; two operators and a
viewer at once), terminals (kinds and sizes of terminals: a job is approved by keys through ssh), keys (a viewer's keys act on
nothing), roles (commands by role through forced commands), client (a forced-command client submits and can do nothing else),
users (uids on a socket for others), kills (of screen, guard, node, ssh and sshd: the terminal is sane afterwards), fleet (three
nodes, one killed while watched).

Needs OpenSSH's sshd and the Python package pyte; root for the stage `users`. Nothing of the user's own ssh is read or
written. Ends with 1 if anything was not as it should be. Start at main.
"""
import argparse, fcntl, json, os, pty, re, select, shutil, signal, socket, struct, subprocess, sys, tempfile, termios, time
import urllib.request, threading

import pyte

failures = []


def check(ok, what):
    print(("ok    " if ok else "FAIL  ") + what, flush=True)
    if not ok:
        failures.append(what)
    return ok


class Terminal:
    """A program on a pty of its own, and the screen that it draws."""

    def __init__(self, argv, env, size=(100, 30)):
        self.columns, self.rows = size
        self.screen = pyte.Screen(*size)
        self.stream = pyte.ByteStream(self.screen)
        self.raw = bytearray()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))

    def pump(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                return True
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            if not data:
                return False
            self.raw += data
            # pyte knows no private-parameter sequences with '>' and friends: they are not text.
            self.stream.feed(re.sub(rb"\x1b\[[<>=?]?[0-9;]*[tu]", b"", data))
        return True

    def text(self):
        return "\n".join(self.screen.display)

    def wait(self, wanted, seconds=20):
        """Until the screen shows the text (or matches the pattern)."""
        end = time.monotonic() + seconds
        pattern = wanted if hasattr(wanted, "search") else re.compile(re.escape(wanted))
        while True:
            if pattern.search(self.text()):
                return True
            if time.monotonic() > end:
                return False
            self.pump(0.05)

    def wait_raw(self, wanted, start, seconds=20):
        end = time.monotonic() + seconds
        if not hasattr(wanted, "search"):
            wanted = re.compile(re.escape(wanted))
        while not wanted.search(self.raw, start):
            if time.monotonic() > end:
                return False
            self.pump(0.05)
        return True

    def type(self, keys):
        os.write(self.fd, keys.encode() if isinstance(keys, str) else keys)

    def close(self):
        try:
            os.kill(self.pid, signal.SIGHUP)
        except ProcessLookupError:
            pass
        os.close(self.fd)
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass


class Place:
    """A directory with an sshd, keys, an ssh configuration and nodes, all of which goes at the end."""

    def __init__(self, hotpot, model, port):
        self.model, self.port = model, port
        self.root = tempfile.mkdtemp(prefix="hotpot-operators-", dir="/tmp")
        os.chmod(self.root, 0o755)
        # A copy by its usual name: what is built next to it meanwhile changes nothing, and other users can run it.
        os.makedirs(self.root + "/bin")
        self.hotpot = shutil.copy(hotpot, self.root + "/bin/hotpot")
        self.children = []
        self.lines = []
        for name in ["host", "owner", "anna", "ben", "tom", "bob", "stranger"]:
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", f"{self.root}/{name}"], check=True)
        os.makedirs(f"{self.root}/home", exist_ok=True)
        self.write_sshd()

    def path(self, name):
        return f"{self.root}/{name}"

    def public(self, name):
        return open(self.path(name) + ".pub").read().strip()

    def fingerprint(self, name):
        return subprocess.run(
            ["ssh-keygen", "-l", "-f", self.path(name) + ".pub"], check=True, capture_output=True, text=True
        ).stdout.split()[1]

    def write_sshd(self):
        with open(self.path("sshd_config"), "w") as file:
            file.write(
                f"ListenAddress 127.0.0.1:{self.port}\nHostKey {self.path('host')}\nPidFile {self.path('sshd.pid')}\n"
                f"AuthorizedKeysFile {self.path('authorized_keys')}\nStrictModes no\nUsePAM no\n"
                "PasswordAuthentication no\nKbdInteractiveAuthentication no\nExposeAuthInfo yes\nAllowTcpForwarding yes\n"
                "AllowAgentForwarding yes\nX11Forwarding yes\nPermitTTY yes\nSubsystem sftp internal-sftp\n"
                "MaxStartups 200\nMaxSessions 100\nLogLevel ERROR\n")
        os.makedirs("/run/sshd", exist_ok=True)
        with open(self.path("ssh_config"), "w") as file:
            names = {name: name for name in ["owner", "anna", "ben", "tom", "bob", "stranger"]}
            names.update({name: "owner" for name in ["attic", "pantry", "porch", "nowhere"]})
            for name, key in names.items():
                file.write(
                    f"Host {name}\n  HostName 127.0.0.1\n  Port {self.port}\n  IdentityFile {self.path(key)}\n"
                    f"  User {os.environ.get('USER') or subprocess.getoutput('id -un')}\n")
            file.write(
                f"Host *\n  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile {self.path('known_hosts')}\n"
                "  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking accept-new\n  LogLevel ERROR\n")

    def allow(self, state, others=()):
        """Who may come in: the owner with a shell, all others through forced commands for the node on `state`."""
        h = self.hotpot
        self.lines = [
            self.public("owner"),
            f'restrict,command="{h} link --state {state} --role operator --as anna" {self.public("anna")}',
            f'restrict,command="{h} link --state {state} --role operator --as ben" {self.public("ben")}',
            f'restrict,command="{h} link --state {state} --role viewer --as tom" {self.public("tom")}',
            f'restrict,command="{h} submit --state {state} --client bob" {self.public("bob")}',
            *others,
        ]
        with open(self.path("authorized_keys"), "w") as file:
            file.write("\n".join(self.lines) + "\n")

    def start_sshd(self):
        self.sshd = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-e", "-f", self.path("sshd_config")], stderr=open(self.path("sshd.log"), "w"))
        self.children.append(self.sshd)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        sys.exit("sshd does not listen: " + open(self.path("sshd.log")).read())

    @property
    def env(self):
        return {
            "PATH": os.path.dirname(self.hotpot) + ":" + os.environ["PATH"], "HOME": self.path("home"),
            "TERM": "xterm-256color", "LANG": "C.UTF-8", "HOTPOT_SSH": f"ssh -F {self.path('ssh_config')}",
            "XDG_STATE_HOME": self.path("home") + "/state", "XDG_DATA_HOME": self.path("home") + "/data",
            "XDG_CONFIG_HOME": self.path("home") + "/config", "PS1": "$ ", "HOTPOT_MODEL": self.model,
            "ENV": "", "SHELL": "/bin/sh",
        }

    def ssh(self, who, *words, data="", timeout=60, options=()):
        return subprocess.run(
            ["ssh", "-F", self.path("ssh_config"), *options, who, *words], input=data, text=True,
            capture_output=True, timeout=timeout, env=self.env)

    def run(self, *words, state=None, data="", timeout=60, user=None):
        command = [self.hotpot, *words]
        if state:
            command += ["--state", state]
        if user:
            command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *command]
        return subprocess.run(command, input=data, text=True, capture_output=True, timeout=timeout, env=self.env)

    def serve(self, name, port, config="{}"):
        state = self.path(name)
        with open(state + ".json5", "w") as file:
            file.write(config)
        process = subprocess.Popen(
            [self.hotpot, "serve", "--state", state, "--listen", f"127.0.0.1:{port}", "--model", self.model,
             "--name", name, "--config", state + ".json5"],
            stderr=open(state + ".err", "a"), env=self.env)
        self.children.append(process)
        for _ in range(600):
            status = self.run("status", "--json", state=state)
            if status.returncode == 0 and json.loads(status.stdout)["node"]["state"] == "serving":
                return state, process
            if process.poll() is not None:
                break
            time.sleep(0.05)
        sys.exit(f"{name} does not serve: " + open(state + ".err").read())

    def snapshot(self, state):
        result = self.run("status", "--json", state=state)
        if result.returncode != 0:
            log = subprocess.getoutput(f"tail -5 {state}/log {state}.err 2>&1")
            sys.exit(f"no status of {state}: {result.stderr} {log}")
        return json.loads(result.stdout)

    def close(self):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
        shutil.rmtree(self.root, ignore_errors=True)


def ask(port, token="a-strangers-own-token", tokens=8):
    """A job of somebody whom the node does not know: it waits for approval. Runs beside; its result is in the list."""
    result = []

    def run():
        body = json.dumps({"model": "smollm2", "max_tokens": tokens, "messages": [{"role": "user", "content": "Hello"}]})
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/chat/completions", data=body.encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                result.append((answer.status, answer.read().decode()))
        except urllib.error.HTTPError as error:
            result.append((error.code, error.read().decode()))
        except OSError as error:
            result.append((0, str(error)))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, result


def pending(place, state, count, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        rows = place.snapshot(state)["approvals"]
        if len(rows) >= count:
            return rows
        time.sleep(0.1)
    return place.snapshot(state)["approvals"]


def acts(place, state, who=None):
    return [l for l in place.snapshot(state)["log"] if l["level"] == "act" and (who is None or l.get("who") == who)]


def login(place, env={}, size=(100, 30)):
    """A shell on the other side of ssh, on a terminal."""
    terminal = Terminal(
        ["ssh", "-tt", "-F", place.path("ssh_config"), "owner",
         "env -i " + " ".join(f"'{k}={v}'" for k, v in {**place.env, **env}.items()) + " sh -i"], place.env, size)
    terminal.wait("$ ", 20)
    return terminal


def session(place, args):
    state, http = place.path("kitchen"), args.port + 1
    place.allow(state)
    shell = login(place)
    shell.type("stty -g; echo before\n")
    shell.wait("\nbefore", 10)
    before = re.search(rb"\r\n([0-9a-f:]{40,})", shell.raw)
    shell.type(f"hotpot --state {state} --listen 127.0.0.1:{http} --name kitchen\n")
    check(shell.wait(re.compile("kitchen.*(serving|idle)"), 40), "session: plain hotpot over ssh shows its dashboard")
    shell.type("q")
    check(shell.wait("kitchen serves on", 15), "session: q gives the shell back and says that the node serves on")
    mark = len(shell.raw)
    shell.type("stty -g; echo after\n")
    shell.wait_raw(b"\nafter", mark, 10)
    after = re.search(rb"\r\n([0-9a-f:]{40,})", shell.raw[mark:])
    check(before and after and before.group(1) == after.group(1), "session: the terminal's modes are as before")
    shell.type("exit\n")
    shell.pump(2)
    shell.close()
    thread, result = ask(http)
    check(len(pending(place, state, 1)) == 1, "session: logged out, the node serves on and a job waits")

    shell = login(place)
    shell.type(f"hotpot attach --state {state}\n")
    check(shell.wait("1 waiting", 20), "session: logged in again, attach shows the waiting job")
    shell.type("2")
    shell.pump(0.6)
    shell.type("a")
    thread.join(60)
    check(result and result[0][0] == 200, f"session: a approves it, its client has an answer ({result[0][0] if result else 'none'})")
    mark = len(shell.raw)
    shell.type("q")
    check(shell.wait_raw(re.compile(rb"\x1b\[\?1049l[^\x1b]*\$ "), mark, 15), "session: q leaves again")
    shell.type("exit\n")
    shell.pump(1)
    shell.close()
    named = acts(place, state)
    check(any("approved" in l["text"] for l in named), "session: the act is in the log: " + str([(l.get("who"), l["text"]) for l in named][:2]))

    # Two operators and a viewer at once, each through a forced command.
    anna, ben, tom = (Terminal([place.hotpot, "attach", who], place.env) for who in ["anna", "ben", "tom"])
    for name, screen in [("anna", anna), ("ben", ben), ("tom", tom)]:
        check(screen.wait("kitchen", 20), f"session: {name} sees the node through ssh")
    check(tom.wait("read-only", 5), "session: the viewer's screen says read-only")
    jobs = [ask(http, f"stranger-number-{n}") for n in range(2)]
    rows = pending(place, state, 2)
    check(len(rows) == 2, "session: two jobs wait")
    for screen, key in [(anna, "a"), (ben, "x")]:
        screen.wait("2 waiting" if key == "a" else "1 waiting", 10)
        screen.type("2")
        screen.pump(0.8)
        screen.type(key)
        if key == "x":
            screen.pump(0.3)
            screen.type("not today\r")
        screen.pump(1.0)
    for thread, _ in jobs:
        thread.join(60)
    codes = sorted(r[0][0] for _, r in jobs if r)
    check(codes == [200, 403], f"session: one was approved and one rejected ({codes})")
    check(any("approved" in l["text"] for l in acts(place, state, "anna")), "session: the log says that anna approved")
    check(any("not today" in l["text"] for l in acts(place, state, "ben")), "session: the log says that ben rejected, and why")
    check(not acts(place, state, "tom"), "session: tom has no act in the log")
    for screen in (anna, ben, tom):
        screen.type("q")
        screen.pump(0.5)
        screen.close()

    # Away: a job is done meanwhile, and coming back says so.
    time.sleep(21)
    token = place.run("clients", "add", "meanwhile", state=state).stdout.strip()
    thread, result = ask(http, token)
    thread.join(60)
    anna = Terminal([place.hotpot, "attach", "anna"], place.env)
    seen = anna.wait(re.compile(r"away \d+m: 1 job done"), 15)
    check(seen, "session: coming back says what happened: " + (re.search(r"away .*", anna.text()) or [""])[0].strip()[:90])
    anna.type("q")
    anna.pump(0.5)
    anna.close()
    place.run("drain", "--stop", state=state)


def terminals(place, args):
    http = args.port + 5
    state, _ = place.serve("larder", http)
    place.allow(state)
    for env in [{"TERM": "vt100"}, {"TERM": "xterm-kitty"}, {"LANG": "C", "LC_ALL": "C"}, {"NO_COLOR": "1"}, {}]:
        for size in [(80, 24), (200, 50)]:
            name = f"terminals: {' '.join(f'{k}={v}' for k, v in env.items()) or 'xterm-256color'}, {size[0]}x{size[1]}"
            shell = login(place, env, size)
            shell.type(f"hotpot attach --state {state}\n")
            shell.wait("larder", 20)
            thread, result = ask(http, tokens=60)
            seen = shell.wait("1 waiting", 20)
            start = len(shell.raw)
            shell.type("2")
            shell.pump(0.6)
            shell.type("a")
            shell.pump(0.6)
            shell.type("1")
            shell.pump(0.5)
            shell.type("\r")
            detail = shell.wait(re.compile("timeline|admitted|approved"), 5)
            thread.join(60)
            raw = bytes(shell.raw[start:])
            looks = {n for look in re.findall(rb"\x1b\[([0-9;]*)m", raw) for n in look.split(b";")}
            coloured = any(n.isdigit() and (31 <= int(n) <= 38 or 90 <= int(n) <= 97) for n in looks)
            plain = "NO_COLOR" in env or env.get("TERM") == "vt100"
            check(seen and detail and result and result[0][0] == 200,
                  f"{name}: the job waits, a approves it, Enter shows it, its client has an answer")
            check(coloured != plain, f"{name}: {'no colours' if plain else 'colours'}")
            if env.get("LANG") == "C":
                check(not any(b > 127 for b in raw), f"{name}: nothing but ASCII")
            shell.type("\x1b")
            shell.pump(0.5)
            shell.type("q")
            check(shell.wait(re.compile(r"\$ $"), 10) or b"$ " in shell.raw[-40:], f"{name}: q gives the shell back")
            shell.close()


def keys(place, args):
    state, http = place.path("larder"), args.port + 2
    place.allow(state)
    place.serve("larder", http)
    thread, result = ask(http)
    waiting = pending(place, state, 1)
    tom = Terminal([place.hotpot, "attach", "tom"], place.env)
    tom.wait("1 waiting", 20)
    before = place.snapshot(state)
    # Every printable key and the control keys, in every pane, with confirmations answered; q would leave.
    typed = 0
    for pane in "12345678":
        tom.type("\x1b")
        tom.pump(0.15)
        tom.type(pane)
        tom.pump(0.4)
        for code in list(range(0x20, 0x7F)) + [1, 2, 3, 4, 5, 6, 9, 12, 13, 14, 16, 18, 20, 21, 22, 23, 24, 25]:
            key = chr(code)
            if key in "q12345678":
                continue
            tom.type(key)
            tom.pump(0.01)
            for answer in ("y", "\r", "\x1b"):
                tom.type(answer)
                tom.pump(0.01)
            typed += 1
        # Out of any text field.
        for _ in range(3):
            tom.type("\x1b")
            tom.pump(0.1)
    # And commands typed out.
    for command in ["approve", "drain", "shutdown", "pause", "cancel"]:
        tom.type("\x1b")
        tom.pump(0.1)
        tom.type(f":{command}\r")
        tom.pump(0.2)
        tom.type("y\r")
        tom.pump(0.2)
    after = place.snapshot(state)
    same = (
        [r["id"] for r in after["approvals"]] == [r["id"] for r in waiting]
        and after["node"]["state"] == before["node"]["state"]
        and [l for l in after["log"] if l["level"] == "act"] == [l for l in before["log"] if l["level"] == "act"])
    check(same, f"keys: a viewer's {typed} keys and 5 commands acted on nothing: the job waits, no act in the log")
    alive = tom.pump(0.1)
    check(alive, "keys: the viewer's screen is still there")
    tom.close()
    place.run("reject", waiting[0]["id"], state=state)
    thread.join(20)
    place.run("drain", "--stop", state=state)


def protocol(place, who, requests, seconds=10):
    """Speaks the control protocol through a forced command; the replies until every tag is answered."""
    hello = {"hello": {"version": 2, "every": 0, "readOnly": False}}
    data = "".join(json.dumps(r) + "\n" for r in [hello, *requests])
    process = subprocess.Popen(
        ["ssh", "-F", place.path("ssh_config"), who, "hotpot", "link"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=place.env)
    process.stdin.write(data)
    process.stdin.flush()
    replies = {}
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    while len(replies) < len(requests):
        line = process.stdout.readline()
        if not line:
            break
        reply = json.loads(line)
        (kind, body), = reply.items()
        if kind == "message" and "reply" in body.get("_0", {}):
            replies[body["_0"]["reply"]["tag"]] = "done"
        elif kind in ("denied", "refused", "done", "snapshot", "clients", "token", "earnings", "bundle", "statement", "voucher"):
            replies[body.get("tag", 0)] = kind
    timer.cancel()
    process.kill()
    process.wait()
    return replies


ROLES = """
snapshot       tom anna
clients        tom anna
earnings       tom anna
history        tom anna
inspect        tom anna
approve        anna
reject         anna
hold           anna
release        anna
cancel         anna
priority       anna
move           anna
pause          anna
resume         anna
drain          anna
undrain        anna
reveal         anna
verify         anna
stopChat       anna
pull           -
cancelPull     -
shutdown       -
addClient      -
revokeClient   -
limitClient    -
settle         -
statement      -
"""


def roles(place, args):
    state, http = place.path("cellar"), args.port + 3
    place.allow(state)
    _, process = place.serve("cellar", http)
    job = "0123456789abcdef"

    def command(kind, body):
        return lambda tag: {"command": {"tag": tag, "command": {kind: body}}}

    makers = {
        "snapshot": lambda tag: {"snapshot": {"tag": tag}}, "clients": lambda tag: {"clients": {"tag": tag}},
        "earnings": lambda tag: {"earnings": {"tag": tag}},
        "addClient": lambda tag: {"addClient": {"tag": tag, "name": "mallory"}},
        "revokeClient": lambda tag: {"revokeClient": {"tag": tag, "name": "mallory"}},
        "limitClient": lambda tag: {"limitClient": {"tag": tag, "name": "mallory", "budget": "1"}},
        "settle": lambda tag: {"settle": {"tag": tag, "client": "mallory", "amount": "1", "reference": "r"}},
        "statement": lambda tag: {"statement": {"tag": tag, "client": "mallory", "form": "csv"}},
        "inspect": command("inspect", {"job": job}), "reveal": command("reveal", {"job": job}),
        "approve": command("approve", {"jobs": [job]}), "reject": command("reject", {"jobs": [job], "reason": ""}),
        "hold": command("hold", {"jobs": [job]}), "release": command("release", {"jobs": [job]}),
        "cancel": command("cancel", {"jobs": [job]}), "move": command("move", {"job": job, "by": 1}),
        "priority": command("setPriority", {"jobs": [job], "priority": 3}), "verify": command("verify", {"receipt": job}),
        "pull": command("pull", {"model": "nothing"}), "shutdown": command("shutdown", {"drain": True}),
    }
    names = [line.split() for line in ROLES.strip().splitlines()]
    cells = 0
    for who in ["tom", "anna"]:
        requests = [makers.get(row[0], command(row[0], {}))(tag) for tag, row in enumerate(names, 1)]
        replies = protocol(place, who, requests, 20)
        for tag, row in enumerate(names, 1):
            allowed = who in row[1:]
            found = replies.get(tag, "nothing")
            cells += 1
            if (found != "denied") != allowed or found == "nothing":
                check(False, f"roles: {row[0]} by {who}: {found}, wanted {'an answer' if allowed else 'denied'}")
    check(process.poll() is None, f"roles: {cells} cells of role and request through forced commands are as the table says")


def client(place, args):
    state, http = place.path("cellar"), args.port + 3
    place.allow(state)
    if place.run("status", state=state).returncode != 0:
        place.serve("cellar", http)
    request = json.dumps({"model": "smollm2", "max_tokens": 12, "temperature": 0, "messages": [{"role": "user", "content": "Hello"}]})
    denied = place.ssh("bob", data=request)
    check(denied.returncode == 77 and "no active client 'bob'" in denied.stderr, "client: a key whose client is unknown is refused: " + denied.stderr.strip().splitlines()[0][:90])
    place.run("clients", "add", "bob", state=state)
    answer = place.ssh("bob", data=request)
    check(answer.returncode == 0 and len(answer.stdout.strip()) > 0, f"client: submits and gets an answer ({answer.stdout.strip()[:40]!r})")
    as_json = place.ssh("bob", "submit", "--json", data=request)
    check(as_json.returncode == 0 and json.loads(as_json.stdout)["hotpot"]["receipt"], "client: --json gives the answer with its receipt")
    jobs = json.loads(place.run("jobs", "--all", "--json", state=state).stdout)
    check({j["client"] for j in jobs} == {"bob"} and all(j["origin"] == "client" for j in jobs), "client: the jobs are bob's")

    attempts = [
        ("a shell command", dict(words=["id"])), ("a shell", dict(words=[], options=["-tt"])),
        ("sh -c", dict(words=["sh", "-c", "id"])), ("another command of hotpot", dict(words=["hotpot", "status"])),
        ("an option", dict(words=["submit", "--state", "/tmp"])), ("another client", dict(words=["submit", "--client", "alice"])),
        ("link", dict(words=["hotpot", "link"])), ("a file", dict(words=["submit", "/etc/passwd"])),
        ("words after a semicolon", dict(words=["submit", "--json;", "id"])),
    ]
    failed = 0
    for name, attempt in attempts:
        result = place.ssh("bob", *attempt["words"], data="{}", options=attempt.get("options", ()))
        ok = result.returncode != 0 and "uid=" not in result.stdout and "root:" not in result.stdout
        failed += ok
        if not ok:
            check(False, f"client: attempt {name}: {result.returncode} {result.stdout[:80]!r}")
    # Files, forwarding, the agent.
    sftp = subprocess.run(
        ["sftp", "-F", place.path("ssh_config"), "-b", "-", "bob"], input="ls /\n", text=True, capture_output=True, env=place.env, timeout=30)
    failed += sftp.returncode != 0
    scp = subprocess.run(
        ["scp", "-F", place.path("ssh_config"), "bob:/etc/hostname", place.path("stolen")], capture_output=True, env=place.env, timeout=30)
    failed += scp.returncode != 0 and not os.path.exists(place.path("stolen"))
    tunnel = subprocess.Popen(
        ["ssh", "-F", place.path("ssh_config"), "-N", "-o", "ExitOnForwardFailure=yes", "-L", f"{args.port + 9}:127.0.0.1:{http}", "bob"],
        env=place.env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    time.sleep(1.5)
    reached = False
    try:
        with socket.create_connection(("127.0.0.1", args.port + 9), 2) as probe:
            probe.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            probe.settimeout(2)
            reached = b"HTTP/1.1" in probe.recv(100)
    except OSError:
        pass
    tunnel.kill()
    tunnel.wait()
    failed += not reached
    check(failed == 12, f"client: {failed} of 12 attempts at anything else fail")
    # A key told with 'clients key' is known by itself; another is a stranger, about whom the operator decides.
    place.run("clients", "key", "bob", place.path("bob.pub"), state=state)
    h = place.hotpot
    place.allow(state, [f'restrict,command="{h} submit --state {state} --key auto" {place.public("stranger")}'])
    process = subprocess.Popen(
        ["ssh", "-F", place.path("ssh_config"), "stranger"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=place.env)
    process.stdin.write(request)
    process.stdin.close()
    rows = pending(place, state, 1)
    check(len(rows) == 1 and rows[0]["client"].startswith("unknown-"), "client: a stranger's key waits for the operator as " + (rows[0]["client"] if rows else "nobody"))
    place.run("approve", rows[0]["id"], state=state)
    text = process.stdout.read()
    check(process.wait(60) == 0 and text.strip() != "", "client: approved, the stranger has an answer")
    process = subprocess.Popen(
        ["ssh", "-F", place.path("ssh_config"), "stranger"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=place.env)
    process.stdin.write(request)
    process.stdin.close()
    pending(place, state, 1)
    process.kill()
    process.wait()
    end = time.monotonic() + 10
    while place.snapshot(state)["approvals"] and time.monotonic() < end:
        time.sleep(0.1)
    check(not place.snapshot(state)["approvals"], "client: one who hangs up is gone from the queue")
    place.run("drain", "--stop", state=state)


def users(place, args):
    if os.geteuid() != 0:
        print("skip  users: wants root, to be several users", flush=True)
        return
    run = place.path("run")
    os.makedirs(run)
    os.chmod(run, 0o755)
    config = f'{{ control: {{ socket: "{run}/control.sock", operators: ["61001"], viewers: ["61002"] }} }}'
    state, process = place.serve("scullery", args.port + 4, config)
    table = {
        "status": {61001: 0, 61002: 0, 61003: 77}, "jobs": {61001: 0, 61002: 0, 61003: 77},
        "pause": {61001: 0, 61002: 77, 61003: 77}, "resume": {61001: 0, 61002: 77, 61003: 77},
        "clients add x": {61001: 77, 61002: 77, 61003: 77}, "earnings": {61001: 0, 61002: 0, 61003: 77},
        "settle x 1 --reference r": {61001: 77, 61002: 77, 61003: 77}, "drain --stop": {61001: 77, 61002: 77, 61003: 77},
        "submit": {61001: 65, 61002: 77, 61003: 77},
    }
    wrong = []
    for words, codes in table.items():
        for user, code in codes.items():
            result = place.run(*words.split(), state=run, user=user, data="{}")
            if result.returncode != code:
                wrong.append((words, user, result.returncode, result.stderr.strip()))
    check(not wrong, f"users: {sum(map(len, table.values()))} cells of uid and command on a socket for others: {wrong[:3] or 'as the table says'}")
    named = {l.get("who") for l in acts(place, state)}
    check("uid 61001" in named and not named & {"uid 61002", "uid 61003"}, f"users: the log names who acted: {sorted(named)}")
    own = place.run("status", state=state, user=61001)
    check(own.returncode == 77, "users: the state directory itself stays the owner's: " + own.stderr.strip().splitlines()[0][-60:])
    place.run("drain", "--stop", state=state)


def descendants(pid):
    """Processes below, with their names, oldest first."""
    table = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = open(f"/proc/{entry}/stat").read().rsplit(")", 1)
                # The program's file: a child started as /proc/self/exe is called "exe".
                name = os.path.basename(os.readlink(f"/proc/{entry}/exe"))
                table.setdefault(int(fields[1].split()[1]), []).append((int(entry), name))
            except OSError:
                pass
    found, queue = [], [pid]
    while queue:
        for child, name in sorted(table.get(queue.pop(0), [])):
            found.append((child, name))
            queue.append(child)
    return found


def kills(place, args):
    state, http = place.path("oven"), args.port + 5
    place.allow(state)
    place.serve("oven", http)

    def round_of(kind, number, shell):
        """One start, one kill, and the terminal afterwards; why it was not sane, or None."""
        mark = len(shell.raw)
        node = kind == "node"
        host = kind in ("ssh", "sshd")
        own = place.path(f"own-{number % 4}")
        command = (
            f"hotpot --state {own} --listen none --name oven" if node
            else "hotpot attach owner:" + state + f" --remote {place.hotpot}" if host else f"hotpot attach --state {state}")
        shell.type(f"{command}; echo code $?\n")
        if not shell.wait_raw(b"\x1b[?1049h", mark, 20) or not shell.wait(re.compile("oven.*(serving|idle|loading)"), 20):
            return "no screen: " + shell.text()[-300:]
        below = [p for p in descendants(shell.pid)]
        hotpots = [p for p, name in below if name == "hotpot"]
        if kind == "client":
            os.kill(hotpots[1], signal.SIGKILL)
        elif kind == "guard":
            os.kill(hotpots[0], signal.SIGKILL)
        elif node:
            os.kill(hotpots[1], signal.SIGKILL)
        else:
            if kind == "ssh":
                victims = [p for p, name in below if name == "ssh"]
            else:
                victims = [p for p, name in descendants(place.sshd.pid) if name == "sshd"]
            if not victims:
                return f"no {kind} to kill: {below}"
            for victim in victims:
                try:
                    os.kill(victim, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            # It comes back by itself, then q leaves.
            if not shell.wait(re.compile("oven.*(serving|idle)"), 1):
                pass
            shell.pump(0.2)
            shell.type("q")
        if not shell.wait_raw(b"\x1b[?1049l", mark, 10):
            return "the alternate screen was not left"
        if not shell.wait_raw(re.compile(rb"[\r\n]code [0-9]"), mark, 10):
            return "no prompt came back"
        shell.pump(0.05)
        mark = len(shell.raw)
        shell.type("stty -g; echo sane\n")
        if not shell.wait_raw(b"\nsane", mark, 10):
            return "the shell does not answer"
        modes = re.search(rb"\r\n([0-9a-f:]{40,})", shell.raw[mark:])
        if not modes or modes.group(1) != shell.modes:
            return f"modes are {modes and modes.group(1)}, wanted {shell.modes}"
        if bytes(shell.raw).rfind(b"\x1b[?25h") < bytes(shell.raw).rfind(b"\x1b[?25l"):
            return "the cursor stays hidden"
        return None

    for kind, count in [
        ("client", args.kills // 2), ("guard", args.kills - args.kills // 2), ("node", args.kills),
        ("ssh", args.kills // 2), ("sshd", args.kills - args.kills // 2),
    ]:
        shell = Terminal(["sh", "-i"], place.env)
        shell.wait("$ ", 10)
        shell.type("stty -g; echo first\n")
        shell.wait_raw(b"\nfirst", 0, 10)
        shell.modes = re.search(rb"\r\n([0-9a-f:]{40,})", shell.raw).group(1)
        bad, began = [], time.monotonic()
        for number in range(count):
            problem = round_of(kind, number, shell)
            if problem:
                bad.append((number, problem))
                shell.close()
                shell = Terminal(["sh", "-i"], place.env)
                shell.wait("$ ", 10)
                shell.type("stty -g; echo first\n")
                shell.wait_raw(b"\nfirst", 0, 10)
                shell.modes = re.search(rb"\r\n([0-9a-f:]{40,})", shell.raw).group(1)
                if len(bad) > 5:
                    break
            del shell.raw[: max(0, len(shell.raw) - 4096)]
        shell.close()
        check(not bad, f"kills: {count} of {kind} leave the terminal sane ({time.monotonic() - began:.0f} s) {bad[:2] if bad else ''}")
    place.run("drain", "--stop", state=state)


def fleet(place, args):
    names = ["attic", "pantry", "porch"]
    nodes = {}
    for index, name in enumerate(names):
        nodes[name] = place.serve(name, args.port + 20 + index)
    with open(place.path("authorized_keys"), "w") as file:
        file.write(place.public("owner") + "\n")
    hosts = [f"{name}:{nodes[name][0]}" for name in names]
    dead = "nowhere:/nowhere"
    began = time.monotonic()
    answer = subprocess.run(
        [place.hotpot, "fleet", "--json", "--remote", place.hotpot, *hosts, dead], text=True, capture_output=True, env=place.env, timeout=60)
    rows = json.loads(answer.stdout)
    check(
        answer.returncode == 0 and [r.get("node", {}).get("name") for r in rows[:3]] == names and rows[3]["error"],
        f"fleet: --json asks three nodes and names why a fourth is not there ({time.monotonic() - began:.1f} s): {rows[3]['error'][:70]}")
    jobs = [ask(args.port + 20 + n) for n in range(3)]
    for name in names:
        pending(place, nodes[name][0], 1)
    screen = Terminal([place.hotpot, "fleet", "--remote", place.hotpot, *hosts, dead], place.env, (130, 26))
    check(screen.wait("3 of 4 nodes", 30), "fleet: three of four nodes are live")
    check(screen.wait("3 waiting", 10), "fleet: approvals of all three are one list")
    print("\n".join("      | " + line.rstrip() for line in screen.text().splitlines()), flush=True)
    nodes["pantry"][1].kill()
    check(screen.wait(re.compile(r"stale.*"), 10) and screen.wait("2 of 4 nodes", 5), "fleet: one is killed while watched: its row is stale, the others live")
    row = [l for l in screen.text().splitlines() if "pantry" in l]
    print("      | " + (row[0].rstrip() if row else ""), flush=True)
    screen.type("2")
    for _ in range(2):
        screen.pump(0.8)
        screen.type("a")
        screen.pump(1.5)
    for n in (0, 2):
        jobs[n][0].join(60)
    check([jobs[n][1][0][0] for n in (0, 2) if jobs[n][1]] == [200, 200], "fleet: a approved the jobs of two nodes from the one list")
    state, process = place.serve("pantry", args.port + 21)
    check(screen.wait("3 of 4 nodes", 90), "fleet: started again, the killed node is live again")
    screen.type("1\r")
    check(screen.wait("8 log", 20) or screen.wait("3 compute", 1), "fleet: Enter opens a node's own dashboard: " + screen.text().splitlines()[0].strip())
    screen.type("q")
    check(screen.wait("hotpot fleet", 15), "fleet: q comes back to the fleet")
    screen.type("q")
    check(screen.wait_raw(b"\x1b[?1049l", max(0, len(screen.raw) - 2000), 10), "fleet: q leaves")
    screen.close()
    for name in names:
        place.run("drain", "--stop", state=place.path(name))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("hotpot")
    parser.add_argument("--model", default=os.path.expanduser("~/.local/share/hotpot/models/smollm2.gguf"))
    parser.add_argument("--only", default="session,terminals,keys,roles,client,users,kills,fleet")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--port", type=int, default=8340)
    args = parser.parse_args()
    if not os.path.exists("/usr/sbin/sshd"):
        sys.exit("operators.py: there is no /usr/sbin/sshd here")
    place = Place(args.hotpot, args.model, args.port)
    try:
        place.allow("/nowhere")
        place.start_sshd()
        for stage in args.only.split(","):
            began = time.monotonic()
            globals()[stage](place, args)
            print(f"      {stage}: {time.monotonic() - began:.0f} s", flush=True)
    finally:
        place.close()
    print(f"{len(failures)} failed" if failures else "all as it should be", flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
