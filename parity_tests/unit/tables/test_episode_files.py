"""Episodes as files of other programs, by the rules of their formats."""

from __future__ import annotations

import json
import re
from datetime import datetime
from xml.etree import ElementTree

import pytest

from auparity.errors import AuparityError, WriteError
from auparity.parity_tests.unit.helpers.tables import face_table, people_table
from auparity.tables.episodes import Episodes

ONE = face_table([0, 1, 1, 0, 1], AU28_c=[0, 0, 1, 1, 0]).episodes()
TWO = people_table([[1, 1, 0, 0], [0, 1, 1, 0]]).episodes()
NONE = Episodes([])


def elan(tmp_path, episodes, **options):
    path = tmp_path / "x.eaf"
    assert episodes.write(path, **options) == [path]
    return ElementTree.parse(path).getroot()


@pytest.mark.parametrize("episodes", [ONE, TWO, NONE], ids=["one", "two", "none"])
def test_an_elan_document_has_the_elements_and_references_of_its_schema(episodes, tmp_path):
    root = elan(tmp_path, episodes)
    assert root.tag == "ANNOTATION_DOCUMENT"
    assert (root.get("FORMAT"), root.get("VERSION")) == ("3.0", "3.0")
    datetime.fromisoformat(root.get("DATE"))
    order = [element.tag for element in root]
    assert order == ["HEADER", "TIME_ORDER", *["TIER"] * order.count("TIER"), "LINGUISTIC_TYPE"]
    assert root.find("HEADER").get("TIME_UNITS") == "milliseconds"
    slots = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE")) for slot in root.iter("TIME_SLOT")}
    assert [*slots.values()] == sorted(slots.values())
    assert len(slots) == 2 * len(episodes)
    types = {kind.get("LINGUISTIC_TYPE_ID"): kind.get("TIME_ALIGNABLE") for kind in root.iter("LINGUISTIC_TYPE")}
    assert set(types.values()) == {"true"}
    tiers = root.findall("TIER")
    assert len({tier.get("TIER_ID") for tier in tiers}) == len(tiers)
    ids = []
    for tier in tiers:
        assert tier.get("LINGUISTIC_TYPE_REF") in types
        end = 0
        for annotation in tier.iter("ALIGNABLE_ANNOTATION"):
            ids.append(annotation.get("ANNOTATION_ID"))
            start, stop = (slots[annotation.get(f"TIME_SLOT_REF{k}")] for k in (1, 2))
            assert end <= start < stop, "annotations of a tier do not overlap"
            end = stop
    assert len(set(ids)) == len(ids) == len(episodes)
    assert int(root.find("HEADER/PROPERTY[@NAME='lastUsedAnnotationId']").text) == len(ids)


def test_elan_gets_a_tier_for_each_au_and_person(tmp_path):
    assert [tier.get("TIER_ID") for tier in elan(tmp_path, ONE).iter("TIER")] == ["AU12", "AU28"]
    root = elan(tmp_path, TWO)
    assert [(tier.get("TIER_ID"), tier.get("PARTICIPANT")) for tier in root.iter("TIER")] == [
        ("AU12 person 0", "person 0"), ("AU12 person 1", "person 1"),
    ]  # fmt: skip
    times = {slot.get("TIME_SLOT_ID"): slot.get("TIME_VALUE") for slot in root.iter("TIME_SLOT")}
    (annotation,) = root.findall("TIER")[1].iter("ALIGNABLE_ANNOTATION")
    assert [times[annotation.get(f"TIME_SLOT_REF{k}")] for k in (1, 2)] == ["100", "300"]
    assert annotation.find("ANNOTATION_VALUE").text == "AU12 mean 2.00 peak 2.00"


def test_elan_finds_the_video(tmp_path):
    (tmp_path / "videos").mkdir()
    video = tmp_path / "videos" / "a face & more.mp4"
    media = elan(tmp_path, ONE, media=video).find("HEADER/MEDIA_DESCRIPTOR")
    assert media.get("MEDIA_URL") == video.as_uri()
    assert media.get("MIME_TYPE") == "video/mp4"
    assert media.get("RELATIVE_MEDIA_URL") == "./videos/a%20face%20%26%20more.mp4"


def text(tmp_path, name, episodes):
    (path,) = episodes.write(tmp_path / name)
    return path.read_text(encoding="utf-8")


