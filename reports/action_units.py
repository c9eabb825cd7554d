"""Names of the action units (Ekman and Friesen, Facial Action Coding System), short enough for a bar chart."""

from __future__ import annotations

ACTION_UNITS = {
    "AU01": "inner brow raiser",
    "AU02": "outer brow raiser",
    "AU04": "brow lowerer",
    "AU05": "upper lid raiser",
    "AU06": "cheek raiser",
    "AU07": "lid tightener",
    "AU09": "nose wrinkler",
    "AU10": "upper lip raiser",
    "AU12": "lip corner puller",
    "AU14": "dimpler",
    "AU15": "lip corner depressor",
    "AU17": "chin raiser",
    "AU20": "lip stretcher",
    "AU23": "lip tightener",
    "AU25": "lips part",
    "AU26": "jaw drop",
    "AU28": "lip suck",
    "AU45": "blink",
}
#: AU28 has a presence only.
WITH_INTENSITY = tuple(name for name in ACTION_UNITS if name != "AU28")
#: Intensities go from 0 to this.
FULL_INTENSITY = 5.0
