"""Result files that nothing measured, for tests of the reports: every field in use, numbers easy to look for."""

from __future__ import annotations

import numpy as np

from auparity.reports.action_units import ACTION_UNITS
from auparity.reports.results.records import (
    MeasuredError,
    Provenance,
    Results,
    Series,
    Skipped,
    Speed,
    StageSpeed,
    WorkloadRecord,
)

AUS = [name for name in ACTION_UNITS if name != "AU28"]  # AU28 has no intensity
MACHINE = {
    "id": "x86_64-amd-avx512", "cpu": "Example 9000", "cores": 2, "memory_gib": 7.8, "blas": "OpenBLAS 0.3.30",
    "packages": {"numpy": "2.1.0", "numba": "0.61.0"}, "gpus": [], "threads": {"OMP_NUM_THREADS": "1"},
    "python": "CPython 3.11.9", "system": "Linux 6.1", "vectors": "avx512",
}  # fmt: skip
CLIP = WorkloadRecord("clip", "embedded", "12ab34cd", "main_ceclm_general", "stream", 240, 640, 480, "a rendered clip")
PHOTOS = WorkloadRecord("photos", "embedded", "12ab34cd", "main_ceclm_general", "photographs", 20, 320, 240)
#: Stage and milliseconds of the reference.
REFERENCE_MS = {
    "grayscale": 0.5, "detection": 21.0, "pdm": 2.2, "patch_experts": 410.0, "fitting": 160.0, "validation": 14.0,
    "fit_shape": 31.0, "alignment": 18.0, "fhog": 12.5, "geometry": 0.4, "running_median": 9.0, "action_units": 3.1,
    "head_pose": 1.2, "gaze": 0.3,
}  # fmt: skip


def provenance(day: int = 21, commit: str = "abc1234def", command: str = "auparity bench -o out.json") -> Provenance:
    return Provenance(f"2026-11-{day:02d}T09:00:00+0000", command, commit, "0.1.0", dict(MACHINE), 105.5, 11.2)


def speed(
    pipeline: str, ms: float, ratio: float | None, workload: str = "clip", *, stages: bool = False, note: str = ""
) -> Speed:
    factor = ms / sum(REFERENCE_MS.values()) * 0.95
    timed = [
        StageSpeed(
            name, "numba", reference * factor, 1.5, reference, reference * factor / 2 if name == "fhog" else None
        )
        for name, reference in REFERENCE_MS.items()
    ]
    ratios = [] if ratio is None else [ratio * 0.96, ratio, ratio * 1.05]
    return Speed(
        workload, pipeline, {name: "numba" for name in REFERENCE_MS} if stages else {}, ms, ms * 1.02, ms * 1.2,
        [ms * 0.99, ms * 1.01], ratio, ratios, ms * 2, 300.0, 1.25, start_cpu_s=2.5, cpu_ms=ms * 1.5,
        stages=timed if stages else [], note=note,
    )  # fmt: skip


def error(
    stage: str, variant: str, value: float | None, tolerance: float | None, figure: str = "", **more: str | float
) -> MeasuredError:
    way, workload = str(more.pop("way", "stage")), str(more.pop("workload", "clip"))
    return MeasuredError(workload, way, stage, variant, figure or stage, value, tolerance, **more)


def face() -> np.ndarray:
    """(68, 2) landmarks of somebody who looks straight ahead, px."""
    t = np.linspace(0, np.pi, 17)
    jaw = np.stack([-70 * np.cos(t), 15 + 85 * np.sin(t)], axis=1)
    s = np.linspace(0, 1, 5)
    brow = np.stack([-58 + 45 * s, -28 - 10 * np.sin(np.pi * s)], axis=1)
    bridge = np.stack([np.zeros(4), np.linspace(-14, 18, 4)], axis=1)
    base = np.stack([np.linspace(-14, 14, 5), 27 + 3 * np.sin(np.pi * s)], axis=1)
    ring = -np.pi + np.arange(6) * np.pi / 3
    eye = np.stack([-35 + 13 * np.cos(ring), -10 + 5 * np.sin(ring)], axis=1)
    lips = [
        np.stack([a * np.cos(u), 58 + b * np.sin(u)], axis=1)
        for n, a, b in ((12, 28, 12), (8, 20, 4))
        for u in [-np.pi + 2 * np.pi * np.arange(n) / n]
    ]
    mirrored = [brow[::-1] * [-1, 1], eye[[3, 2, 1, 0, 5, 4]] * [-1, 1]]
    return np.concatenate([jaw, brow, mirrored[0], bridge, base, eye, mirrored[1], *lips]) + [160.0, 120.0]


