"""CEN patch experts for runtimes that want few large products: all experts of a view in one call (spec 40.7).

Patches of all landmarks are cut out and normalised together, an expert's own area and the mirrored one of its partner
side by side; a function from patches (K, P, inputs) to responses (K, P) is the runtime's. Cutting, normalisation (in
the reference order of sums, spec 90.5) and interpolation are the reference's functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.types import CENExperts, CENPatch
from auparity.reference.numerics import FLOAT32
from auparity.reference.patch_experts import extract_areas, interpolate_checkerboard, normalised_patches

Array = npt.NDArray[Any]


class GroupedScale:
    """The CEN experts of one scale, as reference/patch_experts.CENScale.

    Parameters
    ----------
    experts, mirrors : as the reference takes them.
    make_runner : called once for each view that is used, with that view's experts in order.
    """

    def __init__(
        self,
        experts: CENExperts,
        mirrors: CENExperts,
        make_runner: Callable[[list[CENPatch]], Callable[[Array], Array]],
    ) -> None:
        self._experts, self._make_runner = experts, make_runner
        self._mirror_landmark, self._mirror_view = mirrors.mirror_landmarks.ravel(), mirrors.mirror_views.ravel()
        self._runners: dict[int, tuple[list[tuple[int, bool, int]], list[CENPatch], Callable[[Array], Array]]] = {}

    def responses(
        self, gray: Array, landmarks: Array, ref_to_img: Array, window: int, view: int
    ) -> tuple[Array, Array]:
        """Maps (n, w, w) and visibility (n,) for one gray image (H, W) and its landmarks (n, 2)."""
        jobs, patches, run = self._view(view)
        count = len(landmarks)
        side = window + patches[0].width - 1
        areas = extract_areas(gray, landmarks, ref_to_img, side, FLOAT32)
        maps = np.zeros((count, window, window), np.float32)
        self._evaluate(areas, jobs, (patches[0].height, patches[0].width), window, run, maps)
        return maps, self._experts.visibility[view] != 0

    def area_responses(self, areas: Array, landmarks: Array, view: int) -> Array:
        """Maps (K, w, w) of areas of interest (K, side, side) around landmarks (K,), each by itself."""
        _, patches, _ = self._view(view)
        maps, window = [], areas.shape[1] - patches[0].width + 1
        for area, landmark in zip(areas, landmarks, strict=True):
            spread = np.repeat(area[None], len(self._experts.patches[view]), axis=0)
            responses = np.zeros((len(spread), window, window), np.float32)
            jobs, patches, run = self._view(view)
            self._evaluate(spread, jobs, (patches[0].height, patches[0].width), window, run, responses)
            maps.append(responses[landmark])
        return np.stack(maps)

    def _evaluate(
        self, areas: Array, jobs: list[tuple[int, bool, int]], support: tuple[int, int], window: int,
        run: Callable[[Array], Array], maps: Array,
    ) -> None:  # fmt: skip
        half = (window * window - 1) // 2
        first = np.stack([areas[i][:, ::-1] if flipped else areas[i] for i, flipped, _ in jobs])
        # Every expert gets two areas, so that all have one form; those without a partner see their own twice.
        second = np.stack([areas[partner if partner >= 0 else i][:, ::-1] for i, _, partner in jobs])
        patches = normalised_patches(np.concatenate([first, second]), support)
        columns = patches.transpose(0, 2, 1, 3).reshape(2 * len(jobs), window * window, -1)[:, 1::2]
        both = columns.reshape(2, len(jobs), half, -1).transpose(1, 0, 2, 3).reshape(len(jobs), 2 * half, -1)
        values = run(np.ascontiguousarray(both))
        for (i, flipped, partner), row in zip(jobs, values, strict=True):
            own = interpolate_checkerboard(row[:half], window)
            maps[i] = own[:, ::-1] if flipped else own
            if partner >= 0:
                maps[partner] = interpolate_checkerboard(row[half:], window)[:, ::-1]

    def _view(self, view: int) -> tuple[list[tuple[int, bool, int]], list[CENPatch], Callable[[Array], Array]]:
        """Which expert looks at which areas (landmark, flipped, flipped partner or -1), and the runtime's function."""
        if view not in self._runners:
            jobs: list[tuple[int, bool, int]] = []
            patches: list[CENPatch] = []
            for i in map(int, np.flatnonzero(self._experts.visibility[view])):
                own, mirror = self._experts.patches[view][i], int(self._mirror_landmark[i])
                if view != 0:
                    other = self._experts.patches[int(self._mirror_view[view])][mirror]
                    jobs.append((i, not own.layers, -1))
                    patches.append(own if own.layers else other)
                elif own.layers:
                    jobs.append((i, False, -1 if mirror == i else mirror))
                    patches.append(own)
            if not patches or not all(patch.layers for patch in patches):
                expected = "a network or a mirrored one for every visible landmark"
                raise ContractError("patch_experts", "experts", expected, "an empty record for both")
            self._runners[view] = jobs, patches, self._make_runner(patches)
        return self._runners[view]
