"""What somebody sends us: read in every usual spelling, and never misread."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afdp_exporter.errors import BadInput
from afdp_exporter.fields import read_time
from afdp_exporter.model import Deployment, Outcome, Status, Strategy
from afdp_exporter.tracking.intake import apply, read_change, read_deployment

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
FIRST, LAST = datetime(1973, 3, 4), datetime(2100, 1, 1)  # noqa: DTZ001 - hypothesis adds the zone
instants = st.datetimes(FIRST, LAST, timezones=st.timezones())


def read(**body: object) -> Deployment:
    return read_deployment({"service": "checkout"} | body, now=NOON, new_id="made-up")


def faults(call: Any, *arguments: Any, **named: Any) -> list[str]:  # noqa: ANN401
    with pytest.raises(BadInput) as raised:
        call(*arguments, **named)
    return [fault.field for fault in raised.value.faults]


@given(instant=instants)
def test_an_instant_is_the_same_in_every_form(instant: datetime) -> None:
    whole = instant.astimezone(UTC).replace(microsecond=0)
    seconds = int(whole.timestamp())
    forms: list[object] = [seconds, float(seconds), seconds * 1000, seconds * 10**6, seconds * 10**9, str(seconds)]
    forms += [whole.isoformat(), whole.isoformat(" "), whole.isoformat().replace("+00:00", "Z")]
    forms += [whole.strftime("%Y-%m-%d %H:%M:%S UTC"), whole.strftime("%Y-%m-%dT%H:%M:%S.000000001Z")]
    assert {read_time(form) for form in forms} == {whole}


@given(instant=instants)
def test_a_time_with_an_offset_is_taken_to_utc(instant: datetime) -> None:
    offset = instant.utcoffset()
    if offset is not None and offset.total_seconds() % 60 == 0:
        assert read_time(instant.isoformat()) == instant.astimezone(UTC)
        assert read_time(instant.isoformat()).utcoffset() == timedelta(0)


def test_a_leap_second_is_the_second_after() -> None:
    assert read_time("2016-12-31T23:59:60Z") == datetime(2017, 1, 1, tzinfo=UTC)


def test_times_are_read_as_java_postgresql_ruby_and_go_print_them() -> None:
    printed = (
        "2026-10-01T08:00Z", "2026-10-01 10:00:00+02", "2026-10-01 08:00:00 +0000 UTC",
        "2026-10-01 10:00:00 +0200 CEST", "2026-10-01T08:00:00,000Z", "1.7908416e+09", "1.7908416E12",
        "2026-10-01T10:00+02:00[Europe/Berlin]", "2026-10-01T08:00:00.000Z[UTC]", "2026-10-01 08:00:00 GMT",
        "2026-10-01 10:00:00.000000000 +0200 +0200 m=+0.012345678", "20261001T080000Z", "20261001T100000+0200",
    )  # fmt: skip
    assert {read_time(text) for text in printed} == {datetime(2026, 10, 1, 8, tzinfo=UTC)}


@given(value=st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.lists(st.integers()))
def test_anything_is_a_time_after_1970_or_a_value_error(value: object) -> None:
    try:
        instant = read_time(value)
    except ValueError:
        return
    assert instant >= datetime(1970, 1, 1, tzinfo=UTC)
    assert not isinstance(value, bool)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("planned pending queued waiting created scheduled", Status.PLANNED),
        ("started running in_progress in-progress Running", Status.STARTED),
        ("succeeded success SUCCESSFUL completed passed", Status.SUCCEEDED),
        ("failed failure error", Status.FAILED),
        ("rolled_back rolled-back rollback", Status.ROLLED_BACK),
        ("cancelled canceled aborted", Status.CANCELLED),
    ],
)
def test_a_status_is_read_in_the_spellings_of_ci_tools(words: str, status: Status) -> None:
    assert {read(status=word).status for word in words.split()} == {status}
    assert read(status="in progress").status is Status.STARTED


def test_a_strategy_is_read_in_its_spellings() -> None:
    assert {read(strategy=word).strategy for word in ("blue-green", "blue_green", "Blue-Green")} == {
        Strategy.BLUE_GREEN
    }


def test_null_is_the_same_as_nothing() -> None:
    nothing = dict.fromkeys(["version", "id", "environment", "started_at", "status", "traits", "labels"])
    assert read(**nothing) == read()


def test_an_end_without_a_start_is_both() -> None:
    ended = read(finished_at="2026-03-02T11:00:00Z")
    assert ended.started_at == ended.finished_at == NOON - timedelta(hours=1)


def test_faults_of_time_are_reported_beside_all_others() -> None:
    late = {"started_at": "2026-03-02T11:00:00Z", "finished_at": "2026-03-02T10:00:00Z", "service": 1}
    assert sorted(faults(read_deployment, late, now=NOON, new_id="x")) == ["finished_at", "service"]


@pytest.mark.parametrize("body", [None, [], "x", 1, {}])
def test_what_is_no_object_or_empty_is_refused(body: Any) -> None:  # noqa: ANN401
    assert faults(read_deployment, body, now=NOON, new_id="x") == (["service"] if body == {} else ["body"])


def test_a_name_of_any_language_is_a_name() -> None:
    for name in ("оплата", "支払い", "caisse enregistreuse", "👩‍💻-service", "a/b.c:d"):
        assert read(service=name).service == name


text = st.text(st.characters(), max_size=12)


@given(
    body=st.dictionaries(
        st.sampled_from(["service", "version", "description", "url", "id", "team"]), text | st.integers(), max_size=6
    ),
    labels=st.dictionaries(text, text, max_size=3),
    traits=st.dictionaries(text, text | st.floats() | st.booleans(), max_size=3),
)
def test_what_is_accepted_can_be_written_on_one_line_of_utf_8(
    body: dict[str, Any], labels: dict[str, str], traits: dict[str, Any]
) -> None:
    try:
        deployment = read_deployment(body | {"labels": labels, "traits": traits}, now=NOON, new_id="x")
    except BadInput as error:
        str(error).encode()
        return
    lines = [deployment.service, deployment.version, deployment.url, deployment.id, deployment.team]
    lines += [*deployment.labels, *deployment.labels.values(), *deployment.traits]
    for line in lines:
        if line is not None:
            assert not set("\r\n\0\x1b") & set(line.encode().decode())
    (deployment.description or "").encode()


def changed(deployment: Deployment, **body: object) -> Deployment:
    return apply(read_change(body), deployment, now=NOON + timedelta(minutes=9))


def test_a_change_touches_only_what_it_names() -> None:
    before = read(version="v1", traits={"rows": 5}, labels={"a": "x"}, change_types=["code"])
    after = changed(before, note="by hand", outcome="failure", traits={"cold": True}, labels={"b": "y"})
    assert (after.note, after.labelled_outcome) == ("by hand", Outcome.FAILURE)
    assert (after.traits, after.labels) == ({"rows": 5, "cold": True}, {"a": "x", "b": "y"})
    assert (after.version, after.change_types) == (before.version, before.change_types)
    assert changed(after, note=None, outcome=None, traits=None, labels=None, change_types=None) == read(
        version="v1", traits={}, labels={}, change_types=[]
    )


def test_an_end_that_is_reported_without_its_time_is_now() -> None:
    running = read(status="running")
    assert changed(running, status="failed").finished_at == NOON + timedelta(minutes=9)
    assert changed(running, status="failed", finished_at=NOON.timestamp()).finished_at == NOON
    assert changed(read(), status="rolled_back").finished_at is None
    assert changed(read(status="planned"), status="running").started_at == NOON + timedelta(minutes=9)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"service": "x"}, "service"),
        ({"outcome": "great"}, "outcome"),
        ({"note": "\x1b[2J"}, "note"),
        ({"status": "?"}, "status"),
        ({"received_at": 1}, "received_at"),
    ],
)
def test_a_change_that_cannot_be_is_refused_by_its_field(body: dict[str, object], field: str) -> None:
    assert faults(read_change, body) == [field]


def test_a_change_may_not_end_before_the_start_nor_move_into_the_future() -> None:
    running = read(status="running")
    assert faults(changed, running, finished_at="2026-03-02T11:00:00Z") == ["finished_at"]
    assert faults(changed, running, finished_at="2026-03-03T11:00:00Z") == ["finished_at"]
