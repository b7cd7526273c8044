"""openai-agents: agents with a tool, by responses and by chats, whole and streamed."""
import asyncio

from common import MODEL, NODE, SCRIPTED, TOKEN, absent, attempt, end

try:
    from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
    from openai import AsyncOpenAI
    from pydantic import BaseModel, Field
except ImportError:
    absent("openai-agents")

set_tracing_disabled(True)


@function_tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"sunny in {city}"


class City(BaseModel):
    name: str = Field(max_length=24)
    population: int = Field(ge=0, le=40_000_000)


def agent(kind, **more):
    # Each check runs a loop of its own, and a client belongs to one.
    client = AsyncOpenAI(base_url=NODE + "/v1", api_key=TOKEN, max_retries=0, timeout=120)
    return Agent(name="guide", instructions="Help.", model=kind(model=MODEL, openai_client=client),
                 model_settings=ModelSettings(temperature=0, max_tokens=300), **more)


def tools(kind):
    def work():
        found = Runner.run_sync(agent(kind, tools=[get_weather]), "Weather in Paris?")
        kinds = [item.type for item in found.new_items]
        return "tool_call_item" in kinds and "tool_call_output_item" in kinds and "Paris" in found.final_output, (kinds, found.final_output)
    return work


def streamed(kind):
    async def run():
        found = Runner.run_streamed(agent(kind, tools=[get_weather]), "Weather in Paris?")
        async for _ in found.stream_events():
            pass
        return found.final_output

    def work():
        text = asyncio.run(run())
        return "Paris" in text, text
    return work


def typed(kind):
    def work():
        found = Runner.run_sync(agent(kind, output_type=City), "Describe Paris.").final_output
        return isinstance(found, City), found
    return work


for name, kind in {"responses": OpenAIResponsesModel, "chat": OpenAIChatCompletionsModel}.items():
    if SCRIPTED:
        attempt(f"{name}: agent with a tool", tools(kind))
        attempt(f"{name}: the same, streamed", streamed(kind))
    else:
        attempt(f"{name}: typed output", typed(kind))
end()
