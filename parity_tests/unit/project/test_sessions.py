"""The sessions of the noxfile: which there are, when tests run in parallel, and that no failure passes."""

from __future__ import annotations

import ast

import pytest

from auparity.parity_tests.unit.helpers import noxfile

pytestmark = pytest.mark.skipif(not noxfile.NOXFILE.is_file(), reason="not a checkout of the repository")


def test_the_sessions_that_the_design_names_are_there():
    _, sessions = noxfile.read()
    named = {
        "tests",
        "lint",
        "types",
        "demo",
        "parity-cpu",
        "bench-cpu",
        "bench-numba",
        "bench-parallel",
        "docs",
        "distribution",
    }
    assert named <= sessions


def test_no_session_takes_a_failure_for_success():
    """Exit status 5 says that nothing could run here; any other but 0 is a failure and must end its session as one."""
    tree = ast.parse(noxfile.NOXFILE.read_text(encoding="utf-8"))
    accepted = [
        ast.unparse(keyword.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "success_codes"
    ]
    assert set(accepted) <= {"[0, EXIT_NOTHING]"}


@pytest.mark.parametrize(
    ("arguments", "cores", "processes"),
    [
        ("", 1, 0),
        ("", 2, 2),
        ("", 64, 4),
        ("-k fhog --no-header --color=yes", 2, 2),
        ("parity_tests/unit/reference", 2, 2),
        ("a/test_a.py b/test_b.py::test_x", 2, 2),
        ("a/test_a.py", 2, 0),
        ("a/test_a.py::test_x a/test_a.py::test_y", 2, 0),
        ("-n 0", 2, 0),
        ("-n0", 2, 0),
        ("--numprocesses=3", 2, 0),
        ("--dist=worksteal -n 3", 2, 0),
        ("-p no:xdist", 2, 0),
        ("-pno:xdist", 2, 0),
        ("--pdb", 2, 0),
        ("-sv", 2, 0),
    ],
)
def test_tests_run_on_all_cores_unless_the_arguments_say_otherwise(arguments, cores, processes):
    defined, _ = noxfile.read()
    options = defined["workers"](arguments.split(), cores)
    assert options[:2] == (["-n", str(processes)] if processes else [])
