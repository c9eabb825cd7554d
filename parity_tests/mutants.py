"""``auparity dev mutants``: change the code in small ways, and see whether its tests notice.

A mutant is one file with one change: `<` becomes `<=`, a number grows by one, a condition is negated, a loop never
runs. Cosmic Ray knows the changes; here they are drawn at random, from a seed and file by file, and the tests of the
file are run on each. Mutants that no test fails on have survived: the tests do not state what that line is for, or the
change makes no difference. Everything happens in a copy of the checkout.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

from auparity.errors import AuparityError

ROOT = Path(__file__).resolve().parents[1]
TESTS = Path("parity_tests/unit")
#: What is mutated when no file is named: everything that decides, ...
DEFAULT_FILES = ("reference/*.py", "auparity/extraction/**/*.py")
#: ... but neither arithmetic whose every bit `test_reference_bits.py` holds, nor what is shown while a run lasts.
LEFT_OUT = {
    *(f"reference/{name}.py" for name in (
        "alignment", "convnet", "elementary", "extended", "fhog", "fit_shape", "grayscale", "inverses", "numerics",
        "patch_experts", "resampling", "similarity", "sums", "trigonometry",
    )),
    "auparity/extraction/progress.py",
}  # fmt: skip
#: Test files that put whole pipelines through clips, half a minute each: for files that no other test leads to.
WHOLE_PIPELINES = {
    "test_many_faces.py", "test_many_sessions.py", "test_model_families.py", "test_network_landmarker.py",
    "test_network_start.py", "test_pipeline.py",
}  # fmt: skip
#: What the root of a checkout holds besides the repository's own, and what would be stale anywhere.
NOT_COPIED, NEVER_COPIED = (".*", "out", "processed", "results", "build", "dist", "venv"), ("__pycache__",)
#: What becomes of an operator: its neighbour and its opposite. Others (`+` to `<<`) fail wherever the line is run.
BINARY = {
    "Add": ("Sub",), "Sub": ("Add",), "Mul": ("Div",), "Div": ("Mul",), "FloorDiv": ("Mul",), "Mod": ("Mul",),
    "Pow": ("Mul",), "BitOr": ("BitAnd",), "BitAnd": ("BitOr",), "LShift": ("RShift",), "RShift": ("LShift",),
}  # fmt: skip
COMPARISONS = {
    "Lt": ("LtE", "GtE"), "LtE": ("Lt", "Gt"), "Gt": ("GtE", "LtE"), "GtE": ("Gt", "Lt"), "Eq": ("NotEq",),
    "NotEq": ("Eq",), "Is": ("IsNot",), "IsNot": ("Is",),
}  # fmt: skip
OPERATORS = (
    *(f"ReplaceBinaryOperator_{old}_{new}" for old, others in BINARY.items() for new in others),
    *(f"ReplaceComparisonOperator_{old}_{new}" for old, others in COMPARISONS.items() for new in others),
    *(f"ReplaceUnaryOperator_Delete_{name}" for name in ("USub", "Not", "Invert")),
    "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer",
    "ZeroIterationForLoop",
)  # fmt: skip
#: Mutants of a file at least, however small the sample.
AT_LEAST = 5
#: A mutant's tests may take this many times what they take on the code as it is, and this much more, s.
PATIENCE, GRACE = 4.0, 10.0
KILLED, TIMED_OUT, SURVIVED = "killed", "timed out", "survived"


@dataclass(frozen=True)
class Place:
    """A change and where it is made: the `occurrence`-th place of a file where the operator has something to change."""

    operator: str
    occurrence: int
    line: int


@dataclass(frozen=True)
class Verdict:
    """What became of one mutant."""

    file: str
    line: int
    operator: str
    outcome: str  #: one of KILLED, TIMED_OUT, SURVIVED
    seconds: float
    diff: str


def operator_named(name: str) -> Any:
    """An operator of Cosmic Ray's.

    Raises
    ------
    AuparityError : Cosmic Ray is not installed.
    """
    try:
        from cosmic_ray.operators.provider import OperatorProvider
    except ModuleNotFoundError as missing:
        raise AuparityError("mutants need Cosmic Ray: pip install 'auparity[mutants]'.") from missing
    return OperatorProvider()[name]()


def places(source: str) -> list[Place]:
    """Everything that can be changed in a source, without what no test can see: annotations and decorators."""
    operators = [(name, operator_named(name)) for name in OPERATORS]
    from cosmic_ray.ast import ast_nodes, get_ast

    counts = dict.fromkeys(OPERATORS, 0)
    found = []
    for node in ast_nodes(get_ast(source)):
        noise = _is_noise(node)
        for name, operator in operators:
            for start, _ in operator.mutation_positions(node):
                if not noise:
                    found.append(Place(name, counts[name], start[0]))
                counts[name] += 1
    return found


def _is_noise(node: Any) -> bool:
    """Whether a node says something to the reader and to the type checker only, or is no operation."""
    if node.type == "operator" and node.parent.type in ("parameters", "lambdef"):
        return True  # the star that begins keyword-only parameters
    if node.type == "if_stmt" and node.children[1].get_code().strip() == "TYPE_CHECKING":
        return True
    while (above := node.parent) is not None:
        annotation = above.annotation if above.type == "funcdef" else None
        if above.type in ("annassign", "tfpdef"):
            annotation = next(child for child in above.children[1:] if child.type != "operator")
        if node is annotation or above.type == "decorator":
            return True
        node = above
    return False


def mutate(source: str, place: Place) -> str | None:
    """The source with one change; None where the result is not Python or the same program."""
    from cosmic_ray.mutating import mutate_code

    changed = mutate_code(source, operator_named(place.operator), place.occurrence)
    try:
        same = changed is None or ast.dump(ast.parse(changed)) == ast.dump(ast.parse(source))
    except SyntaxError:
        return None
    return None if same else str(changed)


def drawn(files: dict[str, list[Place]], sample: int | None, seed: int) -> dict[str, list[Place]]:
    """Places of each file in random order, in proportion to how many it has; None for all of them.

    The order within a file depends on the seed and on that file alone, so that other files change nothing in it.
    """
    total = sum(map(len, files.values()))
    chosen = {}
    for name, found in files.items():
        count = len(found) if sample is None else max(AT_LEAST, round(sample * len(found) / max(total, 1)))
        shuffled = list(found)
        random.Random(f"{seed} {name}").shuffle(shuffled)
        chosen[name] = shuffled[:count]
    return chosen


def mirrored_tests(file: str, root: Path = ROOT) -> list[str]:
    """Test files of a source file: its mirror, and what imports it in the folder of its tests.

    Where there is neither, the tests of the modules that import it, and so on upwards.
    """
    parts = Path(file).with_suffix("").parts
    package = parts[1:] if parts[0] == "auparity" else parts
    folder = package[0] if len(package) > 1 else "auparity"
    sources = {_module(path, root): _imports(path) for path in (root / parts[0]).rglob("*.py")}
    tests = {path: _imports(path) for path in sorted((root / TESTS / folder).glob("test_*.py"))}
    wanted, seen = {_module(root / file, root)}, set[str]()
    while wanted:
        chosen = [path for path, imported in tests.items() if imported & wanted or path.stem == f"test_{parts[-1]}"]
        chosen = [path for path in chosen if path.name not in WHOLE_PIPELINES] or chosen
        if chosen:
            return [path.relative_to(root).as_posix() for path in chosen]
        seen |= wanted
        wanted = {name for name, imported in sources.items() if imported & wanted} - seen
    raise AuparityError(f"no test of {TESTS / folder} leads to {file}.")


def _module(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(("auparity", *(part for part in parts if part not in ("auparity", "__init__"))))


def _imports(path: Path) -> set[str]:
    """Modules, and names in them, that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


