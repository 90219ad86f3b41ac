"""Files that a browser sent: dropped as soon as they are of no more use.

Here: giving their memory back. Streamlit keeps what was uploaded until the visit ends, which is a working day.
"""

from __future__ import annotations

from collections.abc import Iterable

from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile


def drop(files: Iterable[UploadedFile]) -> None:
    """Forget uploaded files; whoever reads one afterwards finds it in their own hands only."""
    context = get_script_run_ctx()
    if context is None or not isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        return
    for file in files:
        context.uploaded_file_mgr.remove_file(session_id=context.session_id, file_id=file.file_id)
