"""The project's sessions: ``nox -l`` lists them.

Each session makes its own environment. The tests of `parity_tests/golden` and ``fidelity`` need the recordings of the
C++ program, which they read from ``AUPARITY_SHARED``, else from ``../shared`` beside the repository.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
#: One thread in each process: sums must not depend on the number of cores, and CI has two.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def held(session: nox.Session, *command: str, **options: Any) -> bool:
    """Run a command whose failure is a result: False if it failed, so that its report can be made first.

    The caller ends the session with `session.error` if a command failed.
    """
    from nox.command import CommandFailed

    try:
        session.run(*command, env=ONE_THREAD, **options)
    except CommandFailed:
        return False
    return True


def shared() -> Path | None:
    """The folder with recordings, model files and footage, if there is one."""
    folder = Path(os.environ.get("AUPARITY_SHARED", ROOT.parent / "shared"))
    return folder if (folder / "golden").is_dir() else None


#: Processes that the tests run in at most: each loads models, compiled kernels and frameworks of its own.
MOST_WORKERS = 4
#: Seconds after which a test is stuck; the longest take two minutes on two cores that have other work.
LONGEST_TEST = 900
#: Beginnings of pytest's arguments that say how many processes there are, or that want the terminal for themselves.
OWN_WISHES = ("-n", "--numprocesses", "--dist", "-s", "--capture", "--pdb", "--trace")


def workers(arguments: list[str], cores: int) -> list[str]:
    """Options of pytest-xdist: one process for each core, and all tests of a file in the same one, in order.

    None of them where the arguments of pytest decide that themselves (`OWN_WISHES`, ``-p no:xdist``), name tests of a
    single file, or where there is one core.
    """
    files = {word.partition("::")[0] for word in arguments if word.partition("::")[0].endswith(".py")}
    decided = any(word.startswith(OWN_WISHES) or word.endswith("no:xdist") for word in arguments)
    if decided or len(files) == 1 or cores < 2:
        return []
    # In the order of folders, because the longest files are in the first ones, and not by the number of tests.
    return ["-n", str(min(cores, MOST_WORKERS)), "--dist", "loadfile", "--no-loadscope-reorder"]


def usable_cores() -> int:
    """Cores that this process may run on, where the system says so; else those that there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@nox.session
def tests(session: nox.Session) -> None:
    """Unit, property and reference tests on all cores (arguments go to pytest, -n 0 for one process)."""
    # With extras whose tests are skipped otherwise; coremltools has no wheels for Windows, and Ray only trial ones.
    session.install("-e", ".[test,fast]" if sys.platform == "win32" else ".[test,fast,coreml,ray]")
    shared_out = [*workers(session.posargs, usable_cores()), f"--timeout={LONGEST_TEST}"]
    session.run("python", "-m", "pytest", *shared_out, *session.posargs, env=ONE_THREAD)


@nox.session
def coverage(session: nox.Session) -> None:
    """The share of lines and branches that the tests reach (arguments go to pytest); a figure, not a gate."""
    session.install("-e", ".[coverage,fast]")
    page = "--cov-report=html:results/coverage"
    session.run("python", "-m", "pytest", "--cov", "--cov-report=term", page, *session.posargs, env=ONE_THREAD)


@nox.session
def mutants(session: nox.Session) -> None:
    """Change the code in small ways and see whether its tests notice: ``-- [FILES] [--sample N --seed S]``."""
    session.install("-e", ".[mutants,fast]")
    session.run("python", "-m", "auparity", "dev", "mutants", *session.posargs, env=ONE_THREAD)


@nox.session
def lint(session: nox.Session) -> None:
    """ruff: rules and formatting."""
    session.install("ruff>=0.8")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict over the package."""
    session.install("-e", ".[test,lint]", "nox")
    session.run("mypy")


#: The site of the documentation, which is not committed.
SITE = "results/docs"


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation's site in results/docs; a warning or a link to nowhere between its pages is an error."""
    session.install("-e", ".[docs]")
    session.run("python", "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q", "docs", SITE, *session.posargs)
    print(f"The site: {SITE}/index.html")


@nox.session
def distribution(session: nox.Session) -> None:
    """What PyPI gets, in dist/: made, checked and installed (``-- --tag v0.1.0 --repository ADDRESS`` in a release)."""
    session.install("build", "twine>=6.1")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    # The wheel is made from the source distribution, so that this holds everything that a wheel needs.
    session.run("python", "-m", "build", "--outdir", "dist", ".")
    files = [str(file) for file in sorted((ROOT / "dist").iterdir())]
    session.run("python", "-m", "twine", "check", "--strict", *files)
    session.run("python", ".ci/check_distribution.py", *files, *session.posargs)
    session.install("--force-reinstall", next(file for file in files if file.endswith(".whl")))
    with session.chdir(session.create_tmp()):  # not beside the sources, which would be imported instead
        session.run("python", "-m", "auparity", "doctor", "--models", "embedded", env=ONE_THREAD)


