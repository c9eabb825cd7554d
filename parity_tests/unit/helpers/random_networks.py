"""Networks with random weights, and variations of them."""

from __future__ import annotations

import numpy as np

from auparity.models.networks.published import tensors
from auparity.models.types import Tensors
from auparity.parity_tests.suite.random_networks import face_api as face_api
from auparity.parity_tests.suite.random_networks import mobilefacenet as mobilefacenet
from auparity.parity_tests.suite.random_networks import pfld as pfld
from auparity.parity_tests.suite.random_networks import retinaface as retinaface
from auparity.parity_tests.suite.random_networks import star as star
from auparity.parity_tests.suite.random_networks import values as values


def with_arrays(weights: Tensors, **changes: np.ndarray) -> Tensors:
    """The same with other values; names have `__` for each dot."""
    arrays = weights.by_name()
    arrays |= {name.replace("__", "."): value.astype(np.float32) for name, value in changes.items()}
    return tensors(arrays)
