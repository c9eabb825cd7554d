"""Settings of the documentation's site: Sphinx reads this file when `nox -s docs` builds it.

Pages are the Markdown files of this folder, as they are; `index.md` puts them in order. Three things are made while the
site is built: the reference of the command line from its parsers (`site/command_line.py`), that of Python from the
docstrings of the public names, and the pages of the files at the root of the repository (README's neighbours).
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from ipython_pygments_lexers import IPython3Lexer
from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT / "dev"), str(HERE)]

from site_pages import api, command_line, numpydoc_of  # noqa: E402

_project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "auparity"
author = _project["authors"][0]["name"]
copyright = author
release = version = _project["version"]

extensions = ["myst_nb", "numpydoc", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = ["_build", "examples", "**/.ipynb_checkpoints"]
nitpicky = False  # types of NumPy and of our own modules are not all on the site

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4  # the anchors that GitHub gives: links work there and here
nb_execution_mode = "off"  # notebooks show what they held when they were last executed; tests execute them
nb_execution_in_temp = True  # but the gallery says that it is executed: not here, and a cell that fails ends the build
nb_execution_raise_on_error = True
nb_merge_streams = True  # what a cell prints is one block

default_role = "code"  # single backticks of docstrings
autodoc_typehints = "none"  # in the signature they would hide the arguments; docstrings state shapes and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = f"auparity {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_theme_options = {
    "source_repository": _project["urls"]["Source"],
    "source_branch": "main",
    "source_directory": "docs/",
}
highlight_language = "bash"  # blocks that name no language are commands
copybutton_exclude = ".linenos, .gp, .go"

#: Files at the root of the repository that are pages of the site, by the name of the page.
ROOT_PAGES = {
    "contributing": "CONTRIBUTING.md", "changelog": "CHANGELOG.md", "security": "SECURITY.md",
    "code-of-conduct": "CODE_OF_CONDUCT.md",
}  # fmt: skip
_PAGE_OF = {file: f"{page}.md" for page, file in ROOT_PAGES.items()}


def _from_root(text: str) -> str:
    """The text of a file at the root as a page of this folder: links between pages stay links between pages."""
    return re.sub(r"\]\((docs/)?(?!https?:|#)([^)]+)\)", lambda m: f"]({m[2] if m[1] else '../' + m[2]})", text)


def _links_to_root(text: str) -> str:
    """Links from this folder to the root: to a page of the site, else to the file in the repository."""

    def target(match: re.Match[str]) -> str:
        file, part = match[1], match[2] or ""
        if file == "README.md":  # its sections are on no page of the site
            return f"]({_project['urls']['Source']}/blob/main/README.md{part})" if part else "](index.md)"
        return f"]({_PAGE_OF[file]}{part})" if file in _PAGE_OF else f"]({_project['urls']['Source']}/blob/main/{file})"

    return re.sub(r"\]\(\.\./([\w./-]+)(#[^)]*)?\)", target, text)


def _sections_of_specification(text: str) -> str:
    """Anchors such as ``<a id="50.3">`` as targets that Sphinx knows, and the links to them."""
    text = re.sub(r'<a id="([\d.]+)"></a>', r"(spec-\1)=", text)
    return re.sub(r"\]\([^)#\s]*#(\d\d(?:\.\d+)*)\)", r"](#spec-\1)", text)


def _patterns_with_pages(text: str) -> str:
    """`index.md` without the patterns for pages that are not there; Sphinx would warn of each."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not re.fullmatch(r"[\w/-]*\*\n", line) or any(HERE.glob(line.strip())))


def read_source(_app: Sphinx, page: str, source: list[str]) -> None:
    """Put the text of a page in place of what stands in its file."""
    if page in ROOT_PAGES:
        source[0] = _from_root((ROOT / ROOT_PAGES[page]).read_text(encoding="utf-8"))
    elif page == "command-line":
        source[0] += command_line()
    elif page == "api":
        source[0] += api()
    elif page == "index":
        source[0] = _patterns_with_pages(source[0])
    source[0] = _sections_of_specification(_links_to_root(source[0]))


def make_accessible(_app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: Any) -> None:
    """What axe-core asks for: levels of the navigation's headings, and code that scrolls can be reached by keyboard."""
    if "body" in context:
        context["body"] = context["body"].replace("<pre>", '<pre tabindex="0">')
    for part in ("furo_navigation_tree", "toc"):
        if part in context:
            context[part] = context[part].replace('role="heading"', 'role="heading" aria-level="2"')


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.add_lexer("csv", TextLexer)  # Pygments has none
    app.add_lexer("python", IPython3Lexer)  # cells of notebooks may call programs: !auparity ...
    app.connect("source-read", read_source)
    app.connect("html-page-context", make_accessible, priority=900)  # after the theme has made the navigation
    app.connect("autodoc-process-docstring", numpydoc_of, priority=400)  # before numpydoc reads it
