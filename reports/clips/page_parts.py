"""What the pages of clips and of images have in common: head, tiles, facts, styles and scripts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auparity.atomic_files import write_text_atomically
from auparity.reports.clips.sidecar import Network, Sidecar
from auparity.reports.clips.templates import json_inside, rendered, scripts, web_file
from auparity.reports.page_templates import unescaped
from auparity.reports.page_text import style_sheet

#: Networks in place of the bundle's own models: what the page calls them, and the sidecar.
NETWORK_FACTS = (("faces found by", "detector"), ("landmarks found by", "landmarks"), ("fits begin at", "start"))
#: What can be drawn over the picture, and what the page calls it.
LAYERS = (("landmarks", "landmarks"), ("axes", "head axes"), ("gaze", "gaze"))


@dataclass(frozen=True)
class Tile:
    """A figure at the top of a page."""

    value: str
    what: str
    target: str = ""
    reached: bool = False


@dataclass(frozen=True)
class Verdict:
    """The sentence at the top of a page; `judged` is "good", "bad" or "" for a plain statement."""

    text: str
    judged: str = ""
    more: str = ""


def write_html(
    out_path: Path, template: str, sidecar: Sidecar, data: tuple[dict[str, Any], str], *,
    sheets: Sequence[str] = (), style: str = "", script_files: Sequence[str], **values: Any,
) -> None:  # fmt: skip
    """Fill a template and write the page, atomically.

    Parameters
    ----------
    data : what `clip_data` gives; an empty document where there is nothing to draw.
    sheets : style sheets of `web` besides those that all pages have.
    style : further rules.
    """
    document, arrays = data
    styles = style_sheet("page.css") + "".join(map(web_file, ("clip.css", *sheets))) + style
    text = rendered(
        template, **values, style=unescaped(styles), face=unescaped(web_file("face.svg")), facts=facts_of(sidecar),
        document=json_inside(document) if document else None, arrays=arrays, script=scripts(script_files),
        size=document.get("size"), units=any(chart["kind"] == "au" for chart in document.get("charts", [])),
    )  # fmt: skip
    write_text_atomically(out_path, text)


def models_of(sidecar: Sidecar) -> str:
    """The end of a sentence that names the models; "" where they are not known."""
    bundle = sidecar.get("bundle", {})
    return f", models {bundle['name']} {bundle.get('version', '')}" if "name" in bundle else ""


def _network(chosen: Network | None) -> str | None:
    """A network that was chosen, with what must be said of it; None where none was."""
    if not chosen:
        return None
    note = f"; {chosen['note']}" if "note" in chosen else ""
    return f"{chosen.get('network')}, SHA-256 {chosen.get('sha256')}{note}"


def facts_of(sidecar: Sidecar) -> list[tuple[str, str]]:
    """What made the table."""
    bundle = sidecar.get("bundle", {})
    source: dict[str, Any] = dict(bundle.get("source", {}))
    facts = (
        ("made by", f"auparity {sidecar['auparity']}" if "auparity" in sidecar else None),
        ("models", " ".join(filter(None, (bundle.get("name"), bundle.get("version")))) or None),
        ("models' hash", bundle.get("content_hash")),
        *((label, _network(source.get(key))) for label, key in NETWORK_FACTS),
        ("date", sidecar.get("date")),
    )
    return [(label, str(value)) for label, value in facts if value]
