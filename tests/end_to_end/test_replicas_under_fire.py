"""Three replicas and an analyst on one PostgreSQL, while one after the other is killed, cut off and stopped."""

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from postgres_proxy import Proxy, proxy
from postgres_server import PostgresServer
from real_parts.fixtures import Start
from real_parts.receiver import Receiver
from real_parts.waiting import until
from replicas import Audit, Replica, Traffic, drained, hold_to_the_promises, record_calm, settings


@dataclass
class Fire:
    """What is done to them; each fault leaves all of them running."""

    postgres: PostgresServer
    between: Proxy
    processes: list[Replica]
    audit: Audit
    chance: random.Random

    def kill_a_process(self) -> None:
        """A process is gone; what it held is taken over, and it comes back."""
        victim = self.chance.choice(self.processes)
        gone = victim.name
        victim.kill()
        self.audit.end_leases(gone)
        victim.start()

    def kill_postgresql(self) -> None:
        """All connections are gone."""
        self.postgres.kill()
        self.postgres.start()

    def cut_commits(self) -> None:
        """Three commits are kept whose answers nobody gets."""
        for _ in range(3):
            self.between.cut.set()
            until(lambda: not self.between.cut.is_set())

    def stop_a_process(self) -> None:
        """A process stands still until others have taken over all that it held, and goes on."""
        victim = self.chance.choice(self.processes)
        victim.stop()
        try:
            self.audit.end_leases(victim.name)
            until(lambda: self.audit.held_by(victim.name) == 0 and self.audit.leader() != victim.name)
        finally:
            victim.go_on()


def _shows_deployments(replica: Replica) -> bool:
    try:
        return "\nafdp_deployment_info{" in replica.page()
    except urllib3.exceptions.HTTPError:
        return False  # as Prometheus has it, a scrape without an answer in time shows nothing


@pytest.mark.slow
def test_nothing_is_lost_or_done_twice_whatever_happens_to_processes_postgresql_and_connections(
    tmp_path: Path,
    postgres: PostgresServer,
    audit: Audit,
    start: Start,
    rounds: int,
) -> None:
    chance = random.Random(20261130)
    record_calm(tmp_path / "tape")
    with proxy(postgres.port) as between, Receiver() as receiver:
        url = audit.url.replace(f":{postgres.port}/", f":{between.port}/")
        config = settings(tmp_path / "tape", receiver.url)
        serving = [start(Replica(tmp_path / f"serve-{n}", config, url)) for n in range(3)]
        analyst = start(Replica(tmp_path / "analyse", config, url, command="analyse"))
        fire = Fire(postgres, between, [*serving, analyst], audit, chance)
        faults: list[Callable[[], None]] = [
            fire.kill_a_process, fire.cut_commits, fire.stop_a_process, fire.kill_postgresql
        ]  # fmt: skip
        traffic = Traffic(serving, audit, random.Random(chance.random()))
        sending = threading.Thread(target=traffic.run, daemon=True)
        sending.start()
        done = Counter[str]()
        for number in range(rounds):
            fault = faults[number % len(faults)]
            fault()
            done[fault.__name__] += 1
            assert audit.faults() == []
            assert traffic.faults == []
            assert [each.log[-3000:] for each in fire.processes if each.ends()] == []
            assert sum(map(_shows_deployments, serving)) <= 1
        traffic.end()
        sending.join()
        drained(audit)
        hold_to_the_promises(serving, audit, traffic, receiver)
        print(
            f"{dict(done)}; {len(traffic.acknowledged)} deployments in {traffic.tries} requests, "
            f"{audit.count('SELECT count(*) FROM audit.answers')} checks, {len(receiver.posts)} notices, "
            f"{len(receiver.posts) - len({each['webhook-id'] for each in receiver.headers})} of them again, "
            f"epoch {audit.count('SELECT max(epoch) FROM leaders')}"
        )
