"""The errors that auparity raises on purpose; every one derives from `AuparityError`.

An error message says what was wrong, where, and what to do about it. Anything else that escapes (a NumPy
traceback, an `IndexError`) is an internal error of auparity.
"""

from __future__ import annotations

import os
from typing import Any


class AuparityError(Exception):
    """Base of every error that auparity raises on purpose."""


class AuparityWarning(UserWarning):
    """Something unexpected that a user should know, for example a slower method or a folder that is not used."""


class ModelFormatError(AuparityError):
    """A model file is truncated, corrupt or of a version that we do not read.

    Parameters
    ----------
    file : path of the file (or a label when it was read from memory).
    offset : byte offset of the first fault; None when the error concerns the whole file.
    expected, found : what should have been there, and what was.
    """

    def __init__(
        self, file: str | os.PathLike[str], offset: int | None, expected: str, found: str, advice: str | None = None
    ) -> None:
        self.file = os.fspath(file)
        self.offset = offset
        self.expected = expected
        self.found = found
        self._advice = advice
        where = f"{self.file}" if offset is None else f"{self.file}, byte {offset}"
        tail = f" {advice}" if advice else ""
        super().__init__(f"{where}: expected {expected}, found {found}.{tail}")

    def __reduce__(self) -> tuple[Any, ...]:  # errors travel between processes
        return type(self), (self.file, self.offset, self.expected, self.found, self._advice)


class FileFormatError(AuparityError):
    """A JSON, TOML or table file does not hold what it should.

    Parameters
    ----------
    file : path of the file, or a label for what was read from memory.
    place : where in it, as a path such as ``entries[3].error``; "" when the error concerns the whole file.
    expected, found : what should have been there, and what was.
    advice : what to do about it, as whole sentences.
    """

    def __init__(self, file: str | os.PathLike[str], place: str, expected: str, found: str, advice: str = "") -> None:
        self.file = os.fspath(file)
        self.place = place
        self.expected = expected
        self.found = found
        self.advice = advice
        where = f"{self.file}, at {place}" if place else self.file
        super().__init__(f"{where}: expected {expected}, found {found}.{' ' if advice else ''}{advice}")

    def __reduce__(self) -> tuple[Any, ...]:  # errors travel between processes
        return type(self), (self.file, self.place, self.expected, self.found, self.advice)


class ChecksumError(AuparityError):
    """The content of a file does not have the expected checksum."""

    def __init__(self, file: str | os.PathLike[str], expected: str, found: str) -> None:
        self.file = os.fspath(file)
        self.expected = expected
        self.found = found
        super().__init__(
            f"{self.file}: SHA-256 is {found}, expected {expected}. The file is damaged or another version; "
            "delete it and fetch it again."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.file, self.expected, self.found)


class DownloadError(AuparityError):
    """A model file could not be downloaded."""


class VideoError(AuparityError):
    """A video, image or camera cannot be opened or decoded."""


class WriteError(AuparityError, OSError):
    """A file could not be written, because the disk is full and the like.

    Parameters
    ----------
    file : what could not be written, under its final name.
    reason : the cause.
    advice : what is kept and what to do, as whole sentences.
    """

    def __init__(self, file: str | os.PathLike[str], reason: str, advice: str = "") -> None:
        self.file = os.fspath(file)
        self.reason = reason
        self.advice = advice
        super().__init__(f"{self.file}: cannot be written ({reason}).{' ' if advice else ''}{advice}")

    def __reduce__(self) -> tuple[Any, ...]:  # errors travel between processes
        return type(self), (self.file, self.reason, self.advice)


class ContractError(AuparityError, ValueError):
    """An array handed to a stage does not have the shape, dtype or values that the contract of the stage requires.

    Parameters
    ----------
    stage : stage name, e.g. ``"fhog"``.
    argument : the argument's name.
    expected, got : what the contract requires, and what was passed.
    """

    def __init__(self, stage: str, argument: str, expected: str, got: str) -> None:
        self.stage = stage
        self.argument = argument
        self.expected = expected
        self.got = got
        super().__init__(f"stage {stage!r}, argument {argument!r}: expected {expected}, got {got}.")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.stage, self.argument, self.expected, self.got)


class AddressError(AuparityError):
    """A file at an address (s3://..., https://...) cannot be read or written.

    Parameters
    ----------
    address : of the file. fault : what is wrong, in words. advice : what to do, as a whole sentence.
    """

    def __init__(self, address: str, fault: str, advice: str = "") -> None:
        self.address, self.fault, self.advice = address, fault, advice
        super().__init__(f"{address}: {fault}.{' ' if advice else ''}{advice}")

    def __reduce__(self) -> tuple[type[AddressError], tuple[str, str, str]]:
        return AddressError, (self.address, self.fault, self.advice)


class VariantUnavailable(AuparityError):
    """Something optional is missing; the message says what, and how to install it."""


class LockHeld(AuparityError):
    """Another process holds a lock for longer than somebody wanted to wait."""


class DeviceError(AuparityError):
    """A GPU ran out of memory, was lost, or refuses work; the message says what is kept and what to do."""
