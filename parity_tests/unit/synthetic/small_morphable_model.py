"""A made-up morphable model of the form of ICT-FaceKit's file, small enough for tests: an egg with landmarks.

It has every part that the renderer asks of a model (face, head, mouth, eye sockets, gums, teeth, eyeballs), five
identity components and a shape for each movement that a test looks at. Nothing of it is taken from anybody's model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.morphable.model_file import Layout
from auparity.models.synthetic.surface import head_surface

Array = npt.NDArray[Any]

ROWS, COLUMNS = 33, 44
EYES_CM = np.array([[-3.1, 2.9, 5.2], [3.1, 2.9, 5.2]])  #: x to the person's left, y up, z out of the face
EYE_CM = 1.45
SIDES = ("_L", "_R")


def _egg() -> tuple[Array, Array]:
    """(V, 3) cm of a closed grid round the head and its quads (P, 4), counter-clockwise from outside."""
    down, round_ = np.meshgrid(
        np.linspace(0.06, np.pi - 0.35, ROWS), np.linspace(-np.pi, np.pi, COLUMNS, False), indexing="ij"
    )
    points = np.stack(
        [7.6 * np.sin(down) * np.sin(round_), 12.0 * np.cos(down) + 1, 8.5 * np.sin(down) * np.cos(round_)], -1
    )
    index = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    right = np.roll(index, -1, axis=1)
    quads = np.stack([index[:-1], index[1:], right[1:], right[:-1]], -1)
    return points.reshape(-1, 3), quads.reshape(-1, 4)


def _landmarks(points: Array) -> Array:
    """(68,) vertices, moved in place to where the drawn head has its landmarks, on the egg."""
    surface = head_surface()
    wanted = surface.rest[surface.landmarks][:, :2] * [0.1, -0.1]
    wanted[65:68, 1] -= 0.5  # the drawn head's lips touch; here, each has points of its own
    used: list[int] = []
    for x, y in wanted:
        z = 8.5 * np.sqrt(max(1 - (x / 7.6) ** 2 - ((y - 1) / 12) ** 2, 0.02))
        distance = ((points - [x, y, z]) ** 2).sum(axis=1)
        distance[used] = np.inf
        used.append(int(np.argmin(distance)))
        points[used[-1]] = [x, y, z]
    return np.array(used)


def _patch(centre: Array, half: float, z: float) -> tuple[Array, Array]:
    """A square of four quads that looks out of the face."""
    x, y = np.meshgrid(np.linspace(-half, half, 3), np.linspace(half, -half, 3))
    points = np.stack([x + centre[0], y + centre[1], np.full_like(x, z)], -1).reshape(-1, 3)
    index = np.arange(9).reshape(3, 3)
    quads = np.stack([index[:-1, :-1], index[1:, :-1], index[1:, 1:], index[:-1, 1:]], -1).reshape(-1, 4)
    return points, quads


def _near(points: Array, place: Array, size: float) -> Array:
    return np.asarray(np.exp(-(((points - place) / size) ** 2).sum(axis=1)))


def arrays() -> tuple[dict[str, Array], Layout]:
    """The arrays of the file, and where its parts are."""
    points, quads = _egg()
    marks = _landmarks(points)
    places = points[marks]
    middle = points[quads].mean(axis=1)
    face = middle[:, 2] > 2
    polygons = [quads[face], quads[~face]]
    vertices, count = [points], len(points)
    for centre, half, z in (
        (places[62], 1.6, 6.5),
        (EYES_CM[0], 1.0, 4.5),
        (places[62], 1.3, 6.9),
        (places[62], 1.2, 7.2),
    ):
        patch, patch_quads = _patch(centre, half, z)
        vertices.append(patch)
        polygons.append(patch_quads + count)
        count += len(patch)
    polygons[3][:, 3] = -1  # this part has triangles
    turn, lift = np.meshgrid(np.linspace(0, 2 * np.pi, 13), np.linspace(0.2, 2.9, 9))
    ball = EYE_CM * np.stack([np.sin(lift) * np.cos(turn), np.cos(lift), np.sin(lift) * np.sin(turn)], -1).reshape(
        -1, 3
    )
    eyes = [EYES_CM[k] + ball for k in range(2)]
    neutral = np.concatenate([*vertices, *eyes]).astype(np.float32)
    first = count, count + len(ball)
    starts = np.concatenate([[0], np.cumsum([len(p) for p in polygons])])
    layout = Layout(tuple(int(s) for s in starts), tuple((s, s + len(ball)) for s in first), count)  # type: ignore[arg-type]
    identity = np.stack([
        neutral * [0.05, 0, 0], neutral * [0, 0.04, 0], neutral * [0, 0, 0.04],
        _near(neutral, places[30], 2.0)[:, None] * [0, 0, 0.4], _near(neutral, places[8], 3.0)[:, None] * [0, -0.4, 0],
    ])  # fmt: skip
    shapes: dict[str, Array] = {}

    def move(name: str, landmarks: list[int], by: tuple[float, float, float], size: float = 0.9) -> None:
        shapes[name] = sum(_near(neutral, places[k], size) for k in landmarks)[:, None] * np.array(by)
        if name in ("jawOpen", "mouthLowerDown_L", "mouthLowerDown_R"):  # the upper lip stays
            shapes[name] *= neutral[:, 1:2] < places[[62, 66], 1].mean()

    move("browInnerUp_L", [22], (0, 0.6, 0))
    move("browInnerUp_R", [21], (0, 0.6, 0))
    move("mouthSmile_L", [54], (0.6, 0.7, 0))
    move("mouthSmile_R", [48], (-0.6, 0.7, 0))
    move("jawOpen", [7, 8, 9, 57, 65, 66, 67], (0, -1.2, 0), 1.1)
    move("mouthLowerDown_L", [65, 66], (0, -0.3, 0), 0.5)
    move("mouthLowerDown_R", [67, 66], (0, -0.3, 0), 0.5)
    move("eyeBlink_L", [43, 44], (0, -0.5, 0), 0.45)
    move("eyeBlink_R", [37, 38], (0, -0.5, 0), 0.45)
    move("eyeLookDown_L", [43, 44], (0, -0.3, 0), 0.45)
    move("eyeLookDown_R", [37, 38], (0, -0.3, 0), 0.45)
    return {
        "neutral": neutral, "identity": identity.astype(np.float16),
        "expression": np.stack([*shapes.values()]).astype(np.float16),
        "expression_names": np.array([*shapes]), "faces": np.concatenate(polygons).astype(np.int32),
        "index_idx_to_landmark_verts": marks.astype(np.int32),
    }, layout  # fmt: skip
