"""onnxruntime and numpy as a gate uses them: the processor, one thread, errors in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import threadpoolctl  # type: ignore[import-untyped]

from models.faces.errors import ModelFileError


def open_session(model: bytes | Path) -> Any:
    """Load a graph from its bytes or file; raise ``ModelFileError`` where it is none.

    One thread: two spin at barriers and lose to one as soon as anything else runs.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    source = str(model) if isinstance(model, Path) else model
    try:
        return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a family of its own
        name = model if isinstance(model, Path) else "the graph"
        raise ModelFileError(f"{name} cannot be loaded as an ONNX model: {error}") from error


def multiply_on_one_thread() -> None:
    """Have numpy multiply matrices on one thread for the rest of this process.

    Its other threads spin for tens of milliseconds after a search of the gallery, in case there
    is another: on a core they share with the camera and the next frame, everything takes twice
    as long meanwhile.
    """
    threadpoolctl.threadpool_limits(limits=1, user_api="blas")
