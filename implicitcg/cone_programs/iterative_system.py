"""The linear system of a cone program on its face, by products alone: for semidefinite cones of large order."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse
import scipy.sparse.linalg

from ..linear.sparse_factors import sparse_factors
from .faces import Face, of_jacobian, selector
from .system import ConeSystem
from .thresholds import THRESHOLDS

LinearOperator: Any = scipy.sparse.linalg.LinearOperator  # SciPy's types do not know its factory

KRYLOV_TOLERANCE = 1e-6  # asked of MINRES, in its preconditioned norm
CLOSE_ENOUGH = (
    0.1  # of the residual of one solve relative to its right side: Newton's method gains a digit a step at least
)


class IterativeSystem(ConeSystem):
    """`P u - A^T S w = r`, `-S A u - D w = -S t` with `S = (I - D)^(1/2)`, by MINRES; `dx = u`, `dy = -S w`.

    The system is symmetric and bounded on hard, soft and free rows alike, and a product with a semidefinite
    cone's `D` or `S` of order `k` costs `O(k^3)` where its rows are `O(k^4)` numbers. The preconditioner is
    `P + A^T R A`, where the diagonal `R` stands for `S^2`, and the identity.

    It is never `healthy`, since nothing here tells whether the system is regular; `solve` gives NaN where MINRES did
    not reach a relative residual of 0.1.
    """

    def __init__(self, P: Any, A: Any, face: Face):
        self.P, self.A, self.AT, self.face = P, A, A.T, face
        self.healthy, self.bytes = False, 12 * int(A.nnz)
        self._T: Any = selector(face)
        resisting = np.zeros(A.shape[0])
        for place, size in ((face.hard, face.hard_factor**2), (face.soft, face.soft_factor**2)):
            resisting[place >= 0] += size[place >= 0]
        for block in face.rounds:
            resisting[block.start : block.stop] += block.weight / (1 + block.weight)
        for block in face.turned:
            resisting[block.start : block.stop] = np.mean(1 - block.slopes)
        self._approximate = _inverse(self.AT @ scipy.sparse.diags_array(resisting) @ A + (0 if P is None else P))

    def unique(self) -> bool:
        """See `ConeSystem.unique`: this system does not look."""
        return True

    def consistent(self, dx: np.ndarray, t: np.ndarray) -> bool:
        """See `ConeSystem.consistent`: nothing here can tell."""
        return False

    def solve(self, r: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See `ConeSystem.solve`."""
        n, m = len(r), len(t)

        def product(z: np.ndarray) -> np.ndarray:
            u, w = z[:n], z[n:]
            top = -(self.AT @ self._root(w))
            return np.concatenate([top if self.P is None else top + self.P @ u, -self._root(self.A @ u) - self._D(w)])

        def approximate(z: np.ndarray) -> np.ndarray:
            return np.concatenate([self._approximate(z[:n]), z[n:]])

        def operator(apply: Any) -> Any:
            return LinearOperator((n + m, n + m), matvec=apply, dtype=np.float64)

        right = np.concatenate([r, -self._root(t)])
        steps, M = THRESHOLDS.products_steps, operator(approximate)
        z, _ = scipy.sparse.linalg.minres(operator(product), right, M=M, rtol=KRYLOV_TOLERANCE, maxiter=steps)
        if not np.linalg.norm(product(z) - right) <= CLOSE_ENOUGH * np.linalg.norm(right):
            z = np.full_like(z, np.nan)
        return z[:n], -self._root(z[n:])

    def _D(self, v: np.ndarray) -> np.ndarray:
        return of_jacobian(self.face, self._T, lambda d: d, v)

    def _root(self, v: np.ndarray) -> np.ndarray:
        return of_jacobian(self.face, self._T, lambda d: np.sqrt(1 - d), v)


def _inverse(matrix: Any) -> Any:
    """Products with the inverse of a positive semidefinite sparse matrix, lifted where it is singular.

    Those with the identity, which preconditions nothing, where the matrix has no factors: it is zero, or indefinite.
    """
    size = matrix.shape[0]
    matrix = scipy.sparse.csc_array(matrix + 1e-8 * matrix.diagonal().max() * scipy.sparse.eye_array(size))
    if matrix.nnz > THRESHOLDS.preconditioner_full * size**2:
        try:
            factor = scipy.linalg.cho_factor(matrix.toarray())
        except (np.linalg.LinAlgError, ValueError):  # indefinite, or not finite
            return np.copy
        return lambda b: scipy.linalg.cho_solve(factor, b)
    options = {"SymmetricMode": True}
    lu = sparse_factors(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)
    return np.copy if lu is None else lu.solve
