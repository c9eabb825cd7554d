"""``auparity models fetch|list|verify|path|export|render|example``: OpenFace's model files, networks, and the embedded
models."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auparity.cli import render as cli_render

if TYPE_CHECKING:
    from auparity.models.manifest import ManifestFile

OPENFACE = "openface"
#: Networks that have a file each; names as in `auparity.models.networks.store.NETWORKS`.
NETWORKS = ("retinaface", "pfld", "mobilefacenet", "star", "face-api")
SETS = (OPENFACE, *NETWORKS)
MEBIBYTE = 1 << 20


def add_parser(subparsers: Any) -> None:
    """Add ``models`` to the command line."""
    parser = subparsers.add_parser("models", help="fetch, list and verify model files", description=__doc__)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    fetch = commands.add_parser("fetch", help="download model files from their official addresses")
    fetch.add_argument("set", choices=SETS, help="which models")
    fetch.add_argument("--from", dest="file", type=Path, metavar="FILE", help="networks: put this file in place")
    fetch.add_argument("--accept-license", action="store_true", help="say that you accept OpenFace's licence")
    fetch.add_argument("--dir", type=Path, metavar="DIR", help="store the files there instead of in the shared cache")
    fetch.add_argument("--mirror", metavar="URL", help="another server that has the same files under the same paths")
    fetch.set_defaults(run=run_fetch)
    listing = commands.add_parser("list", help="list the sets of models, where they are and whether they are complete")
    listing.set_defaults(run=run_list)
    verify = commands.add_parser("verify", help="verify checksums")
    verify.add_argument("dir", nargs="?", metavar="DIR", help='default: the shared cache; "embedded" is possible')
    verify.set_defaults(run=run_verify)
    export = commands.add_parser("export", help="write a bundle as files that OpenFace reads")
    export.add_argument("dir", type=Path, metavar="DIR", help="folder to write into; created if needed")
    export.add_argument("--format", choices=("openface",), default="openface", help="OpenFace's own layout and formats")
    export.add_argument("--models", metavar="SOURCE", default="embedded", help="default: embedded")
    export.add_argument("--force", action="store_true", help="write into a folder that is not empty")
    export.set_defaults(run=run_export)
    cli_render.add_render(commands)
    cli_render.add_example(commands)
    path = commands.add_parser("path", help="print the folder of the models, or the file of a network")
    path.add_argument("set", nargs="?", choices=SETS, default="openface", help="which models; default: openface")
    path.set_defaults(run=run_path)


def run_fetch(arguments: argparse.Namespace) -> int:
    """``auparity models fetch``."""
    from auparity.errors import AuparityError

    if arguments.set != OPENFACE:
        return _fetch_network(arguments)
    if arguments.file is not None:
        raise AuparityError("--from FILE is for single networks; say --models DIR where OpenFace's models are needed.")
    from auparity.models.manifest import openface_manifest
    from auparity.models.store import fetch, place

    manifest = openface_manifest()
    with _Progress(manifest.size) as progress:
        fetched = fetch(
            arguments.dir, accept_license=arguments.accept_license, mirror=arguments.mirror, progress=progress.report,
            waiting=lambda: print("Another program is writing to this folder; waiting for it.", file=sys.stderr),
        )  # fmt: skip
    done = f"{len(fetched)} of {len(manifest.files)} files were fetched" if fetched else "nothing had to be fetched"
    print(f"OpenFace {manifest.version}'s models are complete in {arguments.dir or place()}; {done}.")
    return 0


def _fetch_network(arguments: argparse.Namespace) -> int:
    from auparity.errors import AuparityError
    from auparity.models.networks import packages, store

    name: str = arguments.set
    if arguments.dir is not None or arguments.mirror is not None:
        raise AuparityError("--dir and --mirror are for OpenFace's models; a network can be named by its file.")
    if arguments.file is not None:
        print(f"{store.NETWORKS[name].title} is in {store.put(name, arguments.file)}.")
        return 0
    if name not in packages.PACKAGES:
        raise AuparityError(f"{store.NETWORKS[name].title} cannot be fetched. {store.advice(name)}")
    manifest = packages.manifest_of(name)
    with _Progress(manifest.size) as progress:
        path, fetched = store.fetch(
            name, progress=progress.report,
            waiting=lambda: print("Another program is writing to this folder; waiting for it.", file=sys.stderr),
        )  # fmt: skip
    done = f"fetched from {manifest.name} {manifest.version}, {manifest.licence}" if fetched else "it was there"
    print(f"{store.NETWORKS[name].title} is in {path} ({done}).")
    return 0


class _Progress:
    """A bar with rate and time left on a terminal, a line for each file elsewhere."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        self._console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._bar = Progress(*columns, TimeRemainingColumn(), console=self._console)
        self._task = self._bar.add_task("models", total=total)
        self._current, self._finished, self._of_current = "", 0, 0

    def __enter__(self) -> _Progress:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._console.is_terminal:
            self._bar.stop()

    def report(self, file: ManifestFile, number: int, count: int, done: int, total: int) -> None:
        """One more chunk of a file."""
        if file.path != self._current:
            self._finished += self._of_current
            self._current = file.path
            if not self._console.is_terminal:
                print(f"[{number}/{count}] {file.path} ({file.size / MEBIBYTE:.1f} MiB)", file=sys.stderr)
        self._of_current = done
        self._bar.update(self._task, completed=self._finished + done, description=file.path.rsplit("/", 1)[-1])


