"""Writes the figures of `truth_summary` as Markdown tables, between the markers of ``docs/embedded.md``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from auparity.reports.truth import metrics

Figures = dict[str, Any]

COMMAND = "auparity dev truth"


def render(environment: dict[str, str], asked: dict[str, Any], figures: Figures) -> str:
    """All tables of one bundle."""
    described = "; ".join(f"{key.replace('_', ' ')} {value}" for key, value in environment.items())
    seeds = ", ".join(f"{count} {what}" for what, count in asked.items())
    return "\n".join([
        f"Measured by `{COMMAND}`: {described}. {seeds}.",
        "",
        *verdicts_table(figures["verdicts"]),
        *_detection(figures["detection"]),
        *_faces(figures["clips"], figures["photographs"]),
        *_aus(figures["clips"], figures["photographs"]),
        *_validator(figures["validator"]),
    ]).rstrip() + "\n"  # fmt: skip


def verdicts_table(verdicts: list[Figures], title: str = "Against the targets") -> list[str]:
    """Lines of the section that shows figures beside their targets (`TargetResult.as_dict`)."""
    lines = [f"### {title}", "", "| what | on | measured | target | reached |", "|---|---|---|---|---|"]
    for v in verdicts:
        side = "at least" if v["at"] == "least" else "at most"
        reached = "yes" if v["reached"] else "**no**"
        measured, limit = _in_unit(v["value"], v["unit"]), _in_unit(v["limit"], v["unit"])
        if measured == limit and not v["reached"] and v["unit"] == "r":
            measured = number(v["value"], 4)  # a figure that is missed by little must not look as if it were not
        lines.append(f"| {v['title']} | {v['over']} | {measured} | {side} {limit} | {reached} |")
    return [*lines, ""]


def _detection(figures: Figures) -> list[str]:
    lines = [
        "### Detection", "",
        "A box counts from an intersection over union of 0.5 with the box of the true landmarks.", "",
        "| pictures | number | recall | precision | false boxes for 100 pictures |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, title in (("photographs", "with a face"), ("backgrounds", "without a face"), ("all", "all")):
        f = figures[name]
        lines.append(
            f"| {title} | {f['images']} | {percent(f['recall'])} | {percent(f['precision'])} "
            f"| {number(f['false_per_100'])} |"
        )
    at = figures["at_false_rate"]
    parts = "; ".join(
        f"{_width(entry)} {percent(entry['recall'])} of {entry['faces']}"
        for entry in figures["by_width"]
        if entry["faces"]
    )
    return [
        *lines, "",
        f"At {at['false_per_100']:g} false box for 100 pictures (scores above {at['score_above']:.3g}): "
        f"{percent(at['recall'])} found. By the width of the landmarks' box: {parts}. "
        f"Of {figures['cut']['faces']} faces of which the picture's edge leaves less than {metrics.WHOLE_FACE:.0%}, "
        f"{figures['cut']['found']} were found; they count nowhere above.",
        "",
    ]  # fmt: skip


def _faces(clips: Figures, photographs: Figures) -> list[str]:
    rows: list[tuple[str, Callable[[Figures], str]]] = [
        ("frames or pictures", lambda f: str(f["landmarks"]["frames"])),
        ("face found", lambda f: percent(f["landmarks"]["found"] / f["landmarks"]["frames"])),
        ("landmark error, mean", lambda f: percent(f["landmarks"]["mean"])),
        ("landmark error, median", lambda f: percent(f["landmarks"]["median"])),
        ("landmark error, 95th percentile", lambda f: percent(f["landmarks"]["p95"])),
        ("landmark error, mean of the visible ones", lambda f: percent(f["visible_landmarks_mean"])),
        ("lost or off by more than 10 %", lambda f: percent(f["landmarks"]["failures"])),
        ("head orientation, mean angle", lambda f: degrees(f["rotation"])),
        ("pitch, yaw, roll, means", lambda f: ", ".join(degrees(axis) for axis in f["axes"])),
        ("head position, mean", lambda f: f"{number(f['translation'])} mm ({percent(f['translation_share'])})"),
        ("gaze direction, mean angle", lambda f: degrees(f["gaze"])),
        ("confidence, mean", lambda f: number(f["confidence"])),
    ]
    lines = ["### Landmarks, pose and gaze", "", "Landmark errors: percent of the distance of the outer eye corners.",
             "", "| | tracked clips | photographs |", "|---|---|---|"]  # fmt: skip
    lines += [f"| {title} | {of(clips)} | {of(photographs)} |" for title, of in rows]
    return [*lines, "", f"Time: {1000 * clips['seconds_a_frame']:.0f} ms a tracked frame (median over the clips).", ""]


def _aus(clips: Figures, photographs: Figures) -> list[str]:
    lines = [
        "### Action units", "",
        "Intensities: mean absolute error and correlation; presences: F1 and balanced accuracy. Clips by the dynamic "
        "models after post-processing, photographs by the static ones.", "",
        "| AU | truly present | MAE, clips | r, clips | F1, clips | balanced, clips | MAE, photographs "
        "| r, photographs | F1, photographs |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    still = {entry["name"]: entry for entry in photographs["intensities"]}
    still_presence = {entry["name"]: entry for entry in photographs["presences"]}
    moving = {entry["name"]: entry for entry in clips["intensities"]}
    for entry in clips["presences"]:
        name = entry["name"]
        one, other = moving.get(name, {}), still.get(name, {})
        cells = [
            percent(entry["true_share"]), number(one.get("mae")), number(one.get("r")), number(entry["f1"]),
            number(entry["balanced_accuracy"]), number(other.get("mae")), number(other.get("r")),
            number(still_presence[name]["f1"]),
        ]  # fmt: skip
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _validator(v: Figures) -> list[str]:
    return [
        "### Validator", "",
        f"Fits from good and bad boxes: {v['fits']} good (error up to 5 %), {v['misses']} misses (above 10 % or "
        f"without a face), {v['between']} between. AUC {number(v['auc'], 4)}; with those between counted as fits "
        f"{number(v['auc_without_gap'], 4)}. At the tracker's boundary {percent(v['fits_accepted'])} of the fits and "
        f"{percent(v['misses_accepted'])} of the misses are accepted.",
        "",
    ]  # fmt: skip


def _width(entry: Figures) -> str:
    low, high = entry["from"], entry["to"]
    return f"over {low:g} px" if high is None else f"under {high:g} px" if low == 0 else f"{low:g} to {high:g} px"


def _in_unit(value: float | None, unit: str) -> str:
    if value is None:
        return "none"
    if unit == "degrees":
        return degrees(value)
    if unit.startswith(("of ", "MB", "boxes")):
        return f"{value:.3g} {unit}"
    if unit == "r":
        return number(value)
    return percent(value)


def percent(value: float | None) -> str:
    """A share in percent."""
    return "–" if value is None else f"{100 * value:.3g} %"


def degrees(value: float | None) -> str:
    """An angle."""
    return "–" if value is None else f"{value:.2g}°" if value < 10 else f"{value:.0f}°"


def number(value: float | None, digits: int = 2) -> str:
    """A number."""
    return "–" if value is None else f"{value:.{digits}f}"
