"""Several exporters on one PostgreSQL, what is sent to them, and what PostgreSQL saw them do."""

import random
import signal
import threading
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psycopg
import urllib3

from real_parts.exporter import Exporter
from real_parts.receiver import Receiver
from real_parts.waiting import until

SECRET = "a secret of the tests"
LOOKS = (60, 64, 68)  # seconds after the end of a deployment
_STEP = 15  # seconds
_SERIES = ("latency_seconds", "orders_per_minute")
_MOST_WAITING = 60  # checks, notices and the like
_ENDED = 62  # seconds ago when it is sent: one look is due at once, two are soon

_AUDIT = """
DROP SCHEMA IF EXISTS audit CASCADE;
CREATE SCHEMA audit;
CREATE TABLE audit.claims (kind text, key text, owner text, process text DEFAULT current_setting('application_name'));
CREATE TABLE audit.answers (
    deployment_id text, after_us bigint, due_us bigint, state text, owner text,
    process text DEFAULT current_setting('application_name')
);
CREATE TABLE audit.leaders (epoch bigint, process text DEFAULT current_setting('application_name'));

CREATE FUNCTION audit.claim() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit.claims (kind, key, owner) VALUES (NEW.kind, NEW.key, NEW.owner);
    RETURN NEW;
END $$;
CREATE TRIGGER claim AFTER UPDATE ON jobs FOR EACH ROW
WHEN (NEW.token IS NOT NULL AND NEW.token IS DISTINCT FROM OLD.token) EXECUTE FUNCTION audit.claim();

CREATE FUNCTION audit.answer() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit.answers (deployment_id, after_us, due_us, state, owner) VALUES (
        NEW.deployment_id, NEW.after_us, NEW.due_us, NEW.state,
        (SELECT owner FROM jobs WHERE kind = 'check' AND key = NEW.deployment_id || '/' || NEW.after_us)
    );
    RETURN NEW;
END $$;
CREATE TRIGGER answer AFTER UPDATE ON looks FOR EACH ROW
WHEN (NEW.state NOT IN ('due', 'waiting')) EXECUTE FUNCTION audit.answer();

CREATE FUNCTION audit.lead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO audit.leaders (epoch) VALUES (NEW.epoch);
    RETURN NEW;
END $$;
CREATE TRIGGER lead AFTER INSERT OR UPDATE ON leaders FOR EACH ROW EXECUTE FUNCTION audit.lead();
"""

_FOREIGN = """
SELECT * FROM audit.answers WHERE owner IS NULL OR NOT EXISTS (
    SELECT 1 FROM audit.claims WHERE claims.owner = answers.owner AND claims.process = answers.process
)
"""


class Replica(Exporter):
    """`afdp serve` or `afdp analyse`; each start of it has a name of its own, by which PostgreSQL knows it."""

    def __init__(self, folder: Path, config: dict[str, Any], database: str, *, command: str = "serve") -> None:
        super().__init__(folder, config)
        self.command = command
        self.database = database
        self.starts = 0

    @property
    def name(self) -> str:
        return f"{self.folder.name}.{self.starts}"

    def arguments(self) -> list[str]:
        self.starts += 1
        self.storage = f"--storage.url={self.database}?application_name={self.name}"
        return [word if word != "serve" else self.command for word in super().arguments()]

    def end(self) -> None:
        """As a supervisor ends it: what is under way is given back."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait()
        self._process = None

    def stop(self) -> None:
        """It stands still, as a machine that is starved does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It has not noticed that time went by."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ends(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None


