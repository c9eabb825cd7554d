"""The making of the AU models: the regressions against brute force, features of rendered people, medians, files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auparity.errors import AuparityError
from auparity.models.formats.au import parse_au, write_au
from auparity.models.synthetic.aus import features as au_features
from auparity.models.synthetic.aus.cutoffs import choose_cutoffs
from auparity.models.synthetic.aus.features import ClipFeatures, Collection, describe_clip, session_script
from auparity.models.synthetic.aus.figures import clip_figures, correlations, f1_scores
from auparity.models.synthetic.aus.photos import PhotoFeatures, PhotoTask, describe_part
from auparity.models.synthetic.aus.ridge import Subspace, ridge
from auparity.models.synthetic.aus.samples import (
    Samples,
    blur,
    blur_cells,
    blur_orientations,
    centred,
    feature_scale,
    within_samples,
)
from auparity.models.synthetic.clips import make_clip
from auparity.models.synthetic.training import aus as train_aus
from auparity.models.synthetic.training.processes import run_tasks
from auparity.models.synthetic.training.shape import MIRROR_68
from auparity.models.synthetic.training.workspace import Workspace
from auparity.models.synthetic.types import AU_NAMES, Picture, Truth
from auparity.models.synthetic.warps import mask_triangulation
from auparity.models.synthetic.weak_perspective import WeakPerspective
from auparity.parity_tests.unit.synthetic.test_train_validator import PDM, some_photos
from auparity.reference.action_units import ActionUnitModels
from auparity.reference.analysis import VideoAnalyser
from auparity.reference.fit_shape import fit_shape
from auparity.reference.pdm import ShapeModel
from auparity.reference.postprocessing import postprocess
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

RNG = np.random.default_rng(17)
TRIANGULATION = mask_triangulation(PDM)
WIDTH = 4464 + 3 * 68 + PDM.n_modes
#: FHOG features, one for each AU, that no blur mixes: cells two apart, and orientations six apart in neighbouring ones.
SIGNS = np.array([(4 * (k // 6) * 12 + 2 * (k % 6)) * 31 + 6 * (k % 3) for k in range(18)])


def problem(samples, width):
    """Samples whose directions differ much in size, and values that depend on them."""
    features = (RNG.standard_normal((samples, width)) * np.logspace(0.5, -1.5, width)).astype(np.float32)
    values = features @ RNG.standard_normal((width, 3)) + 0.3 * RNG.standard_normal((samples, 3)) + 0.5
    return features, values


@pytest.mark.parametrize("shape", [(150, 7), (12, 20)])
def test_regressions_are_those_of_the_normal_equations(shape):
    features, values = problem(*shape)
    strengths = (0.02, 0.5, 3.0)
    weights = ridge(features, values, strengths)
    wide = np.column_stack([features, np.ones(len(features))]).astype(np.float64)
    free = np.diag([1.0] * shape[1] + [0.0])  # of a penalty on the bias
    for k, strength in enumerate(strengths):
        expected = np.linalg.solve(wide.T @ wide + free / (2 * strength), wide.T @ values)
        np.testing.assert_allclose(weights[k], expected[:-1], rtol=1e-3, atol=1e-4)


def test_a_target_that_does_not_vary_has_no_weights():
    features, values = problem(60, 5)
    values[:, 1] = 2.0
    weights = ridge(features, values, (1.0,))
    assert np.abs(weights[0, :, 1]).max() < 1e-6
    np.testing.assert_allclose(weights[0, :, 0], ridge(features, values[:, :1], (1.0,))[0, :, 0], atol=1e-5)


def test_principal_directions_are_those_of_the_samples():
    features, _ = problem(200, 40)
    features -= features.mean(axis=0)
    directions = Subspace.of(features, 6).directions
    np.testing.assert_allclose(directions.T @ directions, np.eye(6), atol=1e-4)
    exact = np.linalg.svd(features, full_matrices=False)[2][:6].T
    kept = np.linalg.norm(features @ directions) / np.linalg.norm(features @ exact)
    assert kept == pytest.approx(1, abs=1e-3)
    np.testing.assert_array_equal(Subspace.of(features, 6).directions, directions)  # seeded
    assert Subspace.of(features[:4], 6).directions.shape == (40, 4)


def samples_of(features, aus, people):
    nothing = np.zeros(len(aus), np.bool_)
    return Samples(features.astype(np.float32), aus.astype(np.float32), people, nothing, nothing)


def test_models_are_in_intensities_and_do_not_look_at_geometry():
    """However strongly they are regularised, and although geometry would tell everything."""
    rng, people = np.random.default_rng(5), np.repeat(np.arange(40), 5)
    aus = rng.uniform(0, 5, (200, 18))
    features = 0.001 * rng.standard_normal((200, WIDTH))
    features[:, SIGNS] += 0.02 * aus
    features[:, 4464 + np.arange(18)] = aus
    samples = samples_of(features - features.mean(axis=0), aus, people)
    models, others = train_aus.fit_models(samples, feature_scale(samples.features))
    unseen = train_aus.held_out(samples)
    assert set(unseen.people.tolist()) == {k for k in range(40) if k % train_aus.FOLD == train_aus.FOLD - 1}
    for fitted in (models, others):
        assert correlations(fitted.values(unseen.features), unseen.aus).min() > 0.9
        assert not fitted.weights[:, 4464:].any()
        slope = np.polyfit(unseen.aus.ravel(), fitted.values(unseen.features).ravel(), 1)[0]
        assert 0.8 < slope < 1.2


def test_the_smallest_strength_that_is_nearly_as_good_is_chosen(monkeypatch):
    rng = np.random.default_rng(6)
    samples = samples_of(rng.standard_normal((80, WIDTH)), rng.uniform(0, 5, (80, 18)), np.repeat(np.arange(8), 10))
    chosen = []
    for ease in (0.0, 3.0):
        monkeypatch.setattr(train_aus, "EASE", ease)
        chosen.append(train_aus.fit_models(samples, np.ones(WIDTH, np.float32))[0].strengths)
    assert (chosen[1] == train_aus.STRENGTHS[0]).all()
    assert (chosen[0] >= chosen[1]).all()
    assert (chosen[0] > chosen[1]).any()


def test_thresholds_separate_present_from_absent():
    aus = RNG.uniform(0, 5, (400, 18))
    values = 0.5 * aus + 0.3
    thresholds = train_aus.choose_thresholds(values, aus)
    assert ((thresholds > 0.7) & (thresholds < 0.95)).all()


def fake_sessions(people, frames, seed=0, hold=1):
    """Features in which AU k moves FHOG feature SIGNS[k] and geometry feature 10 k, and people differ at rest.

    An expression lasts `hold` frames.
    """
    rng, sessions = np.random.default_rng(seed), []
    for _ in range(people):
        held = rng.uniform(0, 5, (frames, 18)) * (rng.random((frames, 18)) < 0.25)
        aus = np.repeat(held, hold, axis=0)[:frames]
        rest = 0.2 + 0.05 * rng.standard_normal(WIDTH)
        features = rest + 0.0002 * rng.standard_normal((frames, WIDTH))
        features[:, SIGNS] += 0.03 * aus
        features[:, 4464 + np.arange(18) * 10] += aus  # mm
        features = features.astype(np.float32)
        final = np.median(features, axis=0)
        sessions.append(ClipFeatures(features, np.tile(final, (frames, 1)), final, aus, np.ones(frames, np.bool_)))
    return sessions


def train_on(sessions, workspace, monkeypatch):
    """`train_aus.train` on given features instead of rendered ones."""
    photos = PhotoFeatures(
        np.concatenate([s.features[:4] for s in sessions]),
        np.concatenate([s.aus[:4] for s in sessions]),
        np.repeat(np.arange(len(sessions)), 4),
        np.zeros(4 * len(sessions), np.bool_),
    )
    monkeypatch.setattr(train_aus, "collect", lambda _, wanted: sessions * 2 if wanted.sessions else sessions)
    monkeypatch.setattr(train_aus, "describe_photos", lambda *_: photos)
    train_aus.train(workspace, PDM, TRIANGULATION, None, some_photos(1), some_photos(1))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("aus"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        train_on(fake_sessions(8, 50), workspace, monkeypatch)
    return workspace


def test_both_lists_have_every_au_and_both_kinds(trained):
    video, image = train_aus.load_aus(trained)
    for predictors in (video, image):
        ActionUnitModels(predictors)  # one model for each AU of the output
        assert [m.au_names[0] for m in predictors.models if m.task == "presence"] == list(PRESENCE_AUS)
        assert [m.au_names[0] for m in predictors.models if m.task == "intensity"] == list(INTENSITY_AUS)
    assert {(m.task, m.dynamic) for m in video.models} == {
        ("intensity", True),
        ("presence", True),
        ("presence", False),
    }
    assert not any(m.dynamic for m in image.models)
    for model in video.models:
        assert (model.cutoff is not None) == (model.dynamic and model.task == "intensity")
        assert ((model.pos_class, model.neg_class) == (1.0, 0.0)) == (model.task == "presence")


def test_models_of_a_kind_share_their_means(trained):
    video, image = train_aus.load_aus(trained)
    for dynamic in (True, False):
        means = [m.means for m in (*video.models, *image.models) if m.dynamic == dynamic]
        assert all(np.array_equal(means[0], other) for other in means)


def test_models_survive_their_files(trained):
    for model in train_aus.load_aus(trained)[0].models:
        again = parse_au(write_au(model), au_names=model.au_names)
        np.testing.assert_array_equal(again.weights, model.weights)
        assert (again.task, again.dynamic, again.bias, again.cutoff) == (
            model.task,
            model.dynamic,
            model.bias,
            model.cutoff,
        )


def test_a_video_of_another_person_is_measured_in_intensities(trained):
    figures = clip_figures(train_aus.load_aus(trained)[0], fake_sessions(8, 120, seed=9, hold=10), 960)
    assert figures["correlations_above_0.85"] == 17
    assert figures["mean_correlation"] > 0.95
    # Static models see people who differ at rest more than an AU moves them.
    assert min(f1 for name, f1 in figures["f1"].items() if name not in train_aus.STATIC_IN_VIDEOS) > 0.7
    assert min(figures["f1"].values()) > 0.4
    assert max(figures["mean_absolute_error"].values()) < 0.6
    assert figures["tracked_frames"] == 960


def test_the_reference_subtracts_medians_as_training_did(trained):
    results = trained.load("aus")
    models = ActionUnitModels(train_aus.load_aus(trained)[0])
    (clip,) = fake_sessions(1, 20, seed=3)
    features, medians = clip.features.astype(np.float64), np.tile(clip.final_medians.astype(np.float64), (20, 1))
    said = models.predict(features[:, :4464], features[:, 4464:], medians[:, :4464], medians[:, 4464:])
    for kind, seen in (("static", features), ("dynamic", features - medians)):
        for found, task, names in zip(said, ("intensity", "presence"), (INTENSITY_AUS, PRESENCE_AUS), strict=True):
            rows = [AU_NAMES.index(name) for name in names]
            values = (seen - results[f"{kind}_means"]) @ results[f"{kind}_weights"][rows].T
            values += results[f"{kind}_biases"][rows]
            if task == "presence":
                values -= results[f"{kind}_thresholds"][rows]
            static = train_aus.STATIC_IN_VIDEOS if task == "presence" else ()
            mine = [k for k, name in enumerate(names) if (name in static) == (kind == "static")]
            if task == "intensity":  # weights are stored in float32
                np.testing.assert_allclose(found[:, mine], values[:, mine], atol=1e-4)
            else:
                np.testing.assert_array_equal(found[:, mine] > 0, values[:, mine] > 0)


@pytest.mark.parametrize("operator", [blur, blur_cells, blur_orientations])
def test_blurs_are_symmetric_and_leave_geometry_alone(operator):
    a, b = RNG.standard_normal((2, 1, WIDTH))
    assert (operator(a) * b).sum() == pytest.approx((a * operator(b)).sum())
    np.testing.assert_array_equal(operator(a)[:, 4464:], a[:, 4464:])


def test_the_blur_of_orientations_keeps_sums():
    a = RNG.standard_normal((1, WIDTH))
    cells, blurred = (v[0, :4464].reshape(144, 31) for v in (a, blur_orientations(a)))
    np.testing.assert_allclose(blurred[:, :18].sum(axis=1), cells[:, :18].sum(axis=1))
    np.testing.assert_array_equal(blurred[:, 27:], cells[:, 27:])
    assert blurred[0, 0] == pytest.approx(0.6 * cells[0, 0] + 0.2 * (cells[0, 1] + cells[0, 17]))


def test_the_blur_of_cells_keeps_sums_and_spreads_to_neighbours():
    one = np.zeros((1, WIDTH))
    one[0, (3 * 12 + 0) * 31 + 7] = 1.0  # a cell at the left border
    blurred = blur_cells(one)[0, :4464].reshape(12, 12, 31)
    assert blurred[..., 7].sum() == pytest.approx(1)
    np.testing.assert_allclose(blurred[3, :3, 7], [0.5 * 0.75, 0.5 * 0.25, 0])
    np.testing.assert_allclose(blurred[2:5, 0, 7], [0.25 * 0.75, 0.5 * 0.75, 0.25 * 0.75])
    assert not np.delete(blurred, 7, axis=2).any()


def test_differences_within_people_know_nothing_of_who_they_are():
    sessions = fake_sessions(3, 12)
    people, mirrored = np.array([0, 0, 1, 0]), np.array([False, False, False, True])
    shown = PhotoFeatures(sessions[0].features[:4], sessions[0].aus[:4], people, mirrored)
    samples = within_samples(sessions * 2, shown)
    assert len(samples) == 6 * 12 + 2  # of the images, only those that show one person twice
    for person in range(3):
        rows = (samples.people == person) & ~samples.mirrored
        assert rows.sum() == 12
        np.testing.assert_allclose(samples.features[rows].mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(samples.aus[rows].mean(axis=0), 0, atol=1e-6)
    assert samples.mirrored.sum() == 3 * 12
    assert samples.photo.sum() == 2
    np.testing.assert_allclose(samples.features[samples.photo].mean(axis=0), 0, atol=1e-5)
    assert (samples.people[samples.photo] == 3).all()


def test_groups_are_centred_one_by_one():
    values = np.array([[1.0], [5.0], [3.0], [7.0]], np.float32)
    without, several = centred(values, np.array([9, 2, 9, 4]))
    np.testing.assert_allclose(without[:, 0], [-1, 0, 1, 0])
    assert several.tolist() == [True, False, True, False]
    assert without.dtype == np.float32


def test_a_face_at_rest_reads_zero(trained):
    figures_of = train_aus.load_aus(trained)[0]
    (clip,) = fake_sessions(1, 120, seed=5, hold=10)
    models = ActionUnitModels(figures_of)
    features, medians = clip.features.astype(np.float64), np.tile(clip.final_medians.astype(np.float64), (120, 1))
    raw, _ = models.predict(features[:, :4464], features[:, 4464:], medians[:, :4464], medians[:, 4464:])
    shown = postprocess(raw, np.zeros((120, 18)), np.ones(120, np.bool_), models.cutoffs).intensity
    rest = clip.aus[:, train_aus.COLUMNS] == 0
    assert shown[rest].mean() < 0.15


def test_cutoffs_lie_among_the_values_of_rest():
    """AUs rest for most of a clip: the quantile is neither the lowest value nor one of an expression."""
    truth = RNG.uniform(0, 5, (400, 17)) * (RNG.random((400, 17)) < 0.2)
    truth -= truth.mean(axis=0)
    cutoffs = choose_cutoffs(0.8 * truth + RNG.normal(0, 0.4, truth.shape), truth)
    assert ((cutoffs >= 0.3) & (cutoffs <= 0.75)).all()


def test_what_is_done_is_not_done_again(trained, monkeypatch):
    monkeypatch.setattr(train_aus, "collect", None)
    train_aus.train(trained, PDM, TRIANGULATION, None, None, None)
    with pytest.raises(AuparityError, match="run the training step"):
        train_aus.load_aus(Workspace(trained.folder / "empty"))


def test_correlation_and_f1_of_nothing_are_zero():
    truth = np.column_stack([np.zeros(5), np.arange(5.0)])
    np.testing.assert_allclose(correlations(np.column_stack([np.arange(5.0), 2 * np.arange(5.0)]), truth), [0, 1])
    said = np.array([[True, False], [True, False]])
    np.testing.assert_allclose(f1_scores(said, np.array([[True, False], [False, False]])), [2 / 3, 0])


@pytest.fixture(scope="module")
def small_clip():
    """Three frames of a rendered clip with their true landmarks."""
    clip = make_clip(3_000_001, 3)
    return [clip.frame(k) for k in range(3)]


def test_features_of_a_clip_are_those_of_the_analyser(small_clip, trained):
    tracked = [(picture, picture.truth.landmarks.astype(np.float32)) for picture in small_clip]
    tracked.insert(1, (small_clip[0], None))  # a frame that was lost
    stored = describe_clip(iter(tracked), PDM, TRIANGULATION)
    video, _ = train_aus.load_aus(trained)
    analyser = VideoAnalyser(replace(video, pdm=PDM, triangulation=TRIANGULATION))
    for picture, landmarks in tracked:
        g, p = (None, None) if landmarks is None else (a[0] for a in fit_shape(ShapeModel(PDM), landmarks[None]))
        analyser.step(picture.image, tracked[0][1] if landmarks is None else landmarks, g, p)
    np.testing.assert_array_equal(stored["hog"][:-1], np.array(analyser.history.hog, np.float16))
    np.testing.assert_array_equal(stored["geometry"][:-1], np.array(analyser.history.geometry, np.float32))
    np.testing.assert_array_equal(stored["hog"][-1], analyser.hog_median.median.astype(np.float16))
    np.testing.assert_array_equal(stored["geometry_medians"][-1], analyser.geometry_median.median.astype(np.float32))
    assert stored["index"].tolist() == [0, 2, 3]
    np.testing.assert_array_equal(stored["aus"], np.array([p.truth.aus for p in small_clip], np.float32))


def test_a_clip_that_was_never_tracked_leaves_no_rows(small_clip):
    stored = describe_clip(iter([(small_clip[0], None)]), PDM, TRIANGULATION)
    assert stored["hog"].shape == (1, 4464)
    assert len(stored["aus"]) == len(stored["index"]) == 0


def test_noisy_landmarks_are_near_the_truth_and_are_shapes_of_the_model(small_clip):
    noisy = list(au_features._noisy(iter(small_clip), PDM, np.random.default_rng(0)))
    for picture, landmarks in noisy:
        error = np.linalg.norm(landmarks - picture.truth.landmarks, axis=1).mean()
        eyes = np.linalg.norm(picture.truth.landmarks[45] - picture.truth.landmarks[36])
        assert 0.005 < error / eyes < 0.08
        g, p = fit_shape(ShapeModel(PDM), landmarks[None])
        # px; the fit is drawn to the mean shape a little
        np.testing.assert_allclose(ShapeModel(PDM).shape_2d(g, p)[0], landmarks, atol=0.6)


def test_a_session_keeps_the_person_and_mixes_in_drawn_expressions():
    frames = 20
    clip = make_clip(3_000_002, frames * au_features.SESSION_STRIDE)
    drawn = np.arange(frames) % 2 == 0
    script = session_script(clip.script, drawn, np.random.default_rng(0))
    np.testing.assert_array_equal(script.aus[~drawn], clip.script.aus[:: au_features.SESSION_STRIDE][~drawn])
    assert (script.aus[drawn] > 0).any(axis=1).mean() > 0.5
    assert len(script.gaze) == len(script.rotation) == len(script.offset) == frames


def test_people_are_collected_once(tmp_path, monkeypatch):
    """Two people and their mirror images in two processes; a second call finds them."""
    workspace = Workspace(tmp_path)
    wanted = Collection("people", 3_000_010, 2, 2, True, PDM, TRIANGULATION)
    first = au_features.collect(workspace, wanted)
    assert [clip.features.shape for clip in first] == [(2, WIDTH)] * 4  # and their mirror images
    assert first[0].aus.shape == (2, len(AU_NAMES))
    monkeypatch.setattr(au_features, "run_tasks", None)
    again = au_features.collect(workspace, wanted)
    np.testing.assert_array_equal(first[1].features, again[1].features)


def failing_task(folder, number):
    (folder / str(number)).touch()
    raise AuparityError(f"task {number}")


def test_tasks_that_have_not_begun_are_dropped_when_one_fails(tmp_path):
    with pytest.raises(AuparityError, match="task"):
        run_tasks(Workspace(tmp_path), "tasks", failing_task, [(tmp_path, k) for k in range(20)])
    assert not (tmp_path / "19").exists()


def test_only_suitable_photographs_are_described(tmp_path):
    photos, workspace = some_photos(8), Workspace(tmp_path)
    describe_part(workspace, PhotoTask("part", photos, 0, 8, PDM, TRIANGULATION, None))
    stored = workspace.load("part")
    kept = np.unique(stored["index"])
    faces = WeakPerspective(PDM).fit(photos.landmarks.astype(np.float64), photos.pose[:, 3:])
    turned = np.arccos(np.clip(faces.rotation[:, 2, 2], -1, 1))
    assert (turned[kept] < np.radians(60)).all()
    assert set(range(8)) - set(kept.tolist())
    assert stored["hog"].shape == (2 * len(kept), 4464)
    assert stored["mirrored"].mean() == 0.5


def test_a_mirrored_face_has_mirrored_features(small_clip):
    truth = small_clip[0].truth.landmarks.astype(np.float32)
    twice = au_features.mirrored(au_features.mirrored((small_clip[0], truth)))
    np.testing.assert_array_equal(twice[0].image, small_clip[0].image)
    np.testing.assert_allclose(twice[1], truth, atol=1e-3)
    straight = describe_clip(iter([(small_clip[0], truth)]), PDM, TRIANGULATION)
    turned = describe_clip(iter([au_features.mirrored((small_clip[0], truth))]), PDM, TRIANGULATION)
    y = slice(68, 136)  # vertical displacements
    # Not equal: the shape model itself is not quite symmetric.
    assert np.corrcoef(straight["geometry"][0, y][MIRROR_68], turned["geometry"][0, y])[0, 1] > 0.95
    texture, other = (seen["hog"][0].reshape(12, 12, 31)[..., 27:].sum(axis=-1) for seen in (straight, turned))
    assert np.corrcoef(texture[:, ::-1].ravel(), other.ravel())[0, 1] > 0.9
    np.testing.assert_array_equal(straight["aus"], turned["aus"])


def test_a_background_has_no_features():
    picture = Picture(np.zeros((60, 60, 3), np.uint8), None)
    assert Truth is not None
    assert list(au_features._noisy(iter([picture]), PDM, np.random.default_rng(0))) == [(picture, None)]
