"""A bundle is written as OpenFace's model folder and read back to the same content hash; what does not fit together, or
is not there, is refused with the file, the reason and the advice.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auparity.errors import ContractError, ModelFormatError
from auparity.models.bundle import Bundle
from auparity.models.types import BundleMeta, CENExperts, LandmarkNetwork
from auparity.parity_tests.suite import random_networks
from auparity.parity_tests.unit.helpers.factories import make_bundle


@pytest.fixture(scope="module")
def clnf() -> Bundle:
    return make_bundle(0, "clnf", m=4)


@pytest.fixture(scope="module")
def ceclm() -> Bundle:
    return make_bundle(1, "ceclm", m=4)


@pytest.fixture(scope="module")
def folders(clnf: Bundle, ceclm: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with a CLNF and a CE-CLM model side by side and no bundle.json, as OpenFace's is."""
    root = tmp_path_factory.mktemp("models")
    for bundle in (clnf, ceclm):
        bundle.to_openface(root)
    (root / "bundle.json").unlink()
    return root


@pytest.fixture
def copy(folders: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folders, tmp_path / "models")


@pytest.mark.parametrize("kind", ["clnf", "ceclm"])
def test_a_bundle_survives_the_openface_folder(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    bundle: Bundle = request.getfixturevalue(kind)
    bundle.to_openface(tmp_path)
    back = Bundle.from_openface(tmp_path)
    assert back.content_hash == bundle.content_hash
    assert (back.meta.name, back.meta.version, back.meta.licence) == ("random", "0", "none: random numbers")
    back.to_openface(tmp_path / "again")
    first, again = (
        {path.relative_to(root): path.read_bytes() for path in (root / "model").rglob("*") if path.is_file()}
        for root in (tmp_path, tmp_path / "again")
    )
    assert first == again


def test_auto_takes_ce_clm_when_its_experts_are_complete(folders: Path, ceclm: Bundle) -> None:
    bundle = Bundle.from_openface(folders)
    assert bundle.face.main.kind == "cen"
    assert bundle.meta.source["landmark_model"] == "main_ceclm_general"
    np.testing.assert_array_equal(bundle.face.main.pdm.mean, ceclm.face.main.pdm.mean)


def test_auto_takes_clnf_and_says_why_when_an_expert_file_of_ce_clm_is_missing(copy: Path) -> None:
    (copy / "model/patch_experts/cen_general_cen_0.35.dat").unlink()
    bundle = Bundle.from_openface(copy)
    assert bundle.face.main.kind == "ccnf"
    assert bundle.meta.source["reason"] == "auto: CLNF, because CE-CLM lacks cen_general_cen_0.35.dat"
    with pytest.raises(ModelFormatError, match=r"cen_0\.35\.dat.*because .*cen_general\.txt names it"):
        Bundle.from_openface(copy, landmark_model="ceclm")


@pytest.mark.parametrize("name", ["clnf", "main_clnf_general", "main_clnf_general.txt"])
def test_a_landmark_model_can_be_asked_for(folders: Path, name: str) -> None:
    bundle = Bundle.from_openface(folders, landmark_model=name)
    assert bundle.face.name == "main_clnf_general"
    assert bundle.meta.source["reason"] == f"requested: {name}"


def test_an_unknown_landmark_model_is_refused_with_those_that_are_there(folders: Path) -> None:
    with pytest.raises(ModelFormatError, match="main_ceclm_general, main_clnf_general"):
        Bundle.from_openface(folders, landmark_model="wild")


def test_an_installed_openface_is_found_too(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "model", tmp_path / "lib/local/LandmarkDetector/model")
    shutil.copytree(folders / "AU_predictors", tmp_path / "lib/local/FaceAnalyser/AU_predictors")
    assert Bundle.from_openface(tmp_path).content_hash == Bundle.from_openface(folders).content_hash


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.touch()])
def test_a_folder_without_models_is_refused_with_how_to_get_them(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "here")
    with pytest.raises(ModelFormatError, match=r"lib/local.*auparity models fetch openface --accept-license.*--models"):
        Bundle.from_openface(tmp_path / "here")