def test_subrip_numbers_its_subtitles_and_names_all_aus_of_a_moment(tmp_path):
    assert text(tmp_path, "x.srt", ONE) == (
        "1\n00:00:00,100 --> 00:00:00,200\nAU12\n\n"
        "2\n00:00:00,200 --> 00:00:00,300\nAU12 + AU28\n\n"
        "3\n00:00:00,300 --> 00:00:00,400\nAU28\n\n"
        "4\n00:00:00,400 --> 00:00:00,500\nAU12\n"
    )
    assert "person 0: AU12\nperson 1: AU12\n" in text(tmp_path, "x.srt", TWO)
    assert text(tmp_path, "x.srt", NONE) == ""


def test_webvtt_begins_with_its_name_and_has_persons_as_voices(tmp_path):
    assert text(tmp_path, "x.vtt", NONE) == "WEBVTT\n"
    parts = text(tmp_path, "x.vtt", TWO).rstrip("\n").split("\n\n")
    assert parts[0] == "WEBVTT"
    assert parts[1] == "1\n00:00:00.000 --> 00:00:00.100\n<v person 0>AU12"
    assert parts[2] == "2\n00:00:00.100 --> 00:00:00.200\n<v person 0>AU12\n<v person 1>AU12"
    for part in parts[1:]:
        number, times, *lines = part.split("\n")
        assert number.isdigit()
        assert re.fullmatch(r"\d\d:[0-5]\d:[0-5]\d\.\d{3} --> \d\d:[0-5]\d:[0-5]\d\.\d{3}", times)
        assert lines


def test_subtitles_go_beyond_an_hour(tmp_path):
    late = face_table([0, 1, 0], timestamp=[3725.0, 3725.5, 3726.0]).episodes()
    assert "01:02:05,500 --> 01:02:06,000" in text(tmp_path, "x.srt", late)


def bids(tmp_path, episodes):
    table, sidecar = tmp_path / "sub-01_task-talk_events.tsv", tmp_path / "sub-01_task-talk_events.json"
    assert episodes.write(table) == [sidecar, table]
    lines = [line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()]
    return lines, json.loads(sidecar.read_text(encoding="utf-8"))


@pytest.mark.parametrize("episodes", [ONE, TWO, NONE], ids=["one", "two", "none"])
def test_bids_events_begin_with_onset_and_duration_and_every_column_is_described(episodes, tmp_path):
    (header, *rows), sidecar = bids(tmp_path, episodes)
    assert header[:3] == ["onset", "duration", "trial_type"]
    assert all(len(row) == len(header) for row in rows)
    assert all(cell for row in rows for cell in row), "what is not known is n/a"
    assert [*sidecar] == header
    assert all("Description" in described for described in sidecar.values())
    assert set(sidecar["trial_type"]["Levels"]) == {row[2] for row in rows}
    onsets = [float(row[0]) for row in rows]
    assert onsets == sorted(onsets)
    assert all(float(row[1]) >= 0 for row in rows)


def test_bids_events_say_what_is_not_known(tmp_path):
    (_, *rows), sidecar = bids(tmp_path, ONE)
    assert rows[0] == ["0.100", "0.200", "AU12", "n/a", "2.000", "2.000", "0.100"]
    assert rows[1] == ["0.200", "0.200", "AU28", "n/a", "n/a", "n/a", "n/a"]
    assert sidecar["trial_type"]["Levels"]["AU12"] == "Lip corner puller"
    assert bids(tmp_path, TWO)[0][2][3] == "1"


@pytest.mark.parametrize("suffix", ["eaf", "srt", "vtt"])
def test_times_before_zero_are_refused_where_the_format_has_none(suffix, tmp_path):
    early = face_table([1, 1, 0], timestamp=[-0.2, -0.1, 0.0]).episodes()
    with pytest.raises(AuparityError, match=r"cannot hold times before 0, and an episode begins at -0\.200 s"):
        early.write(tmp_path / f"x.{suffix}")
    assert not [*tmp_path.iterdir()]
    assert bids(tmp_path, early)[0][1][0] == "-0.200"


def test_another_suffix_is_refused_and_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(AuparityError, match=r"\.eaf \(ELAN\).*\.tsv \(BIDS events\)"):
        ONE.write(tmp_path / "x.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"x\.srt"):
        ONE.write(tmp_path / "file" / "x.srt")
