"""The images of one call, and what models make of them: each thing (gray levels, a scaled copy) is made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Images(Sequence[Array]):
    """Colour images (H, W, 3) uint8 BGR, which must not be changed while this object is in use.

    Parameters
    ----------
    colour : one or more images; they may differ in size.
    """

    def __init__(self, colour: Sequence[Array] | npt.NDArray[np.uint8]) -> None:
        self._colour = list(colour)
        self._made: dict[tuple[Any, int], Array] = {}

    def __getitem__(self, index: Any) -> Any:
        return self._colour[index]

    def __len__(self) -> int:
        return len(self._colour)

    def __iter__(self) -> Iterator[Array]:
        return iter(self._colour)

    def derived(self, make: Callable[[Array], Array], index: int) -> Array:
        """What `make` makes of an image; it is called once for each, however often this is asked."""
        key = (make, index)
        if key not in self._made:
            self._made[key] = make(self._colour[index])
        return self._made[key]

    @classmethod
    def of(cls, images: Images | Sequence[Array] | npt.NDArray[np.uint8]) -> Images:
        """The same object where it is one already."""
        return images if isinstance(images, Images) else cls(images)
