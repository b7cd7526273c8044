"""instructor: Pydantic models out of chats, in its modes."""
from common import MODEL, NODE, SCRIPTED, TOKEN, absent, attempt, end

try:
    import instructor
    import openai
    from pydantic import BaseModel
except ImportError:
    absent("instructor")


class get_weather(BaseModel):  # noqa: N801
    """Weather of a city."""
    city: str


class Anything(BaseModel):
    """Any JSON object: in JSON mode the schema stands in the prompt alone, so no node can hold more."""


def extract(mode, model=get_weather):
    def work():
        client = instructor.from_openai(openai.OpenAI(base_url=NODE + "/v1", api_key=TOKEN, max_retries=0, timeout=120), mode=mode)
        found = client.chat.completions.create(model=MODEL, response_model=model, max_retries=0, max_tokens=300, temperature=0,
                                               messages=[{"role": "user", "content": "Weather in Paris?"}])
        return isinstance(found, model), found
    return work


attempt("TOOLS", extract(instructor.Mode.TOOLS))
attempt("TOOLS_STRICT", extract(instructor.Mode.TOOLS_STRICT))
if not SCRIPTED:
    attempt("JSON", extract(instructor.Mode.JSON, Anything))
    attempt("JSON_SCHEMA", extract(instructor.Mode.JSON_SCHEMA))
end()
