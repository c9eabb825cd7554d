"""Cut-offs of dynamic intensities (spec 60.7 step 2): which quantile of a clip's values is its zero.

The best quantile depends on how long an AU rests in a clip and on how noisy its values are. Clips are simulated
without images: intensities of random scripts, the gain and noise of a model on people that it did not learn from, then
the post-processing of the pipeline. The quantile whose result correlates best with the script is chosen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auparity.models.synthetic.aus.figures import COLUMNS, correlations
from auparity.models.synthetic.clips import write_script
from auparity.reference.postprocessing import postprocess

Array = npt.NDArray[Any]

CUTOFFS = np.arange(2, 19) / 20
SCRIPTS, FRAMES = 300, 120
#: Number of neighbouring quantiles over which scores are averaged: near the best one the correlation is nearly flat.
NEIGHBOURS = 5
#: Frames over which a model's error hardly changes: it depends on pose and expression, not on noise of the camera.
ERROR_FRAMES = 12


def choose_cutoffs(values: Array, truth: Array) -> Array:
    """(17,) cut-offs for models that give values (N, 17) to faces of true intensities (N, 17).

    Both without the means of each person.
    """
    power = np.maximum((truth**2).sum(axis=0), 1e-9)
    gain = np.maximum((values * truth).sum(axis=0) / power, 0)
    noise = (values - gain * truth).std(axis=0)
    rng = np.random.default_rng(43)
    scripts = [write_script(rng, k, FRAMES).aus[:, COLUMNS] for k in range(SCRIPTS)]
    raw = [gain * aus + noise * _slow_noise(rng, FRAMES, len(gain)) for aus in scripts]
    played = np.concatenate(scripts)
    success, presence = np.ones(FRAMES, np.bool_), np.zeros((FRAMES, 18))
    scores = []
    for cutoff in CUTOFFS:
        shown = [postprocess(r, presence, success, np.full(len(gain), cutoff)).intensity for r in raw]
        scores.append(correlations(np.concatenate(shown), played))
    padded = np.pad(scores, ((NEIGHBOURS // 2, NEIGHBOURS // 2), (0, 0)), mode="edge")
    smooth = sum(padded[k : k + len(CUTOFFS)] for k in range(NEIGHBOURS))
    best: Array = CUTOFFS[np.argmax(smooth, axis=0)]
    return best


def _slow_noise(rng: np.random.Generator, frames: int, columns: int) -> Array:
    """(frames, columns) noise of unit deviation that changes over ERROR_FRAMES."""
    knots = rng.standard_normal((frames // ERROR_FRAMES + 2, columns))
    place = np.arange(frames) / ERROR_FRAMES
    index = place.astype(int)
    t = (place - index)[:, None]
    noise: Array = (knots[index] * (1 - t) + knots[index + 1] * t) / np.sqrt(t**2 + (1 - t) ** 2)
    return noise
