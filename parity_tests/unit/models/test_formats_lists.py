"""Lists name model files (spec 10.2): what they mean, and what is refused with the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auparity.errors import ModelFormatError
from auparity.models.formats.lists import EntryList, au_names_of, parse_list, part_entry, part_value, write_list

MAIN = (
    b"LandmarkDetector some_model.txt\r\n"
    b"LandmarkDetector_part eyes/main_left.txt left_eye_28 36 8 37 10\r\n"
    b"FaceDetConversion haarAlign.txt\r\n"
    b"DetectionValidator validators/my validator.txt"
)


def main_list() -> EntryList:
    return parse_list(MAIN, "models/main.txt")


def test_paths_are_relative_to_the_list_and_may_hold_spaces() -> None:
    main = main_list()
    assert main.path(main.one("DetectionValidator")) == Path("models/validators/my validator.txt")


def test_unknown_keys_are_kept_when_a_list_is_written_back() -> None:
    assert write_list(main_list().entries) == MAIN.replace(b"\r", b"")


def test_a_part_is_a_main_list_a_name_and_pairs_of_indices() -> None:
    main = main_list()
    part = part_entry(main, main.one("LandmarkDetector_part"))
    assert (part.path, part.name) == (Path("models/eyes/main_left.txt"), "left_eye_28")
    np.testing.assert_array_equal(part.mapping, [[36, 8], [37, 10]])
    assert part_value("eyes/main_left.txt", part.name, part.mapping) == main.one("LandmarkDetector_part").value


@pytest.mark.parametrize("value", ["", "path", "path name", "path name 1", "path name 1 2 3", "path name 1 -2"])
def test_a_part_without_whole_pairs_is_refused_at_its_line(value: str) -> None:
    main = parse_list(b"LandmarkDetector m.txt\nLandmarkDetector_part " + value.encode())
    with pytest.raises(ModelFormatError) as caught:
        part_entry(main, main.one("LandmarkDetector_part"))
    assert caught.value.offset == 23


def test_an_au_line_may_name_several_aus() -> None:
    models = parse_list(b"folder/a.dat AU01\nfolder/b.dat AU02,AU05")
    assert [au_names_of(models, entry) for entry in models.entries] == [("AU01",), ("AU02", "AU05")]


@pytest.mark.parametrize("line", [b"folder/a.dat", b"folder/a.dat AU01,", b"folder/a.dat AU01 AU02"])
def test_an_au_line_without_names_is_refused(line: bytes) -> None:
    models = parse_list(line)
    with pytest.raises(ModelFormatError, match="names of AUs"):
        au_names_of(models, models.entries[0])


def test_a_missing_or_doubled_line_is_refused() -> None:
    lines = parse_list(b"PDM a.txt\nPDM b.txt")
    with pytest.raises(ModelFormatError, match="one line 'PDM'"):
        lines.one("PDM")
    with pytest.raises(ModelFormatError, match="a line 'PatchesCCNF'"):
        lines.one("PatchesCCNF")


@pytest.mark.parametrize("data", [b"", b"\n \r\n", b"\xff\xfe", b"PDM a\0b.txt"])
def test_what_is_no_list_is_refused(data: bytes) -> None:
    with pytest.raises(ModelFormatError):
        parse_list(data)
