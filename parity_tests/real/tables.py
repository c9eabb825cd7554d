"""Writes the figures of `auparity dev real-faces` as Markdown: of one bundle, and of what exchanged parts change."""

from __future__ import annotations

from typing import Any

from auparity.parity_tests.real.exchange import words_of
from auparity.parity_tests.real.figures import ANGLES, GAZE, MOVES, NAMED_AUS, REGIONS
from auparity.parity_tests.truth.tables import degrees, number, percent, verdicts_table

Figures = dict[str, Any]

CLIPS_TEXT = (
    "Tracked: of the frames that OpenFace tracks, and how many of the others. AUs: mean correlation over the AUs that "
    f"move (recorded standard deviation of {MOVES:g} or more; a constant of ours counts as 0), mean absolute error "
    "over all 17, mean F1 over the presences that OpenFace has in some frames and not in others. Eyes: median distance "
    "of the outer corners; angles: lowest and highest that OpenFace recorded."
)
LANDMARKS_TEXT = (
    "Distance from OpenFace's landmarks in percent of its distance of the outer eye corners, of the frames that both "
    "track. Varying: the mean distance that is left when each landmark's mean displacement over the clip is taken "
    "off; the rest is how two models of a face place their landmarks."
)
SERIES_TEXT = "Correlation / mean absolute error / standard deviation of what OpenFace recorded, angles in degrees."
AUS_TEXT = (
    "Intensities after post-processing: correlation / mean absolute error / standard deviation of what OpenFace "
    f"recorded (**bold** where it moves, from {MOVES:g}); presences: F1 and, in brackets, the share of frames in which "
    "OpenFace has the AU."
)
FACES_TEXT = (
    "Boxes of the detector alone, against those of OpenFace's detector on the same pictures (of clips every eighth); "
    "then faces that were fitted and accepted, against those that OpenFace recorded. Two faces are the same from an "
    "intersection over union of 0.5 on. OpenFace follows four people at most, so a face of ours beside the recorded "
    "ones need not be wrong. AUs are those of the static models."
)
EXCHANGED_TEXT = (
    "A row for each clip that has goals (else for each clip) and each change, the first without one; the JSON file has "
    "all clips. Pose and gaze: the lowest r of their angles. Of pictures with several faces, rows that would repeat "
    "the figures of an earlier one are left out."
)


def render(command: str, environment: dict[str, str], result: Figures, exchanged: dict[str, Figures]) -> str:
    """All tables: `result` has `clips`, `faces` and `goals`; `exchanged` has clips and faces of changed bundles, by
    change. `command` is what repeats the measurement."""
    described = "; ".join(f"{key.replace('_', ' ')} {value}" for key, value in environment.items())
    lines = [f"Measured by `{command}`: {described}.", ""]
    if result["goals"]:
        lines += verdicts_table(result["goals"], "Against the goals")
    if result["clips"]:
        lines += [*_clips(result["clips"]), *_series(result["clips"]), *_aus(result["clips"])]
    if result["faces"]:
        lines += _faces(result["faces"])
    if exchanged:
        lines += _exchanged(result, exchanged)
    return "\n".join(lines).rstrip() + "\n"


def _clips(clips: dict[str, Figures]) -> list[str]:
    lines = [
        "### Clips of one face", "",
        CLIPS_TEXT, "",
        "| clip | frames | tracked | tracked where OpenFace has no face | AUs that move: mean r | MAE | F1 "
        "| eyes | pitch | yaw | roll |",
        "|---" * 11 + "|",
    ]  # fmt: skip
    for name, f in clips.items():
        elsewhere = f"{f['tracked_there']} of {f['untracked_frames']}" if f["untracked_frames"] else "–"
        seen = f["footage"]
        cells = (
            f"`{name}`", str(f["frames"]), f"{percent(f['tracked'])} of {f['recorded']}", elsewhere,
            f"{number(f['mean_r'])} of {len(f['moving'])}", number(f["mean_mae"]),
            f"{number(f['mean_f1'])} of {f['f1_aus']}", f"{number(seen['eyes_px'], 0)} px",
            *(_range(seen[angle]) for angle in ANGLES),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "", "### Landmarks", "",
        LANDMARKS_TEXT, "",
        f"| clip | mean | median | 95th percentile | varying | {' | '.join(REGIONS)} |",
        "|---" * (5 + len(REGIONS)) + "|",
    ]  # fmt: skip
    for name, f in clips.items():
        marks = f["landmarks"]
        values = [marks[which] for which in ("mean", "median", "p95", "varying")] + list(marks["regions"].values())
        lines.append(f"| `{name}` | {' | '.join(map(percent, values))} |")
    return [*lines, ""]


