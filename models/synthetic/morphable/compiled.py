"""The compiler of this package's loops: Numba, with the cache on disk that the accelerated stages have."""

from auparity.errors import AuparityError

try:
    from auparity.accelerated.numba.compile import kernel as kernel
except ImportError as error:
    raise AuparityError(f'Rendering a morphable model needs Numba: pip install "auparity[numba]" ({error}).') from error
