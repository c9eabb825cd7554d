"""What test_reference_bits.py runs in processes of their own: prints, as JSON, hashes of what the reference computes.

Inputs are stored or made of whole random numbers, so that they are the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import threadpoolctl

from auparity.models.bundle import Bundle
from auparity.models.networks import shapes
from auparity.models.types import PFLD, CCNFExperts, CCNFPatch, FaceApi, Tensors
from auparity.reference import elementary, inverses, sums, trigonometry
from auparity.reference.networks import point_networks
from auparity.reference.numerics import FLOAT32, PRECISIONS
from auparity.reference.patch_experts import CCNFScale
from auparity.reference.pipeline import ReferencePipeline
from auparity.reference.results import FrameResult

FACE = Path(__file__).parent / "rendered_face.png"


def uniform(seed: int, *shape: int) -> np.ndarray:
    """Numbers from -1 to 1 of 31 bits (other distributions use the C library's logarithm)."""
    return np.random.default_rng(seed).integers(-(2**31), 2**31, shape) / 2.0**31


def digest(*arrays: Any) -> str:
    """Sixteen hexadecimal digits of the bytes of some arrays."""
    content = hashlib.sha256()
    for array in arrays:
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()[:16]


def of_result(result: FrameResult) -> list[Any]:
    """Everything that a frame's result holds."""
    return [
        result.landmarks, result.landmarks_3d, result.params_global, result.params_local, result.pose,
        result.eye_landmarks, result.eye_landmarks_3d, result.gaze, result.gaze_angles, result.au_intensity,
        result.au_presence, np.float64(result.confidence),
    ]  # fmt: skip


def functions() -> Iterator[tuple[str, str]]:
    """Elementary functions, sums, products, inverses and solutions by themselves."""
    x = uniform(0, 4000)
    yield "exp and log", digest(elementary.exp(40 * x), elementary.log(np.abs(x)), elementary.log2(1 + np.abs(x)))
    yield (
        "trigonometry",
        digest(
            *(f(x[:500]) for f in (trigonometry.sin, trigonometry.cos, trigonometry.arcsin, trigonometry.arccos)),
            *(f(x[:500], x[500:1000]) for f in (trigonometry.arctan2, trigonometry.hypot)),
        ),
    )
    a, b = uniform(1, 90, 203), uniform(2, 203, 37)
    yield "sums", digest(*(sums.total(a, axis) for axis in (0, 1)), sums.norm(a), sums.dot(a, b[:, 0]))
    yield "products", digest(sums.product(a, b), sums.product(a.astype(np.float32), b.astype(np.float32)))
    symmetric = uniform(3, 5, 49, 49) / 49
    symmetric = symmetric + symmetric.transpose(0, 2, 1) + 3 * np.eye(49)
    yield "inverses", digest(inverses.inverse_spd(symmetric))
    for name, numerics in PRECISIONS.items():
        matrix, other, vector = numerics.cast(a), numerics.cast(b), numerics.cast(b[:, 0])
        spd, right = numerics.cast(symmetric[0]), numerics.cast(b[:49, 0])
        yield f"numerics {name}", digest(
            numerics.matmul(matrix, other), numerics.layer(matrix, other), numerics.matmul_f64(matrix, vector),
            numerics.matvec(matrix, vector), numerics.smooth(matrix, vector), numerics.solve_spd(spd, right),
        )  # fmt: skip


def ccnf() -> str:
    """Response maps of CCNF experts, whose fields are smoothed by covariances."""
    window, support, neurons = 7, 11, 3
    patches = tuple(
        CCNFPatch(
            support, support, np.zeros(neurons, np.int32), 1 + np.abs(uniform(10 + k, neurons)),
            uniform(20 + k, neurons), 1 + uniform(30 + k, neurons) / 2,
            uniform(40 + k, neurons, support, support).astype(np.float32), np.abs(uniform(50 + k, 1)), 1.0,
        )
        for k in range(4)
    )  # fmt: skip
    grid = np.stack(np.meshgrid(np.arange(window), np.arange(window)), -1).reshape(-1, 2)
    distance = np.abs(grid[:, None] - grid).sum(-1)
    component = (4 * (distance == 0) - 1 * (distance == 1)).astype(np.float32)
    experts = CCNFExperts(
        0.25, np.zeros((1, 3)), np.ones((1, 4), np.int32), (window,), (component[None],), (patches,)
    )  # fmt: skip
    areas = np.random.default_rng(4).integers(0, 256, (4, 17, 17)).astype(np.float32)
    scale = CCNFScale(experts, experts, FLOAT32)
    return digest(scale.area_responses(areas, np.arange(4), 0), scale.sigmas(0, window)[0])


def network(kind: type[PFLD] | type[FaceApi], of: shapes.Shapes) -> str:
    """Points of a network with weights from -1 to 1, scaled so that values keep their size."""
    arrays = {}
    for seed, (name, shape) in enumerate(of.items()):
        drawn = uniform(seed, *shape)
        drawn = 1 + np.abs(drawn) if name.endswith("running_var") else drawn
        arrays[name] = (drawn / (np.sqrt(np.prod(shape[1:]) / 6) if len(shape) > 1 else 1)).astype(np.float32)
    crops = np.random.default_rng(1).integers(0, 256, (2, 112, 112, 3)).astype(np.uint8)
    return digest(point_networks.build(kind(Tensors(tuple(arrays), tuple(arrays.values()))))(crops))


def pipeline() -> Iterator[tuple[str, str]]:
    """A photograph, fitted from eleven orientations, and the first frames of a clip."""
    bundle, image = Bundle.embedded(networks=False), cv2.imread(str(FACE))
    reference = ReferencePipeline(bundle)
    faces = reference.process_image(image)
    yield "photograph", digest(*(array for face in faces for array in of_result(face)))
    session = reference.start_video()
    frames = [session.process_frame(np.roll(image, shift, axis=1), shift / 30) for shift in (0, 1)]
    yield "clip", digest(*(array for frame in frames for array in of_result(frame)))
    offline = session.finish()
    yield "after the clip", digest(offline.intensity, offline.presence)
    other = ReferencePipeline(bundle, precision="perturbed")
    start = {name: other.numerics.cast(getattr(frames[0], name)) for name in ("params_global", "params_local")}
    state = replace(other.landmark_detector.initial_state(), **start)
    fitted = other.landmark_detector.detect(other.clm.to_gray(image), state, (0, 9, 7, 0))
    yield "a perturbed fit", digest(fitted.landmarks, fitted.params_local, np.float64(fitted.confidence))


def main() -> None:
    """Print the hashes, and which BLAS NumPy has (other packages may bring one of their own)."""
    libraries = [blas for blas in threadpoolctl.threadpool_info() if "numpy" in blas["filepath"]]
    networks = {"network": network(PFLD, shapes.pfld()), "face-api": network(FaceApi, shapes.face_api())}
    hashes = {**dict(functions()), "ccnf": ccnf(), **networks, **dict(pipeline())}
    json.dump({"blas": libraries[0]["internal_api"] if libraries else "", "hashes": hashes}, sys.stdout)


if __name__ == "__main__":
    main()
