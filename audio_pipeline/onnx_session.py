"""ONNX Runtime as this project uses it: on the processor, a stated number of threads, in bounded memory.

Here: opening a graph. Not here: which graphs there are (`encoder`, `detector.classifier`) and their hashes.
"""

from __future__ import annotations

import onnxruntime as ort

from audio_pipeline.errors import BrokenArtifact


def open_session(graph: bytes, name: str, threads: int = 1) -> ort.InferenceSession:
    """Open a graph.

    Parameters
    ----------
    graph
        The content of an `.onnx` file.
    name
        What to call it in an error.
    threads
        Inside one call (0: as many as ONNX Runtime likes).

    Raises
    ------
    BrokenArtifact
        ONNX Runtime cannot load it.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # The arena keeps the memory of the largest batch, which windows and chunks bound; giving it back to the system
    # after every call costs a third of the encoder's time in page faults. A pattern is kept for every length of clip.
    options.enable_mem_pattern = False
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own, undocumented exception classes
        raise BrokenArtifact(f"{name} cannot be loaded by ONNX Runtime: {error}") from error
