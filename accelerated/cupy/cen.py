"""CEN responses on a GPU (spec 40.7): which expert looks where, and its weights in the order in which it is read.

A row is one position of one area. The rows that an expert sees in a view, of all faces that show it, are one product
after another, fused in a kernel that is compiled for the experts' layer sizes. How many rows a block takes follows from
how many there are; results do not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.accelerated.cupy.device import Device
from auparity.accelerated.cupy.launch import MOST_SHARED_BYTES
from auparity.accelerated.cupy.place import Places, pixel_define
from auparity.errors import ContractError
from auparity.models.types import CENExperts, CENPatch

Array = npt.NDArray[Any]

STAGE = "patch_experts"
#: As in cen.cuh: units of a thread, rows of weights that it reads beyond the end, areas of a task.
TILE, AHEAD, PAIR = 4, 4, 2
LEAST_LAYERS = 3
IDENTITY, SIGMOID, RELU = 1, 0, 2
#: Units of the first layer at a time: with 8 rows a thread, 160 threads have all tiles of 48 rows.
MOST_CHUNK = 104
#: Rows of a block, the fastest first; fewer where that would leave multiprocessors of a large GPU without a block.
ROWS, ENOUGH_BLOCKS = (48, 24, 12), 132
LANES, LEAST_THREADS, MOST_THREADS = 32, 64, 512
OTHER_THREADS = 256  # of the small kernels
FLOAT = 4  # bytes


def _groups(units: int) -> int:
    return -(-units // TILE)


@dataclass(frozen=True)
class Form:
    """Sizes of an expert's network: at least three layers, of which the last has one unit."""

    support: int  #: side of its patches, px
    units: tuple[int, ...]
    activations: tuple[int, ...]

    @classmethod
    def of(cls, patch: CENPatch) -> Form:
        """The form of an expert; layers that pass their one input on are added to make up three.

        Raises
        ------
        ContractError : a patch that is not square, layers that do not fit each other, more than one output.
        """
        sizes = [layer.weights.shape for layer in patch.layers]
        fits = sizes[0][1] == 1 + patch.height * patch.width and sizes[-1][0] == 1
        if patch.height != patch.width or not fits or any(a[0] != b[1] for a, b in pairwise(sizes)):
            got = f"a patch of {patch.height} x {patch.width} px and weights of shapes {sizes}"
            raise ContractError(STAGE, "experts", "a square patch and layers from its pixels to one response", got)
        more = max(0, LEAST_LAYERS - len(sizes))
        kinds = (layer.activation if layer.activation in (SIGMOID, RELU) else IDENTITY for layer in patch.layers)
        return cls(patch.height, (*(s[0] for s in sizes), *(1,) * more), (*kinds, *(IDENTITY,) * more))

    @property
    def chunk(self) -> int:
        """Units of the first layer at a time."""
        chunks = -(-self.units[0] // MOST_CHUNK)
        return TILE * _groups(-(-self.units[0] // chunks))

    @property
    def threads(self) -> int:
        """Of a block: enough for tiles of 8 of 48 rows, or of 16 where a layer is wide."""
        groups = [self.chunk // TILE, *map(_groups, self.units[1:-1])]
        most = max(6 * g if g <= LANES else 3 * g for g in groups)
        return max(LEAST_THREADS, -(-most // LANES) * LANES)

    def shared_bytes(self, rows: int, window: int) -> int:
        """Of a block of so many rows: the inputs with areas or a chunk behind them, or a later layer's values."""
        half, side, stride = _half(window), window + self.support - 1, rows + TILE
        areas = -(-(rows - 1) // half) + 1
        behind = max(self.chunk * stride, areas * side * side)
        later = max(TILE * _groups(units) for units in self.units[1:-1])
        return FLOAT * max(self.support**2 * stride + behind, later * stride)

    def defines(self, rows: int) -> dict[str, int | float | str]:
        """What the kernel is compiled for."""
        units, activations = ("".join(f"_({value})" for value in values) for values in (self.units, self.activations))
        return {
            "SUPPORT": self.support, "UNITS": units, "ACTIVATIONS": activations, "CHUNK": self.chunk, "ROWS": rows,
            "THREADS": self.threads,
        }  # fmt: skip

    def pack(self, patch: CENPatch) -> Array:
        """The weights of an expert of this form as one array (floats,) float32, see cen.cuh: start_of."""
        layers = [
            (np.asarray(layer.weights, np.float32), np.asarray(layer.bias, np.float32).reshape(-1, 1))
            for layer in patch.layers
        ]
        layers += [(np.ones((1, 1), np.float32), np.zeros((1, 1), np.float32))] * (len(self.units) - len(layers))
        rows = [np.concatenate(layer, axis=1) for layer in layers]  # of a unit: its inputs' weights, then its bias
        first, chunk = rows[0], self.chunk
        parts = [_turned(first[k : k + chunk], chunk // TILE) for k in range(0, len(first), chunk)]
        parts += [_turned(layer, _groups(len(layer))) for layer in rows[1:-1]]
        parts.append(rows[-1])
        packed = np.concatenate([part.reshape(-1) for part in parts])
        return np.pad(packed, (0, -packed.size % TILE))


def _turned(rows: Array, groups: int) -> Array:
    """(units, inputs) to (inputs, groups * 4): a thread's four units, `groups` apart, next to each other."""
    padded = np.zeros((TILE * groups, rows.shape[1]), np.float32)
    padded[: len(rows)] = rows
    return padded.reshape(TILE, groups, -1).transpose(2, 1, 0)


def _half(window: int) -> int:
    """Positions of a map that are evaluated."""
    return (window * window - 1) // 2


class CENScaleBatch:
    """The CEN experts of one scale, as reference/patch_experts.CENScale.

    Raises
    ------
    ContractError : networks of different forms, or a landmark that has neither an expert nor a mirrored one.
    """

    def __init__(self, device: Device, experts: CENExperts, mirrors: CENExperts) -> None:
        self._device, self._experts = device, experts
        # Each file overwrites the mirror tables of the one before it (spec 10.6).
        self._mirror_landmark, self._mirror_view = mirrors.mirror_landmarks.ravel(), mirrors.mirror_views.ravel()
        sources = [self._sources(view) for view in range(len(experts.patches))]
        used = sorted({key for of_view in sources for key, _ in of_view.values()})
        patches = [experts.patches[view][landmark] for view, landmark in used]
        forms = {Form.of(patch) for patch in patches}
        if len(forms) != 1:
            raise ContractError(STAGE, "experts", "networks of one form at a scale", f"{len(forms)} forms")
        (self.form,) = forms
        if self.form.threads > MOST_THREADS or self.form.shared_bytes(ROWS[-1], 3) > MOST_SHARED_BYTES:
            raise ContractError(STAGE, "experts", "networks that fit into shared memory", f"layers {self.form.units}")
        numbers = {key: number for number, key in enumerate(used)}
        self._tasks = device.upload(_tasks(sources, numbers))
        table = np.zeros(np.shape(experts.visibility), np.uint8)
        for view, of_view in enumerate(sources):
            for landmark, (_, mirrored) in of_view.items():
                table[view, landmark] = 2 if mirrored else 1
        self._sources_table = device.upload(table)
        slack = np.zeros(AHEAD * TILE * max(map(_groups, (self.form.chunk, *self.form.units[1:]))), np.float32)
        self._weights = device.upload(np.concatenate([*map(self.form.pack, patches), slack]))

    @property
    def support(self) -> int:
        """Side of its patches, px."""
        return self.form.support

    def _sources(self, view: int) -> dict[int, tuple[tuple[int, int], bool]]:
        """For each landmark that gets a map: its expert (view, landmark), and whether that looks at a mirrored area."""
        sources: dict[int, tuple[tuple[int, int], bool]] = {}
        patches = self._experts.patches
        for i in map(int, np.flatnonzero(self._experts.visibility[view])):
            mirror = int(self._mirror_landmark[i])
            if patches[view][i].layers:
                sources[i] = (view, i), False
                if view == 0 and mirror != i:  # frontal pairs: one expert serves both
                    sources[mirror] = (view, i), True
            elif view != 0:
                other = int(self._mirror_view[view])
                if not patches[other][mirror].layers:
                    expected = "a network or a mirrored one"
                    raise ContractError(STAGE, "experts", expected, f"none for view {view}, landmark {i}")
                sources[i] = (other, mirror), True
        return sources

    def responses(self, gray: Any, frame: Any, places: Places, window: int) -> Any:
        """Maps (B, n, w, w) float32 of faces at `places` in their images (S, H, W), all on the device."""
        count, n, _ = places.landmarks.shape
        values = self._device.empty((count, n, max(1, _half(window))), np.float32)
        if window > 1:
            self._evaluate(gray, frame, places, window, values)
        maps = self._device.empty((count, n, window, window), np.float32)
        self._small_kernel("cen_maps")(
            (-(-count * n * window * window // OTHER_THREADS),), (OTHER_THREADS,),
            (
                values, places.view, places.good, self._sources_table, np.int32(n), np.int32(window),
                np.int32(count * n), maps,
            ),
        )  # fmt: skip
        return maps

    def _small_kernel(self, name: str) -> Any:
        return self._device.kernel("cen", name, **self.form.defines(ROWS[0]))

    def _evaluate(self, gray: Any, frame: Any, places: Places, window: int, values: Any) -> None:
        """Responses at odd positions (spec 40.7) into values (B, n, half)."""
        (count, n, _), (views, tasks, _) = places.landmarks.shape, self._tasks.shape
        order, starts = self._device.empty(count, np.int32), self._device.empty(views + 1, np.int32)
        self._small_kernel("group_by_view")(
            (-(-(count + views + 1) // OTHER_THREADS),), (OTHER_THREADS,),
            (places.view, places.good, np.int32(count), np.int32(views), order, starts),
        )  # fmt: skip
        rows = self._rows(count * n, window)
        # However the faces are spread over views, each with rows of its own to be rounded up.
        blocks = (PAIR * count * _half(window) + min(views, count) * (rows - 1)) // rows
        self._device.kernel("cen", "cen_responses", **self.form.defines(rows), **pixel_define(gray))(
            (blocks, tasks), (self.form.threads,),
            (
                gray, np.int32(gray.shape[1]), np.int32(gray.shape[2]), frame, places.landmarks, places.ref_to_img,
                np.int32(n), order, starts, np.int32(views), self._tasks, self._weights, np.int32(window), values,
            ),
            shared_bytes=self.form.shared_bytes(rows, window),
        )  # fmt: skip

    def _rows(self, maps: int, window: int) -> int:
        """Rows of a block: as many as keep all of a large GPU busy and fit into shared memory."""
        fitting = [rows for rows in ROWS if self.form.shared_bytes(rows, window) <= MOST_SHARED_BYTES]
        enough = (rows for rows in fitting[:2] if maps * _half(window) >= rows * ENOUGH_BLOCKS)
        # Blocks of the fewest rows would read weights more often than it helps.
        return next(enough, (fitting[:2] or ROWS)[-1])


def _tasks(sources: list[dict[int, tuple[tuple[int, int], bool]]], numbers: dict[tuple[int, int], int]) -> Array:
    """(views, tasks, 6) int32: an expert, how many areas of a face it sees, of each its landmark and if it is mirrored.

    Tasks of two areas come first; a view with fewer tasks than others ends in empty ones.
    """
    by_view = []
    for of_view in sources:
        areas: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for landmark, (key, mirrored) in sorted(of_view.items()):
            areas.setdefault(key, []).append((landmark, int(mirrored)))
        rows = []
        for key, seen in areas.items():
            for k in range(0, len(seen), PAIR):
                pair = seen[k : k + PAIR]
                flat = [value for area in pair for value in area]
                rows.append([numbers[key], len(pair), *flat, *[0] * (2 * PAIR - len(flat))])
        by_view.append(sorted(rows, key=lambda row: -row[1]))
    out = np.zeros((len(sources), max(1, *map(len, by_view)), 2 + 2 * PAIR), np.int32)
    for view, rows in enumerate(by_view):
        if rows:
            out[view, : len(rows)] = rows
    return out
