"""The provenance of a result: date, command, commit, version, machine, and the best rates of the machine."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from auparity.accelerated.hardware import hardware
from auparity.accelerated.yardstick import memory_gbs, sgemm_gflops
from auparity.reports.results.records import Provenance
from auparity.version import __version__


def provenance(command: str, *, yardstick: bool) -> Provenance:
    """Provenance of a run that starts now.

    Parameters
    ----------
    command : the command line that repeats it.
    yardstick : measure matrix products and memory as well; takes a second, and BLAS must be limited to one thread for
        the figures to mean one core.
    """
    return Provenance(
        date=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        command=command,
        commit=commit(),
        version=__version__,
        machine=hardware().as_dict(),
        sgemm_gflops=round(sgemm_gflops(), 1) if yardstick else None,
        memory_gbs=round(memory_gbs(), 1) if yardstick else None,
    )


def commit() -> str:
    """The commit that auparity is run from, "-dirty" behind it where tracked files differ; "" outside a repository."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        head = _git(root, "rev-parse", "--short=12", "HEAD")
        return head + ("-dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""  # a copy without git, which only has a version


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()
