"""The page of a study of folders, as `auparity report` makes it: first without, then with links to the clips' pages."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auparity.errors import AuparityError
from auparity.extraction.stores import is_address
from auparity.media.names import printable

if TYPE_CHECKING:
    from auparity.reports.study.records import Study

PAGE = "study.html"


@dataclass(frozen=True)
class StudyRequest:
    """What a page of a study is asked for."""

    folders: Mapping[Path, str]  #: with how each is named: a path, or the address that it is a copy of
    page: Path | None = None  #: None for `PAGE` in the first folder, of one at an address in the current one
    labels: str | None = None  #: path or address of a list
    within: str | None = None  #: label within which clips are compared
    processes: int | None = None  #: that read tables; None for as many as pay


class StudyReport:
    """The page of one study; its tables are read once, however often the page is written."""

    def __init__(self, request: StudyRequest) -> None:
        self._request = request
        first, name = next(iter(request.folders.items()))
        self.page = request.page or (Path(PAGE) if is_address(name) else first / PAGE)
        self.study = self._gathered()

    def _gathered(self) -> Study:
        from auparity.dataset.progress import choose_progress
        from auparity.study.datasets import is_data_set, study_of_data_set
        from auparity.study.gather import study_of_folders
        from auparity.study.labels import with_labels

        request = self._request
        with choose_progress(quiet=False) as progress:
            first, name = next(iter(request.folders.items()))
            if is_data_set(first):
                study = study_of_data_set(first, name, progress, request.processes)
            else:
                study = study_of_folders(request.folders, progress, request.processes)
        if not study.rows and not study.failures:
            names = ", ".join(map(printable, request.folders.values()))
            raise AuparityError(f"{names}: holds no table of `auparity extract`.")
        if any(row.page is not None and row.page.resolve() == self.page.resolve() for row in study.rows):
            raise AuparityError(
                f"{printable(self.page)}: is the page of a clip of this name; name another one with -o."
            )
        if request.labels is not None:
            study.rows, notes = with_labels(study.rows, study.inputs, request.labels)
            study.notes += notes
        if request.within is not None and request.within not in study.labels:
            there = ", ".join(map(printable, study.labels)) or "none at all"
            raise AuparityError(f"--within {printable(request.within)}: no clip has this label; there are {there}.")
        study.within = request.within
        return study

    def write(self) -> None:
        """Write the page, with links to the pages of clips that exist now."""
        from auparity.reports.study.page import write_study_page
        from auparity.study.gather import last_part

        names = [shlex.quote(name if is_address(name) else last_part(name)) for name in self._request.folders.values()]
        labels = self._request.labels
        options = [] if labels is None else ["--labels", shlex.quote(Path(labels).name)]
        options += [] if self.study.within is None else ["--within", shlex.quote(self.study.within)]
        write_study_page(self.study, self.page, commands=[" ".join(["auparity report", *names, *options])])


@contextmanager
def folders_here(names: Sequence[str], scratch: Path | None) -> Iterator[dict[Path, str]]:
    """Folders of this machine with how each is named: copies of those at addresses, which are removed at the end
    unless there is a folder for scratch.

    Raises
    ------
    AddressError : something cannot be fetched.
    """
    if not any(map(is_address, names)):
        yield {Path(name): name for name in names}
        return
    from auparity.dataset.mirrors import read_here
    from auparity.dataset.progress import choose_progress

    with ExitStack() as stack:
        with choose_progress(quiet=False) as progress:
            folders = stack.enter_context(read_here(names, scratch, progress.copied))
        yield folders


def check_folders(folders: Mapping[Path, str]) -> bool:
    """Whether the folder is a data set.

    Raises
    ------
    AuparityError : a data set and other folders cannot be reported on together.
    """
    from auparity.study.datasets import is_data_set

    sets = [folder for folder in folders if is_data_set(folder)]
    if sets and len(folders) > 1:
        name = printable(folders[sets[0]])
        raise AuparityError(f"{name}: is a data set; report on it alone, it has its clips inside.")
    return bool(sets)
