"""Which peers can run here and why others cannot, how fast they are, and how far they are from auparity's best
pipeline.

``auparity dev peers CLIP [--models SOURCE] [--peers NAME,...]``. Frames are decoded before the clock starts, except by
OpenFace's program; its row says what its time includes. auparity runs again right before every peer, because the speed
of a machine varies; the ratio is of these two runs. Peers choose their number of threads, auparity uses one. A peer
that only detects faces is compared with auparity's detector. Differences are meaningful only if both have the same
models: the table says which bundle auparity had.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from auparity.accelerated.choices import parse_spec
from auparity.accelerated.hardware import hardware
from auparity.accelerated.pipeline import Pipeline
from auparity.benchmarks.peers import named_peers, read_clip
from auparity.benchmarks.peers.comparison import OurPipeline, compare
from auparity.errors import AuparityError
from auparity.models.sources import is_embedded, open_bundle

HEAD = (
    "| peer | version | faces in | ms a frame | auparity, ms | auparity is | landmarks, px | AUs | boxes, px | note |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


def line(row: dict[str, Any]) -> str:
    """A row of the table as Markdown."""

    def number(name: str, decimals: int) -> str:
        return "" if row[name] is None else f"{row[name]:.{decimals}f}"

    times = f"{row['ratio']:.1f} times as fast"
    return (
        f"| {row['peer']}: {row['measures']} | {row['version']} | {row['success']} of {row['frames']} "
        f"| {row['ms']:.2f} | {row['our_ms']:.2f} | {times} | {number('landmarks_px', 3)} | {number('aus', 3)} "
        f"| {number('boxes_px', 2)} | {row['note']} |"
    )


def main(arguments: list[str] | None = None) -> int:
    """The command line; status 1 if an available peer failed, 2 if an input cannot be read or a name is unknown."""
    parser = argparse.ArgumentParser(prog="auparity dev peers", description=__doc__)
    parser.add_argument("clip", type=Path, help="a video or a folder of images")
    parser.add_argument("--models", metavar="SOURCE", help="default: as auparity extract")
    parser.add_argument("--landmark-model", default="auto", choices=("auto", "clnf", "ceclm"), help="default: auto")
    parser.add_argument(
        "--variants",
        default="best",
        metavar="SPEC",
        help="as `auparity extract` (default: best)",
    )
    parser.add_argument("--peers", metavar="NAMES", help="comma-separated; default: all")
    parser.add_argument("--max-frames", type=int, default=300, help="frames of the clip that are taken (default: 300)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="JSON")
    chosen = parser.parse_args(arguments)
    try:
        return _compare_all(chosen)
    except AuparityError as error:
        print(error, file=sys.stderr)
        return 2


def _compare_all(chosen: argparse.Namespace) -> int:
    bundle, machine = open_bundle(chosen.models, chosen.landmark_model, networks=False), hardware()
    peers = named_peers(chosen.peers, bundle.landmarker_name)
    pipeline = Pipeline.of_choices(bundle, parse_spec(bundle, chosen.variants))
    clip = read_clip(chosen.clip, chosen.max_frames)
    print(f"{machine.cpu}, {machine.vectors}; bundle {bundle.meta.name} {bundle.short_hash}, {bundle.landmarker_name}")
    if is_embedded(bundle):
        print("auparity uses its embedded models, peers use OpenFace's: the differences are those of the models.")
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    ours: OurPipeline | None = None
    for peer in peers:
        if reason := peer.unavailable_reason():
            skipped[peer.name] = reason
            continue
        ours = ours or OurPipeline(pipeline, clip)
        try:
            rows.append(compare(peer, ours, clip))
        except AuparityError as error:
            failed[peer.name] = str(error)
    print(f"{chosen.clip}: {len(clip)} frames")
    if rows:
        print("\n".join([*HEAD, *map(line, rows)]))
        print("Peers choose their number of threads, auparity uses one.")
    for title, reasons in (("cannot run here", skipped), ("failed", failed)):
        for name, reason in reasons.items():
            print(f"{name} {title}: {reason}")
    if chosen.output:
        record: dict[str, Any] = {"machine": machine.as_dict(), "bundle": bundle.content_hash, "clip": str(chosen.clip)}
        record |= {"date": time.strftime("%Y-%m-%dT%H:%M:%S"), "peers": rows, "skipped": skipped, "failed": failed}
        chosen.output.parent.mkdir(parents=True, exist_ok=True)
        chosen.output.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
    return 1 if failed else 0