class Workshop:
    """A copy of the checkout in which files are changed, and their tests run.

    Parameters
    ----------
    root : of the copy.
    deselect : tests that are left out, by pytest's names: those that fail on the code as it is.
    """

    def __init__(self, root: Path, deselect: Sequence[str] = ()) -> None:
        self.root, self._deselect = root, [word for name in deselect for word in ("--deselect", name)]
        self._seconds: dict[str, float] = {}

    def fastest_first(self, tests: Sequence[str]) -> list[str]:
        """The test files in the order in which they are run, timed on the code as it is.

        Raises
        ------
        AuparityError : one fails without any change; nothing would follow from its failing on a mutant.
        """
        for test in tests:
            if test not in self._seconds:
                began = time.monotonic()
                if self._run([test], None) != 0:
                    raise AuparityError(f"{test} does not pass on the code as it is (--deselect leaves a test out).")
                self._seconds[test] = time.monotonic() - began
        return sorted(tests, key=self._seconds.__getitem__)

    def judge(self, file: str, place: Place, changed: str, tests: Sequence[str]) -> Verdict:
        """Run the tests of a file on a mutant of it; the first that fails ends it. The file is put back."""
        path = self.root / file
        source = path.read_text(encoding="utf-8")
        # Python would take the compiled code of a file of the same size that was written in the same second.
        Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)
        began = time.monotonic()
        try:
            path.write_text(changed, encoding="utf-8")
            status = self._run(tests, PATIENCE * sum(self._seconds[test] for test in tests) + GRACE)
        finally:
            path.write_text(source, encoding="utf-8")
        outcome = TIMED_OUT if status is None else SURVIVED if status == 0 else KILLED
        lines = unified_diff(source.splitlines(), changed.splitlines(), file, file, lineterm="", n=1)
        seconds = round(time.monotonic() - began, 2)
        return Verdict(file, place.line, place.operator, outcome, seconds, "\n".join(lines))

    def _run(self, tests: Sequence[str], limit: float | None) -> int | None:
        """Exit status of pytest; None where it was ended after `limit` seconds."""
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment = os.environ | threads | {"PYTHONPATH": str(self.root / "dev")}
        if limit is not None:
            environment["PYTHONDONTWRITEBYTECODE"] = "1"
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *self._deselect]
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", *options, *tests], cwd=self.root, env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what still runs of a process, and on POSIX what it started."""
    if sys.platform == "win32":
        process.kill()
    else:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # all of it has ended
    process.wait()


