"""The portal's frame: which pages there are, and what stands beside each of them.

Run by `streamlit run`, once for every visitor and every click. Not here: the pages (`views`).
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from portal import session
from portal.client import ServiceError
from portal.texts import NAMES, TABLES
from portal.views import history, inspection, models, overview

_ASSETS = Path(__file__).parent / "assets"


def main() -> None:
    """Show the frame and the page that was asked for."""
    st.set_page_config("Wheeltapper", str(_ASSETS / "icon.svg"), layout="wide")
    session.keep_typed_key()
    visit = session.here()
    texts = visit.texts
    st.logo(str(_ASSETS / "logo.svg"), size="large", icon_image=str(_ASSETS / "icon.svg"))
    st.html(f"<style>{(_ASSETS / 'page.css').read_text(encoding='utf-8')}</style>")
    page = st.navigation(
        [
            st.Page(inspection.page, title=texts("page.inspect"), icon=":material/hearing:", url_path="", default=True),
            st.Page(history.page, title=texts("page.history"), icon=":material/history:", url_path="history"),
            st.Page(overview.page, title=texts("page.overview"), icon=":material/monitoring:", url_path="overview"),
            st.Page(models.page, title=texts("page.models"), icon=":material/model_training:", url_path="models"),
        ]
    )
    with st.sidebar:
        _service_state(visit)
        st.segmented_control(
            texts("frame.language"),
            list(TABLES),
            default=texts.language,
            format_func=NAMES.__getitem__,
            key=session.LANGUAGE,
            label_visibility="collapsed",
            required=True,
        )
    page.run()


@st.fragment(run_every=15)
def _service_state(visit: session.Here) -> None:
    texts, state = visit.texts, session.health(visit.settings.service)
    if isinstance(state, ServiceError):
        st.badge(texts("frame.away"), icon=":material/cloud_off:", color="red")
        return
    st.badge(texts("frame.works"), icon=":material/check_circle:", color="green")
    st.caption(texts("frame.model", model=state.model_version or "?", encoder=state.encoder or "?"))
    if state.warning:
        st.warning(state.warning)


main()
