"""Weights that `auparity models fetch` brings; tests that use them are skipped where nobody has fetched them."""

from __future__ import annotations

import hashlib

import pytest

from auparity.models.networks import packages, store
from auparity.models.networks.published import read_network
from auparity.models.types import FaceApi


def face_api() -> FaceApi:
    """face-api's landmark network as its package has it."""
    path = store.installed("face-api")
    expected = packages.PACKAGES["face-api"].sha256[".json"]
    if path is None or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
        pytest.skip("the weights of face-api are not in the store: auparity models fetch face-api")
    network = read_network(path).network
    assert isinstance(network, FaceApi)
    return network
