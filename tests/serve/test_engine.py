from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from audio_pipeline.errors import Overloaded
from serve.engine import Engine, _cgroup_quota, available_processors


def test_a_full_queue_refuses_at_once_and_takes_work_again_when_it_has_room() -> None:
    async def scenario() -> None:
        engine, gate = Engine(workers=1, queue_length=2), threading.Event()
        held = [asyncio.create_task(engine.run(gate.wait)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert engine.waiting == 2
        with pytest.raises(Overloaded) as refused:
            await engine.run(lambda: None)
        assert refused.value.retry_after_s >= 1
        gate.set()
        assert await asyncio.gather(*held) == [True] * 3
        assert await engine.run(lambda: "again") == "again"
        assert engine.waiting == 0
        engine.close()

    asyncio.run(scenario())


def test_an_error_in_the_work_comes_out_and_frees_its_place() -> None:
    async def scenario() -> None:
        engine = Engine(workers=1, queue_length=1)
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                await engine.run(lambda: 1 / 0)
        engine.close()

    asyncio.run(scenario())


def test_work_whose_sender_is_gone_leaves_the_queue() -> None:
    async def scenario() -> None:
        engine, gate, done = Engine(workers=1, queue_length=1), threading.Event(), []
        first = asyncio.create_task(engine.run(gate.wait))
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(engine.run(lambda: done.append("ran")))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.sleep(0.05)
        assert engine.waiting == 0
        gate.set()
        await first
        engine.close()
        assert done == []

    asyncio.run(scenario())


def test_closing_finishes_what_was_taken_on_and_refuses_more() -> None:
    async def scenario() -> None:
        engine, gate = Engine(workers=1, queue_length=4), threading.Event()
        taken = [asyncio.create_task(engine.run(gate.wait)) for _ in range(4)]
        await asyncio.sleep(0.05)
        closing = asyncio.create_task(asyncio.to_thread(engine.close))
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded):
            await engine.run(lambda: None)
        gate.set()
        assert await asyncio.gather(*taken) == [True] * 4
        await closing

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({"pod/box/cpu.max": "150000 100000"}, 1.5),
        ({"pod/box/cpu.max": "max 100000"}, float("inf")),
        ({"pod/box/cpu.max": "max 100000", "pod/cpu.max": "50000 100000"}, 0.5),
        ({}, float("inf")),
    ],
)
def test_the_containers_quota_is_read_where_it_is_set(tmp_path: Path, files: dict[str, str], processors: float) -> None:
    (tmp_path / "pod/box").mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    own = tmp_path / "cgroup"
    own.write_text("3:cpuset:/elsewhere\n0::/pod/box\n")
    assert _cgroup_quota(tmp_path, own) == processors


def test_there_is_at_least_one_processor() -> None:
    assert available_processors() >= 1
