"""PyTorch, which only training needs."""

from __future__ import annotations

import importlib
from types import ModuleType

from auparity.errors import AuparityError


def require_torch() -> ModuleType:
    """The torch module; AuparityError that names the extra if it is not installed."""
    try:
        return importlib.import_module("torch")
    except ImportError as error:
        raise AuparityError(f'Training needs PyTorch: pip install "auparity[train]" ({error}).') from error
