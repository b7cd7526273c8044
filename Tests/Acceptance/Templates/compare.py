#!/usr/bin/env python3
"""Renders a folder of chat templates with `hotpot render` and with Python's jinja2 and compares the texts.

    HOTPOT_TEMPLATES=FOLDER Tests/Acceptance/Templates/compare.py [--hotpot FILE] [--verbose]

FOLDER holds *.jinja files, such as models/templates of llama.cpp's sources; none are kept here. The reference is set
up as the runtimes of chat templates do: trim_blocks, lstrip_blocks, tojson without HTML escapes, raise_exception,
strftime_now. A template that jinja2 cannot render must end here with a clear error or a text of its own, never a crash.
Exits 77 (skipped) without the folder or without jinja2, 1 when fewer than --at-least templates agree.
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys
import tempfile

CONVERSATIONS = {
    "plain": {
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "What is 2 + 2?  \n"},
            {"role": "assistant", "content": "It is \"4\" & <b>four</b>: vier, четыре, 四."},
            {"role": "user", "content": "Thank you! <|im_end|>"},
        ]
    },
    "tools": {
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Weather in Köln?"},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [
                    {
                        "id": "abcdef123",
                        "type": "function",
                        "function": {"name": "weather", "arguments": {"city": "Köln", "days": 2, "exact": True}},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "abcdef123", "name": "weather", "content": "{\"sky\": \"grey\"}"},
            {"role": "assistant", "content": "Grey."},
            {"role": "user", "content": "And tomorrow?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "Tells the weather.",
                    "parameters": {
                        "type": "object",
                        "properties": {
                            "city": {"type": "string", "description": "Where"},
                            "days": {"type": "integer", "default": 1},
                            "units": {"type": "string", "enum": ["C", "F"]},
                        },
                        "required": ["city"],
                    },
                },
            }
        ],
    },
}


def reference(source, values):
    import jinja2

    def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
        )

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    # The tag `generation` is an extension of transformers.
    from reference import Generation

    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return environment.from_string(source).render(
        bos_token="<s>", eos_token="</s>", add_generation_prompt=True, **values
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hotpot", default=".build/release/hotpot")
    parser.add_argument("--conversation", choices=sorted(CONVERSATIONS), default="plain")
    parser.add_argument("--at-least", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    folder = os.environ.get("HOTPOT_TEMPLATES")
    if not folder:
        print("skipped: HOTPOT_TEMPLATES names no folder of templates")
        return 77
    try:
        import jinja2  # noqa: F401
    except ImportError:
        print("skipped: the reference, Python's jinja2, is not installed")
        return 77
    values = CONVERSATIONS[options.conversation]
    same = rendered = total = crashed = 0
    with tempfile.TemporaryDirectory() as work:
        messages = pathlib.Path(work, "messages.json")
        messages.write_text(json.dumps(values), encoding="utf-8")
        for path in sorted(pathlib.Path(folder).glob("*.jinja")):
            total += 1
            source = path.read_text(encoding="utf-8")
            try:
                wanted = reference(source, values)
                rendered += 1
                why = ""
            except Exception as error:
                wanted = None
                why = f"{type(error).__name__}: {error}".splitlines()[0][:90]
            run = subprocess.run(
                [options.hotpot, "render", "--template", str(path), "--bos", "<s>", "--eos", "</s>", str(messages)],
                capture_output=True,
                stdin=subprocess.DEVNULL,
            )
            found = run.stdout.decode("utf-8", "replace")
            said = run.stderr.decode("utf-8", "replace").splitlines()
            is_clean = run.returncode == 0 or (run.returncode in (65, 69) and said and "error:" in said[0])
            if not is_clean:
                crashed += 1
                print(f"CRASH {path.name}: status {run.returncode} {said[:2]}")
            elif wanted is None:
                print(f"no reference ({why}) {path.name}: {'rendered here' if run.returncode == 0 else said[0]}")
            elif run.returncode != 0:
                print(f"ERROR {path.name}: {said[0]}")
            elif found == wanted:
                same += 1
                if options.verbose:
                    print(f"same  {path.name}: {len(wanted)} characters")
            else:
                at = next((i for i, (a, b) in enumerate(zip(found, wanted)) if a != b), min(len(found), len(wanted)))
                print(f"DIFFERS {path.name} at {at}: {found[at - 30 : at + 40]!r} wanted {wanted[at - 30 : at + 40]!r}")
    print(f"{options.conversation}: {same} of the {rendered} that jinja2 renders give the same text; {total} templates, {crashed} crashes")
    return 1 if same < options.at_least or crashed else 0


if __name__ == "__main__":
    sys.exit(main())
