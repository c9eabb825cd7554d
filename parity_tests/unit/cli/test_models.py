"""``auparity`` and ``auparity models`` as a user types them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from auparity import __version__
from auparity.cli import main
from auparity.models import manifest as manifest_module
from auparity.models import store
from auparity.models.bundle import Bundle
from auparity.models.manifest import Manifest, ManifestFile


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv(store.DIRECTORY_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def tiny(monkeypatch):
    """A manifest of one file that no server has."""
    use(monkeypatch, ManifestFile("lib/local/LandmarkDetector/model/a.txt", ("http://127.0.0.1:9/a.txt",), 3, "0" * 64))


def use(monkeypatch, file):
    manifest = Manifest("openface", "2.2.0", "its licence", "url", (file,))
    for module in (store, manifest_module):
        monkeypatch.setattr(module, "openface_manifest", lambda: manifest)


def test_the_version_needs_nothing_heavy():
    code = (
        "import sys; from auparity.cli import build_parser; build_parser();"
        "print({'cv2', 'numpy', 'multiprocessing'} & {*sys.modules})"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_a_table_alone_needs_nothing_that_draws():
    code = (
        "import sys, auparity.cli.measure, auparity.extraction.jobs, auparity.accelerated.pipeline;"
        "print({'cv2', 'auparity.reports.clips.overlay', 'auparity.reports.clips.summary'} & {*sys.modules})"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"


def test_version_and_usage(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert __version__ in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["models", "fetch", "openpose"])
    assert stop.value.code == 2


def test_fetch_asks_for_the_licence_to_be_accepted(cache, capsys):
    assert main(["models", "fetch", "openface"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("auparity: error: ")
    assert "--accept-license" in error
    assert not cache.exists()


def test_an_unreachable_server_is_one_line_and_no_traceback(cache, tiny, monkeypatch, capsys):
    monkeypatch.setattr("auparity.models.download.ATTEMPTS", 1)
    assert main(["models", "fetch", "openface", "--accept-license"]) == 1
    error = capsys.readouterr().err
    assert "http://127.0.0.1:9/a.txt" in error
    assert "Traceback" not in error


def test_list_path_and_verify_of_an_empty_cache(cache, capsys):
    assert main(["models", "list"]) == 0
    assert "not installed" in capsys.readouterr().out
    assert main(["models", "path"]) == 1
    assert main(["models", "verify"]) == 1
    assert "missing: lib/local/LandmarkDetector/model/main_clnf_general.txt" in capsys.readouterr().out


def test_list_path_and_verify_of_a_complete_cache(cache, monkeypatch, capsys):
    originals = cache / "2.2.0" / "originals"
    Bundle.embedded(networks=False).to_openface(originals)
    (originals / "model" / "a.txt").write_bytes(b"abc")
    sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    use(monkeypatch, ManifestFile("lib/local/LandmarkDetector/model/a.txt", ("http://127.0.0.1:9/a.txt",), 3, sha256))
    assert main(["models", "list"]) == 0
    assert "complete" in capsys.readouterr().out
    assert main(["models", "path"]) == 0
    assert capsys.readouterr().out.strip() == str(originals)
    assert main(["models", "verify"]) == 0
    assert "1 ok" in capsys.readouterr().out
    assert main(["models", "fetch", "openface", "--accept-license"]) == 0
    assert "nothing had to be fetched" in capsys.readouterr().out


def test_an_interruption_is_130(monkeypatch, capsys):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("auparity.cli.models.run_list", interrupted)
    assert main(["models", "list"]) == 130
    assert "interrupted" in capsys.readouterr().err
