"""Which bundle the names and files of networks on a command line mean, and what is said of it."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from auparity.errors import AuparityError, ModelFormatError
from auparity.models import embedded
from auparity.models.bundle import Bundle
from auparity.models.networks import store
from auparity.models.networks.chosen import APPROXIMATION, choose_bundle, description_of, notices_of
from auparity.models.networks.published import read_network
from auparity.models.store import DIRECTORY_VARIABLE
from auparity.models.synthetic.networks.crops import OWN_STAR_MARGIN
from auparity.models.types import MTCNN, STAR, FaceApi, FaceModel, LandmarkNetwork, NetworkStart, RetinaFace
from auparity.parity_tests.unit.helpers import random_networks, tensorflow_js_files, torch_files


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    made = {}
    for name in ("retinaface", "pfld", "mobilefacenet"):
        made[name] = folder / f"{name}_of_mine.pth"
        made[name].write_bytes(torch_files.new_file(getattr(random_networks, name)().tensors.by_name()))
    made["face-api"] = tensorflow_js_files.face_api(folder, "of_mine")
    return {name: str(path) for name, path in made.items()}


def test_without_a_choice_the_embedded_models_have_their_networks():
    bundle = choose_bundle("embedded")
    assert bundle.content_hash == Bundle.embedded().content_hash == embedded.WITH_NETWORKS
    assert dataclasses.replace(bundle).content_hash == embedded.WITH_NETWORKS  # computed, not taken as known
    assert bundle.face is Bundle.embedded(networks=False).face
    assert notices_of(bundle) == []
    said = description_of(bundle)
    assert said["landmarks"] == bundle.face.name
    assert said["detector"].startswith("RetinaFace, embedded (SHA-256 ")
    assert said["start"].startswith("PFLD, embedded (SHA-256 ")
    named = choose_bundle("embedded", detector="retinaface", landmarks="ceclm", start="pfld")
    assert named.content_hash == bundle.content_hash


def test_the_search_of_openface_can_be_asked_for():
    classic = choose_bundle("embedded", detector="mtcnn", start="none")
    assert classic.content_hash == Bundle.embedded(networks=False).content_hash
    assert description_of(classic) == {"detector": "mtcnn", "landmarks": classic.face.name}
    assert not {"detector", "start"} & set(classic.meta.source)
    for name in ("auto", "ceclm", "clnf"):
        model = choose_bundle("embedded", landmarks=name, start="none").serving("landmarker")
        assert isinstance(model, FaceModel)
    begun = choose_bundle("embedded", detector="mtcnn")
    assert isinstance(begun.serving("landmarker"), NetworkStart)  # each option changes what it names
    assert "detector" not in begun.meta.source


def test_landmarks_of_a_network_have_no_start():
    bundle = choose_bundle("embedded", landmarks="star")
    assert isinstance(bundle.serving("landmarker"), LandmarkNetwork)
    assert "start" not in bundle.meta.source
    assert "detector" in bundle.meta.source
    again = choose_bundle("embedded", landmarks="star", start="none")
    assert again.content_hash == bundle.content_hash


def test_other_models_search_and_find_faces_with_their_own(tmp_path):
    from auparity.models import archive

    bundle = Bundle.embedded(networks=False)
    archive.save(bundle, tmp_path / "mine.zip")  # even of the embedded models' name and content
    bundle.to_openface(tmp_path / "folder")
    for source in (tmp_path / "mine.zip", tmp_path / "folder"):
        assert choose_bundle(source).content_hash == bundle.content_hash


def test_a_stored_start_can_be_left_out(files, tmp_path):
    from auparity.models import archive

    archive.save(choose_bundle("embedded", start=files["pfld"]), tmp_path / "b.zip")
    assert isinstance(choose_bundle(tmp_path / "b.zip").serving("landmarker"), NetworkStart)
    bundle = choose_bundle(tmp_path / "b.zip", start="none")
    assert isinstance(bundle.serving("landmarker"), FaceModel)
    assert "start" not in bundle.meta.source


def test_networks_of_files_serve_and_are_recorded_with_their_hashes(files):
    bundle = choose_bundle("embedded", detector=files["retinaface"], landmarks=files["pfld"])
    assert isinstance(bundle.serving("locator"), RetinaFace)
    assert isinstance(bundle.serving("landmarker"), LandmarkNetwork)
    for role, name in (("detector", "retinaface"), ("landmarks", "pfld")):
        chosen = bundle.meta.source[role]
        assert chosen["file"] == files[name]
        with open(files[name], "rb") as file:
            assert chosen["sha256"] == hashlib.sha256(file.read()).hexdigest()
        assert chosen["sha256"][:12] in description_of(bundle)[role]
    assert bundle.meta.source["landmarks"]["note"] == APPROXIMATION
    assert "note" not in bundle.meta.source["detector"]
    assert "never parity" in description_of(bundle)["landmarks"]
    (notice,) = notices_of(bundle)
    assert "approximation" in notice
    assert bundle.content_hash != Bundle.embedded(networks=False).content_hash


def test_a_start_keeps_the_local_models(files):
    bundle = choose_bundle("embedded", start=files["mobilefacenet"])
    model = bundle.serving("landmarker")
    assert isinstance(model, NetworkStart)
    assert model.face is Bundle.embedded(networks=False).face
    assert "MobileFaceNet" in notices_of(bundle)[0]
    assert description_of(bundle)["landmarks"] == model.face.name
    assert bundle.meta.source["landmark_model"] == model.face.name
    with pytest.raises(AuparityError, match="leave"):
        choose_bundle("embedded", landmarks=files["pfld"], start=files["pfld"])


def test_face_api_serves_and_starts_by_file_and_by_name(files, monkeypatch, tmp_path):
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    landmarks = choose_bundle("embedded", landmarks=files["face-api"])
    assert isinstance(landmarks.serving("landmarker").network, FaceApi)
    assert landmarks.meta.source["landmarks"]["file"] == files["face-api"]
    numbers = Path(files["face-api"]).with_name("of_mine.bin").read_bytes()
    assert landmarks.meta.source["landmarks"]["sha256"] == hashlib.sha256(numbers).hexdigest()
    store.put("face-api", Path(files["face-api"]))
    assert choose_bundle("embedded", landmarks="face-api").content_hash == landmarks.content_hash
    started = choose_bundle("embedded", start="face-api").serving("landmarker")
    assert isinstance(started, NetworkStart)
    assert isinstance(started.network, FaceApi)


def test_names_mean_files_of_the_store(files, monkeypatch, tmp_path):
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    with pytest.raises(ModelFormatError, match="auparity models fetch mobilefacenet"):
        choose_bundle("embedded", landmarks="mobilefacenet")  # of which none is embedded
    from pathlib import Path

    store.put("mobilefacenet", Path(files["mobilefacenet"]))
    named = choose_bundle("embedded", landmarks="mobilefacenet")
    assert named.content_hash == choose_bundle("embedded", landmarks=files["mobilefacenet"]).content_hash
    (tmp_path / store.FOLDER / "mobilefacenet.pth").write_bytes(Path(files["pfld"]).read_bytes())
    with pytest.raises(ModelFormatError, match="expected the weights of MobileFaceNet, found those of PFLD"):
        choose_bundle("embedded", landmarks="mobilefacenet")


def test_with_the_embedded_models_names_mean_embedded_networks(files, monkeypatch, tmp_path):
    from pathlib import Path

    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    bundle = choose_bundle("embedded", detector="retinaface", landmarks="pfld")
    assert isinstance(bundle.serving("locator"), RetinaFace)
    for role, name in (("detector", "retinaface"), ("landmarks", "pfld")):
        chosen = bundle.meta.source[role]
        assert (chosen["file"], chosen["sha256"]) == ("embedded", embedded.NETWORKS[name])
    store.put("pfld", Path(files["pfld"]))
    asked = choose_bundle("embedded", landmarks="pfld")
    assert asked.meta.source["landmarks"]["file"] == "embedded"  # as everything of "embedded"
    by_default = choose_bundle(None, landmarks="pfld", detector="retinaface")
    assert by_default.meta.source["landmarks"]["file"] != "embedded"  # the store has one, which may be for real faces
    assert by_default.meta.source["detector"]["file"] == "embedded"


def test_other_models_never_get_an_embedded_network_by_name(monkeypatch, tmp_path):
    from auparity.models import archive

    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    bundle = Bundle.embedded(networks=False)
    archive.save(bundle.with_meta(dataclasses.replace(bundle.meta, name="mine")), tmp_path / "mine.zip")
    with pytest.raises(ModelFormatError, match="auparity models fetch retinaface"):
        choose_bundle(tmp_path / "mine.zip", detector="retinaface")


@pytest.mark.parametrize("name", embedded.NETWORKS)
def test_embedded_networks_are_those_that_are_known(name):
    data = embedded.network_path(name).read_bytes()
    assert hashlib.sha256(data).hexdigest() == embedded.NETWORKS[name]
    found = read_network(embedded.network_path(name))
    assert isinstance(found.network, store.NETWORKS[name].kind)
    if isinstance(found.network, STAR):
        assert found.network.margin == OWN_STAR_MARGIN


def test_all_that_is_embedded_is_below_16_mb():
    sizes = [path.stat().st_size for path in (embedded.path(), *map(embedded.network_path, embedded.NETWORKS))]
    assert sum(sizes) < 16e6


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"detector": "pfld"}, "RetinaFace"),
        ({"landmarks": "retinaface"}, "PFLD, MobileFaceNet, STAR or face-api"),
        ({"start": "retinaface"}, "PFLD, MobileFaceNet, STAR or face-api"),
    ],
)
def test_a_file_of_another_network_is_refused(options, said, files):
    (option, name) = next(iter(options.items()))
    with pytest.raises(AuparityError, match=f"--{option} .*takes {said}"):
        choose_bundle("embedded", **{option: files[name]})


@pytest.mark.parametrize("option", ["detector", "landmarks", "start"])
def test_what_is_neither_a_name_nor_a_file_lists_the_names(option):
    known = {
        "detector": "mtcnn, retinaface",
        "landmarks": "auto, ceclm, clnf, pfld",
        "start": "are pfld, mobilefacenet",
    }
    with pytest.raises(AuparityError, match=known[option]):
        choose_bundle("embedded", **{option: "yolo"})


def test_the_own_detector_must_be_there(files, tmp_path):
    from auparity.models import archive

    bundle = choose_bundle("embedded", detector=files["retinaface"])
    archive.save(bundle, tmp_path / "both.zip")
    again = choose_bundle(tmp_path / "both.zip", detector="mtcnn")
    assert isinstance(again.serving("locator"), MTCNN)
    only = {name: model for name, model in bundle.models.items() if name != "mtcnn"}
    archive.save(Bundle(bundle.meta, only, bundle.serves), tmp_path / "one.zip")
    with pytest.raises(AuparityError, match="has none"):
        choose_bundle(tmp_path / "one.zip", detector="mtcnn")


def test_a_stored_bundle_with_a_landmark_network_is_opened(files, tmp_path):
    from auparity.models import archive

    archive.save(choose_bundle("embedded", landmarks=files["pfld"]), tmp_path / "b.zip")
    bundle = choose_bundle(tmp_path / "b.zip", landmarks=files["mobilefacenet"])
    assert bundle.meta.source["landmark_model"] == "MobileFaceNet"
    assert notices_of(choose_bundle(tmp_path / "b.zip"))
    with pytest.raises(AuparityError, match="no constrained local models"):
        choose_bundle(tmp_path / "b.zip", start=files["pfld"])
