"""``auparity dev fidelity``: compares the reference with recordings of the C++ program.

It compares in all three ways of spec 90.10: stages on recorded inputs, single steps from recorded states, and whole
clips chained. Every clip runs twice more with perturbed rounding, which measures its platform floor. The figures are
written to a JSON file and, with ``--page docs/fidelity.md``, into the documentation. This needs the recordings, model
files and footage (``AUPARITY_SHARED``, else ``../shared`` beside the repository). The exit status is 1 if a limit is
missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import auparity
from auparity.atomic_files import write_text_atomically
from auparity.child_processes import end_with_parent
from auparity.models.bundle import Bundle
from auparity.parity_tests.compare.arrays import ClipRun, ComparisonRecord, compare_clips
from auparity.parity_tests.compare.tolerances import tolerance
from auparity.parity_tests.fidelity import clips as clip_fidelity
from auparity.parity_tests.fidelity import page as fidelity_page
from auparity.parity_tests.fidelity import stages as stage_fidelity
from auparity.parity_tests.fidelity.recordings import clip_run, shared_dir
from auparity.parity_tests.suite.platform_floor import PUBLISHED_FLOORS, Judgement, PlatformFloor, judge
from auparity.reference.numerics import Precision

Section = dict[str, Any]

#: The reference and its perturbed runs, which round elsewhere.
PERTURBATIONS: tuple[Precision, ...] = ("float32", "perturbed", "perturbed-2")
PART_NAMES = ("stages", "cen", "photographs", "one_step", "chained")


def _bundle() -> Bundle:
    shared = shared_dir()
    assert shared is not None  # checked in main
    return Bundle.from_openface(shared / "openface", landmark_model="clnf")


def _section(name: str, records: list[ComparisonRecord], seconds: float) -> Section:
    return {"name": name, "seconds": round(seconds, 1), "records": [r.as_dict() for r in records]}


def stages() -> list[Section]:
    """Every stage on recorded inputs."""
    bundle, sources = _bundle(), stage_fidelity.all_sources()
    checks: list[tuple[str, Callable[[], list[ComparisonRecord]]]] = [
        ("detection", lambda: stage_fidelity.check_detection(bundle, sources)),
        ("patch_experts and fitting (CCNF: main, inner, eyes)", lambda: stage_fidelity.check_fits(bundle, sources)),
        ("validation", lambda: stage_fidelity.check_validation(bundle, sources)),
        ("fit_shape, alignment, fhog, geometry", lambda: stage_fidelity.check_analysis(bundle, sources)),
        ("running_median, action_units", lambda: stage_fidelity.check_prediction(bundle)),
        ("head_pose, gaze", lambda: stage_fidelity.check_pose_and_gaze(bundle)),
    ]
    sections = []
    for name, check in checks:
        start = time.perf_counter()
        sections.append(_section(name, check(), time.perf_counter() - start))
    return sections


def make_random_cen(folder: Path) -> Path:
    """OpenFace's model folder with CEN experts of the recorded run: seeded random weights of the published sizes."""
    shared = shared_dir()
    assert shared is not None
    ccnf = shared / "openface" / "model" / "patch_experts" / "ccnf_patches_0.25_general.txt"
    target = folder / "openface"
    for path in (shared / "openface").rglob("*"):
        if path.is_file():
            link = target / path.relative_to(shared / "openface")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    command = [
        sys.executable,
        str(shared / "tools" / "make_random_cen.py"),
        str(ccnf),
        str(target / "model" / "patch_experts"),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return target


def cen() -> list[Section]:
    """CEN response maps and fits on recorded inputs."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.from_openface(make_random_cen(Path(folder)), landmark_model="ceclm")
        records = stage_fidelity.check_fits(bundle, stage_fidelity.random_cen_sources())
        records.append(clip_fidelity.check_ce_clm_frames(bundle))
    return [_section("patch_experts and fitting (CEN, random weights)", records, time.perf_counter() - start)]


def photographs() -> list[Section]:
    start = time.perf_counter()
    records = clip_fidelity.check_photographs(_bundle())
    return [_section("photographs, end to end", records, time.perf_counter() - start)]


def one_step(clip: str) -> Section:
    """Landmarks from the recorded state of the frame before, AUs on recorded landmarks, all frames of a clip."""
    start, bundle = time.perf_counter(), _bundle()
    records = clip_fidelity.one_step_landmarks(bundle, clip)
    records += clip_fidelity.aus_on_golden_landmarks(bundle, clip)[0]
    return _section(clip, records, time.perf_counter() - start)


def run_clip(job: tuple[str, Precision]) -> tuple[str, Precision, ClipRun, float]:
    """One whole clip; also the seconds a frame."""
    clip, precision = job
    start = time.perf_counter()
    run = clip_fidelity.run_clip(_bundle(), clip, precision)
    return clip, precision, run, (time.perf_counter() - start) / len(run.returned)


def judge_clip(clip: str, golden: ClipRun, runs: dict[Precision, ClipRun]) -> Section:
    """A chained run against the published floor if there is one, else the floor measured on the clip.

    The measured floor is the widest, figure by figure, of the three pairs among our run and its two perturbed runs.
    """
    comparison = compare_clips(golden, runs["float32"])
    pairs = [compare_clips(runs[a], runs[b]) for a, b in itertools.combinations(PERTURBATIONS, 2)]
    measured = PlatformFloor.worst_of([PlatformFloor.measured(pair) for pair in pairs])
    judgements = judge(comparison, PUBLISHED_FLOORS.get(clip, measured), tolerance("chained", "floor_factor").tolerance)
    factor = tolerance("chained", "pose_floor_factor").tolerance
    for name in ("pose_translation_mean", "pose_rotation_mean"):
        value, own = getattr(comparison, name), max(getattr(pair, name) for pair in pairs)
        judgements.append(Judgement(name.replace("_", " "), value, own, factor * own, value <= factor * own))
    return {
        "name": clip,
        "comparison": comparison.as_dict(),
        "floor_is": "published" if clip in PUBLISHED_FLOORS else "measured",
        "floor_measured": asdict(measured) | {"landmarks_max": max(pair.landmarks_max for pair in pairs)},
        "judgements": [j.as_dict() for j in judgements],
    }


def chained(pool: ProcessPoolExecutor, say: Callable[[str], None]) -> list[Section]:
    """All clips three times: by the reference, and twice with perturbed rounding."""
    jobs = list(itertools.product(stage_fidelity.CLIPS, PERTURBATIONS))
    runs: dict[str, dict[Precision, ClipRun]] = {clip: {} for clip in stage_fidelity.CLIPS}
    speed: dict[str, float] = {}
    for clip, precision, run, seconds in pool.map(run_clip, jobs):
        runs[clip][precision] = run
        say(f"  {clip}, {precision}: {len(run.returned)} frames, {seconds * 1000:.0f} ms a frame")
        if precision == "float32":
            speed[clip] = seconds
    return [judge_clip(clip, clip_run(clip), runs[clip]) | {"seconds_a_frame": speed[clip]} for clip in runs]


def environment(bundle: Bundle) -> dict[str, str]:
    """Versions, machine and bundle with which the figures were measured."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "auparity": auparity.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {_cpu_name()}",
        "bundle": f"{bundle.meta.name} {bundle.meta.version} ({bundle.meta.source['landmark_model']})",
        "bundle_hash": bundle.content_hash,
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def failures(result: dict[str, list[Section]]) -> list[str]:
    """Every limit that was missed."""
    missed = []
    for part, sections in result.items():
        for section in sections:
            entries = [*section.get("records", ()), *section.get("judgements", ())]
            names = (entry.get("name", entry.get("figure")) for entry in entries if not entry["passed"])
            missed += [f"{part}, {section['name']}: {name}" for name in names]
    return missed


def run(
    parts: Sequence[str], jobs: int, say: Callable[[str], None], save: Callable[[dict[str, list[Section]]], None]
) -> dict[str, list[Section]]:
    """Measure the chosen parts; `save` is called after each, so that an interruption loses only the running part."""
    result: dict[str, list[Section]] = {}
    # One BLAS thread in each process: clips run in parallel, and sums must not depend on the number of cores.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), end_with_parent) as pool:
        for part in parts:
            start = time.perf_counter()
            say(f"{part} ...")
            if part == "chained":
                result[part] = chained(pool, say)
            elif part == "one_step":
                result[part] = list(pool.map(one_step, ("video01", "default")))
            else:
                function = {"stages": stages, "cen": cen, "photographs": photographs}[part]
                result[part] = pool.submit(function).result()
            say(f"{part}: {time.perf_counter() - start:.0f} s")
            save(result)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the module's first paragraph."""
    parser = argparse.ArgumentParser(prog="auparity dev fidelity", description=__doc__)
    parser.add_argument(
        "--parts", nargs="+", choices=PART_NAMES, default=PART_NAMES, help="what to measure (default: all)"
    )
    parser.add_argument("--jobs", type=int, default=min(4, os.cpu_count() or 1), help="processes (default: up to 4)")
    parser.add_argument(
        "--output", type=Path, default=Path("results/fidelity.json"), help="JSON file with every record"
    )
    parser.add_argument(
        "--page", type=Path, default=None, help="page whose figures are replaced, e.g. docs/fidelity.md"
    )
    args = parser.parse_args(argv)
    if shared_dir() is None:
        print(
            "fidelity: there are no recordings of the C++ program; set AUPARITY_SHARED to their folder.",
            file=sys.stderr,
        )
        return 2
    bundle_environment = environment(_bundle())

    def save(result: dict[str, list[Section]]) -> None:
        text = json.dumps({"environment": bundle_environment, "parts": result}, indent=1)
        write_text_atomically(args.output, text)

    result = run(args.parts, args.jobs, lambda line: print(line, flush=True), save)
    text = fidelity_page.render(bundle_environment, result)
    if args.page is not None:
        fidelity_page.replace_figures(args.page, text)
    print(text)
    missed = failures(result)
    print("\n".join(f"MISSED {line}" for line in missed) or "all figures are within their limits")
    return 1 if missed else 0
