"""The inbox as a program: the SMTP server and the page, until stopped.

Here: `serve`. Not here: receiving (`smtp`), showing (`pages`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from audio_pipeline.errors import SettingsError
from automation.inbox.pages import create_pages
from automation.inbox.smtp import receive
from automation.inbox.store import MailStore

_LOCAL = ("127.0.0.1", "localhost", "[::1]")


def serve(folder: Path, host: str, smtp_port: int, port: int, names: tuple[str, ...] = ()) -> None:
    """Receive and show mail.

    Parameters
    ----------
    folder
        Where mail is kept.
    host, smtp_port, port
        Where to listen for mail, and for browsers.
    names
        Further host names under which the page may be asked for.

    Raises
    ------
    SettingsError
        The port for mail cannot be used.
    """
    store = MailStore(folder)
    try:
        smtp = receive(store, host, smtp_port)
    except OSError as error:
        raise SettingsError(f"Port {smtp_port} on {host} cannot be used for mail ({error}).") from error
    try:
        uvicorn.run(create_pages(store, (*_LOCAL, *names)), host=host, port=port, log_level="warning")
    finally:
        smtp.stop()


if __name__ == "__main__":  # `python -m automation.inbox.service`: for images, without the rest of Wheeltapper
    parser = argparse.ArgumentParser(description="A mail inbox for the demo: nothing leaves this machine.")
    parser.add_argument("--folder", type=Path, default=Path("data/mail"))
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--smtp-port", type=int, default=1025)
    parser.add_argument("--port", type=int, default=8025)
    parser.add_argument("--name", action="append", default=[], help="a further host name under which it is opened")
    given = parser.parse_args()
    serve(given.folder, given.host, given.smtp_port, given.port, tuple(given.name))
