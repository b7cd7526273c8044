"""langchain-openai and langchain-anthropic: agents with a tool, structured output."""
from common import MODEL, NODE, SCRIPTED, TOKEN, absent, attempt, end

from typing import Literal

try:
    from langchain.agents import create_agent
    from langchain_anthropic import ChatAnthropic
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from pydantic import BaseModel
except ImportError:
    absent("langchain")


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"sunny in {city}"


class City(BaseModel):
    """A city."""
    # Bounds of numbers and lengths don't reach every protocol, and a small model writes digits without end.
    name: Literal["Paris", "Rome"]
    is_capital: bool


chats = {
    "langchain-openai": ChatOpenAI(model=MODEL, base_url=NODE + "/v1", api_key=TOKEN, temperature=0, max_tokens=300, max_retries=0),
    "langchain-openai, responses": ChatOpenAI(model=MODEL, base_url=NODE + "/v1", api_key=TOKEN, temperature=0, max_tokens=300,
                                              max_retries=0, use_responses_api=True),
    "langchain-anthropic": ChatAnthropic(model=MODEL, base_url=NODE, api_key=TOKEN, temperature=0, max_tokens=300, max_retries=0),
}


def agent(chat):
    def work():
        messages = create_agent(chat, [get_weather]).invoke({"messages": [("user", "Weather in Paris?")]})["messages"]
        kinds = [type(message).__name__ for message in messages]
        return kinds == ["HumanMessage", "AIMessage", "ToolMessage", "AIMessage"] and "Paris" in messages[-1].text, messages
    return work


def streamed(chat):
    def work():
        pieces = [piece for piece in chat.bind_tools([get_weather]).stream("Weather in Paris?")]
        whole = pieces[0]
        for piece in pieces[1:]:
            whole += piece
        return whole.tool_calls[0]["args"] == {"city": "Paris"}, whole
    return work


def structured(chat, **more):
    def work():
        found = chat.with_structured_output(City, **more).invoke("Describe Paris.")
        return isinstance(found, City), found
    return work


def forced(chat):
    def work():
        found = chat.bind_tools([get_weather], tool_choice="any").invoke("Weather in Paris?")
        return found.tool_calls and found.tool_calls[0]["name"] == "get_weather", found
    return work


for name, chat in chats.items():
    attempt(f"{name}: tool_choice any", forced(chat))
    if SCRIPTED:
        attempt(f"{name}: agent", agent(chat))
        attempt(f"{name}: tools, streamed", streamed(chat))
    else:
        attempt(f"{name}: structured, json_schema", structured(chat, method="json_schema"))
        attempt(f"{name}: structured, function_calling", structured(chat, method="function_calling"))
end()
