"""The inbox in a browser: the list, one message, its parts.

Here: `create_pages(store)`, a Starlette app. Not here: messages (`store`).

A message is a stranger's HTML: it is shown in a frame without scripts, forms or an origin, and its policy lets nothing
be loaded but the pictures that came with it, which are put in as data. Attachments are handed out as downloads, sounds
with a player.
"""

from __future__ import annotations

import base64
import html
import re
from datetime import datetime

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from automation.inbox.store import Line, Mail, MailStore, Part

_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src 'self'; frame-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_MESSAGE_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
)
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_SOUNDS = ("audio/wav", "audio/x-wav", "audio/vnd.wave", "audio/mpeg", "audio/ogg", "audio/flac")
_STYLE = """
:root { color-scheme: light dark; --line: #d7e0de; --soft: #5d6b6a; --accent: #0b6b57; --paper: #ffffff; --ground: #eef2f1; --ink: #1c2b2a; }
@media (prefers-color-scheme: dark) { :root { --line: #33413f; --soft: #9fb2ae; --accent: #5fd3b8; --paper: #182221; --ground: #0f1716; --ink: #e6eeec; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
main { max-width: 860px; margin: 0 auto; padding: 16px; }
h1 { font-size: 20px; line-height: 1.3; margin: 8px 0 12px; overflow-wrap: anywhere; }
a { color: var(--accent); }
.card { background: var(--paper); border: 1px solid var(--line); border-radius: 12px; overflow: hidden; }
.mail { display: block; padding: 12px 16px; border-bottom: 1px solid var(--line); text-decoration: none; color: inherit; overflow-wrap: anywhere; }
.mail:last-child { border-bottom: 0; } .mail:hover, .mail:focus { background: var(--ground); }
.mail strong { display: block; } .soft { color: var(--soft); font-size: 14px; }
.row { display: flex; flex-wrap: wrap; gap: 8px 16px; justify-content: space-between; align-items: baseline; }
iframe { display: block; width: 100%; height: 78vh; min-height: 480px; border: 0; background: #ffffff; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: 16px; margin: 0; font: 14px/1.5 ui-monospace, Menlo, Consolas, monospace; }
audio { width: 100%; margin-top: 8px; }
ul.parts { list-style: none; margin: 0 0 12px; padding: 0; } ul.parts li { padding: 6px 0; }
button { font: inherit; border: 1px solid var(--line); border-radius: 8px; background: var(--paper); color: inherit; padding: 8px 14px; cursor: pointer; }
summary { padding: 12px 16px; cursor: pointer; } .empty { padding: 32px 16px; text-align: center; color: var(--soft); }
"""  # noqa: E501


def create_pages(store: MailStore, hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")) -> Starlette:
    """Make the app.

    Parameters
    ----------
    store
        What is shown.
    hosts
        Names under which it may be asked for; any other is another site's (DNS rebinding) and refused.
    """

    def index(_request: Request) -> Response:
        lines = store.lines()
        rows = "".join(_row(line) for line in lines)
        empty = (
            "<p class='empty'>Nothing yet. Mail that Wheeltapper sends appears here; nothing leaves this machine.</p>"
        )
        clear = "<form method='post' action='/clear'><button>Delete all</button></form>" if lines else ""
        body = (
            f"<div class='row'><h1>Inbox <span class='soft'>{len(lines)}</span></h1>{clear}</div>"
            f"<div class='card'>{rows or empty}</div>"
        )
        # The list is looked at while mail is awaited.
        return _page("Wheeltapper inbox", body, refresh_s=5)

    def health(_request: Request) -> Response:
        return PlainTextResponse("It works.\n")

    def message(request: Request) -> Response:
        mail = store.mail(request.path_params["mail_id"])
        return _page(mail.subject, _message(mail)) if mail else _missing()

    def content(request: Request) -> Response:
        mail = store.mail(request.path_params["mail_id"])
        if mail is None:
            return _missing()
        return HTMLResponse(_with_pictures(mail), headers=_headers(_MESSAGE_POLICY))

    def part(request: Request) -> Response:
        mail = store.mail(request.path_params["mail_id"])
        number = request.path_params["number"]
        if mail is None or number >= len(mail.parts):
            return _missing()
        return _attachment(mail.parts[number])

    def listing(_request: Request) -> Response:
        return JSONResponse({"mails": [_summary(mail) for mail in store.mails()]})

    def details(request: Request) -> Response:
        mail = store.mail(request.path_params["mail_id"])
        if mail is None:
            return JSONResponse({"detail": "There is no such mail."}, 404)
        return JSONResponse({**_summary(mail), "text": mail.text, "html": mail.html})

    def clear(request: Request) -> Response:
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return PlainTextResponse("Not from another site.", 403)
        store.clear()
        return RedirectResponse("/", 303)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/health", health),
            Route("/mail/{mail_id}", message),
            Route("/mail/{mail_id}/content", content),
            Route("/mail/{mail_id}/parts/{number:int}", part),
            Route("/api/mails", listing),
            Route("/api/mails/{mail_id}", details),
            Route("/clear", clear, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)],
    )


