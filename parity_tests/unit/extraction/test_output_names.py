"""What the tables of a run are called: after their inputs, and no two the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from auparity.errors import AuparityError
from auparity.extraction.output_names import output_names


def paths(*names: str) -> list[Path]:
    return [Path("/study") / name for name in names]


def test_a_table_is_called_after_its_input():
    assert output_names(paths("a/one.mp4", "b/two.tar.mp4")) == ["one", "two.tar"]


def test_folders_are_kept_where_names_collide_also_in_upper_case():
    assert output_names(paths("x/sub-01/face.mp4", "x/sub-02/Face.mp4", "x/other.mp4")) == [
        "sub-01/face", "sub-02/Face", "other",
    ]  # fmt: skip


def test_files_of_one_folder_that_differ_in_their_suffix_keep_it():
    assert output_names(paths("face.mp4", "face.avi", "b.mp4")) == ["face.mp4", "face.avi", "b"]
    both = output_names(paths("x/face.mp4", "x/face.avi", "y/face.mp4"))
    assert both == ["x/face.mp4", "x/face.avi", "y/face"]


def test_folders_are_kept_or_not_as_asked():
    assert output_names(paths("x/a.mp4", "y/b.mp4"), keep_tree=True) == ["x/a", "y/b"]
    with pytest.raises(AuparityError, match="would both be written"):
        output_names(paths("x/a.mp4", "y/a.mp4"), keep_tree=False, template="{stem}")
    # Without folders the suffix is kept, which does not help here.
    with pytest.raises(AuparityError, match="--output-name"):
        output_names(paths("x/a.mp4", "y/a.mp4"), keep_tree=False)


def test_a_template_names_tables_by_its_fields():
    inputs = paths("x/sub-01/face.mp4", "x/sub-02/face.mp4")
    assert output_names(inputs, template="{parent}_{stem}") == ["sub-01_face", "sub-02_face"]
    assert output_names(inputs, template="{tree}/{name}") == ["sub-01/face.mp4", "sub-02/face.mp4"]
    assert output_names(inputs, template="{number:03}") == ["001", "002"]


@pytest.mark.parametrize(
    "template",
    ["", "{", "{nothing}", "../{stem}", "/{stem}", "{stem.real}", "{}", "{0}", "{number:q}", "a\\0{stem}", "."],
)
def test_a_template_that_makes_no_name_inside_the_output_folder_is_refused(template):
    with pytest.raises(AuparityError, match="--output-name"):
        output_names(paths("a.mp4"), template=template.replace("\\0", "\0"))


def test_a_whole_table_and_an_incomplete_one_must_not_share_a_name():
    with pytest.raises(AuparityError, match=r"would both be written to a\.incomplete"):
        output_names(paths("a.mp4", "a.incomplete.mp4"))
