"""What every way to solve the linear system of a cone program on its face has to offer.

With the Jacobian `D` of the projection, the linearised optimality system

    P dx + A^T (D - I) dv = r,   A dx + D dv = t

becomes, in `dx` and `dy = (D - I) dv`, an equality-constrained least-squares problem: hard rows `C dx = t_h`, and soft
rows as springs of stiffness `W`, which join the Hessian `H = P + B^T W B`. Then `dv = t - A dx - dy`. The transposed
system `P u + A^T w = a`, `(D - I) A u + D w = c` is the same one with `r = a - A^T c`, `t = -c`, and `w = c + dy`.
"""

from __future__ import annotations

import abc
from typing import Any

import numpy as np

from .thresholds import THRESHOLDS


class ConeSystem(abc.ABC):
    """The system of one face, made once and solved for any number of right sides, from any number of threads.

    Attributes:
        A: the matrix `(m, n)` of the program to multiply by, dense or sparse, whichever is faster; `AT` its transpose.
        healthy: whether the system is regular to working precision. Where it is not, what `solve` returns serves
            Newton's method, which judges its steps, and no derivative.
        bytes: about the memory that it takes.
    """

    A: Any
    AT: Any
    healthy: bool
    bytes: int

    @abc.abstractmethod
    def solve(self, r: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`(dx, dy)`, `(n,)` and `(m,)`, for right sides `r` `(n,)` and `t` `(m,)`; NaN where none is found."""

    @abc.abstractmethod
    def consistent(self, dx: np.ndarray, t: np.ndarray) -> bool:
        """Whether `dx`, found for `t`, solves the system: not every `t` has a solution where equalities depend."""

    @abc.abstractmethod
    def unique(self) -> bool:
        """Whether `r = 0`, `t = 0` have `dx = 0` alone, so that the solution in `x` is unique; yes where unknown."""


def filled(matrix: Any, *, whole: bool = False) -> Any:
    """A matrix as a dense array where it is small, or always with `whole`."""
    if isinstance(matrix, np.ndarray):
        return matrix
    small = matrix.shape[0] * matrix.shape[1] <= THRESHOLDS.multiplied_dense
    return matrix.toarray() if whole or small else matrix
