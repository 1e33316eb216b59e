"""Golden arrays: an uncompressed .npz inside .xz, which spares the many small arrays a header each."""

from __future__ import annotations

import io
import lzma
from pathlib import Path

from numpy import load
from numpy.lib.npyio import NpzFile


def golden_arrays(path: Path) -> NpzFile:
    """Returns the arrays of a `.npz.xz`, by name."""
    found: NpzFile = load(io.BytesIO(lzma.decompress(path.read_bytes())), allow_pickle=False)
    return found
