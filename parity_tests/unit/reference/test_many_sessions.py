"""Clips of several people: what a pipeline's session says of each face, in both modes of action units (spec 85)."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from auparity.accelerated.one_thread import OneThreadFacesSession
from auparity.accelerated.pipeline import Pipeline
from auparity.errors import ContractError
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.reference.clip_options import ClipOptions
from auparity.reference.face_choice import FaceChoice
from auparity.reference.head_pose import Camera
from auparity.reference.many_sessions import ManyFacesSession
from auparity.reference.persons import NOBODY
from auparity.reference.pipeline import VideoSession

BUNDLE = Bundle.embedded(networks=False)
#: Two people side by side; the one on the right leaves after the frame of this number, and is back in frame 16.
FRAMES, LEAVES, BACK = 18, 5, 16
WIDTH = 320


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline.best(BUNDLE)


@pytest.fixture(scope="module")
def scene():
    """Frames (240, 640, 3)."""
    left, right = ([f.image for f in render_clip(seed, FRAMES)] for seed in (3_450_000, 3_450_002))
    empty = np.full_like(right[0], 96)
    shown = [right[k] if k <= LEAVES or k >= BACK else empty for k in range(FRAMES)]
    return [np.hstack(pair) for pair in zip(left, shown, strict=True)]


def follow(pipeline, scene, **options):
    session = pipeline.start_video(faces=2, **options)
    return [session.process_frame(image, k / 30) for k, image in enumerate(scene)], session


@pytest.fixture(scope="module")
def static(pipeline, scene):
    return follow(pipeline, scene)


@pytest.fixture(scope="module")
def calibrated(pipeline, scene):
    return follow(pipeline, scene, aus="calibrated")


def right_slot(frames):
    """The slot that follows the face on the right in the first frame."""
    return next(r.face_id for r in frames[0] if r.landmarks[:, 0].mean() > WIDTH)


def test_every_face_has_a_row_in_every_frame_in_which_its_slot_follows_it(static):
    frames, _ = static
    right = right_slot(frames)
    for k, faces in enumerate(frames):
        assert [r.index for r in faces] == [k] * len(faces)
        # Frames 6 to 11 fail, in frame 12 the slot is free, in frame 16 faces are looked for.
        followed = {0, 1} if k < LEAVES + 7 or k >= BACK else {1 - right}
        assert [r.face_id for r in faces] == sorted(followed)
        assert all(r.timestamp == k / 30 for r in faces)


def test_success_is_the_landmarkers_own_flag_and_gaze_follows_it(static):
    frames, _ = static
    results = [r for faces in frames for r in faces]
    assert {r.success for r in results} == {True, False}
    for r in results:
        assert r.success == r.detection_success
        assert bool(r.gaze.any()) == bool(r.gaze_angles.any()) == r.success
        assert r.pose[2] > 0


def test_static_action_units_are_those_of_this_frame_alone_whether_or_not_it_succeeded(pipeline, scene, static):
    frames, _ = static
    for k, faces in enumerate(frames):
        for r in faces:
            analyser = pipeline.staged._aus_of_faces("static", False)._analyser
            fit = pipeline.staged.fit_image_shape(r.landmarks[None])
            intensity, presence = analyser.analyse(scene[k], r.landmarks[None], *fit)
            np.testing.assert_array_equal(r.au_intensity, intensity[0])
            np.testing.assert_array_equal(r.au_presence, presence[0])
            assert ((r.au_intensity >= 0) & (r.au_intensity <= 5)).all()
    assert any(r.au_intensity.any() for faces in frames for r in faces if not r.success)


def test_the_stretches_of_static_action_units_are_the_rows(static):
    frames, session = static
    stretches = session.finish()
    right = right_slot(frames)
    # The six frames in which the slot on the right fails are a part of their own.
    assert sorted(s.face_id for s in stretches) == sorted([right, right, right, 1 - right])
    for stretch in stretches:
        rows = [next(r for r in frames[k] if r.face_id == stretch.face_id) for k in stretch.frames]
        np.testing.assert_array_equal(stretch.aus.intensity, [r.au_intensity for r in rows])
        np.testing.assert_array_equal(stretch.aus.presence, [r.au_presence for r in rows])
    again = session.finish()
    np.testing.assert_array_equal(again[0].aus.intensity, stretches[0].aus.intensity)


def test_stretches_end_where_a_slot_is_free_and_the_person_is_known_again(static):
    frames, session = static
    right = right_slot(frames)
    first, failing, second = (s for s in session.finish() if s.face_id == right)
    seen = [k for k, faces in enumerate(frames) for r in faces if r.face_id == right and r.success]
    assert (first.frames[0], first.frames[-1]) == (0, max(k for k in seen if k < BACK))
    assert (failing.frames[0], failing.frames[-1]) == (first.frames[-1] + 1, LEAVES + 6)
    assert (second.frames[0], second.frames[-1]) == (BACK, FRAMES - 1)
    assert first.person_id == second.person_id
    assert failing.person_id == NOBODY
    assert {s.person_id for s in session.finish()} == {0, 1, NOBODY}


def test_both_modes_track_alike(static, calibrated):
    for some, others in zip(static[0], calibrated[0], strict=True):
        for a, b in zip(some, others, strict=True):
            for field in fields(a):
                if not field.name.startswith("au_"):
                    np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


def test_calibrated_action_units_of_a_stretch_are_those_of_a_clip_of_its_own(pipeline, scene, calibrated):
    frames, session = calibrated
    right = right_slot(frames)
    left, first, failing, second = sorted(session.finish(), key=lambda s: (s.face_id == right, s.frames[0]))
    for parts in ([left], [first, failing], [second]):  # of one stretch each
        alone = VideoSession(pipeline.staged, ClipOptions()).analyser
        for k in np.concatenate([part.frames for part in parts]):
            r = next(r for r in frames[k] if r.face_id == parts[0].face_id)
            params = (None, None)
            if r.success:
                g, p = pipeline.staged.fit_video_shape(r.landmarks[None])
                params = g[0], p[0]
            intensity, presence = alone.step(scene[k], r.landmarks, *params, timestamp=k / 30)
            np.testing.assert_array_equal(r.au_intensity, intensity)
            np.testing.assert_array_equal(r.au_presence, presence)
            assert r.success or not r.au_intensity.any()
        offline = alone.finish()
        np.testing.assert_array_equal(np.concatenate([part.aus.intensity for part in parts]), offline.intensity)
        np.testing.assert_array_equal(np.concatenate([part.aus.presence for part in parts]), offline.presence)


def test_what_an_ended_stretch_held_is_given_back(calibrated):
    _, session = calibrated
    ended = [s for s in session.session._stretches.values() if s.frames[-1] < FRAMES - 1]
    assert ended
    assert all(isinstance(s._aus, type(s.finish())) for s in ended)


def test_the_three_steps_apart_give_the_same(pipeline, scene, static):
    session = pipeline.start_video(faces=2)
    tracked = [session.track(image, k / 30) for k, image in enumerate(scene[:3])]
    described = [session.describe(image, t) for image, t in zip(scene, tracked, strict=False)]
    for faces, t, d in zip(static[0], tracked, described, strict=False):
        for a, b in zip(faces, session.measure(t, d), strict=True):
            for field in fields(a):
                np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name))


def test_one_slot_and_as_many_as_there_are(pipeline, scene):
    session = pipeline.start_video(faces=1)
    assert [len(session.process_frame(image, 0.0)) for image in scene[:2]] == [1, 1]
    session = pipeline.start_video(faces="all")
    assert [len(session.process_frame(image, 0.0)) for image in scene[:2]] == [2, 2]


def test_frames_of_another_size_or_out_of_order_are_refused(pipeline, scene):
    session = pipeline.start_video(faces=1)
    session.process_frame(scene[0], 1.0)
    with pytest.raises(ContractError, match="the size of the first frame"):
        session.process_frame(scene[1][:-1], 2.0)
    with pytest.raises(ContractError, match="timestamp"):
        session.process_frame(scene[1], 0.5)


@pytest.mark.parametrize(
    "options",
    [{"faces": 0}, {"faces": "two"}, {"faces": True}, {"faces": 1, "aus": "dynamic"}, {"aus": "static"},
     {"face": "largest"}, {"faces": 2, "face": FaceChoice("largest")}],
)  # fmt: skip
def test_arguments_that_mean_nothing_are_refused(pipeline, options):
    for where in (pipeline, pipeline.backend, pipeline.staged):
        with pytest.raises(ContractError, match=r"'(faces|aus|face)'"):
            where.start_video(**options)


def test_a_frame_without_a_face_has_the_result_that_a_clip_of_one_face_gives(pipeline):
    empty, camera = np.full((120, 160, 3), 96, np.uint8), Camera.for_image(160, 120)
    expected = pipeline.start_video(camera=camera).process_frame(empty, 0.5)
    ours = pipeline.start_video(faces="all").without_face(index=0, timestamp=0.5, camera=camera)
    for field in fields(expected):
        np.testing.assert_array_equal(getattr(ours, field.name), getattr(expected, field.name), field.name)


def test_a_choice_that_agrees_with_the_widest_face_changes_no_bit(pipeline, scene):
    """Here the widest face is the larger one, too; the other one is followed where its box is named."""
    default, largest = (pipeline.start_video(**options) for options in ({}, {"face": FaceChoice("largest")}))
    first, second = ([s.process_frame(scene[k], k / 30) for k in range(3)] for s in (default, largest))
    for a, b in zip(first, second, strict=True):
        for field in fields(a):
            np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), field.name)
    right = first[0].landmarks[:, 0].mean() > WIDTH
    other = FaceChoice("box", (0 if right else WIDTH, 0, WIDTH, 240))
    result = pipeline.start_video(face=other).process_frame(scene[0], 0.0)
    assert result.success
    assert (result.landmarks[:, 0].mean() > WIDTH) != right


def test_a_clip_of_one_face_is_as_ever(pipeline):
    assert isinstance(pipeline.staged.start_video(), VideoSession)
    assert isinstance(pipeline.staged.start_video(faces=3), ManyFacesSession)
    assert isinstance(pipeline.start_video(faces=3), OneThreadFacesSession)
