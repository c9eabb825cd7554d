"""From one image to its result table: one row a face (spec 80.3)."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from auparity.errors import ContractError
from auparity.extraction.clip_outcomes import NO_FACE_IN_PHOTOGRAPH, camera_facts, place_of
from auparity.extraction.clip_run import camera_for
from auparity.extraction.earlier_tables import (
    labels_of,
    outcome_of_earlier,
    photograph_request,
    remove_what_is_replaced,
)
from auparity.extraction.input_content import InputContent
from auparity.extraction.outputs.clip_outputs import ClipOutputs
from auparity.extraction.sidecars import OutputPaths, publish
from auparity.extraction.table_writers import open_table
from auparity.extraction.types import HERE, ExtractionSettings, Origin, Outcome
from auparity.media import printable, read_photograph
from auparity.reference.video_pipeline import VideoPipeline


def extract_photograph(
    pipeline: VideoPipeline,
    path: Path,
    settings: ExtractionSettings | None = None,
    *,
    name: str | None = None,
    origin: Origin = HERE,
) -> Outcome:
    """Measure every face of one image and write its table: one row a face, AUs of the static models (spec 80.3).

    An image without faces gets a table without rows, so that a run over many images can be resumed (the C++ program
    writes no file). Faces without success are rows, too, as in the C++ program.

    Raises
    ------
    VideoError : the image cannot be read. WriteError : something could not be written. ContractError : the settings
        choose one face, and all of an image are measured.
    """
    settings = settings or ExtractionSettings()
    if settings.face is not None:
        raise ContractError(
            "extraction", "face", "None for an image, all of whose faces are measured", str(settings.face)
        )
    paths = OutputPaths(settings.output_dir, name or path.stem, settings.table_format, settings.option_names)
    content = InputContent([path])
    request = photograph_request(pipeline, settings, content.fingerprint.sha256)
    earlier = outcome_of_earlier(str(path), paths, request, settings, "photograph", origin)
    if earlier is not None:
        return earlier
    started = time.monotonic()
    outputs = ClipOutputs(pipeline, settings.outputs, paths, "photograph", str(path))
    image, complaints = read_photograph(path, max_pixels=settings.max_pixels)
    camera = camera_for(settings.intrinsics, image)
    faces = pipeline.process_image(image, camera=camera, multi_view=settings.multi_view)
    warnings = [*complaints, *([] if faces else [NO_FACE_IN_PHOTOGRAPH])]
    facts = {
        "input": {
            **place_of(path, origin), "kind": "photograph", **asdict(content.fingerprint),
            "height": image.shape[0], "width": image.shape[1],
        },
        **labels_of(origin),
        "faces": len(faces),
        "warnings": [*settings.warnings, *warnings],
        "camera": camera_facts(camera),
        "seconds": round(time.monotonic() - started, 3),
        "variants": pipeline.variants,
    }  # fmt: skip
    paths.table.parent.mkdir(parents=True, exist_ok=True)
    table = open_table(paths.table, "photograph", settings.table_format, settings.outputs.columns)
    try:
        outputs.append(image, faces)
        for face in faces:
            table.append(face)
        outputs.finish(table.n_rows, camera)
        finished = table.finish(None)
        try:
            publish(
                finished, paths, request=request, bundle=pipeline.bundle.meta, complete=True, facts=facts,
                beside=outputs,
            )  # fmt: skip
        finally:
            finished.discard()
    finally:  # one image: nothing worth keeping
        table.discard_part()
        outputs.discard_part()
    remove_what_is_replaced(paths, "photograph")
    count = "1 face" if len(faces) == 1 else f"{len(faces) or 'no'} faces"
    message = f"{printable(path)}: {count} -> {printable(paths.table)}"
    return Outcome(str(path), "done", message, paths.table, len(faces), tuple(complaints), without_face=not faces)
