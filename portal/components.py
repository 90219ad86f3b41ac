"""Our own Streamlit components: HTML, style and script of one name under `assets/`.

Here: loading them, once. Not here: what they are given and what comes back (`listener`, `cliplist`, `recorder`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

_ASSETS = Path(__file__).parent / "assets"


@st.cache_resource(show_spinner=False)
def component(name: str) -> Any:  # noqa: ANN401 - Streamlit's renderer
    """Return what mounts the component of that name on a page."""
    html, css, js = ((_ASSETS / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    return st.components.v2.component(f"wheeltapper_{name}", html=html, css=css, js=js)
