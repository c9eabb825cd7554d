"""Episodes as an ELAN annotation document, EAF 3.0 (Max Planck Institute for Psycholinguistics, EAFv3.0.xsd).

A tier for each AU of each person; an annotation for each episode, with the AU and its intensities as its value.
"""

from __future__ import annotations

import math
import mimetypes
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

from auparity.tables.episode import Episode

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
_TYPE = "action unit"


def eaf_document(episodes: Sequence[Episode], media: Path | None, folder: Path) -> str:
    """The XML text.

    Parameters
    ----------
    media : the video, or None.
    folder : absolute, of the document; the video is named relative to it, too.
    """
    root = ElementTree.Element(
        "ANNOTATION_DOCUMENT",
        {
            "AUTHOR": "auparity",
            "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
            "FORMAT": "3.0",
            "VERSION": "3.0",
            "xmlns:xsi": _INSTANCE,
            "xsi:noNamespaceSchemaLocation": _SCHEMA,
        },
    )
    header = ElementTree.SubElement(root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"})
    if media is not None:
        ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", _descriptor(media, folder))
    last = ElementTree.SubElement(header, "PROPERTY", {"NAME": "lastUsedAnnotationId"})
    last.text = str(len(episodes))
    slots = _time_order(root, episodes)
    tiers: dict[tuple[str, int | None], ElementTree.Element] = {}
    for number, episode in enumerate(episodes):
        key = (episode.au, episode.person)
        if key not in tiers:
            tiers[key] = ElementTree.Element("TIER", _tier(*key))
        annotation = ElementTree.SubElement(ElementTree.SubElement(tiers[key], "ANNOTATION"), "ALIGNABLE_ANNOTATION", {
            "ANNOTATION_ID": f"a{number + 1}",
            "TIME_SLOT_REF1": slots[number, 0],
            "TIME_SLOT_REF2": slots[number, 1],
        })  # fmt: skip
        ElementTree.SubElement(annotation, "ANNOTATION_VALUE").text = _value(episode)
    root.extend(tiers[key] for key in sorted(tiers, key=lambda key: (-1 if key[1] is None else key[1], key[0])))
    kind = {"LINGUISTIC_TYPE_ID": _TYPE, "TIME_ALIGNABLE": "true", "GRAPHIC_REFERENCES": "false"}
    ElementTree.SubElement(root, "LINGUISTIC_TYPE", kind)
    ElementTree.indent(root, "    ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _time_order(root: ElementTree.Element, episodes: Sequence[Episode]) -> dict[tuple[int, int], str]:
    """The time slots in order of time; the slot of each episode (its number) and end (0 onset, 1 offset)."""
    times: list[tuple[int, int, int]] = []
    for number, episode in enumerate(episodes):
        start = round(episode.onset * 1000)
        # ELAN refuses annotations without length.
        times += [(start, number, 0), (max(round(episode.offset * 1000), start + 1), number, 1)]
    order = ElementTree.SubElement(root, "TIME_ORDER")
    slots: dict[tuple[int, int], str] = {}
    for place, (milliseconds, number, end) in enumerate(sorted(times), 1):
        slots[number, end] = f"ts{place}"
        ElementTree.SubElement(order, "TIME_SLOT", {"TIME_SLOT_ID": f"ts{place}", "TIME_VALUE": str(milliseconds)})
    return slots


def _tier(au: str, person: int | None) -> dict[str, str]:
    tier = {"LINGUISTIC_TYPE_REF": _TYPE, "TIER_ID": au if person is None else f"{au} person {person}"}
    return tier if person is None else {**tier, "PARTICIPANT": f"person {person}"}


def _value(episode: Episode) -> str:
    if math.isnan(episode.mean):
        return episode.au
    return f"{episode.au} mean {episode.mean:.2f} peak {episode.peak:.2f}"


def _descriptor(media: Path, folder: Path) -> dict[str, str]:
    kind = mimetypes.guess_type(media.name)[0] or "video/*"
    descriptor = {"MEDIA_URL": media.resolve().as_uri(), "MIME_TYPE": kind}
    try:
        relative = Path(os.path.relpath(media.resolve(), folder)).as_posix()
    except ValueError:  # on another drive
        return descriptor
    return {**descriptor, "RELATIVE_MEDIA_URL": quote(relative if relative.startswith(".") else f"./{relative}")}
