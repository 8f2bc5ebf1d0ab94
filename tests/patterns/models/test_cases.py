"""What a model keeps of its cases: as much as was known of each, and how far a planned deployment agrees with it."""

import pickle

import numpy as np
import pytest
from planted_worlds import START, World

from afdp_exporter.patterns import fit
from afdp_exporter.patterns.features.extraction import FeatureValue, example_features
from afdp_exporter.patterns.models.cases import CaseTable, case_table

PLANNED: dict[str, FeatureValue] = {
    "change_types": frozenset({"database", "code"}),
    "hour": 23.0,
    "holiday": False,
    "traits.table_rows": 1e5,
    "traits.region": "eu",
}


@pytest.fixture(scope="module")
def table(steady: World) -> CaseTable:
    return case_table(steady.cases, [example_features(case) for case in steady.cases], "USD")


def test_the_traits_of_each_case_come_back_as_they_were(steady: World, table: CaseTable) -> None:
    for number, case in enumerate(steady.cases):
        assert table.features(number, table.traits.keys()) == example_features(case)


@pytest.mark.parametrize(
    ("name", "other", "agreed"),
    [
        ("change_types", frozenset({"database"}), 0.5),
        ("change_types", frozenset({"config"}), 0.0),
        ("hour", 1.0, np.exp(-0.5)),
        ("hour", 23.0, 1.0),
        ("holiday", False, 1.0),
        ("traits.table_rows", 1e6, np.exp(-0.5)),
        ("traits.region", "us", 0.0),
        ("traits.region", "eu", 1.0),
        ("traits.region", None, 0.0),
    ],
)
def test_a_trait_agrees_by_how_near_its_values_are(
    steady: World, name: str, other: FeatureValue | None, agreed: float
) -> None:
    traits = [{name: other} if other is not None else {}, {name: PLANNED[name]}]
    (column,) = case_table(steady.cases[:2], traits, None).traits.values()
    assert column.agreement(name, PLANNED[name], 2.0) == pytest.approx([agreed, 1.0], abs=1e-5)
    assert column.known.tolist() == [other is not None, True]


def test_a_service_without_cases_is_taken_for_a_usual_one(steady: World, table: CaseTable) -> None:
    home = steady.cases[0].deployment.service
    assert {table.services[case] for case in table.of(home)} == {home}
    assert table.of("new").size == len(steady.cases)
    assert table.parts_of_the_week(home).total() == table.of(home).size
    assert not table.parts_of_the_week("new")


def test_a_model_comes_back_from_another_process_as_it_was(steady: World) -> None:
    model = fit(steady.cases, service="service-0", team="shop", now=steady.cases[-1].impact.measured_at)
    content = pickle.dumps(model)
    again = pickle.loads(content)
    assert again.cases.ids == model.cases.ids
    assert again.home == model.home
    assert again.cases.started_at[-1] > START
    assert len(content) < 2_000_000
