"""How well `person_id` follows people: matching of measured faces to true ones, and the counts that follow from it.

A measured face and a true one are near if the mean distance of their 68 landmarks is at most a quarter of the size of
the true face, the square root of the area of its landmarks' box. In each frame the nearest pair is matched first and
each face once. True faces of which the picture shows less than half of the landmarks are matched, but count neither as
found nor as missed. IDF1 is that of Ristani, Solera, Zou, Cucchiara and Tomasi, "Performance measures and a data set
for multi-target, multi-camera tracking", ECCV Workshops 2016. In: landmarks (68, 2) px by person and frame; out:
`Identities`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

NEAR = 0.25  #: of the size of the true face
#: Motion from a frame to the next from which a face counts as fast, of its size. The small windows in which a slot
#: looks for landmarks after a success follow about 0.06.
FAST = 0.05
LEAST_SHOWN = 0.5  #: share of the landmarks from which a true face counts


@dataclass(frozen=True, eq=False)
class TrueFace:
    """A true face of a frame."""

    identity: int
    landmarks: Array  #: (68, 2) px
    shown: float = 1.0  #: share of the landmarks that the picture shows


@dataclass(frozen=True, eq=False)
class FoundFace:
    """A measured face of a frame whose landmarks the landmarker believes."""

    person_id: int
    landmarks: Array  #: (68, 2) px


@dataclass(frozen=True, eq=False)
class Frame:
    """The faces of one frame, true and measured."""

    true: Sequence[TrueFace]
    found: Sequence[FoundFace]


@dataclass(frozen=True)
class Identities:
    """The counts of one clip, or of several by `total`. A row is one face of one frame."""

    frames: int
    people: int  #: true people who count in a frame at least
    persons: int  #: values of `person_id` in the rows
    true_rows: int  #: that count
    found_rows: int  #: of these, matched
    false_rows: int  #: measured rows that match no true face, hidden ones included
    switches: int  #: a true person's row has another person_id than the person's matched row before
    merges: int  #: values of `person_id` that rows of more than one true person have
    own_rows: int  #: found rows with the most frequent person_id of their person, where nobody else ever has it
    id_true_positives: int  #: IDTP
    id_rows: int  #: true rows and measured rows, without those of faces that do not count
    lost_hidden: int  #: true rows that were not found, of faces of which the picture does not show everything
    lost_fast: int  #: of the others, of faces that moved by more than `FAST` since the frame before

    @property
    def best_idf1(self) -> float | None:
        """The IDF1 of these rows if every person_id were right: what is missing to 1 are rows, not identities."""
        return _share(2 * self.found_rows, self.id_rows)

    @property
    def found_share(self) -> float | None:
        """Matched share of the true rows; None without any."""
        return _share(self.found_rows, self.true_rows)

    @property
    def own_share(self) -> float | None:
        """Share of the found rows whose person_id is that of its person and of nobody else."""
        return _share(self.own_rows, self.found_rows)

    @property
    def idf1(self) -> float | None:
        """2 IDTP / (2 IDTP + IDFP + IDFN), 0 to 1."""
        return _share(2 * self.id_true_positives, self.id_rows)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def total(clips: Sequence[Identities]) -> Identities:
    """The sums of several clips."""
    return Identities(**{name: sum(getattr(clip, name) for clip in clips) for name in Identities.__dataclass_fields__})


def evaluate(frames: Sequence[Frame]) -> Identities:
    """Count how well the persons of a clip follow its people; definitions in the module's and the class's text."""
    matched: dict[int, list[int]] = defaultdict(list)  # person_id of each counted and matched row, by true person
    together: Counter[tuple[int, int]] = Counter()  # frames in which a true and a measured person are near
    true_rows: Counter[int] = Counter()
    measured_rows: Counter[int] = Counter()
    false_rows = lost_hidden = lost_fast = 0
    before: dict[int, TrueFace] = {}
    for frame in frames:
        distances = _distances(frame)
        pairs = nearest_first(distances)
        ignored = {j for i, j in pairs if frame.true[i].shown < LEAST_SHOWN}
        counts = [i for i, face in enumerate(frame.true) if face.shown >= LEAST_SHOWN]
        true_rows.update(frame.true[i].identity for i in counts)
        measured = [j for j in range(len(frame.found)) if j not in ignored]
        measured_rows.update(frame.found[j].person_id for j in measured)
        false_rows += len(frame.found) - len(pairs)
        lost = [frame.true[i] for i in set(counts) - {i for i, _ in pairs}]
        lost_hidden += sum(face.shown < 1 for face in lost)
        lost_fast += sum(face.shown == 1 and _moved(before.get(face.identity), face) > FAST for face in lost)
        before = {face.identity: face for face in frame.true}
        for i, j in pairs:
            if j not in ignored:
                matched[frame.true[i].identity].append(frame.found[j].person_id)
        together.update(
            (frame.true[i].identity, frame.found[j].person_id) for i in counts for j in measured if distances[i, j] <= 1
        )
    owners: dict[int, set[int]] = defaultdict(set)
    for identity, numbers in matched.items():
        for number in numbers:
            owners[number].add(identity)
    own = 0
    for identity, numbers in matched.items():
        number, rows = Counter(numbers).most_common(1)[0]
        own += rows if owners[number] == {identity} else 0
    return Identities(
        frames=len(frames),
        people=len(true_rows),
        persons=len({face.person_id for frame in frames for face in frame.found}),
        true_rows=true_rows.total(),
        found_rows=sum(map(len, matched.values())),
        false_rows=false_rows,
        switches=sum(a != b for numbers in matched.values() for a, b in pairwise(numbers)),
        merges=sum(len(people) > 1 for people in owners.values()),
        own_rows=own,
        id_true_positives=_identity_matches(together, sorted(true_rows), sorted(measured_rows)),
        id_rows=true_rows.total() + measured_rows.total(),
        lost_hidden=lost_hidden,
        lost_fast=lost_fast,
    )


def numbers_of_people(frames: Sequence[Frame]) -> dict[int, list[tuple[int, int]]]:
    """For each true person, the person_ids of the rows in order, with the number of rows in a row that have each."""
    runs: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for frame in frames:
        for i, j in nearest_first(_distances(frame)):
            if frame.true[i].shown >= LEAST_SHOWN:
                own, number = runs[frame.true[i].identity], frame.found[j].person_id
                if own and own[-1][0] == number:
                    own[-1] = number, own[-1][1] + 1
                else:
                    own.append((number, 1))
    return dict(runs)


def _distances(frame: Frame) -> Array:
    """(n, m) mean distance of the landmarks of true and measured faces, as a share of the limit."""
    out = np.full((len(frame.true), len(frame.found)), np.inf)
    for i, face in enumerate(frame.true):
        size = _size(face)
        for j, found in enumerate(frame.found):
            out[i, j] = np.linalg.norm(face.landmarks - found.landmarks, axis=1).mean() / (NEAR * size)
    return out


def _size(face: TrueFace) -> float:
    return float(np.sqrt(np.prod(np.ptp(face.landmarks, axis=0))))


def _moved(before: TrueFace | None, face: TrueFace) -> float:
    """Distance of the mean landmarks, in sizes of the face; 0 for somebody who was not there."""
    if before is None:
        return 0.0
    return float(np.linalg.norm(face.landmarks.mean(axis=0) - before.landmarks.mean(axis=0))) / _size(face)


def nearest_first(distances: Array) -> list[tuple[int, int]]:
    """Pairs (row, column) of distances up to 1, the nearest first, each row and each column once."""
    pairs: list[tuple[int, int]] = []
    rest = np.where(distances <= 1, distances, np.inf)
    while rest.size and np.isfinite(rest.min()):
        i, j = (int(v) for v in np.unravel_index(np.argmin(rest), rest.shape))
        pairs.append((i, j))
        rest[i], rest[:, j] = np.inf, np.inf
    return pairs


def _identity_matches(together: Counter[tuple[int, int]], people: list[int], persons: list[int]) -> int:
    """IDTP: frames in common under the one-to-one assignment of people to persons that has most of them."""
    frames = np.array([[together[i, j] for j in persons] for i in people], float).reshape(len(people), len(persons))
    return int(sum(frames[i, j] for i, j in best_assignment(frames)))


def best_assignment(gains: Array) -> list[tuple[int, int]]:
    """The assignment of rows to columns (n, m), each once, with the largest sum of gains (Kuhn, Munkres).

    Shortest augmenting paths with a potential for each row and column, O(n^2 m). All of the shorter side is assigned.
    """
    if gains.shape[0] > gains.shape[1]:
        return sorted((i, j) for j, i in best_assignment(gains.T))
    rows, columns = gains.shape
    row_of = np.zeros(columns + 1, int)  # 1-based; 0 is free, and column 0 is where a path begins
    u, v = np.zeros(rows + 1), np.zeros(columns + 1)
    for row in range(1, rows + 1):
        row_of[0], column = row, 0
        least, before, done = np.full(columns + 1, np.inf), np.zeros(columns + 1, int), np.zeros(columns + 1, bool)
        while row_of[column]:
            done[column] = True
            current = row_of[column]
            slack = np.append(np.inf, -gains[current - 1] - u[current] - v[1:])
            better = ~done & (slack < least)
            least[better], before[better] = slack[better], column
            following = int(np.argmin(np.where(done, np.inf, least)))
            delta = least[following]
            u[row_of[done]] += delta
            v[done] -= delta
            least[~done] -= delta
            column = following
        while column:
            row_of[column], column = row_of[before[column]], int(before[column])
    return sorted((int(row_of[j]) - 1, j - 1) for j in range(1, columns + 1) if row_of[j])
