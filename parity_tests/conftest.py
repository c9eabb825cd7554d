"""Fixtures of the parity suite: the bundles with which the recordings were made. A test that uses one is skipped, with
the reason and what to do, if the model files are absent.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auparity.parity_tests.fidelity.recordings import require_shared
from auparity.parity_tests.plugin import pytest_addoption as pytest_addoption
from auparity.parity_tests.stuck import Stuck

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle

RANDOM_CEN_VARIABLE = "AUPARITY_RANDOM_CEN"
#: The published CEN files are not part of the recordings; those of the CE-CLM recording are random, and 430 MB.
HOW_TO_MAKE_RANDOM_CEN = (
    f"set {RANDOM_CEN_VARIABLE} to a folder with OpenFace's model files in which "
    "model/patch_experts/cen_patches_*_of.dat were written by ../shared/tools/make_random_cen.py"
)


@pytest.fixture(scope="session")
def openface_bundle() -> Bundle:
    """OpenFace 2.2's own models, as in the recordings: main_clnf_general, MTCNN, AU predictors."""
    from auparity.models.bundle import Bundle

    return Bundle.from_openface(require_shared() / "openface", landmark_model="clnf")


@pytest.fixture(scope="session")
def random_cen_bundle() -> Bundle:
    """CE-CLM with random experts of the true sizes (recording video01_random_cen)."""
    from auparity.models.bundle import Bundle

    require_shared()
    named = os.environ.get(RANDOM_CEN_VARIABLE)
    if not named:
        pytest.skip(f"no random CEN experts: {HOW_TO_MAKE_RANDOM_CEN}")
    if not (Path(named) / "model" / "main_ceclm_general.txt").is_file():
        raise FileNotFoundError(f"no model/main_ceclm_general.txt in {named}: {HOW_TO_MAKE_RANDOM_CEN}")
    return Bundle.from_openface(Path(named), landmark_model="ceclm")


def pytest_configure(config: pytest.Config) -> None:
    """A run that is stuck ends. Examples of Hypothesis may take any time: a busy machine is not a failure. (Without
    Hypothesis the tests that use it skip.)
    """
    if not hasattr(config, "workerinput"):  # the process that reports, not one that pytest-xdist has started
        config.pluginmanager.register(Stuck())
    try:
        from hypothesis import HealthCheck, settings
    except ImportError:
        return
    settings.register_profile("auparity", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("auparity")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``--variant`` run only the backend tests, without it all others."""
    if collection_path.suffix != ".py" or not collection_path.name.startswith("test_"):
        return None
    is_backend = collection_path.parent.name == "backend"
    return True if is_backend != bool(config.getoption("--variant")) else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One run of each backend test for every variant."""
    if "variant" not in metafunc.fixturenames:
        return
    from auparity.parity_tests.suite.run import named_variant

    variants = [variant for text in metafunc.config.getoption("--variant") for variant in named_variant(text)]
    metafunc.parametrize("variant", variants, ids=[f"{v.stage}={v.name}" for v in variants], scope="session")
