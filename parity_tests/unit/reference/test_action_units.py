"""Linear AU models and the online correction (spec 60.6, 60.8), and the analyser around them (spec 60.1)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from auparity.errors import ContractError
from auparity.models.types import PDM, AUModel, AUPredictors
from auparity.reference import analysis
from auparity.reference.action_units import ActionUnitModels, OnlineCorrection
from auparity.reference.analysis import ImageAnalyser, VideoAnalyser
from auparity.reference.postprocessing import postprocess
from auparity.reference.results import INTENSITY_AUS, PRESENCE_AUS

N_HOG, N_GEOMETRY = 4464, 238
N_FEATURES = N_HOG + N_GEOMETRY
#: AUs whose models are dynamic in OpenFace's own list; "AU04" and the others are static there.
DYNAMIC = ("AU01", "AU02", "AU09", "AU15", "AU17", "AU20", "AU25", "AU26", "AU28", "AU45")


def make_predictors(*, dynamic: tuple[str, ...] = DYNAMIC, seed: int = 0) -> AUPredictors:
    """Random models in an order that is not the CSV's; odd AUs say 1 when the value is positive, even ones 0."""
    rng = np.random.default_rng(seed)

    def model(name: str, task: str) -> AUModel:
        is_dynamic, positive = name in dynamic, float(int(name[2:]) % 2)
        return AUModel(
            task=task, dynamic=is_dynamic, au_names=(name,),  # type: ignore[arg-type]
            means=rng.normal(scale=0.01, size=N_FEATURES), weights=rng.normal(scale=0.05, size=N_FEATURES),
            bias=float(rng.normal()), cutoff=0.5 if task == "intensity" and is_dynamic else None,
            pos_class=positive if task == "presence" else None,
            neg_class=1 - positive if task == "presence" else None,
        )  # fmt: skip

    models = [model(name, "presence") for name in PRESENCE_AUS[::-1]]
    models += [model(name, "intensity") for name in INTENSITY_AUS[::-1]]
    angle, radius = np.arange(68) * 2.4, np.sqrt((np.arange(68) + 0.5) / 68)
    mean = np.concatenate([60 * radius * np.cos(angle), 75 * radius * np.sin(angle), np.zeros(68)])
    triangulation = np.array([(i, (i + 21) % 68, (i + 34) % 68) for i in range(68)], np.int32)
    return AUPredictors(tuple(models), PDM(mean, rng.normal(size=(204, 34)), np.ones(34)), triangulation)


@pytest.fixture(scope="module")
def predictors() -> AUPredictors:
    return make_predictors()


def find(predictors: AUPredictors, task: str, name: str) -> AUModel:
    return next(m for m in predictors.models if m.task == task and m.au_names == (name,))


def features(seed: int, n: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 0.4, (n, N_HOG)), rng.normal(scale=5, size=(n, N_GEOMETRY))


def test_a_dynamic_intensity_is_measured_from_the_median_and_a_static_one_is_not(predictors: AUPredictors) -> None:
    (hog, geometry), (hog_median, geometry_median) = features(1), features(2)
    intensity, _ = ActionUnitModels(predictors).predict(hog, geometry, hog_median, geometry_median)
    z, m = np.concatenate([hog[0], geometry[0]]), np.concatenate([hog_median[0], geometry_median[0]])
    first_of_kind = {d: next(k for k in predictors.models if k.task == "intensity" and k.dynamic == d) for d in (0, 1)}
    for name, value in zip(INTENSITY_AUS, intensity[0], strict=True):
        model = find(predictors, "intensity", name)
        centred = z - first_of_kind[model.dynamic].means - (m if model.dynamic else 0)
        assert value == pytest.approx(float(centred @ model.weights) + model.bias, abs=1e-11), name


def test_presence_is_the_stored_class_on_either_side_of_zero(predictors: AUPredictors) -> None:
    hog, geometry = np.zeros((1, N_HOG)), np.zeros((1, N_GEOMETRY))
    for sign in (1, -1):
        models = tuple(
            replace(m, weights=np.zeros(N_FEATURES), bias=float(sign) * 1e-9) if m.task == "presence" else m
            for m in predictors.models
        )
        _, presence = ActionUnitModels(replace(predictors, models=models)).predict(hog, geometry, hog, geometry)
        odd = np.array([int(name[2:]) % 2 for name in PRESENCE_AUS])
        assert presence[0].tolist() == (odd if sign > 0 else 1 - odd).tolist()


