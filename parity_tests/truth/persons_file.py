"""The figures that ``auparity dev persons`` keeps: a JSON file that is written after each clip and read to resume.

A file belongs to one set of settings: the bundle, the pipeline's variants, and the code of pipeline, renderer and
measurement. Clips of other settings are never mixed in. In and out: `ClipFigures`, by kind of clip and seed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from auparity.atomic_files import write_text_atomically
from auparity.errors import AuparityError
from auparity.models.synthetic import groups
from auparity.parity_tests.truth import identities
from auparity.parity_tests.truth.identities import Identities
from auparity.parity_tests.truth.run import code_version


@dataclass(frozen=True)
class ClipFigures:
    """What one clip gave."""

    scene: str
    seed: int
    stretches: int  #: in which somebody was seen
    identities: Identities
    numbers: dict[int, list[tuple[int, int]]]  #: of `numbers_of_people`


def measuring_code() -> str:
    """A digest (12 hexadecimal digits) of what decides a clip's figures besides bundle and variants; any change of the
    text of these modules, also of comments, gives another one."""
    digest = hashlib.sha256(code_version().encode())
    for module in (groups, identities):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()[:12]


class FiguresFile:
    """Figures under a path; without a path they are only held.

    Parameters
    ----------
    path : of the JSON file; None for none.
    settings : what the figures depend on, as JSON holds it.

    Raises
    ------
    AuparityError : the file cannot be read, is none of ours, or is of other settings.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any]) -> None:
        self._path, self._settings = path, settings
        self.clips: dict[tuple[str, int], ClipFigures] = {}
        if path is not None and path.exists():
            self._read(path)

    def add(self, clip: ClipFigures) -> None:
        """Keep the figures of a clip."""
        self.clips[clip.scene, clip.seed] = clip
        self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        clips = [_as_json(clip) for clip in self.clips.values()]
        text = json.dumps(self._settings | {"clips": clips}, indent=1)
        try:
            write_text_atomically(self._path, text + "\n")
        except OSError as error:
            raise AuparityError(f"{self._path}: cannot be written: {error.strerror}.") from None

    def _read(self, path: Path) -> None:
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            clips = [_from_json(clip) for clip in kept["clips"]]
            settings = {name: kept.get(name) for name in self._settings}
        except OSError as error:
            raise AuparityError(f"{path}: cannot be read: {error.strerror}.") from None
        except (ValueError, TypeError, KeyError, AttributeError):
            raise AuparityError(
                f"{path}: is not a file of figures that this version of `auparity dev persons` wrote; name another."
            ) from None
        other = [name for name, value in self._settings.items() if settings[name] != value]
        if other:
            raise AuparityError(f"{path}: its clips were measured with another {other[0]}; delete it or name another.")
        self.clips = {(clip.scene, clip.seed): clip for clip in clips}


def _as_json(clip: ClipFigures) -> dict[str, Any]:
    """The figures of a clip, shares included."""
    shares = {name: getattr(clip.identities, name) for name in ("found_share", "own_share", "idf1", "best_idf1")}
    return {
        "scene": clip.scene, "seed": clip.seed, "stretches": clip.stretches, **asdict(clip.identities), **shares,
        "numbers": {str(person): runs for person, runs in clip.numbers.items()},
    }  # fmt: skip


def _from_json(clip: dict[str, Any]) -> ClipFigures:
    counts = {field.name: int(clip[field.name]) for field in fields(Identities)}
    numbers = {int(person): [(int(a), int(b)) for a, b in runs] for person, runs in clip["numbers"].items()}
    return ClipFigures(str(clip["scene"]), int(clip["seed"]), int(clip["stretches"]), Identities(**counts), numbers)
