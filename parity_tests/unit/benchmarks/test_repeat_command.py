"""The command that a result keeps repeats the run that made it, and names no folder of one machine."""

from __future__ import annotations

import shlex

from auparity import cli
from auparity.benchmarks import bench as bench_module
from auparity.benchmarks.repeat_command import repeating
from auparity.models.bundle import Bundle
from auparity.parity_tests.unit.helpers import factories
from auparity.parity_tests.unit.helpers.synthetic_results import provenance
from auparity.reports.results.records import Results

BUNDLE = factories.make_bundle(0, kind="clnf")
NAMED = f"{BUNDLE.meta.name}, landmark model {BUNDLE.face.name}, hash {BUNDLE.short_hash}"


def test_relative_paths_and_options_stay_as_typed():
    words = [
        "../clips/face one.mp4",
        "--models",
        "../OpenFace",
        "--landmark-model",
        "clnf",
        "--variants",
        "best,fhog=onnx",
    ]
    assert repeating("auparity bench", words, BUNDLE) == (
        f"auparity bench '../clips/face one.mp4' --models ../OpenFace --landmark-model clnf --variants best,fhog=onnx"
        f"  # ../OpenFace is {NAMED}"
    )
    assert repeating("auparity parity", ["--technology", "numba"]) == "auparity parity --technology numba"


def test_absolute_folders_are_replaced_and_the_models_named_by_hash():
    words = ["/mnt/ann/a.mp4", "/mnt/ann/b.mp4", "/data/c", "--models=/mnt/ann/OpenFace", "-o", "/mnt/ann/r.json"]
    command = repeating("auparity bench", words, BUNDLE)
    shown = "FOLDER/a.mp4 FOLDER/b.mp4 FOLDER2/c --models DIR -o FOLDER/r.json"
    assert command == f"auparity bench {shown}  # DIR is {NAMED}"
    assert "ann" not in command


def test_models_that_were_chosen_because_none_were_named_are_named():
    embedded = Bundle.embedded(networks=False)
    command = repeating("auparity bench", ["face.mp4"], embedded)
    assert command.startswith("auparity bench face.mp4 --models embedded  # embedded is embedded, landmark model ")
    assert embedded.short_hash in command
    assert repeating("auparity bench", ["face.mp4", "--models=mine"], BUNDLE).count("--models") == 1


def test_the_commands_words_are_arguments_of_the_command_again():
    """What stands before the comment is understood by the command line, with the values of the run."""
    words = ["clip folder", "--models=../OpenFace", "--landmark-model=clnf", "--frames", "50", "--record"]
    command = repeating("auparity bench", words, BUNDLE, without=["--record"])
    program, *again = shlex.split(command, comments=True)
    first, second = (vars(cli.build_parser().parse_args(w)) for w in (["bench", *words], again))
    assert program == "auparity"
    assert first["record"]
    assert not second["record"]
    differing = {name for name in first if first[name] != second[name]}
    assert differing == {"record"}


def test_bench_keeps_the_words_that_it_was_given_wherever_it_was_called_from(monkeypatch, tmp_path, capsys):
    seen = []

    def bench(works, specs, where, **rest):
        seen.append(where.command)
        return Results("benchmark", provenance())

    monkeypatch.setattr(bench_module, "bench", bench)
    output = tmp_path / "b.json"
    words = ["bench", "--workload", "photographs", "--frames", "32", "-o", str(output)]
    assert cli.main(words) == 0
    assert seen == ["auparity bench --workload photographs --frames 32 -o FOLDER/b.json"]
