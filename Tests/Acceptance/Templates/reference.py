#!/usr/bin/env python3
"""Renders snippets with Python's jinja2, set up as transformers sets it up for chat templates.

Reads {"mutable": BOOL, "variables": {...}, "snippets": [TEXT, ...]} from standard input and writes a list of
["ok", TEXT] or ["raises", WORDS, LINE]. With "mutable" lists and mappings may be changed, which transformers' sandbox
forbids and llama.cpp allows. Exits 77 without jinja2.
"""

import copy
import json
import sys
import traceback
import warnings

try:
    import jinja2
    import jinja2.ext
    import jinja2.nodes
    import jinja2.sandbox
except ImportError:
    sys.exit(77)

warnings.simplefilter("ignore")


class Generation(jinja2.ext.Extension):
    """The tag `generation`: its body is kept."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_kept"), [], [], body).set_lineno(line)

    def _kept(self, caller):
        return caller()


def environment(mutable):
    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    kind = jinja2.sandbox.SandboxedEnvironment if mutable else jinja2.sandbox.ImmutableSandboxedEnvironment
    made = kind(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols", "jinja2.ext.do"])
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: "2024"
    return made


def line_of(error):
    if isinstance(error, jinja2.exceptions.TemplateSyntaxError):
        return error.lineno
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return lines[-1] if lines else 0


def main():
    order = json.load(sys.stdin)
    made = environment(order.get("mutable", False))
    results = []
    for snippet in order["snippets"]:
        try:
            # jinja2's own 'indent' adds a line to a list that it is given.
            variables = copy.deepcopy(order.get("variables", {}))
            results.append(["ok", made.from_string(snippet).render(**variables)])
        except Exception as error:
            results.append(["raises", f"{type(error).__name__}: {error}"[:200], line_of(error)])
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
