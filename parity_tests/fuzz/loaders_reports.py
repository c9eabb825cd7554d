"""Readers of results: tables and their sidecars, truths, result files and the pages of them, baselines, targets."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

from auparity.dataset.clips import read_clip
from auparity.dataset.lists import CLIPS, read_earlier, write_clips
from auparity.dataset.store import FACTS, Store
from auparity.extraction import failures, sidecars
from auparity.parity_tests.compare import drift
from auparity.parity_tests.fuzz.loaders import Loader, in_memory, json_file, seeded
from auparity.reports.clips import summary
from auparity.reports.clips.page import write_page, write_people_page
from auparity.reports.clips.sidecar import read_sidecar
from auparity.reports.clips.table import read_result_table
from auparity.reports.results import records
from auparity.reports.results.junit import write_junit
from auparity.reports.results.markdown import results_markdown
from auparity.reports.results.page import write_results_page
from auparity.reports.truth import targets as truth_targets
from auparity.tables.columns import COLUMNS
from auparity.tables.reading import read_table


def _csv_text() -> str:
    columns = COLUMNS["clip"]
    rows = np.round(seeded().uniform(0, 5, (3, len(columns))), 2)
    names = [column.name for column in columns]
    rows[:, names.index("frame")], rows[:, names.index("face_id")] = (1, 2, 3), 0  # one face in every frame
    rows[:, names.index("success")] = 1
    lines = [",".join(column.name for column in columns)]
    lines += [",".join(f"{value:g}" for value in row) for row in rows]
    return "\n".join(lines) + "\n"


SIDECAR = {
    "auparity": "0.1", "complete": True, "frames": 3, "seconds": 0.5, "warnings": ["w"],
    "table": {"name": "x.csv", "rows": 3, "bytes": 9, "replaces": None,
              "sha256": hashlib.sha256(_csv_text().encode()).hexdigest()},
    "input": {"path": "/x.mp4", "kind": "video", "fps": 30.0}, "bundle": {"name": "b", "version": "1"},
    "camera": {"fx": 500.0, "fy": 500.0, "cx": 320.0, "cy": 240.0}, "date": "2026-01-01T00:00:00+00:00",
    "request": {"intrinsics": {"fx": None}, "max_frames": None},
}  # fmt: skip


FAILURES = f"{failures.FOLDER}/1.jsonl"
FAILURE = {
    "input": "/x.mp4", "name": "x", "status": "failed", "date": "2026-01-01T00:00:00+00:00", "auparity": "0.1",
    "reason": "none",
}  # fmt: skip
DATA_SET = {
    "auparity": "0.1", "dataset": 1, "partition": "none", "rows_per_file": 9, "incomplete": False, "columns": ["frame"],
    "labels": {"subject": "subject"}, "clips": 1, "rows": 3, "files": 1, "bundles": {"b": "c 1"}, "date": "2026",
}  # fmt: skip


def loaders() -> list[Loader]:
    """All of them."""
    return [
        Loader("table, CSV", "text", "x.csv", _make_csv, lambda f: read_result_table(f / "x.csv")),
        Loader("table, Parquet", "bytes", "x.parquet", _make_parquet, lambda f: read_result_table(f / "x.parquet")),
        Loader("table, converted", "text", "x.csv", _make_csv, lambda f: _convert(f / "x.csv")),
        Loader("table, Parquet, converted", "bytes", "x.parquet", _make_parquet, lambda f: _convert(f / "x.parquet")),
        Loader("summary of a table", "text", "x.csv", _make_csv, lambda f: summary.summarise(f / "x.csv")),
        Loader("table, its page", "text", "x.csv", _make_csv, _write_clip_page),
        json_file("sidecar, its page", "x.csv.json", SIDECAR, _write_sidecar_page),
        json_file("sidecar, for reports", "x.csv.json", SIDECAR, _read_report_sidecar),
        json_file("sidecar, for extraction", "x.csv.json", SIDECAR, _read_own_sidecar),
        Loader("truth, its description", "json", "truth.json", _make_truth, _read_truth),
        Loader("truth, its table", "text", "truth.csv", _make_truth, _read_truth),
        Loader("result file", "json", "run.json", _make_results, lambda f: records.load(f / "run.json")),
        Loader("result file, its page", "json", "run.json", _make_results, _write_page),
        json_file(
            "baselines", "base.json", {"a b": {"error": 0.1, "margin": 0.2}}, lambda f: drift.load(f / "base.json")
        ),
        Loader("failures of a folder", "json", FAILURES, _make_failures, failures.read_failures),
        json_file("data set, its description", FACTS, DATA_SET, lambda f: Store(f).facts()),
        Loader("data set, its clips", "bytes", CLIPS, _make_clips, lambda f: read_earlier(f / CLIPS)),
        json_file("sidecar, for data sets", "x.csv.json", SIDECAR, lambda f: read_clip(f / "x.csv", "x")),
        in_memory("targets", "text", truth_targets.FILE.read_bytes, _read_targets),
    ]


def _make_csv(folder: Path) -> None:
    (folder / "x.csv").write_text(_csv_text())


def _convert(path: Path) -> None:
    """Everything that becomes of a table."""
    table = read_table(path)
    table.masked("nan").write(path.with_name("y.csv"))
    table._repr_html_()
    table.resampled(2, fps=30)
    table.resampled(50, "nearest", fps=30).long()
    episodes = table.episodes(fps=30, join=0.1)
    for suffix in ("eaf", "srt", "vtt", "tsv"):
        episodes.write(path.with_name(f"y.{suffix}"))


def _read_report_sidecar(folder: Path) -> None:
    _make_csv(folder)
    read_sidecar(folder / "x.csv")


def _write_clip_page(folder: Path) -> None:
    table = read_result_table(folder / "x.csv")
    if table.persons is None:
        write_page(table, folder / "x.html", fps=30.0)
    else:
        write_people_page(table, folder / "x.html", fps=30.0)


def _write_sidecar_page(folder: Path) -> None:
    _make_csv(folder)
    _write_clip_page(folder)


def _make_parquet(folder: Path) -> None:
    from auparity.tables.arrow import require_pyarrow

    pyarrow = require_pyarrow()
    from pyarrow import parquet

    points = [f"{axis}_{k}" for axis in "xy" for k in range(68)]
    names = ["frame", "success", "confidence", *points, "AU12_r", "AU12_c"]
    values = seeded().uniform(0, 5, (len(names), 40))
    parquet.write_table(pyarrow.table(dict(zip(names, values, strict=True))), folder / "x.parquet")


def _make_failures(folder: Path) -> None:
    (folder / failures.FOLDER).mkdir()
    (folder / FAILURES).write_text(json.dumps(FAILURE) + "\n")


def _make_clips(folder: Path) -> None:
    from auparity.tables.arrow import require_pyarrow

    require_pyarrow()
    json_path = folder / "x.csv.json"
    json_path.write_text(json.dumps(SIDECAR))
    clip = read_clip(folder / "x.csv", "x")
    assert clip is not None
    clip.file = "frames/part-1.parquet"
    write_clips(folder / CLIPS, [clip], {})
    json_path.unlink()


def _read_own_sidecar(folder: Path) -> None:
    _make_csv(folder)
    content = sidecars.look_for_earlier(sidecars.OutputPaths(folder, "x", "csv")).content
    if content is not None:
        sidecars.differences(content, sidecars.Request("0" * 64, "0" * 64, "float32", sidecars.Intrinsics()))


def _make_truth(folder: Path) -> None:
    from auparity.parity_tests.unit.helpers.rendered_truth import write_clip_truth

    write_clip_truth(folder)


def _read_truth(folder: Path) -> None:
    from auparity.models.synthetic.truth_file import read_truth

    read_truth(folder / "truth.csv")


def _make_results(folder: Path) -> None:
    from auparity.parity_tests.unit.parity.test_records import RESULTS

    records.save(dataclasses.replace(RESULTS), folder / "run.json")


def _write_page(folder: Path) -> None:
    """Everything that a report makes of a result file."""
    results = records.load(folder / "run.json")
    write_results_page([results], [results], folder / "page.html")
    write_junit([results], folder / "page.xml")
    results_markdown(results)


def _read_targets(data: bytes) -> None:
    truth_targets.parse(data.decode("utf-8", "replace"))
