"""auparity: facial action unit pipelines that are fast and provably faithful to OpenFace 2.2."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

# A checkout in which auparity/ has no symbolic links to the repository's other folders (Windows' default), or the
# source distribution: they are beside this folder.
if not (Path(__file__).parent / "reference").is_dir():
    __path__.append(str(Path(__file__).resolve().parent.parent))

from auparity.errors import (
    AuparityError,
    ChecksumError,
    ContractError,
    DownloadError,
    ModelFormatError,
    VariantUnavailable,
    VideoError,
)
from auparity.version import __version__

if TYPE_CHECKING:
    from auparity.accelerated.integration import AcceleratedAUPipeline as AcceleratedAUPipeline
    from auparity.accelerated.integration import BatchedAUPredictor as BatchedAUPredictor
    from auparity.accelerated.integration import PatchExpertBackend as PatchExpertBackend
    from auparity.accelerated.integration import benchmark_backends as benchmark_backends
    from auparity.accelerated.integration import select_best_backend as select_best_backend
    from auparity.accelerated.pipeline import Pipeline as Pipeline
    from auparity.accelerated.results import ClipResult as ClipResult
    from auparity.accelerated.results import FacesResult as FacesResult
    from auparity.accelerated.results import ImageResult as ImageResult
    from auparity.models.bundle import Bundle as Bundle
    from auparity.parity_tests.suite.validate import validate_acceleration as validate_acceleration
    from auparity.reference.options import PipelineOptions as PipelineOptions
    from auparity.reference.pipeline import ReferencePipeline as ReferencePipeline
    from auparity.tables.columns import columns as columns
    from auparity.tables.reading import read_table as read_table
    from auparity.tables.table import FaceTable as FaceTable


# Loaded on first use, so that `import auparity` and the errors stay cheap and free of import cycles.
_LAZY = {
    "AcceleratedAUPipeline": "auparity.accelerated.integration",
    "BatchedAUPredictor": "auparity.accelerated.integration",
    "PatchExpertBackend": "auparity.accelerated.integration",
    "ClipResult": "auparity.accelerated.results",
    "FacesResult": "auparity.accelerated.results",
    "ImageResult": "auparity.accelerated.results",
    "Pipeline": "auparity.accelerated.pipeline",
    "benchmark_backends": "auparity.accelerated.integration",
    "select_best_backend": "auparity.accelerated.integration",
    "validate_acceleration": "auparity.parity_tests.suite.validate",
    "Bundle": "auparity.models.bundle",
    "PipelineOptions": "auparity.reference.options",
    "ReferencePipeline": "auparity.reference.pipeline",
    "FaceTable": "auparity.tables.table",
    "columns": "auparity.tables.columns",
    "read_table": "auparity.tables.reading",
}

__all__ = [
    "AcceleratedAUPipeline",
    "AuparityError",
    "BatchedAUPredictor",
    "Bundle",
    "ChecksumError",
    "ClipResult",
    "ContractError",
    "DownloadError",
    "FaceTable",
    "FacesResult",
    "ImageResult",
    "ModelFormatError",
    "PatchExpertBackend",
    "Pipeline",
    "PipelineOptions",
    "ReferencePipeline",
    "VariantUnavailable",
    "VideoError",
    "__version__",
    "benchmark_backends",
    "columns",
    "read_table",
    "select_best_backend",
    "validate_acceleration",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'auparity' has no attribute {name!r}")


def __dir__() -> list[str]:
    """What can be imported from here, those that are loaded on first use included."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
