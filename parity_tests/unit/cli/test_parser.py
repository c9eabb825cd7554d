"""The parsers: every argument is explained, mistyped words get a suggestion, completion scripts know all names."""

from __future__ import annotations

import argparse
import shutil
import subprocess
from importlib import import_module

import pytest

from auparity.cli import build_parser, main
from auparity.cli.dev import TOOLS
from auparity.cli.parser import closest


def parsers(parser, name="auparity"):
    """A parser and those of its commands, with their names."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                yield from parsers(child, f"{name} {word}")


PARSERS = dict(parsers(build_parser()))


def unexplained(parser):
    """The arguments of a parser without help."""
    return [
        action.option_strings or action.dest
        for action in parser._actions
        if not isinstance(action, argparse._SubParsersAction) and not action.help
    ]


@pytest.mark.parametrize("name", PARSERS)
def test_every_argument_is_explained(name):
    assert unexplained(PARSERS[name]) == []
    PARSERS[name].format_help()  # also that no per cent sign in a help text is taken for a format


def test_an_argument_without_help_would_be_noticed():
    parser = argparse.ArgumentParser()
    parser.add_argument("--good", help="explained")
    parser.add_argument("--bad")
    assert unexplained(parser) == [["--bad"]]


@pytest.mark.parametrize("tool", TOOLS)
def test_every_argument_of_a_developers_tool_is_explained(tool, monkeypatch):
    module, seen = import_module(f"auparity.{TOOLS[tool].module}"), []

    def stop(parser, *_arguments):
        seen.append(parser)
        raise SystemExit

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    with pytest.raises(SystemExit):
        module.main([])
    assert [unexplained(parser) for parser in seen] == [[]]


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [
        (["extrat", "a.mp4"], "did you mean 'extract'?"),
        (["models", "fech", "openface"], "did you mean 'fetch'?"),
        (["models", "fetch", "OpenFace"], "did you mean 'openface'?"),
        (["dev", "fidelty"], "did you mean 'fidelity'?"),
        (["openface", "featureextraction"], "did you mean 'FeatureExtraction'?"),
        (["extract", "a.mp4", "--procesess", "4"], "did you mean --processes in place of --procesess?"),
        (["extract", "a.mp4", "--modells=DIR"], "did you mean --models in place of --modells?"),
        (["convert", "--to", "onxx"], "did you mean 'onnx'?"),
    ],
)
def test_a_mistyped_word_gets_a_suggestion(words, suggestion, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    assert suggestion in capsys.readouterr().err


def test_a_word_that_is_like_none_gets_no_suggestion(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["extract", "a.mp4", "--qqqq"])
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert "unrecognized arguments: --qqqq" in message
    assert "did you mean" not in message
    assert "usage: auparity extract" in message


def test_case_is_no_difference():
    assert closest("PLAN", ["extract", "plan"]) == "plan"
    assert closest("zzz", ["extract", "plan"]) is None


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_completion_scripts_name_commands_and_options(shell, capsys):
    pytest.importorskip("shtab")
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    option = "split" if shell in ("fish", "tcsh") else "--split"
    assert all(word in script for word in ("extract", "completion", "FaceLandmarkImg", option))


def test_bash_completes_commands_options_and_choices(capsys, tmp_path):
    pytest.importorskip("shtab")
    if not shutil.which("bash"):
        pytest.skip("there is no bash")
    main(["completion", "bash"])
    script = tmp_path / "completion.sh"
    script.write_text(capsys.readouterr().out, encoding="utf-8")

    def completed(*words):
        """What bash offers for the last of the words."""
        ask = (
            f"source {script}; COMP_WORDS=({' '.join(words)!s}); COMP_CWORD={len(words) - 1}; "
            f'_shtab_auparity auparity "{words[-1]}" "{words[-2]}"; echo "${{COMPREPLY[@]}}"'
        )
        done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True, cwd=tmp_path)
        return done.stdout.split()

    assert completed("auparity", "extr") == ["extract"]
    assert "--split" in completed("auparity", "extract", "--s")
    assert completed("auparity", "convert", "--to", "on") == ["onnx"]
