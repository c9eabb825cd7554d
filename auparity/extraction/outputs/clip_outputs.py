"""All outputs of one clip or image, as `extraction.clips` uses them: rows go in, and in the end everything is put in
place together with the table, is kept under temporary names, or is removed.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auparity.atomic_files import write_text_atomically, writing
from auparity.errors import ContractError, VariantUnavailable
from auparity.extraction.outputs.files import check_replaceable, remove_abandoned
from auparity.extraction.outputs.settings import OUTPUTS, Output, OutputSettings, output_path
from auparity.extraction.outputs.writers import AlignedWriter, HogWriter, OutputWriter, details_text
from auparity.extraction.sidecars import OutputPaths
from auparity.fingerprints import fingerprint_of_file
from auparity.media import Image
from auparity.reference.face_crops import FaceCrops
from auparity.reference.head_pose import Camera
from auparity.reference.pipeline import StagedPipeline
from auparity.reference.results import FrameResult
from auparity.reference.video_pipeline import VideoPipeline
from auparity.tables.columns import Layout


def face_crops(pipeline: VideoPipeline, layout: Layout) -> FaceCrops:
    """What aligns and describes faces as this pipeline does.

    Raises
    ------
    VariantUnavailable : it is not made of stages.
    """
    staged = staged_pipeline(pipeline)
    if staged is None:
        raise VariantUnavailable(
            "HOG files and aligned faces need a pipeline that computes stage by stage; this one keeps faces on the "
            "GPU. Choose another with --variants, e.g. --variants numba, or leave --hog and --aligned out."
        )
    static = layout != "clip" or staged.options.static_aus
    predictors = staged.bundle.image_aus if static else staged.bundle.video_aus
    return FaceCrops(predictors, staged.stages, staged.numerics)


def staged_pipeline(pipeline: VideoPipeline) -> StagedPipeline | None:
    """What computes stage by stage behind a pipeline; None where it does not."""
    try:
        staged: Any = getattr(pipeline, "staged", pipeline)
    except ContractError:
        return None
    return staged if isinstance(staged, StagedPipeline) else None


def check_pipeline(pipeline: VideoPipeline, settings: OutputSettings) -> None:
    """Raise VariantUnavailable where a pipeline cannot give what is asked for, before anything is begun."""
    if settings.needs_faces:
        face_crops(pipeline, "clip")


class ClipOutputs:
    """The outputs of one input besides its table. Nothing is created before the first row.

    Parameters
    ----------
    pipeline : what measures; its stages align the faces.
    layout : "faces" for those of a clip whose AUs are static, "clip" for other clips.
    paths : of the table when it is complete.
    source : the input as it was named.
    fps : frames a second of the overlay video.

    Raises
    ------
    VariantUnavailable : the pipeline cannot give what is asked for.
    """

    def __init__(
        self, pipeline: VideoPipeline, settings: OutputSettings, paths: OutputPaths, layout: Layout, source: str,
        fps: float | None = None,
    ) -> None:  # fmt: skip
        self._settings, self._paths, self._layout, self._source, self._fps = settings, paths, layout, source, fps
        self._camera: Camera | None = None
        self._faces = face_crops(pipeline, layout) if settings.needs_faces else None
        self._writers: dict[Output, OutputWriter] | None = None
        self._facts: dict[Output, dict[str, Any]] = {}

    def begin(self) -> None:
        """Create the temporary files; raises `WriteError`. `append` does it with the first rows."""
        if self._writers is not None:
            return
        self._writers = {}
        for output in self._settings.written:
            target = self._target(output)
            with writing(target):
                writer = self._open(output, target)
            if writer is not None:
                self._writers[output] = writer

    def append(self, image: Image, results: list[FrameResult]) -> None:
        """The rows of the next frame, or of an image; raises `WriteError`."""
        self.begin()
        for output, writer in (self._writers or {}).items():
            with writing(self._target(output)):
                writer.append(image, results)

    def finish(self, n_rows: int, camera: Camera) -> None:
        """Complete the outputs of a table with so many rows; raises `WriteError`."""
        self.begin()
        self._camera = camera
        for output, writer in (self._writers or {}).items():
            with writing(self._target(output)):
                self._facts[output] = writer.finish(n_rows)

    def describe(self, paths: OutputPaths) -> dict[str, Any]:
        """What the sidecar of the table at `paths` says of the outputs, by `Output`; empty without any."""
        names = output_paths(paths, self._settings, self._layout)
        facts: dict[str, Any] = {output: {"name": names[output].name, **of} for output, of in self._facts.items()}
        if self._settings.details:
            text = self._details(paths)
            facts["details"] = {"name": names["details"].name, "sha256": hashlib.sha256(_encoded(text)).hexdigest()}
        return facts

    def put(self, paths: OutputPaths) -> None:
        """Give them their names beside the table at `paths`; raises `WriteError`."""
        names = output_paths(paths, self._settings, self._layout)
        for output, writer in (self._writers or {}).items():
            with writing(names[output]):
                writer.put(names[output])
        if self._settings.details:
            with writing(names["details"]):
                write_text_atomically(names["details"], self._details(paths))

    def keep_part(self) -> None:
        """Leave what is written under temporary names; does nothing the second time."""
        for writer in (self._writers or {}).values():
            writer.keep()

    def discard_part(self) -> None:
        """Remove what has not got its name; does nothing the second time."""
        for writer in (self._writers or {}).values():
            writer.discard()

    def abandon(self) -> None:
        """Remove all of them; the table has none from now on."""
        self.discard_part()
        self._writers, self._facts = {}, {}
        self._settings = OutputSettings(self._settings.columns)

    def _target(self, output: Output) -> Path:
        return output_path(self._paths.directory, self._paths.name, output, self._layout)

    def _details(self, paths: OutputPaths) -> str:
        assert self._camera is not None  # finished
        names = output_paths(paths, self._settings, self._layout)
        return details_text(self._source, self._camera, self._layout, self._settings, paths.table, names)

    def _open(self, output: Output, target: Path) -> OutputWriter | None:
        if output == "details":  # written when it is known how the clip ended
            return None
        if output == "tracked":
            # With it come OpenCV and what draws, which take a while.
            from auparity.extraction.outputs.tracked import TrackedImage, TrackedVideo

            return TrackedImage(target) if self._layout == "photograph" else TrackedVideo(target, self._fps)
        assert self._faces is not None  # as `needs_faces` says
        if output == "hog":
            return HogWriter(target, self._faces, self._layout)
        assert self._settings.aligned is not None
        return AlignedWriter(target, self._faces, self._layout, self._settings.aligned)


def output_paths(paths: OutputPaths, settings: OutputSettings, layout: Layout) -> dict[Output, Path]:
    """Where the outputs of a table are."""
    return {output: output_path(paths.directory, paths.name, output, layout) for output in settings.written}


def check_outputs_replaceable(
    paths: OutputPaths, settings: OutputSettings, layout: Layout, described: Mapping[str, Any], *, overwrite: bool
) -> None:
    """Refuse to replace outputs that the sidecar of the table at `paths` does not describe.

    Parameters
    ----------
    described : the field `outputs` of that sidecar; empty without one.

    Raises
    ------
    AuparityError : one of them may be somebody else's.
    """
    for output, target in output_paths(paths, settings, layout).items():
        is_ours = isinstance(described.get(output), dict) and described[output].get("name") == target.name
        check_replaceable(target, paths.options, is_ours=is_ours, overwrite=overwrite)


def changed_outputs(
    paths: OutputPaths, settings: OutputSettings, layout: Layout, described: Mapping[str, Any]
) -> list[str]:
    """In plain words, which of the outputs asked for are not those that the sidecar of the table describes."""
    problems = []
    for output, target in output_paths(paths, settings, layout).items():
        facts = described.get(output)
        if not isinstance(facts, dict):
            problems.append(f"it was made without {target.name}")
        elif not target.exists():
            problems.append(f"{target.name} is no longer there")
        elif target.is_dir():
            if sum(1 for _ in target.iterdir()) != facts.get("files"):
                problems.append(f"{target.name} no longer holds the files that were written")
        elif fingerprint_of_file(target).sha256 != facts.get("sha256"):
            problems.append(f"{target.name} was changed")
    return problems


def remove_outputs(paths: OutputPaths, described: Mapping[str, Any]) -> None:
    """Remove the outputs of an incomplete table that has been superseded; `described` as of its sidecar."""
    for output in OUTPUTS:
        target = output_path(paths.directory, paths.name, output, "clip")  # tables of images are never incomplete
        facts = described.get(output)
        if not isinstance(facts, dict) or facts.get("name") != target.name:
            continue
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)


def remove_abandoned_outputs(paths: OutputPaths, layout: Layout) -> None:
    """Remove what killed programs left behind of any output of a table."""
    for at in (paths, paths.incomplete):
        for output in OUTPUTS:
            remove_abandoned(output_path(at.directory, at.name, output, layout))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # as `write_text_atomically` does
