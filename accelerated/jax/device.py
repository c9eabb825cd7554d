"""Where JAX computes, with float64 where it is asked for, inside a block: the user's configuration is not touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from auparity.errors import VariantUnavailable

CPU = "cpu"


def unavailable_reason(name: str) -> str | None:
    """Why JAX has no device of this kind here, and what to do; None when it has."""
    try:
        return None if jax.devices(name) else f"JAX has no {name} device"
    except RuntimeError:
        kinds = ", ".join(sorted({device.platform for device in jax.devices()}))
        plugin = f"install jax with its {name} plugin (jax[cuda12], jax[cuda13])"
        return f"JAX has no {name} device here, only {kinds}: {plugin}"


@contextmanager
def computing(device: str = CPU) -> Iterator[None]:
    """A context in which JAX computes on a device, in float64 where it is asked to.

    Raises
    ------
    VariantUnavailable : there is no such device.
    """
    if device != CPU and (why := unavailable_reason(device)):
        raise VariantUnavailable(why)
    with jax.enable_x64(True), jax.default_device(jax.devices(device)[0]):
        yield
