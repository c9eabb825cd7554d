"""What reaches people: checkouts without symbolic links, the source distribution, the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import auparity

ROOT = Path(auparity.__file__).resolve().parents[1]
FOLDERS = ("accelerated", "benchmarks", "conversion", "models", "parity_tests", "reference", "reports")
pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="not a checkout of the repository")


def settings():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def linkless(tmp_path_factory):
    """A clone as git makes it on Windows: links are files that hold a path."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git repository")
    folder = tmp_path_factory.mktemp("clone") / "auparity"
    command = ["git", "clone", "--quiet", "-c", "core.symlinks=false", f"file://{ROOT}", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"git cannot clone the repository: {done.stderr.strip()}")
    assert (folder / "auparity" / "reference").is_file()
    return folder


def run(folder, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(folder / "dev")}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_checkout_without_symbolic_links_imports_its_own_folders(linkless):
    names = [f"auparity.{folder}" for folder in FOLDERS]
    script = "import sys, importlib\nfor name in sys.argv[1:]: print(*importlib.import_module(name).__path__)"
    done = run(linkless, "-c", script, *names)
    assert [Path(line) for line in done.stdout.splitlines()] == [linkless / folder for folder in FOLDERS], done.stderr
    done = run(linkless, "-m", "auparity", "doctor", "--json")
    assert done.returncode == 0, done.stderr


def test_a_checkout_without_symbolic_links_passes_tests(linkless):
    some = ["accelerated/test_registry.py", "project/test_architecture.py"]
    done = run(linkless, "-m", "pytest", "-q", *(f"parity_tests/unit/{name}" for name in some))
    assert done.returncode == 0, done.stdout


def test_the_source_distribution_holds_what_its_own_settings_name():
    held = settings()["tool"]["hatch"]["build"]["targets"]["sdist"]["only-include"]
    assert {*settings()["tool"]["pytest"]["ini_options"]["testpaths"], "noxfile.py", "docs", "dev", ".ci"} <= {*held}
    assert {*FOLDERS, "auparity", "README.md", "LICENSE"} <= {*held}


def test_the_wheel_holds_every_folder_once_and_no_tests_of_ours():
    build = settings()["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    assert {*wheel["only-include"]} == {*FOLDERS, "auparity"}
    assert wheel["sources"] == {folder: f"auparity/{folder}" for folder in FOLDERS}
    assert {*build["exclude"]} == {f"/auparity/{folder}" for folder in FOLDERS}  # the links
    assert {*build["exclude"]} <= {*wheel["exclude"]}  # which replaces the other list
    assert {f"/parity_tests/{name}" for name in ("unit", "golden", "fuzz", "processors", "kills.py", "mutants.py")} <= {
        *wheel["exclude"]
    }
