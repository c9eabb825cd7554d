"""Types of command-line arguments: numbers with limits, and choices of faces."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auparity.reference.face_choice import FaceChoice, PersonChoice


def whole(least: int) -> Callable[[str], int]:
    """An argparse type: whole numbers from `least`."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {least}")
        return number

    return parse


def positive(text: str) -> float:
    """An argparse type: finite numbers above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def not_negative(text: str) -> float:
    """An argparse type: finite numbers from 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return number


def share(text: str) -> tuple[int, int]:
    """One of several equal shares, "K/N" with K from 1 to N: its first input, from 0, and how many shares there are."""
    own, slash, all_of_them = text.partition("/")
    if not (slash and own.isdecimal() and all_of_them.isdecimal() and 1 <= int(own) <= int(all_of_them)):
        raise argparse.ArgumentTypeError(f"{text!r} is not K/N with K from 1 to N, such as 3/100")
    return int(own) - 1, int(all_of_them)


def path_or_address(text: str) -> Path | str:
    """A path of this machine, or an address such as s3://bucket/results as it stands."""
    from auparity.extraction import stores

    return text if stores.is_address(text) else Path(text)


def output_place(text: str) -> Path | str:
    """A folder, or the address of one that can be written to."""
    from auparity.errors import AddressError
    from auparity.extraction import stores

    place = path_or_address(text)
    if isinstance(place, Path):
        return place
    try:
        stores.check_writable(text)
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def faces(text: str) -> int | str:
    """A number of faces, at least 1, or "all"."""
    return text if text == "all" else whole(1)(text)


def face(text: str) -> FaceChoice | PersonChoice:
    """Which face is followed: "largest", "central", "box:x,y,w,h" in px of the frame, or "track:K"."""
    from auparity.reference.face_choice import FaceChoice, PersonChoice

    word, colon, value = text.partition(":")
    if text == "largest":
        return FaceChoice("largest")
    if text == "central":
        return FaceChoice("central")
    if word == "box" and colon:
        return FaceChoice("box", _box(text, value))
    if word == "track" and colon:
        return PersonChoice(_person(text, value))
    raise argparse.ArgumentTypeError(f"{text!r} is not largest, central, track:K or box:x,y,w,h")


def _box(text: str, value: str) -> tuple[float, float, float, float]:
    try:
        numbers = [float(part) for part in value.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 4 or not all(math.isfinite(number) for number in numbers):
        raise argparse.ArgumentTypeError(f"{text!r} does not have four numbers: box:x,y,w,h in pixels of the frame")
    x, y, width, height = numbers
    if width <= 0 or height <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} has a width or a height that is not above 0")
    return x, y, width, height


def _person(text: str, value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} does not have a person_id, a whole number of at least 0: track:K")
    return int(value)
