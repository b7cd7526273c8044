"""The ollama package: chats, streams, tools, formats, thinking, models."""
import json

from common import MODEL, NODE, QUESTION, SCRIPTED, TOKEN, WEATHER, absent, attempt, end

try:
    import ollama
except ImportError:
    absent("ollama")

client = ollama.Client(host=NODE, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=120)
asked = [{"role": "user", "content": QUESTION}]
options = {"temperature": 0, "num_predict": 200}


def get_weather(city: str) -> str:
    """Weather of a city.

    Args:
      city: its name
    """
    return f"sunny in {city}"


def chat():
    text = client.chat(model=MODEL, messages=asked, options=options).message.content
    return "Paris" in text, text


def stream():
    parts = list(client.chat(model=MODEL, messages=asked, options=options, stream=True))
    return "Paris" in "".join(p.message.content or "" for p in parts) and parts[-1].done and parts[-1].eval_count > 0, parts[-1]


def generate():
    found = client.generate(model=MODEL, prompt=QUESTION, options=options)
    return "Paris" in found.response, found


def tools():
    messages = [{"role": "user", "content": "Weather in Paris?"}]
    first = client.chat(model=MODEL, messages=messages, tools=[get_weather], options=options).message
    call = first.tool_calls[0].function
    messages += [first, {"role": "tool", "tool_name": call.name, "content": get_weather(**call.arguments)}]
    second = client.chat(model=MODEL, messages=messages, tools=[get_weather], options=options).message
    return call.arguments == {"city": "Paris"} and "Paris" in second.content, (first, second)


def formatted(format):
    def work():
        text = client.chat(model=MODEL, messages=[{"role": "user", "content": "Describe Paris as JSON."}], format=format,
                           options=options).message.content
        return isinstance(json.loads(text), dict) and (format == "json" or json.loads(text).keys() == {"city"}), text
    return work


def unthinking():
    found = client.chat(model=MODEL, messages=asked, think=False, options=options).message
    # A model that follows a script speaks behind its own marks alone: its text is another part of the script.
    return not found.thinking and bool(found.content) and (SCRIPTED or "Paris" in found.content), found


def models():
    return client.list().models[0].model.startswith(MODEL) and client.show(MODEL).modelinfo is not None and client.ps() is not None


attempt("chat", chat)
attempt("chat, streamed", stream)
attempt("generate", generate)
attempt("think: false", unthinking)
attempt("list, show, ps", models)
if SCRIPTED:
    attempt("tools, two turns", tools)
else:
    attempt("format: json", formatted("json"))
    attempt("format: a schema", formatted(WEATHER))
end()
