"""Output folders of `auparity extract` in which nothing was measured: tables of drawn numbers with their sidecars."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auparity.extraction.sidecars import Intrinsics, OutputPaths, Request, publish
from auparity.extraction.table_writers import open_table
from auparity.models.types import BundleMeta
from auparity.parity_tests.unit.helpers.fake_pipeline import result
from auparity.reference.results import OfflineAUs

META = BundleMeta("openface", "2.2", "none", {})


class _Nothing:
    """No files beside a table."""

    def describe(self, paths: OutputPaths) -> dict[str, Any]:
        return {}

    def put(self, paths: OutputPaths) -> None:
        """There are none."""


def write_result(
    folder: Path,
    name: str,
    rows: int = 3,
    *,
    seed: int = 0,
    table_format: Any = "parquet",
    complete: bool = True,
    kind: str = "video",
    labels: dict[str, str] | None = None,
    bundle: str = "b" * 64,
    source: int | None = None,
    columns: tuple[str, ...] | None = ("pose", "aus"),
    lost: int = 3,
    strength: float = 1.0,
    persons: Sequence[int] | None = None,
    **asked: Any,
) -> Path:
    """Write the table of a clip; where it is.

    Parameters
    ----------
    rows : one in `lost` is without a face.
    seed : of its numbers.
    complete : False writes it as ``name.incomplete``.
    labels : as a list of inputs gives them.
    source : number of the content of its input; the seed unless given.
    columns : groups of columns, None for all.
    lost : 0 for a face in every row.
    strength : largest intensity of the action units.
    persons : whose face each row has, with `faces` among `asked`; another person for each row unless given.
    asked : further fields of `Request`.
    """
    paths = OutputPaths(folder, name, table_format)
    paths = paths if complete else paths.incomplete
    paths.table.parent.mkdir(parents=True, exist_ok=True)
    request = Request(
        f"{seed if source is None else source:064x}", bundle, "float32", Intrinsics(),
        columns=columns, **{"timestamps": "container", **asked},
    )  # fmt: skip
    layout: Any = "photograph" if kind == "photograph" else "clip" if request.faces is None else "faces"
    table, generator = open_table(paths.table, layout, table_format, request.columns), np.random.default_rng(seed)
    found = [not lost or k % lost != lost - 1 for k in range(rows)]
    for k in range(rows):
        numbers = generator.normal(size=(68, 2)).astype(np.float32)
        face = result(k, timestamp=k / 30, success=found[k], landmarks=numbers, confidence=float(generator.random()))
        table.append(face)
    aus = OfflineAUs(strength * generator.random((rows, 17)), generator.integers(0, 2, (rows, 18)).astype(float))
    finished = table.finish(
        None if layout == "photograph" else aus,
        persons=list(range(rows) if persons is None else persons) if layout == "faces" else None,
    )
    facts = {
        "reason": None if complete else "interrupted",
        "input": {"path": f"/videos/{name}.mp4", "kind": kind, "bytes": 10, "sha256": request.input_sha256, "fps": 30.0,
                  "height": 480, "width": 640},
        **({"labels": labels} if labels else {}),
        **({"faces": rows} if kind == "photograph" else {"frames": rows, "frames_with_success": sum(found)}),
        "warnings": ["only <rendered> faces"] if seed == 7 else [],
        "seconds": 1.5,
    }  # fmt: skip
    publish(finished, paths, request=request, bundle=META, complete=complete, facts=facts, beside=_Nothing())
    table.discard_part()
    return paths.table
