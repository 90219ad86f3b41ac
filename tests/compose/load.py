"""Runs inside a container of the stack: a load on one address while models are promoted; prints what came back.

Only what the portal's image has: the standard library. The name is looked up for every request, as a new client would:
Docker's DNS gives the services behind it in turn.
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import threading
import time
from dataclasses import dataclass

NAME, PORT, KEY, SECONDS = "serve", 8080, sys.argv[1], float(sys.argv[2])
WITHIN_S = 5.0
CLIP = open("data/demo/clips/fan/id_00/normal/fan_normal_03.flac", "rb").read()  # noqa: PTH123, SIM115


@dataclass(frozen=True)
class Answer:
    """One prediction: when it was asked for, which service judged, by which version."""

    asked: float
    service: str
    version: str
    took: float


def ask(method: str, path: str, body: bytes, kind: str = "application/json") -> tuple[str, dict[str, object]]:
    """One call of the name; which service answered, and what. OSError when it did not, or not with 200."""
    service = str(socket.getaddrinfo(NAME, PORT, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    connection = http.client.HTTPConnection(service, PORT, timeout=60)
    try:
        connection.request(method, path, body, {"Authorization": f"Bearer {KEY}", "Content-Type": kind})
        answer = connection.getresponse()
        content = answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"{service}: {error!r}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise OSError(f"{service}: {answer.status} {content[:200]!r}")
    return service, json.loads(content)


def predict() -> Answer:
    """Have a clip judged."""
    edge = "edge-of-a-part"
    form = f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="a.flac"\r\n\r\n'.encode()
    body = form + CLIP + f"\r\n--{edge}--\r\n".encode()
    asked = time.monotonic()
    service, answer = ask("POST", "/predict", body, f"multipart/form-data; boundary={edge}")
    return Answer(asked, service, str(answer["model_version"]), time.monotonic() - asked)


def followed(answers: list[Answer], promoted: float, until: float, version: str) -> dict[str, float]:
    """Service → seconds after the promotion at which a clip was last sent that an older version judged."""
    late: dict[str, float] = {}
    for answer in answers:
        if promoted <= answer.asked < until:
            old = answer.asked - promoted if answer.version != version else 0.0
            late[answer.service] = round(max(late.get(answer.service, 0.0), old), 2)
    return late


def main() -> None:
    """Load; promote by a new false-alarm rate, then the version before by hand; report."""
    answers: list[Answer] = []
    failed: list[str] = []
    stop = threading.Event()

    def send() -> None:
        while not stop.is_set():
            try:
                answers.append(predict())
            except OSError as error:
                failed.append(str(error))

    senders = [threading.Thread(target=send) for _ in range(4)]
    for sender in senders:
        sender.start()
    time.sleep(SECONDS)
    before = answers[-1].version
    calls = [
        ("PUT", "/threshold", json.dumps({"rate": 0.05, "by": "test"}).encode(), "model_version"),
        ("POST", f"/models/{before}/promote", b"{}", "current"),
    ]
    promotions = []
    for method, path, body, named in calls:
        _, changed = ask(method, path, body)
        moment = time.monotonic()
        time.sleep(WITHIN_S + SECONDS)
        promotions.append((moment, time.monotonic(), str(changed[named])))
    stop.set()
    for sender in senders:
        sender.join()
    report = {
        "answers": {s: sum(a.service == s for a in answers) for s in {a.service for a in answers}},
        "failed": failed,
        "slowest_s": round(max(a.took for a in answers), 2),
        "versions": [before, *(version for _, _, version in promotions)],
        "followed_within_s": [followed(answers, at, until, version) for at, until, version in promotions],
    }
    print(json.dumps(report))


main()
