"""Every example of README and docs runs: Python blocks and the tutorial as they stand, other commands parsed.

Blocks run in processes of their own, in a folder that holds what the examples name: a face on video and on a
photograph, and an OpenFace installation (the embedded models, exported). Downloads and cameras are parsed only.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest

from auparity import cli
from auparity.cli import dev
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
#: What the snippets take for granted: frames of a clip.
PRELUDE = "import cv2, pathlib\nframes = [cv2.imread(str(p)) for p in sorted(pathlib.Path('clip').glob('*.png'))]\n"
NOT_OURS = ("pip", "git", "python -m pip")

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="installed without its documentation")


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a page; those without a language are commands."""
    return [text for kind, text in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def commands(page: Path) -> list[str]:
    """Command lines of a page, without comments; also the indented ones."""
    text = page.read_text(encoding="utf-8")
    lines = [line for block in blocks(page, "") for line in block.splitlines()]
    lines += [line[4:] for line in FENCE.sub("", text).splitlines() if line.startswith("    ")]
    found = [re.sub(r"\s\s+#.*", "", line).strip() for line in lines]
    return [line for line in found if re.match(r"(auparity|nox|python -m (auparity|nox|pip)|pip|git|pytest)\s", line)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with everything that the examples name."""
    place = tmp_path_factory.mktemp("docs")
    (place / "clip").mkdir()
    frames = [picture.image for picture in render_clip(3_440_000, 8)]
    writer = cv2.VideoWriter(str(place / "face.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 30, frames[0].shape[1::-1])
    assert writer.isOpened()
    for k, frame in enumerate(frames):
        cv2.imwrite(str(place / "clip" / f"{k:06}.png"), frame)
        writer.write(frame)
    writer.release()
    for name in ("photo.jpg", "000000.jpg"):
        cv2.imwrite(str(place / name), frames[0])
    Bundle.embedded().to_openface(place / "OpenFace")
    return place


def run(arguments: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    """A command in the folder, with the package that is under test."""
    source = str(ROOT / "dev") if (ROOT / "dev").is_dir() else ""
    paths = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")]))
    where = os.environ | {"PYTHONPATH": paths}
    return subprocess.run(arguments, cwd=place, capture_output=True, text=True, check=False, timeout=600, env=where)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.stem)
def test_python_of_a_page_runs(page, folder):
    for block in blocks(page, "python"):
        done = run([sys.executable, "-c", PRELUDE + block], folder)
        assert done.returncode == 0, f"{page.name}:\n{block}\n{done.stderr}"


def test_the_tutorial_is_true(tmp_path):
    lines = [line for line in commands(ROOT / "docs" / "tutorial.md") if not line.startswith(NOT_OURS)]
    assert len(lines) >= 9
    for line in lines:
        done = run([sys.executable, "-m", *shlex.split(line)], tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    for made in ("out/clip.csv", "out/clip.html", "results/parity.html", "results/report.html", "results/profile.svg"):
        assert (tmp_path / made).stat().st_size > 1000, made
    assert list((tmp_path / "baselines").glob("*.json"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_commands_of_a_page_are_understood(page):
    parser, sessions = cli.build_parser(), session_names()
    for line in commands(page):
        for part in line.split("&&"):
            words = shlex.split(part)
            if words[:3] == ["python", "-m", "nox"]:
                words = ["nox", *words[3:]]
            if words[0] == "auparity":
                parser.parse_args(words[1:])  # leaves with its usage where it does not understand
                if words[1] == "dev":
                    assert find_spec(f"auparity.{dev.TOOLS[words[2]].module}"), part
            elif words[0] == "nox":
                named = [word for word in words[words.index("-s") + 1 :] if not word.startswith("-")]
                named = named[: words.index("--") - 2] if "--" in words else named
                assert set(named) <= sessions, f"{part}: no session {set(named) - sessions}"
            else:
                assert not (words[:2] == ["python", "-m"] and words[2].startswith("auparity.")), f"{part}: auparity dev"


def session_names() -> set[str]:
    """Names of the sessions that the noxfile defines, without nox."""
    found: set[str] = set()

    def session(function=None, *, name=None, **options):
        def take(inner):
            found.add(name or inner.__name__)
            return inner

        return take if function is None else take(function)

    fake = types.ModuleType("nox")
    fake.session, fake.Session, fake.options = session, object, types.SimpleNamespace()  # type: ignore[attr-defined]
    before = sys.modules.get("nox")
    sys.modules["nox"] = fake
    try:
        exec(
            compile((ROOT / "noxfile.py").read_text(encoding="utf-8"), "noxfile.py", "exec"),
            {"__file__": str(ROOT / "noxfile.py"), "__name__": "noxfile"},
        )
    finally:
        sys.modules.pop("nox")
        if before is not None:
            sys.modules["nox"] = before
    return found


def test_the_sessions_that_the_design_names_are_there():
    assert {
        "tests",
        "lint",
        "types",
        "demo",
        "parity-cpu",
        "bench-cpu",
        "bench-numba",
        "bench-parallel",
    } <= session_names()


@pytest.mark.parametrize("command", ["extract", "models", "report", "doctor", "parity", "bench", "profile", "dev"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) > 8
    if command in ("parity", "bench", "report", "profile"):
        assert "examples:" in said
        assert "exit status:" in said


def test_no_session_takes_a_failure_for_success():
    """Exit status 5 says that nothing could run here; any other but 0 is a failure and must end its session as one."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    accepted = [
        ast.unparse(keyword.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "success_codes"
    ]
    assert set(accepted) <= {"[0, EXIT_NOTHING]"}
