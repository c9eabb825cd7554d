"""Float64 inside a block, whatever JAX is set to outside of it: the user's configuration is not touched."""

from __future__ import annotations

from contextlib import AbstractContextManager

import jax


def float64() -> AbstractContextManager[None]:
    """A context in which JAX computes in float64 where it is asked to."""
    context: AbstractContextManager[None] = jax.enable_x64(True)
    return context
