"""Everything that the domain can say comes back from the file as it was."""

import asyncio
import collections.abc
import dataclasses
import enum
import typing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afdp_exporter.model import Announcement, Deployment, Impact, Look, LookState, Prediction
from afdp_exporter.model.actions import Action
from afdp_exporter.model.gate import GateDecision, Rollout
from afdp_exporter.store.sqlite import SQLiteStore

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

texts = st.text(st.characters(codec="utf-8"), max_size=20)
figures = st.floats(allow_nan=False, allow_infinity=False)
zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-8))])
microseconds = st.integers(-(10**16), 10**17).map(lambda number: timedelta(microseconds=number))
times = st.builds(lambda since, zone: (EPOCH + since).astimezone(zone), microseconds, zones)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | figures | texts
json = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))
PLAIN = {
    str: texts,
    float: figures,
    datetime: times,
    timedelta: microseconds,
    int: st.integers(0, 10**9),
    bool: st.booleans(),
    type(None): st.none(),
    object: json,
}


def anything(kind: typing.Any) -> st.SearchStrategy[typing.Any]:  # noqa: ANN401 - any annotation
    """Any value of an annotation of the model, with every field drawn."""
    parts = typing.get_args(kind)
    if kind in PLAIN:
        return PLAIN[kind]
    if dataclasses.is_dataclass(kind):
        return st.builds(kind, **{field.name: anything(field.type) for field in dataclasses.fields(kind)})
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return st.sampled_from(kind)
    if typing.get_origin(kind) is tuple:
        return st.lists(anything(parts[0]), max_size=3).map(tuple)
    if typing.get_origin(kind) is collections.abc.Mapping:
        return st.dictionaries(anything(parts[0]), anything(parts[1]), max_size=3)
    return st.one_of([anything(part) for part in parts])


async def keep(store: SQLiteStore, deployment: Deployment, look: Look, impact: Impact) -> None:
    """Keep all three, and see that they come back."""
    answered = dataclasses.replace(look, deployment_id=deployment.id, state=LookState.DONE)
    due = dataclasses.replace(look, deployment_id=deployment.id, after=look.after + timedelta(1), state=LookState.DUE)
    by_metric = {shift.metric: shift for shift in impact.shifts}
    impact = dataclasses.replace(impact, deployment_id=deployment.id, shifts=tuple(by_metric.values()))

    await store.deployments.record(deployment, (answered, due))
    assert await store.deployments.find(deployment.id) == deployment
    assert await store.looks.of_deployment(deployment.id) == (answered, due)

    done = dataclasses.replace(answered, after=due.after)
    await store.looks.finish(done, impact)
    assert await store.looks.of_deployment(deployment.id) == (answered, done)
    assert await store.results.impact(deployment.id) == impact


def test_any_deployment_look_and_impact_come_back_exactly(path: Path) -> None:
    with asyncio.Runner() as runner:
        store = runner.run(SQLiteStore.open(path))
        number = count()

        @settings(deadline=None)
        @given(anything(Deployment), anything(Look), anything(Impact))
        def check(deployment: Deployment, look: Look, impact: Impact) -> None:
            unique = dataclasses.replace(deployment, id=f"{next(number)}-{deployment.id}")
            runner.run(keep(store, unique, look, impact))

        check()
        runner.run(store.close())


async def test_what_many_deployments_did_is_read_once_and_holds_a_common_reason_once(
    path: Path, deployment: Callable[..., Deployment], look: Callable[..., Look], impact: Callable[..., Impact]
) -> None:
    store, reason = await SQLiteStore.open(path), "it stayed within its normal variation, as far as that is known"
    shifts = tuple(dataclasses.replace(shift, reason=reason) for shift in impact().shifts)
    for name in ("d1", "d2"):
        await store.deployments.record(deployment(name), (look(name),))
        await store.looks.finish(dataclasses.replace(look(name), state=LookState.DONE), impact(name, shifts=shifts))
    first, again = [await store.history.of(["d1", "d2"]) for _ in range(2)]
    await store.close()
    assert [id(each) for each in first] == [id(each) for each in again]
    assert len({id(shift.reason) for each in first if each.impact for shift in each.impact.shifts}) == 1


@pytest.mark.parametrize("kept", [Action, Announcement, GateDecision, Impact, Prediction, Rollout])
def test_what_may_be_unknown_may_be_missing_in_a_document(kept: type) -> None:
    """Documents leave out what is None, so that a field without a default would read as damage."""
    seen: set[type] = set()
    required: list[str] = []

    def look_at(kind: object) -> None:
        for inner in typing.get_args(kind):
            look_at(inner)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind not in seen:
            seen.add(kind)
            hints = typing.get_type_hints(kind)
            for entry in dataclasses.fields(kind):
                has_default = entry.default is not dataclasses.MISSING
                if type(None) in typing.get_args(hints[entry.name]) and not has_default:
                    required.append(f"{kind.__name__}.{entry.name}")
                look_at(hints[entry.name])

    look_at(kept)
    assert required == []


async def test_names_that_deployments_share_are_held_once(
    store: SQLiteStore, deployment: Callable[..., Deployment]
) -> None:
    for name in ("d1", "d2"):
        await store.deployments.record(deployment(name), ())
    at = deployment("d1").started_at
    window = at - timedelta(hours=1), at + timedelta(hours=1)
    first, second = await store.deployments.nearest(*window, at=at, limit=9)
    for field in ("service", "environment", "received_from"):
        assert getattr(first, field) is getattr(second, field)
