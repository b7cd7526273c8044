#!/usr/bin/env python3
"""The commands of hotpot-receipt(5), run in every shell that is here on bundles that a hostile node made.

usage: bundles.py [PROGRAM]        default: .build/debug/hotpot

A log is made here with its own key: honest receipts in trees of 1 to 9, then one hostile text at a time in every line that
the commands read, signed as a hostile node would sign it. Each is run as a script and pasted into an interactive
sh, bash or zsh on a terminal. Nothing in a bundle may run, every hostile bundle is refused, every honest one passes;
`hotpot verify` refuses the hostile ones too. Negative control: what bash does with the hostile size in an arithmetic
expansion without the commands' checks. Exit status 1 on any fault.
"""
import base64, hashlib, os, pty, re, select, shutil, subprocess, sys, tempfile, time

program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else ".build/debug/hotpot")
page = open(os.path.join(os.path.dirname(__file__), "../../man/hotpot-receipt.5")).read()
shells = [s for s in (["/bin/sh"], ["/bin/dash"], ["/bin/bash"], ["/bin/bash", "--posix"], ["/bin/busybox", "sh"],
                      ["/bin/zsh", "-f"]) if os.path.exists(s[0])]
faults, runs = [], 0


def block(name):
    inside = page.split(f'.\\" test: {name}\n')[1].split('.\\" test: end')[0]
    lines = [l for l in inside.split("\n") if not l.startswith((".Bd", ".Ed"))]
    return "\n".join(lines).replace("\\(aq", "'").replace("\\&", "").replace("\\e", "\\")


def leaf(line): return hashlib.sha256(b"\0" + line).digest()
def node(a, b): return hashlib.sha256(b"\1" + a + b).digest()


def root(leaves):
    if len(leaves) == 1: return leaves[0]
    k = 1
    while k * 2 < len(leaves): k *= 2
    return node(root(leaves[:k]), root(leaves[k:]))


def path(leaves, m):
    if len(leaves) == 1: return []
    k = 1
    while k * 2 < len(leaves): k *= 2
    return path(leaves[:k], m) + [root(leaves[k:])] if m < k else path(leaves[k:], m - k) + [root(leaves[:k])]


def b64(b): return base64.b64encode(b).decode()


class Log:
    """A node's key, and bundles that it signs, whatever they say."""

    def __init__(self, folder):
        self.key = folder + "/key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "hotpot", "-f", self.key], check=True)
        self.type, self.blob = open(self.key + ".pub").read().split()[:2]
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        self.origin, self.print = "hotpot/" + digest.hex(), "SHA256:" + b64(digest).rstrip("=")
        self.folder = folder

    def receipt(self, index):
        nonce = bytes(range(64))
        words = lambda ids: b"".join(i.to_bytes(4, "little") for i in ids)
        prompt = hashlib.sha256(nonce[:32] + words([1, 2])).hexdigest()
        output = hashlib.sha256(nonce[32:] + words([3, 4, 4294967295])).hexdigest()
        return ('{"seq":%d,"index":%d,"node":"%s","prompt_commitment":"%s","output_commitment":"%s"}\n'
                % (index, index, self.print, prompt, output)).encode()

    def bundle(self, count, at, **put):
        lines = [self.receipt(i) for i in range(count)]
        leaves = [leaf(l) for l in lines]
        said = {"size": str(count), "root": b64(root(leaves)), "index": f"index {at}",
                "header": "c2sp.org/tlog-proof@v1", "origin": self.origin, "nonce": bytes(range(64)).hex(),
                "prompt": "1,2", "output": "3,4,4294967295", "receipt": lines[at].decode(), "time": "time 1",
                "signers": f'hotpot namespaces="checkpoint@hotpot,segment@hotpot" {self.type} {self.blob}\n',
                "path": "".join(b64(h) + "\n" for h in path(leaves, at))}
        for name, text in put.items(): said[name] = text
        checkpoint = "{origin}\n{size}\n{root}\n{time}\nprev-checkpoint-sha256 {0}\n".format("0" * 64, **said)
        file = self.folder + "/checkpoint"
        open(file, "w").write(checkpoint)
        if os.path.exists(file + ".sig"): os.remove(file + ".sig")
        subprocess.run(["ssh-keygen", "-q", "-Y", "sign", "-f", self.key, "-n", "checkpoint@hotpot", file], check=True)
        return ("hotpot-bundle 1\n--- receipt\n{receipt}--- proof\n{header}\n{index}\n{path}\n{0}--- checkpoint\n{0}"
                "--- checkpoint.sig\n{1}--- allowed_signers\n{signers}--- transcript\n"
                '{{"nonce":"{nonce}","prompt":[{prompt}],"output":[{output}],"logit_bias":[]}}\n'
                ).format(checkpoint, open(file + ".sig").read(), **said)


names = ["split", "signature", "node", "inclusion", "commitments"]
commands = {name: block(name) for name in names}
good = ['Good "checkpoint@hotpot" signature', "the receipt is of SHA256:", "is in the log of",
        "prompt and output are those of the receipt"]
# A terminal shows what is typed too: only what the commands make of it tells there.
made = [r"the receipt is of SHA256:\w{20}", r"receipt \d+ is in the log of \d",
        r"(?m)^\r*prompt and output are those of the receipt\s*$"]


