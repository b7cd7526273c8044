"""The anthropic package: messages, streams, tools, counted tokens, formats."""
from common import MODEL, NODE, QUESTION, SCRIPTED, TOKEN, WEATHER, absent, attempt, end

try:
    import anthropic
except ImportError:
    absent("anthropic")

client = anthropic.Anthropic(base_url=NODE, api_key=TOKEN, max_retries=0, timeout=120)
asked = [{"role": "user", "content": QUESTION}]
tool = {"name": "get_weather", "description": "Weather", "input_schema": WEATHER}


def message():
    found = client.messages.create(model="claude-sonnet-4-5", max_tokens=60, messages=asked)
    text = "".join(block.text for block in found.content if block.type == "text")
    return (not SCRIPTED or "Paris" in text) and found.usage.output_tokens > 0 and found.stop_reason in ("end_turn", "max_tokens"), found


def stream():
    with client.messages.stream(model=MODEL, max_tokens=60, messages=asked) as events:
        text = "".join(events.text_stream)
        last = events.get_final_message()
    return text and last.usage.output_tokens > 0, (text, last)


def tools(**more):
    def work():
        found = client.messages.create(model=MODEL, max_tokens=200, tools=[tool], extra_body={"temperature": 0},
                                       messages=[{"role": "user", "content": "Weather in Paris?"}], **more)
        calls = [block for block in found.content if block.type == "tool_use"]
        return calls and calls[0].input.keys() == {"city"} and found.stop_reason == "tool_use", found
    return work


def tool_stream():
    with client.messages.stream(model=MODEL, max_tokens=200, tools=[tool], tool_choice={"type": "any"}, extra_body={"temperature": 0},
                                messages=[{"role": "user", "content": "Weather in Paris?"}]) as events:
        kinds = [event.type for event in events]
        last = events.get_final_message()
    calls = [block for block in last.content if block.type == "tool_use"]
    return calls and "city" in calls[0].input and "input_json" in kinds, (kinds, last)


def loop():
    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """Weather of a city."""
        return f"sunny in {city}"
    runner = client.beta.messages.tool_runner(model=MODEL, max_tokens=200, tools=[get_weather],
                                              messages=[{"role": "user", "content": "Weather in Paris?"}])
    last = runner.until_done()
    return "Paris" in last.content[-1].text, last


def count():
    return client.messages.count_tokens(model=MODEL, messages=asked, tools=[tool]).input_tokens > 10


def schema():
    found = client.messages.create(
        model=MODEL, max_tokens=200, messages=[{"role": "user", "content": "Describe Paris as JSON."}],
        extra_body={"temperature": 0, "output_config": {"format": {"type": "json_schema", "schema": WEATHER}}})
    import json
    return json.loads(found.content[-1].text).keys() == {"city"}, found


def thinking():
    found = client.messages.create(model=MODEL, max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024}, messages=asked)
    return found.content, found


attempt("messages", message)
attempt("messages.stream", stream)
if SCRIPTED:
    attempt("tools", tools())
    attempt("the package's own tool loop", loop)
attempt("tool_choice any", tools(tool_choice={"type": "any"}))
attempt("tool_choice tool", tools(tool_choice={"type": "tool", "name": "get_weather"}))
attempt("tools, streamed", tool_stream)
attempt("count_tokens", count)
attempt("thinking with a budget", thinking)
if not SCRIPTED:
    attempt("output_config.format", schema)
end()
