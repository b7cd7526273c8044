#!/usr/bin/env python3
"""Live, unmodified clients against a node: each script of this folder, with a scripted and with a real model.

usage: run.py HOTPOT SCRIPTED_MODEL [REAL_MODEL] [--only NAME]...
HOTPOT is the program. SCRIPTED_MODEL is what 'swift run fuzz --make-scripted FILE' wrote; REAL_MODEL a small model
such as smollm2. The packages are those of the Python that runs this: see README.md here. Prints a table of what
passed, and exits 1 if anything failed.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

here = pathlib.Path(__file__).parent
arguments = sys.argv[1:]
only = [arguments[i + 1] for i, word in enumerate(arguments[:-1]) if word == "--only"]
words = [word for i, word in enumerate(arguments) if word != "--only" and (i == 0 or arguments[i - 1] != "--only")]
hotpot, models = words[0], dict(zip(["scripted", "real"], words[1:]))
scripts = sorted(path for path in here.glob("*_*.py") if not only or path.stem in only)
rows, failed = [], False

for kind, model in models.items():
    folder = tempfile.mkdtemp()
    config = pathlib.Path(folder, "config.json5")
    config.write_text("{ http: { model_names: ['gpt-*', 'claude-*'] } }")
    log = open(pathlib.Path(folder, "log"), "w+")
    node = subprocess.Popen([hotpot, "serve", "--model", model, "--listen", "127.0.0.1:0", "--state", folder + "/node", "--config",
                             str(config)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    port = None
    for line in node.stderr:
        log.write(line)
        found = re.search(r"serving http on port (\d+)", line)
        port = int(found[1]) if found else port
        if "info: serving " in line:
            break
    token = subprocess.run([hotpot, "clients", "add", "tester", "--state", folder + "/node"], capture_output=True, text=True,
                           check=True).stdout.strip()
    os.set_blocking(node.stderr.fileno(), False)
    for script in scripts:
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=900, cwd=here, env=dict(
            os.environ, NODE=f"http://127.0.0.1:{port}", TOKEN=token, MODEL=pathlib.Path(model).stem, KIND=kind,
            OPENAI_API_KEY=token, PYTHONWARNINGS="ignore", OPENAI_AGENTS_DISABLE_TRACING="1"))
        lines = re.findall(r"^(ok|FAIL) +(.*)$", done.stdout, re.M)
        for verdict, name in lines:
            rows.append((script.stem, kind, name.strip()[:200], "passed" if verdict == "ok" else "FAILED"))
        if done.returncode == 77:
            rows.append((script.stem, kind, "its package is absent", "skipped"))
        elif done.returncode != 0:
            failed = True
            print(f"--- {script.stem}, {kind}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}", file=sys.stderr)
            if not any(verdict == "FAIL" for verdict, _ in lines):
                rows.append((script.stem, kind, f"ended with {done.returncode}", "FAILED"))
    node.terminate()
    node.wait(30)
    shutil.rmtree(folder, ignore_errors=True)

print("| client | model | what | passed |\n| --- | --- | --- | --- |")
for row in rows:
    print("| " + " | ".join(row) + " |")
print(f"{sum(row[3] == 'passed' for row in rows)} of {len(rows)} passed")
sys.exit(1 if failed else 0)
