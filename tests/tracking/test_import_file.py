"""Files of past deployments: what they say is read whole, what is wrong is named with its line and field."""

from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afdp_exporter.errors import BadInput
from afdp_exporter.model import ChangeType, Deployment
from afdp_exporter.tracking.import_file import only_past, read_history

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DEPLOYMENT = {"service": "api", "version": "v1", "started_at": "2026-02-01T10:00:00Z"}


def lines(folder: Path, *bodies: object) -> Path:
    file = folder / "deployments.jsonl"
    file.write_bytes(b"\n".join(body if isinstance(body, bytes) else orjson.dumps(body) for body in bodies))
    return file


def faults(file: Path) -> list[str]:
    with pytest.raises(BadInput) as raised:
        read_history(file, now=NOW)
    return [f"{fault.field}: {fault.message}" for fault in raised.value.faults]


def test_a_csv_says_what_json_lines_say(tmp_path: Path) -> None:
    table = tmp_path / "deployments.csv"
    table.write_text(
        "service,version,started_at,change_types,traffic_ratio,team,traits.table_rows,traits.hotfix,labels.region\n"
        'api,v1,2026-02-01T10:00:00Z,"code, database",0.5,,1200000,false,eu\n'
        "web,v2,1769940000,code database,,shop,,,\n"
    )
    read = lines(
        tmp_path,
        DEPLOYMENT
        | {
            "change_types": ["code", "database"],
            "traffic_ratio": 0.5,
            "traits": {"table_rows": 1_200_000, "hotfix": False},
            "labels": {"region": "eu"},
        },
        {"service": "web", "version": "v2", "started_at": 1769940000, "change_types": ["code", "database"]}
        | {"team": "shop"},
    )
    found = read_history(table, now=NOW)
    assert found == read_history(read, now=NOW)
    assert found[1].change_types == (ChangeType.CODE, ChangeType.DATABASE)


def test_they_come_oldest_first_and_keep_their_ids_wherever_they_stand(tmp_path: Path) -> None:
    newer = DEPLOYMENT | {"started_at": "2026-02-03T10:00:00Z"}
    found = read_history(lines(tmp_path, newer, DEPLOYMENT), now=NOW)
    assert [each.started_at.day for each in found] == [1, 3]
    assert found == read_history(lines(tmp_path, DEPLOYMENT, b"", newer), now=NOW)
    assert len({each.id for each in found}) == 2


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"{", "deployments.jsonl, line 2, line: is not JSON"),
        (b"[1]", "deployments.jsonl, line 2, line: a JSON object is expected"),
        (DEPLOYMENT | {"change_types": ["magic"]}, "deployments.jsonl, line 2, change_types[0]: "),
        (DEPLOYMENT | {"sevrice": "api"}, "deployments.jsonl, line 2, sevrice: unknown field"),
        ({"service": "api"}, "deployments.jsonl, line 2, started_at: a deployment of the past needs its time"),
        (
            DEPLOYMENT | {"started_at": "2026-03-02T15:00:00Z"},
            "deployments.jsonl, line 2, started_at: lies more than an hour",
        ),
        (DEPLOYMENT | {"id": "d"}, "deployments.jsonl, line 2, id: the deployment d is there twice"),
    ],
)
def test_a_bad_line_is_named_with_its_number_and_field(tmp_path: Path, body: object, fault: str) -> None:
    (only,) = faults(lines(tmp_path, DEPLOYMENT | {"id": "d"}, body))
    assert only.startswith(fault)


def test_all_bad_lines_are_reported_at_once_up_to_a_limit(tmp_path: Path) -> None:
    found = faults(lines(tmp_path, *[{"service": ""}] * 30))
    assert found[0].startswith("deployments.jsonl, line 1, ")
    assert found[-1].endswith("more faults")
    assert len(found) == 21


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("service,started_at\napi,2026-02-01T10:00:00Z,more\n", "line 2, line: 3 columns where the first line names 2"),
        ("service,service\napi,web\n", "line 1, line: the column service is there twice"),
        ("service,started_at\napi,yesterday\n", "line 2, started_at: a time with its offset"),
        ("service,started_at,colour\napi,2026-02-01T10:00:00Z,red\n", "line 2, colour: unknown field"),
    ],
)
def test_a_bad_row_of_a_csv_is_named_too(tmp_path: Path, text: str, fault: str) -> None:
    table = tmp_path / "d.csv"
    table.write_text(text)
    (only,) = faults(table)
    assert only.startswith(f"d.csv, {fault}")


def test_a_file_that_is_away_or_no_text_is_reported_by_its_name(tmp_path: Path) -> None:
    assert faults(tmp_path / "none.jsonl")[0].startswith(str(tmp_path / "none.jsonl"))
    assert "cannot be read" in faults(lines(tmp_path, b"\xff\xfe\x00"))[0]


def test_a_planned_deployment_is_no_past(tmp_path: Path) -> None:
    found = read_history(lines(tmp_path, DEPLOYMENT | {"id": "later", "status": "planned"}), now=NOW)
    with pytest.raises(BadInput, match="later: a planned deployment has done nothing"):
        only_past(found)


@given(content=st.binary(max_size=300), ending=st.sampled_from(["csv", "jsonl"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_content_is_read_or_refused_with_a_place(tmp_path: Path, content: bytes, ending: str) -> None:
    file = tmp_path / f"any.{ending}"
    file.write_bytes(content)
    try:
        found, places = read_history(file, now=NOW), []
    except BadInput as error:
        found, places = (), [fault.field for fault in error.faults]
    assert all("any" in place for place in places)
    assert all(isinstance(each, Deployment) for each in found)
