"""Everything that asks a person, to be killed: n8n with our workflows, a mail server, a language model, a TLS proxy.

Here: starting, killing, filling in the form. Not here: what is done to it, and what must hold afterwards (`asking`).

n8n is reached under another host name through a proxy that ends TLS, as in a plant. What n8n asks serve goes through
`Between`, so that something can be killed exactly before serve hears of it, or after it has answered. One n8n folder is
made ready once a process; whoever wants an empty one deletes its database.
"""

from __future__ import annotations

import asyncio
import atexit
import csv
import http.client
import http.server
import io
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from automation import form
from automation import n8n as program
from automation.inbox.smtp import receive
from automation.inbox.store import Mail, MailStore
from automation.settings import read_settings
from benchmarks.faults.running import KEY, Killable, wait_for
from wheeltapper.parts import free_ports

TOKEN = "a token for faults, long enough"
HOST = "ask.plant.example"
HOW = "n8n is not installed: make n8n (2.3 GB, about four minutes)"
_CODE = "import sys; from wheeltapper.cli import main; sys.exit(main())"


def available() -> bool:
    """Whether n8n is installed here."""
    settings = read_settings({**os.environ, "WHEELTAPPER_API_KEY": "-", "WHEELTAPPER_WEBHOOK_TOKEN": "-"})
    return program.installed(settings.home)


class Mailbox:
    """A mail server that can be stopped, and that calls `on_mail` before it says that it has taken a message."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.on_mail: Callable[[], None] | None = None
        self.store = MailStore(folder)
        keep = self.store.add

        def add(content: bytes, recipients: tuple[str, ...]) -> str:
            kept = keep(content, recipients)
            if self.on_mail is not None:
                self.on_mail()
            return kept

        self.store.add = add  # type: ignore[method-assign]
        self.start()

    def start(self) -> None:
        """Take mail."""
        self._server = receive(self.store, "127.0.0.1", self.port)

    def stop(self) -> None:
        """Take none: the port is closed."""
        self._server.stop()

    def about(self, question: str, kind: str = "ask") -> list[Mail]:
        """Return the mails about a question, of one kind: ask, remind, escalate."""
        marked = f'content="{kind}-{question}"'
        return [mail for mail in self.store.mails() if marked in mail.html]


class LanguageModel:
    """An OpenAI-compatible endpoint whose manners can be changed.

    Attributes
    ----------
    manner
        `keeps` (to the facts), `invents` (a number), `nonsense` (no JSON), `refuses` (500).
    delay_s
        Before it answers.
    on_asked
        Called with each chat before it is answered.
    """

    def __init__(self, port: int) -> None:
        self.manner, self.delay_s = "keeps", 0.0
        self.on_asked: Callable[[], None] | None = None
        self._port = port
        self.start()

    def start(self) -> None:
        """Listen."""
        self._server = _Chats(self, self._port)

    def stop(self) -> None:
        """Listen no more: the port is closed."""
        self._server.shutdown()
        self._server.server_close()


class _Chats(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, model: LanguageModel, port: int) -> None:
        self.model = model
        super().__init__(("127.0.0.1", port), _Complete)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Complete(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Answer a chat: with the facts in one line, and what the manner adds."""
        assert isinstance(self.server, _Chats)
        model = self.server.model
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if model.on_asked is not None:
            model.on_asked()
        time.sleep(model.delay_s)
        text = " ".join(asked["messages"][-1]["content"].splitlines())
        if model.manner == "invents":
            text += " It went on for 47 minutes."
        answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]}
        body = b"<html>" if model.manner == "nonsense" else json.dumps(answer).encode()
        try:
            self.send_response(500 if model.manner == "refuses" else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass  # n8n waited no longer, or was killed

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Between(http.server.ThreadingHTTPServer):
    """Passes on to serve what n8n asks, and back what it answers; without serve, the connection is closed.

    Attributes
    ----------
    on_request, on_answer
        Called with "METHOD /path" before serve hears of it, and after it has answered, before n8n hears of that.
    """

    daemon_threads = True

    def __init__(self, port: int, to: int) -> None:
        self.on_request: Callable[[str], None] | None = None
        self.on_answer: Callable[[str], None] | None = None
        self.to = to
        super().__init__(("127.0.0.1", port), _Pass)
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Pass(http.server.BaseHTTPRequestHandler):
    def _pass_on(self) -> None:
        assert isinstance(self.server, Between)
        between, what = self.server, f"{self.command} {self.path}"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if between.on_request is not None:
            between.on_request(what)
        connection = http.client.HTTPConnection("127.0.0.1", between.to, timeout=60)
        try:
            connection.request(self.command, self.path, body or None, dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            if between.on_answer is not None:
                between.on_answer(what)
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except (OSError, http.client.HTTPException):
            self.close_connection = True  # serve is away, or n8n is
        finally:
            connection.close()

    do_GET = do_POST = _pass_on  # noqa: N815  (the names that http.server looks for)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class TlsProxy:
    """Ends TLS under `HOST` and passes everything on to n8n."""

    def __init__(self, folder: Path, port: int, to: int) -> None:
        key, certificate = folder / "tls.key", folder / "tls.crt"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}",
             "-keyout", str(key), "-out", str(certificate)],
            check=True, capture_output=True,
        )  # fmt: skip
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while block := await reader.read(65_536):
                    writer.write(block)
                    await writer.drain()
            except OSError:
                pass
            finally:
                writer.close()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", to)
            except OSError:
                writer.close()
                return
            await asyncio.gather(relay(reader, inner_writer), relay(inner_reader, writer))

        async def run() -> None:
            server = await asyncio.start_server(connected, "127.0.0.1", port, ssl=context)
            async with server:
                await server.serve_forever()

        threading.Thread(target=lambda: asyncio.run(run()), daemon=True).start()


