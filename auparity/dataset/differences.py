"""What readers of the tables of many clips must know: that these were not all measured alike."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from auparity.dataset.clips import Clip
from auparity.media.names import printable


@dataclass(frozen=True)
class Difference:
    """One thing that differs between clips."""

    what: str  #: a sentence without its full stop
    column: str  #: of the table of clips, that tells

    def __str__(self) -> str:
        return f"{self.what}; see the column {self.column}."


def differences(clips: Sequence[Clip]) -> list[Difference]:
    """What differs between clips; empty where all were measured alike.

    Images and clips have other settings, so each kind is compared by itself.
    """
    texts = []
    if len(models := Counter((clip.bundle_name, clip.bundle_version, clip.bundle) for clip in clips)) > 1:
        named = "; ".join(
            f"{printable(f'{name} {version}')} ({str(sha256)[:12]}): {count}"
            for (name, version, sha256), count in models.most_common()
        )
        texts.append(Difference(f"the clips were measured with {len(models)} sets of models ({named})", "bundle"))
    if len(precisions := {str(clip.precision) for clip in clips}) > 1:
        texts.append(Difference(f"the clips have different precisions ({', '.join(sorted(precisions))})", "precision"))
    if 0 < (rounded := sum(clip.rounded for clip in clips)) < len(clips):
        texts.append(Difference(f"the tables of {rounded} of {len(clips)} clips are rounded (CSV)", "rounded"))
    for photographs in (False, True):
        asked = {clip.settings for clip in clips if (clip.kind == "photograph") is photographs}
        if fields := _differing([json.loads(settings) for settings in asked]):
            of = "images" if photographs else "clips"
            what = f"the {of} were measured with different settings ({', '.join(fields)})"
            texts.append(Difference(what, "settings"))
    kinds = Counter(clip.kind == "photograph" for clip in clips)
    if len(kinds) > 1:
        what = f"{kinds[True]} images are in it beside {kinds[False]} clips; images have no frame, timestamp or success"
        texts.append(Difference(what, "kind"))
    return texts


def _differing(settings: Sequence[dict[str, Any]]) -> list[str]:
    names = sorted({name for each in settings for name in each})
    return [name for name in names if len({json.dumps(each.get(name), sort_keys=True) for each in settings}) > 1]
