"""The command that makes data sets."""

from __future__ import annotations

import pytest

from auparity.cli import main
from auparity.dataset.progress import BarProgress, LineProgress, choose_progress
from auparity.parity_tests.unit.helpers.result_folders import write_result


def test_results_become_a_data_set(tmp_path, capsys):
    pytest.importorskip("pyarrow")
    write_result(tmp_path / "out", "a")
    command = ["dataset", str(tmp_path / "out"), "-o", str(tmp_path / "data")]
    assert main(command) == 0
    assert "3 rows of 1 clip in 1 file (1 written, 0 kept)." in capsys.readouterr().out
    (tmp_path / "out" / "b.csv").touch()
    (tmp_path / "out" / "b.csv.json").write_text("{")
    assert main([*command, "--quiet"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "b.csv.json" in printed.err


def test_without_pyarrow_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    from auparity.tables import arrow

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(arrow, "import_module", missing)
    assert main(["dataset", str(tmp_path), "-o", str(tmp_path / "data")]) == 1
    assert (
        'a data set needs pyarrow, which is not installed: pip install "auparity[parquet]".' in capsys.readouterr().err
    )
    assert not (tmp_path / "data").exists()


def test_progress_is_told_in_lines_or_as_a_bar(capsys):
    now = 0.0
    lines = LineProgress(lambda: now)
    lines.found(10)
    lines.started(100)
    now = 5.0
    lines.rows_done(10)
    now = 20.0
    lines.rows_done(10)
    assert capsys.readouterr().err == "20 of 100 rows, 80 s left\n"
    with BarProgress() as bar:
        bar.found(3)
        bar.started(10)
        bar.rows_done(10)
        bar.say("note: [b]")
    assert "note: [b]" in capsys.readouterr().err
    assert type(choose_progress(False)) is LineProgress  # stderr is no terminal here
