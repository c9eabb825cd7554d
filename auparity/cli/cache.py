"""``auparity cache list|prune|clear``: compiled kernels and what else is kept because it is slow to make."""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auparity.cache_upkeep import Kept

_DESCRIPTION = """\
What auparity keeps between runs because it is slow to make: compiled kernels, models as they lie in memory, binaries
for GPUs. All of it is made again where it is missing. Entries that nothing has used for 60 days are deleted by
themselves, and the least recently used of a kind that takes too much room. Other processes may run meanwhile.
docs/environment.md says where the cache is. OpenFace's models are not in it (`auparity models`)."""
#: Seconds to wait for a process that is making an entry of a kind whose folder it locks.
_PATIENCE = 30.0


def add_parser(subparsers: Any) -> None:
    """Add ``cache`` to the command line."""
    parser = subparsers.add_parser(
        "cache",
        help="show and delete compiled kernels and what else is kept between runs",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="list kinds of entries, with their number, size, and last use")
    listing.set_defaults(run=run_list)
    prune = commands.add_parser("prune", help="delete what has not been used for long, or takes too much room")
    prune.add_argument("--days", type=_days, metavar="N", help="unused for N days; default: 60")
    prune.set_defaults(run=run_prune)
    clear = commands.add_parser("clear", help="delete all entries")
    clear.add_argument("kinds", nargs="*", metavar="KIND", help="only of these kinds; `auparity cache list` names them")
    clear.set_defaults(run=run_clear)


def _days(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise ValueError(text)
    return value


def run_list(arguments: argparse.Namespace) -> int:
    """``auparity cache list``; always 0."""
    from auparity.cache import cache_root
    from auparity.cache_upkeep import KINDS, folders, kept, size_of

    print(cache_root())
    for kind, folder in folders().items():
        entries = kept(folder)
        used = f"last used {_ago(entries[-1].used)}" if entries else ""
        elsewhere = "" if folder.parent == cache_root().path else f" (in {folder})"
        print(f"  {kind:<16} {size_of(entries):<24} {used:<24} {KINDS.get(kind, '')}{elsewhere}".rstrip())
    return 0


def _ago(used: float) -> str:
    from auparity.cache import DAY

    days = int((time.time() - used) / DAY)
    return "within a day" if days < 1 else f"{days} day{'' if days == 1 else 's'} ago"


def run_prune(arguments: argparse.Namespace) -> int:
    """``auparity cache prune``; always 0."""
    from auparity.cache_upkeep import UNUSED_DAYS, folders, most_bytes, tidy

    days, removed = UNUSED_DAYS if arguments.days is None else arguments.days, []
    for kind, folder in folders().items():
        with _alone_in(folder):
            removed += tidy(folder, most_bytes(kind), unused_days=days)
    return _deleted(removed)


def run_clear(arguments: argparse.Namespace) -> int:
    """``auparity cache clear``; returns the exit code."""
    from auparity.cache import discard
    from auparity.cache_upkeep import folders, kept
    from auparity.errors import AuparityError

    there = folders()
    for kind in arguments.kinds:
        if kind not in there:
            raise AuparityError(f"the cache has no {kind}; it has {', '.join(there) or 'nothing'}.")
    removed, problem = [], None
    for folder in (there[kind] for kind in arguments.kinds or there):
        with _alone_in(folder):
            for entry in kept(folder):
                try:
                    discard(entry.path)
                    removed.append(entry)
                except OSError as error:
                    problem = error
    code = _deleted(removed)
    if problem is not None:
        raise AuparityError(f"not all could be deleted: {problem}.")
    return code


def _alone_in(folder: Path) -> ExitStack:
    """The lock of a folder whose entries take long to make, if it has one."""
    from auparity.cache import LOCK
    from auparity.models.file_lock import locked

    stack = ExitStack()
    if (folder / LOCK).exists():
        stack.enter_context(locked(folder / LOCK, patience=_PATIENCE))
    return stack


def _deleted(removed: list[Kept]) -> int:
    from auparity.cache_upkeep import size_of

    print(f"{size_of(removed)} deleted.")
    return 0
