"""The executor `swarm` on a real engine: back once, and never forward again."""

from datetime import UTC, datetime

import pytest

from afdp_exporter.errors import ActionRefused
from afdp_exporter.executors import Executor, Order
from afdp_exporter.settings import build
from real_parts.engine import Swarm, ended


def order(service: str, version: str = "v2") -> Order:
    return Order(
        deployment_id="d2", service=service, environment="production", at=datetime(2026, 3, 2, 12, tzinfo=UTC),
        version=version, previous_version="v1",
    )  # fmt: skip


@pytest.fixture
def executor(swarm: Swarm) -> Executor:
    made: Executor = build("executors", "swarm", {"url": swarm.url}, "")
    return made


async def test_a_service_goes_back_once_however_often_it_is_asked(swarm: Swarm, executor: Executor) -> None:
    await swarm.create("checkout", "v1")
    await swarm.update("checkout", "v2")
    plan, same = await executor.check(order("checkout")), await executor.check(order("checkout"))
    assert await executor.verify(plan) is False
    assert await swarm.image("checkout") == "shop/checkout:v2"  # a check changes nothing
    await executor.apply(plan)
    await swarm.until("checkout", ended("rollback_completed"))
    assert await executor.verify(plan)
    assert await swarm.running("checkout") == {"shop/checkout:v1"}
    with pytest.raises(ActionRefused, match="out of sequence"):
        await executor.apply(same)
    assert (await executor.check(order("checkout"))).done
    assert await swarm.image("checkout") == "shop/checkout:v1"
    await swarm.update("checkout", "v3")
    with pytest.raises(ActionRefused, match="does not run v2"):
        await executor.check(order("checkout"))
    assert (await executor.check(order("checkout", "v3"))).seen["target"] == "shop/checkout:v1"


async def test_the_engine_itself_would_go_forward_again(swarm: Swarm, executor: Executor) -> None:
    await swarm.create("search", "v1")
    await swarm.update("search", "v2")
    await swarm.roll_back("search")
    await swarm.roll_back("search")
    assert await swarm.image("search") == "shop/checkout:v2"
    assert (await executor.check(order("search"))).done  # a person has been there: it is left alone


async def test_what_has_no_earlier_spec_or_is_not_there_is_refused(swarm: Swarm, executor: Executor) -> None:
    await swarm.create("new", "v2")
    with pytest.raises(ActionRefused, match="no earlier spec"):
        await executor.check(order("new"))
    with pytest.raises(ActionRefused, match="no service"):
        await executor.check(order("gone"))
