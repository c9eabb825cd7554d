"""auparity: facial action unit pipelines that are fast and provably faithful to OpenFace 2.2."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from auparity.errors import (
    AuparityError,
    ChecksumError,
    ContractError,
    DownloadError,
    ModelFormatError,
    VariantUnavailable,
    VideoError,
)

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle as Bundle
    from auparity.reference.pipeline import ReferencePipeline as ReferencePipeline

__version__ = "0.1.0"

# Loaded on first use, so that `import auparity` and the errors stay cheap and free of import cycles.
_LAZY = {
    "Bundle": "auparity.models.bundle",
    "ReferencePipeline": "auparity.reference.pipeline",
}

__all__ = [
    "AuparityError",
    "Bundle",
    "ChecksumError",
    "ContractError",
    "DownloadError",
    "ModelFormatError",
    "ReferencePipeline",
    "VariantUnavailable",
    "VideoError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'auparity' has no attribute {name!r}")
