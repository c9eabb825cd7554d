"""``auparity dev real-faces``: holds a bundle against recordings of OpenFace on clips and photographs of real people.

The models are named as ``auparity extract`` names them; the pipeline is the fastest that runs here. Recordings are in
the folder that ``--recordings`` or AUPARITY_SHARED names, or in ``../shared`` beside the repository. With
``--exchange`` the same is measured again with single parts of OpenFace's models in place of the bundle's, which says
where the gap comes from. The figures are compared with `goals.toml`, written to a JSON file and, with
``--page docs/real-faces.md``, into the documentation. Every finished clip is kept under ``--work``, so that the same
command resumes an interrupted run; results of other weights, other pictures or another pipeline are never mixed in.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auparity.accelerated.one_thread import one_blas_thread
from auparity.accelerated.pipeline import Pipeline
from auparity.atomic_files import write_text_atomically
from auparity.cli.pipeline_options import add_model_options, open_chosen
from auparity.errors import AuparityError
from auparity.fingerprints import fingerprint_of_files
from auparity.models import embedded
from auparity.models.bundle import Bundle
from auparity.models.networks.chosen import description_of
from auparity.models.sources import open_bundle
from auparity.models.synthetic.training.workspace import Workspace
from auparity.parity_tests.fidelity import page as fidelity_page
from auparity.parity_tests.fidelity.recordings import SHARED_VARIABLE, shared_dir
from auparity.parity_tests.fidelity.run import environment
from auparity.parity_tests.real import measure as measuring
from auparity.parity_tests.real import tables
from auparity.parity_tests.real.exchange import ALL, CHANGES, changed
from auparity.parity_tests.real.figures import clip_figures, faces_figures
from auparity.parity_tests.real.recorded import Recorded, RecordedClip, RecordedFaces, find_recordings
from auparity.parity_tests.truth.progress import Progress, reporter
from auparity.parity_tests.truth.run import code_digest
from auparity.reference.options import PipelineOptions
from auparity.reports.truth.targets import judge, targets

GOALS = Path(__file__).with_name("goals.toml")
EXIT_REACHED, EXIT_MISSED, EXIT_ERROR, EXIT_NOTHING, EXIT_INTERRUPTED = 0, 1, 2, 5, 130
MEGABYTE = 1e6

Figures = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What all bundles of one run have in common."""

    recordings: dict[str, Recorded]
    openface: Bundle | None  #: for parts that are exchanged, and for its detector's boxes
    scale: float  #: of the pictures
    work: Path
    progress: Progress

    def figures(self, bundle: Bundle, label: str) -> Figures:
        """`clips` and `faces`: the figures of each recording, measured where they are not kept yet."""
        clips: Figures = {}
        faces: Figures = {}
        for name, recorded in self.recordings.items():
            arrays = self._kept(bundle, recorded, label)
            if isinstance(recorded, RecordedClip):
                clips[name] = clip_figures(recorded, arrays)
            else:
                faces[name] = faces_figures(recorded, arrays, self._true_boxes(recorded))
        return {"clips": clips, "faces": faces}

    def _kept(self, bundle: Bundle, recorded: Recorded, label: str) -> measuring.Arrays:
        return self._of(bundle, recorded, f"{label}: ", recorded.name, measuring.measure, self.scale)

    def _true_boxes(self, recorded: RecordedFaces) -> measuring.Arrays | None:
        if self.openface is None:
            return None
        return self._of(self.openface, recorded, "OpenFace: ", f"boxes-{recorded.name}", measuring.measure_boxes, 1.0)

    def _of(
        self, bundle: Bundle, recorded: Any, label: str, task: str, function: Any, scale: float
    ) -> measuring.Arrays:
        # Which variants run here is part of the key: they agree to rounding only, and a file has one origin.
        pipeline = Pipeline.best(bundle, PipelineOptions(device="cpu"))
        code = code_digest(repr(sorted(pipeline.variants.items())), Path(str(measuring.__file__)))
        workspace = Workspace(self.work / f"{bundle.short_hash}-{code}")
        name = f"{task}-{fingerprint_of_files(recorded.frames).sha256[:12]}-{scale:g}"
        if not workspace.has(name):
            with one_blas_thread(), pipeline:
                arrays = function(pipeline, recorded, scale, lambda what, *count: self.progress(label + what, *count))
            workspace.save(name, **arrays)
        return workspace.load(name)