def test_openface_s_own_folder_has_openface_s_name_and_licence(folders: Path) -> None:
    meta = Bundle.from_openface(folders).meta
    assert (meta.name, meta.version) == ("openface", "2.2.0")
    assert "non-commercial" in meta.licence


def test_the_hash_covers_every_weight_and_name_but_not_where_the_bundle_came_from(clnf: Bundle) -> None:
    renamed = dataclasses.replace(clnf, meta=BundleMeta("other", "9", "none"))
    assert renamed.content_hash == clnf.content_hash
    assert clnf.content_hash.startswith(clnf.short_hash)
    hashes = {clnf.with_models(**{name: changed}).content_hash for name, changed in _changes(clnf)}
    assert len(hashes | {clnf.content_hash}) == 6


def _changes(bundle: Bundle) -> Iterator[tuple[str, Any]]:
    """Roles, and their models with one small thing changed."""
    face, aus, replace = bundle.face, bundle.video_aus, dataclasses.replace
    mean = face.main.pdm.mean.copy()
    mean[5] = np.nextafter(mean[5], 1e9)
    yield "landmarker", replace(face, main=replace(face.main, pdm=replace(face.main.pdm, mean=mean)))
    yield "landmarker", replace(face, name="main_clnf_wild")
    as_column = face.main.pdm.mean.reshape(-1, 1)
    yield "landmarker", replace(face, main=replace(face.main, pdm=replace(face.main.pdm, mean=as_column)))
    yield "video_aus", replace(aus, models=aus.models[1:])
    yield "video_aus", replace(aus, models=(replace(aus.models[0], bias=aus.models[0].bias + 1e-12), *aus.models[1:]))


def test_a_bundle_says_which_of_its_models_serves_which_role(clnf: Bundle) -> None:
    other = make_bundle(9, "clnf", m=3).detector
    both = clnf.with_serving("locator", "mtcnn-2", other)
    assert (both.serves["locator"], both.detector) == ("mtcnn-2", other)
    assert both.models["mtcnn"] is clnf.detector
    assert len({clnf.content_hash, both.content_hash, both.with_serving("locator", "mtcnn").content_hash}) == 3
    assert both.with_models(locator=clnf.detector).models["mtcnn-2"] is clnf.detector
    with pytest.raises(ContractError, match=r"'serves'.*names of models that are there"):
        clnf.with_serving("locator", "nobody")
    with pytest.raises(ContractError, match="roles among locator"):
        clnf.with_models(detector=other)
    with pytest.raises(ContractError, match=r"a model of kind FaceModel.*'mtcnn', a MTCNN"):
        _ = clnf.with_serving("landmarker", "mtcnn").face


def test_a_network_has_the_name_that_the_bundle_gives_it(clnf: Bundle) -> None:
    network = LandmarkNetwork(random_networks.pfld(), clnf.face.main.pdm)
    assert clnf.landmarker_name == clnf.face.name
    assert clnf.with_serving("landmarker", "my pfld", network).landmarker_name == "my pfld"


def test_a_bundle_travels_to_other_processes_with_its_hash(clnf: Bundle) -> None:
    there = pickle.loads(pickle.dumps(clnf))
    assert there.content_hash == clnf.content_hash == Bundle(there.meta, there.models, there.serves).content_hash


def test_two_bundles_of_the_same_weights_have_the_same_hash() -> None:
    assert make_bundle(5, "clnf", m=3).content_hash == make_bundle(5, "clnf", m=3).content_hash
    assert make_bundle(5, "clnf", m=3).content_hash != make_bundle(6, "clnf", m=3).content_hash


