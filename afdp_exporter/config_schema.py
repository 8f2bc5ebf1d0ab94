"""The JSON Schema of the configuration file, made of the very classes that read it, for editors."""

import importlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema

from afdp_exporter import settings
from afdp_exporter.bills import ListPrice
from afdp_exporter.config import ConfigFile
from afdp_exporter.executors import Scope
from afdp_exporter.webhooks import Secrets

NAME = "afdp.schema.json"
"""The file that holds it, beside the configuration."""

BLOCKS = {
    "sources": "sources",
    "notify": "notify",
    "feeds": "feeds",
    "webhooks": "webhooks",
    "rollback": "executors",
    "bills": "bills",
}
SHARED: dict[str, type] = {"webhooks": Secrets, "rollback": Scope, "bills": ListPrice}
NAMED = {"type": "string", "description": "Its name; without one it is called by its kind."}


class _Lenient(GenerateJsonSchema):
    """Describes a type that only we can read by nothing, which accepts anything."""

    def handle_invalid_for_json_schema(self, schema: CoreSchema, error_info: str) -> JsonSchemaValue:  # noqa: ARG002
        return {}


def text() -> str:
    """The schema as a file holds it."""
    return json.dumps(schema(), indent=1, sort_keys=True) + "\n"


def schema() -> dict[str, Any]:
    """The whole schema; a kind whose optional package is not installed may hold anything."""
    adapters: list[tuple[str, Any, TypeAdapter[Any]]] = [("file", "validation", TypeAdapter(ConfigFile))]
    adapters += [(block, "validation", TypeAdapter(kind)) for block, kind in SHARED.items()]
    adapters += [(name, "validation", TypeAdapter(plugin)) for name, plugin in _plugins()]
    found, whole = TypeAdapter.json_schemas(adapters, schema_generator=_Lenient)
    definitions = whole["$defs"]
    of = {name: definitions.get(each.get("$ref", "").rpartition("/")[2], each) for (name, _), each in found.items()}
    file = of["file"]
    for block, package in BLOCKS.items():
        known = {kind: of.get(f"{block}/{kind}") for kind in settings.kinds(package)}
        file["properties"][block]["items"] = _block(known, of[block]["properties"] if block in SHARED else {})
    described: dict[str, Any] = _plain(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "afdp.yml, the configuration of afdp-exporter",
            **{name: value for name, value in file.items() if name != "title"},
            "$defs": {name: each for name, each in definitions.items() if name != "ConfigFile"},
        }
    )
    return described


def _plugins() -> Iterator[tuple[str, type]]:
    """Each kind that can be imported, by its block: `sources/prometheus`."""
    for block, package in BLOCKS.items():
        for kind in settings.kinds(package):
            with suppress(ModuleNotFoundError):  # of an extra
                yield f"{block}/{kind}", importlib.import_module(f"afdp_exporter.{package}.{kind}").PLUGIN


def _block(kinds: Mapping[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """An entry of a list of plugins: what else it may hold follows from its kind."""
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": sorted(kinds)}},
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}},
                "then": {
                    "properties": {"kind": {}, "name": NAMED, **shared, **found.get("properties", {})},
                    "required": found.get("required", []),
                    "additionalProperties": False,
                },
            }
            for kind, found in sorted(kinds.items())
            if found is not None
        ],
    }


def _plain(node: Any) -> Any:  # noqa: ANN401 - any part of a schema
    """Without names of classes, and without defaults of lengths of time, which JSON writes in another way than we."""
    if isinstance(node, list):
        return [_plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    timed = "'P" in repr(node.get("default"))
    left_out = {"default"} if timed else set()
    if isinstance(node.get("title"), str) and "$schema" not in node:
        left_out.add("title")
    return {name: _plain(value) for name, value in node.items() if name not in left_out}
