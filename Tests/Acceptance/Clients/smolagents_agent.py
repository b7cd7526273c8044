"""smolagents: an agent that calls tools, over OpenAI's chats."""
from common import MODEL, NODE, SCRIPTED, TOKEN, absent, attempt, end

try:
    from smolagents import OpenAIServerModel, ToolCallingAgent, tool
    from smolagents.models import ChatMessage
except ImportError:
    absent("smolagents")


@tool
def get_weather(city: str) -> str:
    """Weather of a city.

    Args:
        city: its name
    """
    return f"sunny in {city}"


model = OpenAIServerModel(model_id=MODEL, api_base=NODE + "/v1", api_key=TOKEN, temperature=0, max_tokens=300)


def agent():
    runner = ToolCallingAgent(tools=[get_weather], model=model, max_steps=1, verbosity_level=0)
    runner.run("Weather in Paris?")
    seen = [call.name for step in runner.memory.steps for call in getattr(step, "tool_calls", None) or []]
    return seen[:1] == ["get_weather"], runner.memory.steps


def called():
    found = model.generate([ChatMessage(role="user", content=[{"type": "text", "text": "Weather in Paris?"}])],
                           tools_to_call_from=[get_weather])
    return found.tool_calls and found.tool_calls[0].function.name == "get_weather", found


attempt("a call that is required", called)
if SCRIPTED:
    attempt("an agent's step", agent)
end()
