"""Every example of README and docs runs: Python blocks as they stand, commands parsed.

The commands of the tutorial and of the study run in test_tutorial.py.

Blocks run in processes of their own, in a folder that holds what the examples name: a face on video and on a
photograph, and an OpenFace installation (the embedded models, exported). Downloads and cameras are parsed only.
"""

from __future__ import annotations

import shlex
import sys
from importlib.util import find_spec

import cv2
import pytest

from auparity import cli
from auparity.cli import dev
from auparity.extraction.openface.options import parse
from auparity.models.bundle import Bundle
from auparity.models.synthetic.clips import render_clip
from auparity.models.synthetic.example import write_example
from auparity.parity_tests.unit.helpers import noxfile
from auparity.parity_tests.unit.helpers.documentation import PAGES, ROOT, blocks, commands, run

#: What the snippets take for granted: frames of a clip.
PRELUDE = "import cv2, pathlib\nframes = [cv2.imread(str(p)) for p in sorted(pathlib.Path('clip').glob('*.png'))]\n"

#: Pages whose blocks need what the commands before them have made; they run in test_tutorial.py.
IN_ORDER = ("study",)

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="installed without its documentation")


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
    Bundle.embedded(networks=False).to_openface(place / "OpenFace")
    write_example(place / "example")
    return place


@pytest.mark.parametrize(
    "page", [p for p in PAGES if blocks(p, "python") and p.stem not in IN_ORDER], ids=lambda p: p.stem
)
def test_python_of_a_page_runs(page, folder):
    for block in blocks(page, "python"):
        done = run([sys.executable, "-c", PRELUDE + block], folder)
        assert done.returncode == 0, f"{page.name}:\n{block}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_commands_of_a_page_are_understood(page):
    parser, sessions = cli.build_parser(), noxfile.read()[1]
    for line in commands(page):
        for part in line.split("&&"):
            words = shlex.split(part)
            if words[:3] == ["python", "-m", "nox"]:
                words = ["nox", *words[3:]]
            if words[0] == "auparity":
                parser.parse_args(words[1:])  # leaves with its usage where it does not understand
                if words[1] == "openface":
                    assert set(parse(words[2], words[3:]).unknown) <= {"-h"}, part
                if words[1] == "dev":
                    assert find_spec(f"auparity.{dev.TOOLS[words[2]].module}"), part
            elif words[0] == "nox":
                named = [word for word in words[words.index("-s") + 1 :] if not word.startswith("-")]
                named = named[: words.index("--") - 2] if "--" in words else named
                assert set(named) <= sessions, f"{part}: no session {set(named) - sessions}"
            else:
                assert not (words[:2] == ["python", "-m"] and words[2].startswith("auparity.")), f"{part}: auparity dev"


@pytest.mark.parametrize(
    "command",
    [
        "extract",
        "convert-table",
        "columns",
        "dataset",
        "openface",
        "live",
        "models",
        "report",
        "doctor",
        "parity",
        "bench",
        "profile",
        "cache",
        "completion",
        "dev",
    ],
)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert len(said.splitlines()) > 8
    if command in ("parity", "bench", "report", "profile"):
        assert "examples:" in said
        assert "exit status:" in said
