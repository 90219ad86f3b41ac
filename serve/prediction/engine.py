"""A bounded queue in front of a fixed number of threads: where everything slow is done.

Here: how much work is taken on, and what is refused. Not here: what the work is (`prediction`, `spectrogram`).
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from audio_pipeline.errors import Overloaded

T = TypeVar("T")

_MAX_RETRY_AFTER_S = 60


class Engine:
    """Threads that work, and a queue of stated length in front of them.

    ONNX Runtime, soxr and libsndfile let go of Python's lock while they compute, so that threads use every processor.

    Parameters
    ----------
    workers
        Threads.
    queue_length
        Jobs that may wait; one more is refused at once.

    Examples
    --------
    >>> engine = Engine(workers=1, queue_length=4)
    >>> asyncio.run(engine.run(lambda: 6 * 7))
    42
    >>> engine.close()
    """

    def __init__(self, workers: int, queue_length: int) -> None:
        self.workers = workers
        self.queue_length = queue_length
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="worker")
        self._lock = threading.Lock()
        self._taken = 0
        self._seconds_a_job = 0.1  # a moving average

    @property
    def waiting(self) -> int:
        """Jobs taken on that no thread has begun yet."""
        return max(0, self._taken - self.workers)

    def refuse_if_full(self) -> None:
        """Raise `Overloaded` when a job submitted now would be refused: ask before reading a body."""
        if self._taken >= self.workers + self.queue_length:
            wait = math.ceil(self._seconds_a_job * self.queue_length / self.workers)
            raise Overloaded(
                f"{self.queue_length} clips are already waiting, as many as are let in: try again.",
                retry_after_s=min(max(1, wait), _MAX_RETRY_AFTER_S),
            )

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` in a thread, after what waits already.

        Raises
        ------
        Overloaded
            The queue is full.
        """
        with self._lock:
            self.refuse_if_full()
            self._taken += 1
        try:
            future = self._pool.submit(self._timed, work)
        except RuntimeError as error:  # closed: the process is on its way out
            self._leave()
            raise Overloaded("The service is shutting down: try again.", retry_after_s=5) from error
        # Also called when a job is cancelled while it waits, because its sender is gone.
        future.add_done_callback(lambda _: self._leave())
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Finish what was taken on, take nothing more."""
        self._pool.shutdown(wait=True)

    def _timed(self, work: Callable[[], T]) -> T:
        begun = time.perf_counter()
        try:
            return work()
        finally:
            self._seconds_a_job += 0.1 * (time.perf_counter() - begun - self._seconds_a_job)

    def _leave(self) -> None:
        with self._lock:
            self._taken -= 1
