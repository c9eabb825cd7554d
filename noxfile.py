"""The project's sessions: ``nox -l`` lists them.

Each makes its own environment. The golden tests and ``fidelity`` need the recordings of the C++ program; they look in
``AUPARITY_SHARED``, else in ``../shared`` beside the repository.
"""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
#: One thread in each process: sums must not depend on the number of cores, and CI has two.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def shared() -> Path | None:
    """The folder with recordings, model files and footage, if it is here."""
    folder = Path(os.environ.get("AUPARITY_SHARED", ROOT.parent / "shared"))
    return folder if (folder / "golden").is_dir() else None


@nox.session
def tests(session: nox.Session) -> None:
    """Unit, property and golden tests (arguments go to pytest)."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs, env=ONE_THREAD)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff: rules and formatting."""
    session.install("ruff>=0.8")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict over the package."""
    session.install("-e", ".[test,lint]", "nox")
    session.run("mypy")


@nox.session
def fidelity(session: nox.Session) -> None:
    """The reference against the C++ program on all recordings; rewrites the figures of docs/fidelity.md."""
    if shared() is None:
        session.skip("the recordings of the C++ program are not here: set AUPARITY_SHARED to their folder")
    session.install("-e", ".")
    page = ["--page", "docs/fidelity.md"] if not session.posargs else []
    session.run("python", "-m", "auparity.parity_tests.fidelity", *page, *session.posargs, env=ONE_THREAD)


@nox.session
def demo(session: nox.Session) -> None:
    """Extract everything from a clip and write a summary to look at.

    ``nox -s demo -- VIDEO_OR_IMAGE_FOLDER [--models DIR]``. Without arguments it takes the clip and the model files of
    the shared folder where that is at hand.
    """
    arguments = list(session.posargs)
    if not arguments:
        folder = shared()
        if folder is None:
            session.error(
                "name a video, and OpenFace's model files: nox -s demo -- face.mp4 --models DIR "
                "(or first: auparity models fetch openface --accept-license)"
            )
        arguments = [str(folder / "clips" / "lost"), "--models", str(folder / "openface")]
    session.install("-e", ".")
    out = ROOT / "out" / "demo"
    session.run("auparity", "extract", *arguments, "-o", str(out), "--overwrite", env=ONE_THREAD)
    session.run("python", "-m", "auparity.summary", str(out))
