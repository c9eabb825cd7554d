"""Where PyTorch computes: the processor unless a build function is given another device; TF32 stays off."""

from __future__ import annotations

import torch

from auparity.errors import VariantUnavailable


def device_of(name: str | None) -> torch.device:
    """A device that is there: "cpu" (default), "cuda" or "mps".

    Raises
    ------
    VariantUnavailable : PyTorch has no such device here.
    """
    if name in (None, "cpu"):
        return torch.device("cpu")
    if name == "cuda" and torch.cuda.is_available():
        return torch.device("cuda")
    if name == "mps" and torch.backends.mps.is_available():
        return torch.device("mps")
    raise VariantUnavailable(f"PyTorch has no device {name!r} here; install a build that has it, or use cpu")
