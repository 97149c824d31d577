"""The static sizes of working sets and of faces: how many coordinates a program is compiled for.

A compiled program knows no size that the data decide. So there are few sizes, each several times the one before; a
search that outgrows one goes on with the next, and a face takes the smallest factor that it fits into.
"""

from __future__ import annotations

import math
import operator
import os
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..penalties import AbstractSmooth, LeastSquares
from .thresholds import THRESHOLDS


def room_for(capacity: int, p: int, dtype: Any) -> int:
    """A `capacity` given by the user, at most `p`, if it is one and the matrices of that size fit in memory."""
    if isinstance(capacity, (bool, np.bool_)):
        raise TypeError(f"capacity is {capacity}; it is the largest number of active features, a positive integer.")
    try:
        size = min(operator.index(capacity), p)
    except TypeError:
        size = 0
    if size < 1:
        raise ValueError(f"capacity is {capacity!r}; it is the largest number of active features, a positive integer.")
    gib, memory = size**2 * jnp.dtype(dtype).itemsize / 2**30, _memory() / 2**30
    if gib > memory:
        raise ValueError(
            f"capacity={capacity} needs matrices of {gib:.0f} GiB, and this machine has {memory:.0f} GiB. Lower it, or "
            "use icg.solvers.ProximalGradient(), which makes none."
        )
    return size


def _memory() -> float:
    """The bytes of this machine; infinitely many where the system does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return math.inf


def working_set_sizes(smooth: AbstractSmooth, capacity: int | None = None) -> tuple[int, ...]:
    """The static sizes of working set: all features when they are few, else 128, 512, ... up to the capacity."""
    p, dtype = smooth.dimension()
    capacity = None if capacity is None else room_for(capacity, p, dtype)
    if p <= THRESHOLDS.whole:
        return (p,)
    n = smooth.X.shape[0] if isinstance(smooth, LeastSquares) else p
    largest = min(p, THRESHOLDS.largest, max(2 * n, 128)) if capacity is None else min(p, capacity)
    sizes = [size for size in (128, 512, 2048) if 2 * size <= largest]
    return (*sizes, largest)


def face_sizes(smooth: AbstractSmooth, rank: int) -> tuple[int, ...]:
    """The static sizes of face that a factor is compiled for: few, and none beyond the `rank` of the Hessian."""
    largest = min(working_set_sizes(smooth)[-1], rank)
    if isinstance(smooth, LeastSquares) and not smooth.X.dense and largest < rank:
        return THRESHOLDS.sparse // 4, THRESHOLDS.sparse
    if largest <= 256:
        return (largest // 4, largest) if largest == smooth.dimension()[0] >= 128 else (largest,)
    if largest <= THRESHOLDS.whole:
        return largest // 4, largest
    small = (largest // 16,) if largest >= 4 * THRESHOLDS.whole else ()
    return (*small, largest // 4, 5 * largest // 8, largest)
