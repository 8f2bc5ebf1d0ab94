"""A configuration file that cannot be read is reported by its place, and by nothing that stands in it."""

from pathlib import Path

import pytest

from afdp_exporter.errors import ConfigError
from afdp_exporter.settings import read_yaml

FAULTS = {
    "a quote that is not closed": 'tokens:\n  - token: "canary\n',
    "a bracket that is not closed": "tokens: [canary, {canary: canary\n",
    "a tab": "tokens:\n\t- canary\n",
    "an alias": "token: *canary\n",
    "a tag": "token: !canary 1\n",
    "a directive": "%YAML canary\n---\n",
    "an escape": 'token: "canary\\q"\n',
    "two documents": "token: canary\n---\ntoken: canary\n",
    "a value for a value": "token: canary: canary\n",
    "a list for a key": "[canary]: 1\n? {canary: 1}\n: 2\n",
    "a control character": "token: canary\x01\n",
    "a date that is none": "token: 2026-99-99\nother: canary\n",
    "a block that ends early": "a:\n    token: canary\n  b: canary\n",
}


@pytest.mark.parametrize("text", FAULTS.values(), ids=FAULTS)
def test_no_value_of_the_file_is_repeated(tmp_path: Path, text: str) -> None:
    file = tmp_path / "afdp.yml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_yaml(file)
    assert "canary" not in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    "text", ["tokens: [a]\nmetrics: []\ntokens: []\n", "a: {b: 1, c: 2, b: 3}\n", "a:\n- b: 1\n  'b': 2\n"]
)
def test_a_key_that_is_there_twice_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    file = tmp_path / "afdp.yml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"is not YAML: line \d+, column \d+: a key is there twice"):
        read_yaml(file)


@pytest.mark.parametrize("text", ["[" * 5000 + "]" * 5000, "{a: " * 5000 + "1" + "}" * 5000, "- " * 5000 + "1"])
def test_what_is_nested_without_end_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "afdp.yml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="nested too deep"):
        read_yaml(file)


def test_merged_and_nested_blocks_are_read(tmp_path: Path) -> None:
    file = tmp_path / "afdp.yml"
    file.write_text("base: &b {a: 1, b: 2}\nmore: {<<: *b, b: 3, c: {d: [1, {e: 2}]}}\n")
    assert read_yaml(file)["more"] == {"a": 1, "b": 3, "c": {"d": [1, {"e": 2}]}}
