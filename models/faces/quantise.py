"""A template in one byte a number, for the pass a rider carries.

A QR code has no room for 512 bytes of float32. Each number of a unit vector is stored as
``round(127 * x / max|x|)`` in a signed byte: 128 bytes for 128 numbers. The largest
magnitude need not travel, because ``restore`` brings the vector back to unit length.
The loss is measured by ``facefare bench accuracy`` (docs/calibration.md).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.faces.scoring import EmbeddingRefused, Vectors, check_vectors

Codes = npt.NDArray[np.int8]
"""(n, dimensions), one signed byte a number."""


def quantise(vectors: Vectors) -> Codes:
    """Return the codes of ``vectors`` (n, d); raises ``EmbeddingRefused`` for anything else."""
    rows = check_vectors(vectors, "the templates to quantise")
    largest = np.abs(rows).max(axis=1, keepdims=True)
    return np.asarray(np.rint(rows / largest * 127.0), dtype=np.int8)


def restore(codes: npt.NDArray[np.generic]) -> Vectors:
    """Return unit vectors (n, d), float32, of the codes; raises ``EmbeddingRefused``."""
    if codes.dtype != np.int8 or codes.ndim != 2 or codes.shape[1] == 0:
        raise EmbeddingRefused(
            "a quantised template is rows of signed bytes, "
            f"not {codes.dtype} of shape {codes.shape}"
        )
    rows = codes.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))
    if not np.all(lengths > 0):
        raise EmbeddingRefused("a quantised template is all zeros; ask the rider to renew the pass")
    return np.asarray(rows / lengths[:, None], dtype=np.float32)
