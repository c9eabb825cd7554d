"""Python packages that are peers: whether they are installed with their models, and loading them.

pyfaceau, pyclnf and pymtcnn have one author and the same structure: a version, a module `models` whose `models_ready()`
says whether the model files are prepared, and a command that downloads them after their licence was accepted. An
adapter checks this before it constructs anything, because if ``OPENFACE_MODELS_ACCEPT_LICENSE`` is set, the
constructors download hundreds of megabytes, which a benchmark should not do.

They are imported by name because they are not dependencies of auparity, not even optional ones: they install
`opencv-python`, whose files and those of `opencv-python-headless` overwrite each other. Install auparity and the peers
in a separate environment.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from auparity.errors import AuparityError, VariantUnavailable


@dataclass(frozen=True)
class Package:
    """A package on PyPI that is imported under the same name."""

    name: str
    requirement: str  #: the argument for pip
    download: str  #: the command that prepares its model files

    def unavailable_reason(self) -> str | None:
        """Import it, and say why it cannot be used here; None when it can."""
        try:
            import_module(self.name)
            models = import_module(f"{self.name}.models")
        except ModuleNotFoundError as error:
            if error.name == self.name:
                return f'{self.name} is not installed: pip install "{self.requirement}"'
            if error.name == f"{self.name}.models":
                return f'this version of {self.name} is too old: pip install --upgrade "{self.requirement}"'
            return f"{self.name} is installed, but {error.name}, which it needs, is not: pip install {error.name}"
        except Exception as error:  # whatever a foreign package raises while it is imported
            return f"{self.name} is installed, but cannot be imported ({type(error).__name__}: {error})"
        ready = getattr(models, "models_ready", None)
        if ready is None:
            return f'this version of {self.name} is too old: pip install --upgrade "{self.requirement}"'
        if not ready():
            return f"the model files of {self.name} are not prepared: run {self.download}"
        return None

    def load(self) -> Any:
        """The module.

        Raises
        ------
        VariantUnavailable : as `unavailable_reason` says.
        """
        if reason := self.unavailable_reason():
            raise VariantUnavailable(reason)
        return import_module(self.name)

    @property
    def version(self) -> str:
        """Name and version of the installed package."""
        return f"{self.name} {getattr(import_module(self.name), '__version__', 'of unknown version')}"

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """A context in which the package runs: its output goes to stderr, its exceptions become `AuparityError`.

        Raises
        ------
        AuparityError : anything else was raised inside, with its type and text.
        """
        try:
            with redirect_stdout(sys.stderr):
                yield
        except AuparityError:
            raise
        except Exception as error:
            raise AuparityError(f"{self.version} failed: {type(error).__name__}: {error}") from error


PYFACEAU = Package("pyfaceau", "pyfaceau>=1.4", "pyfaceau-download-models")
PYCLNF = Package("pyclnf", "pyclnf>=0.4", "pyclnf-download-models")
PYMTCNN = Package("pymtcnn", "pymtcnn[onnx]>=1.2", "pymtcnn-download-models")