class N8n:
    """`wheeltapper n8n start`, started and killed as often as one likes."""

    def __init__(self, folder: Path, port: int, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{port}"
        inherited = {n: v for n, v in os.environ.items() if not n.startswith(("WHEELTAPPER_", "LLM_", "SMTP_", "N8N_"))}
        home = {n: v for n, v in os.environ.items() if n in ("WHEELTAPPER_N8N_HOME", "WHEELTAPPER_NODE")}
        self._environment = {**inherited, **home, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it is not ready yet."""
        with (self.folder / "n8n.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _CODE, "n8n", "start"],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self._environment,
                start_new_session=True,
            )

    def wait_ready(self, seconds: float = 600.0) -> None:
        """Return once its webhooks and forms answer."""

        def looks() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise RuntimeError(f"n8n ended:\n{self.log()}")
            return program.ready(self.url)

        wait_for(looks, seconds, "n8n is ready")

    def kill(self) -> None:
        """Kill it and what it started, without a chance to tidy up."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def wipe(self) -> None:
        """Delete its database, as if its disk had been lost; to be done while it does not run."""
        for path in (self.folder / "n8n" / ".n8n").glob("database.sqlite*"):
            path.unlink()

    def log(self) -> str:
        """Return the end of what it said."""
        path = self.folder / "n8n.log"
        return path.read_text(errors="replace")[-4000:] if path.exists() else ""


class Asking:
    """The whole chain: serve, n8n behind a TLS proxy, mail, a language model.

    Parameters
    ----------
    artifacts
        Folder with a model that serves.
    more
        More settings of serve.
    """

    def __init__(self, artifacts: Path, **more: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="wt-asking-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        n8n_port, mail_port, llm_port, tls_port, between_port = free_ports(5)
        self.public = f"https://{HOST}:{tls_port}/"
        self.tls_port = tls_port
        self.service = Killable(
            self.folder,
            artifacts,
            {
                "WHEELTAPPER_WEBHOOK_TOKEN": TOKEN,
                "WHEELTAPPER_N8N_URL": f"http://127.0.0.1:{n8n_port}",
                "WEBHOOK_URL": self.public,
                "WHEELTAPPER_OPERATOR_NAME": "Ann",
                "WHEELTAPPER_ESCALATION_EMAIL": "second@localhost",
                "WHEELTAPPER_AUDIT_SHARE": "0",
                "WHEELTAPPER_QUESTIONS_PER_DAY": "10000",
                **more,
            },
        )
        (self.folder / "data").mkdir(exist_ok=True)
        self.between = Between(between_port, self.service.port)
        self.n8n = N8n(
            self.folder,
            n8n_port,
            {
                "WHEELTAPPER_API_KEY": KEY,
                "WHEELTAPPER_WEBHOOK_TOKEN": TOKEN,
                "WHEELTAPPER_SERVE_URL": f"http://127.0.0.1:{between_port}",
                "WHEELTAPPER_N8N_PORT": str(n8n_port),
                "WHEELTAPPER_N8N_DATA": str(self.folder / "n8n"),
                "WHEELTAPPER_N8N_PASSWORD": "a password for faults",
                "WHEELTAPPER_REMIND_CRON": "*/10 * * * * *",
                "WEBHOOK_URL": self.public,
                "N8N_PROXY_HOPS": "1",
                "SMTP_PORT": str(mail_port),
                "LLM_BASE_URL": f"http://127.0.0.1:{llm_port}/v1",
                "LLM_TIMEOUT_MS": "4000",
            },
        )
        self.mail = Mailbox(self.folder / "mail", mail_port)
        self.model = LanguageModel(llm_port)
        TlsProxy(self.folder, tls_port, n8n_port)
        atexit.register(self.end)

    def start(self) -> None:
        """Start what does not run, and wait until all of it works."""
        if self.service.process is None:
            self.service.start()
        if self.n8n.process is None:
            self.n8n.start()
        self.service.wait_ready()
        self.n8n.wait_ready()

    def end(self) -> None:
        """Stop everything."""
        self.n8n.kill()
        self.service.kill()

    def ask(self, prediction: str) -> str:
        """Open a question about a prediction and return its id."""
        status, body = self.service.ask("POST", "/questions", {"prediction_id": prediction, "reason": "manual"})
        assert status in (200, 201), (status, body)
        return str(body["question_id"])

    def question(self, question: str) -> dict[str, Any]:
        """Read a question; empty while the service is away."""
        return self.service.ask("GET", f"/questions/{question}")[1]

    def wait_sent(self, question: str, seconds: float = 120.0) -> dict[str, Any]:
        """Return a question once serve has been told that it was sent."""
        return dict(
            wait_for(
                lambda: (q := self.question(question)).get("sent") and q,
                seconds,
                f"{question} was sent\n{self.n8n.log()}",
            )
        )

    def fetch(
        self, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, method: str | None = None
    ) -> tuple[int, bytes]:
        """Send one request as a person's browser would, through the proxy; (0, b"") when there is no answer."""
        parts = urlsplit(url)
        # Whatever the host name says: only this machine is asked.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", parts.port, timeout=60, context=context)
        path = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        try:
            connection.request(
                method or ("GET" if body is None else "POST"), path, body, {"Host": parts.netloc, **(headers or {})}
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def submit(self, link: str, answer: str = "Real fault", **fields: str) -> str:
        """Fill in the form behind a link and send it; return the address of the page that follows.

        Parameters
        ----------
        link
            From a message.
        answer
            As the form words it; empty: what the link has chosen.
        fields
            Others of the form's, or instead of the link's.

        Raises
        ------
        ConnectionError
            n8n did not take it.
        """
        body, headers = form.filled_in(link, answer, **fields)
        status, said = self.fetch(link, body, headers)
        if status != 200:
            raise ConnectionError(f"The form answered {status}: {said[:200]!r}")
        return form.follows(said)

    def page(self, waiting: str, seconds: float = 90.0) -> str:
        """Return the text of the page that a browser ends up on after sending the form."""

        def there() -> str:
            if self.fetch(form.status_of(waiting))[1].decode().strip() not in form.TAKEN:
                return ""
            status, content = self.fetch(waiting)
            page = content.decode(errors="replace")
            return form.text_of(page) if status == 200 and "<html" in page else ""

        return str(wait_for(there, seconds, f"a page after the form\n{self.n8n.log()}"))

    def press(self, waiting: str) -> None:
        """Press the button of the page *being delivered*."""
        self.fetch(waiting, *form.pressed())

    def link(self, question: str, answer: str = "") -> str:
        """Return the signed link of a question, as serve gives it to n8n."""
        url = str(self.question(question)["form_url"])
        return url + (f"&answer={quote(answer)}" if answer else "")

    def rows(self) -> list[dict[str, str]]:
        """Return the rows of `prod_data.csv`."""
        table = self.service.data / "prod_data.csv"
        return list(csv.DictReader(io.StringIO(table.read_text()))) if table.exists() else []

    def answer_of(self, prediction: str) -> str | None:
        """Return what serve has stored about a prediction."""
        status, body = self.service.ask("GET", "/feedback?limit=1000")
        assert status == 200, (status, body)
        return next((a["answer"] for a in body["answers"] if a["prediction_id"] == prediction), None)
