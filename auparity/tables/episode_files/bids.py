"""Episodes as task events of the Brain Imaging Data Structure: events.tsv, and the JSON file that describes it.

`onset` and `duration` are the first two columns, in seconds; what is not known is "n/a"; rows are in order of onset.
Onsets count from the beginning of the video; where a recording (fMRI, EEG) began at another time, add the difference.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from auparity.tables.columns import ACTION_UNITS
from auparity.tables.episode import Episode

_COLUMNS = ("onset", "duration", "trial_type", "person_id", "mean_intensity", "peak_intensity", "peak_time")
_DESCRIPTIONS: dict[str, dict[str, str]] = {
    "onset": {"Description": "Beginning of the first frame in which the action unit is present.", "Units": "s"},
    "duration": {"Description": "Until the end of the last frame in which it is present.", "Units": "s"},
    "person_id": {"Description": "Whose face it is, from 0; n/a in a video of one face."},
    "mean_intensity": {"Description": "Mean intensity over the episode, 0 to 5; n/a for AU28."},
    "peak_intensity": {"Description": "Largest intensity of the episode, 0 to 5; n/a for AU28."},
    "peak_time": {"Description": "When the intensity is largest.", "Units": "s"},
}


def events_tsv(episodes: Sequence[Episode]) -> str:
    """The table; only its header without episodes."""
    lines = ["\t".join(_COLUMNS)]
    for episode in episodes:
        person = "n/a" if episode.person is None else str(episode.person)
        first = [_number(episode.onset), _number(episode.duration), episode.au, person]
        rest = [_number(episode.mean), _number(episode.peak), _number(episode.peak_time)]
        lines.append("\t".join(first + rest))
    return "\n".join(lines) + "\n"


def events_json(episodes: Sequence[Episode]) -> str:
    """What the columns of the table mean."""
    present = sorted({episode.au for episode in episodes})
    levels = {au: ACTION_UNITS.get(au, au).capitalize() for au in present}
    trial_type = {"LongName": "Action unit", "Description": "Facial action unit (FACS).", "Levels": levels}
    described = {**_DESCRIPTIONS, "trial_type": trial_type}
    return json.dumps({name: described[name] for name in _COLUMNS}, indent=2) + "\n"


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.3f}"
