"""Who is whom in a clip of several faces: stretches in which a slot followed a face, put together to persons.

A slot forgets a face that it lost (spec 85.1). This is an addition of ours to that, and changes nothing of it: when a
stretch begins, the persons who are not followed at that moment are compared with it, by where they were when they were
lost, by their size, and by the shape of their face. The rule is in `person_ids`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.reference.face_states import FaceState

Array = npt.NDArray[Any]

#: The three limits of `person_ids`. Distance between where a person was lost and where a stretch begins: mm in the
#: plane of the face, which is pixels over scale (a face is about 150 mm wide).
MAX_DISTANCE = 1500.0
#: Ratio of the two scales (px/mm): by how much a person may have come nearer or gone away.
MAX_SCALE_RATIO = 2.0
#: Difference of the mean shapes: standard deviations of the shape model, root mean square over its modes. A lower limit
#: takes more people who come back for new ones, a higher one more strangers for them, which is worse. Measured by shape
#: alone on pairs of pieces of 0.7 to 2 s. Footage and photographs of five people: 16 % of the pairs of one person are
#: beyond the limit, no pair of different people within it. Twice eight rendered people, embedded and OpenFace's models:
#: 0 to 29 % and 1 to 16 %. In millimetres people are told apart less well.
MAX_SHAPE_DIFFERENCE = 0.25


@dataclass(frozen=True)
class _Place:
    x: float  #: px
    y: float  #: px
    scale: float  #: px/mm


@dataclass(eq=False)
class Appearance:
    """What one stretch tells of a person. Only frames count in which the landmarker believes its landmarks."""

    first_frame: int  #: of the stretch, believed or not
    last_frame: int = field(init=False)
    entered: _Place | None = field(init=False, default=None)  #: in the first frame that counts
    left: _Place | None = field(init=False, default=None)  #: in the last one
    shapes: Array | None = field(init=False, default=None)  #: (m,) sum of the local parameters, mm
    counted: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.last_frame = self.first_frame

    def see(self, frame: int, state: FaceState) -> None:
        """Take in the face of a frame of the stretch; frames come in order."""
        self.last_frame = frame
        scale, _, _, _, x, y = (float(v) for v in state.params_global)
        if not state.detection_success or scale <= 0:  # a face turned inside out has no size
            return
        self.left = _Place(x, y, scale)
        self.entered = self.entered or self.left
        shape = state.params_local.astype(np.float64)
        self.shapes = shape if self.shapes is None else self.shapes + shape
        self.counted += 1


class _Person:
    """The stretches of one person so far."""

    def __init__(self, number: int, appearance: Appearance) -> None:
        self.number, self._latest = number, appearance
        self.shapes, self.counted = appearance.shapes, appearance.counted

    @property
    def last_frame(self) -> int:
        return self._latest.last_frame

    def add(self, appearance: Appearance) -> None:
        assert self.shapes is not None
        assert appearance.shapes is not None
        self._latest = appearance
        self.shapes, self.counted = self.shapes + appearance.shapes, self.counted + appearance.counted

    def difference(self, appearance: Appearance, variances: Array) -> float | None:
        """How far a stretch is from this person, 0 for equal, 1 at the limit; None where one of them was never seen."""
        lost, found = self._latest.left, appearance.entered
        if lost is None or found is None or self.shapes is None or appearance.shapes is None:
            return None
        distance = math.hypot(found.x - lost.x, found.y - lost.y) / math.sqrt(found.scale * lost.scale)
        size = abs(math.log(found.scale / lost.scale))
        means = self.shapes / self.counted, appearance.shapes / appearance.counted
        shape = math.sqrt(float(np.mean((means[0] - means[1]) ** 2 / variances)))
        return math.hypot(distance / MAX_DISTANCE, size / math.log(MAX_SCALE_RATIO), shape / MAX_SHAPE_DIFFERENCE)


def person_ids(appearances: Sequence[Appearance], variances: Array) -> list[int]:
    """The person of each stretch, as numbers from 0 in the order in which persons are first followed.

    Parameters
    ----------
    appearances : of the stretches.
    variances : (m,) of the local shape parameters, mm squared: the eigenvalues of the shape model.

    Notes
    -----
    A stretch that begins is compared with every person who is followed by no slot at that moment, that is, all of whose
    stretches ended in an earlier frame. Three differences count, each as a share of its limit:

    - the distance of the face from where it was lost: that of the translations (px) over the geometric mean of the
      scales (px/mm), as a share of `MAX_DISTANCE` mm;
    - the logarithm of the ratio of the two scales, as a share of that of `MAX_SCALE_RATIO`;
    - the difference of the local shape parameters, averaged over the frames of the stretch and over those of the person
      so far, in standard deviations, root mean square over the modes, as a share of `MAX_SHAPE_DIFFERENCE`.

    It is the same person if the root of the sum of their squares is at most 1: somebody who comes back elsewhere has to
    be more alike than somebody who comes back to the same place. If several agree, the nearest first. Otherwise it is a
    new person, and so is a stretch in whose frames the landmarker never believed its landmarks. Two stretches that
    share a frame never have one person.

    The mean of a whole stretch says who somebody is much better than its first frame, so the numbers are known when
    the clip has ended.
    """
    numbers = [-1] * len(appearances)
    persons: list[_Person] = []
    order = sorted(range(len(appearances)), key=lambda k: (appearances[k].first_frame, k))
    starts = sorted({appearance.first_frame for appearance in appearances})
    for start in starts:
        beginning = [k for k in order if appearances[k].first_frame == start]
        pairs = []
        for k in beginning:
            for person in persons:
                difference = person.difference(appearances[k], variances) if person.last_frame < start else None
                if difference is not None and difference <= 1:
                    pairs.append((difference, k, person.number))
        for _, k, number in sorted(pairs):
            # Whoever was taken by a nearer stretch is followed now.
            if numbers[k] < 0 and persons[number].last_frame < start:
                numbers[k] = number
                persons[number].add(appearances[k])
        for k in beginning:
            if numbers[k] < 0:
                numbers[k] = len(persons)
                persons.append(_Person(len(persons), appearances[k]))
    return numbers
