"""A job whose input or outputs are at an address: fetched to local scratch, measured, put in place, removed.

What is measured, resumed, replaced or refused is decided by the same code as for local files: what an earlier run left
at the address of the outputs is fetched first, and what has changed in the scratch folder afterwards is put back, files
beside the table first, then the sidecar, the table last. Only the commonest case is told apart before anything large
is fetched: an input that its store calls unchanged, whose table is there with the size that its sidecar states.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from auparity.atomic_files import create_beside, is_abandoned, writing
from auparity.errors import AuparityError
from auparity.extraction import stores
from auparity.extraction.earlier_tables import clip_request, outcome_of_earlier, photograph_request
from auparity.extraction.outputs.clip_outputs import output_paths
from auparity.extraction.sidecars import OutputPaths, differences
from auparity.extraction.types import ExtractionSettings, Origin, Outcome
from auparity.media import identify, printable
from auparity.reference.video_pipeline import VideoPipeline

#: Scratch folders, and the locked file in each that says that its program still runs.
SCRATCH, IN_USE = "auparity-scratch-", ".in-use"

Measure = Callable[[Path, str, ExtractionSettings, Origin], Outcome]


def run_elsewhere(
    pipeline: VideoPipeline,
    path: Path,
    name: str,
    origin: Origin,
    settings: ExtractionSettings,
    measure: Measure,
    stop: Callable[[], bool],
) -> Outcome:
    """Run a job of which something is at an address.

    Parameters
    ----------
    path : the input, unless `origin` has an address.
    name : of the table.
    measure : runs the job on a local file, given its kind ("clip" or "photograph"), settings with a local output folder
        and where the input is from.

    Raises
    ------
    AddressError : an input cannot be fetched, or an output not be put in place.
    """
    shown = origin.address or str(path)
    with scratch_folder(settings.scratch) as scratch:
        if origin.address:
            remote = stores.look(origin.address)
            origin = replace(origin, version="" if remote is None else remote.version)
        outputs = None
        local = settings
        if settings.output_address:
            outputs = _RemoteOutputs(settings, name, scratch / "out")
            local = replace(settings, output_dir=outputs.folder, output_address="")
            if origin.address and (earlier := outputs.skipped(pipeline, settings, origin)):
                return earlier
            outputs.fetch()
        elif origin.address and (skipped := _skipped_here(pipeline, name, settings, origin)):
            return skipped
        if origin.address:
            path = scratch / "in" / stores.name_in(origin.address)
            with writing(path):
                if not stores.fetch(origin.address, path, stop):
                    return Outcome(shown, "interrupted", f"{printable(shown)}: interrupted; nothing written.")
        kind = "photograph" if path.is_file() and identify(path).kind == "image" else "clip"
        try:
            outcome = measure(path, kind, local, origin)
        except (AuparityError, OSError) as error:  # what is done so far is put in place as well
            text = str(error)
            outcome = Outcome(shown, "failed", text if str(path) in text else f"{printable(shown)}: {text}")
        if outputs is not None:
            outputs.put()
            outcome = replace(outcome, message=outcome.message.replace(str(outputs.folder), settings.output_address))
        return replace(outcome, input=shown, message=outcome.message.replace(str(path), shown), table=None)


class _RemoteOutputs:
    """The outputs of one table at an address, and their copies in a folder of this machine."""

    def __init__(self, settings: ExtractionSettings, name: str, folder: Path) -> None:
        self.folder, self._settings = folder, settings
        self._paths = OutputPaths(folder, name, settings.table_format, settings.option_names)
        self._before: dict[Path, tuple[int, int]] = {}

    def skipped(self, pipeline: VideoPipeline, settings: ExtractionSettings, origin: Origin) -> Outcome | None:
        """The outcome if all is there for an input of this version; None if it has to be looked at more closely."""
        content = self._sidecar(self._paths)
        request = _request_of(pipeline, settings, content, origin)
        table = content.get("table")
        if settings.overwrite or request is None or not isinstance(table, dict):
            return None
        if differences(content, request) or content.get("labels", {}) != dict(origin.labels):
            return None
        if not self._has_outputs(content.get("outputs")):
            return None
        address = self._address(self._paths.table)
        there = stores.look(address)
        if there is None or there.size != table.get("bytes"):
            return None
        text = f"{printable(origin.address)}: skipped, {printable(address)} exists."
        return Outcome(origin.address, "skipped", text)

    def _has_outputs(self, described: Any) -> bool:
        """Whether the files beside the table that are asked for are there, by a sidecar and by the store."""
        for output in self._settings.outputs.written:
            facts = described.get(output) if isinstance(described, dict) else None
            if not isinstance(facts, dict):
                return False
            address = self._address(self._paths.table.parent / str(facts.get("name")))
            if not (stores.is_folder(address) or stores.look(address)):
                return False
        return True

    def fetch(self) -> None:
        """Copy what earlier runs left behind."""
        for paths in (self._paths, self._paths.incomplete):
            self._fetch(paths.sidecar)
            self._fetch(paths.table)
            described = self._sidecar(paths).get("outputs")
            named = described.values() if isinstance(described, dict) else ()
            targets = {paths.table.parent / str(facts["name"]) for facts in named if isinstance(facts, dict)}
            for layout in ("clip", "photograph"):
                targets |= set(output_paths(paths, self._settings.outputs, layout).values())
            for target in sorted(targets):
                self._fetch(target)
        self._before = self._look()

    def put(self) -> None:
        """Put in place what has changed, remove what is gone."""
        after = self._look()
        changed = [path for path, stamp in after.items() if self._before.get(path) != stamp]
        for path in sorted(changed, key=self._order):
            stores.put(path, self._address(path))
        for path in self._before.keys() - after.keys():
            stores.remove(self._address(path))

    def _order(self, path: Path) -> tuple[int, Path]:
        """Files beside a table first, its sidecar next, the table last."""
        for paths in (self._paths, self._paths.incomplete):
            if path in (paths.sidecar, paths.table):
                return 1 + (path == paths.table), path
        return 0, path

    def _look(self) -> dict[Path, tuple[int, int]]:
        files = (path for path in self.folder.rglob("*") if path.is_file())
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}

    def _address(self, path: Path) -> str:
        return stores.join(self._settings.output_address, path.relative_to(self.folder).as_posix())

    def _sidecar(self, paths: OutputPaths) -> dict[str, Any]:
        data = stores.read(self._address(paths.sidecar))
        return _parsed(b"" if data is None else data)

    def _fetch(self, path: Path) -> None:
        address = self._address(path)
        if stores.is_folder(address):
            for each in stores.files_below(address, recursive=True):
                stores.fetch(each, path / stores.name_in(each))
        elif stores.look(address) is not None:
            stores.fetch(address, path)


def _skipped_here(pipeline: VideoPipeline, name: str, settings: ExtractionSettings, origin: Origin) -> Outcome | None:
    """The outcome if the table of a remote input of this version is in a local folder; None if it has to be fetched."""
    paths = OutputPaths(settings.output_dir, name, settings.table_format, settings.option_names)
    content = _parsed(paths.sidecar.read_bytes() if paths.sidecar.is_file() else b"")
    request = _request_of(pipeline, settings, content, origin)
    if request is None:
        return None
    image = request.multi_view is not None
    layout: Any = "photograph" if image else "clip"
    return outcome_of_earlier(origin.address, paths, request, settings, layout, origin)


def _request_of(pipeline: VideoPipeline, settings: ExtractionSettings, content: dict[str, Any], origin: Origin) -> Any:
    """What would be asked for the input that a sidecar describes, if that is this very version; else None."""
    described, made = content.get("input"), content.get("request")
    if not isinstance(described, dict) or not isinstance(made, dict) or not origin.version:
        return None
    if (described.get("address"), described.get("version")) != (origin.address, origin.version):
        return None
    sha256 = made.get("input_sha256")
    if described.get("kind") == "photograph":
        return photograph_request(pipeline, settings, str(sha256))
    return clip_request(pipeline, settings, str(sha256), settings.timestamps)


def _parsed(data: bytes) -> dict[str, Any]:
    """A sidecar's content; empty for anything that is none (the copy of it is looked at more closely)."""
    try:
        content = json.loads(data)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def scratch_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder of its own below `parent` (the system's temporary folder unless given), removed at the end; those that
    killed programs left behind are removed first."""
    root = Path(tempfile.gettempdir()) if parent is None else parent
    root.mkdir(parents=True, exist_ok=True)
    for old in root.glob(f"{SCRATCH}*"):
        if any(is_abandoned(lock) for lock in old.glob(f"*{IN_USE}")):
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=SCRATCH, dir=root))
    try:
        lock, _ = create_beside(folder / "scratch", IN_USE)
        with lock:
            yield folder
    finally:
        with suppress(OSError):
            shutil.rmtree(folder)
