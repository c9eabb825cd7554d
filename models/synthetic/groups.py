"""Rendered clips of several people who walk, pass in front of one another, leave and come back, with their truth.

A person is drawn without a background by `render_layer`, in a window around head and chest, and laid over the picture,
the farthest person first, so that a nearer one hides a farther one; nobody casts a shadow on anybody. Expression, gaze
and pose of the head change ten times a second; between that, the drawn person moves by whole pixels, and the truth
moves with it. Light, camera and background are the same for all. In: a scene and a seed, which decide everything; out:
pictures (H, W, 3) uint8 BGR, and for each person the identity, the landmarks, their box and which the picture shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.errors import ContractError
from auparity.models.synthetic.backdrop import Film, background
from auparity.models.synthetic.clips import CLIP_STRENGTH, Script, write_script
from auparity.models.synthetic.person import Person
from auparity.models.synthetic.render import render_layer
from auparity.models.synthetic.scene import NOMINAL_FACE, Light, Shot
from auparity.models.synthetic.surface import step
from auparity.models.synthetic.types import RenderCamera

Array = npt.NDArray[Any]

#: Person seeds start here, beyond those of clips and of training; each seed of a group has so many people.
PERSON_SEEDS, PEOPLE_OF_A_SEED = 20_000_000, 100
FOCAL = 1.3  #: of the camera, picture widths: a webcam's
#: What is drawn of a person around the head's origin, mm: to the sides, up, down (the chest), and towards the camera.
SIDE, UP, DOWN, NEAR = 260.0, 220.0, 260.0, 130.0
HOLD = 3  #: frames for which a drawn person is kept, because drawing takes about ten times as long as measuring
OUTSIDE = 1.8  #: face widths beyond the border at which nothing of a person is in the picture
FILM_FACE = 100.0  #: px, to which the blur of the camera is proportioned


@dataclass(frozen=True, eq=False)
class Member:
    """One person of a group: who it is, what the face does, and where it is when."""

    identity: int
    person: Person
    script: Script
    track: Array  #: (T, 3) x and y of the head px, width of the face px; NaN while away


@dataclass(frozen=True, eq=False)
class SeenPerson:
    """The truth of one person in one picture."""

    identity: int
    landmarks: Array  #: (68, 2) px
    shown: Array  #: (68,) bool: the landmark is inside the picture and hidden by nobody else

    @property
    def share(self) -> float:
        """Share of the 68 landmarks that the picture shows, 0 to 1; what the head itself hides counts as shown."""
        return float(self.shown.mean())

    @property
    def box(self) -> Array:
        """(4,) x, y, width, height of the box tight around the 68 landmarks, px."""
        low, high = self.landmarks.min(axis=0), self.landmarks.max(axis=0)
        return np.concatenate([low, high - low])


@dataclass(frozen=True, eq=False)
class _Sprite:
    """A drawn person, to be laid over pictures."""

    start: int  #: frame in which it was drawn
    layer: Array  #: (h, w, 4) float32, BGR times coverage and coverage
    corner: Array  #: (2,) int, px of its top left pixel in that frame
    landmarks: Array  #: (68, 2) px in that frame


@dataclass(frozen=True, eq=False)
class GroupPicture:
    """A picture of several people and its truth."""

    image: Array  #: (H, W, 3) uint8 BGR
    people: tuple[SeenPerson, ...]  #: everybody who is not away, by identity


@dataclass(frozen=True, eq=False)
class Group:
    """A clip of several people before it is rendered."""

    members: tuple[Member, ...]
    light: Light
    film: Film
    camera: RenderCamera
    behind: Array  #: (H, W, 3) float32 BGR, 0 to 1
    seed: int
    _latest: dict[int, _Sprite] = field(init=False, repr=False, default_factory=dict)  #: by identity

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.members[0].track)

    def frame(self, index: int) -> GroupPicture:
        """Render one frame; the same index gives the same picture in whatever order frames are asked for."""
        image, seen = self.behind.copy(), list[SeenPerson]()
        present = [member for member in self.members if not np.isnan(member.track[index, 0])]
        for member in sorted(present, key=lambda member: member.track[index, 2]):  # the farthest first
            sprite = self._sprite(member, index)
            moved = np.round(member.track[index, :2] - member.track[sprite.start, :2]).astype(int)
            covered = _lay_over(image, sprite, moved)
            landmarks = sprite.landmarks + moved
            seen = [_hidden_by(covered, other) for other in seen]
            seen.append(SeenPerson(member.identity, landmarks, _inside(landmarks, image)))
        exposed = self.film.expose(image, np.random.default_rng([31, self.seed, index]))
        return GroupPicture(exposed, tuple(sorted(seen, key=lambda person: person.identity)))

    def _sprite(self, member: Member, index: int) -> _Sprite:
        """The person as drawn last: at every `HOLD`-th frame and at the beginning of a visit."""
        start = index
        while start % HOLD and not np.isnan(member.track[start - 1, 0]):
            start -= 1
        sprite = self._latest.get(member.identity)
        if sprite is None or sprite.start != start:
            sprite = self._latest[member.identity] = _draw(member, self, start)
        return sprite


def _draw(member: Member, group: Group, index: int) -> _Sprite:
    """The person of a frame, as far as the picture may show it before the next one is drawn."""
    x, y, face_px = member.track[index]
    camera, script = group.camera, member.script
    distance = camera.focal * NOMINAL_FACE / face_px
    place = np.array([x - camera.centre_x, y - camera.centre_y]) * distance / camera.focal
    scale = camera.focal / (distance - NEAR)
    nearest = place * scale + [camera.centre_x, camera.centre_y]  # the origin, were it as near as the nose
    low = np.minimum(nearest, [x, y]) - scale * np.array([SIDE, UP])
    high = np.maximum(nearest, [x, y]) + scale * np.array([SIDE, DOWN])
    corner = np.floor(low).astype(int)
    width, height = (int(v) for v in np.ceil(high).astype(int) - corner)
    shot = Shot(
        aus=script.aus[index],
        gaze=script.gaze[index],
        rotation=script.rotation[index],
        translation=np.array([*place, distance]),
        camera=RenderCamera(camera.focal, camera.centre_x - corner[0], camera.centre_y - corner[1]),
        light=group.light,
        trunk=0.35 * script.rotation[index] * [0.4, 1, 0.5],
    )
    layer, truth = render_layer(member.person, shot, height, width)
    return _Sprite(index, layer, corner, truth.landmarks + corner)


def _lay_over(image: Array, sprite: _Sprite, moved: Array) -> Array:
    """Lay a person over the picture; (H, W) bool, the pixels that the person covers, if only in part."""
    height, width = image.shape[:2]
    covered = np.zeros((height, width), bool)
    left, top = sprite.corner + moved
    rows = slice(*np.clip([top, top + sprite.layer.shape[0]], 0, height))
    columns = slice(*np.clip([left, left + sprite.layer.shape[1]], 0, width))
    layer = sprite.layer[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    if layer.size:
        image[rows, columns] = layer[..., :3] + (1 - layer[..., 3:]) * image[rows, columns]
        covered[rows, columns] = layer[..., 3] > 0
    return covered


def _inside(landmarks: Array, image: Array) -> Array:
    cells = np.round(landmarks)
    width, height = image.shape[1], image.shape[0]
    x, y = cells[:, 0], cells[:, 1]
    inside: Array = np.logical_and.reduce([x >= 0, y >= 0, x < width, y < height])
    return inside


def _hidden_by(covered: Array, other: SeenPerson) -> SeenPerson:
    """The truth of a person after somebody nearer was drawn."""
    shown = other.shown.copy()
    cells = np.round(other.landmarks[shown]).astype(int)
    shown[shown] = ~covered[cells[:, 1], cells[:, 0]]
    return replace(other, shown=shown)


def walk(frames: int, *visits: Sequence[tuple[float, float, float, float]]) -> Array:
    """(T, 3) x, y, face width px of a person who goes from place to place, NaN between and beside the visits.

    Each visit is a list of (frame, x, y, face width); between two of them the motion starts and ends gently.
    """
    track = np.full((frames, 3), np.nan)
    for visit in visits:
        for (start, *begin), (end, *stop) in pairwise(visit):
            t = np.arange(max(int(start), 0), min(int(end) + 1, frames))
            share = step((t - start) / max(end - start, 1))[:, None]
            track[t] = (1 - share) * np.array(begin) + share * np.array(stop)
    return track


@dataclass(frozen=True)
class Scene:
    """What happens in a kind of clip."""

    what: str
    canvas: tuple[int, int]  #: width and height, px
    tracks: Callable[[np.random.Generator], list[Array]]  #: of each person, (T, 3)


def _cross(rng: np.random.Generator) -> list[Array]:
    """Two people go past each other, from side to side; the nearer hides the other for a moment."""
    y, near, far = rng.uniform(150, 175), rng.uniform(104, 116), rng.uniform(82, 94)
    begin, length = rng.uniform(25, 35), rng.uniform(40, 60)
    sides = [(150.0, 490.0), (490.0, 150.0)]
    return [
        walk(120, [(0, a, y, px), (begin, a, y, px), (begin + length, b, y, px), (119, b, y, px)])
        for (a, b), px in zip(sides, (near, far), strict=True)
    ]


def _leaves(rng: np.random.Generator) -> tuple[Array, list[tuple[float, float, float, float]], float, float]:
    """Who stays on the left of the middle; the visit of who leaves to the right until frame 70; height and width."""
    y, px = rng.uniform(145, 180), rng.uniform(84, 108)
    stays = walk(210, [(0, 240, rng.uniform(145, 180), 96), (209, 260, 165, 96)])
    begin, gone = rng.uniform(30, 40), 640 + OUTSIDE * px
    return stays, [(0, 480, y, px), (begin, 480, y, px), (70, gone, y, px)], y, px


def _return(rng: np.random.Generator) -> list[Array]:
    """One of two leaves to the right and comes back two seconds later from the left."""
    stays, leaving, _, px = _leaves(rng)
    y = rng.uniform(145, 180)
    back: list[tuple[float, float, float, float]] = [(130, -OUTSIDE * px, y, px), (165, 100, y, px), (209, 100, y, px)]
    return [stays, walk(210, leaving, back)]


def _stranger(rng: np.random.Generator) -> list[Array]:
    """One of two leaves, and two seconds later a stranger comes from the same side to the same place."""
    stays, leaving, y, px = _leaves(rng)
    gone = 640 + OUTSIDE * px
    return [stays, walk(210, leaving), walk(210, [(130, gone, y, px), (165, 480, y, px), (209, 480, y, px)])]


def _ten(rng: np.random.Generator) -> list[Array]:
    """Ten people in two rows: two leave at opposite sides and come back in each other's place, one to the own place."""
    places = [
        (128 + 256 * column + rng.uniform(-12, 12), y + rng.uniform(-14, 14), px + rng.uniform(-4, 4))
        for y, px in ((185, 72), (455, 84))
        for column in range(5)
    ]
    tracks = [walk(150, [(0, *place), (149, *place)]) for place in places]
    left, right, own = places[0], places[4], places[9]

    def beyond(place: tuple[float, float, float], side: int) -> tuple[float, float, float]:
        return (-OUTSIDE * place[2] if side < 0 else 1280 + OUTSIDE * place[2], place[1], place[2])

    for number, home, exit_side, other, start, back in (
        (0, left, -1, right, 25, 75), (4, right, 1, left, 30, 82), (9, own, 1, own, 28, 88)
    ):  # fmt: skip
        going = [(0, *home), (start, *home), (start + 22, *beyond(home, exit_side))]
        arrival = beyond(other, -exit_side if other is not home else exit_side)
        tracks[number] = walk(150, going, [(back, *arrival), (back + 25, *other), (149, *other)])
    return tracks


