"""OpenFace 2.2's own model files: read, and written back to the same bytes (binary files) or the same numbers (text),
and what the specification says of them (spec 10).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auparity.errors import ModelFormatError
from auparity.models.bundle import Bundle
from auparity.models.formats.au import parse_au, write_au
from auparity.models.formats.ccnf import parse_ccnf, write_ccnf
from auparity.models.formats.cen import parse_cen, write_cen
from auparity.models.formats.early_termination import parse_early_termination, write_early_termination
from auparity.models.formats.lists import parse_list, write_list
from auparity.models.formats.mtcnn import parse_mtcnn_net, write_mtcnn_net
from auparity.models.formats.pdm import parse_pdm, write_pdm
from auparity.models.formats.text import format_matrix, parse_matrix
from auparity.models.formats.triangulation import (
    parse_triangulation,
    parse_triangulations,
    write_triangulation,
    write_triangulations,
)
from auparity.models.formats.validator import parse_validator, write_validator
from auparity.models.types import AUPredictors, CCNFExperts, CENExperts
from auparity.parity_tests.fidelity.recordings import require_shared

pytestmark = pytest.mark.golden

#: Patterns below openface/ -> reader and writer.
BINARY: dict[str, tuple[Callable[[bytes, str], Any], Callable[[Any], bytes]]] = {
    "**/*ccnf_patches*.txt": (parse_ccnf, write_ccnf),
    "model/mtcnn_detector/*.dat": (parse_mtcnn_net, write_mtcnn_net),
    "model/detection_validation/*.txt": (parse_validator, write_validator),
    "AU_predictors/sv*_combined/*.dat": (parse_au, write_au),
}
TEXT: dict[str, tuple[Callable[[bytes, str], Any], Callable[[Any], bytes]]] = {
    "**/*[Pp][Dd][Mm]_*.txt": (parse_pdm, write_pdm),
    "model/tris_68.txt": (parse_triangulations, write_triangulations),
    "*/tris_68_full.txt": (parse_triangulation, write_triangulation),
    "model/early_term_cen_of.txt": (parse_early_termination, write_early_termination),
    "model/haarAlign.txt": (parse_matrix, format_matrix),
}
LISTS = ("**/main_*.txt", "model/c*_general.txt", "model/model_*/clnf_*.txt", "**/MTCNN_detector.txt", "*/AU_all_*.txt")
MOST_CALLS = 1_500_000  # of functions, for the 22 MB of the whole CLNF folder; 500 000 are made, in a tenth of a second


def files(pattern: str) -> list[Path]:
    found = sorted((require_shared() / "openface").glob(pattern))
    assert found, pattern
    return found


def without_comments(data: bytes) -> list[bytes]:
    return [word for line in data.split(b"\n") if not line.startswith(b"#") for word in line.split()]


@pytest.mark.parametrize("pattern", BINARY)
def test_binary_files_are_written_back_byte_for_byte(pattern: str) -> None:
    parse, write = BINARY[pattern]
    for path in files(pattern):
        assert write(parse(path.read_bytes(), str(path))) == path.read_bytes(), path


@pytest.mark.parametrize("pattern", TEXT)
def test_text_files_are_written_back_number_for_number(pattern: str) -> None:
    parse, write = TEXT[pattern]
    for path in files(pattern):
        assert without_comments(write(parse(path.read_bytes(), str(path)))) == without_comments(path.read_bytes()), path


@pytest.mark.parametrize("pattern", LISTS)
def test_lists_are_written_back_line_for_line(pattern: str) -> None:
    for path in files(pattern):
        assert write_list(parse_list(path.read_bytes(), path).entries) == path.read_bytes().rstrip(b"\n"), path


@pytest.mark.parametrize("pattern", BINARY)
def test_truncated_files_are_refused(pattern: str) -> None:
    parse, _ = BINARY[pattern]
    path = files(pattern)[0]
    data = path.read_bytes()
    for size in (0, 3, 11, len(data) // 3, len(data) // 2, len(data) - 1):
        with pytest.raises(ModelFormatError):
            parse(data[:size], str(path))


def test_the_clnf_model_is_what_the_specification_says(openface_bundle: Bundle) -> None:
    face = openface_bundle.face
    assert [part.name for part in face.parts] == ["inner", "left_eye_28", "right_eye_28"]
    shapes = [part.model.pdm.components.shape for part in face.parts]
    assert [face.main.pdm.components.shape, *shapes] == [(204, 34), (153, 32), (84, 10), (84, 10)]
    np.testing.assert_array_equal(face.parts[0].mapping, [[17 + k, k] for k in range(51)])
    np.testing.assert_array_equal(face.parts[1].mapping, [[36 + k, 8 + 2 * k] for k in range(6)])
    np.testing.assert_array_equal(face.parts[2].mapping, [[42 + k, 8 + 2 * k] for k in range(6)])
    assert [experts.scale for experts in face.main.experts] == [0.25, 0.35, 0.5]
    for experts in face.main.experts:
        assert isinstance(experts, CCNFExperts)
        assert experts.view_centres[:, 1].tolist() == [0, -20, -45, -70, 70, 45, 20]
        assert experts.visibility.sum(axis=1).tolist() == [68, 68, 68, 35, 35, 68, 68]
        assert experts.window_sizes == (7, 9, 11, 15)
        assert [c.shape for c in experts.sigma_components] == [(3, w * w, w * w) for w in (7, 9, 11, 15)]
    assert [len(triangles) for triangles in face.main.triangulations] == [97, 97, 82, 31, 97, 82, 31]


def test_all_scales_share_their_sigma_components(openface_bundle: Bundle) -> None:
    first, *others = openface_bundle.face.main.experts
    assert isinstance(first, CCNFExperts)
    for experts in others:
        assert isinstance(experts, CCNFExperts)
        for a, b in zip(first.sigma_components, experts.sigma_components, strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_validator_is_what_the_specification_says(openface_bundle: Bundle) -> None:
    validator = openface_bundle.face.validator
    assert validator.view_centres[:, 1].tolist() == [0, -20, -45, -70, 20, 45, 70]
    assert [view.warp.n_pixels for view in validator.views] == [2642, 2469, 1665, 1491, 2494, 1690, 1536]
    assert [len(view.warp.triangles) for view in validator.views] == [97, 97, 36, 31, 97, 36, 31]


@pytest.mark.parametrize("which", ["video_aus", "image_aus"])
def test_models_of_one_kind_have_the_same_means(openface_bundle: Bundle, which: str) -> None:
    predictors: AUPredictors = getattr(openface_bundle, which)
    assert predictors.triangulation.shape == (111, 3)
    assert predictors.pdm.mean.tobytes() == openface_bundle.face.main.pdm.mean.tobytes()
    first: dict[tuple[str, bool], np.ndarray] = {}
    for model in predictors.models:
        assert model.weights.shape == (4702,)
        np.testing.assert_array_equal(model.means, first.setdefault((model.task, model.dynamic), model.means))


def test_the_video_models_are_those_of_the_specification(openface_bundle: Bundle) -> None:
    models = openface_bundle.video_aus.models
    presence = {model.au_names[0] for model in models if model.task == "presence" and model.dynamic}
    assert presence == {"AU01", "AU02", "AU09", "AU15", "AU17", "AU20", "AU25", "AU26", "AU28", "AU45"}
    cutoffs = {model.au_names[0]: model.cutoff for model in models if model.cutoff is not None}
    assert cutoffs == {
        "AU01": 0.55, "AU02": 0.75, "AU05": 0.8, "AU09": 0.7000000000000001, "AU15": 0.55, "AU17": 0.2, "AU20": 0.65,
        "AU23": 0.65, "AU25": 0.30000000000000004, "AU26": 0.30000000000000004, "AU45": 0.6000000000000001,
    }  # fmt: skip
    assert not any(model.dynamic for model in openface_bundle.image_aus.models)
    positive = {model.au_names[0] for model in models if model.pos_class == 1.0}
    assert positive == {"AU10", "AU12", "AU25"}


def test_openface_s_models_survive_our_folder(openface_bundle: Bundle, tmp_path: Path) -> None:
    openface_bundle.to_openface(tmp_path)
    assert Bundle.from_openface(tmp_path).content_hash == openface_bundle.content_hash


def test_without_the_cen_files_auto_takes_clnf_and_says_so() -> None:
    source = Bundle.from_openface(require_shared() / "openface").meta.source
    assert source["landmark_model"] == "main_clnf_general"
    assert "cen_patches_1.00_of.dat" in source["reason"]


def test_the_clnf_folder_is_read_without_a_loop_over_its_numbers() -> None:
    calls = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        Bundle.from_openface(require_shared() / "openface", landmark_model="clnf")
    finally:
        sys.setprofile(before)
    assert 0 < calls < MOST_CALLS


def test_random_cen_files_of_the_true_sizes_are_written_back_byte_for_byte(random_cen_bundle: Bundle) -> None:
    folder = Path(os.environ["AUPARITY_RANDOM_CEN"])
    paths = sorted(folder.rglob("cen_patches_*_of.dat"))
    assert len(paths) == 4
    for path in paths:
        data = path.read_bytes()
        assert write_cen(parse_cen(data, path)) == data, path
    assert all(isinstance(experts, CENExperts) for experts in random_cen_bundle.face.main.experts)
