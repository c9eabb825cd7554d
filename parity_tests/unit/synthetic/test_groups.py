"""Rendered clips of several people: who is in front hides who is behind, and the truth says what the picture shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.models.synthetic.backdrop import Film
from auparity.models.synthetic.groups import SCENES, Scene, make_group, still_scene, walk
from auparity.models.synthetic.render import NOMINAL_FACE, render_shot
from auparity.models.synthetic.scene import Shot

CANVAS, FRAMES = (200, 150), 4
NEAR, FAR, AWAY = 0, 1, 2


def tracks(rng):
    """The near one stands still; the far one stands to the right, then behind; the third is there at the end only."""
    return [
        walk(FRAMES, [(0, 70, 60, 44), (3, 70, 60, 44)]),
        walk(FRAMES, [(0, 150, 60, 34), (1, 150, 60, 34)], [(2, 70, 62, 34), (3, 70, 62, 34)]),
        walk(FRAMES, [(3, 400, 60, 30), (4, 400, 60, 30)]),
    ]


@pytest.fixture(scope="module")
def group():
    made = make_group(Scene("three people", CANVAS, tracks), 1)
    return replace(made, film=Film.sample(np.random.default_rng(0), 40.0, strength=0.0))


@pytest.fixture(scope="module")
def pictures(group):
    return [group.frame(index) for index in (0, 2)]


def cells_of(seen):
    return np.round(seen.landmarks).astype(int)


def test_people_side_by_side_are_shown_whole(pictures):
    assert [(seen.identity, seen.share) for seen in pictures[0].people] == [(NEAR, 1.0), (FAR, 1.0)]


def test_the_nearer_person_hides_the_farther_one(group, pictures):
    near, far = pictures[1].people
    assert (near.share, far.share) == (1.0, 0.0)
    alone = replace(group, members=(group.members[NEAR],)).frame(2)
    # Where the near face is, the picture is the same as without anybody behind it.
    inner = cells_of(near)[27:68]
    assert (pictures[1].image[inner[:, 1], inner[:, 0]] == alone.image[inner[:, 1], inner[:, 0]]).all()


def test_the_order_of_the_members_does_not_decide_who_is_in_front(group, pictures):
    turned = replace(group, members=group.members[::-1]).frame(2)
    assert (turned.image == pictures[1].image).all()


def test_the_window_changes_no_pixel_of_a_head(group):
    member, index = group.members[NEAR], 0
    x, y, px = member.track[index]
    distance = group.camera.focal * NOMINAL_FACE / px
    place = (np.array([x, y]) - [group.camera.centre_x, group.camera.centre_y]) * distance / group.camera.focal
    script = member.script
    shot = Shot(
        script.aus[index], script.gaze[index], script.rotation[index], np.array([*place, distance]), group.camera,
        group.light, 0.35 * script.rotation[index] * [0.4, 1, 0.5],
    )  # fmt: skip
    image, truth = render_shot(member.person, shot, group.behind)
    whole = group.film.expose(image, np.random.default_rng(0))
    picture = replace(group, members=(member,)).frame(index)
    (seen,) = picture.people
    np.testing.assert_allclose(seen.landmarks, truth.landmarks, atol=1e-6)
    low, high = cells_of(seen).min(axis=0), cells_of(seen).max(axis=0)
    head = np.s_[low[1] - 10 : high[1] + 5, low[0] - 10 : high[0] + 10]
    differences = np.abs(picture.image[head].astype(int) - whole[head])
    # Sums in float32 round differently beside another origin, which moves an edge here and there by one sample.
    assert np.mean(differences > 2) < 0.005


def test_the_head_is_where_the_track_says(group, pictures):
    for seen in pictures[0].people:
        track = group.members[seen.identity].track[0]
        x, y, width, height = seen.box
        assert np.abs(seen.landmarks.mean(axis=0) - track[:2]).max() < 0.15 * track[2]
        assert 0.8 * track[2] < width < 1.1 * track[2]
        np.testing.assert_allclose([x + width, y + height], seen.landmarks.max(axis=0))


def test_a_drawn_person_moves_with_its_landmarks_until_it_is_drawn_again(group):
    member = group.members[NEAR]
    moving = replace(member, track=walk(FRAMES, [(0, 60, 60, 44), (3, 84, 66, 44)]))
    alone = replace(group, members=(moving,), behind=np.zeros_like(group.behind))
    first, second, again = alone.frame(0), alone.frame(1), alone.frame(3)
    moved = np.round(moving.track[1, :2] - moving.track[0, :2]).astype(int)
    assert moved.any()
    np.testing.assert_allclose(second.people[0].landmarks - first.people[0].landmarks, np.tile(moved, (68, 1)))
    cells = cells_of(first.people[0])
    before, after = first.image[cells[:, 1], cells[:, 0]], second.image[cells[:, 1] + moved[1], cells[:, 0] + moved[0]]
    assert (before == after).all()
    assert np.ptp(again.people[0].landmarks - first.people[0].landmarks, axis=0).max() > 0.01
    assert (alone.frame(0).image == first.image).all()


def test_who_is_away_has_no_truth_and_who_is_beside_the_picture_shows_nothing(group, pictures):
    assert AWAY not in {seen.identity for picture in pictures for seen in picture.people}
    outside = replace(group, members=(group.members[AWAY],)).frame(3)
    assert [(seen.identity, seen.share) for seen in outside.people] == [(AWAY, 0.0)]
    assert (outside.image == replace(group, members=()).frame(3).image).all()


def test_the_seed_decides_everything(group, pictures):
    again = make_group(Scene("three people", CANVAS, tracks), 1)
    assert (replace(again, film=group.film).frame(0).image == pictures[0].image).all()
    other = make_group(Scene("three people", CANVAS, tracks), 2)
    assert not np.array_equal(other.members[NEAR].person.identity, group.members[NEAR].person.identity)


def test_a_walk_goes_from_place_to_place_and_is_nowhere_between_visits():
    track = walk(8, [(0, 10, 20, 30), (2, 20, 20, 30)], [(5, 0, 0, 10), (6, 4, 8, 12)])
    np.testing.assert_array_equal(track[[0, 1, 2, 5, 6], 0], [10, 15, 20, 0, 4])
    np.testing.assert_array_equal(track[6], [4, 8, 12])
    assert np.isnan(track[[3, 4, 7]]).all()


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("seed", range(5))
def test_the_people_of_a_scene_come_and_go_inside_its_picture(name, seed):
    scene = SCENES[name]
    made = scene.tracks(np.random.default_rng(seed))
    assert len({track.shape for track in made}) == 1
    assert len(made) == {"cross": 2, "return": 2, "stranger": 3, "ten": 10}[name]
    away = [track for track in made if np.isnan(track).any()]
    assert len(away) == {"cross": 0, "return": 1, "stranger": 2, "ten": 3}[name]
    for track in made:
        present = track[~np.isnan(track[:, 0])]
        inside = (present[:, :2] - 0.5 * present[:, 2:] > 0) & (present[:, :2] + 0.5 * present[:, 2:] < scene.canvas)
        assert inside.all(axis=1).mean() > 0.5
    if name == "cross":
        assert (np.sign(made[0][[0, -1], 0] - made[1][[0, -1], 0]) == [-1, 1]).all()


@pytest.mark.parametrize("people", [1, 2, 4, 12])
def test_people_who_stand_still_have_room(people):
    canvas = (1280, 720) if people == 12 else (960, 540)
    made = still_scene(people, 3, canvas).tracks(np.random.default_rng(0))
    assert len(made) == people
    first = np.stack([track[0] for track in made])
    assert all((track == track[0]).all() for track in made)
    for k, (x, y, px) in enumerate(first):
        others = np.delete(first, k, axis=0)
        assert (np.hypot(others[:, 0] - x, others[:, 1] - y) > 1.5 * px).all()


def test_tracks_of_unequal_length_are_refused():
    with pytest.raises(ContractError, match="tracks of equal shape"):
        make_group(Scene("odd", CANVAS, lambda rng: [np.zeros((2, 3)), np.zeros((3, 3))]), 0)
    with pytest.raises(ContractError, match="1 to 100"):
        make_group(Scene("nobody", CANVAS, lambda rng: []), 0)