@dataclass
class Audit:
    """What PostgreSQL itself saw, by triggers."""

    url: str

    def begin(self) -> None:
        """From now on."""
        with psycopg.connect(self.url) as connection:
            connection.execute(_AUDIT)

    def end(self) -> None:
        """Nobody looks any more."""
        with psycopg.connect(self.url) as connection:
            connection.execute("DROP SCHEMA IF EXISTS audit CASCADE")

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()

    def count(self, query: str, *values: object) -> int:
        """The one number that a query gives."""
        return int(self.ask(query, *values)[0][0])

    def end_leases(self, process: str) -> None:
        """The leases of all that a process holds have ended, by the server's clock."""
        with psycopg.connect(self.url) as connection:
            connection.execute(
                """
                UPDATE jobs SET ready_us = 0
                WHERE owner IN (SELECT owner FROM audit.claims WHERE process = %s)
                """,
                (process,),
            )

    def held_by(self, process: str) -> int:
        """How many jobs a process holds."""
        return self.count(
            "SELECT count(*) FROM jobs WHERE owner IN (SELECT owner FROM audit.claims WHERE process = %s)", process
        )

    def leader(self) -> str | None:
        """The process that leads."""
        rows = self.ask("SELECT process FROM audit.leaders ORDER BY epoch DESC LIMIT 1")
        return str(rows[0][0]) if rows else None

    def waiting(self) -> int:
        """How much has to be done yet that ends."""
        return self.count("SELECT count(*) FROM jobs WHERE kind IN ('check', 'notice', 'predict', 'decide')")

    def faults(self) -> list[object]:
        """Answers that were given twice, or by who did not hold the check; epochs with two leaders.

        A check whose time changed, since the end of its deployment was reported after it was made, is another one.
        """
        same = "deployment_id, after_us, due_us"
        twice = self.ask(f"SELECT {same} FROM audit.answers GROUP BY {same} HAVING count(*) > 1")
        leaders = self.ask("SELECT epoch FROM audit.leaders GROUP BY 1 HAVING count(DISTINCT process) > 1")
        return [*twice, *self.ask(_FOREIGN), *leaders]

    def claims(self) -> Counter[str]:
        """How often each notice was claimed, by its job."""
        return Counter(dict(self.ask("SELECT key, count(*) FROM audit.claims WHERE kind = 'notice' GROUP BY 1")))


@dataclass
class Traffic:
    """Sends deployments and webhooks, one after the other, each until it is acknowledged by any replica.

    A machine that cannot keep up is sent no more until it has: what is tried is order, not speed.
    """

    replicas: Sequence[Replica]
    audit: Audit
    chance: random.Random
    pause: float = 0.4  # seconds between two
    acknowledged: dict[str, str] = field(default_factory=dict)  # what was sent -> the id of its deployment
    faults: list[object] = field(default_factory=list)
    tries: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(timeout=20.0, retries=False))

    def run(self) -> None:
        """Until `end`."""
        number = 0
        while not self._ended.is_set():
            if self._keep_up():
                number += 1
                self._send(number)
            self._ended.wait(self.pause)

    def end(self) -> None:
        """Send no more than what is under way."""
        self._ended.set()

    def _keep_up(self) -> bool:
        try:
            return self.audit.waiting() < _MOST_WAITING
        except psycopg.OperationalError:  # PostgreSQL is away: this is when it is to be sent
            return True

    def _send(self, number: int) -> None:
        finished = datetime.now(UTC) - timedelta(seconds=_ENDED)
        started = finished - timedelta(seconds=30)
        service = f"service-{number % 5}"
        if number % 3:
            key = f"key-{number}"
            body = {"service": service, "started_at": started.isoformat(), "finished_at": finished.isoformat()}
            made = self._until_kept("/api/v1/deployments", body, {"Idempotency-Key": key})["id"]
            if self.chance.random() < 0.2:
                self._same(key, made, self._until_kept("/api/v1/deployments", body, {"Idempotency-Key": key})["id"])
        else:
            key = f"run-{number}"
            proof = {"Authorization": f"Bearer {SECRET}"}
            words = {"run": key, "service": service}
            begun = {**words, "state": "started", "at": started.isoformat()}
            done = {**words, "state": "succeeded", "at": finished.isoformat()}
            made = self._until_kept("/webhooks/generic", begun, proof)["deployments"][0]["id"]
            self._same(key, made, self._until_kept("/webhooks/generic", done, proof)["deployments"][0]["id"])
        self.acknowledged[key] = made

    def _same(self, key: str, made: str, again: str) -> None:
        if made != again:
            self.faults.append((key, made, again))

    def _until_kept(self, path: str, body: object, headers: dict[str, str]) -> Any:  # noqa: ANN401 - JSON
        while True:
            self.tries += 1
            replica = self.chance.choice(self.replicas)
            try:
                answer = self._http.request(
                    "POST",
                    replica.url + path,
                    body=orjson.dumps(body),
                    headers={"Content-Type": "application/json", **headers},
                )
            except urllib3.exceptions.HTTPError:
                time.sleep(0.1)  # a replica that is gone refuses at once
                continue
            if answer.status in {200, 201}:
                return orjson.loads(answer.data)
            if answer.status < 500:
                self.faults.append((path, answer.status, answer.data))
            time.sleep(0.1)


