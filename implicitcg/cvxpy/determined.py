"""The linear system of a layer's derivative where unknowns that CVXPY added are free."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jax.flatten_util import ravel_pytree

from ..adjoints import Automatic
from ..adjoints.contract import AbstractExact, Solved, Way
from ..base import Status, only_where
from ..core import AbstractProblem, AbstractSolver, Found, Linearisation
from ..equations import Conic
from ..linear import ShiftedInverse, shifted_inverse
from ..linear.solves import Matvec, as_matrix
from .canonical import Canonical

LIMIT = 3000
"""Unknowns up to which a singular system is taken apart densely."""


class Determined(AbstractExact):
    """Solves `B dz = rhs`; where `B` is singular, for the part of `dz` that is determined nevertheless.

    To write `norm(x) <= r` as a cone program, CVXPY adds an unknown `t` with `norm(x) <= t <= r`. Where the constraint
    is slack, every such `t` will do, and `B` is singular although `x` and its derivative are what they should be. This
    adjoint first does what `Automatic` does. Where that fails it takes any solution (`ShiftedInverse`), if no null
    vector of `B` moves anything that the layer returns. Otherwise the derivative is refused as singular.
    """

    canonical: Canonical = eqx.field(static=True)

    def way(self, linearisation: Linearisation, matvec: Matvec, like: Array) -> Way:
        first = Automatic().way(linearisation, matvec, like)
        if like.shape[0] > LIMIT:
            return first

        def run(matvec: Matvec, b: Array, transposed: bool) -> Solved:
            def any_solution() -> tuple[Array, Array]:
                matrix = as_matrix(matvec, b.shape[0], b.dtype)
                inverse = shifted_inverse(matrix.T if transposed else matrix)
                x, solved = inverse.solve(b, transposed=transposed)
                return x, solved & _unmoved(self.canonical, inverse)

            x, solved = first.attempt(matvec, b, transposed)
            finite = jnp.all(jnp.isfinite(b))  # else there is nothing to solve, and nothing to refuse
            x = jnp.where(solved, x, jnp.nan)
            return Solved(*only_where(~solved & finite, any_solution, (x, solved | ~finite)), Status.singular)

        return Way(run)


class UniqueWhereItMatters(AbstractSolver[Conic]):
    """A solver of cone programs for which a solution is unique if what the layer returns of it is."""

    solver: AbstractSolver
    canonical: Canonical = eqx.field(static=True)

    def refuses(self, problem: Conic) -> str | None:
        """What the solver inside does not solve."""
        return self.solver.misfit(problem)

    def run(self, problem: Conic, init: Any) -> Found:
        found = self.solver.run(problem, init)
        if ravel_pytree(found.z)[0].shape[0] > LIMIT:
            return found
        loose = found.status == Status.not_unique
        pardoned = only_where(loose, lambda: determined(problem, found.z, self.canonical), jnp.zeros_like(loose))
        status = Status.where(pardoned, Status.converged, found.status)
        return eqx.tree_at(lambda f: f.status, found, status)


@eqx.filter_jit
def determined(problem: AbstractProblem, z: Any, canonical: Canonical) -> Array:
    """Whether the linearised equation leaves nothing free that the layer returns."""
    flat, unravel = ravel_pytree(z)
    matrix = as_matrix(problem.linearise(z).on_vectors(unravel), flat.shape[0], flat.dtype)
    return _unmoved(canonical, shifted_inverse(matrix))


def _unmoved(canonical: Canonical, inverse: ShiftedInverse) -> Array:
    """Whether a null vector `(dx, dv)` of `B` leaves the returned entries of `x` and of `y = s - v` where they are.

    There `ds = -A dx`, and the lower part of `B (dx, 0)` is `A dx`.
    """
    matrix, null, n = inverse.matrix, inverse.null_vector(), canonical.n
    in_x, in_y = canonical.outputs()
    dx, dv = null[:n], null[n:]
    dy = -matrix[n:, :n] @ dx - dv
    moved = jnp.where(jnp.asarray(in_x), dx, 0), jnp.where(jnp.asarray(in_y), dy, 0)
    return jnp.linalg.norm(jnp.concatenate(moved)) <= (float(jnp.finfo(matrix.dtype).eps) * len(matrix)) ** 0.5
