"""The Ray cluster of a run: one that is there, by its address, or a local one that is started for the run.

Ray is quiet: no dashboard, no messages of workers. It replaces the handler of SIGTERM when it starts, which is
restored, because SIGTERM ends a run as Ctrl-C does.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NamedTuple

from auparity.errors import AuparityError, VariantUnavailable

LOCAL = "local"
MISSING = "Ray is not installed: pip install 'auparity[ray]'."
#: Seconds in which the head of a cluster must accept a connection. Ray itself tries for more than two minutes.
CONNECT_WITHIN = 10.0
_HOST_AND_PORT = re.compile(r"(?:ray://)?\[?(?P<host>[^\[\]/]+)\]?:(?P<port>\d+)")


class Cluster(NamedTuple):
    """What a connected cluster has."""

    ray: Any  #: the module
    cpus: int
    gpus: int


def require_ray() -> Any:
    """The module `ray`; raises `VariantUnavailable` where it is not installed."""
    try:
        return import_module("ray")
    except ImportError as error:
        raise VariantUnavailable(MISSING) from error


@contextmanager
def connected(address: str | None, *, cpus: int, gpus: int | None) -> Iterator[Cluster]:
    """Be connected to a cluster; where this process is already, that connection is used and stays.

    Parameters
    ----------
    address : HOST:PORT or ray://HOST:PORT, "auto" for the one that runs on this machine, "local" for a new one here;
        None for what the environment variable RAY_ADDRESS says, else "local".
    cpus, gpus : of a local Ray; None for all GPUs of this machine.

    Raises
    ------
    VariantUnavailable : Ray is not installed. AuparityError : the cluster cannot be reached or is not used with this
        Python and this Ray, or `address` is given although the process is connected.
    """
    ray = require_ray()
    if ray.is_initialized():
        if address is not None:
            raise AuparityError(f"This process is connected to Ray already: leave the address {address} out to use it.")
        yield _cluster(ray)
        return
    address = address or os.environ.get("RAY_ADDRESS") or LOCAL
    with _hushed():
        _connect(ray, address, cpus, gpus)
        try:
            yield _cluster(ray)
        finally:
            ray.shutdown()


def _connect(ray: Any, address: str, cpus: int, gpus: int | None) -> None:
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        options |= {"num_cpus": cpus, "num_gpus": gpus, "include_dashboard": False}
    else:
        _require_reachable(address)
    try:
        with _kept_signals(), _no_usage_report():
            ray.init(**options)
    except Exception as error:  # Ray raises RuntimeError, ConnectionError, ValueError and its own
        what = "A local Ray cannot be started" if address == LOCAL else f"The Ray cluster {address} cannot be used"
        raise AuparityError(f"{what}: {error}{_token_advice(address)}") from error


def _token_advice(address: str) -> str:
    if address == LOCAL or "RAY_AUTH_MODE" in os.environ:
        return ""
    return "\nIf the cluster asks for a token, set RAY_AUTH_MODE=token; `ray get-auth-token` says which token is used."


def _require_reachable(address: str) -> None:
    """Raise `AuparityError` where nothing listens at the address."""
    place = _HOST_AND_PORT.fullmatch(address)
    if place is None:  # "auto", which Ray looks up, and what Ray calls invalid
        return
    try:
        socket.create_connection((place["host"], int(place["port"])), CONNECT_WITHIN).close()
    except OSError as error:
        raise AuparityError(
            f"The Ray cluster {address} cannot be reached ({error.strerror or error}). `ray status` on its head says "
            "whether it runs; `ray start --head` prints its address."
        ) from error


def _cluster(ray: Any) -> Cluster:
    resources = ray.cluster_resources()
    return Cluster(ray, int(resources.get("CPU", 0)), int(resources.get("GPU", 0)))


@contextmanager
def _kept_signals() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextmanager
def _hushed() -> Iterator[None]:
    """Ray prints the end of each of its processes on stdout, with tens of lines of its log; ours are enough.

    There is no public switch for that. Where a version of Ray has not this one it is noisy, nothing else.
    """
    worker: Any = import_module("ray._private.worker")
    before = getattr(worker, "_worker_logs_enabled", None)
    if before is not None:
        worker._worker_logs_enabled = False
    try:
        yield
    finally:
        if before is not None:
            worker._worker_logs_enabled = before


@contextmanager
def _no_usage_report() -> Iterator[None]:
    """A local Ray sends no statistics of its use to its makers, unless the environment says otherwise."""
    name = "RAY_USAGE_STATS_ENABLED"
    before = os.environ.get(name)
    os.environ.setdefault(name, "0")
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
