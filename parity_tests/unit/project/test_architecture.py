"""Who may import whom: the arrows of docs/architecture.md, read from the sources."""

from __future__ import annotations

import ast
import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

import auparity

PACKAGE = Path(auparity.__file__).resolve().parent
ROOT = PACKAGE.parent
FOLDERS = ("models", "reference", "accelerated", "conversion", "benchmarks", "reports", "parity_tests")
#: What every folder may stand on.
GROUND = (
    "auparity.atomic_files",
    "auparity.child_processes",
    "auparity.errors",
    "auparity.fingerprints",
    "auparity.json_files",
    "auparity.json_schema",
    "auparity.cache",
    "auparity.cache_upkeep",
    "auparity.plugins",
    "auparity.short_repr",
    "auparity.version",
)
#: What a folder may import of ours, and from outside besides the standard library.
OURS = {
    "media": (*GROUND, "auparity.media"),
    "models": (*GROUND, "auparity.models"),
    "models/synthetic": (
        *GROUND,
        "auparity.models",
        "auparity.reference",
        "auparity.accelerated.torch.network_layers",  # what runs the networks in PyTorch trains them, too
        "auparity.accelerated.numba.compile",  # how loops are compiled and kept, also those of the renderer
    ),
    "tables": (*GROUND, "auparity.tables", "auparity.reference.results", "auparity.reference.persons"),
    # The dictionary of columns and the reader of tables, which know no pipeline.
    "reports": (*GROUND, "auparity.reports", "auparity.tables.columns", "auparity.tables.files"),
    "reference": (
        *GROUND,
        "auparity.models.types",
        "auparity.models.bundle",
        "auparity.models.consistency",
        "auparity.models.contents",
        "auparity.reference",
    ),
    "accelerated": (
        *GROUND,
        "auparity.media",  # reads frames, knows nothing of ours but the errors
        "auparity.tables",  # what results of clips become
        "auparity.models",
        "auparity.reference",
        "auparity.accelerated",
        "auparity.conversion.onnx.graphs",  # a graph is how the ONNX variants are written down
        "auparity.conversion.onnx.network_graphs",
        "auparity.conversion.networks.folding",
        "auparity.conversion.centred_models",
        "auparity.conversion.contracts",
        # Likewise a package, and what interprets it.
        "auparity.conversion.coreml.programs",
        "auparity.conversion.coreml.network_programs",
        "auparity.conversion.coreml.builder",
        "auparity.conversion.mil.interpreter",
    ),
    "conversion": (*GROUND, "auparity.models", "auparity.reference", "auparity.conversion"),
    "benchmarks": (
        *GROUND,
        "auparity.media",
        "auparity.models",
        "auparity.reference",
        "auparity.accelerated",
        "auparity.conversion.onnx.graphs",
        "auparity.benchmarks",
        "auparity.reports.results.records",  # what a run found is written down in one format
        # The parity of a timed run is judged as every other run is.
        "auparity.parity_tests.compare.tolerances",
        "auparity.parity_tests.compare.provenance",  # where and when a figure was measured
        "auparity.parity_tests.fidelity.recordings",
        "auparity.parity_tests.suite.stage_capture",  # the arguments that stages really get
        "auparity.parity_tests.suite.workloads",  # networks, where nobody's trained ones are
        "auparity.parity_tests.suite.random_networks",
        "auparity.parity_tests.suite.device_parity",  # that batches of all sizes give the same bits
    ),
}
OUTSIDE = {
    "media": {"numpy", "cv2", "av", "pillow_heif", "PIL"},
    "models": {"numpy", "onnx"},
    "models/synthetic": {"numpy", "cv2", "torch", "av"},
    "tables": {"numpy", "pandas", "pyarrow"},
    "reports": {"numpy", "cv2", "jinja2", "markupsafe", "matplotlib"},
    "reference": {"numpy"},
    "accelerated": {
        "numpy",
        "threadpoolctl",
        "numba",
        "llvmlite",
        "onnx",
        "onnxruntime",
        "torch",
        "jax",
        "coremltools",
        "cupy",
    },
    "conversion": {"numpy", "onnx", "onnxruntime", "coremltools", "tensorrt", "cupy", "torch"},
    "benchmarks": {"numpy", "cv2", "openvino", "pytest"},
}
#: Parts of a folder that are layers of their own: the renderer and the training are above the reference.
LAYERS_WITHIN = {"models": ("synthetic",)}
#: What an allowed prefix does not allow: models know nothing of what made the embedded ones.
FORBIDDEN = {folder: ("auparity.models.synthetic",) for folder in ("models", "accelerated", "conversion")}