@nox.session
def fidelity(session: nox.Session) -> None:
    """The reference against the C++ program on all recordings; rewrites the figures of docs/fidelity.md."""
    if shared() is None:
        session.skip("there are no recordings of the C++ program: set AUPARITY_SHARED to their folder")
    session.install("-e", ".")
    page = ["--page", "docs/fidelity.md"] if not session.posargs else []
    session.run("python", "-m", "auparity", "dev", "fidelity", *page, *session.posargs, env=ONE_THREAD)


#: The extras that each technology of the parity suite installs; all of them use the embedded bundle.
PARITY_EXTRAS = {
    "cpu": "fast", "numba": "numba", "onnx": "onnx", "torch": "torch", "jax": "jax", "batched": "", "parallel": "numba",
    "coreml": "coreml", "openvino": "openvino", "tensorrt": "tensorrt", "cuda": "torch", "cupy": "", "mps": "torch",
}  # fmt: skip
#: Technologies that also need the extra of CuPy.
NEEDS_CUDA = ("tensorrt", "cuda", "cupy")
FIRST_DRIVER_OF_CUDA_13 = 580
#: The suite's name of a technology where it differs: providers of ONNX Runtime.
PARITY_NAMES = {"openvino": "onnx-openvino", "tensorrt": "onnx-tensorrt"}
#: Without a Mac, the packages are interpreted: this verifies them, but says nothing about speed.
COREML_ELSEWHERE = [] if sys.platform == "darwin" else ["--emulate-coreml"]
EXIT_NOTHING = 5  # exit status of the suite: nothing could run here


def cuda_extra(session: nox.Session) -> str:
    """The extra of CuPy for the installed driver; skips the session without a driver."""
    if not shutil.which("nvidia-smi"):
        session.skip("needs an NVIDIA GPU and its driver; there is no nvidia-smi")
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip().splitlines()
    if not driver:
        session.skip("nvidia-smi lists no GPU")
    return "cuda13" if int(driver[0].split(".")[0]) >= FIRST_DRIVER_OF_CUDA_13 else "cuda12"


def parity(session: nox.Session, technology: str) -> None:
    """Compare a technology's variants with the reference and with their baselines."""
    if technology == "mps" and sys.platform != "darwin":
        session.skip("MPS is part of macOS")
    extra = PARITY_EXTRAS[technology]
    if technology in NEEDS_CUDA and "--emulate-cuda" not in session.posargs:
        extra = ",".join(filter(None, (extra, cuda_extra(session))))
    session.install("-e", f".[{extra}]" if extra else ".")
    if technology == "tensorrt":
        session.install("onnxruntime-gpu>=1.20")
    if technology == "parallel":
        command = ["auparity", "dev", "parallel"]
    else:
        command = ["auparity", "parity", "--technology", PARITY_NAMES.get(technology, technology)]
    if technology == "coreml":
        command += COREML_ELSEWHERE
    output = f"results/parity/{technology}.json"
    done = session.run(
        "python", "-m", *command, "-o", output, *session.posargs, env=ONE_THREAD, success_codes=[0, EXIT_NOTHING]
    )
    if not (ROOT / output).is_file():
        session.skip(f"no variant of {technology} can run here ({done})")


for _technology in PARITY_EXTRAS:

    def _session(session: nox.Session, technology: str = _technology) -> None:
        parity(session, technology)

    _session.__doc__ = f"Parity of the {_technology} variants with the reference (--quick, --update-baseline)."
    nox.session(_session, name=f"parity-{_technology}")


@nox.session
def processors(session: nox.Session) -> None:
    """Parity and speed of the numba variants on AVX2 without AVX-512 and without AVX, beside this processor's own."""
    session.install("-e", ".[numba]")
    if not ran(session, "processors", "--parity", output="results/processors/speed.json"):
        session.skip("this processor can play no other; see the reason above")


@nox.session(name="parity-arm64")
def parity_arm64(session: nox.Session) -> None:
    """The numba variants on AArch64 under emulation, against this x86-64 (root's rights, Debian's qemu-user-static)."""
    session.install("pip", "-e", ".[numba]")
    output = "results/parity/arm64.json"
    if not ran(session, "arm64", "-o", output, output=output):
        session.skip("AArch64 cannot be emulated here; see the reasons above")


def ran(session: nox.Session, tool: str, *options: str, output: str) -> bool:
    """Run a tool of `auparity dev`; False where it said that nothing can run here, and so wrote no result file."""
    (ROOT / output).unlink(missing_ok=True)
    command = ["python", "-m", "auparity", "dev", tool, *options, *session.posargs]
    session.run(*command, env=ONE_THREAD, success_codes=[0, EXIT_NOTHING])
    return (ROOT / output).is_file()


