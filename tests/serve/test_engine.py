from __future__ import annotations

import asyncio
import threading

import pytest

from audio_pipeline.errors import Overloaded
from serve.prediction.engine import Engine


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