def imports(source: str) -> set[str]:
    """Modules that a source imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are not used here"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def violations(folder: str, sources: dict[str, str]) -> list[str]:
    wrong = []
    for name, source in sources.items():
        for module in sorted(imports(source)):
            top = module.split(".")[0]
            if top == "auparity":
                allowed = _within(module, OURS[folder]) and not _within(module, FORBIDDEN.get(folder, ()))
            else:
                allowed = top in sys.stdlib_module_names or top in OUTSIDE[folder]
            if not allowed:
                wrong.append(f"{folder}/{name} imports {module}")
    return wrong


def _within(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


def folder_of(name: str) -> Path:
    """Where a folder of the package really is: behind its link, or beside the package in a checkout without links."""
    linked = (PACKAGE / name).resolve()
    return linked if linked.is_dir() else ROOT / name


def sources(folder: str) -> dict[str, str]:
    base = folder_of(folder)
    paths = {path.relative_to(base): path for path in base.rglob("*.py")}
    assert paths, f"{base} holds no sources"
    own = {k: path for k, path in paths.items() if k.parts[0] not in LAYERS_WITHIN.get(folder, ())}
    return {str(k): path.read_text(encoding="utf-8") for k, path in own.items()}


@pytest.mark.parametrize("folder", sorted(OURS))
def test_imports_go_downward_only(folder):
    assert violations(folder, sources(folder)) == []


def test_a_broken_arrow_is_seen():
    planted = {"fhog.py": "import cv2\nfrom auparity.cli import main\ndef f():\n    import scipy.signal\n"}
    assert len(violations("reference", planted)) == 3
    assert violations("models", {"x.py": "from auparity.reference import pdm"}) != []
    assert violations("models", {"x.py": "from auparity.models.synthetic import render"}) != []
    assert violations("reference", {"x.py": "from auparity.models.synthetic import types"}) != []
    assert violations("reports", {"x.py": "from auparity.reference.pipeline import ReferencePipeline"}) != []


def test_torch_is_loaded_only_where_it_is_used():
    for name, source in sources("models/synthetic").items():
        top = ast.parse(source).body
        loaded = set().union(
            *(imports(ast.unparse(node)) for node in top if isinstance(node, ast.Import | ast.ImportFrom))
        )
        assert not {module for module in loaded if module.split(".")[0] == "torch"}, f"{name} loads torch when imported"


def test_stages_and_landmarkers_know_no_bundles():
    """They get models; only who builds a pipeline, and the table that says what a stage is built from, know bundles."""
    users = {
        name for name, source in sources("reference").items() if "BundleContents" in source or "import Bundle" in source
    }
    assert users == {"model_families.py", "pipeline.py", "stages.py", "video_pipeline.py"}


@pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="not a checkout of the repository")
def test_every_folder_is_reachable_under_the_projects_name():
    for folder in FOLDERS:
        (found,) = import_module(f"auparity.{folder}").__path__
        assert Path(found).resolve() == ROOT / folder


def modules() -> dict[str, ast.Module]:
    """Every module of the package by name, tests included."""
    found = {}
    for top in ("", *FOLDERS):
        base = PACKAGE if not top else Path(next(iter(import_module(f"auparity.{top}").__path__))).resolve()
        for path in base.rglob("*.py"):
            parts = path.relative_to(base).with_suffix("").parts
            if not top and parts[0] in FOLDERS:
                continue
            name = ".".join(("auparity", *filter(None, [top]), *(part for part in parts if part != "__init__")))
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def graph(trees: dict[str, ast.Module]) -> dict[str, set[str]]:
    """Which modules each one imports, inside functions and under TYPE_CHECKING as well.

    A package's own `__init__` that lists lazy names imports nothing by that, and importing a submodule is not counted
    as importing the packages above it.
    """
    arrows: dict[str, set[str]] = {}
    for name, tree in trees.items():
        arrows[name] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                wanted = [f"{node.module}.{alias.name}" for alias in node.names]
                wanted = [each if each in trees else str(node.module) for each in wanted]
            else:
                continue
            arrows[name] |= {each for each in wanted if each in trees and each != name}
    return arrows


def circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules each of which reaches every other (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in arrows[name]:
            if other not in order:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in arrows:
        if name not in order:
            visit(name)
    return found


@pytest.fixture(scope="module")
def arrows():
    # The front page of the package names what others hold; whoever imports it imports a name, not the page.
    return {name: others - {"auparity"} for name, others in graph(modules()).items()}


def test_no_circle_between_modules_lazy_and_type_only_imports_included(arrows):
    assert len(arrows) > 400
    assert circles(arrows) == []


def test_a_circle_is_seen():
    lazy = "def f():\n    from auparity.b import g\n"
    for_types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from auparity import a\n"
    planted = {"auparity.a": ast.parse(lazy), "auparity.b": ast.parse(for_types), "auparity.c": ast.parse(lazy)}
    assert circles(graph(planted)) == [["auparity.a", "auparity.b"]]


#: What a wheel leaves out (pyproject.toml).
NOT_SHIPPED = tuple(
    f"auparity.parity_tests.{name}" for name in ("fuzz", "golden", "kills", "mutants", "processors", "unit")
)


def test_what_is_shipped_stands_without_what_is_not(arrows):
    for name, others in arrows.items():
        if not _within(name, NOT_SHIPPED):
            assert not [other for other in others if _within(other, NOT_SHIPPED)], name


#: Somebody's home folder, on Linux, macOS or Windows; in two pieces, so that this file does not mention one.
HOME = re.compile("/" + r"(?:home|Users)/\w|[A-Za-z]:\\\\?" + r"Users\\|/" + r"root/\w")


def test_no_file_of_the_package_mentions_a_home_folder():
    for name in (".", *FOLDERS):
        folder = folder_of(name)
        for path in folder.glob("*") if name == "." else folder.rglob("*"):
            if path.is_file() and path.suffix in {".py", ".toml", ".json", ".txt"}:
                assert not HOME.search(path.read_text(encoding="utf-8")), f"{path} names a home folder"


@pytest.mark.parametrize(
    "planted", ["/" + "home/ada/x", "/" + "Users/ada/x", "C:" + "\\Users\\ada", "/" + "root/models"]
)
def test_a_home_folder_is_seen(planted):
    assert HOME.search(f"path = '{planted}'")
