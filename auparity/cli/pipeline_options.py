"""The options of commands that measure with one pipeline, and the pipeline that they name."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from auparity.cli.types import face, faces, not_negative, whole
from auparity.errors import AuparityError

if TYPE_CHECKING:
    from auparity.models.bundle import Bundle
    from auparity.reference.options import PipelineOptions
    from auparity.reference.video_pipeline import VideoPipeline


def add_model_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the group of options from which `open_chosen` makes a bundle; returned for what else belongs to it."""
    group = parser.add_argument_group("models")
    group.add_argument(
        "--models",
        metavar="SOURCE",
        help='folder of OpenFace 2.2\'s models, "openface" for those fetched by `auparity models`, or "embedded" for '
        "those that come with auparity (no licence needed, less accurate); default: OpenFace's where they were fetched",
    )
    group.add_argument(
        "--detector",
        metavar="WHICH",
        help="what finds faces: mtcnn (of the models), retinaface (fetched by `auparity models`), or a published file "
        "of RetinaFace (docs/networks.md); default: retinaface with the embedded models, else mtcnn",
    )
    group.add_argument(
        "--landmarks",
        "--landmark-model",
        metavar="WHICH",
        help="what finds landmarks: ceclm or clnf of OpenFace's models (auto, the default: CE-CLM where its files are "
        "there, else CLNF); or a network, whose landmarks are an approximation of OpenFace's: pfld, mobilefacenet, "
        "star, face-api, or a published file (docs/networks.md)",
    )
    group.add_argument(
        "--start",
        metavar="NETWORK",
        help="ceclm and clnf: fit a new face once, from the landmarks of this network (pfld, mobilefacenet, star, "
        "face-api or a file), in place of OpenFace's eleven head orientations (none); default: pfld with the embedded "
        "models, else none",
    )
    return group


def add_variants(group: argparse._ArgumentGroup) -> None:
    """Add `--variants`."""
    group.add_argument(
        "--variants",
        metavar="SPEC",
        help='implementations of the stages: "best" (default: the fastest that run here), "reference" (the reference '
        'one), "gpu" (all of it on an NVIDIA GPU), another name for all stages that have it, or single ones: '
        '"numba,fhog=reference"',
    )


def open_chosen(arguments: argparse.Namespace) -> Bundle:
    """The bundle that the options of `add_model_options` name; raises `AuparityError`."""
    from auparity.models.networks.chosen import choose_bundle

    return choose_bundle(
        arguments.models, landmarks=arguments.landmarks, detector=arguments.detector, start=arguments.start
    )  # fmt: skip


def tell_models(arguments: argparse.Namespace, bundle: Bundle) -> list[str]:
    """Print which models are used; returns what a reader of their results must know."""
    from auparity.models.networks.chosen import description_of, notices_of
    from auparity.models.sources import EMBEDDED_NOTICE, is_embedded

    warnings = notices_of(bundle)
    if arguments.models is None and is_embedded(bundle):
        warnings.insert(0, EMBEDDED_NOTICE)
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)  # also with --quiet: the numbers may be of no use
    if not arguments.quiet:
        source = bundle.meta.source
        place = source.get("directory", bundle.meta.name)
        print(f"Models: {place}, {source['landmark_model']} ({source['reason']})", file=sys.stderr)
        for role, words in description_of(bundle).items():
            if role in source:
                print(f"{role.capitalize()}: {words}", file=sys.stderr)
    return warnings


