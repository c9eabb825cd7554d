"""The names of the tables of a run: one for each input, all different.

An input's table is called after it: ``face.mp4`` becomes ``face.csv``. If two inputs of a run would share a name
(``sub-01/face.mp4 sub-02/face.mp4``), the folders below their common folder are kept (``sub-01/face.csv``), and two
files of one folder that differ only in their suffix keep it (``face.mp4.csv``). A template replaces these rules.
"""

from __future__ import annotations

import os
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from auparity.errors import AuparityError
from auparity.media import printable


def output_names(
    paths: Sequence[Path],
    labels: Sequence[Mapping[str, str]] = (),
    *,
    keep_tree: bool | None = None,
    template: str | None = None,
) -> list[str]:
    """The name of each input's table, without suffix, relative to the output folder, with ``/`` between folders.

    Parameters
    ----------
    paths : the inputs.
    labels : of each of them, what a list says of it: further fields of a template.
    keep_tree : keep the folders below the common one always (True), never (False) or only where names collide (None).
    template : e.g. ``"{parent}_{stem}"``. Fields: stem (name without suffix; of a folder its name), name (with
        suffix), parent (name of the folder that it is in), tree (folders below the one that all inputs have in
        common), number (place in the run, from 1; ``{number:03}`` has a format).

    Raises
    ------
    AuparityError : the template is wrong, or two inputs would have the same name.
    """
    if template is not None:
        own = _fields(paths)
        given: Sequence[Mapping[str, str]] = labels or [{}] * len(own)
        names = [_from_template(template, {**of, **fields}) for of, fields in zip(given, own, strict=True)]
    else:
        names = [_stem(path) for path in paths]
        if keep_tree or (keep_tree is None and _collisions(names)):
            names = [str(PurePosixPath(tree, stem)) for tree, stem in zip(_trees(paths), names, strict=True)]
        twice = _collisions(names)
        names = [
            str(PurePosixPath(name).with_name(_full_name(path))) if name.casefold() in twice else name
            for path, name in zip(paths, names, strict=True)
        ]
    _check_names(paths, names)
    return names


def _stem(path: Path) -> str:
    """The name without its suffix; a folder has none, so "subject.01" is kept."""
    return _full_name(path) if path.is_dir() else path.stem


def _full_name(path: Path) -> str:
    return path.name if path.name not in ("", "..") else path.resolve().name


def _trees(paths: Sequence[Path]) -> list[PurePosixPath]:
    """The folders of each input below the folder that all have in common."""
    folders = [Path(os.path.abspath(path)).parent for path in paths]
    try:
        common = Path(os.path.commonpath(folders)) if folders else Path()
    except ValueError:  # different drives
        raise AuparityError(
            "the inputs lie on different drives, so they have no folder in common; name their tables with "
            '--output-name, e.g. --output-name "{number}_{stem}".'
        ) from None
    return [PurePosixPath(*folder.relative_to(common).parts) for folder in folders]


def _collisions(names: Sequence[str]) -> set[str]:
    """Names, in lower case, that occur twice on a file system that ignores case."""
    return {name for name, count in Counter(name.casefold() for name in names).items() if count > 1}


def _fields(paths: Sequence[Path]) -> list[dict[str, str | int]]:
    return [
        {
            "stem": _stem(path), "name": _full_name(path), "parent": Path(os.path.abspath(path)).parent.name,
            "tree": str(tree) if tree.parts else ".", "number": number,
        }
        for number, (path, tree) in enumerate(zip(paths, _trees(paths), strict=True), 1)
    ]  # fmt: skip


def _from_template(template: str, fields: dict[str, str | int]) -> str:
    try:
        asked = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
        if unknown := asked - set(fields):
            raise ValueError(f"there is no field {{{sorted(unknown)[0]}}}; there are {', '.join(fields)}")
        name = os.path.normpath(template.format_map(fields)).replace(os.sep, "/")
        parts = PurePosixPath(name).parts
        if not parts or parts[0] in ("/", "..") or name == "." or os.path.isabs(name) or "\0" in name:
            raise ValueError(f"it makes {printable(name)!r}, which is not a name inside the output folder")
    except (ValueError, IndexError, TypeError) as error:
        raise AuparityError(f"--output-name {printable(template)}: {error}.") from None
    return name


def _check_names(paths: Sequence[Path], names: Sequence[str]) -> None:
    """Refuse two tables of one name, complete or not, on any file system."""
    owners: dict[str, Path] = {}
    for path, name in zip(paths, names, strict=True):
        for taken in (name.casefold(), f"{name}.incomplete".casefold()):
            other = owners.setdefault(taken, path)
            if other is not path:
                raise AuparityError(
                    f"{printable(other)} and {printable(path)} would both be written to {printable(name)}. Give their "
                    'tables names with --output-name, e.g. --output-name "{number}_{stem}", or extract them in two '
                    "runs with different output folders (-o)."
                )
