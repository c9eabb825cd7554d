"""Every reader of files that is fuzzed."""

from __future__ import annotations

from auparity.parity_tests.fuzz import loaders_exports, loaders_media, loaders_models, loaders_reports
from auparity.parity_tests.fuzz.loaders import Loader


def registry() -> dict[str, Loader]:
    """All readers by name."""
    loaders = [
        *loaders_models.loaders(),
        *loaders_exports.loaders(),
        *loaders_reports.loaders(),
        *loaders_media.loaders(),
    ]
    assert len({loader.name for loader in loaders}) == len(loaders)
    return {loader.name: loader for loader in loaders}
