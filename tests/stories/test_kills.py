"""Whatever is killed, and whenever: nothing accepted is lost, and nothing that must not start twice does.

`make chaos` kills hundreds of times.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import pytest
from chaos import Chaos
from story_harness import World

KILLS = 12
ON_POSTGRES = 10


@pytest.mark.parametrize(("seed", "workers"), [(1, 1), (3, 2)])
def test_no_work_is_lost_and_none_starts_twice_when_processes_are_killed_at_random(
    world: World, seed: int, workers: int, record_property: Callable[[str, object], None]
) -> None:
    kills = ON_POSTGRES if world.place else KILLS
    report = Chaos(world, seed, workers).run(kills)
    record_property("report", str(report))
    assert report.kills.total() == kills
    assert not report.started_twice
    if workers == 1:
        assert report.again_after_s, "no kill hit anything that ran"
        assert median(report.again_after_s) <= 2.0, str(report)
