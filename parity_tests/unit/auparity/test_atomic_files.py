"""Files that are whole or not there, and temporary ones that nobody else touches."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from auparity.atomic_files import abandoned_beside, atomic_file, create_beside, is_abandoned, write_text_atomically


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "a.txt"
    write_text_atomically(target, "one\n")

    def fail_half_way() -> None:
        with atomic_file(target) as temporary:
            temporary.write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert target.read_text() == "one\n"
    assert os.listdir(target.parent) == ["a.txt"]


def test_a_new_file_has_the_permissions_of_an_ordinary_one(tmp_path):
    (tmp_path / "plain").touch()
    write_text_atomically(tmp_path / "ours", "")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_names_that_are_not_utf_8_can_be_written(tmp_path):
    write_text_atomically(tmp_path / "a.json", '"\udcff"')
    assert (tmp_path / "a.json").read_bytes() == b'"\\udcff"'


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX systems")
def test_the_file_of_a_program_that_was_killed_is_told_from_one_in_use(tmp_path):
    target = tmp_path / "a.csv"
    file, path = create_beside(target, ".part")
    code = (
        "import os, sys; from pathlib import Path; from auparity.atomic_files import create_beside;"
        "file, path = create_beside(Path(sys.argv[1]), '.part'); print(path, flush=True); os.kill(os.getpid(), 9)"
    )
    dead = subprocess.run([sys.executable, "-c", code, str(target)], capture_output=True, text=True, check=False)
    assert not is_abandoned(path)
    assert [str(found) for found in abandoned_beside(target, ".part")] == dead.stdout.split()
    file.close()
    assert path in abandoned_beside(target, ".part")
