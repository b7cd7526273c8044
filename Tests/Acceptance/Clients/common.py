"""What the scripts of this folder share: where the node is, and how a check is told.

Each script is run by run.py with NODE, TOKEN, MODEL and KIND in its environment. KIND is 'scripted' for the model
that always says the same (a call of get_weather where tools are offered and none has answered, a sentence
otherwise), 'real' for one that has to be held by grammars. A script prints one line a check, and ends with exit
code 1 if one failed, 77 if its package is absent.
"""
import os
import sys
import traceback

NODE = os.environ["NODE"]
TOKEN = os.environ["TOKEN"]
MODEL = os.environ["MODEL"]
SCRIPTED = os.environ["KIND"] == "scripted"
ANSWER = "The capital of France is Paris."
QUESTION = "What is the capital of France?"
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "The city's name"}},
    "required": ["city"],
    "additionalProperties": False,
}

failed = False


def absent(package):
    print(f"the package {package} is absent")
    sys.exit(77)


def check(name, holds, found=""):
    global failed
    print(("ok   " if holds else "FAIL ") + name, "" if holds else str(found)[:600], flush=True)
    failed = failed or not holds


def attempt(name, work):
    """A check that an exception fails, too. `work` returns whether it holds, or that and what was found."""
    try:
        result = work()
    except Exception as error:  # noqa: BLE001
        traceback.print_exc(limit=-3)
        check(name, False, f"{type(error).__name__}: {error}")
        return
    holds, found = result if isinstance(result, tuple) else (result, "")
    check(name, bool(holds), found)


def end():
    sys.exit(1 if failed else 0)