def series(pipeline: str = "numba", frames: int = 240, workload: str = "clip") -> Series:
    noise = np.random.default_rng(3)
    seconds = np.arange(frames) / 30
    reference, candidate = {}, {}
    for k, name in enumerate(AUS):
        values = np.clip((1.5 + 0.15 * k) * np.sin(seconds * (0.7 + 0.1 * k)) + 0.5, 0, 5)
        reference[name] = [float(v) for v in values]
        candidate[name] = [float(v) for v in np.clip(values + noise.normal(0.004, 0.02, frames), 0, 5)]
    tracked = [not frames // 3 <= k < frames // 3 + 8 for k in range(frames)]
    points = face()
    errors = 0.004 + 0.02 * np.abs(noise.normal(0, 1, 68)) * (1 + (np.arange(68) < 17))
    errors[8] = 0.1875  # the chin
    return Series(
        workload, pipeline, [float(s) for s in seconds], tracked, reference, candidate, points.tolist(),
        errors.tolist(), (0.7 * errors).tolist(), {name: 0.015 for name in AUS},
    )  # fmt: skip


def errors() -> list[MeasuredError]:
    found = [
        error("fhog", "numba", 0.0, 2e-7),
        error("fhog", "onnx", 1.2e-7, 2e-7, reason="float32 sums of up to 256 votes"),
        error(
            "patch_experts", "numba", 4.768e-07, 2e-6, "response_maps", unit="response", baseline=4.5e-7, margin=1e-7
        ),
        error("patch_experts", "numba", 1.8e-6, 2e-3, "response_maps_worst"),
        error("patch_experts", "numba", 0.0, 0.0, "decisions"),
        error("patch_experts", "onnx", 1.7e-6, 2e-6, "response_maps"),
        error("fit_shape", "numba", 1.0e-4, 2e-4, "fit_shape_local", unit="mm"),
        error("action_units", "batched", 3.3e-15, 1e-12),
    ]
    for workload in ("clip", "photos"):
        found += [
            error("", "best", 0.0090, 0.02, f"{workload}: one step landmarks_p95", way="one step", workload=workload),
            error("", "best", 0.0289, 0.0352, "landmarks p99", way="chained", workload=workload, unit="px"),
            error("", "best", 0.0, 0.0, "success flags equal", way="chained", workload=workload),
        ]
    return found


FAILING = error("gaze", "numba", 3.2e-5, 2e-5, "gaze", unit="rad", baseline=1.5e-8, margin=2e-5,
                problem="OUT OF TOLERANCE", reason="float32 angles")  # fmt: skip


def speeds() -> list[Speed]:
    return [
        speed("the reference", 720.0, 1.0, stages=True),
        speed("best", 15.0, 48.0, stages=True),
        speed("numba,detection=onnx", 18.0, 40.0, note="one thread"),
        speed("peer: other-port", 150.0, None),
        speed("the reference", 1100.0, 1.0, "photos"),
        speed("best", 40.0, 27.5, "photos"),
    ]


def parity(*more: MeasuredError, day: int = 21) -> Results:
    """A parity run."""
    skipped = [
        Skipped("fhog torch", "torch is not installed"), Skipped("jax", "jax is not installed"),
        Skipped("patch_experts onnx on photos", "eye models are CCNF"),
        Skipped("openface workloads", "the recordings are not here"),
    ]  # fmt: skip
    return Results(
        "parity", provenance(day, command="python -m auparity.parity_tests.suite.run --technology cpu -o out.json"),
        [CLIP, PHOTOS], errors=[*errors(), *more], series=[series()], skipped=skipped,
    )  # fmt: skip


def benchmark(day: int = 21) -> Results:
    """A benchmark run."""
    return Results("benchmark", provenance(day), [CLIP, PHOTOS], speeds())
