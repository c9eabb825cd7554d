"""The pytest plugin that an installed auparity brings: the option ``--variant``, and nothing that costs time.

``pytest --pyargs auparity.parity_tests --variant package.module:factory`` proves a variant. Options must be known
before pytest looks into packages, which is why this cannot stand in conftest.py alone.
"""

from __future__ import annotations

import contextlib

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--variant``: with it the variants named are tested, and nothing else of the suite."""
    # Twice where auparity is installed and its own tests run: as a plugin, and by conftest.py for a mere checkout.
    with contextlib.suppress(ValueError):
        parser.addoption(
            "--variant",
            action="append",
            default=[],
            metavar="SPEC",
            help="auparity: prove a variant against the reference: stage=name, or package.module:factory",
        )
