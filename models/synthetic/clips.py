"""Clips: one person whose pose, gaze and action units change over time, with stretches of rest between expressions.

An expression has an onset, an apex and an offset (0.2 to 1.5 s each); several may overlap; blinks come by themselves.
Rest takes about a third of the time, so that a clip's running medians are the person's neutral face.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.backdrop import Film
from auparity.models.synthetic.heads import Heads
from auparity.models.synthetic.person import PROTOTYPES, reconcile
from auparity.models.synthetic.render import DRAWN, camera_for, render_shot
from auparity.models.synthetic.scene import Light, Shot
from auparity.models.synthetic.surface import step
from auparity.models.synthetic.types import AU_NAMES, Picture, RenderCamera

Array = npt.NDArray[Any]

FPS = 30.0
UPPER_FACE = ("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU45")
LOWER_FACE = tuple(name for name in AU_NAMES if name not in UPPER_FACE)
CLIP_STRENGTH = 0.5  #: of the camera's faults: video of a webcam, not the worst photographs


@dataclass(frozen=True, eq=False)
class Script:
    """What happens in a clip, frame by frame."""

    aus: Array  #: (T, 18)
    gaze: Array  #: (T, 2) rad
    rotation: Array  #: (T, 3) rad
    offset: Array  #: (T, 3) share of the head's width across and down, and of its distance


def _smooth_path(rng: np.random.Generator, frames: int, scale: Array, seconds: float) -> Array:
    """(T, len(scale)) smooth random motion that starts near 0; a turning point every so many seconds."""
    knots = int(frames / (seconds * FPS)) + 4
    values = rng.normal(0, 1, (knots, len(scale))) * scale
    values[0] *= 0.2
    place = np.arange(frames) / (seconds * FPS)
    index = place.astype(int)
    t = step(place - index)[:, None]
    return values[index] * (1 - t) + values[index + 1] * t


def _envelope(rng: np.random.Generator, start: int, frames: int, quick: bool) -> tuple[Array, int]:
    """(T,) rise, hold and fall of an expression, and its last frame."""
    rise, hold, fall = (
        (rng.uniform(2, 3), rng.uniform(0, 3), rng.uniform(2, 4)) if quick else rng.uniform([6, 6, 6], [20, 40, 22])
    )
    t = np.arange(frames)
    return step((t - start) / rise) * (1 - step((t - start - rise - hold) / fall)), int(start + rise + hold + fall)


def _turns(track: tuple[str, ...], seed: int) -> list[int]:
    """The order in which a clip shows the action units of a track.

    As many clips as there are units share a shuffled order and begin at another place of it each: over consecutive
    seeds every unit comes first, second, third equally often, so that a few short clips show all of them.
    """
    number, place = divmod(seed, len(track))
    order = [int(k) for k in np.random.default_rng([29, len(track), number]).permutation(len(track))]
    return order[place:] + order[:place]


#: Fractions of multiples of this lie evenly whatever their number (the reference ratio's, as in Weyl sequences).
EVENLY = 0.6180339887498949


def _play(rng: np.random.Generator, track: tuple[str, ...], seed: int, aus: Array) -> None:
    """Expressions of one half of the face, one after another with rests between, written into aus (T, 18).

    Strengths are spread evenly over consecutive seeds, as the turns are.
    """
    frames, order, spread = len(aus), _turns(track, seed), seed * EVENLY
    position = int(rng.uniform(0.05, 0.25) * frames)
    while position < frames:
        if track is LOWER_FACE and rng.random() < 0.3:
            names = list(PROTOTYPES[int(rng.integers(len(PROTOTYPES)))])
        else:  # every action unit gets its turn
            names = [track[order[k]] for k in range(int(rng.integers(1, 3)))]
            order = order[len(names) :] + order[: len(names)]
        strength, end = 1.0 + 4.0 * (spread % 1.0), position
        spread += 0.5
        for name in names:
            begin = position + int(rng.integers(0, 6))
            shape, last = _envelope(rng, begin, frames, quick=name == "AU45" and len(names) == 1)
            column = AU_NAMES.index(name)
            aus[:, column] = np.maximum(aus[:, column], shape * np.clip(strength * rng.uniform(0.6, 1.3), 0, 5))
            end = max(end, last)
        # The next expression may begin before this one is over, or after a rest.
        position = (
            end + int(rng.uniform(4, 40)) if rng.random() < 0.75 else max(position + 8, end - int(rng.uniform(4, 12)))
        )


def write_script(rng: np.random.Generator, seed: int, frames: int) -> Script:
    """A random script; the seed decides which action units have their turn first."""
    aus = np.zeros((frames, len(AU_NAMES)))
    for track in (UPPER_FACE, LOWER_FACE):  # the two halves of a face go their own ways
        _play(rng, track, seed, aus)
    blink = int(rng.uniform(10, 60))
    while blink < frames:
        shape, _ = _envelope(rng, blink, frames, quick=True)
        aus[:, AU_NAMES.index("AU45")] = np.maximum(aus[:, AU_NAMES.index("AU45")], 5 * shape)
        blink += int(rng.uniform(45, 140))
    gaze = np.zeros((frames, 2))
    start = 0
    while start < frames:  # fixations with jumps between them
        gaze[start:] = np.clip(rng.normal(0, 1, 2) * [0.2, 0.1], -0.45, 0.45)
        start += int(rng.uniform(12, 50))
    return Script(
        aus=np.clip(reconcile(aus), 0, 5),
        gaze=gaze,
        rotation=_smooth_path(rng, frames, np.radians([7.0, 16.0, 5.0]), 1.3),
        offset=_smooth_path(rng, frames, np.array([0.10, 0.07, 0.035]), 1.6),
    )


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip before it is rendered."""

    person: Any  #: of `heads`
    script: Script
    light: Light
    film: Film
    camera: RenderCamera
    distance: float  #: mm
    behind: Array
    seed: int
    heads: Heads = DRAWN
    asides: Array | None = None  #: (T, A) movements beside the action units

    def frame(self, index: int) -> Picture:
        """Render one frame."""
        script = self.script
        across, down, away = script.offset[index]
        distance = self.distance * (1 + away)
        shot = Shot(
            aus=script.aus[index],
            gaze=script.gaze[index],
            rotation=script.rotation[index],
            translation=np.array([across * 150, down * 150, distance]),
            camera=self.camera,
            light=self.light,
            trunk=0.35 * script.rotation[index] * [0.4, 1, 0.5],
            asides=None if self.asides is None else self.asides[index],
        )
        image, truth = render_shot(self.person, shot, self.behind, self.heads)
        return Picture(self.film.expose(image, np.random.default_rng([23, self.seed, index])), truth)


