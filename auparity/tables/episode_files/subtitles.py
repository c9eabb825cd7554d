"""Episodes as subtitles, SubRip (.srt) and WebVTT (W3C): what is present is shown while the video plays.

Players show few subtitles at once, so a cue is the time in which the same AUs are present, and names all of them:
"AU06 + AU12", with a line for each person where there are several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from auparity.tables.episode import Episode

#: Start and end in milliseconds, and the AUs of each person.
_Cue = tuple[int, int, dict[int | None, list[str]]]


def srt_text(episodes: Sequence[Episode]) -> str:
    """The text of a SubRip file; empty without episodes."""
    cues = (
        f"{number}\n{_time(start, ',')} --> {_time(end, ',')}\n{_lines(people, '{}: {}')}\n"
        for number, (start, end, people) in enumerate(_cues(episodes), 1)
    )
    return "\n".join(cues)


def webvtt_text(episodes: Sequence[Episode]) -> str:
    """The text of a WebVTT file; each line of several people has its person as the voice that speaks it."""
    cues = (
        f"\n{number}\n{_time(start, '.')} --> {_time(end, '.')}\n{_lines(people, '<v {}>{}')}\n"
        for number, (start, end, people) in enumerate(_cues(episodes), 1)
    )
    return "WEBVTT\n" + "".join(cues)


def _cues(episodes: Sequence[Episode]) -> Iterator[_Cue]:
    """The times between two changes in which something is present."""
    starts: dict[int, list[Episode]] = {}
    ends: dict[int, list[Episode]] = {}
    for episode in episodes:
        start, end = round(episode.onset * 1000), round(episode.offset * 1000)
        if end > start:
            starts.setdefault(start, []).append(episode)
            ends.setdefault(end, []).append(episode)
    changes = sorted({*starts, *ends})
    present: list[Episode] = []
    for moment, following in pairwise(changes):
        gone = ends.get(moment, [])
        present = [episode for episode in present if episode not in gone] + starts.get(moment, [])
        if present:
            people: dict[int | None, list[str]] = {}
            for episode in sorted(present, key=lambda e: (-1 if e.person is None else e.person, e.au)):
                people.setdefault(episode.person, []).append(episode.au)
            yield moment, following, people


def _lines(people: dict[int | None, list[str]], of_person: str) -> str:
    lines = []
    for person, aus in people.items():
        text = " + ".join(aus)
        lines.append(text if person is None else of_person.format(f"person {person}", text))
    return "\n".join(lines)


def _time(milliseconds: int, point: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{point}{rest:03}"
