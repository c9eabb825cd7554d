"""The making of the AU models: the solver against brute force, features of rendered people, medians, files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from auparity.errors import AuparityError
from auparity.models.formats.au import parse_au, write_au
from auparity.models.synthetic.aus import features as au_features
from auparity.models.synthetic.aus.cutoffs import choose_cutoffs
from auparity.models.synthetic.aus.features import ClipFeatures, Collection, describe_clip, session_script
from auparity.models.synthetic.aus.figures import clip_figures, correlations, f1_scores
from auparity.models.synthetic.aus.linear_svm import Preconditioner, Targets, solve
from auparity.models.synthetic.aus.photos import PhotoFeatures, PhotoTask, describe_part
from auparity.models.synthetic.aus.samples import Samples, blur_orientations, within_samples
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


def problem(samples, width):
    """Samples whose directions differ much in size, and values that depend on them."""
    features = (RNG.standard_normal((samples, width)) * np.logspace(0.5, -1.5, width)).astype(np.float32)
    values = features @ RNG.standard_normal((width, 3)) + 0.3 * RNG.standard_normal((samples, 3)) + 0.5
    return features, values


def objective(point, features, targets, k):
    values = features.astype(np.float64) @ point[:-1] + point[-1]
    excess = np.maximum(values - targets.high[:, k], 0) + np.maximum(targets.low[:, k] - values, 0)
    return 0.5 * point[:-1] @ point[:-1] + (targets.weight[:, k] * excess**2).sum()


@pytest.mark.parametrize("kind", ["regression", "classification"])
@pytest.mark.parametrize("shape", [(150, 7), (12, 20)])
def test_the_solver_finds_what_brute_force_finds(kind, shape):
    features, values = problem(*shape)
    weight = np.array([0.02, 0.5, 3.0])
    regression, classes = Targets.regression(values, 0.2, weight), Targets.classification(values > 0.5, weight)
    targets = regression if kind == "regression" else classes
    weights, biases = solve(features, targets, tolerance=1e-6)
    for k in range(3):
        found = np.append(weights[k], biases[k]).astype(np.float64)
        best = minimize(
            objective, np.zeros(shape[1] + 1), (features, targets, k), method="BFGS", options={"gtol": 1e-8}
        )
        # float32 sums; an objective within 1e-4 has the same predictions to three digits
        assert objective(found, features, targets, k) <= best.fun * (1 + 1e-4) + 1e-6


def test_samples_within_epsilon_and_beyond_the_margin_do_not_matter():
    features, values = problem(200, 4)
    targets = Targets.classification(values > 0.5, np.float32(10))
    weights, biases = solve(features, targets, tolerance=1e-6)
    margin = (features @ weights.T + biases) * np.where(values > 0.5, 1, -1)
    safe = (margin > 1.05).all(axis=1)
    assert safe.any()
    again = solve(features[~safe], Targets.classification(values[~safe] > 0.5, np.float32(10)), tolerance=1e-6)
    np.testing.assert_allclose(again[0], weights, atol=2e-3)
    np.testing.assert_allclose(again[1], biases, atol=2e-3)


def test_a_problem_with_nothing_to_learn_stays_at_zero_and_leaves_the_others_alone():
    features, values = problem(60, 5)
    values[:, 1] = 0
    weights, biases = solve(features, Targets.regression(values, 0.1, np.float32(1)))
    assert not weights[1].any()
    assert biases[1] == 0
    alone = solve(features, Targets.regression(values[:, :1], 0.1, np.float32(1)))
    np.testing.assert_allclose(weights[0], alone[0][0], atol=1e-3)


def test_the_preconditioner_is_the_inverse_where_it_knows_everything():
    features, _ = problem(60, 5)
    weight = np.array([0.3, 2.0], np.float32)
    vectors = RNG.standard_normal((6, 2)).astype(np.float32)
    smooth = Preconditioner.of(features, weight)(vectors)
    for k in range(2):
        hessian = np.eye(5) + 2 * weight[k] * features.T @ features
        np.testing.assert_allclose(hessian @ smooth[:-1, k], vectors[:-1, k], rtol=2e-2, atol=2e-3)


def samples_of(features, aus, people=None, photo=False):
    count = len(aus)
    people = np.zeros(count, int) if people is None else people
    return Samples(features, aus, people, np.full(count, photo), np.zeros(count, np.bool_))


def test_rare_classes_and_frames_weigh_more(monkeypatch):
    aus = np.zeros((100, 18))
    aus[:4, 0] = 3.0
    samples = samples_of(np.zeros((100, 4464), np.float32), aus)
    samples.photo[50:] = True
    seen = []
    monkeypatch.setattr(train_aus, "solve", lambda x, t, **_: seen.append(t) or (np.zeros((18, 4464)), np.zeros(18)))
    train_aus.train_models(samples, "presence", np.ones(4464), np.tile([2.0, 0.5], (1, 18, 1)))
    (targets,) = seen
    assert targets.weight[0, 0] == pytest.approx(2 * np.sqrt(96 / 4))
    assert targets.weight[10, 0] == 2
    assert targets.weight[60, 0] == 1


def fake_sessions(people, frames, seed=0, hold=1):
    """Features in which AU k moves FHOG and geometry feature 10 k, and people differ at rest.

    An expression lasts `hold` frames.
    """
    rng, sessions = np.random.default_rng(seed), []
    for _ in range(people):
        held = rng.uniform(0, 5, (frames, 18)) * (rng.random((frames, 18)) < 0.25)
        aus = np.repeat(held, hold, axis=0)[:frames]
        rest = 0.2 + 0.05 * rng.standard_normal(WIDTH)
        features = rest + 0.0002 * rng.standard_normal((frames, WIDTH))
        features[:, np.arange(18) * 10] += 0.03 * aus
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
    monkeypatch.setattr(train_aus, "WEIGHTS", (1.0, 5.0))
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
    assert min(figures["f1"].values()) > 0.7
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
            weights, biases = (results[f"{kind}_{task}_{field}"] for field in ("weights", "biases"))
            values = (seen - results[f"{kind}_means"]) @ weights.T + biases
            static = train_aus.STATIC_IN_VIDEOS if task == "presence" else ()
            mine = [k for k, name in enumerate(names) if (name in static) == (kind == "static")]
            if task == "intensity":  # weights are stored in float32
                np.testing.assert_allclose(found[:, mine], values[:, mine], atol=1e-4)
            else:
                np.testing.assert_array_equal(found[:, mine] > 0, values[:, mine] > 0)


def test_the_blur_of_orientations_is_symmetric_and_keeps_sums():
    a, b = RNG.standard_normal((2, 1, WIDTH))
    assert (blur_orientations(a) * b).sum() == pytest.approx((a * blur_orientations(b)).sum())
    np.testing.assert_array_equal(blur_orientations(a)[:, 4464:], a[:, 4464:])
    cells, blurred = (v[0, :4464].reshape(144, 31) for v in (a, blur_orientations(a)))
    np.testing.assert_allclose(blurred[:, :18].sum(axis=1), cells[:, :18].sum(axis=1))
    np.testing.assert_array_equal(blurred[:, 27:], cells[:, 27:])
    assert blurred[0, 0] == pytest.approx(0.6 * cells[0, 0] + 0.2 * (cells[0, 1] + cells[0, 17]))


def test_differences_within_people_know_nothing_of_who_they_are():
    sessions = fake_sessions(3, 12)
    samples = within_samples(sessions * 2)
    assert len(samples) == 6 * 12
    for person in range(3):
        rows = (samples.people == person) & ~samples.mirrored
        assert rows.sum() == 12
        np.testing.assert_allclose(samples.features[rows].mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(samples.aus[rows].mean(axis=0), 0, atol=1e-6)
    assert samples.mirrored.sum() == 3 * 12
    assert not samples.photo.any()


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
