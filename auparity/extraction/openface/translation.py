"""What a command line of one of OpenFace's programs means for auparity: models, options, jobs and outputs (spec 87)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auparity.errors import AuparityError, ModelFormatError
from auparity.extraction.jobs import Job, camera_job
from auparity.extraction.openface.locators import GivenBoxes, read_boxes, read_cascade
from auparity.extraction.openface.options import GROUP_OPTIONS, VIDEO, Given, UsageError
from auparity.extraction.option_names import OPENFACE
from auparity.extraction.outputs.settings import AlignedFaces, OutputSettings
from auparity.extraction.sidecars import Intrinsics
from auparity.extraction.types import ExtractionSettings
from auparity.media import printable
from auparity.models import store
from auparity.models.bundle import Bundle
from auparity.models.contents import face_model_in
from auparity.models.formats import layout
from auparity.models.sources import open_bundle
from auparity.reference.alignment import SCALE, SIZE, Crop
from auparity.reference.landmarks import DetectorParameters
from auparity.reference.many_faces import FACES
from auparity.reference.options import PipelineOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What FaceLandmarkImg takes from a folder.
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
#: Suffixes that a name given with -of may have; they are not part of the outputs' names.
OUTPUT_SUFFIXES = (".csv", ".txt", ".hog", ".avi", ".jpg")
#: Size that OpenFace asks of a camera where only one side is given, px.
CAMERA_SIZE = (640, 480)


@dataclass(frozen=True)
class Inputs:
    """What is measured."""

    jobs: list[Job]
    boxes: GivenBoxes | None = None  #: of -bboxdir


def inputs_of(given: Given) -> Inputs:
    """The jobs of a command line.

    Raises
    ------
    UsageError : no input, inputs that exclude each other, or outputs that would have one name.
    """
    sources = [name for name in ("-f", "-fdir", "-device") if given.has(name)]
    if len(sources) > 1:
        raise UsageError(f"{' and '.join(sources)} exclude each other.")
    if not sources:
        raise UsageError("no input: give -f FILE or -fdir DIR" + (" or -device N." if given.program in VIDEO else "."))
    if given.has("-bboxdir") and not given.has("-fdir"):
        raise UsageError("-bboxdir needs -fdir.")
    if given.has("-bboxdir") and given.has("-fdloc"):
        raise UsageError("-bboxdir and -fdloc exclude each other.")
    camera_size = [name for name in ("-cam_width", "-cam_height") if given.has(name)]
    if camera_size and not given.has("-device"):
        raise UsageError(f"{camera_size[0]} needs -device.")
    if given.has("-device"):
        size = (given.one("-cam_width", CAMERA_SIZE[0]), given.one("-cam_height", CAMERA_SIZE[1]))
        names = _names(given, [Path("camera")])
        name = names[0] if given.has("-of") else ""
        return Inputs([camera_job(given.one("-device"), name=name, size=size if camera_size else None)])
    root = _root(given)
    if given.program in VIDEO:
        paths = [root / name for name in (given.all("-f") or given.all("-fdir"))]
        return Inputs([Job("clip", path, name) for path, name in zip(paths, _names(given, paths), strict=True)])
    paths = [root / name for name in given.all("-f")] or _images(root / given.one("-fdir"))
    jobs = [Job("photograph", path, name) for path, name in zip(paths, _names(given, paths), strict=True)]
    return _with_boxes(jobs, Path(given.one("-bboxdir"))) if given.has("-bboxdir") else Inputs(jobs)


def settings_of(given: Given) -> ExtractionSettings:
    """How a command line has its inputs measured, and what is written.

    Raises
    ------
    UsageError : intrinsics of which one half is missing, or an output folder that is not a directory.
    """
    fx, fy, cx, cy = (given.one(name) for name in ("-fx", "-fy", "-cx", "-cy"))
    if fx is None and fy is not None:
        raise UsageError("-fy needs -fx.")
    if (cx is None) != (cy is None):
        raise UsageError("-cx and -cy go together.")
    directory = Path(given.one("-out_dir", "processed"))
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"-out_dir {printable(directory)}: is not a directory.")
    several = given.program == "FaceLandmarkVidMulti"
    return ExtractionSettings(
        output_dir=directory,
        intrinsics=Intrinsics(fx, fx if fy is None else fy, cx, cy),
        overwrite=True,  # as OpenFace does
        option_names=OPENFACE,
        timestamps="index",
        multi_view=given.one("-multi_view", given.has("-wild")),
        faces=FACES if several else None,
        person_ids=not several,
        outputs=_outputs(given),
    )


def bundle_of(given: Given, boxes: GivenBoxes | None = None) -> Bundle:
    """The models: those of -mloc, else the default ones; faces are found by -fdloc or `boxes` where these are given.

    Raises
    ------
    AuparityError : a file is missing or cannot be read.
    """
    bundle = _models(Path(given.one("-mloc"))) if given.has("-mloc") else open_bundle()
    if boxes is not None:
        return bundle.with_serving("locator", "boxes of -bboxdir", boxes)
    if given.has("-fdloc"):
        path = _in_store(Path(given.one("-fdloc")), "-fdloc")
        return bundle.with_serving("locator", "Haar cascade of -fdloc", read_cascade(path))
    return bundle


def pipeline_options_of(given: Given, bundle: Bundle) -> PipelineOptions:
    """What the pipeline is told besides its models; AuparityError for options that the models do not have."""
    names = {"-n_iter": "iterations", "-sigma": "sigma", "-reg": "reg_factor", "-w_reg": "weight_factor"}
    fit = {field: given.one(name) for name, field in names.items() if given.has(name)}
    validate, wild = given.one("-validate_detections", True), given.has("-wild")
    landmarks = None
    if fit or wild or not validate:
        model = face_model_in(bundle.serving("landmarker"))
        if model is None:
            raise AuparityError(
                "-wild, -validate_detections, -n_iter, -sigma, -reg and -w_reg are for constrained local models; the "
                f"landmark model of this bundle is a {type(bundle.serving('landmarker')).__name__}."
            )
        landmarks = DetectorParameters.for_model(model, wild=wild, validate=validate, **fit)
    # FaceLandmarkVidMulti always has static AUs, by itself (spec 85.2 step 4).
    static = given.program == "FeatureExtraction" and given.has("-au_static")
    return PipelineOptions(landmarks=landmarks, static_aus=static)


def _root(given: Given) -> Path:
    if given.has("-root") and given.has("-inroot"):
        raise UsageError("-root and -inroot exclude each other.")
    return Path(given.one("-root", given.one("-inroot", "")))


def _names(given: Given, paths: Sequence[Path]) -> list[str]:
    """The name of the outputs of each input, without suffix, relative to the output folder (spec 80.4, 87)."""
    asked = given.all("-of")
    if asked and len(asked) != len(paths):
        inputs = "1 input" if len(paths) == 1 else f"{len(paths)} inputs"
        raise UsageError(f"-of is given {len(asked)} times for {inputs}; give it once for each, or not at all.")
    names = [_without_suffix(name) for name in asked] or [_stem(path) for path in paths]
    owners: dict[str, Path] = {}
    for path, name in zip(paths, names, strict=True):
        other = owners.setdefault(name.casefold(), path)
        if other is not path:
            raise UsageError(
                f"{printable(other)} and {printable(path)} would both be written to {printable(name)}. Name the "
                "outputs with -of, once for each input."
            )
    return names


def _without_suffix(name: str) -> str:
    path = Path(name)
    if path.name in ("", ".."):
        raise UsageError(f"-of {printable(name)}: is not a name.")
    return str(path.with_suffix("") if path.suffix.lower() in OUTPUT_SUFFIXES else path)


def _stem(path: Path) -> str:
    return path.resolve().name if path.is_dir() else path.stem


def _images(folder: Path) -> list[Path]:
    """The images of a folder, by name."""
    if not folder.is_dir():
        raise UsageError(f"-fdir {printable(folder)}: is not a directory.")
    images = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise UsageError(f"-fdir {printable(folder)}: holds no image ({', '.join(IMAGE_SUFFIXES)}).")
    return images


def _with_boxes(jobs: list[Job], folder: Path) -> Inputs:
    """The jobs with the boxes of their images; an image whose boxes cannot be read cannot be measured."""
    if not folder.is_dir():
        raise UsageError(f"-bboxdir {printable(folder)}: is not a directory.")
    kept, names, boxes = [], [], []
    for job in jobs:
        try:
            of_image = read_boxes(folder / f"{job.path.stem}.txt")
        except AuparityError as error:
            kept.append(Job("problem", job.path, problem=f"{printable(job.path)}: {error}"))
            continue
        kept.append(job)
        names.append(job.path.stem)
        boxes.append(of_image)
    return Inputs(kept, GivenBoxes(tuple(names), tuple(boxes)))


def _models(main: Path) -> Bundle:
    """The bundle with a main list of a landmark model, and the other models of its installation, else the store's."""
    path = _in_store(main, "-mloc").absolute()
    # The folder above `model`, or the root of the repository's layout (lib/local/LandmarkDetector/model).
    above = (path.parents[k] for k in (1, 4) if k < len(path.parents))
    root = next((folder for folder in above if layout.has_lists(folder)), None)
    return Bundle.from_openface(root or store.find_openface(), str(path))


