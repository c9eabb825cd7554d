"""Which rows of a clip stay at its end, and with which AUs and persons."""

from __future__ import annotations

import numpy as np

from auparity.extraction.final_rows import NO_SLOT, Row, of_all_faces, of_one_face, of_one_person
from auparity.reference.results import OfflineAUs
from auparity.reference.stretches import FaceStretch


def stretch(face_id, person_id, frames, value):
    """Intensities are `value` plus the number of the frame within the stretch, presences 1."""
    values = value + np.arange(len(frames), dtype=float)
    aus = OfflineAUs(np.repeat(values[:, None], 17, axis=1), np.ones((len(frames), 18)))
    return FaceStretch(face_id, person_id, np.array(frames, np.int64), aus)


#: Person 1 is in slot 1, then in slot 0, in which person 0 was before; nobody is there in frame 2.
STRETCHES = [stretch(0, 0, [0, 1], 1.0), stretch(1, 1, [1], 2.0), stretch(0, 1, [3], 3.0)]
FACES = [(0, 0), (1, 0), (1, 1), (3, 0)]


def test_an_interrupted_clip_of_one_face_has_the_aus_of_the_rows_in_the_table():
    final = of_one_face(OfflineAUs(np.ones((3, 17)), np.ones((3, 18))), 2)
    assert (final.aus.intensity.shape, final.persons, final.kept) == ((2, 17), None, None)


def test_all_rows_of_several_people_stay_and_have_persons_and_the_aus_of_their_stretch():
    rows = [Row(frame, face, True) for frame, face in FACES]
    final = of_all_faces(STRETCHES, rows, calibrated=True, person_ids=True)
    assert (final.persons, final.kept) == ([0, 0, 1, 1], None)
    assert final.aus.intensity[:, 0].tolist() == [1, 2, 2, 3]
    final = of_all_faces(STRETCHES, rows, calibrated=False, person_ids=False)
    assert (final.aus, final.persons) == (None, None)


def test_of_one_person_a_row_of_each_frame_stays_whatever_the_slot():
    rows = [Row(k, face, face != NO_SLOT) for k in range(4) for face in (NO_SLOT, *(f for n, f in FACES if n == k))]
    final = of_one_person(STRETCHES, rows, 1)
    assert [(rows[k].frame, rows[k].face_id) for k in final.kept] == [(0, NO_SLOT), (1, 1), (2, NO_SLOT), (3, 0)]
    assert final.aus.intensity[:, 0].tolist() == [0, 2, 0, 3]
    assert final.aus.presence[:, 0].tolist() == [0, 1, 0, 1]
    assert final.persons is None
    final = of_one_person(STRETCHES, rows, 9)
    assert all(rows[k].face_id == NO_SLOT for k in final.kept)
    assert not final.aus.intensity.any()
