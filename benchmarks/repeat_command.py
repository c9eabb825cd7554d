"""The command line that repeats a run, as results store it and pages print it.

The typed words are kept, with one exception: absolute paths, which exist on one machine only and may name its user. The
folder of the models becomes DIR, and any other folder becomes FOLDER (FOLDER2, ...), followed by the name of the file.
A comment after the command states name and hash of the models.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle

MODELS = "--models"
MODELS_PLACEHOLDER, FOLDER_PLACEHOLDER = "DIR", "FOLDER"


def repeating(program: str, words: Sequence[str], bundle: Bundle | None = None, *, without: Iterable[str] = ()) -> str:
    """The command line that repeats a run.

    Parameters
    ----------
    program : what stands before the words, e.g. "auparity bench".
    words : the arguments as typed.
    bundle : the models that ``--models`` named, or that were used by default; in that case they are added.
    without : options without a value that are left out, because they do not affect what is measured.
    """
    left_out = set(without)
    split = [part for word in words if word not in left_out for part in _parts(word)]
    if bundle is not None and MODELS not in split:
        split += [MODELS, bundle.meta.name]
    folders: dict[str, str] = {}
    shown = [
        _portable(word, folders, models=before == MODELS) for before, word in zip(["", *split], split, strict=False)
    ]
    command = " ".join([program, *map(shlex.quote, shown)])
    return f"{command}  # {_named(shown, bundle)}" if bundle is not None else command


def described(name: str, landmark_model: str, short_hash: str) -> str:
    """A description of models that identifies them."""
    return f"{name}, landmark model {landmark_model}, hash {short_hash}"


def _named(shown: Sequence[str], bundle: Bundle) -> str:
    source = shown[shown.index(MODELS) + 1]
    return f"{source} is {described(bundle.meta.name, bundle.landmarker_name, bundle.short_hash)}"


def _parts(word: str) -> list[str]:
    """``--option=value`` as two words if the value has to be checked."""
    option, equals, value = word.partition("=")
    looked_at = option == MODELS or (option.startswith("--") and _is_absolute(value))
    return [option, value] if equals and looked_at else [word]


def _portable(word: str, folders: dict[str, str], *, models: bool) -> str:
    if not _is_absolute(word):
        return word
    if models:
        return MODELS_PLACEHOLDER
    path = PurePath(word)
    number = len(folders) + 1
    folder = folders.setdefault(str(path.parent), FOLDER_PLACEHOLDER + (str(number) if number > 1 else ""))
    return f"{folder}/{path.name}"


def _is_absolute(word: str) -> bool:
    return os.path.isabs(word) or word.startswith("~")
