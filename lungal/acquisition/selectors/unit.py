"""Vectors of length one."""

import numpy as np

from lungal.boxes import FloatArray


def unit_rows(vectors: FloatArray) -> FloatArray:
    """Return (N, E) vectors divided by their lengths; a vector of length 0 stays as it is."""
    lengths = np.sqrt(np.einsum("ne,ne->n", vectors, vectors))[:, None]
    unit = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return np.asarray(unit, np.float32)
