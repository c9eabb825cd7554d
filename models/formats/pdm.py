"""Point distribution models as text (spec 10.3): mean shape (3n x 1), principal components (3n x m) and their
variances (1 x m), each after comment lines; X block, Y block, Z block, millimetres, float64.
"""

from __future__ import annotations

import numpy as np

from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.formats.text import TextReader, format_matrix
from auparity.models.types import PDM


def parse_pdm(data: bytes, label: StrPath = "<bytes>") -> PDM:
    """Parse the bytes of a PDM file; ModelFormatError when they are none."""
    reader = TextReader(data, label)
    parts = []
    starts = []
    for what in ("mean shape", "principal components", "variances"):
        reader.skip_comments()
        starts.append(reader.offset)
        parts.append(reader.matrix(what, np.float64))
    reader.end()
    mean, components, variances = parts
    size = mean.size
    if size == 0 or size % 3 or 1 not in mean.shape:
        reader.fail("a mean shape of 3n x 1", " x ".join(map(str, mean.shape)), starts[0])
    if components.shape[0] != size or components.shape[1] == 0:
        reader.fail(f"components of {size} x m", " x ".join(map(str, components.shape)), starts[1])
    if variances.size != components.shape[1]:
        reader.fail(f"{components.shape[1]} variances", f"{variances.size}", starts[2])
    return PDM(mean.reshape(-1), components, variances.reshape(-1))


def read_pdm(path: StrPath, named_by: StrPath | None = None) -> PDM:
    return parse_pdm(read_bytes(path, named_by), path)


def write_pdm(pdm: PDM) -> bytes:
    """The text of a PDM file; `parse_pdm` gives the same float64 values back, bit for bit."""
    return b"".join(
        (
            b"# Mean shape, mm: x of all points, then y, then z\n",
            format_matrix(pdm.mean.reshape(-1, 1)),
            b"# Principal components, one a column\n",
            format_matrix(pdm.components),
            b"# Variance of each component\n",
            format_matrix(pdm.eigenvalues.reshape(1, -1)),
        )
    )