def add_pipeline_options(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the group of options from which `build_pipeline` builds; returned for what else belongs to it."""
    group = add_model_options(parser)
    add_variants(group)
    group.add_argument(
        "--static-aus",
        action="store_true",
        help="AUs of clips by the static models, not calibrated to the person (OpenFace's -au_static)",
    )
    group.add_argument(
        "--wild",
        action="store_true",
        help="larger search windows and other settings of the fit, for images in difficult conditions",
    )
    group.add_argument(
        "--validate",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="judge each fit of landmarks by the validator (default)",
    )
    group.add_argument("--iterations", type=whole(1), metavar="N", help="iterations of each step of the fit")
    for name, meaning in (
        ("sigma", "width in px of the kernel that smooths response maps"),
        ("reg", "weight of the shape model against the image"),
        ("w-reg", "weight of each landmark's own confidence; 0: all count the same"),
    ):
        group.add_argument(f"--{name}", type=not_negative, metavar="V", help=f"{meaning}, OpenFace's -{name}")
    group.add_argument(
        "--precision",
        choices=("float32", "float64"),
        default="float32",
        help="float64 mode separates rounding from real errors (the reference only)",
    )
    return group


def add_face_options(group: argparse._ArgumentGroup, more_faces: str = "") -> None:
    """Add `--faces`, `--face` and `--aus`: which faces of a clip are followed. `more_faces` continues the help of
    `--face`."""
    group.add_argument(
        "--faces",
        type=faces,
        metavar="N",
        help="follow N faces in each clip, or all; one row for each face of a frame, with its slot (face_id) and a "
        "person_id that survives a loss. Default: one face, as OpenFace's FeatureExtraction",
    )
    group.add_argument(
        "--face",
        type=face,
        metavar="WHICH",
        help="follow one face of several in each clip: largest (area of the box), central (nearest to the centre of "
        "the image), box:x,y,w,h (overlaps most with this box, px in the frame, and stays with that face)"
        f"{more_faces}. Default: the widest face, as OpenFace",
    )
    group.add_argument(
        "--aus",
        choices=("static", "calibrated"),
        help="with --faces: AUs of the static models, as OpenFace's FaceLandmarkVidMulti (default), or calibrated to "
        "each face while it is followed",
    )


def check_face_options(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """End the program with the usage where the options of `add_face_options` contradict each other."""
    if arguments.aus is not None and arguments.faces is None:
        parser.error("--aus is for several faces: add --faces N")
    if arguments.face is not None and arguments.faces is not None:
        parser.error("--face follows one face and --faces several: take one of them")


def build_pipeline(arguments: argparse.Namespace) -> tuple[VideoPipeline, list[str]]:
    """The pipeline that the arguments name, and what a reader of its results must know; raises `AuparityError`."""
    from auparity.accelerated.choices import BEST
    from auparity.accelerated.pipeline import open_pipeline
    from auparity.reference.pipeline import ReferencePipeline

    bundle = open_chosen(arguments)
    warnings = tell_models(arguments, bundle)
    options = _pipeline_options(arguments, bundle)
    if arguments.precision != "float32":
        if arguments.variants not in (None, "reference"):
            raise AuparityError(f"--precision {arguments.precision} is the reference's: leave --variants out.")
        return ReferencePipeline(bundle, precision=arguments.precision, options=options), warnings
    chosen = open_pipeline(bundle, arguments.variants or BEST, options)
    if not arguments.quiet:
        print(f"Variants: {', '.join(chosen.used)} (`auparity doctor` says which and why)", file=sys.stderr)
    return chosen, warnings


def _pipeline_options(arguments: argparse.Namespace, bundle: Bundle) -> PipelineOptions:
    """What the pipeline is told besides its models; AuparityError for options that the models do not have."""
    from auparity.models.contents import face_model_in
    from auparity.reference.landmarks import DetectorParameters
    from auparity.reference.options import PipelineOptions

    given = {
        "iterations": arguments.iterations, "sigma": arguments.sigma, "reg_factor": arguments.reg,
        "weight_factor": arguments.w_reg,
    }  # fmt: skip
    landmarks = None
    if arguments.wild or not arguments.validate or any(value is not None for value in given.values()):
        model = face_model_in(bundle.serving("landmarker"))
        if model is None:
            raise AuparityError(
                "--wild, --no-validate, --iterations, --sigma, --reg and --w-reg are for constrained local models, but "
                f"landmarks come from {bundle.meta.source.get('landmark_model', bundle.serves['landmarker'])}. Leave "
                "them out, or choose --landmarks ceclm or clnf."
            )
        landmarks = DetectorParameters.for_model(model, wild=arguments.wild, validate=arguments.validate, **given)
    return PipelineOptions(landmarks=landmarks, static_aus=arguments.static_aus, streams=arguments.streams or 1)
