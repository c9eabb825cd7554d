"""A small Debian of AArch64 with the packages that auparity needs, and programs run in it under emulation.

The recipe: Debian's debootstrap makes the root, with Python; wheels for manylinux of AArch64, of the versions that are
installed here, are unpacked into it; chroot runs programs there, with a /proc that nobody else sees, and the kernel
gives each to qemu-user (binfmt_misc).
It needs root's rights and Debian's packages, and changes nothing outside its folder.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib import metadata, util
from pathlib import Path

from auparity.atomic_files import write_text_atomically
from auparity.errors import AuparityError

SUITE, PYTHON = "bookworm", "3.11"
MIRROR = "http://deb.debian.org/debian"
#: Where Linux says how it runs programs of AArch64.
BINFMT = Path("/proc/sys/fs/binfmt_misc/qemu-aarch64")
MOUNTS = Path("/proc/self/mountinfo")
#: Tags of wheels that this Debian's C library (2.36) can load.
PLATFORMS = ("manylinux_2_34_aarch64", "manylinux_2_31_aarch64", "manylinux_2_28_aarch64", "manylinux_2_27_aarch64",
             "manylinux_2_26_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")  # fmt: skip
#: What is installed there in the versions that are here; what these need comes with them.
DISTRIBUTIONS = (
    "numpy", "numba", "llvmlite", "opencv-python-headless", "av", "jinja2", "rich", "shtab", "threadpoolctl",
)  # fmt: skip
#: Folders of a checkout that are imported, and what stands for them.
SOURCES = (
    "auparity", "accelerated", "benchmarks", "conversion", "models", "parity_tests", "reference", "reports", "dev",
)  # fmt: skip
CHECKOUT = Path(__file__).resolve().parents[2]
#: Folders within them that no work needs.
NOT_RUN = ("unit", "golden", "fuzz")
#: What runs in a mount namespace of its own: the folder of the root, and the command in it.
ENTER = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
PACKAGES, CODE = Path("opt/packages"), Path("opt/auparity")
MARK = Path("etc/auparity-root.json")
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
    "PYTHONPATH": f"/{CODE}/dev:/{PACKAGES}", "AUPARITY_CACHE": "/var/cache/auparity",
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
}  # fmt: skip


def missing(
    *,
    binfmt: Path = BINFMT,
    which: Callable[[str], str | None] = shutil.which,
    machine: str | None = None,
    user: int | None = None,
) -> list[str]:
    """What keeps this machine from emulating AArch64, each with what to do; empty where it can."""
    machine = platform.machine() if machine is None else machine
    user = (os.geteuid() if hasattr(os, "geteuid") else 1) if user is None else user
    if sys.platform != "linux":
        return [f"this is {sys.platform}; the recipe is Debian's, for Linux"]
    if machine.lower() not in ("x86_64", "amd64"):
        return [f"this processor is {machine}; the comparison is of AArch64 with x86-64"]
    whys = [] if user == 0 else ["chroot and debootstrap need root's rights: run it as root"]
    needed = {
        "debootstrap": "debootstrap", "chroot": "coreutils", "unshare": "util-linux",
        "qemu-aarch64-static": "qemu-user-static",
    }  # fmt: skip
    absent = [package for program, package in needed.items() if which(program) is None]
    if absent:
        whys.append(f"Debian's packages are missing: apt-get install {' '.join(absent)} binfmt-support")
    if why := _why_not_registered(binfmt):
        whys.append(why)
    if util.find_spec("pip") is None:
        whys.append("wheels of another processor are fetched by pip, which this Python does not have: install pip")
    return whys


def _why_not_registered(binfmt: Path) -> str:
    """Why the kernel does not give programs of AArch64 to the emulator, even inside a root; "" if it does."""
    try:
        lines = binfmt.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return (
            f"the kernel does not know the emulator ({binfmt} is not there): apt-get install binfmt-support, "
            "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc, update-binfmts --enable qemu-aarch64"
        )
    flags = next((line.partition(":")[2] for line in lines if line.startswith("flags:")), "")
    if "enabled" not in lines or "F" not in flags:
        return f"the kernel does not open the emulator beforehand ({binfmt}: not enabled, or without the flag F)"
    return ""


def wanted(installed: Callable[[str], str] = metadata.version) -> list[str]:
    """What pip is asked for: the versions that are installed here.

    Raises
    ------
    AuparityError : something is not installed.
    """
    try:
        return [f"{name}=={installed(name)}" for name in DISTRIBUTIONS]
    except metadata.PackageNotFoundError as error:
        raise AuparityError(f"{error.name} is not installed here: pip install 'auparity[numba]'") from None


class Root:
    """A root in a folder: made in steps that are not repeated once they are done.

    Parameters
    ----------
    folder : of the root, which is made if it does not exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()

    def make(self, *, mirror: str = MIRROR, tell: Callable[[str], None] = print) -> None:
        """Make what is not there yet: the base, packages, and always the sources.

        Raises
        ------
        AuparityError : a step failed; its output went to the terminal.
        """
        self._make_base(mirror, tell)
        self._make_packages(tell)
        self.copy_sources()

    def done(self) -> dict[str, object]:
        """The steps that are done, with what they were made of."""
        try:
            content = json.loads((self.folder / MARK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _note(self, step: str, made_of: object) -> None:
        write_text_atomically(self.folder / MARK, json.dumps({**self.done(), step: made_of}) + "\n")

    def _make_base(self, mirror: str, tell: Callable[[str], None]) -> None:
        if self.done().get("base") == SUITE:
            return
        tell(f"Debian {SUITE} of AArch64 into {self.folder} (a few minutes)")
        self._empty()
        options = ["--arch=arm64", "--variant=minbase", "--include=python3"]
        _checked(["debootstrap", *options, SUITE, str(self.folder), mirror], "debootstrap")
        self._note("base", SUITE)

    def _empty(self) -> None:
        """Delete what a broken run left, but never through what is mounted in it."""
        if mounted := [place for place in _mounted() if Path(place).is_relative_to(self.folder)]:
            raise AuparityError(f"{mounted[0]} is mounted; umount it, then the root can be made anew.")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.parent.mkdir(parents=True, exist_ok=True)

    def _make_packages(self, tell: Callable[[str], None]) -> None:
        names = wanted()
        if self.done().get("packages") == names:
            return
        tell(f"wheels: {', '.join(names)}")
        shutil.rmtree(self.folder / PACKAGES, ignore_errors=True)
        of = [word for each in PLATFORMS for word in ("--platform", each)]
        options = ["--quiet", "--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", *of]
        target = ["--target", str(self.folder / PACKAGES)]
        _checked([sys.executable, "-m", "pip", "install", *options, *target, *names], "pip")
        self._note("packages", names)

    def copy_sources(self, checkout: Path = CHECKOUT) -> None:
        """The checkout's code as it is now; kernels that were compiled from the same sources stay in the cache."""
        code = self.folder / CODE
        shutil.rmtree(code, ignore_errors=True)
        for name in SOURCES:
            ignored = shutil.ignore_patterns("__pycache__", *NOT_RUN)
            shutil.copytree(checkout / name, code / name, symlinks=True, ignore=ignored)

    def run(self, command: Sequence[str], *, niceness: int = 0) -> int:
        """Run a program in the root; its exit status."""
        nicely = ["nice", "-n", str(niceness)] if niceness else []
        there = ["/usr/bin/env", "-i", *(f"{name}={value}" for name, value in ENVIRONMENT.items())]
        enter = ["unshare", "--mount", "sh", "-c", ENTER, str(self.folder)]
        return subprocess.run([*nicely, *enter, *there, *command], check=False).returncode


def _mounted() -> list[str]:
    """Where something is mounted."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    return [line.split(" ")[4] for line in lines]


def _checked(command: list[str], name: str) -> None:
    try:
        status = subprocess.run(command, check=False).returncode
    except OSError as error:
        raise AuparityError(f"{name} could not be started: {error}") from None
    if status:
        raise AuparityError(
            f"{name} ended with status {status}; what it said is above. A later run begins this step anew."
        )
