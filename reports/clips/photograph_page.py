"""A page about one image: the picture with the landmarks of every face over it, and each face's action units.

The image's table and the image in, one HTML file out, which works offline like the page of a clip.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from auparity.reports.action_units import ACTION_UNITS
from auparity.reports.clips.au_table import Row, UnitTable
from auparity.reports.clips.overlay import jpeg
from auparity.reports.clips.page_data import Subject, clip_data
from auparity.reports.clips.page_parts import LAYERS, Tile, Verdict, models_of, write_html
from auparity.reports.clips.people import colours_of
from auparity.reports.clips.people_sections import colour_rules
from auparity.reports.clips.sidecar import read_sidecar
from auparity.reports.clips.table import ResultTable
from auparity.reports.page_text import number

Array = npt.NDArray[Any]

#: Sides in px to which larger pictures are reduced.
LARGEST_SIDE = 1600
SCRIPTS = ("data.js", "overlay.js", "heat.js", "photograph.js")


def write_photograph_page(table: ResultTable, image: Array, out_path: Path, *, commands: Sequence[str] = ()) -> None:
    """Write the page of an image, atomically.

    Parameters
    ----------
    table : of the image, with a row for each face.
    image : (H, W, 3) uint8 BGR.
    commands : command lines that reproduce everything.
    """
    name, sidecar = table.path.stem, read_sidecar(table.path)
    faces = table.columns.get("face", np.arange(len(table)))
    subjects = [
        Subject(int(face), f"Face {face:.0f}", colours_of(row), table.rows(np.array([row])), np.zeros(1, int))
        for row, face in enumerate(faces)
    ]
    size = image.shape[1], image.shape[0]
    found = f"{len(subjects)} face{'' if len(subjects) == 1 else 's'} found."
    confidence = table.columns.get("confidence")
    tiles = [Tile(str(len(subjects)), "face" if len(subjects) == 1 else "faces")]
    if confidence is not None:
        tiles.append(Tile(f"{confidence.min():.2f}", "lowest confidence, of 1"))
    write_html(
        out_path, "photograph.html.j2", sidecar, clip_data(name, subjects, np.ones(1), np.zeros(1), size),
        sheets=("people.css",), style=colour_rules([(each.number, each.colours) for each in subjects]),
        script_files=SCRIPTS, name=name, title="Measurements",
        about=f"{name}: {size[0]} x {size[1]} px{models_of(sidecar)}", verdict=Verdict(found),
        warnings=sidecar.get("warnings", []), tiles=tiles, commands=commands, layers=LAYERS, people=subjects,
        chosen=subjects[0].number, comparison=_tables(table), picture=_picture(image),
        drawn="68 landmarks, eyes, head axes and gaze drawn on every face, in its colour and with its number.",
    )  # fmt: skip


def _tables(table: ResultTable) -> list[UnitTable]:
    """Intensities and presences, a column for each face."""
    parts = (
        ("Intensity, from 0 to 5.", table.aus("r"), number),
        ("Presence.", table.aus("c"), lambda value: "yes" if value >= 0.5 else "no"),
    )
    return [
        UnitTable(
            "",
            caption,
            [],
            [Row(name, ACTION_UNITS.get(name, ""), [*map(told, values)]) for name, values in aus.items()],
        )
        for caption, aus, told in parts
        if aus
    ]


def _picture(image: Array) -> str:
    """The address of a JPEG of the image."""
    scale = min(1.0, LARGEST_SIDE / max(image.shape[:2]))
    if scale < 1:
        size = max(1, round(scale * image.shape[1])), max(1, round(scale * image.shape[0]))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg(image)).decode('ascii')}"
