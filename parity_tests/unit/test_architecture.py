"""Who may import whom: the arrows of docs/architecture.md, read from the sources."""

from __future__ import annotations

import ast
import re
import sys
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
)
#: What a folder may import of ours, and from outside besides the standard library.
OURS = {
    "media": (*GROUND, "auparity.media"),
    "models": (*GROUND, "auparity.models"),
    "models/synthetic": (*GROUND, "auparity.models", "auparity.reference"),
    "reports": (
        *GROUND,
        "auparity.reports",
        # How figures and targets are defined is said once; neither knows a pipeline.
        "auparity.parity_tests.truth_metrics",
        "auparity.parity_tests.truth_targets",
    ),
    "reference": (*GROUND, "auparity.models.types", "auparity.models.bundle", "auparity.reference"),
    "accelerated": (
        *GROUND,
        "auparity.media",  # reads frames, knows nothing of ours but the errors
        "auparity.models",
        "auparity.reference",
        "auparity.accelerated",
        "auparity.conversion.onnx_graphs",  # a graph is how the ONNX variants are written down
        "auparity.conversion.centred_models",
        "auparity.conversion.contracts",
        # Likewise a package, and what interprets it.
        "auparity.conversion.coreml_programs",
        "auparity.conversion.coreml_builder",
        "auparity.conversion.mil",
    ),
    "conversion": (*GROUND, "auparity.models", "auparity.reference", "auparity.conversion"),
    "benchmarks": (
        *GROUND,
        "auparity.media",
        "auparity.models",
        "auparity.reference",
        "auparity.accelerated",
        "auparity.conversion.onnx_graphs",
        "auparity.benchmarks",
        "auparity.__version__",
        "auparity.reports.records",  # what a run found is written down in one format
        # The parity of a timed run is judged as every other run is.
        "auparity.parity_tests.tolerances",
        "auparity.parity_tests.golden_data",
        "auparity.parity_tests.stage_capture",  # the arguments that stages really get
        "auparity.parity_tests.device_parity",  # that batches of all sizes give the same bits
    ),
}
OUTSIDE = {
    "media": {"numpy", "cv2", "av", "pillow_heif", "PIL"},
    "models": {"numpy"},
    "models/synthetic": {"numpy", "cv2", "torch"},
    "reports": {"numpy", "cv2"},
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


def sources(folder: str) -> dict[str, str]:
    base = (PACKAGE / folder).resolve()
    paths = {path.relative_to(base): path for path in base.rglob("*.py")}
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


def test_only_the_pipeline_of_the_reference_knows_bundles():
    users = {
        name for name, source in sources("reference").items() if "auparity.models.bundle.Bundle" in imports(source)
    }
    assert users == {"pipeline.py"}


@pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="not a checkout of the repository")
def test_every_folder_is_reachable_under_the_projects_name():
    for folder in FOLDERS:
        assert (PACKAGE / folder).resolve() == ROOT / folder
    assert (ROOT / "dev" / "auparity").resolve() == PACKAGE


#: Somebody's home folder, on Linux, macOS or Windows; in two pieces, so that this file does not mention one.
HOME = re.compile("/" + r"(?:home|Users)/\w|[A-Za-z]:\\\\?" + r"Users\\|/" + r"root/\w")


def test_no_file_of_the_package_mentions_a_home_folder():
    for name in (".", *FOLDERS):
        folder = (PACKAGE / name).resolve()
        for path in folder.glob("*") if name == "." else folder.rglob("*"):
            if path.is_file() and path.suffix in {".py", ".toml", ".json", ".txt"}:
                assert not HOME.search(path.read_text(encoding="utf-8")), f"{path} names a home folder"


@pytest.mark.parametrize(
    "planted", ["/" + "home/ada/x", "/" + "Users/ada/x", "C:" + "\\Users\\ada", "/" + "root/models"]
)
def test_a_home_folder_is_seen(planted):
    assert HOME.search(f"path = '{planted}'")
