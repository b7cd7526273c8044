"""litellm: chats, tools, formats and messages."""
import json

from common import MODEL, NODE, QUESTION, SCRIPTED, TOKEN, WEATHER, absent, attempt, end

try:
    import litellm
except ImportError:
    absent("litellm")

litellm.telemetry = False
common = dict(model="openai/" + MODEL, api_base=NODE + "/v1", api_key=TOKEN, max_tokens=200, temperature=0, num_retries=0)
tool = {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": WEATHER}}


def chat():
    text = litellm.completion(messages=[{"role": "user", "content": QUESTION}], **common).choices[0].message.content
    return "Paris" in text, text


def tools(**more):
    def work():
        found = litellm.completion(messages=[{"role": "user", "content": "Weather in Paris?"}], tools=[tool], **more, **common).choices[0]
        return json.loads(found.message.tool_calls[0].function.arguments).keys() == {"city"}, found
    return work


def stream():
    chunks = list(litellm.completion(messages=[{"role": "user", "content": "Weather in Paris?"}], tools=[tool], stream=True,
                                     tool_choice="required", **common))
    whole = litellm.stream_chunk_builder(chunks)
    return json.loads(whole.choices[0].message.tool_calls[0].function.arguments).keys() == {"city"}, whole


def formatted():
    found = litellm.completion(messages=[{"role": "user", "content": "Describe Paris as JSON."}], response_format={
        "type": "json_schema", "json_schema": {"name": "city", "schema": WEATHER, "strict": True}}, **common)
    return json.loads(found.choices[0].message.content).keys() == {"city"}, found


def anthropic():
    found = litellm.completion(model="anthropic/" + MODEL, api_base=NODE, api_key=TOKEN, max_tokens=200, num_retries=0,
                               messages=[{"role": "user", "content": "Weather in Paris?"}], tools=[tool], tool_choice="required")
    return found.choices[0].message.tool_calls[0].function.name == "get_weather", found


attempt("chat", chat)
attempt("tool_choice required", tools(tool_choice="required"))
attempt("tools, streamed", stream)
attempt("by Anthropic's messages", anthropic)
if SCRIPTED:
    attempt("tools", tools())
else:
    attempt("response_format", formatted)
end()
