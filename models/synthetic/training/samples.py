"""Rendered images kept on disk for training: memory-mapped arrays, rendered once, in shards, by processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.child_processes import end_with_parent
from auparity.models.synthetic.render import render_background, render_photograph
from auparity.models.synthetic.training.workspace import Workspace

Array = npt.NDArray[Any]

SHARD = 200  #: pictures that one task renders, and that an interrupted run loses at most
CANVAS = 320
FIELDS: dict[str, tuple[tuple[int, ...], Any]] = {
    "images": ((CANVAS, CANVAS, 3), np.uint8),
    "landmarks": ((68, 2), np.float32),
    "points_98": ((98, 2), np.float32),
    "landmarks_3d": ((68, 3), np.float32),
    "visible": ((68,), np.bool_),
    "eye_landmarks": ((2, 28, 2), np.float32),
    "eye_landmarks_3d": ((2, 28, 3), np.float32),
    "pose": ((6,), np.float32),
    "gaze": ((2, 3), np.float32),
    "aus": ((18,), np.float32),
}


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Pictures of one face each, with their truth; N first."""

    images: Array  #: (N, 320, 320, 3) uint8 BGR
    landmarks: Array  #: (N, 68, 2) px
    points_98: Array  #: (N, 98, 2) px, WFLW's
    landmarks_3d: Array  #: (N, 68, 3) mm, camera space
    visible: Array  #: (N, 68)
    eye_landmarks: Array  #: (N, 2, 28, 2) px
    eye_landmarks_3d: Array  #: (N, 2, 28, 3) mm
    pose: Array  #: (N, 6)
    gaze: Array  #: (N, 2, 3)
    aus: Array  #: (N, 18)

    def __len__(self) -> int:
        return int(self.images.shape[0])

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> PhotoSet:
        """A finished set."""
        return cls(**{name: np.load(Path(folder) / f"{name}.npy", mmap_mode="r") for name in FIELDS})


@dataclass(frozen=True)
class Framing:
    """How faces stand in the pictures of a set, see `render_photograph`."""

    face_width: tuple[float, float] = (50.0, 260.0)  #: px
    yaw: float = 70.0  #: degrees
    roll: float | None = None  #: degrees
    canvas: tuple[int, int] = (CANVAS, CANVAS)  #: width and height of the pictures, px

    def shape_of(self, field: str) -> tuple[int, ...]:
        """Of a field of `FIELDS`, of one picture."""
        return (self.canvas[1], self.canvas[0], 3) if field == "images" else FIELDS[field][0]


PORTRAITS = Framing()


def _render_shard(
    workspace: Workspace, folder: Path, framing: Framing, shard: int, first_seed: int, count: int
) -> int:  # fmt: skip
    heads = workspace.heads()
    arrays = {name: np.zeros((count, *framing.shape_of(name)), dtype) for name, (_, dtype) in FIELDS.items()}
    for k in range(count):
        picture = render_photograph(
            first_seed + shard * SHARD + k, canvas=framing.canvas, face_width=framing.face_width, yaw=framing.yaw,
            roll=framing.roll, heads=heads,
        )  # fmt: skip
        truth = picture.truth
        assert truth is not None
        arrays["images"][k] = picture.image
        for name in FIELDS:
            if name != "images":
                arrays[name][k] = getattr(truth, name)
    for name, values in arrays.items():
        stored = np.load(folder / f"{name}.npy", mmap_mode="r+")
        stored[shard * SHARD : shard * SHARD + count] = values
        stored.flush()
    (folder / f"shard_{shard:04d}.done").touch()
    return shard


def photo_set(
    workspace: Workspace, name: str, count: int, first_seed: int, processes: int = 2, framing: Framing = PORTRAITS
) -> PhotoSet:
    """The set of this name, rendering what is missing."""
    folder = workspace.folder / name
    folder.mkdir(exist_ok=True)
    for field, (_, dtype) in FIELDS.items():
        path, shape = folder / f"{field}.npy", (count, *framing.shape_of(field))
        if not path.is_file():
            np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape).flush()
    shards = [(k, min(SHARD, count - k * SHARD)) for k in range(-(-count // SHARD))]
    missing = [(k, n) for k, n in shards if not (folder / f"shard_{k:04d}.done").is_file()]
    if missing:
        workspace.log(f"{name}: rendering {sum(n for _, n in missing)} of {count} pictures")
        with ProcessPoolExecutor(processes, initializer=end_with_parent) as pool:
            futures = [pool.submit(_render_shard, workspace, folder, framing, k, first_seed, n) for k, n in missing]
            for number, future in enumerate(futures):
                future.result()
                if number % 5 == 4 or number == len(futures) - 1:
                    workspace.log(f"{name}: {number + 1} of {len(futures)} shards")
    return PhotoSet.open(folder)


def joined(workspace: Workspace, name: str, sets: Sequence[PhotoSet]) -> PhotoSet:
    """The set of this name that has the pictures of several sets, one after the other; made if it is missing."""
    folder = workspace.folder / name
    done = folder / "joined.done"
    if not done.is_file():
        folder.mkdir(exist_ok=True)
        count = sum(map(len, sets))
        for field, (shape, dtype) in FIELDS.items():
            stored = np.lib.format.open_memmap(
                folder / f"{field}.npy", mode="w+", dtype=dtype, shape=(count, *shape)
            )  # fmt: skip
            first = 0
            for photos in sets:
                stored[first : first + len(photos)] = getattr(photos, field)
                first += len(photos)
            stored.flush()
        done.touch()
    return PhotoSet.open(folder)


def background_set(
    workspace: Workspace, name: str, count: int, first_seed: int, canvas: tuple[int, int] = PORTRAITS.canvas
) -> Array:  # fmt: skip
    """(M, H, W, 3) uint8 pictures without a face, of a canvas of (W, H) px."""
    if not workspace.has(name):
        workspace.log(f"{name}: rendering {count} backgrounds")
        images = np.stack([render_background(first_seed + k, canvas, workspace.heads()).image for k in range(count)])
        workspace.save(name, images=images)
    return workspace.load(name)["images"]
