"""The options of OpenFace's three programs, and a parser of command lines in their style: one dash before each, in any
order (spec 87).

A word that a program does not know is kept apart, so that it can be reported; OpenFace ignores it without a word.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from auparity.errors import AuparityError

Program = Literal["FeatureExtraction", "FaceLandmarkVidMulti", "FaceLandmarkImg"]
PROGRAMS: tuple[Program, ...] = get_args(Program)
VIDEO: tuple[Program, ...] = ("FeatureExtraction", "FaceLandmarkVidMulti")
IMAGES: tuple[Program, ...] = ("FaceLandmarkImg",)


class UsageError(AuparityError):
    """A command line that contradicts itself or lacks something; nothing was begun."""


def _text(word: str) -> str:
    if not word:
        raise ValueError("a name")
    return word


def _number(word: str, expected: str, accepts: Callable[[float], bool]) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and accepts(value)):
        raise ValueError(expected)
    return value


def _positive(word: str) -> float:
    return _number(word, "a positive number", lambda value: value > 0)


def _not_negative(word: str) -> float:
    return _number(word, "a number that is not negative", lambda value: value >= 0)


def _count(word: str) -> int:
    return int(_number(word, "a whole number from 1", lambda value: value >= 1 and value == int(value)))


def _index(word: str) -> int:
    return int(_number(word, "a whole number from 0", lambda value: value >= 0 and value == int(value)))


def _switch(word: str) -> bool:
    if word not in ("0", "1"):
        raise ValueError("0 or 1")
    return word == "1"


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes
    ----------
    effect : what it does, as the help and docs/openface.md say it.
    read : turns the word after it into a value, and raises `ValueError` with what was expected; None for an option
        without a value.
    metavar : what its value is called in the help.
    programs : those that know it.
    repeated : whether it may be given several times.
    """

    name: str
    effect: str
    read: Callable[[str], Any] | None = None
    metavar: str = ""
    programs: tuple[Program, ...] = PROGRAMS
    repeated: bool = False


_GROUP = "columns of"
OPTIONS: tuple[Option, ...] = (
    Option("-f", "a video or an image; several times for several", _text, "FILE", repeated=True),
    Option("-fdir", "a folder of images: the frames of one clip, or images of their own", _text, "DIR"),
    Option("-device", "a camera, from 0", _index, "N", VIDEO),
    Option("-cam_width", "width in px that is asked of the camera", _count, "PX", VIDEO),
    Option("-cam_height", "height in px that is asked of the camera", _count, "PX", VIDEO),
    Option("-bboxdir", "with -fdir: boxes from text files instead of the detector", _text, "DIR", IMAGES),
    Option("-root", "folder that input names are relative to", _text, "DIR"),
    Option("-inroot", "the same", _text, "DIR"),
    Option("-out_dir", "output folder, `processed` unless given", _text, "DIR"),
    Option("-of", "name of the outputs; of several inputs once for each", _text, "NAME", repeated=True),
    Option("-fx", "focal length in px", _positive, "PX"),
    Option("-fy", "focal length in px, that of -fx unless given", _positive, "PX"),
    Option("-cx", "image centre in px", _positive, "PX"),
    Option("-cy", "image centre in px", _positive, "PX"),
    Option("-mloc", "landmark model, and the other models of its installation", _text, "FILE"),
    Option("-fdloc", "Haar cascade in place of MTCNN", _text, "FILE"),
    Option("-wild", "settings of the fit for images in difficult conditions"),
    Option("-multi_view", "images: 1 fits from eleven head orientations, 0 from one", _switch, "0/1"),
    Option("-validate_detections", "0: fits are not judged by the validator", _switch, "0/1"),
    Option("-n_iter", "iterations of each step of the fit", _count, "N"),
    Option("-sigma", "width in px of the kernel that smooths response maps", _not_negative, "V"),
    Option("-reg", "weight of the shape model against the image", _not_negative, "V"),
    Option("-w_reg", "weight of each landmark's own confidence", _not_negative, "V"),
    Option("-au_static", "AUs of the static models, not calibrated to the person", programs=VIDEO),
    Option("-2Dfp", f"{_GROUP} landmarks in the image"),
    Option("-3Dfp", f"{_GROUP} landmarks in space"),
    Option("-pdmparams", f"{_GROUP} shape parameters"),
    Option("-pose", f"{_GROUP} head pose"),
    Option("-aus", f"{_GROUP} action units"),
    Option("-gaze", f"{_GROUP} gaze and eye landmarks"),
    Option("-hogalign", "HOG descriptors, NAME.hog"),
    Option("-simalign", "aligned faces, the folder NAME_aligned"),
    Option("-simsize", "side of an aligned face in px, 112 unless given", _count, "PX"),
    Option("-simscale", "px for each mm of the mean face, 0.7 unless given", _positive, "S"),
    Option("-g", "aligned faces in gray"),
    Option("-nomask", "aligned faces with what is around them"),
    Option("-nobadaligned", "no picture of rows without success"),
    Option("-tracked", "the picture with the measurements drawn over it"),
    Option("-q", "problems and warnings only"),
    Option("-verbose", "accepted; no effect"),
    *(Option(f"-vis-{what}", "accepted; there is no window") for what in ("track", "align", "hog", "aus")),
)
#: Option of each group of columns, and the group's name (`auparity.reports.clips.column_groups`).
GROUP_OPTIONS = {
    "-gaze": "gaze", "-pose": "pose", "-2Dfp": "2d", "-3Dfp": "3d", "-pdmparams": "params", "-aus": "aus",
}  # fmt: skip


@dataclass
class Given:
    """A command line of one program, read."""

    program: Program
    values: dict[str, list[Any]] = field(default_factory=dict)  #: of each option that was given, in order
    unknown: list[str] = field(default_factory=list)  #: words that the program does not know, in order

    def has(self, name: str) -> bool:
        """Whether an option was given."""
        return name in self.values

    def all(self, name: str) -> list[Any]:
        """The values of an option that may be repeated."""
        return self.values.get(name, [])

    def one(self, name: str, default: Any = None) -> Any:
        """The value of an option."""
        return self.values[name][0] if name in self.values else default


def options_of(program: Program) -> dict[str, Option]:
    """The options of a program by name."""
    return {option.name: option for option in OPTIONS if program in option.programs}


def parse(program: Program, words: Sequence[str]) -> Given:
    """Read the words after a program's name.

    Raises
    ------
    UsageError : an option without its value or with one that it cannot have, or given twice where only one counts.
    """
    known, given = options_of(program), Given(program)
    rest = iter(range(len(words)))
    for k in rest:
        option = known.get(words[k])
        if option is None:
            given.unknown.append(words[k])
            continue
        if option.read is None:
            given.values[option.name] = []
            continue
        if k + 1 == len(words) or words[k + 1] in known:
            raise UsageError(f"{option.name} needs a value ({option.metavar}).")
        value = words[next(rest)]
        if given.has(option.name) and not option.repeated:
            raise UsageError(f"{option.name} is given twice.")
        try:
            given.values.setdefault(option.name, []).append(option.read(value))
        except ValueError as error:
            raise UsageError(f"{option.name} {value}: expected {error}.") from None
    return given


def help_of(program: Program) -> str:
    """The options of a program with their effects, a line each."""
    shown = {f"{option.name} {option.metavar}".rstrip(): option.effect for option in options_of(program).values()}
    width = max(map(len, shown))
    return "\n".join(f"  {name:{width}}  {effect}" for name, effect in shown.items())
