"""onnxruntime as this project uses it: the processor, one thread, errors in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
