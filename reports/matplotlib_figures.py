"""Figures drawn by matplotlib (extra ``figures``), without a screen or global state; equal figures are equal files.

Figures of clips (`reports/clips/traces_figure.py`) and plots of results (`reports/results/png.py`) begin and end here.
"""

from __future__ import annotations

import io
from importlib import import_module
from pathlib import Path
from typing import Any

from auparity.atomic_files import write_bytes_atomically
from auparity.errors import AuparityError, VariantUnavailable

#: Kinds of files by their suffixes, and what is left out of each, so that equal figures are equal files.
FORMATS: dict[str, dict[str, Any]] = {
    ".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {"Software": None},
}  # fmt: skip
#: Text stays text in PDF and SVG; identifiers in SVG do not change from run to run.
_SETTINGS = {"pdf.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "auparity"}
DPI = 200


def new_figure(width: float, height: float) -> Any:
    """An empty `matplotlib.figure.Figure` of this size in inches.

    Raises
    ------
    VariantUnavailable : matplotlib is not installed.
    """
    try:
        figures = import_module("matplotlib.figure")
    except ImportError as error:
        raise VariantUnavailable(
            'figures are drawn by matplotlib, which is not installed: pip install "auparity[figures]"'
        ) from error
    return figures.Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path, dpi: int = DPI) -> None:
    """Write a figure as PDF, SVG or PNG, by the suffix of the path, atomically.

    Raises
    ------
    AuparityError : the suffix is another one.
    """
    kind = path.suffix.lower()
    if kind not in FORMATS:
        raise AuparityError(f"{path}: figures are {', '.join(FORMATS)}; name the file so.")
    data = io.BytesIO()
    with import_module("matplotlib").rc_context(_SETTINGS):
        figure.savefig(data, format=kind[1:], dpi=dpi, metadata=FORMATS[kind])
    write_bytes_atomically(path, data.getvalue())
