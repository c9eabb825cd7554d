"""Early termination as text (spec 10.9): 3V numbers, V weights, V biases and V cut-offs; V are the views of the first
scale.
"""

from __future__ import annotations

import numpy as np

from auparity.models.formats.files import StrPath, read_bytes
from auparity.models.formats.text import TextReader, format_reals
from auparity.models.types import EarlyTermination

SHIPPED_DECIMALS = 3  # digits after the point in OpenFace's own file


def parse_early_termination(data: bytes, label: StrPath = "<bytes>") -> EarlyTermination:
    """Parse the bytes of an early termination file; ModelFormatError if they are not one."""
    reader = TextReader(data, label)
    numbers = reader.reals("number of the early termination")
    if numbers.size == 0 or numbers.size % 3:
        reader.fail("3 numbers for each view", f"{numbers.size} numbers", 0)
    weights, biases, cutoffs = numbers.reshape(3, -1)
    return EarlyTermination(weights, biases, cutoffs)


def read_early_termination(path: StrPath, named_by: StrPath | None = None) -> EarlyTermination:
    return parse_early_termination(read_bytes(path, named_by), path)


def write_early_termination(termination: EarlyTermination) -> bytes:
    numbers = np.concatenate([termination.weights, termination.biases, termination.cutoffs])
    return "".join(f"{text} " for text in format_reals(numbers, SHIPPED_DECIMALS)).encode("ascii")
