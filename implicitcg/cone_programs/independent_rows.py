"""Multipliers of a cone program on independent rows, where those that bind are dependent."""

from __future__ import annotations

from typing import Any

import numpy as np

from .faces import Layout

LARGE = 4_000_000  # entries of the rows that bind, beyond which they are not looked at
APART = 1e-14  # how far inside, relative to the largest entry of `v`, a row that was let go is put
DEPENDENT = 1e-12  # a singular value this small beside the largest, for rows of length one, is zero


def on_independent_rows(A: Any, where: Layout, v: np.ndarray) -> np.ndarray:
    """`v = s - y` with another multiplier `y` of the same force `A^T y`, which is zero on rows that depend on others.

    Caratheodory's reduction: along a dependence `w`, `A^T w = 0`, of equalities and bounds that are met, the multiplier
    changes and its force does not. It is followed until the first bound has the multiplier zero, and that bound is put
    on its inactive side by a rounding, so that the derivative is that of the others: one exact piece of the solution
    map. Dependences among equalities alone cannot be let go, and rows of other cones are left as they are.
    """
    met = where.orthant[v[where.orthant] <= 0]
    rows = np.concatenate([where.zero, met])
    if len(met) == 0 or len(rows) * A.shape[1] > LARGE:
        return v
    binding = A.tocsr()[rows].toarray()
    length = np.linalg.norm(binding, axis=1)
    length = np.where(length > 0, length, 1)
    binding = binding / length[:, None]
    y, fixed, kept = -v[rows] * length, len(where.zero), np.ones(len(rows), bool)
    while True:
        # asked for are all vectors of the rows; all those of the columns would be a matrix of their number squared
        left, values, _ = np.linalg.svd(binding[kept].T, full_matrices=kept.sum() > binding.shape[1])[::-1]
        null = left[np.append(values, np.zeros(len(left) - len(values))) <= DEPENDENT * max(values, default=0)]
        bounds = np.flatnonzero(kept)[fixed:]  # equalities are always kept, and come first
        moving = np.abs(null[:, fixed:])
        if len(null) == 0 or len(bounds) == 0 or moving.max(initial=0) <= 1e-8:
            break
        w = null[np.argmax(moving.max(axis=1))]
        steps = [_first_zero(y[bounds], sign * w[fixed:]) for sign in (1.0, -1.0)]
        # the way on which fewer multipliers vanish at once: what is kept should bind
        step, first, sign = min((*found, sign) for found, sign in zip(steps, (1.0, -1.0), strict=True))[1:]
        y[kept] -= step * sign * w
        y[bounds] = np.maximum(y[bounds], 0)
        kept[bounds[first]] = False
        y[bounds[first]] = 0
    v = v.copy()
    v[rows] = -y / length
    v[rows[~kept]] = APART * (1 + np.abs(v).max(initial=0))
    return v


def _first_zero(y: np.ndarray, rate: np.ndarray) -> tuple[int, float, int]:
    """How many entries of `y - step rate` vanish at the first `step` at which one does, that step, and the entry."""
    falling = rate > 1e-10
    if not falling.any():
        return len(y) + 1, 0.0, 0
    steps = np.where(falling, y / np.where(falling, rate, 1), np.inf)
    first = int(np.argmin(steps))
    gone = falling & (y - steps[first] * rate <= 1e-9 * y.max())
    return int(gone.sum()), float(steps[first]), first
