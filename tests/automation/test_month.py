"""A month of deployments with known harm, through the parts that decide and act."""

from collections import defaultdict

import pytest

from automation import climbs, rollbacks, simulate

LEAST = {2: 5, 3: 20, 4: 60, 5: 150}  # deployments of a service before a level; ten of both services earn 2


@pytest.mark.parametrize("seed", [11, 12])
async def test_levels_are_climbed_by_their_rule_and_nothing_innocent_is_taken_back_below_level_four(seed: int) -> None:
    world = await simulate(320, seed)
    for _, before, after, known in await climbs(world):
        assert after < before or known >= LEAST[after]
    found = await rollbacks(world)
    assert [found[level] for level in range(4)] == [(0, 0)] * 4
    assert sum(wrong for _, wrong in found.values()) <= 320 // 150
    assert world.month.repeated == 0
    assert 0 < world.month.prevented <= world.month.without - world.month.suffered + 1e-6


async def test_what_nobody_has_allowed_is_never_done() -> None:
    world = await simulate(160, 13, allowed=2)
    assert not world.target.taken_back
    highest: dict[str, int] = defaultdict(int)
    for service, _, after, _ in await climbs(world):
        highest[service] = max(highest[service], after)
    assert set(highest.values()) == {2}
