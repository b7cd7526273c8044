"""pydantic-ai: an agent with a tool, and typed output, over three protocols."""
from common import MODEL, NODE, SCRIPTED, TOKEN, absent, attempt, end

try:
    from anthropic import AsyncAnthropic
    from anthropic.types.beta import BetaMessageParam
    from pydantic import BaseModel, Field
    from pydantic_ai import Agent, NativeOutput
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.anthropic import AnthropicProvider
    from pydantic_ai.providers.openai import OpenAIProvider
except ImportError:
    absent("pydantic-ai")


class City(BaseModel):
    name: str = Field(max_length=24)
    population: int = Field(ge=0, le=40_000_000)


# Some releases of the two packages don't go together: the message's type cannot be made.
goes_together = isinstance(BetaMessageParam, type)
provider = OpenAIProvider(base_url=NODE + "/v1", api_key=TOKEN)
models = {
    "chat": OpenAIChatModel(MODEL, provider=provider),
    "responses": OpenAIResponsesModel(MODEL, provider=provider),
} | ({} if not goes_together else {
    "messages": AnthropicModel(MODEL, provider=AnthropicProvider(
        anthropic_client=AsyncAnthropic(base_url=NODE, api_key=TOKEN, max_retries=0))),
})
settings = {"temperature": 0.0, "max_tokens": 300}


def tools(model):
    def work():
        agent = Agent(model, model_settings=settings)

        @agent.tool_plain
        def get_weather(city: str) -> str:
            """Weather of a city."""
            return f"sunny in {city}"
        found = agent.run_sync("Weather in Paris?")
        kinds = [part.part_kind for message in found.all_messages() for part in message.parts]
        return "tool-call" in kinds and "tool-return" in kinds and "Paris" in found.output, (kinds, found.output)
    return work


def typed(model, output):
    def work():
        found = Agent(model, output_type=output, model_settings=settings, retries=0).run_sync("Describe Paris.").output
        return isinstance(found, City), found
    return work


for name, model in models.items():
    if SCRIPTED:
        attempt(f"{name}: agent with a tool", tools(model))
    else:
        attempt(f"{name}: output by a tool", typed(model, City))
        if name != "messages":
            attempt(f"{name}: native output", typed(model, NativeOutput(City)))
end()