def _range(values: list[float] | None) -> str:
    return "–" if values is None else f"{values[0]:.0f} to {values[1]:.0f}°"


def _series(clips: dict[str, Figures]) -> list[str]:
    lines = [
        "### Pose and gaze", "",
        SERIES_TEXT, "",
        f"| clip | {' | '.join(ANGLES)} | {' | '.join(f'gaze {name}' for name in GAZE)} |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, f in clips.items():
        entries = [*(f["pose"][angle] for angle in ANGLES), *(f["gaze"][angle] for angle in GAZE)]
        cells = [f"{number(e['r'])} / {degrees(e['mae'])} / {degrees(e['spread'])}" for e in entries]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return [*lines, ""]


def _aus(clips: dict[str, Figures]) -> list[str]:
    lines = [
        "### Action units", "",
        AUS_TEXT, "",
        f"| AU | {' | '.join(f'`{name}` | F1' for name in clips)} |", "|---" * (1 + 2 * len(clips)) + "|",
    ]  # fmt: skip
    for au in next(iter(clips.values()))["aus"]:
        cells = []
        for f in clips.values():
            e = f["aus"][au]
            values = f"{number(e['r'])} / {number(e['mae'])} / {number(e['spread'])}"
            intensity = "–" if e["spread"] is None else f"**{values}**" if au in f["moving"] else values
            share = "–" if e["present"] is None else f"{e['present']:.0%}"
            cells.append(f"{intensity} | {number(e['f1'])} ({share})")
        lines.append(f"| {au} | {' | '.join(cells)} |")
    return [*lines, ""]


def _faces(faces: dict[str, Figures]) -> list[str]:
    lines = [
        "### Faces in photographs and in clips of several people", "",
        FACES_TEXT, "",
        "| pictures | number | boxes on faces | on no face | faces accepted | beside recorded ones | landmarks, mean "
        "| median | AUs: MAE |",
        "|---|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for name, f in faces.items():
        boxes, marks = f["boxes"], f["landmarks"]
        found = ("–", "–") if boxes is None else (f"{boxes['found']} of {boxes['faces']}", str(boxes["false"]))
        cells = (
            f"`{name}`", str(f["pictures"]), *found, f"{f['found']} of {f['faces']}", str(f["beside"]),
            percent(marks["mean"]), percent(marks["median"]), number(f["au_mae"]),
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _exchanged(result: Figures, exchanged: dict[str, Figures]) -> list[str]:
    lines = [
        "### One part exchanged for OpenFace's", "",
        EXCHANGED_TEXT, "",
        "| clip | change | tracked | landmarks, median | varying | pose r | gaze r | AUs that move: mean r | F1 "
        f"| {' | '.join(f'{name} r' for name in NAMED_AUS)} |",
        "|---" * (9 + len(NAMED_AUS)) + "|",
    ]  # fmt: skip
    asked = {goal["over"] for goal in result["goals"]}
    for name in [name for name in result["clips"] if name in asked] or result["clips"]:
        for change, other in {"none": result, **exchanged}.items():
            f = other["clips"][name]
            cells = (
                f"`{name}`", change, percent(f["tracked"]), percent(f["landmarks"]["median"]),
                percent(f["landmarks"]["varying"]), number(f["pose_r"]), number(f["gaze_r"]), number(f["mean_r"]),
                number(f["mean_f1"]), *(number(f["named"].get(au)) for au in NAMED_AUS),
            )  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    if result["faces"]:
        lines += ["", "| pictures | change | boxes on faces | on no face | faces accepted | landmarks, median |",
                  "|---|---|---|---|---|---|"]  # fmt: skip
    for name in result["faces"]:
        shown: list[Any] = []
        for change, other in {"none": result, **exchanged}.items():
            f = other["faces"][name]
            if (figures := (f["boxes"], f["found"], f["landmarks"]["median"])) in shown:
                continue
            shown.append(figures)
            boxes = f["boxes"] or {"found": "–", "faces": "–", "false": "–"}
            lines.append(
                f"| `{name}` | {change} | {boxes['found']} of {boxes['faces']} | {boxes['false']} "
                f"| {f['found']} of {f['faces']} | {percent(f['landmarks']['median'])} |"
            )
    names = dict.fromkeys(name for change in exchanged for name in change.split("+"))
    return [*lines, "", *(f"- {name}: {words_of(name)}" for name in names), ""]
