"""What pyproject.toml, CITATION.cff, codemeta.json and the workflows say of the package is the same everywhere."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

import auparity

ROOT = Path(auparity.__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="not a checkout of the repository")

HOOK = "fancy-pypi-readme"


def settings():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def citation(key):
    """A value of one line of CITATION.cff."""
    return re.search(rf"^{key}: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)[1]


def long_description():
    """README as PyPI shows it: the substitutions of the build applied."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for change in settings()["tool"]["hatch"]["metadata"]["hooks"][HOOK]["substitutions"]:
        text = re.sub(change["pattern"], change["replacement"], text)
    return text.replace("$HFPR_VERSION", auparity.__version__)


def test_the_version_is_one():
    version = settings()["project"]["version"]
    assert version == auparity.__version__ == citation("version")
    assert version == json.loads((ROOT / "codemeta.json").read_text(encoding="utf-8"))["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_codemeta_says_what_pyproject_says():
    project, codemeta = settings()["project"], json.loads((ROOT / "codemeta.json").read_text(encoding="utf-8"))
    assert codemeta["name"] == project["name"]
    assert codemeta["description"] == project["description"]
    assert codemeta["keywords"] == project["keywords"]
    assert codemeta["license"].endswith(f"/{project['license']}")
    assert codemeta["runtimePlatform"] == f"Python {project['requires-python']}"
    assert [author["name"] for author in codemeta["author"]] == [author["name"] for author in project["authors"]]
    urls = project["urls"]
    assert codemeta["codeRepository"] == urls["Source"]
    assert codemeta["issueTracker"] == urls["Issues"]
    assert codemeta["softwareHelp"] == urls["Documentation"]


def test_the_citation_says_what_pyproject_says():
    project = settings()["project"]
    assert citation("title") == project["name"]
    assert citation("license") == project["license"]
    assert citation("repository-code") == project["urls"]["Source"]
    assert citation("url") == project["urls"]["Documentation"]
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"  - name: {project['authors'][0]['name']}\n" in text
    assert all(f"  - {keyword}\n" in text for keyword in project["keywords"])


def test_links_of_the_long_description_are_absolute_and_lead_to_files():
    targets = re.findall(r"\]\(([^)\s]+)\)", long_description())
    files = f"{settings()['project']['urls']['Source']}/blob/v{auparity.__version__}/"
    assert len(targets) > 20
    for target in targets:
        assert target.startswith(("https://", "#")), target
        if target.startswith(files):
            assert (ROOT / target.removeprefix(files).partition("#")[0]).exists(), target


#: Extras for developing auparity, not for using it.
DEVELOPERS = {"test", "coverage", "mutants", "bench", "lint", "docs", "dev", "train"}


def test_every_extra_for_users_is_explained():
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    extras = set(settings()["project"]["optional-dependencies"])
    assert extras > DEVELOPERS
    assert {name for name in extras - DEVELOPERS if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("workflow", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_actions_are_pinned_and_the_same_everywhere(workflow):
    everywhere = "".join(path.read_text(encoding="utf-8") for path in workflow.parent.glob("*.yml"))
    used = re.findall(r"uses: (\S+)@(\S+)", workflow.read_text(encoding="utf-8"))
    assert used
    for action, commit in used:
        assert re.fullmatch("[0-9a-f]{40}", commit), action
        assert set(re.findall(rf"uses: {re.escape(action)}@(\S+)", everywhere)) == {commit}, action
