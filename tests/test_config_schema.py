"""The JSON Schema of afdp.yml: right about the examples that are shipped, and about what the exporter refuses."""

import re
import textwrap
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from afdp_exporter.config_schema import schema

ROOT = Path(__file__).parent.parent
SCHEMA = schema()


def documented() -> list[Any]:
    """Every whole configuration of the repository: files, and blocks of Markdown that name sources."""
    files = [*ROOT.glob("deploy/**/afdp.yml"), *ROOT.glob("tests/**/afdp.yml")]
    pages = [textwrap.dedent((ROOT / page).read_text("utf-8")) for page in ("README.md", "docs/configuration.md")]
    found = (block for page in pages for block in re.findall(r"^ *```yaml\n(.*?)```", page, re.DOTALL | re.MULTILINE))
    blocks = [block for block in map(textwrap.dedent, found) if block.startswith("sources:")]
    found = [yaml.safe_load(text) for text in (*(file.read_text("utf-8") for file in files), *blocks)]
    return [each for each in found if "sources" in each]  # some files hold a part, to be added to one's own


def test_every_example_holds_to_the_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    examples = documented()
    assert len(examples) >= 3
    for example in examples:
        assert [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(example)] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"sourcez": []},
        {"sources": []},
        {"sources": [{"kind": "carbon"}]},
        {"sources": [{"kind": "prometheus", "url": "http://x", "urll": "y"}]},
        {"sources": [{"kind": "prometheus"}]},
        {"policy": {"watch": {"looks": ["soon"]}}},
        {"metrics": [{"name": "a", "layer": "usr", "query": "a"}]},
        {"webhooks": [{"kind": "github", "secret": "x", "nope": 1}]},
    ],
)
def test_what_the_exporter_refuses_is_refused_by_an_editor_too(wrong: dict[str, Any]) -> None:
    good = {"sources": [{"kind": "prometheus", "url": "http://localhost:9090"}]}
    held = jsonschema.Draft202012Validator(SCHEMA)
    assert held.is_valid(good)
    assert not held.is_valid(good | wrong)
