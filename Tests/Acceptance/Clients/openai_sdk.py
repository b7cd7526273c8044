"""The openai package: chats, tools, responses and parsing."""
import json
from typing import Literal

from common import ANSWER, MODEL, NODE, QUESTION, SCRIPTED, TOKEN, WEATHER, absent, attempt, end

try:
    import openai
    from pydantic import BaseModel, Field
except ImportError:
    absent("openai")

client = openai.OpenAI(base_url=NODE + "/v1", api_key=TOKEN, max_retries=0, timeout=120)
asked = [{"role": "user", "content": QUESTION}]
tool = {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": WEATHER}}
flat = {"type": "function", "name": "get_weather", "description": "Weather", "parameters": WEATHER, "strict": True}


class City(BaseModel):
    name: str = Field(max_length=24)
    population: int = Field(ge=0, le=40_000_000)
    river: Literal["Seine", "Thames"]


def chat():
    text = client.chat.completions.create(model=MODEL, messages=asked, max_tokens=60, temperature=0).choices[0].message.content
    return "Paris" in text, text


def tools(stream, **more):
    def work():
        kwargs = dict(model=MODEL, messages=[{"role": "user", "content": "Weather in Paris?"}], tools=[tool], temperature=0,
                      max_tokens=200, **more)
        if not stream:
            choice = client.chat.completions.create(**kwargs).choices[0]
            calls, reason = choice.message.tool_calls or [], choice.finish_reason
            found = [(c.id, c.function.name, c.function.arguments) for c in calls]
        else:
            parts, reason = {}, None
            for chunk in client.chat.completions.create(stream=True, **kwargs):
                for choice in chunk.choices:
                    reason = choice.finish_reason or reason
                    for delta in choice.delta.tool_calls or []:
                        part = parts.setdefault(delta.index, ["", "", ""])
                        part[0] += delta.id or ""
                        part[1] += delta.function.name or ""
                        part[2] += delta.function.arguments or ""
            found = [tuple(parts[i]) for i in sorted(parts)]
        good = [1 for id, name, arguments in found if id and name == "get_weather" and "city" in json.loads(arguments)]
        exact = not SCRIPTED or [json.loads(f[2]) for f in found] == [{"city": "Paris"}]
        return len(found) >= 1 and len(good) == len(found) and reason == "tool_calls" and exact, (found, reason)
    return work


def loop():
    messages = [{"role": "user", "content": "Weather in Paris?"}]
    first = client.chat.completions.create(model=MODEL, messages=messages, tools=[tool], temperature=0, max_tokens=200,
                                           tool_choice="auto" if SCRIPTED else "required").choices[0].message
    messages.append(first.model_dump(exclude_none=True))
    messages += [{"role": "tool", "tool_call_id": c.id, "content": "sunny"} for c in first.tool_calls]
    second = client.chat.completions.create(model=MODEL, messages=messages, tools=[tool], temperature=0, max_tokens=80).choices[0]
    return second.message.content is not None and (not SCRIPTED or second.message.content == ANSWER), second


def parse_chat():
    found = client.chat.completions.parse(model=MODEL, messages=[{"role": "user", "content": "Describe Paris as JSON."}],
                                          response_format=City, max_tokens=300, temperature=0).choices[0].message.parsed
    return isinstance(found, City), found


def parse_response():
    found = client.responses.parse(model=MODEL, input="Describe Paris as JSON.", text_format=City, max_output_tokens=300,
                                   temperature=0).output_parsed
    return isinstance(found, City), found


def parse_tool():
    class get_weather(BaseModel):  # noqa: N801
        city: str
    found = client.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": "Weather in Paris?"}], tools=[openai.pydantic_function_tool(get_weather)],
        tool_choice="required", max_tokens=300, temperature=0).choices[0].message.tool_calls
    return found and isinstance(found[0].function.parsed_arguments, get_weather), found


def response():
    found = client.responses.create(model=MODEL, input=QUESTION, max_output_tokens=60, temperature=0)
    return "Paris" in found.output_text and found.status in ("completed", "incomplete"), found


def response_stream():
    kinds, text = [], ""
    with client.responses.stream(model=MODEL, input=QUESTION, max_output_tokens=60, temperature=0) as events:
        for event in events:
            kinds.append(event.type)
            text += event.delta if event.type == "response.output_text.delta" else ""
        last = events.get_final_response()
    return kinds[0] == "response.created" and kinds[-1] in ("response.completed", "response.incomplete") \
        and last.output_text == text and "Paris" in text, (kinds, text)


def response_tools(choice):
    def work():
        found = client.responses.create(model=MODEL, input="Weather in Paris?", tools=[flat], tool_choice=choice, temperature=0,
                                        max_output_tokens=200)
        calls = [item for item in found.output if item.type == "function_call"]
        return calls and json.loads(calls[0].arguments).keys() == {"city"} and calls[0].name == "get_weather", found
    return work


def response_tool_stream():
    with client.responses.stream(model=MODEL, input="Weather in Paris?", tools=[flat], tool_choice="required", temperature=0,
                                 max_output_tokens=200) as events:
        text = "".join(e.delta for e in events if e.type == "response.function_call_arguments.delta")
        last = events.get_final_response()
    calls = [item for item in last.output if item.type == "function_call"]
    return calls and calls[0].arguments == text, (text, last)


def models():
    return client.models.list().data[0].id == MODEL


attempt("models", models)
attempt("chat", chat)
if SCRIPTED:
    attempt("tools, whole", tools(False))
    attempt("tools, streamed", tools(True))
attempt("tool_choice required, whole", tools(False, tool_choice="required"))
attempt("tool_choice required, streamed", tools(True, tool_choice="required"))
attempt("tool_choice named", tools(False, tool_choice={"type": "function", "function": {"name": "get_weather"}}))
attempt("an agent's loop", loop)
attempt("responses.create", response)
attempt("responses.stream", response_stream)
attempt("responses.create, a tool required", response_tools("required"))
attempt("responses.create, a tool named", response_tools({"type": "function", "name": "get_weather"}))
attempt("responses.stream, a tool required", response_tool_stream)
if SCRIPTED:
    attempt("responses.create, a strict tool", response_tools("auto"))
attempt("chat.completions.parse, a tool", parse_tool)
if not SCRIPTED:
    attempt("chat.completions.parse", parse_chat)
    attempt("responses.parse", parse_response)
end()
