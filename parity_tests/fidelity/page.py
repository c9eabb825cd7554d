"""Writes the figures of a fidelity run as Markdown tables, between two markers of ``docs/fidelity.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auparity.atomic_files import write_text_atomically
from auparity.errors import AuparityError

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
COMMAND = "nox -s fidelity"

_TITLES = {
    "stages": "Stages on recorded inputs",
    "cen": "CE-CLM stages on recorded inputs",
    "photographs": "Images",
    "one_step": "One step from the recorded state of the frame before",
    "chained": "Chained: whole clips",
}


def render(environment: dict[str, str], parts: dict[str, list[dict[str, Any]]]) -> str:
    """All tables of a run."""
    described = "; ".join(f"{key.replace('_', ' ')} {value}" for key, value in environment.items())
    lines = [f"Measured by `{COMMAND}`: {described}.", ""]
    for part, sections in parts.items():
        lines += [f"### {_TITLES[part]}", ""]
        lines += _chained(sections) if part == "chained" else _records(sections)
    return "\n".join(lines).rstrip() + "\n"


def _records(sections: list[dict[str, Any]]) -> list[str]:
    lines = ["| what | values | largest error | median | tolerance | needed | held |", "|---|---|---|---|---|---|---|"]
    for section in sections:
        for r in section["records"]:
            count = 1
            for length in r["shape"]:
                count *= length
            share = "" if r["share"] == 1 else f" for {r['share']:.1%}"
            label = r["name"] if section["name"] in r["name"] else f"{section['name']}: {r['name']}"
            lines.append(
                f"| {label} | {count} | {r['max_error']:.2g} | {r['median_error']:.2g} | {r['tolerance']:.2g}{share} "
                f"| {r['tolerance_needed']:.2g} | {_verdict(r['passed'])} |"
            )
    return [*lines, ""]


def _chained(sections: list[dict[str, Any]]) -> list[str]:
    lines = [
        "Limit = 1.25 x floor; correlations are allowed one standard error more, and presences held to a measured "
        "floor their counting error. Published floor: the C++ program against itself, with and without fused "
        "multiply-adds (spec 90.10). Measured: the widest of the three pairs among our run and two of other rounding.",
        "",
    ]
    for section in sections:
        comparison, measured = section["comparison"], section["floor_measured"]
        lines += [
            f"**{section['name']}**: {comparison['frames']} frames, flags equal in {comparison['flags_equal']:.0%}, "
            f"{comparison['frames_compared']} compared, {section['seconds_a_frame'] * 1000:.0f} ms a frame on one core;"
            f" limits from the {section['floor_is']} floor (the pose's from the measured one).",
            "",
            "| figure | ours against C++ | floor | limit | held | floor measured here |",
            "|---|---|---|---|---|---|",
        ]
        for j in section["judgements"]:
            own = measured.get(j["figure"].replace(" ", "_"))
            lines.append(
                f"| {j['figure']} | {j['value']:.4g} | {j['floor']:.4g} | {j['limit']:.4g} | {_verdict(j['passed'])} "
                f"| {'' if own is None else f'{own:.4g}'} |"
            )
        worst = f"| landmarks max | {comparison['landmarks_max']:.3g} | | none | | {measured['landmarks_max']:.3g} |"
        lines += [worst, f"| presence online equal | {comparison['presence_online_equal']:.4f} | | none | | |", ""]
    return lines


def _verdict(passed: bool) -> str:
    return "yes" if passed else "**no**"


def replace_figures(page: Path, text: str) -> None:
    """Put new tables between the page's markers, atomically.

    Raises
    ------
    AuparityError : the page has no markers.
    """
    old = page.read_text(encoding="utf-8")
    if BEGIN not in old or END not in old:
        raise AuparityError(f"{page} has no line {BEGIN!r} followed by {END!r}; put them where the tables belong.")
    new = old.partition(BEGIN)[0] + BEGIN + "\n" + text + END + old.partition(END)[2]
    write_text_atomically(page, new)
