"""The noxfile without nox: what it defines, and the names of its sessions."""

from __future__ import annotations

import runpy
import sys
import types
from pathlib import Path
from typing import Any
from unittest import mock

NOXFILE = Path(__file__).resolve().parents[3] / "noxfile.py"


def read() -> tuple[dict[str, Any], set[str]]:
    """The names that the noxfile defines with their values, and the names of its sessions."""
    sessions: set[str] = set()

    def session(function: Any = None, *, name: str | None = None, **options: Any) -> Any:
        def take(inner: Any) -> Any:
            sessions.add(name or inner.__name__)
            return inner

        return take if function is None else take(function)

    stand_in = types.ModuleType("nox")
    vars(stand_in).update(session=session, Session=object, options=types.SimpleNamespace())
    with mock.patch.dict(sys.modules, {"nox": stand_in}):
        return runpy.run_path(str(NOXFILE), run_name="noxfile"), sessions
