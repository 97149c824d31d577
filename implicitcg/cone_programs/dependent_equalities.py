"""The linear system of a cone program whose equalities depend on each other, but on nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import scipy.linalg

from .faces import Face
from .independent_rows import DEPENDENT, LARGE

CONSISTENT = 1e-8  # the square root of a rounding


class WithoutDependence:
    """The system of an independent subset of the equalities, which has the same solutions `dx`.

    Equalities that follow from the others follow from them as long as their right sides are consistent. Then `dx` is
    what it is without them, and the multipliers, which are not unique, are those of least norm: the part of `dy` along
    the dependences `w`, `A^T w = 0`, is zero. Along a right side that is not `consistent` the program is not feasible.
    """

    def __init__(self, system: Any, A: Any, zero: np.ndarray, dependences: np.ndarray):
        self._system, self.A, self.AT = system, A, system.AT
        self._zero, self._dependences = zero, dependences
        self._largest = np.abs(A if isinstance(A, np.ndarray) else A.data).max(initial=0)
        self.healthy, self.condition = bool(system.healthy), float(system.condition)

    def unique(self) -> bool:
        """Whether no direction of `x` is free."""
        return self._system.unique()

    def bytes(self) -> int:
        """About the memory it takes."""
        return self._system.bytes() + self._dependences.nbytes

    def consistent(self, dx: np.ndarray, t: np.ndarray) -> bool:
        """Whether all equalities have the solution `dx`; what is not consistent misses by about its own size."""
        product, given = (self.A @ dx)[self._zero], t[self._zero]
        size = np.abs(given).max(initial=0) + self._largest * np.abs(dx).max(initial=0)
        return bool(np.abs(product - given).max(initial=0) <= CONSISTENT * size)

    def solve(self, r: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(dx, dy)` for right sides `r` `(n,)` and `t` `(m,)`."""
        dx, dy = self._system.solve(r, t)
        part, N = dy[self._zero], self._dependences
        dy[self._zero] = part - N @ (N.T @ part)
        return dx, dy


def dependences(A: Any, zero: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The equalities that follow from the others, and an orthonormal basis `(e, k)` of `w`, `A_zero^T w = 0`.

    `None` where the rows `zero` of `A` are independent, or have too many entries to tell.
    """
    if len(zero) == 0 or len(zero) * A.shape[1] > LARGE:
        return None
    rows = A[zero] if isinstance(A, np.ndarray) else A.tocsr()[zero].toarray()
    length = np.linalg.norm(rows, axis=1)
    length = np.where(length > 0, length, 1)
    factors: Any = scipy.linalg.qr((rows / length[:, None]).T, mode="r", pivoting=True)
    triangle, order = factors
    pivots = np.abs(np.diagonal(triangle))
    rank = int(np.sum(pivots > DEPENDENT * max(1.0, len(zero)) * max(pivots, default=0)))
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
