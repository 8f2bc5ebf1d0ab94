"""Kubernetes over its API: what is a rollout and what is none, and nothing lost or reported twice, whatever breaks."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import pytest
from aiohttp import web

from afdp_exporter.errors import FeedError
from afdp_exporter.feeds import Feed
from afdp_exporter.model import ChangeType
from feeds.conftest import START, Listening, feed
from feeds.kubernetes_api import Kubernetes
from loopback import Serve

KINDS = ("deployments", "statefulsets", "daemonsets", "rollouts")


def watched(request: str) -> bool:
    return "/deployments?" in request and "watch" in request


@pytest.fixture
def cluster() -> Kubernetes:
    return Kubernetes(START + timedelta(hours=1))


def configured(folder: Path, server: str) -> Feed:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    (folder / "kubeconfig").write_text(json.dumps(config))
    return feed("kubernetes", kubeconfig=str(folder / "kubeconfig"), interval="1s")


@pytest.fixture
async def kubernetes(cluster: Kubernetes, serve: Serve, tmp_path: Path) -> Feed:
    return configured(tmp_path, await serve(cluster.answer))


@pytest.mark.parametrize("plural", KINDS)
async def test_a_changed_template_is_a_rollout_and_scaling_or_a_restart_is_none(
    cluster: Kubernetes, kubernetes: Feed, listening: Listening, plural: str
) -> None:
    await cluster.create(plural, "api", "registry/shop/api:v1")
    async with listening.following(kubernetes) as ear:
        await ear.until(lambda: len(ear.heard) == 2)
        await cluster.scale(plural, "api", 5)
        await cluster.restart(plural, "api")
        await cluster.finish(plural, "api")
        await cluster.roll(plural, "api", "registry/shop/api:v2")
        await cluster.scale(plural, "api", 6)
        await cluster.finish(plural, "api")
        await ear.until(lambda: len(ear.heard) == 4)
    assert await listening.lives() == [("api", "v1", "succeeded"), ("api", "v2", "succeeded")]
    assert any("a restart" in reason for reason in ear.ignored)
    _, second = await listening.deployments()
    assert second.previous_version == "v1"
    assert second.change_types == (ChangeType.CODE,)
    assert second.finished_at is not None
    assert timedelta(0) < second.finished_at - second.started_at <= timedelta(minutes=3)


async def test_a_rollout_that_fails_and_is_taken_back_is_reported_as_that(
    cluster: Kubernetes, kubernetes: Feed, listening: Listening
) -> None:
    await cluster.create("deployments", "api", "api:v1")
    async with listening.following(kubernetes) as ear:
        await ear.until(lambda: len(ear.heard) == 2)
        await cluster.roll("deployments", "api", "api:v2")
        await cluster.finish("deployments", "api", well=False)
        await ear.until(lambda: len(ear.heard) == 4)
        await cluster.roll("deployments", "api", "api:v1")
        await cluster.finish("deployments", "api")
        await ear.until(lambda: len(ear.heard) == 6)
    found = [life[1:] for life in await listening.lives()]
    assert found == [("v1", "succeeded"), ("v2", "failed"), ("v1", "succeeded")]


async def test_a_rollout_that_is_aborted_and_tried_again_ends_as_the_last_try_does(
    cluster: Kubernetes, kubernetes: Feed, listening: Listening
) -> None:
    await cluster.create("rollouts", "api", "api:v1")
    async with listening.following(kubernetes) as ear:
        await ear.until(lambda: len(ear.heard) == 2)
        await cluster.roll("rollouts", "api", "api:v2")
        await cluster.abort("api")
        await ear.until(lambda: len(ear.heard) == 4)
        assert [life[1:] for life in await listening.lives()] == [("v1", "succeeded"), ("v2", "rolled_back")]
        await cluster.retry("api")
        await cluster.finish("rollouts", "api")
        await ear.until(lambda: len(ear.heard) == 5)
    assert [life[1:] for life in await listening.lives()] == [("v1", "succeeded"), ("v2", "succeeded")]
    _, again = await listening.deployments()
    assert again.finished_at is not None
    assert again.finished_at - again.started_at >= timedelta(minutes=1)  # the end of the last try


async def test_with_on_delete_a_rollout_lasts_until_the_last_pod_was_replaced(
    cluster: Kubernetes, kubernetes: Feed, listening: Listening
) -> None:
    await cluster.create("statefulsets", "db", "db:v1")
    cluster.objects["statefulsets", "db"]["spec"]["updateStrategy"] = {"type": "OnDelete"}
    async with listening.following(kubernetes) as ear:
        await ear.until(lambda: len(ear.heard) == 2)
        await cluster.roll("statefulsets", "db", "db:v2")
        await cluster.replace_pods("db", 0)
        await cluster.replace_pods("db", 1)
        await ear.until(lambda: len(ear.heard) == 3)
        assert [life[1:] for life in await listening.lives()] == [("v1", "succeeded"), ("v2", "started")]
        await cluster.replace_pods("db", 2)
        await ear.until(lambda: len(ear.heard) == 4)
    assert [life[1:] for life in await listening.lives()] == [("v1", "succeeded"), ("v2", "succeeded")]


async def test_a_hundred_images_at_once_are_known_from_what_is_watched_already(
    cluster: Kubernetes, kubernetes: Feed, listening: Listening
) -> None:
    names = [f"s{number}" for number in range(100)]
    for name in names:
        await cluster.create("deployments", name, f"{name}:v1")
    async with listening.following(kubernetes) as ear:
        await ear.until(lambda: len(ear.heard) == 200)
        asked = len(cluster.requests)
        for name in names:
            await cluster.roll("deployments", name, f"{name}:v2")
            await cluster.finish("deployments", name)
        await ear.until(lambda: len(ear.heard) == 400)
        assert len(cluster.requests) - asked <= 1
    lives = sorted(await listening.lives())
    assert lives == sorted((name, version, "succeeded") for name in names for version in ("v1", "v2"))


@pytest.mark.parametrize("plural", KINDS)
async def test_what_was_rolled_out_while_the_exporter_was_away_is_reported_once(
    cluster: Kubernetes, kubernetes: Feed, listening: Listening, plural: str
) -> None:
    await cluster.create(plural, "api", "api:v1")
    async with listening.following(kubernetes) as ear:
        await ear.until(lambda: len(ear.heard) == 2)
    for version in ("v2", "v3"):
        await cluster.roll(plural, "api", f"api:{version}")
        await cluster.finish(plural, "api")
    await cluster.create(plural, "web", "web:v1")
    reached = len(ear.states)
    async with listening.following(kubernetes):
        await ear.until(lambda: len(ear.states) > reached and len(ear.heard) >= 8)
    known = sorted(await listening.lives())
    assert [life[:2] for life in known] == [("api", "v1"), ("api", "v2"), ("api", "v3"), ("web", "v1")]
    reached = len(ear.states)
    await listening.store.cursors.save("feed", json.dumps({"since": START.isoformat(), "seen": {}}))  # never kept
    async with listening.following(kubernetes):
        await ear.until(lambda: len(ear.states) > reached)
    assert sorted(await listening.lives()) == known


@pytest.mark.parametrize("broken", [b"", b'{"type": "MODIF', b"nonsense\n"])
async def test_a_watch_that_breaks_off_is_taken_up_without_a_gap(
    cluster: Kubernetes, kubernetes: Feed, listening: Listening, broken: bytes
) -> None:
    await cluster.create("deployments", "api", "api:v1")
    async with listening.following(kubernetes) as ear:
        await ear.until(lambda: len(ear.heard) == 2)
        await cluster.watching.wait()
        cluster.breaks = [broken] * 4
        await cluster.roll("deployments", "api", "api:v2")
        await cluster.finish("deployments", "api")
        await ear.until(lambda: len(ear.heard) == 4)
    assert [life[1] for life in await listening.lives()] == ["v1", "v2"]


async def test_a_place_that_the_server_has_forgotten_is_listed_anew(
    cluster: Kubernetes, kubernetes: Feed, listening: Listening
) -> None:
    for name in ("a", "b", "c", "d", "e"):
        await cluster.create("deployments", name, f"{name}:v1")
    cluster.expire_pages = 1
    async with listening.following(kubernetes) as ear:
        await ear.until(lambda: len(ear.heard) == 10)
        await cluster.watching.wait()
        await cluster.bookmark()
        await cluster.roll("deployments", "c", "c:v2")
        await cluster.finish("deployments", "c")
        cluster.breaks = [b""] * 4
        await cluster.forget()
        await ear.until(lambda: len(ear.heard) == 12)
    assert len(await listening.lives()) == 6
    begun = [each for each in cluster.requests if "?limit" in each and "continue" not in each]
    paged = [each for each in begun if "deployments?" in each or "replicasets?" in each]
    assert len(paged) >= 3  # each once, and anew the one of which a page was forgotten


async def test_a_bookmark_moves_the_place_from_which_a_watch_goes_on(
    cluster: Kubernetes, kubernetes: Feed, listening: Listening
) -> None:
    await cluster.create("deployments", "api", "api:v1")
    async with listening.following(kubernetes) as ear:
        await ear.until(lambda: len(ear.states) >= 1)
        await cluster.watching.wait()
        await cluster.bookmark()
        place = cluster.version
        cluster.requests.clear()
        cluster.breaks = [b""] * 12  # each of six watches breaks off before any is taken up again
        async with asyncio.timeout(60), cluster.changed:
            cluster.changed.notify_all()
            await cluster.changed.wait_for(lambda: any(map(watched, cluster.requests)))
    again = list(filter(watched, cluster.requests))
    assert again
    assert all(int(request.split("resourceVersion=")[1].split("&")[0]) >= place - 5 for request in again)


async def test_its_history_is_read_as_far_as_revisions_are_kept(
    cluster: Kubernetes, kubernetes: Feed, listening: Listening
) -> None:
    await cluster.create("deployments", "api", "api:v1")
    for version in ("v2", "v3"):
        await cluster.roll("deployments", "api", f"api:{version}")
        await cluster.finish("deployments", "api")
    last = cluster.now
    assert await listening.catch_up(kubernetes) == 3
    assert await listening.catch_up(kubernetes) == 0
    assert await listening.catch_up(kubernetes, since=last) == 0
    assert [life[1] for life in await listening.lives()] == ["v1", "v2", "v3"]


async def test_a_cluster_without_argo_rollouts_is_one_without_them(
    cluster: Kubernetes, kubernetes: Feed, listening: Listening
) -> None:
    cluster.kinds.remove("rollouts")
    await cluster.create("deployments", "api", "api:v1")
    assert await listening.catch_up(kubernetes) == 1


async def test_a_kind_that_the_role_refuses_takes_no_other_one_down(
    cluster: Kubernetes, serve: Serve, listening: Listening, tmp_path: Path
) -> None:
    await cluster.create("deployments", "api", "api:v1")
    await cluster.create("statefulsets", "store", "store:v1")

    async def refuse(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/controllerrevisions"):
            return web.json_response({"kind": "Status", "code": 403}, status=403)
        return await cluster.answer(request)

    async with listening.following(configured(tmp_path, await serve(refuse))) as ear:
        await ear.until(lambda: len(ear.heard) == 2 and bool(ear.ignored) and bool(ear.states))
    assert [life[0] for life in await listening.lives()] == ["api"]
    assert any("controllerrevisions" in reason and "403" in reason for reason in ear.ignored)
    assert set(ear.states) == {True}


async def test_what_annotations_say_counts_more_than_names(
    cluster: Kubernetes, kubernetes: Feed, listening: Listening
) -> None:
    await cluster.create("deployments", "api", "api:v1")
    notes = {"afdp.io/service": "checkout", "afdp.io/environment": "staging", "kubernetes.io/change-cause": "a fix"}
    cluster.objects["deployments", "api"]["metadata"]["annotations"] |= notes
    await listening.catch_up(kubernetes)
    (found,) = await listening.deployments()
    assert (found.service, found.environment, found.description) == ("checkout", "staging", "a fix")


async def test_no_way_to_a_cluster_is_reported(listening: Listening, tmp_path: Path) -> None:
    with pytest.raises(FeedError, match="no way to the cluster"):
        await listening.catch_up(feed("kubernetes"))