def verdicts(workshop: Workshop, files: Sequence[str], sample: int | None, seed: int) -> Iterator[Verdict]:
    """Draw mutants of the files and judge them, in random order: a run that is stopped has judged a smaller sample."""
    sources = {file: (workshop.root / file).read_text(encoding="utf-8") for file in files}
    chosen = drawn({file: places(source) for file, source in sources.items()}, sample, seed)
    queue = [(file, place) for file, found in chosen.items() for place in found]
    random.Random(seed).shuffle(queue)
    tests = {file: mirrored_tests(file, workshop.root) for file, found in chosen.items() if found}
    for file, place in queue:
        changed = mutate(sources[file], place)
        if changed is not None:
            yield workshop.judge(file, place, changed, workshop.fastest_first(tests[file]))


def table(found: Sequence[Verdict]) -> str:
    """Killed and judged mutants by file, in Markdown; those that ran out of time count as killed."""
    rows = {
        file: [v.outcome != SURVIVED for v in found if v.file == file] for file in dict.fromkeys(v.file for v in found)
    }
    rows["all"] = [v.outcome != SURVIVED for v in found]
    lines = [f"| {name} | {sum(row)} | {len(row)} | {sum(row) / len(row):.0%} |" for name, row in rows.items() if row]
    return "\n".join(["| file | killed | judged | score |", "|---|---|---|---|", *lines])


def main(argv: Sequence[str] | None = None) -> int:
    """Judge mutants and print the score, and the survivors; 0 whatever it is, for it is a figure and no gate."""
    parser = argparse.ArgumentParser(prog="auparity dev mutants", description=__doc__)
    parser.add_argument("files", nargs="*", help="Python files of the repository (default: what orchestrates)")
    parser.add_argument("--sample", type=int, metavar="N", help="about so many mutants in all (default: every one)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the sample (default: 0)")
    parser.add_argument(
        "--deselect", action="append", default=[], metavar="TEST", help="leave a test out, as in pytest"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write verdicts here, a line of JSON each")
    arguments = parser.parse_args(argv)
    if not (ROOT / "pyproject.toml").is_file():
        raise AuparityError("mutants need a checkout of auparity.")
    files = arguments.files or _default_files()
    if missing := [file for file in files if not (ROOT / file).is_file()]:
        raise AuparityError(f"no such file in the repository: {', '.join(missing)} (named from its root).")
    found: list[Verdict] = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "auparity"
        shutil.copytree(ROOT, copy, symlinks=True, ignore=_ignored)
        try:
            for verdict in verdicts(Workshop(copy, arguments.deselect), files, arguments.sample, arguments.seed):
                found.append(verdict)
                _tell(verdict, arguments.output)
        except KeyboardInterrupt:
            print("Stopped; the score is that of the mutants judged so far.", file=sys.stderr)
    print("\n\n".join([table(found), *(verdict.diff for verdict in found if verdict.outcome == SURVIVED)]))
    return 0


def _tell(verdict: Verdict, output: Path | None) -> None:
    print(f"{verdict.outcome:<10}{verdict.file}:{verdict.line} {verdict.operator}", file=sys.stderr, flush=True)
    if output is not None:
        with output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(verdict)) + "\n")


def _default_files() -> list[str]:
    files = {path.relative_to(ROOT).as_posix() for pattern in DEFAULT_FILES for path in ROOT.glob(pattern)}
    return sorted(files - LEFT_OUT)


def _ignored(folder: str, names: list[str]) -> set[str]:
    patterns = NEVER_COPIED + (NOT_COPIED if Path(folder) == ROOT else ())
    return shutil.ignore_patterns(*patterns)(folder, names)
