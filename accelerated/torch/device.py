"""The device of PyTorch: the processor unless a build function gets another one; TF32 stays off."""

from __future__ import annotations

import torch

from auparity.errors import VariantUnavailable


def unavailable_reason(name: str) -> str | None:
    """Why PyTorch has no device of this name here, and what to do; None if it has."""
    if name == "cpu":
        return None
    if name == "cuda":
        if torch.cuda.is_available():
            return None
        if torch.version.cuda is None:
            return f"PyTorch {torch.__version__} was built without CUDA: install a build that has it"
        return "PyTorch sees no CUDA GPU (nvidia-smi says whether the driver does)"
    if name == "mps":
        return (
            None
            if torch.backends.mps.is_available()
            else "PyTorch has no MPS here: it is part of macOS on Apple silicon"
        )
    return f"PyTorch has no device {name!r}"


def device_of(name: str | None) -> torch.device:
    """An available device: "cpu" (default), "cuda" or "mps".

    Raises
    ------
    VariantUnavailable : PyTorch has no such device here.
    """
    if why := unavailable_reason(name or "cpu"):
        raise VariantUnavailable(why)
    return torch.device(name or "cpu")
