"""The pytest plugin of an installed auparity: the option ``--variant``, and nothing that takes time.

``pytest --pyargs auparity.parity_tests --variant package.module:factory`` verifies a variant. Pytest has to know
options before it looks into packages, so conftest.py alone is not enough.
"""

from __future__ import annotations

import contextlib

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--variant``: with it only the named variants are tested, and nothing else of the suite."""
    # Called twice if auparity is installed and its own tests run: as a plugin, and by conftest.py for a checkout.
    with contextlib.suppress(ValueError):
        parser.addoption(
            "--variant",
            action="append",
            default=[],
            metavar="SPEC",
            help="auparity: verify a variant against the reference: stage=name, or package.module:factory",
        )
