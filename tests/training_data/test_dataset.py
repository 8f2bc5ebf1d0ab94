"""Training data: what may feed a model stands apart, time is never crossed, people stay hidden."""

import csv
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from planted_worlds import World

from afdp_exporter.model import Outcome
from afdp_exporter.patterns.models.logistic import SpikeAndSlabPrior, fit_logistic
from afdp_exporter.training_data.dataset import Dataset, Kind, Role, Split, dataset
from afdp_exporter.training_data.metadata import File, card, croissant, datapackage, feature_dictionary

pytestmark = pytest.mark.many_worlds

SALT = b"salt of a test"
CREATED = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def data(two_part: World) -> Dataset:
    return dataset(two_part.cases, salt=SALT)


def write(data: Dataset, folder: Path) -> list[File]:
    """Every split as CSV, the way an export lays it out."""
    (folder / "data").mkdir()
    files = []
    for split in Split:
        path = folder / "data" / f"{split}.csv"
        part = data.part(split)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(part)
            writer.writerows(zip(*([cell(value) for value in column] for column in part.values()), strict=True))
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        files.append(File(split=split, path=f"data/{split}.csv", format="csv", sha256=digest, size=len(content)))
    return files


def cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value


def test_every_column_is_described_and_its_prefix_shows_its_role(data: Dataset) -> None:
    assert [feature.name for feature in data.features] == list(data.columns)
    prefixes = {Role.ID: ("id_", "split"), Role.CONTEXT: "ctx_", Role.INPUT: "chg_", Role.OUTCOME: "out_"}
    for feature in data.features:
        assert feature.name.startswith(prefixes.get(feature.role, "label"))
        assert feature.description
    assert len({len(column) for column in data.columns.values()}) == 1


def test_what_may_feed_a_model_is_known_before_the_deployment(data: Dataset) -> None:
    before = {entry["name"] for entry in feature_dictionary(data) if entry["available_at"] == "before"}
    assert not any(str(name).startswith(("out_", "label")) for name in before)


def test_the_future_of_a_case_changes_none_of_its_features(two_part: World, data: Dataset) -> None:
    blank = [
        replace(case, impact=replace(case.impact, shifts=(), costs=(), outcome=Outcome.UNKNOWN))
        for case in two_part.cases
    ]
    other = dataset(blank, salt=SALT)
    for feature in other.features:
        if feature.role in {Role.CONTEXT, Role.INPUT}:
            assert other.columns[feature.name] == data.columns[feature.name]


def test_splits_follow_time_and_leave_a_gap_as_long_as_an_impact_is_measured(data: Dataset) -> None:
    times = [[at for at in data.part(split)["id_started_at"] if isinstance(at, datetime)] for split in Split]
    for cut, earlier, later in zip(data.cuts, times, times[1:], strict=False):
        assert max(earlier) + data.embargo < cut <= min(later)
    assert data.left_out > 0


def test_few_cases_make_one_split_and_none_is_lost(two_part: World) -> None:
    small = dataset(two_part.cases[:2], salt=SALT)
    assert (small.rows, small.left_out, small.columns["split"]) == (2, 0, ["train", "train"])
    assert dataset([], salt=SALT).rows == 0


def test_people_cannot_be_read_and_another_salt_gives_other_names(two_part: World, data: Dataset) -> None:
    names = {case.deployment.actor for case in two_part.cases}
    assert names.isdisjoint(data.columns["id_actor"])
    assert len(set(data.columns["id_actor"])) == len(names)
    assert set(data.columns["id_actor"]).isdisjoint(dataset(two_part.cases, salt=b"another").columns["id_actor"])


def test_free_text_is_there_only_when_asked(two_part: World) -> None:
    secret = "ask Anna Example about it"
    cases = [
        replace(
            case,
            deployment=replace(
                case.deployment, description=secret, traits={**case.deployment.traits, "reason": f"{secret} {number}"}
            ),
        )
        for number, case in enumerate(two_part.cases)
    ]
    quiet, wordy = dataset(cases, salt=SALT), dataset(cases, salt=SALT, free_text=True)
    assert secret not in str(quiet.columns)
    assert secret in wordy.columns["id_description"]
    assert "chg_trait_reason" in wordy.columns
    assert "Free text is left out" in card(quiet, [], created=CREATED)
    assert "Free text is included" in card(wordy, [], created=CREATED)


def test_a_human_label_counts_more_than_the_measured_one(two_part: World) -> None:
    case = two_part.cases[0]
    human = replace(case, deployment=replace(case.deployment, labelled_outcome=Outcome.FAILURE))
    columns = dataset([human], salt=SALT).columns
    assert (columns["label"], columns["label_source"]) == (["failure"], ["human"])


def test_what_is_unknown_is_empty_and_never_zero(two_part: World, data: Dataset) -> None:
    rows = data.columns["chg_trait_table_rows"]
    types = data.columns["chg_type_database"]
    assert all((value is None) is not changed for value, changed in zip(rows, types, strict=True))


@pytest.mark.parametrize("kind", list(Kind))
def test_a_column_holds_values_of_its_type_only(data: Dataset, kind: Kind) -> None:
    python = {Kind.TEXT: str, Kind.NUMBER: float, Kind.BOOLEAN: bool, Kind.TIME: datetime}[kind]
    for feature in data.features:
        if feature.kind is kind:
            assert all(isinstance(value, python) for value in data.columns[feature.name] if value is not None)


def test_frictionless_finds_no_fault(data: Dataset, tmp_path: Path) -> None:
    package = datapackage(data, write(data, tmp_path), created=CREATED)
    (tmp_path / "datapackage.json").write_text(json.dumps(package), encoding="utf-8")
    code = (
        "import sys, frictionless as f; r = f.validate('datapackage.json'); print(r.flatten()); sys.exit(not r.valid)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_croissant_reads_back_every_row(data: Dataset, tmp_path: Path) -> None:
    files = write(data, tmp_path)
    described = croissant(data, files, created=CREATED, license_url="https://spdx.org/licenses/CC-BY-4.0")
    (tmp_path / "croissant.json").write_text(json.dumps(described), encoding="utf-8")
    code = (
        "import mlcroissant as m; d = m.Dataset(jsonld='croissant.json'); assert not d.metadata.issues.errors;"
        "assert not d.metadata.issues.warnings, d.metadata.issues.report();"
        "print(sum(1 for split in ('train', 'validation', 'test') for _ in d.records(split)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == data.rows


def test_a_model_trained_on_the_columns_before_beats_the_base_rate(two_part: World, data: Dataset) -> None:
    train, test = (data.part(split) for split in (Split.TRAIN, Split.TEST))
    names = ["chg_type_database", "ctx_event_sale"]

    def table(part: dict[str, list[object]]) -> np.ndarray:
        return np.array([part[name] for name in names], dtype=float).T

    def trouble(part: dict[str, list[object]]) -> np.ndarray:
        return np.array([label != "success" for label in part["label"]], dtype=float)

    belief = SpikeAndSlabPrior(
        intercept_mean=-1.7, intercept_sd=0.7, inclusion_probability=np.full(2, 0.5), slab_sd=np.ones(2)
    )
    fit = fit_logistic(table(train), trouble(train), np.ones(len(train["label"])), belief)
    error = np.mean((fit.log_odds(table(test)).probability - trouble(test)) ** 2)
    assert error < np.mean((trouble(train).mean() - trouble(test)) ** 2)
