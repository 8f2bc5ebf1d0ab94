"""The description of the API, and answers held against it."""

from pathlib import Path

import yaml
from aiohttp import ClientResponse
from jsonschema import Draft202012Validator

DESCRIBED = yaml.load((Path(__file__).parents[1] / "docs/openapi.yaml").read_text(), yaml.CSafeLoader)


async def described(answer: ClientResponse, method: str, path: str) -> None:
    """The answer is one that the description has: its status, its type, its content."""
    responses = DESCRIBED["paths"][path][method.lower()]["responses"]
    response = responses[str(answer.status)]
    if "$ref" in response:
        response = DESCRIBED["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"][answer.content_type]["schema"] | {"components": DESCRIBED["components"]}
    content = await (answer.json(content_type=None) if "json" in answer.content_type else answer.text())
    Draft202012Validator(schema).validate(content)
    assert set(response.get("headers", {})) <= set(answer.headers)