@nox.session
def truth(session: nox.Session) -> None:
    """The embedded bundle against rendered truth that it never saw: people of the morphable model that AUPARITY_FACES
    names, for the figures of docs/embedded.md; without it drawn heads, of which the bundle knows little."""
    session.install("-e", ".[numba]")
    faces = os.environ.get("AUPARITY_FACES")
    page = ["--faces", faces, "--page", "docs/embedded.md"] if faces and not session.posargs else []
    session.run("python", "-m", "auparity", "dev", "truth", *page, *session.posargs, env=ONE_THREAD)


@nox.session(name="real-faces")
def real_faces(session: nox.Session) -> None:
    """A bundle against recordings of OpenFace; without arguments the embedded one, for docs/real-faces.md."""
    if shared() is None:
        session.skip("there are no recordings of OpenFace: set AUPARITY_SHARED to their folder")
    session.install("-e", ".[fast]")
    page = ["--models", "embedded", "--exchange", "all", "--page", "docs/real-faces.md"]
    arguments = session.posargs or page
    session.run("python", "-m", "auparity", "dev", "real-faces", *arguments, env=ONE_THREAD)


#: The extras that each benchmark installs, and the variants that it times beside the fastest ones.
BENCH_VARIANTS = {
    "cpu": ("fast", ["best"]), "numba": ("numba", ["numba"]), "onnx": ("onnx,numba", ["best", "onnx"]),
    "torch": ("torch,numba", ["best", "torch"]), "jax": ("jax,numba", ["best", "jax"]),
    "batched": ("", ["batched"]),
    # Core ML's four stages beside the fastest of the others.
    "coreml": ("coreml,numba", ["best", "best+coreml", "best+coreml-float16"]),
    "openvino": ("openvino,numba", ["best", "best+onnx-openvino"]),
}  # fmt: skip


def bench(session: nox.Session, technology: str) -> None:
    """Time a technology in turns with the reference; the page is made by `auparity report`."""
    extra, variants = BENCH_VARIANTS[technology]
    session.install("-e", f".[{extra},figures]" if extra else ".[figures]")
    output = f"results/bench/{technology}.json"
    chosen = [word for name in variants for word in ("--variants", name)]
    chosen += COREML_ELSEWHERE if technology == "coreml" else []
    session.run("python", "-m", "auparity", "bench", *chosen, "-o", output, *session.posargs, env=ONE_THREAD)
    session.run("python", "-m", "auparity", "report", output, env=ONE_THREAD)


for _technology in BENCH_VARIANTS:

    def _bench_session(session: nox.Session, technology: str = _technology) -> None:
        bench(session, technology)

    _bench_session.__doc__ = f"Milliseconds a frame of the {_technology} variants beside the reference, with a page."
    nox.session(_bench_session, name=f"bench-{_technology}")


#: The extras of the fastest CPU variants, which take turns with the GPU pipeline.
DEVICE_EXTRAS = ("numba",)
#: PyTorch's and ONNX Runtime's variants on CUDA, the other stages by the fastest of the CPU.
CUDA_VARIANTS = ["best", "best+torch-cuda", "best+onnx-cuda"]


def bench_device(session: nox.Session, output: str, extras: tuple[str, ...]) -> bool:
    """Time the pipeline that stays on the GPU and check its parity; skips the session without a GPU."""
    extra = ",".join((*extras, "figures", cuda_extra(session)))
    session.install("-e", f".[{extra}]")
    (ROOT / output).unlink(missing_ok=True)
    # Arguments of the session are the benchmark's: --models DIR, --streams 1 64 256 ...
    good = held(
        session, "python", "-m", "auparity", "dev", "bench-device", "--widen", "--photographs", "64", "--faces", "4",
        "-o", output, *session.posargs, success_codes=[0, EXIT_NOTHING],
    )  # fmt: skip
    if not (ROOT / output).is_file():
        if not good:
            session.error("the benchmark ended without results; see the reason above")
        session.skip("the GPU cannot be used; see the reason above")
    return good


@nox.session(name="bench-cupy")
def bench_cupy(session: nox.Session) -> None:
    """Streams, images, stages and floors of the pipeline on the GPU, with a page (arguments: docs/gpu.md)."""
    output = "results/bench/cupy.json"
    good = bench_device(session, output, DEVICE_EXTRAS)
    session.run("python", "-m", "auparity", "report", output, env=ONE_THREAD)
    if not good:
        session.error(f"the benchmark failed; the page of {output} shows where")


