"""What holds for every receiver, found by its file."""

import importlib
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from afdp_exporter.errors import ConfigError
from afdp_exporter.settings import build, kinds

PAGE = (Path(__file__).parents[2] / "docs/notifications.md").read_text()


@pytest.mark.parametrize("kind", kinds("notify"))
def test_a_receiver_is_documented_with_each_of_its_settings(kind: str) -> None:
    plugin = importlib.import_module(f"afdp_exporter.notify.{kind}").PLUGIN
    assert is_dataclass(plugin)
    part = PAGE.split(f"## `{kind}`")[1].split("\n## ")[0]
    assert not [entry.name for entry in fields(plugin) if f"`{entry.name}`" not in part]


@pytest.mark.parametrize("kind", kinds("notify"))
@pytest.mark.parametrize(
    "block",
    [
        {"url": "ftp://example.org"},
        {"url": "http://ada:canary@example.org"},
        {"url": "http://example.org?token=canary"},
        {"url": "http://example.org", "timeout": "0s"},
        {"url": "http://example.org", "tokens": "canary"},
        {"url": "http://example.org", "authorization": {"credentials": "canary"}, "basic_auth": {"username": "a"}},
        {},
    ],
)
def test_a_block_that_cannot_work_stops_the_start_by_its_place_and_holds_no_secret(kind: str, block: object) -> None:
    with pytest.raises(ConfigError) as raised:
        build("notify", kind, block, "notify[0]")
    assert str(raised.value).startswith("notify[0]")
    assert "canary" not in str(raised.value)