SCENES: dict[str, Scene] = {
    "cross": Scene("two people who cross", (640, 360), _cross),
    "return": Scene("one of two leaves and comes back elsewhere", (640, 360), _return),
    "stranger": Scene("one of two leaves and a stranger comes", (640, 360), _stranger),
    "ten": Scene("ten people, three of whom leave and come back", (1280, 720), _ten),
}


def make_group(scene: Scene, seed: int) -> Group:
    """The clip of a scene and a seed, before it is rendered.

    Raises
    ------
    ContractError : the scene has nobody or more people than seeds are kept for, or tracks of unequal length.
    """
    rng = np.random.default_rng([37, seed])
    width, height = scene.canvas
    tracks = scene.tracks(rng)
    if not 1 <= len(tracks) <= PEOPLE_OF_A_SEED or len({track.shape for track in tracks}) != 1:
        raise ContractError("groups", "tracks", "1 to 100 tracks of equal shape (T, 3)", str([t.shape for t in tracks]))
    people = range(len(tracks))
    seeds = [PERSON_SEEDS + PEOPLE_OF_A_SEED * seed + k for k in people]
    scripts = [write_script(rng, seeds[k], len(tracks[k])) for k in people]
    members = [Member(k, Person.sample(seeds[k]), scripts[k], tracks[k]) for k in people]
    return Group(
        tuple(members),
        Light.sample(rng),
        Film.sample(rng, FILM_FACE, CLIP_STRENGTH),
        RenderCamera(FOCAL * width, width / 2, height / 2),
        background(rng, height, width),
        seed,
    )


def still_scene(people: int, frames: int, canvas: tuple[int, int] = (960, 540)) -> Scene:
    """People who stand beside each other, in one row or, beyond six, in two; faces 90 px wide where there is room."""
    rows = 1 if people <= 6 else 2
    columns = -(-people // rows)
    width, height = canvas
    px = min(90.0, 0.4 * width / columns)

    def tracks(rng: np.random.Generator) -> list[Array]:
        places = [
            ((k % columns + 0.5) * width / columns, (0.4 if rows == 1 else 0.26 + 0.38 * (k // columns)) * height,
             px * (1 + 0.1 * (k // columns)))
            for k in range(people)
        ]  # fmt: skip
        return [walk(frames, [(0, *place), (max(frames - 1, 1), *place)]) for place in places]

    return Scene(f"{people} people who stand still", canvas, tracks)


def render_group(group: Group) -> Iterator[GroupPicture]:
    """Frames of a clip with their truth, one after another, at 30 a second."""
    for index in range(len(group)):
        yield group.frame(index)
