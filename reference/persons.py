"""Who is whom in a clip of several faces: stretches in which a slot followed a face, put together to persons.

A slot forgets a face that it lost (spec 85.1). This is an addition of ours to that, and changes nothing of it: when the
clip has ended, its stretches are compared by when their face was seen, by where it was lost and found, by its size, and
by the shape of the face, and the most alike are put together first. The rule is in `person_ids`.

A face is *seen* in the frames in which the landmarker believes its landmarks. A slot keeps failing for six frames
before it is free, and often follows nothing then: when two people cross, a slot loses whoever moves faster than its
search reaches, another slot takes the person over while the first one still fails, and for such frames the first slot
must not count as the person.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reference.face_states import FaceState

Array = npt.NDArray[Any]

#: The `person_id` of a stretch in which no face was seen, and of the rows of others before and after it was.
NOBODY = -1
#: The three limits of `person_ids`. Distance between where a person was lost and where a stretch begins: mm in the
#: plane of the face, which is pixels over scale (a face is about 150 mm wide).
MAX_DISTANCE = 1500.0
#: What a person may walk more in each second without being seen, mm: an unhurried walk. Where somebody was lost tells
#: less and less of who comes back.
WALK = 1500.0
#: Ratio of the two scales (px/mm): by how much a person may have come nearer or gone away.
MAX_SCALE_RATIO = 2.0
#: Difference of the mean shapes: standard deviations of the shape model, root mean square over its modes. A lower limit
#: takes more people who come back for new ones, a higher one more strangers for them, which is worse. Measured by shape
#: alone on pairs of pieces of 0.7 to 2 s. Footage and photographs of five people: 16 % of the pairs of one person are
#: beyond the limit, no pair of different people within it. Twice eight rendered people, embedded and OpenFace's models:
#: 0 to 29 % and 1 to 16 %. In millimetres people are told apart less well.
MAX_SHAPE_DIFFERENCE = 0.25


@dataclass(frozen=True)
class _Sighting:
    frame: int
    seconds: float
    x: float  #: px
    y: float  #: px
    scale: float  #: px/mm


@dataclass(eq=False)
class Appearance:
    """What one stretch tells of a person: the frames in which a face was seen."""

    entered: _Sighting | None = field(init=False, default=None)  #: in the first frame that counts
    left: _Sighting | None = field(init=False, default=None)  #: in the last one
    shapes: Array | None = field(init=False, default=None)  #: (m,) sum of the local parameters, mm
    counted: int = field(init=False, default=0)

    def see(self, frame: int, seconds: float, state: FaceState) -> None:
        """Take in the face of a frame of the stretch, and the frame's time; frames come in order."""
        scale, _, _, _, x, y = (float(v) for v in state.params_global)
        if not state.detection_success or scale <= 0:  # a face turned inside out has no size
            return
        self.left = _Sighting(frame, seconds, x, y, scale)
        self.entered = self.entered or self.left
        shape = state.params_local.astype(np.float64)
        self.shapes = shape if self.shapes is None else self.shapes + shape
        self.counted += 1


@dataclass(frozen=True, eq=False)
class _Stretch:
    """A stretch in which a face was seen."""

    number: int
    entered: _Sighting
    left: _Sighting


@dataclass(frozen=True, eq=False)
class _Person:
    """The stretches of one person, in the order of time."""

    stretches: list[_Stretch]
    shapes: Array  #: (m,) sum over the frames in which the face was seen, standard deviations of the shape model
    counted: int  #: these frames

    @property
    def first(self) -> _Stretch:
        return self.stretches[0]

    @property
    def shape(self) -> Array:
        """(m,) their mean."""
        mean: Array = self.shapes / self.counted
        return mean

    def with_stretches_of(self, other: _Person) -> _Person:
        stretches = sorted(self.stretches + other.stretches, key=_start)
        return _Person(stretches, self.shapes + other.shapes, self.counted + other.counted)

    def hand_overs(self, other: _Person) -> Iterator[tuple[_Stretch, _Stretch]]:
        """Pairs (earlier, later) of stretches, one of each person, that follow each other if both are one person."""
        few, many = sorted((self.stretches, other.stretches), key=len)
        for k, stretch in enumerate(few):
            at = bisect(many, _start(stretch), key=_start)
            if at and (k == 0 or _start(few[k - 1]) < _start(many[at - 1])):
                yield many[at - 1], stretch
            if at < len(many) and (k + 1 == len(few) or _start(few[k + 1]) >= _start(many[at])):
                yield stretch, many[at]


def _start(stretch: _Stretch) -> int:
    return stretch.entered.frame