def script(directory, shell):
    """All commands one after the other, as somebody pastes them who does not look."""
    return subprocess.run(["env", "-i", "PATH=/usr/bin:/bin", *shell, "-c", "\n".join(commands[n] for n in names)],
                          cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=120)


def pasted(directory, shell):
    """The same on a terminal, line by line."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(directory)
        os.execve(shell[0], shell + ["-i"], {"PATH": "/usr/bin:/bin", "TERM": "dumb", "HOME": directory, "PS1": "$ "})
    seen = b""

    def drain(until, limit):
        nonlocal seen
        end = time.time() + limit
        while (left := end - time.time()) > 0 and not any(words in seen for words in until):
            if select.select([terminal], [], [], min(left, 0.1))[0]:
                try: seen += os.read(terminal, 65536)
                except OSError: return
    drain((b"$ ", b"# "), 5)
    for line in "\n".join(commands[n] for n in names).split("\n") + ["echo over$((40+2))", "exit"]:
        os.write(terminal, line.encode() + b"\n")
        drain((), 0.004)
    drain((b"over42",), 60)
    os.close(terminal)
    os.waitpid(pid, 0)
    return seen.decode(errors="replace")


def check(what, text, honest, shells, how):
    global runs
    for shell in shells:
        directory = tempfile.mkdtemp(dir=top)
        open(directory + "/bundle", "w").write(text)
        result = how(directory, shell)
        said = result if isinstance(result, str) else result.stdout + result.stderr
        runs += 1
        name = f"{what}, {' '.join(shell)}{', pasted' if how is pasted else ''}"
        if any("pwned" in f for f in os.listdir(directory)): faults.append(f"{name}: a command of the bundle was run")
        passed = all(re.search(words, said) for words in made) if how is pasted else all(words in said for words in good)
        if honest and not passed: faults.append(f"{name}: an honest bundle is refused: {said[-600:]!r}")
        if not honest and passed: faults.append(f"{name}: a hostile bundle passes: {said[-300:]!r}")
        shutil.rmtree(directory)


texts = ["a[$(touch pwned)]+1", "x[`touch pwned`0]", "$(touch pwned)", "7+a[$(touch pwned)]", "PATH", "08", "-1", "+7", " 7",
         "7 ", "0x7", "7;touch pwned", "18446744073709551623", "99999999999999999999999", "", "7 -o 1", "1)) && $((touch pwned"]
with tempfile.TemporaryDirectory() as top:
    log = Log(top)
    for size in range(1, 10):
        for index in sorted({0, size // 2, size - 1}):
            check(f"honest {index} of {size}", log.bundle(size, index), True, shells if (size, index) in ((1, 0), (7, 3)) else shells[:1], script)
    interactive = [s for s in shells if s[0] in ("/bin/sh", "/bin/bash", "/bin/zsh")]
    check("honest 3 of 7", log.bundle(7, 3), True, interactive, pasted)
    hostile = []
    for t in texts:
        for field, line in (("size", t), ("root", t), ("index", "index " + t), ("header", t), ("path", t + "\n" if t else "?\n"),
                            ("nonce", t), ("prompt", t or ","), ("output", t or ","),
                            ("signers", f'hotpot namespaces="{t}" {t} {t}\n'),
                            ("receipt", log.receipt(3).decode().replace(log.print, t))):
            hostile.append((f"{field} {t!r}", log.bundle(7, 3, **{field: line})))
    hostile += [
        ("another spelling of a token", log.bundle(7, 3, output="3,4,8589934591")),
        ("a leading zero", log.bundle(7, 3, output="3,04,4294967295")),
        ("two keys", log.bundle(7, 3, signers=f'hotpot namespaces="checkpoint@hotpot,segment@hotpot" {log.type} {log.blob}\n' * 2)),
        ("a section twice", log.bundle(7, 3) + "--- receipt\n" + log.receipt(2).decode()),
        ("a newline in the size", log.bundle(7, 3, size="7\na[$(touch pwned)]")),
        ("a longer path", log.bundle(7, 3, path="".join(b64(bytes(32)) + "\n" for _ in range(70)))),
    ]
    for what, text in hostile:
        check(what, text, False, shells, script)
        file = top + "/hostile"
        open(file, "w").write(text)
        if subprocess.run([program, "verify", file], capture_output=True).returncode == 0:
            faults.append(f"{what}: 'hotpot verify' takes it")
    # Pasting takes a second or two: the likeliest few into every shell, the others into one each, in turn.
    likeliest = hostile[:3] + hostile[30:31]
    for number, (what, text) in enumerate(hostile):
        into = interactive if (what, text) in likeliest else [interactive[number % len(interactive)]]
        check(what, text, False, into, pasted)
    # What the commands guard against is real here.
    control = tempfile.mkdtemp(dir=top)
    subprocess.run(["/bin/bash", "-c", 'read -r size; last=$((size - 1))'], input="a[$(touch pwned)]+1\n", text=True, cwd=control)
    if not os.path.exists(control + "/pwned"): faults.append("control: bash's arithmetic runs nothing, so this test shows nothing")
print(f"{runs} runs of the manual's commands in {len(shells)} shells ({', '.join(' '.join(s) for s in shells)}): "
      f"{len(hostile)} hostile bundles refused and nothing run, 25 honest ones passed, {len(faults)} faults")
for fault in faults[:40]: print("FAULT:", fault)
sys.exit(1 if faults else 0)
