"""The local inbox: what is sent to it is kept and shown, and shown without doing what it says."""

from __future__ import annotations

import smtplib
import socket
import tracemalloc
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import httpx
import pytest
import yaml
from starlette.testclient import TestClient

from automation.inbox.pages import create_pages
from automation.inbox.smtp import receive
from automation.inbox.store import KEPT, MailStore

PICTURE = b"\x89PNG\r\n\x1a\nnot much of a picture"
HTML = (
    '<h1>Hello</h1><script>alert(1)</script><img src="cid:spectrogram"><img src="https://elsewhere.example/spy.png">'
    '<a href="https://ask.example/form">Answer</a>'
)


@pytest.fixture
def store(tmp_path: Path) -> MailStore:
    return MailStore(tmp_path / "mail")


@pytest.fixture
def port(store: MailStore) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = int(probe.getsockname()[1])
    server = receive(store, "127.0.0.1", free)
    yield free
    server.stop()


@pytest.fixture
def browser(store: MailStore) -> httpx.Client:
    return TestClient(create_pages(store), base_url="http://127.0.0.1:8025")


def letter(subject: str = "Grüße", message_id: str = "<1@wheeltapper>") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@localhost", "b@localhost", subject
    message["Message-ID"] = message_id
    message.set_content("Hello in plain text\n")
    message.add_alternative(HTML, subtype="html")
    html = message.get_payload()[1]  # type: ignore[index]
    html.add_related(PICTURE, "image", "png", cid="<spectrogram>", filename="spectrogram.png")  # type: ignore[union-attr]
    message.add_attachment(b"RIFF sound", "audio", "wav", filename="../../clip.wav")
    message.add_attachment(b"<script>alert(2)</script>", "text", "html", filename="page.html")
    return message


def send(port: int, message: EmailMessage) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.send_message(message)


def test_what_is_sent_is_listed_and_shown(port: int, store: MailStore, browser: httpx.Client) -> None:
    send(port, letter())
    [mail] = store.mails()
    assert "Grüße" in browser.get("/").text
    page = browser.get(f"/mail/{mail.mail_id}").text
    for said in ("Grüße", "a@localhost", "b@localhost", "clip.wav", "<audio", "Hello in plain text"):
        assert said in page
    assert "spectrogram.png" not in page  # it stands in the message
    listed = browser.get("/api/mails").json()["mails"]
    assert [(m["subject"], m["copies"], len(m["parts"])) for m in listed] == [("Grüße", 1, 3)]


def test_a_message_cannot_do_anything(port: int, store: MailStore, browser: httpx.Client) -> None:
    send(port, letter())
    [mail] = store.mails()
    frame = browser.get(f"/mail/{mail.mail_id}").text
    assert "<iframe sandbox='allow-popups allow-popups-to-escape-sandbox'" in frame
    assert "<script" not in frame
    shown = browser.get(f"/mail/{mail.mail_id}/content")
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("sandbox ")
    assert "allow-scripts" not in policy
    assert "default-src 'none'" in policy
    assert "img-src data:" in policy  # nothing from elsewhere
    assert "data:image/png;base64," in shown.text
    assert "cid:" not in shown.text


def test_attachments_are_downloads(port: int, store: MailStore, browser: httpx.Client) -> None:
    send(port, letter())
    [mail] = store.mails()
    by_name = {part.name: part.number for part in mail.parts}
    sound = browser.get(f"/mail/{mail.mail_id}/parts/{by_name['../../clip.wav']}")
    assert sound.content == b"RIFF sound"
    assert sound.headers["content-disposition"] == 'attachment; filename=".._.._clip.wav"'
    page = browser.get(f"/mail/{mail.mail_id}/parts/{by_name['page.html']}")
    assert page.headers["content-type"] == "application/octet-stream"
    assert page.headers["x-content-type-options"] == "nosniff"


def test_a_message_sent_twice_is_shown_once_and_counted(port: int, store: MailStore, browser: httpx.Client) -> None:
    send(port, letter())
    send(port, letter())
    send(port, letter(message_id="<2@wheeltapper>"))
    assert sorted(mail.copies for mail in store.mails()) == [1, 2]
    assert "received 2 times" in browser.get("/").text


@pytest.mark.parametrize(
    "path", ["/mail/nothing", "/mail/..%2f..%2fetc", "/mail/" + "0" * 24, "/mail/" + "0" * 24 + "/parts/0"]
)
def test_what_is_not_there_is_not_found(browser: httpx.Client, path: str) -> None:
    assert browser.get(path).status_code == 404


def test_another_site_can_neither_read_nor_delete(port: int, store: MailStore, browser: httpx.Client) -> None:
    send(port, letter())
    assert browser.get("/", headers={"Host": "rebound.example"}).status_code == 400
    assert browser.post("/clear", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert len(store.mails()) == 1
    assert browser.post("/clear").status_code == 200
    assert store.mails() == []


def test_the_oldest_goes_when_there_are_too_many(store: MailStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT >= 100
    monkeypatch.setattr("automation.inbox.store.KEPT", 3)
    for number in range(5):
        store.add(bytes(letter(subject=f"number {number}", message_id=f"<{number}@x>")), ("b@localhost",))
    assert [mail.subject for mail in store.mails()] == ["number 4", "number 3", "number 2"]


def test_the_list_reads_headers_alone(store: MailStore, browser: httpx.Client) -> None:
    large = letter()
    large.add_attachment(bytes(4_000_000), maintype="audio", subtype="wav", filename="clip.wav")
    store.add(bytes(large), ("b@localhost",))
    browser.get("/")  # loads what the first page loads
    tracemalloc.start()
    try:
        assert "Grüße" in browser.get("/").text
        assert tracemalloc.get_traced_memory()[1] < 1_000_000  # 500 such messages, every few seconds
    finally:
        tracemalloc.stop()


def test_those_who_ask_after_its_health_are_answered(store: MailStore) -> None:
    manifest = Path(__file__).parents[2] / "deploy" / "kubernetes" / "overlays" / "single-node" / "inbox.yaml"
    deployment = next(one for one in yaml.safe_load_all(manifest.read_text()) if one["kind"] == "Deployment")
    asked = deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["httpGet"]
    headers = {header["name"]: header["value"] for header in asked["httpHeaders"]}
    # Kubernetes asks at the pod's address, which is no name of the inbox.
    kubelet = TestClient(create_pages(store), base_url="http://10.42.0.7:8025")
    assert kubelet.get(asked["path"], headers=headers).status_code == 200
    assert kubelet.get("/").status_code == 400


def test_broken_mail_is_kept_and_shown(store: MailStore, browser: httpx.Client) -> None:
    store.add(
        b"Subject: =?utf-8?q?half\r\nContent-Type: text/html; charset=no-such-thing\r\n\r\n<p>caf\xc3\xa9</p>", ("b",)
    )
    store.add(b"", ("b",))
    for mail in store.mails():
        assert browser.get(f"/mail/{mail.mail_id}").status_code == 200
    assert browser.get("/").status_code == 200
