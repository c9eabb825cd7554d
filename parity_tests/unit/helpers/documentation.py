"""README and the pages of docs: their fenced blocks, the commands in them, and processes that run these."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\S*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a page; those without a language are commands."""
    return [text for kind, text in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def commands(page: Path) -> list[str]:
    """Command lines of a page, without comments and redirections; also the indented ones."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    lines += [line[4:] for line in FENCE.sub("", text).splitlines() if line.startswith("    ")]
    found = [re.sub(r"\s\s+#.*|\s>\s.*", "", line).strip() for line in lines]
    return [line for line in found if re.match(r"(auparity|nox|python -m (auparity|nox|pip)|pip|git|pytest)\s", line)]


def run(arguments: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    """A command in the folder, with the package that is under test."""
    source = str(ROOT / "dev") if (ROOT / "dev").is_dir() else ""
    paths = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    where = os.environ | {"PYTHONPATH": paths}
    return subprocess.run(arguments, cwd=place, capture_output=True, text=True, check=False, timeout=600, env=where)
