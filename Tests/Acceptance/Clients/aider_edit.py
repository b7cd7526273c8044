"""aider: one round of edits, with its own format of answers."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from common import MODEL, NODE, SCRIPTED, TOKEN, absent, attempt, end

command = pathlib.Path(os.environ.get("AIDER", pathlib.Path(sys.executable).with_name("aider")))
if not command.exists():
    absent("aider-chat")
folder = tempfile.mkdtemp()
subprocess.run("git init -q . && git config user.email a@b.c && git config user.name a && echo 'print(1)' > soup.py && git add . && git commit -qm a",
               shell=True, cwd=folder, check=True)


def edit():
    done = subprocess.run(
        [str(command), "--model", "openai/" + MODEL, "--openai-api-base", NODE + "/v1", "--openai-api-key", TOKEN, "--edit-format",
         "diff" if SCRIPTED else "whole", "--yes-always", "--no-show-model-warnings", "--no-check-update", "--analytics-disable", "--no-auto-commits",
         "--no-browser", "--no-show-release-notes", "--no-gitignore", "--map-tokens", "0", "--no-pretty", "--message", "Print 2 instead of 1.", "soup.py"],
        capture_output=True, text=True, timeout=300, cwd=folder, stdin=subprocess.DEVNULL, env=dict(os.environ, HOME=folder))
    output = done.stdout + done.stderr
    # What the model says is its own affair; that aider had an answer and counted its tokens is ours.
    # Without a network it also says that it has no list of prices.
    return done.returncode == 0 and "Tokens:" in output and "litellm." not in output, output[-1500:]


attempt("one round", edit)
shutil.rmtree(folder, ignore_errors=True)
end()
