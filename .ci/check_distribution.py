"""Looks into the files of a release: no tests of ours, no models of OpenFace, absolute links, the version of the tag.

Usage: ``python .ci/check_distribution.py dist/* [--tag v0.1.0] [--repository ADDRESS]``.
"""

from __future__ import annotations

import argparse
import re
import sys
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path

#: Beginnings of names in a wheel that only belong into a checkout.
NOT_SHIPPED = ("auparity/parity_tests/unit/", "auparity/parity_tests/golden/", "auparity/parity_tests/fuzz/", "docs/")
RELATIVE_LINK = re.compile(r"\]\((?!https?://|#)([^)\s]+)\)")


def metadata_of(wheel: zipfile.ZipFile) -> Message:
    """The metadata of a wheel."""
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_string(wheel.read(name).decode())


def complaints(path: Path, tag: str | None, repository: str | None) -> list[str]:
    """What is wrong with a wheel."""
    with zipfile.ZipFile(path) as wheel:
        names, metadata = wheel.namelist(), metadata_of(wheel)
    wrong = [f"{name} must not be in a wheel" for name in names if name.startswith(NOT_SHIPPED)]
    wrong += [f"{name} is outside the package" for name in names if name.split("/")[0].partition("-")[0] != "auparity"]
    description = str(metadata.get_payload())
    wrong += [f"README has a relative link: {target}" for target in RELATIVE_LINK.findall(description)]
    if len(description) < 1000:
        wrong.append("the description is missing")
    if tag is not None and tag != f"v{metadata['Version']}":
        wrong.append(f"the tag is {tag}, the version {metadata['Version']}: change pyproject.toml or the tag")
    addresses = dict(line.split(", ", 1) for line in metadata.get_all("Project-URL", []))
    if repository is not None and addresses.get("Source") != repository:
        wrong.append(f"Source is {addresses.get('Source')}, the repository {repository}: change it in pyproject.toml")
    return wrong


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="the files of dist/")
    parser.add_argument("--tag", help="of the release; must be v and the version")
    parser.add_argument("--repository", metavar="ADDRESS", help="must be that of the package")
    chosen = parser.parse_args()
    wheels = [file for file in chosen.files if file.suffix == ".whl"]
    sources = [file for file in chosen.files if file.name.endswith(".tar.gz")]
    wrong = [line for wheel in wheels for line in complaints(wheel, chosen.tag, chosen.repository)]
    if (len(wheels), len(sources)) != (1, 1):
        wrong.append(f"{len(wheels)} wheels and {len(sources)} source distributions, expected one of each")
    print("\n".join(wrong) or f"{wheels[0].name} and {sources[0].name} are as they should be.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
