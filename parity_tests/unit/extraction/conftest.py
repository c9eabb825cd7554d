"""A local Ray for the tests of a file that has some, started once for all of them because that takes seconds."""

from __future__ import annotations

import pytest

from auparity.extraction.engines.ray.cluster import LOCAL, connected


@pytest.fixture(scope="module")
def local_ray():
    """The module `ray`, connected to a cluster of two CPUs and one GPU, which need not exist."""
    pytest.importorskip("ray", reason="Ray is not installed (extra ray)")
    with connected(LOCAL, cpus=2, gpus=1) as cluster:
        yield cluster.ray
