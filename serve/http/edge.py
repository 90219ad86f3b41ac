"""The outermost layer around the routes: who is let in, how long it took, and that every failure is a problem.

Here: what is true of every request alike. Not here: the rule of the key (`access`), or what the routes do.
"""

from __future__ import annotations

import logging
import time

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve.http.access import Access
from serve.http.draining import Draining
from serve.http.problems import Refused, problem_of
from serve.observability.metrics import Metrics

logger = logging.getLogger(__name__)


class Edge:
    """ASGI middleware: access, metrics, last resort.

    Parameters
    ----------
    app
        What is wrapped.
    access
        The rule of the key.
    metrics
        Told of every request.
    draining
        Once begun, every answer asks its client to open another connection next time.
    """

    def __init__(self, app: ASGIApp, access: Access, metrics: Metrics, draining: Draining) -> None:
        self.app = app
        self._access = access
        self._metrics = metrics
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._draining.begun:
                    message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        try:
            self._access.check(scope["method"], scope["path"], Request(scope))
            await self.app(scope, receive, watch)
        except ClientDisconnect:
            status = 499  # nobody is left to be answered; the name that nginx gives it
        except Refused as refused:
            await problem_of(refused)(scope, receive, watch)
        except Exception as error:
            answer = problem_of(error)
            if status == 0:
                await answer(scope, receive, watch)
            else:  # half an answer is out: only an end without an end tells the client
                raise
        finally:
            labels = (scope["method"], _route(scope), str(status))
            self._metrics.requests.labels(*labels).inc()
            self._metrics.latency.labels(*labels).observe(time.perf_counter() - begun)


def _route(scope: Scope) -> str:
    """Name the route, as it is written in the code: addresses that nobody serves share one name."""
    route = scope.get("route")
    return str(getattr(route, "path", "none"))