@nox.session(name="bench-cuda")
def bench_cuda(session: nox.Session) -> None:
    """The same, and the variants of PyTorch and ONNX Runtime on CUDA stage by stage, on one page."""
    outputs = ["results/bench/cuda.json", "results/bench/cuda-frameworks.json"]
    good = bench_device(session, outputs[0], (*DEVICE_EXTRAS, "torch"))
    # Not the extra `onnx`: its onnxruntime and this one would overwrite each other.
    session.install("onnx>=1.16", "onnxruntime-gpu>=1.20")
    chosen = [word for name in CUDA_VARIANTS for word in ("--variants", name)]
    good &= held(session, "python", "-m", "auparity", "bench", *chosen, "-o", outputs[1])
    session.run("python", "-m", "auparity", "report", *outputs, "-o", "results/bench/cuda.html", env=ONE_THREAD)
    if not good:
        session.error("a benchmark failed; results/bench/cuda.html shows where")


@nox.session(name="bench-parallel")
def bench_parallel(session: nox.Session) -> None:
    """Frames a second of one and two processes, and of one stream over two threads: ``-- CLIP [--models SOURCE]``."""
    session.install("-e", ".[fast]")
    session.run("python", "-m", "auparity", "dev", "throughput", *session.posargs, env=ONE_THREAD)


@nox.session(name="bench-stages")
def bench_stages(session: nox.Session) -> None:
    """Every variant of every stage under pytest-benchmark (arguments go to pytest)."""
    session.install("-e", ".[fast,bench]")
    session.run("python", "-m", "pytest", "benchmarks/bench_stages.py", *session.posargs, env=ONE_THREAD)


@nox.session
def train(session: nox.Session) -> None:
    """Train the embedded bundle anew, from seeds, in results/training; an interrupted run resumes (needs PyTorch)."""
    session.install("-e", ".[train]")
    session.run("python", "-m", "auparity", "dev", "train", *session.posargs)


@nox.session(name="train-networks")
def train_networks(session: nox.Session) -> None:
    """Train the embedded networks on rendered faces, in results/training; resumes (needs PyTorch)."""
    session.install("-e", ".[train]")
    session.run("python", "-m", "auparity", "dev", "train-networks", *session.posargs)


#: The parity run of the demo and of CI: the fastest CPU technology on rendered clips, judged by the tolerances alone,
#: because a new machine has no baselines.
DEMO_PARITY = ["auparity", "parity", "--technology", "numba", "--quick", "--no-recordings", "--no-baselines"]


@nox.session(name="parity-demo")
def parity_demo(session: nox.Session) -> None:
    """The parity run of the demo by itself, with which CI ends."""
    session.install("-e", ".[numba]")
    session.run("python", "-m", *DEMO_PARITY, "-o", "results/parity/demo.json", env=ONE_THREAD)


@nox.session
def demo(session: nox.Session) -> None:
    """Measure a rendered face with known truth, verify and time the fast pipeline, and write pages of the results.

    ``nox -s demo -- VIDEO_OR_IMAGE_FOLDER [--models DIR]`` measures a clip of your own instead, without a truth.
    """
    out, arguments = ROOT / "out" / "demo", list(session.posargs)
    if not arguments:
        print("The demo takes about four minutes on two cores with nothing else running.")
    session.install("-e", ".[numba,figures]")
    if not arguments:
        clip = out / "clip.mp4"
        session.run("auparity", "models", "example", "-o", str(out), env=ONE_THREAD)
        # Pose and gaze need the camera; for other clips it is guessed, here it is known.
        camera = json.loads((out / "clip.truth.json").read_text(encoding="utf-8"))["camera"]
        intrinsics = {"--fx": camera["focal"], "--cx": camera["centre_x"], "--cy": camera["centre_y"]}
        arguments = [str(clip), "--models", "embedded", *(str(x) for pair in intrinsics.items() for x in pair)]
    session.run("auparity", "extract", *arguments, "-o", str(out), "--overwrite", env=ONE_THREAD)
    session.run("python", "-m", "auparity", "summary", str(out))
    session.run("auparity", "report", str(out))
    if session.posargs:
        return
    # The last page shows whether the reference measures the same, and how fast both are.
    results = [str(out / "parity.json"), str(out / "bench.json")]
    timed = ["auparity", "bench", "--workload", "clip-240p", "--frames", "60", "--passes", "3"]
    outcomes = {
        "parity": held(session, "python", "-m", *DEMO_PARITY, "-o", results[0]),
        "benchmark": held(session, "python", "-m", *timed, "-o", results[1]),
    }
    made = [file for file in results if Path(file).is_file()]
    if made:
        session.run("auparity", "report", *made, "-o", str(out / "report.html"))
    pages = f"The face: {out / 'clip.html'}. Parity and speed: {out / 'report.html'}."
    if failed := [name for name, good in outcomes.items() if not good]:
        session.error(f"FAILED: {' and '.join(failed)}. {pages}")
    print(f"PASSED. {pages}")