def test_a_value_of_exactly_zero_is_the_negative_class(predictors: AUPredictors) -> None:
    models = tuple(replace(m, weights=np.zeros(N_FEATURES), bias=0.0) for m in predictors.models)
    zero = np.zeros((1, N_HOG)), np.zeros((1, N_GEOMETRY))
    _, presence = ActionUnitModels(replace(predictors, models=models)).predict(*zero, *zero)
    assert presence[0].tolist() == [1 - int(name[2:]) % 2 for name in PRESENCE_AUS]


def test_a_frame_has_the_same_values_alone_and_in_a_batch(predictors: AUPredictors) -> None:
    models = ActionUnitModels(predictors)
    batch = *features(3, 4), *features(4, 4)
    together = models.predict(*batch)
    alone = models.predict(*(rows[2:3] for rows in batch))
    assert np.array_equal(together[0][2:3], alone[0])
    assert np.array_equal(together[1][2:3], alone[1])


def test_photographs_are_measured_by_static_models_and_clamped() -> None:
    models = ActionUnitModels(make_predictors(dynamic=()))
    hog, geometry = features(5, 20)
    raw, _ = models.predict(hog, geometry)
    clamped, presence = models.predict_static(hog, geometry)
    assert raw.min() < 0
    assert raw.max() > 5
    assert np.array_equal(clamped, np.clip(raw, 0, 5))
    assert set(np.unique(presence)) <= {0.0, 1.0}


def test_dynamic_models_without_medians_are_refused(predictors: AUPredictors) -> None:
    with pytest.raises(ContractError, match="median"):
        ActionUnitModels(predictors).predict(*features(6))
    with pytest.raises(ContractError, match="static"):
        ImageAnalyser(predictors)


@pytest.mark.parametrize("task", ["intensity", "presence"])
def test_one_dynamic_model_of_either_task_is_enough_to_need_medians(task: str) -> None:
    static = make_predictors(dynamic=())
    one = next(m for m in static.models if m.task == task)
    models = tuple(replace(m, dynamic=True, cutoff=0.5) if m is one else m for m in static.models)
    assert ActionUnitModels(replace(static, models=models)).needs_medians
    assert not ActionUnitModels(static).needs_medians


def test_bundles_that_cannot_fill_the_output_are_refused_at_once(predictors: AUPredictors) -> None:
    without = [m for m in predictors.models if m.au_names != ("AU12",)]
    presence_only = [m for m in predictors.models if m.au_names != ("AU12",) or m.task == "presence"]
    twice = [*predictors.models, predictors.models[0]]
    two_names = [replace(predictors.models[0], au_names=("AU01", "AU02")), *predictors.models[1:]]
    short = [replace(predictors.models[0], weights=np.zeros(3)), *predictors.models[1:]]
    beyond = [replace(m, cutoff=1.0) if m.cutoff is not None else m for m in predictors.models]
    for models, complaint in (
        (without, "AU12"), (presence_only, "AU12"), (twice, "two of"), (two_names, "one AU a model"),
        (short, "length"), (beyond, "cutoff"), ([], "length"),
    ):  # fmt: skip
        with pytest.raises(ContractError, match=complaint):
            ActionUnitModels(replace(predictors, models=tuple(models)))


def test_cutoffs_belong_to_dynamic_intensities_only(predictors: AUPredictors) -> None:
    models = tuple(replace(m, cutoff=-1.0) if m.au_names == ("AU01",) else m for m in predictors.models)
    cutoffs = dict(zip(INTENSITY_AUS, ActionUnitModels(replace(predictors, models=models)).cutoffs, strict=True))
    assert np.isnan(cutoffs["AU01"]), "-1 says: do not calibrate"
    assert cutoffs["AU02"] == 0.5
    assert np.isnan(cutoffs["AU04"]), "a static model"


def test_the_online_correction_waits_for_ten_faces_then_takes_off_the_lowest_tenth() -> None:
    correction = OnlineCorrection()
    raw = np.full(len(INTENSITY_AUS), 1.0)
    shown = [correction.correct(raw, True)[0] for _ in range(12)]
    assert shown[:9] == [1.0] * 9
    assert shown[9:] == pytest.approx([0.0] * 3, abs=1e-12)  # bin 100 starts at 1.0 = -3 + 100 * 8 / 200
    assert correction.correct(raw + 2, True)[0] == pytest.approx(2.0, abs=1e-12)


