"""Pages of the documentation's site that are made from code, and that no page is left out of its navigation."""

from __future__ import annotations

import re
import runpy

import pytest

from auparity import __all__ as public_names
from auparity.cli import build_parser
from auparity.parity_tests.unit.helpers.documentation import ROOT

pytestmark = pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="installed without its documentation")


@pytest.fixture(scope="module")
def made():
    """What docs/site_pages.py defines."""
    return runpy.run_path(str(ROOT / "docs" / "site_pages.py"))


def test_the_reference_of_the_command_line_has_every_command_and_option(made):
    sections = re.split(r"^##+ (auparity .+)$", made["command_line"](), flags=re.MULTILINE)
    text_of = dict(zip(sections[1::2], sections[2::2], strict=True))
    for name, _, parser in made["commands"](build_parser()):
        text = text_of[f"auparity {name}"]
        for option in (option for action in parser._actions for option in action.option_strings):
            assert option in ("-h", "--help") or re.search(rf"`{option}[ `]", text), f"{name} {option}"


def test_every_public_name_is_in_the_reference_of_python(made):
    page = made["api"]()
    assert all(f":: auparity.{name}\n" in page for name in public_names if not name.startswith("__"))


def test_entries_of_docstrings_are_text_and_not_types(made):
    lines = ["What it does.", "", "Parameters", "----------", "image : (H, W, 3) uint8,", "    as read.", "", "Raises",
             "------", "VideoError : it is damaged."]  # fmt: skip
    assert made["numpydoc_lines"](lines) == [
        "What it does.", "", "Parameters", "----------", "image", "    (H, W, 3) uint8,", "    as read.", "", "Raises",
        "------", "VideoError", "    it is damaged.",
    ]  # fmt: skip


def test_text_before_the_lists_stays_as_it_is(made):
    lines = ["Kinds : they are named.", "", "Returns", "-------", "(N,) px"]
    assert made["numpydoc_lines"](lines) == lines


def test_every_page_is_in_the_navigation():
    trees = re.findall(r"^:::\{toctree\}\n(.*?)^:::", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"),
                       re.MULTILINE | re.DOTALL)  # fmt: skip
    named = [line for tree in trees for line in tree.splitlines() if line and not line.startswith(":")]
    pages = {page.stem for pattern in named for page in (ROOT / "docs").glob(f"{pattern}.md")}
    assert pages == {page.stem for page in (ROOT / "docs").glob("*.md")} - {"index"}
