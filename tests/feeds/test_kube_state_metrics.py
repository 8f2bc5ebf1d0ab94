"""Rollouts by the metrics of kube-state-metrics, in a real VictoriaMetrics, which takes in the past in any order."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from afdp_exporter.feeds import Feed
from afdp_exporter.model import Series
from feeds.conftest import Listening, feed
from real_parts.servers import VictoriaMetrics

STEP = 30
NOW = datetime.fromtimestamp(time.time() // 60 * 60, UTC)


class Cluster:
    """Pods of one namespace, written as kube-state-metrics shows them."""

    def __init__(self, server: VictoriaMetrics, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        self.start = NOW - timedelta(hours=5)

    def pods(self, owner: tuple[str, str], image: str, first: float, last: float) -> None:
        """One pod of an owner from one minute to another."""
        times = np.arange(self.start.timestamp() + 60 * first, self.start.timestamp() + 60 * last + 1, STEP)
        pod = {"namespace": self.namespace, "pod": f"{owner[1]}-{first:g}"}
        owned = pod | {"owner_kind": owner[0], "owner_name": owner[1]}
        series = [
            Series(metric="kube_pod_owner", labels=owned, times=times, values=np.ones(times.size)),
            *(
                Series(
                    metric="kube_pod_container_info",
                    labels=pod | {"container": container, "image": what},
                    times=times,
                    values=np.ones(times.size),
                )
                for container, what in (("app", image), ("proxy", "envoy:1.30"))
            ),
        ]
        self.server.remote_write(series)

    def at(self, minute: float) -> datetime:
        return self.start + timedelta(minutes=minute)


@pytest.fixture
def cluster(victoria_metrics: VictoriaMetrics, request: pytest.FixtureRequest) -> Cluster:
    return Cluster(victoria_metrics, "n" + request.node.name.replace("_", "-")[:40].rstrip("-"))


@pytest.fixture
def metrics(cluster: Cluster) -> Callable[[], Feed]:
    return lambda: feed(
        "kube_state_metrics", prometheus={"url": cluster.server.url}, namespaces=[cluster.namespace], interval="1s"
    )


@pytest.mark.real
async def test_pods_with_another_image_are_a_rollout_and_more_or_new_pods_are_none(
    cluster: Cluster, metrics: Callable[[], Feed], listening: Listening
) -> None:
    cluster.pods(("ReplicaSet", "api-6f7d"), "registry:5000/api:v1", 0, 62)
    cluster.pods(("ReplicaSet", "api-6f7d"), "registry:5000/api:v1", 10, 62)  # scaled
    cluster.pods(("ReplicaSet", "api-9c1a"), "registry:5000/api:v2", 60, 120)
    cluster.pods(("ReplicaSet", "api-77aa"), "registry:5000/api:v2", 118, 240)  # restarted
    cluster.pods(("StatefulSet", "db"), "postgres:16", 0, 150)
    cluster.pods(("StatefulSet", "db"), "postgres:17", 151, 240)
    listening.now = NOW
    assert await listening.catch_up(metrics(), since=cluster.at(1)) == 2
    api, db = await listening.deployments()
    assert (api.service, api.version, api.previous_version, str(api.status)) == ("api", "v2", "v1", "succeeded")
    assert (db.service, db.version, db.previous_version) == ("db", "17", "16")
    assert abs(api.started_at - cluster.at(60)) <= timedelta(seconds=STEP)
    assert api.finished_at is not None
    assert timedelta(minutes=1) <= api.finished_at - api.started_at <= timedelta(minutes=8)


@pytest.mark.real
async def test_a_rollout_that_is_taken_back_is_reported_as_that(
    cluster: Cluster, metrics: Callable[[], Feed], listening: Listening
) -> None:
    cluster.pods(("ReplicaSet", "api-6f7d"), "api:v1", 0, 240)
    cluster.pods(("ReplicaSet", "api-9c1a"), "api:v2", 60, 70)
    listening.now = NOW
    await listening.catch_up(metrics(), since=cluster.at(1))
    assert await listening.lives() == [("api", "v2", "rolled_back")]


@pytest.mark.real
async def test_it_goes_on_behind_its_cursor_and_reports_nothing_twice(
    cluster: Cluster, metrics: Callable[[], Feed], listening: Listening
) -> None:
    cluster.pods(("DaemonSet", "agent"), "agent:v1", 0, 62)
    cluster.pods(("DaemonSet", "agent"), "agent:v2", 60, 240)
    listening.now = cluster.at(62)  # in the middle of the rollout
    assert await listening.catch_up(metrics(), since=cluster.at(1)) == 1
    assert [life[2] for life in await listening.lives()] == ["started"]
    listening.now = NOW
    async with listening.following(metrics()) as ear:
        await ear.until(lambda: len(ear.heard) == 2)
    assert await listening.lives() == [("agent", "v2", "succeeded")]
    assert await listening.catch_up(metrics(), since=cluster.at(1)) == 0