def _row(line: Line) -> str:
    copies = f" · received {line.copies} times" if line.copies > 1 else ""
    return (
        f"<a class='mail' href='/mail/{line.mail_id}'><strong>{html.escape(line.subject)}</strong>"
        f"<span class='soft'>to {html.escape(line.recipients)} · {_moment(line.received)}{copies}</span></a>"
    )


def _message(mail: Mail) -> str:
    attachments = [part for part in mail.parts if not _inline(part, mail)]
    listed = "".join(
        f"<li><a href='/mail/{mail.mail_id}/parts/{part.number}' download>{html.escape(part.name)}</a> "
        f"<span class='soft'>{html.escape(part.content_type)}, {len(part.content) / 1024:.0f} kB</span>"
        + (
            f"<audio controls preload='none' src='/mail/{mail.mail_id}/parts/{part.number}'></audio>"
            if part.content_type in _SOUNDS
            else ""
        )
        + "</li>"
        for part in attachments
    )
    shown = (
        f"<iframe sandbox='allow-popups allow-popups-to-escape-sandbox' title='The message' "
        f"src='/mail/{mail.mail_id}/content'></iframe>"
        if mail.html
        else f"<pre>{html.escape(mail.text)}</pre>"
    )
    text = (
        "<details class='card' style='margin-top:12px'><summary>As plain text</summary>"
        f"<pre>{html.escape(mail.text)}</pre></details>"
    )
    return (
        f"<p><a href='/'>← Inbox</a></p><h1>{html.escape(mail.subject)}</h1>"
        f"<p class='soft'>from {html.escape(mail.sender)}<br>to {html.escape(mail.recipients)} · "
        f"{_moment(mail.received)}</p>"
        f"{f'<ul class=parts>{listed}</ul>' if listed else ''}<div class='card'>{shown}</div>"
        f"{text if mail.html and mail.text else ''}"
    )


def _inline(part: Part, mail: Mail) -> bool:
    return bool(part.content_id) and f"cid:{part.content_id}" in mail.html


def _with_pictures(mail: Mail) -> str:
    pictures = {part.content_id: part for part in mail.parts if part.content_id and part.content_type in _PICTURES}

    def picture(match: re.Match[str]) -> str:
        part = pictures.get(match[1])
        if part is None:
            return match[0]
        return f"data:{part.content_type};base64,{base64.b64encode(part.content).decode()}"

    # Links open beside the inbox, not inside the frame.
    return "<base target='_blank'>" + re.sub(r"cid:([\w.@+-]+)", picture, mail.html)


def _attachment(part: Part) -> Response:
    safe = part.content_type if part.content_type in (*_SOUNDS, *_PICTURES) else "application/octet-stream"
    name = re.sub(r"[^\w.-]+", "_", part.name)
    headers = {**_headers("sandbox; default-src 'none'"), "Content-Disposition": f'attachment; filename="{name}"'}
    return Response(part.content, media_type=safe, headers=headers)


def _summary(mail: Mail) -> dict[str, object]:
    return {
        "id": mail.mail_id,
        "message_id": mail.message_id,
        "copies": mail.copies,
        "received": mail.received.isoformat(),
        "from": mail.sender,
        "to": mail.recipients,
        "subject": mail.subject,
        "size": mail.size,
        "parts": [
            {
                "number": part.number,
                "name": part.name,
                "content_type": part.content_type,
                "content_id": part.content_id,
                "size": len(part.content),
            }
            for part in mail.parts
        ],
    }


def _page(title: str, body: str, refresh_s: int | None = None) -> Response:
    refresh = f"<meta http-equiv='refresh' content='{refresh_s}'>" if refresh_s else ""
    return HTMLResponse(
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'>{refresh}"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'><link rel='icon' href='data:,'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body><main>{body}</main></body></html>",
        headers=_headers(_PAGE_POLICY),
    )


def _missing() -> Response:
    return HTMLResponse("<p>There is no such mail. <a href='/'>Inbox</a></p>", 404, headers=_headers(_PAGE_POLICY))


def _headers(policy: str) -> dict[str, str]:
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def _moment(moment: datetime) -> str:
    return moment.astimezone().strftime("%d %b %Y, %H:%M:%S")