def drained(audit: Audit) -> None:
    """Wait until everything that was due is done."""
    due = "SELECT count(*) FROM looks WHERE state IN ('due', 'waiting')"
    until(lambda: audit.waiting() == 0 and audit.count(due) == 0, lambda: audit.ask("SELECT * FROM jobs"))


def record_calm(folder: Path) -> None:
    """Two metrics of five services from two hours ago to a day ahead, without any change."""
    chance = random.Random(7)
    folder.mkdir()
    began = int(time.time()) // _STEP * _STEP - 7200
    with (folder / "all.csv").open("w") as file:
        file.write("timestamp,metric,service,value\n")
        for at in range(began, began + 7200 + 4 * 3600, _STEP):
            for metric in _SERIES:
                file.writelines(f"{at},{metric},service-{n},{10 + chance.gauss(0, 1):.3f}\n" for n in range(5))


def settings(recording: Path, receiver: str) -> dict[str, Any]:
    """A configuration that watches these, and notifies one receiver."""
    fields = {"id": "$.run", "status": "$.state", "service": "$.service", "at": "$.at"}
    return {
        "sources": [{"name": "tape", "kind": "recording", "path": str(recording)}],
        "metrics": [
            {"name": name, "layer": "technical", "worse": "up", "query": name + '{service="$service"}'}
            for name in _SERIES
        ],
        "policy": {
            "watch": {"looks": [f"{seconds}s" for seconds in LOOKS]},
            "analysis": {"step": f"{_STEP}s", "history": "1h", "workers": 1},
        },
        "webhooks": [{"kind": "generic", "secret": SECRET, "fields": fields}],
        "notify": [
            {"name": "receiver", "kind": "webhook", "url": receiver, "secret": f"whsec_{b64encode(b'x' * 32).decode()}"}
        ],
    }


def hold_to_the_promises(serving: Sequence[Replica], audit: Audit, traffic: Traffic, receiver: Receiver) -> None:
    """All that was acknowledged is there once, each check was answered once by its holder, and all of it was sent."""
    kept = {row[0] for row in audit.ask("SELECT id FROM deployments")}
    acknowledged = list(traffic.acknowledged.values())
    assert len(set(acknowledged)) == len(acknowledged)
    assert kept == set(acknowledged)
    for replica in serving:
        assert replica.get(f"/api/v1/deployments/{acknowledged[-1]}")["deployment"]["id"] == acknowledged[-1]

    assert audit.faults() == []
    looks = audit.ask("SELECT deployment_id, state FROM looks")
    assert {state for _, state in looks} == {"done"}
    answered = "SELECT DISTINCT deployment_id, after_us FROM audit.answers"
    assert audit.count(f"SELECT count(*) FROM ({answered}) AS answered") == len(looks)
    assert {deployment_id for deployment_id, _ in looks} == kept

    notices: dict[str, list[dict[str, Any]]] = {each: [] for each in kept}
    sent = Counter[str]()
    for (_, body), headers in zip(receiver.posts, receiver.headers, strict=True):
        notices[body["data"]["id"]].append(body)
        sent[f"receiver/{body['data']['id']}"] += 1
        assert headers["webhook-id"]
    claims = audit.claims()
    unclaimed = {key: (number, claims[key]) for key, number in sent.items() if number > claims[key]}
    assert unclaimed == {}  # no notice is sent that was not claimed
    expected = dict(audit.ask("SELECT id, status FROM deployments"))
    assert {each: bodies[-1]["data"]["status"] for each, bodies in notices.items()} == expected
    newest = {each: max(body["timestamp"] for body in bodies) for each, bodies in notices.items()}
    assert {each: bodies[-1]["timestamp"] for each, bodies in notices.items()} == newest