def _hand_over_difference(one: _Person, other: _Person) -> float | None:
    """How far place and size of two persons are from each other, as of `person_ids`; None if both are seen at once."""
    distance = size = 0.0
    for earlier, later in one.hand_overs(other):
        lost, found = earlier.left, later.entered
        if lost.frame >= found.frame:
            return None
        moved = math.hypot(found.x - lost.x, found.y - lost.y) / math.sqrt(found.scale * lost.scale)
        distance = max(distance, moved / (MAX_DISTANCE + WALK * (found.seconds - lost.seconds)))
        size = max(size, abs(math.log(found.scale / lost.scale)) / math.log(MAX_SCALE_RATIO))
    return math.hypot(distance, size)


def person_ids(appearances: Sequence[Appearance], variances: Array) -> list[int]:
    """The person of each stretch, as numbers from 0 in the order in which persons are first seen.

    Parameters
    ----------
    appearances : of the stretches.
    variances : (m,) of the local shape parameters, mm squared: the eigenvalues of the shape model.

    Returns
    -------
    A number for each stretch; `NOBODY` for one in whose frames the landmarker never believed its landmarks.

    Notes
    -----
    A stretch lasts here from the first to the last frame in which its face was seen. At first every stretch is a person
    of its own. Then the two persons who differ least are put together, again and again, until all differ by more than
    1. Two of whom stretches have a frame in common are never put together. Three differences count, each as a share of
    its limit:

    - the distance of a face from where it was lost: that of the translations (px) over the geometric mean of the
      scales (px/mm), as a share of `MAX_DISTANCE` mm and `WALK` mm more for each second in between;
    - the logarithm of the ratio of the two scales, as a share of that of `MAX_SCALE_RATIO`;
    - the difference of the local shape parameters, averaged over the frames of each person in which the face was seen,
      in standard deviations, root mean square over the modes, as a share of `MAX_SHAPE_DIFFERENCE`.

    Distance and size are those from the end of a stretch of one person to the beginning of a stretch of the other that
    would follow it, the largest where there are several such pairs. Persons differ by the root of the sum of the three
    squares: somebody who comes back elsewhere has to be more alike than somebody who comes back to the same place.

    Without time stamps (all 0, as in image sequences) the distance has the limit `MAX_DISTANCE` however long somebody
    was away.

    This is agglomerative clustering. A decision at each beginning, as the clip goes on, is worse: the mean shape of a
    stretch of a few frames is uncertain, and once such a stretch was given to the wrong person, the following ones of
    both went wrong too. Here the stretches that agree best decide first.
    """
    return _Persons(appearances, variances).join()


class _Persons:
    """Persons while they are put together; each has a number, and two that are put together become a new one.

    Pairs wait in a queue by the difference of their shapes, which is no larger than their whole difference, and get the
    latter only when it is their turn: most pairs are gone by then.
    """

    def __init__(self, appearances: Sequence[Appearance], variances: Array) -> None:
        self._stretches = len(appearances)
        self._persons: dict[int, _Person] = {}
        self._shapes = np.empty((2 * len(appearances), len(variances)))  # (m,) of the person of each number
        self._queue: list[tuple[float, int, int, bool]] = []  # (difference, two persons, whether this is all of it)
        self._made = 0
        deviations = np.sqrt(variances)
        for k, appearance in enumerate(appearances):
            if appearance.entered and appearance.left and appearance.shapes is not None:
                stretch = _Stretch(k, appearance.entered, appearance.left)
                self._enter(_Person([stretch], appearance.shapes / deviations, appearance.counted))

    def _enter(self, person: _Person) -> None:
        """Pair a new person with all others whose shape is near enough."""
        number, self._made = self._made, self._made + 1
        self._shapes[number] = person.shape
        others = np.fromiter(self._persons, np.int64, len(self._persons))
        shares = np.sqrt(np.mean((self._shapes[others] - person.shape) ** 2, axis=1)) / MAX_SHAPE_DIFFERENCE
        for other, share in zip(others[shares <= 1].tolist(), shares[shares <= 1].tolist(), strict=True):
            heapq.heappush(self._queue, (share, other, number, False))
        self._persons[number] = person

    def join(self) -> list[int]:
        """Put together all who agree; the person of each stretch."""
        while self._queue:
            difference, one, other, whole = heapq.heappop(self._queue)
            if one not in self._persons or other not in self._persons:
                continue
            if whole:
                self._enter(self._persons.pop(one).with_stretches_of(self._persons.pop(other)))
                continue
            rest = _hand_over_difference(self._persons[one], self._persons[other])
            if rest is not None and math.hypot(difference, rest) <= 1:
                heapq.heappush(self._queue, (math.hypot(difference, rest), one, other, True))
        numbers = [NOBODY] * self._stretches
        by_time = sorted(self._persons.values(), key=lambda person: (_start(person.first), person.first.number))
        for number, person in enumerate(by_time):
            for stretch in person.stretches:
                numbers[stretch.number] = number
        return numbers
