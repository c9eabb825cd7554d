"""Command lines that make a table and its page again, as a page shows them, from what the table's sidecar says."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auparity.reports.clips.sidecar import Landmarks, Sidecar, Source


def repeat_commands(table: Path, clip: Path | None, sidecar: Sidecar, truth: Path | None) -> list[str]:
    """Command lines that make table, video and page again, with placeholders for this machine's folders."""
    from auparity.benchmarks.repeat_command import described

    if clip is None:  # a camera
        return [f"auparity report {shlex.quote(table.name)}"]
    name, commands = clip.name, []
    if truth is not None:
        from auparity.models.synthetic.truth_file import read_truth

        true = read_truth(truth)
        meta = true.meta
        commands.append(
            "auparity models example -o ."
            if clip.is_file()
            else f"auparity models render --seed {meta.seed} --frames {len(true)} --size {meta.width}x{meta.height} "
            f"-o {shlex.quote(name)}"
        )
    request, bundle = sidecar.get("request", {}), sidecar.get("bundle", {})
    camera = request.get("intrinsics", {})
    asked = {
        "fx": camera.get("fx"), "fy": camera.get("fy"), "cx": camera.get("cx"), "cy": camera.get("cy"),
        "max-frames": request.get("max_frames"), "fps": request.get("fps"),
    }  # fmt: skip
    options = "".join(f" --{option} {value:g}" for option, value in asked.items() if value is not None)
    if request.get("timestamps") == "index" and request.get("fps") is None:
        options += " --timestamps index"
    if request.get("multi_view") is False:
        options += " --no-multi-view"
    if request.get("columns") is not None:
        options += f" --columns {','.join(request.get('columns') or [])}"
    if request.get("static_aus"):
        options += " --static-aus"
    for option in ("faces", "aus", "face"):
        if request.get(option) is not None:
            options += f" --{option} {request[option]}"
    options += _networks(bundle.get("source", {}), embedded=bundle.get("name") == "embedded")
    options += _landmark_options(request.get("landmarks"), bundle.get("source", {}).get("landmark_model"))
    models, which = "embedded", ""
    if bundle.get("name") != models:
        models, kind = "DIR", bundle.get("source", {}).get("landmark_model", "unknown")
        which = f"  # DIR is {described(str(bundle.get('name')), kind, str(bundle.get('content_hash'))[:12])}"
    commands.append(f"auparity extract {shlex.quote(name)} --models {models}{options} -o .{which}")
    commands.append(f"auparity report {shlex.quote(table.name)}")
    return commands


def _networks(source: Source, *, embedded: bool) -> str:
    """The options of `auparity extract` that choose these networks, by their names or the names of their files.

    embedded: the other models are the embedded ones, which have `EMBEDDED_NETWORKS` without any option.
    """
    from auparity.models.networks.chosen import NO_START, OWN_DETECTOR
    from auparity.models.networks.serving import EMBEDDED_NETWORKS
    from auparity.models.sources import EMBEDDED

    usual: dict[str, str] = EMBEDDED_NETWORKS if embedded else {}
    without = {"detector": OWN_DETECTOR, "start": NO_START}
    chosen = {
        "detector": source.get("detector"), "landmarks": source.get("landmarks"), "start": source.get("start"),
    }  # fmt: skip
    text = ""
    for option, network in chosen.items():
        name = None
        if network is not None and "file" in network:
            own = network["file"] == EMBEDDED
            name = str(network["network"]).lower() if own else Path(network["file"]).name
            name = None if own and name == usual.get(option) else name
        elif option in usual and not (option == "start" and chosen["landmarks"]):
            name = without[option]
        text += "" if name is None else f" --{option} {shlex.quote(name)}"
    return text


def _landmark_options(landmarks: Landmarks | None, model: str | None) -> str:
    """The options of `auparity extract` that give these settings of landmark detection; "" for the usual ones."""
    if landmarks is None:
        return ""
    from auparity.reference.landmarks import CECLM, CECLM_REG, CECLM_SIGMA, DetectorParameters

    usual = DetectorParameters().init_windows
    windows, fitting = landmarks.get("init_windows", list(usual)), landmarks.get("fitting", {})
    # The factors of CE-CLM come on top of what the options say.
    sigma, reg = (CECLM_SIGMA, CECLM_REG) if model == CECLM else (1.0, 1.0)
    numbers = {
        "iterations": fitting.get("iterations"), "sigma": _over(fitting.get("sigma"), sigma),
        "reg": _over(fitting.get("reg_factor"), reg), "w-reg": fitting.get("weight_factor"),
    }  # fmt: skip
    options = "" if tuple(windows) == usual else " --wild"
    options += "" if landmarks.get("validate", True) else " --no-validate"
    return options + "".join(f" --{name} {value:g}" for name, value in numbers.items() if value is not None)


def _over(value: float | None, factor: float) -> float | None:
    return None if value is None else value / factor
