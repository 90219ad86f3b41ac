"""Leaving without a request being lost: told to stop, the service first tells others to send elsewhere.

Here: the flag, and uvicorn's server that raises it. Not here: what it changes (`edge` asks clients to reconnect,
`routes/operations` is no longer ready).

A load balancer that still sends here for a moment, or holds a connection open, would otherwise meet a closed door.
"""

from __future__ import annotations

import threading
from types import FrameType

import uvicorn


class Draining:
    """Whether the service is on its way out."""

    def __init__(self) -> None:
        self.begun = False


class DrainingServer(uvicorn.Server):
    """A server that goes on for a while after the first SIGTERM or Ctrl-C, and ends at once after the second.

    Parameters
    ----------
    config
        As uvicorn's.
    draining
        Raised when told to stop.
    seconds
        How long to go on; 0: end at once, after what was taken on.
    """

    def __init__(self, config: uvicorn.Config, draining: Draining, seconds: float) -> None:
        super().__init__(config)
        self._draining = draining
        self._seconds = seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self._draining.begun or self._seconds == 0:
            super().handle_exit(sig, frame)
            return
        self._draining.begun = True
        # A timer, since a signal may arrive outside of any step of the event loop; it only sets a flag.
        later = threading.Timer(self._seconds, super().handle_exit, (sig, frame))
        later.daemon = True  # a second signal ends the process without waiting for it
        later.start()