def _in_store(path: Path, option: str) -> Path:
    """A file as it was named, or a relative one in the store; ModelFormatError without it."""
    if path.is_file():
        return path
    looked = [path]
    if not path.is_absolute() and (installed := store.installed_openface()) is not None:
        model = layout.find(installed).model
        looked += [installed / path, model.parent / path, model / path]
    found = next((place for place in looked if place.is_file()), None)
    if found is None:
        shown = ", ".join(printable(place) for place in looked)
        fetch = "Get the models with `auparity models fetch openface --accept-license`"
        advice = f"{fetch}, or name another file with {option}."
        raise ModelFormatError(path, None, f"the file of {option}", f"no such file ({shown})", advice)
    return found


def _outputs(given: Given) -> OutputSettings:
    groups = [group for option, group in GROUP_OPTIONS.items() if given.has(option)]
    files = [name for name in ("-hogalign", "-simalign", "-tracked") if given.has(name)]
    everything = not groups and not files

    def wanted(option: str) -> bool:
        return everything or given.has(option)

    crop = Crop(given.one("-simsize", SIZE), given.one("-simscale", SCALE), not given.has("-nomask"))
    aligned = AlignedFaces("bmp", crop, given.has("-g"), given.has("-nobadaligned"))
    return OutputSettings(
        None if everything else tuple(groups), wanted("-hogalign"), aligned if wanted("-simalign") else None,
        details=True, tracked=wanted("-tracked"),
    )  # fmt: skip
