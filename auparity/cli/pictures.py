"""`auparity detect` and `auparity landmarks`: faces or landmarks of images as one JSON document."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from auparity.cli.pipeline_options import add_model_options, add_variants, open_chosen, tell_models
from auparity.errors import AuparityError

_DETECT = """\
Find faces in images: boxes, scores and five points of each, px of the image, as one JSON document for all images.

`box` is where landmarks start from (x, y, w, h, tight around the 68); `own_box`, of RetinaFace, reaches from the
forehead to the chin. `points` are both eyes, the nose and both mouth corners, those at the image's left first."""
_LANDMARKS = """\
Find landmarks in images: the points that a network drew (68, or STAR's 98), the 68 that the pipeline works with, the
box and the confidence of every face, px of the image, as one JSON document for all images. A network's landmarks are an
approximation of OpenFace's (docs/networks.md); with --landmarks ceclm or clnf they are OpenFace's."""
_EPILOG = """\
exit status: 0 all images were read, 1 some could not be (the others are in the document), 2 usage, 130 interrupted"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the commands `detect` and `landmarks`."""
    for name, text, description in (
        ("detect", "the faces in images, as JSON", _DETECT),
        ("landmarks", "the landmarks of faces in images, as JSON", _LANDMARKS),
    ):
        parser = subparsers.add_parser(
            name, help=text, description=description, epilog=_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        parser.add_argument(
            "images", nargs="+", metavar="IMAGE", help="image, folder of images, or quoted wildcard"
        )  # fmt: skip
        parser.add_argument("--recursive", action="store_true", help="look into the folders below a folder")
        parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the document; default: standard output")
        parser.add_argument("--quiet", action="store_true", help="report problems and warnings only")
        add_variants(add_model_options(parser))
        parser.set_defaults(run=partial(run, command=name))


def run(arguments: argparse.Namespace, *, command: str) -> int:
    """Carry out `auparity detect` or `auparity landmarks`; returns the exit code.

    Raises
    ------
    AuparityError : nothing was begun. WriteError : the document could not be written.
    """
    from auparity.accelerated.choices import BEST, parse_spec
    from auparity.accelerated.one_thread import one_blas_thread
    from auparity.accelerated.pipeline import Pipeline
    from auparity.atomic_files import write_text_atomically, writing
    from auparity.extraction.inputs import find_inputs
    from auparity.extraction.pictures import document, faces_found, landmarks_found, look_at
    from auparity.media import printable, printable_lines

    output: Path | None = arguments.output
    if output is not None and output.is_dir():
        raise AuparityError(f"-o {printable(output)}: is a directory; name a file.")
    inputs = find_inputs(arguments.images, photographs=True, recursive=arguments.recursive)
    bundle = open_chosen(arguments)
    tell_models(arguments, bundle)
    pipeline = Pipeline.of_choices(bundle, parse_spec(bundle, arguments.variants or BEST))
    faces_of = faces_found if command == "detect" else landmarks_found
    results: list[Any] = []
    with one_blas_thread():
        for number, looked in enumerate(look_at(pipeline.staged, inputs, faces_of), 1):
            results.append(looked)
            if looked.entry is None:
                print(printable_lines(looked.problem), file=sys.stderr)
            elif not arguments.quiet:
                count = len(looked.entry["faces"])
                faces = "1 face" if count == 1 else f"{count or 'no'} faces"
                print(f"[{number}/{len(inputs)}] {printable(looked.path)}: {faces}", file=sys.stderr)
    text = document(bundle, pipeline.variants, results)
    if output is None:
        sys.stdout.write(text)
    else:
        with writing(output):
            write_text_atomically(output, text)
        if not arguments.quiet:
            print(f"Written: {printable(output)}", file=sys.stderr)
    return 1 if any(looked.entry is None and not looked.notice for looked in results) else 0
