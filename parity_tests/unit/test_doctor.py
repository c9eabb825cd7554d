"""What the machine is said to have, and ``auparity doctor``."""

from __future__ import annotations

import json

import numpy as np

from auparity.accelerated.hardware import hardware, hardware_id
from auparity.accelerated.registry import STAGES
from auparity.cli import main


def test_the_machine_is_described():
    machine = hardware()
    assert machine.id == hardware_id()
    assert machine.id.count("-") == 2
    assert machine.cores >= 1
    assert machine.packages["numpy"] == np.__version__
    assert machine.blas
    json.dumps(machine.as_dict())


def test_doctor_lists_every_stage_and_what_would_be_chosen(capsys):
    assert main(["doctor", "--models", "embedded"]) == 0
    said = capsys.readouterr().out
    for stage in STAGES:
        assert f"  {stage} " in said
    assert said.count("*") == len(STAGES) + 1  # and the legend
    assert "BLAS" in said
    assert "\nadvice     " in said


def test_doctor_for_programs(capsys):
    assert main(["doctor", "--models", "embedded", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said["advice"]) == {"technology", "because", "install", "also"}
    assert set(said["chosen"]) == set(STAGES)
    for stage, name in said["chosen"].items():
        assert said["variants"][stage][name] is None
