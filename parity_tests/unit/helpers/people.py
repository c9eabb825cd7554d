"""A small table of several people, for the tests of pages, overlays and summaries of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np

from auparity.extraction.outputs.settings import Groups
from auparity.extraction.table_writers import open_table
from auparity.parity_tests.unit.helpers.fake_pipeline import result
from auparity.parity_tests.unit.helpers.rendered_truth import face_shape
from auparity.reference.results import INTENSITY_AUS, OfflineAUs

SIZE = (640, 360)  #: px of the pictures
AU12 = INTENSITY_AUS.index("AU12")


def place_of(number: int) -> np.ndarray:
    """(68, 2) px: the face of a person, 45 px high, on a grid of six columns."""
    corner = np.array([100 * (number % 6), 110 * (number // 6)]) + [10, 20]
    return face_shape() * 0.5 + corner


def intensity_of(number: int, frame: int) -> float:
    """AU12 of a person in a frame, from 0; other AUs are 0."""
    return (number % 5) + 0.5 * (frame % 2)


def write_people(
    path: Path,
    visits: Mapping[int, Collection[int]],
    *,
    lost: Collection[tuple[int, int]] = (),
    persons: bool = True,
    groups: Groups = None,
    table_format: str = "csv",
) -> Path:
    """A table in which each person has a row in each frame (from 0) of its visits.

    Parameters
    ----------
    lost : (person, frame) of rows with success 0.
    persons : False for a table without `person_id`, in which the person is the slot.
    """
    table = open_table(path, "faces" if persons else "clip", "parquet" if table_format == "parquet" else "csv", groups)
    frames = sorted({frame for own in visits.values() for frame in own})
    rows = [(frame, number) for frame in frames for number in sorted(visits) if frame in visits[number]]
    intensity, presence = np.zeros((len(rows), 17)), np.zeros((len(rows), 18))
    for k, (frame, number) in enumerate(rows):
        intensity[k, AU12] = intensity_of(number, frame)
        presence[k, 0] = frame % 2
        table.append(
            result(frame, face_id=number, success=(number, frame) not in lost, landmarks=place_of(number),
                   params_global=np.array([0.2, 0, 0, 0, 80, 60]), au_intensity=intensity[k], au_presence=presence[k])
        )  # fmt: skip
    aus = OfflineAUs(intensity, presence) if groups is None or "aus" in groups else None
    table.finish(aus, [number for _, number in rows] if persons else None).put(path)
    table.discard_part()
    return path


def pictures(count: int) -> list[np.ndarray]:
    return [np.full((SIZE[1], SIZE[0], 3), 90, np.uint8) for _ in range(count)]
