"""The answer form as a browser deals with it: the links that lead to it, what is sent, what the next page says.

Here: pure functions over links, bodies and pages, for whoever answers without a browser (lessons, fault runs). Not
here: sending (the caller's), the form itself (`workflows/answer.json`).
"""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from automation.inbox.store import Mail

_WORKFLOW = Path(__file__).resolve().parent / "workflows" / "answer.json"
_BOUNDARY = "wheeltapper-form-boundary"
TAKEN = ("form-waiting", "success")
"""What n8n says of a run that has a page to show."""


def links_of(mail: Mail) -> list[str]:
    """Return every link of a mail, of both of its forms."""
    return sorted(
        {unescape(link) for link in re.findall(r'href="(https?://[^"]+)"', mail.html)}
        | set(re.findall(r"https?://\S+", mail.text))
    )


def filled_in(link: str, answer: str = "", **fields: str) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers that a browser sends for the form behind a link.

    Parameters
    ----------
    link
        From a message; what it holds is in the form already.
    answer
        As the form words it; empty: what the link has chosen.
    fields
        Others of the form's, or instead of the link's.
    """
    given = {name: values[0] for name, values in parse_qs(urlsplit(link).query).items()}
    given = {**given, **({"answer": answer} if answer else {}), **fields}
    values = [json.dumps([given.get(name, "")]) if name == "answer" else given.get(name, "") for name in _fields()]
    return _multipart(values)


def pressed() -> tuple[bytes, dict[str, str]]:
    """Return what a browser sends when the button of the page *being delivered* is pressed."""
    return _multipart([""])


def follows(sent: bytes) -> str:
    """Return the address of the page that n8n's answer to a sent form names."""
    return str(json.loads(sent)["formWaitingUrl"])


def status_of(waiting: str) -> str:
    """Return where n8n says how far the run behind a following page is."""
    parts = urlsplit(waiting)
    return f"{parts.scheme}://{parts.netloc}{parts.path}/n8n-execution-status?{parts.query}"


def text_of(page: str) -> str:
    """Return what a page says, without its title, styles and scripts.

    Examples
    --------
    >>> text_of("<html><style>p {}</style><p>Your answer is <b>recorded</b>.</p></html>")
    'Your answer is recorded .'
    """
    bare = re.sub(r"<(style|script|title)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", bare))).strip()


def _multipart(values: list[str]) -> tuple[bytes, dict[str, str]]:
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="field-{number}"\r\n\r\n{value}\r\n'
        for number, value in enumerate(values)
    ]
    body = "".join(parts) + f"--{_BOUNDARY}--\r\n"
    return body.encode(), {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}


def _fields() -> list[str]:
    workflow = json.loads(_WORKFLOW.read_text(encoding="utf-8"))
    form = next(node for node in workflow["nodes"] if node["type"].endswith(".formTrigger"))
    return [field["fieldName"] for field in form["parameters"]["formFields"]["values"]]
