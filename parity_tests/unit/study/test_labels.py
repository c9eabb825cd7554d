"""Labels of a list go to the clips that it names, by path or name, and what does not match is said."""

from __future__ import annotations

import pytest

from auparity.errors import AuparityError, FileFormatError
from auparity.reports.clips.measures import Measures
from auparity.reports.study.records import FaceRow
from auparity.study.labels import with_labels

INPUTS = {
    "P01/face": "/videos/P01/face.mp4", "P02/face": "/videos/P02/face.mp4", "talk": "/videos/talk.mov",
    "group": "s3://bucket/group.mp4",
}  # fmt: skip


def row(clip, person=None, **labels):
    return FaceRow(clip, person, "clip", labels, "done", 3, 0.1, Measures(3, 3, 0.9, {}))


ROWS = [row("P01/face", site="Ulm"), row("P02/face"), row("talk"), row("group", 0), row("group", 4)]


@pytest.fixture
def joined(tmp_path):
    def join(text, suffix=".csv"):
        path = tmp_path / f"labels{suffix}"
        path.write_text(text)
        rows, notes = with_labels(ROWS, INPUTS, str(path))
        return {each.name: dict(each.labels) for each in rows}, notes

    return join


def test_a_clip_is_named_by_the_path_of_its_input(joined):
    labels, notes = joined("path,condition\n/videos/P01/face.mp4,rest\n/videos/P01/../P02/face.mp4,talk\n")
    assert labels["P01/face"] == {"site": "Ulm", "condition": "rest"}
    assert labels["P02/face"] == {"condition": "talk"}
    assert labels["talk"] == {}
    assert notes == ["2 of 4 clips are not in the list of labels: group, talk."]


def test_a_file_that_has_moved_is_found_by_its_name(joined):
    labels, _ = joined("path,condition\nelsewhere/talk.mov,talk\ns3://bucket/group.mp4,all\n")
    assert labels["talk"] == {"condition": "talk"}
    assert labels["group, person 4"] == {"condition": "all"}


@pytest.mark.parametrize("column", ["clip", "name"])
def test_a_clip_is_named_by_its_name_or_the_last_part(joined, column):
    labels, notes = joined(f"{column}\tage\nP02/face\t30\ntalk.csv\t31\ngroup\t32\nnobody\t33\n", ".tsv")
    assert labels["P02/face"] == {"age": "30"}
    assert labels["talk"] == {"age": "31"}
    assert labels["group, person 0"] == {"age": "32"}
    assert notes[0] == "1 of 4 entries of the labels are of no clip here: nobody."


def test_people_of_a_clip_have_labels_of_their_own(joined):
    labels, _ = joined("clip,person_id,role\ngroup,0,mother\ngroup,4,child\ngroup,,family\n")
    assert labels["group, person 0"] == {"role": "mother"}
    assert labels["group, person 4"] == {"role": "child"}


def test_the_list_counts_where_a_sidecar_has_the_same_label(joined):
    assert joined("clip,site\nP01/face,Bonn\n")[0]["P01/face"] == {"site": "Bonn"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,age\nface,3\n", "could be each of P01/face, P02/face"),
        ("clip,age\ntalk,3\ntalk,4\n", "two entries are of talk"),
        ("clip,age\nnobody,3\n", "none of its 1 entries .* `clip` has nobody; clips are called P01/face"),
        ("clip,person_id\ngroup,first\n", "person_id first, which is no number"),
    ],
)
def test_a_list_that_could_mean_anything_else_is_refused(joined, text, message):
    with pytest.raises(AuparityError, match=message):
        joined(text)


def test_a_list_without_a_column_of_names_says_which_there_can_be(joined):
    with pytest.raises(FileFormatError, match="`path` or `clip` or `name`"):
        joined("subject,age\nP01,3\n")