def make_clip(
    seed: int,
    n_frames: int = 120,
    *,
    canvas: tuple[int, int] = (320, 240),
    face_width: tuple[float, float] = (105.0, 145.0),
    heads: Heads = DRAWN,
) -> Clip:
    """The clip of a seed; see `render_clip`."""
    rng = np.random.default_rng([17, seed])
    width, height = canvas
    face_px = float(rng.uniform(*face_width))
    camera, distance = camera_for(face_px, width, height, rng)
    return Clip(
        heads.person(10_000_000 + seed),
        write_script(rng, seed, n_frames),
        heads.light(rng),
        Film.sample(rng, face_px, CLIP_STRENGTH),
        camera,
        distance,
        heads.background(rng, height, width),
        seed,
        heads,
        heads.asides(rng, n_frames),
    )


def render_clip(
    seed: int,
    n_frames: int = 120,
    *,
    canvas: tuple[int, int] = (320, 240),
    face_width: tuple[float, float] = (105.0, 145.0),
    heads: Heads = DRAWN,
) -> Iterator[Picture]:
    """Frames of a clip with their truth, one after another.

    Parameters
    ----------
    seed : the same seed gives the same clip.
    n_frames : at 30 frames a second.
    canvas : width and height, px.
    face_width : range of the width of the face when it looks into the camera, px.
    heads : where the person comes from.
    """
    clip = make_clip(seed, n_frames, canvas=canvas, face_width=face_width, heads=heads)
    for index in range(n_frames):
        yield clip.frame(index)