def run_list(arguments: argparse.Namespace) -> int:
    """``auparity models list``."""
    from auparity.models import archive, embedded
    from auparity.models.bundle import SHORT_HASH, Bundle
    from auparity.models.manifest import openface_manifest
    from auparity.models.networks.store import installed as installed_network
    from auparity.models.store import installed_openface, missing_files, place

    manifest, installed = openface_manifest(), installed_openface()
    if installed is None:
        state = "not installed; get it with `auparity models fetch openface --accept-license`"
    else:
        missing = len(missing_files(installed))
        state = f"{len(manifest.files) - missing} of {len(manifest.files)} files" if missing else "complete"
    directory = installed or place()
    print(f"{manifest.name} {manifest.version}  {manifest.size / MEBIBYTE:.0f} MiB  {directory}  ({state})")
    print(f"  licence: {manifest.licence}")
    for name in NETWORKS:
        found = installed_network(name)
        print(f"{name}  {found or 'not in the store; `auparity models fetch ' + name + '` says how to get it'}")
    bundle, with_networks, path = Bundle.embedded(networks=False), Bundle.embedded(), embedded.path()
    print(
        f"embedded {bundle.meta.version}  {path.stat().st_size / MEBIBYTE:.0f} MiB  {path}  "
        f"(hash {archive.stored_hash(path)[:SHORT_HASH]})"
    )
    for name in embedded.NETWORKS:
        path = embedded.network_path(name)
        print(f"  {name}  {path.stat().st_size / MEBIBYTE:.1f} MiB  {path}")
    print(f"  used with RetinaFace and PFLD unless options say otherwise (hash {with_networks.short_hash})")
    print(f"  licence: {bundle.meta.licence}; how well they measure real faces: docs/real-faces.md")
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """``auparity models verify``."""
    from auparity.models.store import default_directory, installed_openface, verify

    if arguments.dir == "embedded":
        return _verify_embedded()
    directory = Path(arguments.dir) if arguments.dir else installed_openface() or default_directory()
    verdicts = verify(directory)
    for path, verdict in verdicts.items():
        if verdict != "ok":
            print(f"{verdict}: {path}")
    counts = Counter(verdicts.values())
    print(f"{directory}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    if counts["ok"] == len(verdicts):
        return 0
    print("Fetch missing and damaged files with `auparity models fetch openface --accept-license`.")
    return 1


def _verify_embedded() -> int:
    from auparity.models import archive, embedded

    path = embedded.path()
    computed, expected = archive.load(path).content_hash, archive.stored_hash(path)
    if computed == expected:
        print(f"{path}: ok, content hash {computed}")
        return 0
    print(f"{path}: its content has the hash {computed}, not {expected}. Reinstall auparity.")
    return 1


def run_export(arguments: argparse.Namespace) -> int:
    """``auparity models export``."""
    from auparity.errors import AuparityError
    from auparity.models.bundle import Bundle
    from auparity.models.sources import open_bundle

    directory: Path = arguments.dir
    if directory.exists() and not directory.is_dir():
        raise AuparityError(f"{directory} is not a directory. Name a new folder.")
    if directory.is_dir() and any(directory.iterdir()) and not arguments.force:
        raise AuparityError(f"{directory} is not empty. Name a new folder, or add --force to write beside its content.")
    bundle = open_bundle(arguments.models, networks=False)  # OpenFace has no files for them
    bundle.to_openface(directory)
    again = Bundle.from_openface(directory)
    if again.content_hash != bundle.content_hash:
        raise AuparityError(
            f"The files in {directory} were read back as bundle {again.short_hash}, not {bundle.short_hash}. "
            "Do not use them. Other models in that folder may be the cause, so name an empty folder."
        )
    files = [path for path in sorted(directory.rglob("*")) if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"{bundle.meta.name} {bundle.meta.version} is in {directory}: {len(files)} files, {size / MEBIBYTE:.1f} MiB")
    print(f"Read back with the same content hash: {bundle.content_hash}")
    print(f"OpenFace takes it with -mloc {directory / 'model' / (bundle.face.name + '.txt')}")
    return 0


def run_path(arguments: argparse.Namespace) -> int:
    """``auparity models path``."""
    from auparity.models.networks.store import find
    from auparity.models.store import find_openface

    print(find_openface() if arguments.set == OPENFACE else find(arguments.set))
    return 0