@pytest.mark.parametrize("name", ["", "a b", "../up", ".hidden", "ä", "a/b"])
def test_a_name_that_cannot_be_a_file_s_is_refused_on_writing(clnf: Bundle, tmp_path: Path, name: str) -> None:
    face = dataclasses.replace(clnf.face, name=name)
    with pytest.raises(ContractError, match=r"face\.name"):
        clnf.with_models(landmarker=face).to_openface(tmp_path)


def test_two_parts_of_one_name_are_refused_on_writing(clnf: Bundle, tmp_path: Path) -> None:
    face = dataclasses.replace(clnf.face, parts=(clnf.face.parts[0],) * 2)
    with pytest.raises(ContractError, match="twice"):
        clnf.with_models(landmarker=face).to_openface(tmp_path)


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        ("model/main_clnf_general.txt", "42 8", "68 8", "indices below"),
        ("model/main_clnf_general.txt", "DetectionValidator", "Validator", "a line 'DetectionValidator'"),
        ("model/clnf_general.txt", "PatchesCCNF", "PatchesIntensity", "SVR experts"),
        ("model/clnf_general.txt", "ccnf_0.25", "ccnf_0.9", "clnf_general.txt names it"),
        ("model/clnf_general.txt", "clnf_general_pdm.txt", "../model_inner/pdms/clnf_inner_pdm.txt", "experts for"),
        ("model/clnf_general.txt", "ccnf_0.5", "ccnf_0.25", "ascending scales"),
        ("model/mtcnn_detector/MTCNN_detector.txt", "RNet.dat", "PNet.txt", "MTCNN_detector.txt names it"),
        ("AU_predictors/main_dynamic_svms_models.txt", "AU02_dynamic_presence", "gone", "svms_models.txt names it"),
        ("AU_predictors/main_static_svms_triangulation.txt", "20\n3\n4\n", "20\n3\n5\n", "whole numbers"),
    ],
)
def test_lists_that_do_not_fit_together_are_refused(copy: Path, file: str, old: str, new: str, reason: str) -> None:
    _edit(copy / file, old, new)
    with pytest.raises(ModelFormatError, match=reason):
        Bundle.from_openface(copy, landmark_model="clnf")


def test_a_visible_landmark_needs_an_expert_or_a_mirrored_one(ceclm: Bundle, tmp_path: Path) -> None:
    experts = ceclm.face.main.experts[0]
    assert isinstance(experts, CENExperts)
    blind = tuple(tuple(dataclasses.replace(patch, layers=()) for patch in view) for view in experts.patches)
    broken = (dataclasses.replace(experts, patches=blind), *ceclm.face.main.experts[1:])
    face = dataclasses.replace(ceclm.face, main=dataclasses.replace(ceclm.face.main, experts=broken))
    ceclm.with_models(landmarker=face).to_openface(tmp_path)
    with pytest.raises(ModelFormatError, match="none for landmark 0 in view 0"):
        Bundle.from_openface(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"name": 1}', '{"name": "a", "version": "1"}', "[" * 100_000, "\0"])
def test_a_damaged_bundle_json_is_refused(copy: Path, text: str) -> None:
    (copy / "bundle.json").write_text(text)
    with pytest.raises(ModelFormatError, match=r"bundle\.json"):
        Bundle.from_openface(copy)


LISTS = (
    "model/main_clnf_general.txt", "model/clnf_general.txt", "model/mtcnn_detector/MTCNN_detector.txt",
    "model/model_inner/main_part.txt", "AU_predictors/main_static_svms.txt",
    "AU_predictors/main_static_svms_models.txt",
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(LISTS), st.integers(0, 10**6), st.binary(min_size=1, max_size=6))
def test_a_damaged_list_gives_a_bundle_or_a_refusal(copy: Path, file: str, place: int, piece: bytes) -> None:
    path = copy / file
    whole = path.read_bytes()
    place %= len(whole)
    path.write_bytes(whole[:place] + piece + whole[place + len(piece) :])
    with contextlib.suppress(ModelFormatError):
        Bundle.from_openface(copy, landmark_model="clnf")
    path.write_bytes(whole)