def goals_of(figures: Figures, bundle: Bundle) -> list[Figures]:
    """The goals that the recordings and the bundle allow to ask, with what was measured."""
    values: dict[str, float | None] = {}
    boxes = [entry["boxes"] for entry in figures["faces"].values() if entry["boxes"] is not None]
    if boxes:
        faces = sum(entry["faces"] for entry in boxes)
        values["faces_found"] = sum(entry["found"] for entry in boxes) / faces if faces else None
        values["false_boxes"] = float(sum(entry["false"] for entry in boxes))
    for name, clip in figures["clips"].items():
        named = clip["named"].values()
        of_clip = {
            "tracked": clip["tracked"],
            "landmarks": clip["landmarks"]["median"],
            "pose": clip["pose_r"],
            "gaze": clip["gaze_r"],
            "aus": clip["mean_r"],
            "named_aus": min((r or 0.0 for r in named), default=None),
        }
        values |= {key: v for what, v in of_clip.items() if (key := f"{what}_{name}") in targets(GOALS)}
    # A bundle that was trained anew has the name of the embedded one, but not its files.
    if bundle.video_aus is Bundle.embedded(networks=False).video_aus:
        files = [embedded.path(), *(embedded.network_path(name) for name in embedded.NETWORKS)]
        values["size"] = sum(file.stat().st_size for file in files) / MEGABYTE
    return [result.as_dict() for result in judge(values, GOALS)]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; see the module's first paragraph.

    The exit status is 0 where every goal is reached, 1 where one is missed, 2 for an error, 5 where there are no
    recordings, 130 after an interruption.
    """
    arguments = _parser().parse_args(argv)
    try:
        folder = arguments.recordings or shared_dir()
        if folder is None or not (folder / "golden").is_dir():
            print(
                "real-faces: skipped: there are no recordings of OpenFace (a folder with golden/ and clips/): name it "
                f"with --recordings or {SHARED_VARIABLE}.",
                file=sys.stderr,
            )
            return EXIT_NOTHING
        return _measure(arguments, folder)
    except (AuparityError, FileNotFoundError) as error:
        print(f"real-faces: error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("real-faces: interrupted; the same command resumes.", file=sys.stderr)
        return EXIT_INTERRUPTED


def _measure(arguments: argparse.Namespace, folder: Path) -> int:
    bundle = open_chosen(arguments)
    changes = list(dict.fromkeys(c for text in arguments.exchange for c in (ALL if text == "all" else (text,))))
    openface = _openface(arguments, folder, needed=bool(changes))
    others = {change: changed(bundle, change, openface) for change in changes} if openface else {}
    recordings = _chosen(find_recordings(folder), arguments.clips)
    run = Run(recordings, openface, arguments.scale, arguments.work, reporter())
    figures = run.figures(bundle, "as it is")
    figures["goals"] = goals_of(figures, bundle)
    exchanged = {change: run.figures(other, change) for change, other in others.items()}
    described = environment(bundle) | description_of(bundle)
    if arguments.scale != 1:
        described["pictures"] = f"{arguments.scale:g} times as large"
    if openface is not None:
        described["openface_hash"] = openface.content_hash
    result = {"environment": described, **figures, "exchanged": exchanged}
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(arguments.output, json.dumps(result, indent=1) + "\n")
    text = tables.render(command_of(arguments), described, figures, exchanged)
    if arguments.page is not None:
        fidelity_page.replace_figures(arguments.page, text)
    print(text)
    missed = [f"{goal['title']} ({goal['over']})" for goal in figures["goals"] if not goal["reached"]]
    print("\n".join(f"MISSED {title}" for title in missed) or "every goal reached")
    return EXIT_MISSED if missed else EXIT_REACHED


def command_of(arguments: argparse.Namespace) -> str:
    """The command that measures the same; folders of recordings and results are left out."""
    words = ["auparity", "dev", "real-faces"]
    for name in ("models", "detector", "landmarks", "start", "clips", "scale", "exchange"):
        value = getattr(arguments, name)
        if name == "exchange":
            words += [word for change in value for word in ("--exchange", change)]
        elif value is not None and value != 1:
            words += [f"--{name}", *(value if isinstance(value, list) else [str(value)])]
    return shlex.join(words)


def _openface(arguments: argparse.Namespace, folder: Path, needed: bool) -> Bundle | None:
    """OpenFace's models: as named, else those beside the recordings, else those in the store; None without any."""
    source = arguments.openface or (folder / "openface" if (folder / "openface").is_dir() else "openface")
    try:
        return open_bundle(source)
    except AuparityError as error:
        if needed or arguments.openface:
            raise AuparityError(f"OpenFace's models are needed to exchange parts: {error}") from error
        print(f"  boxes are not compared, because OpenFace's models are not at hand: {error}", file=sys.stderr)
        return None


def _chosen(recordings: dict[str, Recorded], names: list[str] | None) -> dict[str, Recorded]:
    unknown = [name for name in names or () if name not in recordings]
    if unknown or not recordings:
        wanted = unknown[0] if unknown else "of any clip"
        raise AuparityError(f"no recording {wanted}; there are {', '.join(recordings) or 'none'}.")
    return {name: recorded for name, recorded in recordings.items() if names is None or name in names}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="auparity dev real-faces", description=__doc__)
    add_model_options(parser)
    parser.add_argument("--recordings", type=Path, metavar="FOLDER", help="with golden/ and clips/")
    parser.add_argument(
        "--clips", nargs="+", metavar="NAME", help="of the recordings (default: all); images: photographs"
    )
    parser.add_argument(
        "--scale", type=_scale, default=1.0, metavar="S", help="make pictures S times as large first, e.g. 0.5"
    )
    parser.add_argument(
        "--exchange", action="append", default=[], metavar="CHANGE",
        help=f'measure again with parts of OpenFace\'s models, joined by "+"; again, or all. Of {", ".join(CHANGES)}',
    )  # fmt: skip
    parser.add_argument(
        "--openface", metavar="SOURCE", help="OpenFace's models (default: beside the recordings, else fetched ones)"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("results/real-faces.json"), help="JSON file")
    parser.add_argument("--page", type=Path, help="page whose figures are replaced, e.g. docs/real-faces.md")
    parser.add_argument("--work", type=Path, default=Path("results/real-faces"), help="where finished clips are kept")
    return parser


def _scale(text: str) -> float:
    try:
        scale = float(text)
    except ValueError:
        scale = math.nan
    if not 0 < scale <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and up to 1")
    return scale
