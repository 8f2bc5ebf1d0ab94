"""Training data as files: read back whole, described for readers of others, harmless for spreadsheets, useful."""

import csv
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest
from planted_worlds import world

from afdp_exporter.errors import ConfigError
from afdp_exporter.model import MeasuredDeployment
from afdp_exporter.planning.plans import Calendar
from afdp_exporter.planning.training import FORMATS, encode, laid_out, lay_out, write
from afdp_exporter.training_data.dataset import Dataset, Split
from afdp_exporter.watching.watch import Schedule

SALT = b"s" * 32
CREATED = datetime(2026, 11, 23, tzinfo=UTC)
LICENSE = "https://spdx.org/licenses/CC-BY-4.0"
DOCS = Path(__file__).parents[2] / "docs/training-data.md"


@pytest.fixture(scope="module")
def history() -> list[MeasuredDeployment]:
    return [MeasuredDeployment(deployment=case.deployment, impact=case.impact) for case in world(7, 240).cases]


def data_of(history: Sequence[MeasuredDeployment]) -> Dataset:
    return lay_out(history, Calendar(), salt=SALT, schedule=Schedule(), free_text=True)


@pytest.fixture(scope="module")
def data(history: list[MeasuredDeployment]) -> Dataset:
    return data_of(history)


def table(folder: Path, split: Split, form: str) -> pd.DataFrame:
    path = folder / f"data/{split}.{form}"
    if form == "parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path) if form == "csv" else pd.read_json(path, lines=True)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_reads_back_the_same_rows(data: Dataset, tmp_path: Path, form: str) -> None:
    write(data, tmp_path, form, created=CREATED, license_url=LICENSE)
    for split in Split:
        read, part = table(tmp_path, split, form), data.part(split)
        assert list(read.columns) == list(part)
        assert list(read["id_deployment"]) == part["id_deployment"]
        assert [bool(value) for value in read["chg_type_database"]] == part["chg_type_database"]
        expected = pd.Series(part["ctx_hours_since_last"], dtype=float)
        pd.testing.assert_series_equal(read["ctx_hours_since_last"].astype(float), expected, check_names=False)
        assert list(pd.to_datetime(read["id_started_at"], format="ISO8601")) == part["id_started_at"]


@pytest.mark.parametrize("form", FORMATS)
def test_the_sums_hold_for_every_file_and_nothing_else_is_there(data: Dataset, tmp_path: Path, form: str) -> None:
    written = write(data, tmp_path, form, created=CREATED, license_url=LICENSE)
    sums = dict(reversed(line.split("  ")) for line in (tmp_path / "SHA256SUMS").read_text().splitlines())
    present = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert present == set(sums) | {"SHA256SUMS"} == {str(path.relative_to(tmp_path)) for path in written}
    for path, digest in sums.items():
        assert hashlib.sha256((tmp_path / path).read_bytes()).hexdigest() == digest
    described = json.loads((tmp_path / "feature_dictionary.json").read_text())
    assert [entry["name"] for entry in described] == list(data.columns)


def run(folder: Path, code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_data_package_and_the_croissant_are_read_by_their_own_libraries(data: Dataset, tmp_path: Path) -> None:
    write(data, tmp_path, "csv", created=CREATED, license_url=LICENSE)
    run(tmp_path, "import frictionless as f; r = f.validate('datapackage.json'); assert r.valid, r.flatten()")
    code = (
        "import mlcroissant as m; d = m.Dataset(jsonld='croissant.json'); assert not d.metadata.issues.errors;"
        "print(sum(1 for split in ('train', 'validation', 'test') for _ in d.records(split)))"
    )
    assert int(run(tmp_path, code)) == data.rows


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_of_a_csv_is_a_formula_and_no_number_is_touched(history: list[MeasuredDeployment], begin: str) -> None:
    formula = f'{begin}HYPERLINK("http://x","y")'
    cells = [
        replace(each, deployment=replace(each.deployment, service=formula, description=formula, traits={"delta": -5.0}))
        for each in history[:6]
    ]
    data = data_of(cells)
    rows = list(csv.DictReader(encode(data.features, data.columns, "csv").decode().splitlines(keepends=True)))
    assert {row["id_service"] for row in rows} == {row["id_description"] for row in rows} == {f"'{formula}"}
    assert {float(row["chg_trait_delta"]) for row in rows} == {-5.0}


def test_an_embargo_is_longer_than_the_last_look(history: list[MeasuredDeployment]) -> None:
    late = Schedule(looks=(timedelta(minutes=10), timedelta(days=3)))
    data = lay_out(history, Calendar(), salt=SALT, schedule=late, free_text=False)
    assert data.embargo > timedelta(days=3)
    assert data.left_out > lay_out(history, Calendar(), salt=SALT, schedule=Schedule(), free_text=False).left_out


def test_nothing_is_written_over(data: Dataset, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(ConfigError, match="is not empty"):
        write(data, tmp_path, "csv", created=CREATED, license_url=LICENSE)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_history_without_anything_measured_makes_empty_files(tmp_path: Path) -> None:
    write(data_of([]), tmp_path, "csv", created=CREATED, license_url=LICENSE)
    assert len((tmp_path / "data/train.csv").read_text().splitlines()) == 1
    words = {"free_text": False, "form": "jsonl"}
    assert laid_out([], Calendar(), SALT, Schedule(), **words) == b""  # type: ignore[arg-type]


def test_the_example_of_the_docs_beats_the_base_rate(tmp_path: Path) -> None:
    long = [MeasuredDeployment(deployment=case.deployment, impact=case.impact) for case in world(9, 900).cases]
    write(data_of(long), tmp_path / "training", "csv", created=CREATED, license_url=LICENSE)
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len([line for line in example.splitlines() if line]) <= 10
    model, base = (float(figure) for figure in re.findall(r"\d\.\d+", run(tmp_path, example)))
    assert model < base
