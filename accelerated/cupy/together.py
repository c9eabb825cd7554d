"""Clips that advance together, from one thread: the next frame of each, or frame after frame with overlap."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy.typing as npt

from auparity.accelerated.cupy.batches import Batch
from auparity.accelerated.cupy.sessions import BatchSession, R
from auparity.accelerated.cupy.upload import Uploaded
from auparity.errors import ContractError

Array = npt.NDArray[Any]


def advance(sessions: Sequence[BatchSession[Any, R]], images: Sequence[Array], timestamps: Sequence[float]) -> list[R]:
    """See `DevicePipeline.advance`."""
    for session, image, timestamp in zip(sessions, images, timestamps, strict=True):
        session.prepare(image, timestamp)
    if len(set(map(id, sessions))) != len(sessions):
        raise ContractError("pipeline", "sessions", "different ones", "one of them twice")
    measured: dict[int, Any] = {}
    for batch in {id(session.batch): session.batch for session in sessions}.values():
        assert batch is not None
        own = [k for k, session in enumerate(sessions) if session.batch is batch]
        found = batch.run([sessions[k].row for k in own], batch.send([images[k] for k in own]))
        measured |= dict(zip(own, found, strict=True))
    return [session.result(measured[k], timestamps[k]) for k, session in enumerate(sessions)]


def stream(
    sessions: Sequence[BatchSession[Any, R]], rounds: Iterable[tuple[Sequence[Array], Sequence[float]]]
) -> Iterator[list[R]]:
    """See `DevicePipeline.stream`."""
    with ThreadPoolExecutor(1) as feeder, ThreadPoolExecutor(1) as describer:
        sent: deque[tuple[Future[Uploaded], Sequence[float]]] = deque()
        results: deque[Future[list[R]]] = deque()
        batch: Batch[Any] | None = None
        for images, timestamps in rounds:
            for session, image, timestamp in zip(sessions, images, timestamps, strict=True):
                session.prepare(image, timestamp)
            batch = _one_batch(sessions)
            sent.append((feeder.submit(batch.send, images), timestamps))
            if len(sent) > 1:
                results.append(_run_next(batch, sessions, sent, describer))
            if len(results) > 1:
                yield results.popleft().result()
        while batch is not None and sent:
            results.append(_run_next(batch, sessions, sent, describer))
        while results:
            yield results.popleft().result()


def _run_next(
    batch: Batch[Any], sessions: Sequence[BatchSession[Any, R]],
    sent: deque[tuple[Future[Uploaded], Sequence[float]]], describer: ThreadPoolExecutor,
) -> Future[list[R]]:  # fmt: skip
    uploaded, timestamps = sent.popleft()
    measured = batch.run([session.row for session in sessions], uploaded.result())
    return describer.submit(
        lambda: [s.result(m, t) for s, m, t in zip(sessions, measured, timestamps, strict=True)]
    )  # fmt: skip


def _one_batch(sessions: Sequence[BatchSession[Any, R]]) -> Batch[Any]:
    batches = {id(session.batch): session.batch for session in sessions}
    (batch, *more) = batches.values()
    if more or batch is None or len(set(map(id, sessions))) != len(sessions):
        expected = "different ones that fit into one batch (streams=... of the pipeline), with frames of one size"
        raise ContractError("pipeline", "sessions", expected, f"{len(sessions)} in {len(batches)} batches")
    return batch
