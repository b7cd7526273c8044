"""llm: the command with a model of ours, a tool, and a schema."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from common import MODEL, NODE, QUESTION, SCRIPTED, TOKEN, absent, attempt, end

command = pathlib.Path(sys.executable).with_name("llm")
if not command.exists():
    absent("llm")
home = tempfile.mkdtemp()
pathlib.Path(home, "extra-openai-models.yaml").write_text(
    f"- model_id: soup\n  model_name: {MODEL}\n  api_base: {NODE}/v1\n  api_key_name: soup\n  supports_tools: true\n  supports_schema: true\n")
pathlib.Path(home, "keys.json").write_text(json.dumps({"soup": TOKEN}))


def llm(*words):
    done = subprocess.run([str(command), "-m", "soup", *words], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
                          env=dict(os.environ, LLM_USER_PATH=home))
    return done.stdout, done.stderr


def said(*words):
    def work():
        output, error = llm(*words)
        return "Paris" in output, (output, error)
    return work


def schema():
    given = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 24}, "population": {
        "type": "integer", "minimum": 0, "maximum": 40_000_000}}, "required": ["name", "population"]}
    output, error = llm("Describe Paris as JSON.", "--schema", json.dumps(given), "-o", "max_tokens", "300", "-o", "temperature", "0")
    return json.loads(output).keys() == {"name", "population"}, (output, error)


attempt("a prompt", said(QUESTION, "-o", "temperature", "0", "-o", "max_tokens", "60"))
attempt("a prompt, not streamed", said(QUESTION, "--no-stream", "-o", "temperature", "0", "-o", "max_tokens", "60"))
if SCRIPTED:
    source = 'def get_weather(city: str) -> str:\n    "Weather of a city."\n    return "sunny in " + city\n'
    attempt("a tool", said("Weather in Paris?", "--functions", source, "--td"))
else:
    attempt("a schema", schema)
shutil.rmtree(home)
end()
