"""Rows of a cone program that depend on each other: equalities are left out, and bounds let go, until none does."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy.linalg

from .faces import Face
from .program import Layout
from .system import ConeSystem
from .thresholds import THRESHOLDS

DEPENDENT_ROWS = 1e-12  # a singular value this small beside the largest, for rows of length one, is zero
CONSISTENT = 1e-8  # the square root of a rounding
APART = 1e-14  # how far inside, relative to the largest entry of `v`, a row that was let go is put


class WithoutDependence(ConeSystem):
    """The system of an independent subset of the equalities, which has the same solutions `dx`.

    Equalities that follow from the others follow from them as long as their right sides are consistent. Then `dx` is
    what it is without them, and the multipliers, which are not unique, are those of least norm: the part of `dy` along
    the dependences `w`, `A^T w = 0`, is zero. Along a right side that is not `consistent` the program is not feasible.
    """

    def __init__(self, system: ConeSystem, A: Any, zero: np.ndarray, dependences: np.ndarray):
        self._system, self.A, self.AT, self.healthy = system, A, system.AT, system.healthy
        self._zero, self._dependences, self.bytes = zero, dependences, system.bytes + dependences.nbytes
        self._largest = np.abs(A if isinstance(A, np.ndarray) else A.data).max(initial=0)

    def solve(self, r: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `ConeSystem.solve`."""
        dx, dy = self._system.solve(r, t)
        part, N = dy[self._zero], self._dependences
        dy[self._zero] = part - N @ (N.T @ part)
        return dx, dy

    def consistent(self, dx: np.ndarray, t: np.ndarray) -> bool:
        """See `ConeSystem.consistent`; what is not consistent misses the equalities by about its own size."""
        product, given = (self.A @ dx)[self._zero], t[self._zero]
        size = np.abs(given).max(initial=0) + self._largest * np.abs(dx).max(initial=0)
        return bool(np.abs(product - given).max(initial=0) <= CONSISTENT * size)

    def unique(self) -> bool:
        """See `ConeSystem.unique`."""
        return self._system.unique()


def dependences(A: Any, zero: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The equalities that follow from the others, and an orthonormal basis `(e, k)` of `w`, `A_zero^T w = 0`.

    `None` where the rows `zero` of `A` are independent, or have too many entries to tell.
    """
    if len(zero) == 0 or len(zero) * A.shape[1] > THRESHOLDS.dependence_entries:
        return None
    rows, length = _of_length_one(A, zero)
    factors: Any = scipy.linalg.qr(rows.T, mode="r", pivoting=True)
    triangle, order = factors
    pivots = np.abs(np.diagonal(triangle))
    rank = int(np.sum(pivots > DEPENDENT_ROWS * max(1.0, len(zero)) * max(pivots, default=0)))
    if rank == len(zero):
        return None
    combination = scipy.linalg.solve_triangular(triangle[:rank, :rank], triangle[:rank, rank:])
    null = np.zeros((len(zero), len(zero) - rank))
    null[order[:rank]], null[order[rank:]] = -combination, np.eye(len(zero) - rank)
    basis, _ = np.linalg.qr(null / length[:, None])
    return zero[order[rank:]], basis


def without(face: Face, rows: np.ndarray) -> Face:
    """`face` without these hard rows, each of which is a row of `A` by itself."""
    kept = np.ones(face.hard_count + 1, bool)  # and one for -1, no row
    kept[face.hard[rows]] = False
    number = np.where(kept, np.cumsum(kept) - 1, -1)
    number[-1] = -1
    return dataclasses.replace(face, hard=number[face.hard], hard_count=face.hard_count - len(rows))


def on_independent_rows(A: Any, where: Layout, v: np.ndarray) -> np.ndarray:
    """`v = s - y` with another multiplier `y` of the same force `A^T y`, which is zero on rows that depend on others.

    Caratheodory's reduction: along a dependence `w`, `A^T w = 0`, of equalities and bounds that are met, the multiplier
    changes and its force does not. It is followed until the first bound has the multiplier zero, and that bound is put
    on its inactive side by a rounding, so that the derivative is that of the others: one exact piece of the solution
    map. Dependences among equalities alone cannot be let go, and rows of other cones are left as they are.
    """
    met = where.orthant[v[where.orthant] <= 0]
    rows = np.concatenate([where.zero, met])
    if len(met) == 0 or len(rows) * A.shape[1] > THRESHOLDS.dependence_entries:
        return v
    binding, length = _of_length_one(A, rows)
    y, fixed, kept = -v[rows] * length, len(where.zero), np.ones(len(rows), bool)
    while True:
        # asked for are all vectors of the rows; all those of the columns would be a matrix of their number squared
        left, values, _ = np.linalg.svd(binding[kept].T, full_matrices=kept.sum() > binding.shape[1])[::-1]
        null = left[np.append(values, np.zeros(len(left) - len(values))) <= DEPENDENT_ROWS * max(values, default=0)]
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


def _of_length_one(A: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """These rows of `A`, dense and each divided by its length, and the lengths; those of zero rows are one.

    What depends is so judged by directions: a row in other units is as dependent as it was.
    """
    chosen = A[rows] if isinstance(A, np.ndarray) else A.tocsr()[rows].toarray()
    length = np.linalg.norm(chosen, axis=1)
    length = np.where(length > 0, length, 1)
    return chosen / length[:, None], length


def _first_zero(y: np.ndarray, rate: np.ndarray) -> tuple[int, float, int]:
    """How many entries of `y - step rate` vanish at the first `step` at which one does, that step, and the entry."""
    falling = rate > 1e-10
    if not falling.any():
        return len(y) + 1, 0.0, 0
    steps = np.where(falling, y / np.where(falling, rate, 1), np.inf)
    first = int(np.argmin(steps))
    gone = falling & (y - steps[first] * rate <= 1e-9 * y.max())
    return int(gone.sum()), float(steps[first]), first
