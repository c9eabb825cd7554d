"""What extraction does unless it is told otherwise."""

from __future__ import annotations

from pathlib import Path

from auparity.extraction.sidecars import Intrinsics
from auparity.extraction.types import ExtractionSettings, Outcome, never


def test_without_settings_whole_inputs_become_csv_in_processed_and_nothing_is_replaced():
    settings = ExtractionSettings()
    assert (settings.output_dir, settings.table_format, settings.overwrite) == (Path("processed"), "csv", False)
    assert (settings.max_frames, settings.max_seconds) == (None, None)
    assert settings.intrinsics == Intrinsics(None, None, None, None)
    assert (settings.timestamps, settings.fps) == ("container", None)
    assert settings.multi_view is True
    assert settings.warnings == ()


def test_an_outcome_has_no_table_rows_or_warnings_unless_it_says_so():
    outcome = Outcome("face.mp4", "failed", "why")
    assert (outcome.table, outcome.rows, outcome.warnings, outcome.without_face) == (None, 0, (), False)
    assert never() is False
