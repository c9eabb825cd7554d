"""Engines that carry jobs, one clip or image each, through a pipeline: one after the other, or several at a time."""

from __future__ import annotations

SERIAL, PROCESSES, STREAMS, RAY = "serial", "processes", "streams", "ray"
#: Chosen by `--split` alone, which changes numbers where parts meet.
SPLIT = "split"
#: The engines of this package and what each does; here, because the command line says so before it loads any of them.
BUILT_IN = {
    SERIAL: "one input after the other",
    PROCESSES: "several inputs at a time, each in a process of its own",
    STREAMS: "several inputs at a time that advance together on a GPU",
    RAY: "several inputs at a time on the machines of a Ray cluster, or on this one (extra ray)",
}