def test_the_online_correction_takes_off_the_border_of_the_bin_at_the_lowest_tenth_of_each_au() -> None:
    """By the definition (spec 60.8): of n values in order the one at index trunc(n / 10), lowered to its bin's end."""
    correction = OnlineCorrection()
    bins = np.random.default_rng(0).integers(0, 200, (45, len(INTENSITY_AUS)))
    raw = -3 + (bins + 0.5) * 8 / 200
    raw[bins == 0], raw[bins == 199] = -50, 50  # beyond the histogram: counted in its ends
    for n in range(1, len(raw) + 1):
        zero = -3 + np.sort(bins[:n], axis=0)[n // 10] * 8 / 200 if n >= 10 else 0.0
        np.testing.assert_allclose(correction.correct(raw[n - 1], True), np.clip(raw[n - 1] - zero, 0, 5), atol=1e-12)


def test_the_online_correction_leaves_failed_frames_uncounted_and_clamps() -> None:
    correction = OnlineCorrection()
    raw = np.linspace(-2, 8, len(INTENSITY_AUS))
    assert np.array_equal(correction.correct(raw, False), np.clip(raw, 0, 5))
    assert correction.total == 0


def face_at(x: float, y: float) -> dict[str, np.ndarray]:
    shape = make_predictors().pdm.mean.reshape(3, 68)[:2].T
    local = np.random.default_rng(int(x)).normal(size=34).astype(np.float32)
    return {
        "landmarks": (shape + np.array([x, y])).astype(np.float32),
        "params_global": np.array([1, 0, 0, 0, x, y], np.float32),
        "params_local": local,
    }


def run_clip(analyser: VideoAnalyser, success: list[bool], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noise frames with a face in the middle, or none; intensities (T, 17) and presences (T, 18)."""
    rng = np.random.default_rng(seed)
    rows = []
    for k, found in enumerate(success):
        image = rng.integers(0, 256, (200, 200, 3), dtype=np.uint8)
        face = face_at(90 + k, 100)
        g, p = (face["params_global"], face["params_local"]) if found else (None, None)
        rows.append(analyser.step(image, face["landmarks"], g, p, k / 30))
    return np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])


def test_failed_frames_have_no_action_units(predictors: AUPredictors) -> None:
    success = [False, True, True, False, True, True]
    intensity, presence = run_clip(VideoAnalyser(predictors), success)
    assert intensity.any(axis=1).tolist() == success
    assert not presence[np.logical_not(success)].any()


def test_finishing_changes_nothing_and_may_be_repeated(predictors: AUPredictors) -> None:
    halfway, straight = VideoAnalyser(predictors), VideoAnalyser(predictors)
    run_clip(halfway, [True] * 5)
    before = halfway.finish()
    assert np.array_equal(halfway.finish().intensity, before.intensity)
    run_clip(halfway, [True] * 4, seed=1)
    run_clip(straight, [True] * 5)
    run_clip(straight, [True] * 4, seed=1)
    assert np.array_equal(halfway.finish().intensity, straight.finish().intensity)
    assert np.array_equal(halfway.finish().presence, straight.finish().presence)


def test_re_prediction_uses_the_final_medians(predictors: AUPredictors) -> None:
    """The medians of the last frame are final, so its raw values stand; those of the frames before are replaced."""
    analyser = VideoAnalyser(predictors)
    run_clip(analyser, [True] * 7)
    history, models = analyser.history, analyser.models
    final = analyser.hog_median.median[None], analyser.geometry_median.median[None]
    again = models.predict(np.stack(history.hog), np.stack(history.geometry), *(np.repeat(m, 7, axis=0) for m in final))
    assert np.array_equal(again[0][-1], history.intensity[-1])
    dynamic = models.intensity.dynamic
    assert (again[0][0] != history.intensity[0])[dynamic].all()
    assert np.array_equal(again[0][0][~dynamic], history.intensity[0][~dynamic])


def test_only_the_first_faces_of_a_long_clip_are_predicted_again(predictors: AUPredictors, monkeypatch) -> None:
    monkeypatch.setattr(analysis, "KEPT_FRAMES", 3)
    analyser = VideoAnalyser(predictors)
    run_clip(analyser, [True, False, True, True, True, True])
    history = analyser.history
    assert len(history.hog) == len(history.geometry) == 3
    without_face, _ = analyser.describer.describe_no_face()
    assert all((hog != without_face).any() for hog in history.hog)
    intensity, presence = np.array(history.intensity), np.array(history.presence)
    final = analyser.hog_median.median[None], analyser.geometry_median.median[None]
    for frame, hog, geometry in zip([0, 2, 3], history.hog, history.geometry, strict=True):
        again = analyser.models.predict(hog[None], geometry[None], *final)
        intensity[frame], presence[frame] = again[0][0], again[1][0]
    expected = postprocess(intensity, presence, np.array(history.success), analyser.models.cutoffs)
    assert np.array_equal(analyser.finish().intensity, expected.intensity)
    assert np.array_equal(analyser.finish().presence, expected.presence)


def test_openfaces_static_option_smooths_and_predicts_nothing_again(predictors: AUPredictors) -> None:
    analyser = VideoAnalyser(predictors, dynamic=False)
    run_clip(analyser, [True, True, False, True])
    history = analyser.history
    expected = postprocess(np.array(history.intensity), np.array(history.presence), np.array(history.success))
    assert np.array_equal(analyser.finish().intensity, expected.intensity)
    assert np.array_equal(analyser.finish().presence, expected.presence)


def test_what_a_frame_shows_is_the_callers_own(predictors: AUPredictors) -> None:
    analyser, face = VideoAnalyser(predictors), face_at(90, 100)
    intensity, presence = analyser.step(np.zeros((200, 200, 3), np.uint8), **face)
    kept = intensity.copy(), presence.copy()
    intensity[:], presence[:] = 9, 9
    assert np.array_equal(analyser.history.intensity[0], kept[0])
    assert np.array_equal(analyser.history.presence[0], kept[1])


def test_a_reset_analyser_begins_a_new_clip(predictors: AUPredictors) -> None:
    used, fresh = VideoAnalyser(predictors), VideoAnalyser(predictors)
    run_clip(used, [True] * 3, seed=8)
    used.reset()
    assert np.array_equal(run_clip(used, [False, True, True])[0], run_clip(fresh, [False, True, True])[0])
    assert np.array_equal(used.finish().intensity, fresh.finish().intensity)


def test_a_live_camera_shows_corrected_values_and_remembers_raw_ones(predictors: AUPredictors) -> None:
    offline, online = VideoAnalyser(predictors), VideoAnalyser(predictors, online=True)
    raw, _ = run_clip(offline, [True] * 12)
    shown, _ = run_clip(online, [True] * 12)
    assert np.array_equal(shown[:9], np.clip(raw[:9], 0, 5))
    assert shown.min() >= 0
    assert np.array_equal(online.history.intensity, raw)


def test_an_empty_clip_has_no_action_units(predictors: AUPredictors) -> None:
    offline = VideoAnalyser(predictors).finish()
    assert offline.intensity.shape == (0, 17)
    assert offline.presence.shape == (0, 18)


def test_half_a_fit_is_refused(predictors: AUPredictors) -> None:
    face = face_at(90, 100)
    with pytest.raises(ContractError, match="both"):
        VideoAnalyser(predictors).step(
            np.zeros((200, 200, 3), np.uint8), face["landmarks"], face["params_global"], None
        )


def test_a_photograph_is_measured_without_history() -> None:
    analyser = ImageAnalyser(make_predictors(dynamic=()))
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    faces = [face_at(90, 100), face_at(110, 95), face_at(90, 100)]
    together = {name: np.stack([face[name] for face in faces]) for name in faces[0]}
    first, again = analyser.analyse(image, **together), analyser.analyse(image, **together)
    assert np.array_equal(first[0], again[0])
    assert (first[0].shape, first[1].shape) == ((3, 17), (3, 18))
    assert np.array_equal(first[0][0], first[0][2])
    for k, face in enumerate(faces):  # a face is measured as it is alone
        alone = analyser.analyse(image, **{name: value[None] for name, value in face.items()})
        assert np.array_equal(alone[0][0], first[0][k])
        assert np.array_equal(alone[1][0], first[1][k])
    assert first[0].min() >= 0
    assert first[0].max() <= 5
