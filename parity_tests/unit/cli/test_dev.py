"""The tools of `auparity dev`."""

from __future__ import annotations

from importlib import import_module

import pytest

from auparity.cli import main
from auparity.cli.dev import TOOLS, Tool


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_explains_itself_under_its_name(name, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["dev", name, "--help"])
    assert stopped.value.code == 0
    assert f"usage: auparity dev {name}" in capsys.readouterr().out


def test_what_a_tool_returns_is_the_exit_status(monkeypatch):
    module, seen = import_module(f"auparity.{TOOLS['kills'].module}"), []
    monkeypatch.setattr(module, "main", lambda arguments: seen.append(arguments) or 7)
    assert main(["dev", "kills", "--count", "3", "x"]) == 7
    assert seen == [["--count", "3", "x"]]


def test_a_tool_that_a_wheel_leaves_out_says_so(monkeypatch, capsys):
    monkeypatch.setitem(TOOLS, "kills", Tool("parity_tests.gone.kills", "not here"))
    assert main(["dev", "kills"]) == 1
    assert "needs a checkout" in capsys.readouterr().err
